//! Who has to hear of outcomes that are kept.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Standing, Waiters};
use crate::outbox::{Cursor, OutcomeRecord};

/// Tells everybody of the outcomes of one app.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    pub(crate) standing: Arc<Standing>,
    pub(crate) waiters: Arc<Waiters>,
    /// Counts the times at which outcomes were added.
    pub(crate) outcomes: watch::Sender<u64>,
    /// Room became free in the outbox.
    pub(crate) room: Arc<Notify>,
}

impl Announcer {
    pub(crate) fn publish(&self, settled: &[(Cursor, OutcomeRecord)]) {
        if settled.is_empty() {
            return;
        }
        for (_, record) in settled {
            self.standing.ended(record);
            self.waiters.tell(record);
        }
        self.outcomes.send_modify(|count| *count += 1);
        self.room.notify_waiters();
    }
}
