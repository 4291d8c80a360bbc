//! How a notification ended. Each submitted notification ends in exactly one of these, once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{ApnsId, CredentialRefusal, NotSeconds, PushType, Rejection};

/// How one notification ended, the same for both protocols.
///
/// [`Display`](fmt::Display) describes it for a log; [`word`](Self::word) is for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "only the outcome says whether the service took it"]
pub enum Outcome {
    /// The service accepted it. This does not mean that it reached the device.
    Accepted {
        /// How this is known.
        proof: Proof,
        /// The `apns-id` that the service gave it; the binary protocol has none.
        apns_id: Option<ApnsId>,
        /// The `apns-unique-id`, with which Apple's push console lists it; development environment of the HTTP/2 API only.
        unique_id: Option<Box<str>>,
    },
    /// The service refused it.
    Rejected(Rejection),
    /// Its expiration passed before it could be sent, or sent again.
    Expired,
    /// It was written and no answer can arrive any more. If it is sent again, the device may show it twice.
    Unknown {
        /// Why there is no answer.
        cause: UnknownCause,
    },
    /// It was never sent, or the service is known not to have processed it. It is safe to send it again.
    NotSent {
        /// Why not.
        cause: NotSentCause,
    },
}

impl Outcome {
    /// Accepted, with the given proof and without ids.
    pub const fn accepted(proof: Proof) -> Self {
        Self::Accepted { proof, apns_id: None, unique_id: None }
    }

    /// Whether the service accepted it.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// A stable word for programs: `accepted`, `rejected`, `expired`, `unknown`, `not_sent`, or `invalid` if it was refused
    /// locally.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Rejected(_) => "rejected",
            Self::Expired => "expired",
            Self::Unknown { .. } => "unknown",
            Self::NotSent { cause: NotSentCause::Invalid(_) } => "invalid",
            Self::NotSent { .. } => "not_sent",
        }
    }
}

/// The outcome and its reason, in plain words.
///
/// ```
/// use apns_proto::binary::Status;
/// use apns_proto::{NotSentCause, Outcome, Proof, Rejection};
///
/// assert_eq!(Outcome::accepted(Proof::Presumed).to_string(), "accepted (presumed: no word of protest came in time)");
/// let refused = Outcome::Rejected(Rejection::Gateway(Status::INVALID_TOKEN));
/// assert_eq!(refused.to_string(), "rejected: invalid_token (status 8)");
/// let unsent = Outcome::NotSent { cause: NotSentCause::Closed };
/// assert_eq!(unsent.to_string(), "not sent: this side closed before its turn came");
/// ```
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { proof: Proof::Confirmed, .. } => f.write_str("accepted"),
            Self::Accepted { proof: Proof::Presumed, .. } => {
                f.write_str("accepted (presumed: no word of protest came in time)")
            }
            Self::Rejected(rejection) => write!(f, "rejected: {rejection}"),
            Self::Expired => f.write_str("expired before it could be sent"),
            Self::Unknown { cause } => write!(f, "unknown: {cause}"),
            Self::NotSent { cause } => write!(f, "not sent: {cause}"),
        }
    }
}

/// How an acceptance is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The service answered, or a later answer on the same connection proves it.
    Confirmed,
    /// The quiet time passed without an error response. Binary protocol only, where silence means acceptance.
    Presumed,
}

impl Proof {
    /// A stable word for programs: `confirmed` or `presumed`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Presumed => "presumed",
        }
    }
}

/// Why it is unknown whether the service accepted a notification that was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownCause {
    /// The connection ended without an answer.
    #[error("the connection ended without a word about it: {0}")]
    ConnectionLost(Arc<str>),
    /// No answer came in time.
    #[error("no answer came in time")]
    NoAnswer,
    /// The service reset the stream without an answer, or its answer could not be parsed (HTTP/2).
    #[error("the answer was broken off (HTTP/2 error code {code})")]
    BrokenOff {
        /// The error code of RFC 9113 section 7.
        code: u32,
    },
    /// An error response arrived that names no notification of this connection, so it may be about this one. Such a
    /// notification is never sent again automatically.
    #[error(
        "the service refused something that it did not name, perhaps this (status {status}, identifier {identifier})"
    )]
    Suspected {
        /// The status byte.
        status: u8,
        /// The identifier in the response.
        identifier: u32,
    },
    /// An error response named it, but with a status that means no error.
    #[error("the service named it and closed, but reported no error (status 0)")]
    NamedWithoutError,
    /// It was sent again as often as the loss policy allows, and lost each time.
    #[error("it was sent again {replays} times and lost each time")]
    ReplaysExhausted {
        /// How often it was sent again.
        replays: u32,
    },
    /// The application closed the connection before an answer arrived.
    #[error("this side closed before an answer came")]
    Closed,
}

/// Why a notification was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSentCause {
    /// No connection could be opened in time.
    #[error("no connection in time: {0}")]
    NoConnection(Arc<str>),
    /// The service refuses the credential, and did not process the notification.
    #[error("the credential is refused: {0}")]
    CredentialRefused(Arc<CredentialRefusal>),
    /// Connecting is pointless until a person acts: the server is not the intended one or is not trusted, or a proxy refuses
    /// this client.
    #[error("sending has stopped: {0}")]
    Stopped(Arc<str>),
    /// Its time limit passed before it was sent completely.
    #[error("the time allowed for it was over before it could be sent whole")]
    OutOfTime,
    /// The application closed the client before it was sent.
    #[error("this side closed before its turn came")]
    Closed,
    /// It was refused locally.
    #[error("refused before sending: {0}")]
    Invalid(#[from] InvalidNotification),
}

impl NotSentCause {
    /// How the service refused the credential, if that is the cause.
    #[must_use]
    pub fn credential_refusal(&self) -> Option<&CredentialRefusal> {
        match self {
            Self::CredentialRefused(refusal) => Some(refusal),
            Self::NoConnection(_) | Self::Stopped(_) | Self::Closed | Self::OutOfTime | Self::Invalid(_) => None,
        }
    }
}

/// Why a notification is refused before it is sent: no service would accept it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNotification {
    /// The payload is larger than the protocol and push type allow.
    #[error("the payload has {size} bytes, more than the {limit} that are allowed here")]
    PayloadTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The priority does not exist in this protocol.
    #[error("priority {priority} does not exist in the binary protocol: use 5 or 10")]
    PriorityNotSupported {
        /// The priority's number.
        priority: u8,
    },
    /// There is no topic, and a provider token does not identify the app.
    #[error(
        "the topic is missing, which is needed with a provider token: set the app's bundle id on the notification or as the client's default"
    )]
    MissingTopic,
    /// The payload reloads widgets or controls (`content-changed`), and nothing determines which of the two.
    #[error(
        "the payload has content-changed, which is for widgets and for controls: set the push type, widgets or controls"
    )]
    PushTypeUndecided,
    /// The push type cannot be sent with a client certificate.
    #[error("pushes of type {push_type} need a signing key and cannot be sent with a certificate")]
    NeedsProviderToken {
        /// The push type.
        push_type: PushType,
    },
    /// The client certificate lists its topics, and this topic is not among them.
    #[error("the certificate is not for the topic {topic}: it lists {listed}")]
    TopicNotInCertificate {
        /// The topic, with the suffix of its push type.
        topic: Box<str>,
        /// The topics of the certificate, for a message.
        listed: Box<str>,
    },
    /// The client certificate lists the topic for another push type.
    #[error("the push type is {push_type}, but the certificate lists the topic {topic} for type {topic_type}")]
    PushTypeNotForTopic {
        /// The push type that was set.
        push_type: Box<PushType>,
        /// The topic.
        topic: Box<str>,
        /// The type that the topic is for.
        topic_type: Box<PushType>,
    },
    /// The header fields are larger than the service allows.
    #[error("the header fields take {size} bytes, more than the {limit} that the service allows")]
    HeadersTooLarge {
        /// Their size as defined in RFC 9113 section 6.5.2.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A value is not allowed in an HTTP/2 header field.
    #[error("a header field has a value that HTTP/2 does not allow")]
    NotAHeader,
    /// The expiration lies beyond the year 2106, the end of the protocol's clock.
    #[error("the expiration {0}")]
    Expiration(NotSeconds),
}

/// What to do with a notification of which it is unknown whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LossPolicy {
    /// Report it as [`Outcome::Unknown`]: delivery at most once.
    #[default]
    Report,
    /// Send it again, a limited number of times: the device may get it more than once.
    Resend {
        /// How often one notification is sent again for this reason, at most.
        at_most: u32,
    },
}

impl LossPolicy {
    /// Sends again at most three times.
    pub const RESEND: Self = Self::Resend { at_most: 3 };
}

/// What happens to waiting notifications when the service refuses the credential, the server is not the intended one, or a
/// proxy refuses this client.
///
/// No notification ends as rejected because of this: the service processed none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RefusalPolicy {
    /// They end as [`Outcome::NotSent`] at once, as do notifications that are submitted before the next attempt is due. The
    /// session continues: after the back-off it tries the next submitted notification.
    #[default]
    Report,
    /// They wait until the service accepts the credential or they expire. After the back-off the session tries one of them.
    Wait,
    /// They end as [`Outcome::NotSent`], and so do all later ones: the session sends nothing more.
    Stop,
}

/// Whether and when a refused notification may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// Never, not even after a correction.
    Never,
    /// Only after the request or the credentials were corrected.
    AfterFix,
    /// At once, on a new connection.
    NewConnection,
    /// At once, with a newly signed provider token.
    NewToken,
    /// After this time at the earliest.
    After(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proven window brings a hundred thousand of them together.
    #[test]
    fn an_outcome_is_small() {
        assert!(size_of::<Outcome>() <= 48, "{}", size_of::<Outcome>());
    }
}
