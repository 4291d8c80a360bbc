//! The outcomes of an app as they come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::AppName;
use crate::outbox::{Cursor, Outbox, OutboxError, OutcomeRecord};

/// The outcomes of one app, in the order in which they were kept. It holds one page at a time, and reads on from the
/// outbox, so a slow reader costs nothing.
pub struct OutcomeStream {
    outbox: Arc<dyn Outbox>,
    app: AppName,
    after: Cursor,
    page: VecDeque<(Cursor, OutcomeRecord)>,
    changes: watch::Receiver<u64>,
    /// No more are added; what is there is still read.
    over: bool,
}

/// How many are read at once.
const PAGE: usize = 500;

impl OutcomeStream {
    pub(super) fn new(outbox: Arc<dyn Outbox>, app: AppName, after: Cursor, changes: watch::Receiver<u64>) -> Self {
        Self { outbox, app, after, page: VecDeque::new(), changes, over: false }
    }

    /// The next outcome with the cursor behind it, waiting for one if need be; `None` when the app was removed or the
    /// service stops. Can be dropped and called again without loss.
    ///
    /// # Errors
    ///
    /// When the outbox fails. It can be asked again.
    pub async fn next(&mut self) -> Result<Option<(Cursor, OutcomeRecord)>, OutboxError> {
        loop {
            if let Some((cursor, record)) = self.page.pop_front() {
                self.after = cursor.clone();
                return Ok(Some((cursor, record)));
            }
            // What is added from here on is seen as a change.
            self.changes.mark_unchanged();
            self.page = self.outbox.outcomes(&self.app, &self.after, PAGE).await?.into();
            if self.page.is_empty() {
                if self.over {
                    return Ok(None);
                }
                // The last of a removed app may be added between a look and the end.
                self.over = self.changes.changed().await.is_err();
            }
        }
    }
}

impl fmt::Debug for OutcomeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutcomeStream").field("app", &self.app).field("after", &self.after).finish_non_exhaustive()
    }
}
