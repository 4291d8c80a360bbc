//! The binary protocol as a session sees it.

use super::budget::Budget;
use super::{Client, Config};
use crate::Opener;
use crate::{CloseReason, Closed, ConnectionEvent, Notification, Now};

/// Opens [`Client`] connections for a [`Session`](crate::Session), each with as large a window as the history of error
/// responses allows.
#[derive(Debug, Clone)]
pub struct BinaryApi {
    config: Config,
    budget: Budget,
}

impl BinaryApi {
    /// All connections get this configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { budget: Budget::new(config.window_count()), config }
    }
}

impl<K> Opener<K> for BinaryApi {
    type Message = Notification;
    type Connection = Client<K>;

    fn open(&mut self, now: Now) -> Client<K> {
        Client::new(self.config.clone().with_window_count(self.budget.current()), now)
    }

    fn observe(&mut self, _now: Now, event: &ConnectionEvent<K>) {
        let ConnectionEvent::Closed(Closed { reason: CloseReason::ErrorResponse(summary), .. }) = event else { return };
        self.budget.proven(summary.accepted);
        if summary.rejected > 0 {
            self.budget.culprit(summary.accepted, summary.accepted + summary.rejected + summary.discarded);
        }
    }
}
