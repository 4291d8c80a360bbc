//! What other daemons do in a store that they share with this one.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Inner, Service};
use crate::AppName;
use crate::outbox::{Bell, Cursor, OutboxError};

/// The wait before a store that failed is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// How many outcomes are read at once.
const PAGE: usize = 1000;

/// Begins to listen; nothing where nobody else has the store.
pub(super) fn listen(inner: &Arc<Inner>) -> Vec<JoinHandle<()>> {
    let Some(bells) = inner.outbox.bells() else { return Vec::new() };
    let registry = Arc::new(Notify::new());
    let following = tokio::spawn(follow_registry(Arc::downgrade(inner), registry.clone()));
    vec![tokio::spawn(hear(Arc::downgrade(inner), bells, registry)), following]
}

async fn hear(inner: Weak<Inner>, mut bells: mpsc::Receiver<Bell>, registry: Arc<Notify>) {
    // Behind these cursors are outcomes that were not read yet.
    let mut unread: BTreeMap<AppName, Cursor> = BTreeMap::new();
    loop {
        let bell = if unread.is_empty() { Ok(bells.recv().await) } else { timeout(RETRY, bells.recv()).await };
        let Some(inner) = inner.upgrade() else { return };
        let service = Service(inner);
        match bell {
            Ok(None) => return,
            Ok(Some(Bell::Accepted(app))) => {
                if let Ok(running) = service.app(&app) {
                    running.wake.notify_one();
                }
            }
            Ok(Some(Bell::Settled { app, after })) => drop(unread.entry(app).or_insert(after)),
            Ok(Some(Bell::Apps)) => registry.notify_one(),
            // A store that failed is asked again.
            Err(_) => {}
        }
        let mut failed = BTreeMap::new();
        for (app, after) in std::mem::take(&mut unread) {
            if let Err(after) = service.tell_outcomes(&app, after).await {
                failed.insert(app, after);
            }
        }
        unread = failed;
    }
}

/// Takes apps and pauses as they are in the store.
async fn follow_registry(inner: Weak<Inner>, changed: Arc<Notify>) {
    loop {
        changed.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        match Service(inner).take_registry().await {
            Ok(()) => {}
            Err(OutboxError::Closed) => return,
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                changed.notify_one();
            }
        }
    }
}

impl Service {
    /// Tells the outcomes after this cursor to callers who wait for them. Gives the cursor where to continue if the store fails.
    async fn tell_outcomes(&self, app: &AppName, mut after: Cursor) -> Result<(), Cursor> {
        // Who begins to wait now finds what has ended.
        while !self.0.waiters.is_empty() {
            let page = match self.0.outbox.outcomes(app, &after, PAGE).await {
                Ok(page) => page,
                Err(OutboxError::Closed) => return Ok(()),
                Err(_) => return Err(after),
            };
            for (cursor, record) in &page {
                self.0.waiters.tell(record);
                after = cursor.clone();
            }
            if page.len() < PAGE {
                break;
            }
        }
        if let Ok(running) = self.app(app) {
            running.announcer.outcomes.send_modify(|count| *count += 1);
        }
        self.0.room.notify_waiters();
        Ok(())
    }
}
