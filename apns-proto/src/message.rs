//! What can be sent, and what is said to it.

use std::fmt;

use crate::{Expiration, Notification, WallTime};

/// Something that is sent and ends in an [`Outcome`](crate::Outcome): a [`Notification`], and over HTTP/2 a broadcast or a
/// request about channels.
pub trait Message: Clone + fmt::Debug + Send + Sync + 'static {
    /// What the service says to it beside the outcome. The default where it says nothing.
    type Answer: Default + Clone + fmt::Debug + PartialEq + Eq + Send + Sync + 'static;

    /// When sending it stops being worth while.
    fn expiration(&self) -> Expiration;

    /// Sets that. A message without an expiration ignores it.
    fn set_expiration(&mut self, expiration: Expiration);

    /// Says that it is handed over now: a span begins, and what is in the past is one attempt. See
    /// [`Expiration::handed_over`].
    fn hand_over(&mut self, now: WallTime) {
        self.set_expiration(self.expiration().handed_over(now));
    }

    /// Turns a span into a time, so that neither waiting nor sending again prolongs it. See [`Expiration::resolve`].
    fn resolve_expiration(&mut self, now: WallTime) {
        self.set_expiration(self.expiration().resolve(now));
    }
}

impl Message for Notification {
    /// An outcome says all.
    type Answer = ();

    fn expiration(&self) -> Expiration {
        self.expiration()
    }

    fn set_expiration(&mut self, expiration: Expiration) {
        self.set_expiration(expiration);
    }
}
