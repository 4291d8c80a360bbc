//! Whether the outbox can store, and how much room there is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use crate::outbox::{Disk, Outbox, OutboxError};

/// How the outbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Why nothing can be stored; `None` where something was just stored.
    pub why: Option<String>,
    /// How much room there was when that was last known.
    pub disk: Disk,
}

impl StoreHealth {
    /// Whether something can be stored.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.why.is_none()
    }
}

/// For so long an answer is good enough for those who ask after it.
const FRESH: Duration = Duration::from_millis(300);
/// A store that does not answer within this time stores nothing for anybody.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1500);
/// How often it is asked although nobody wants to know: while it fails, and while it works.
const EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Asks the outbox for those who want to know, and says in the log when it begins to fail and when it works again.
#[derive(Debug)]
pub(super) struct Store {
    outbox: Arc<dyn Outbox>,
    /// Something could not be stored.
    pub(super) doubt: Arc<Notify>,
    last: Mutex<(Option<Instant>, StoreHealth)>,
    /// What was last said.
    ready: parking_lot::Mutex<bool>,
}

impl Store {
    pub(super) fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox, doubt: Arc::default(), last: Mutex::default(), ready: parking_lot::Mutex::new(true) }
    }

    /// Asks, unless somebody just did.
    pub(super) async fn ask(&self) -> StoreHealth {
        let mut last = self.last.lock().await;
        if last.0.is_some_and(|asked| asked.elapsed() < FRESH) {
            return last.1.clone();
        }
        let disk = last.1.disk;
        let health = match timeout(ANSWERS_WITHIN, self.outbox.probe()).await {
            Ok(Ok(disk)) => StoreHealth { why: None, disk },
            Ok(Err(error)) => {
                StoreHealth { why: Some(error.to_string()), disk: Disk { free: free_of(&error, disk), ..disk } }
            }
            Err(_) => StoreHealth { why: Some(format!("the outbox does not answer within {ANSWERS_WITHIN:?}")), disk },
        };
        *last = (Some(Instant::now()), health.clone());
        drop(last);
        self.say(&health);
        health
    }

    fn say(&self, health: &StoreHealth) {
        let before = {
            let mut ready = self.ready.lock();
            std::mem::replace(&mut *ready, health.is_ready())
        };
        match (before, &health.why) {
            (true, Some(why)) => tracing::error!("nothing can be stored, and callers are refused: {why}"),
            (false, None) => tracing::info!("the outbox stores again"),
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// Asks again and again: soon where something could not be stored.
    pub(super) async fn watch(&self) {
        loop {
            let every = if self.ask().await.is_ready() { EVERY.1 } else { EVERY.0 };
            // What is in doubt is asked about at once, and not for each of those who failed.
            let _over = timeout(every, self.doubt.notified()).await;
            tokio::time::sleep(FRESH).await;
        }
    }
}

/// What was free when a disk was full is not known any more.
fn free_of(error: &OutboxError, disk: Disk) -> Option<u64> {
    if let OutboxError::DiskFull { free } = error { Some(*free) } else { disk.free }
}
