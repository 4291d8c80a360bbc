//! What a session has to say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::DialFailure;
use crate::{CloseReason, Message, NotSentCause, Notification, Settled, Warning};

/// One connection of a session. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 + 1)
    }
}

/// What a [`Session`](super::Session) reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent<K, M: Message = Notification> {
    /// A submission ended.
    Settled(Settled<K, M>),
    /// Open a connection, then call [`connected`](super::Session::connected) or
    /// [`dial_failed`](super::Session::dial_failed).
    Dial {
        /// The id of the new connection.
        link: LinkId,
    },
    /// A connection is open.
    Connected {
        /// Which.
        link: LinkId,
    },
    /// A connection could not be opened.
    DialFailed {
        /// Which.
        link: LinkId,
        /// Why.
        failure: DialFailure,
    },
    /// A connection ended.
    Closed(LinkReport),
    /// Something that the application should know.
    Warning {
        /// The connection it is about.
        link: LinkId,
        /// What.
        warning: Warning,
    },
    /// There is something to send and the token source has no provider token. It is asked again every second.
    TokenWanted {
        /// The connection that waits for it.
        link: LinkId,
    },
    /// No connection could be opened within the configured patience. Waiting notifications were not sent; the session tries
    /// again when something new is submitted.
    GaveUp {
        /// The last failure.
        why: Arc<str>,
    },
    /// The service refuses the credential, the server is not the intended one, or a proxy refuses this client: nothing is
    /// sent until the next attempt. Reported at each refusal, and when the next attempt becomes due earlier.
    Paused {
        /// [`NotSentCause::CredentialRefused`] or [`NotSentCause::Stopped`].
        cause: NotSentCause,
        /// When the next attempt is made, if there is something to send.
        retry_in: Duration,
    },
    /// After a pause, the service gave an answer that is not a refusal of the credential: the session sends again.
    Resumed,
    /// Sending has stopped for good, according to [`RefusalPolicy::Stop`](crate::RefusalPolicy::Stop). Waiting notifications
    /// were not sent, and nothing more is.
    Stopped {
        /// Why, as in [`Paused`](Self::Paused).
        cause: NotSentCause,
    },
    /// Everything that was submitted before a call of [`prove`](super::Session::prove) is settled, or held for a retry.
    Proven,
    /// The session was closed and everything is settled. Nothing follows.
    Finished,
}

/// How a connection of a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReport {
    /// Which.
    pub link: LinkId,
    /// Why.
    pub reason: CloseReason,
    /// How many notifications are sent again.
    pub sent_again: usize,
    /// How many ended as unknown.
    pub unknown: usize,
}
