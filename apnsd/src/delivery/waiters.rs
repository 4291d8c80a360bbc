//! Who waits for the outcome of which notification.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::NotificationId;
use crate::outbox::OutcomeRecord;

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<HashMap<NotificationId, Vec<oneshot::Sender<OutcomeRecord>>>>);

impl Waiters {
    /// Begins to wait. What was settled before is not told: look it up after this call.
    pub(crate) fn register(&self, id: NotificationId) -> oneshot::Receiver<OutcomeRecord> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().push(sender);
        receiver
    }

    /// Forgets those that have left.
    pub(crate) fn prune(&self, ids: &[NotificationId]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if let Some(senders) = waiting.get_mut(id) {
                senders.retain(|sender| !sender.is_closed());
                if senders.is_empty() {
                    waiting.remove(id);
                }
            }
        }
    }

    /// Tells whoever waits for it.
    pub(crate) fn tell(&self, record: &OutcomeRecord) {
        let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&record.id);
        for sender in senders.into_iter().flatten() {
            // Who left does not want to know.
            drop(sender.send(record.clone()));
        }
    }
}
