//! What a [`Session`](crate::Session) needs of a machine that sends notifications.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::Escaped;
use crate::binary::ErrorResponse;
use crate::{
    CredentialRefusal, InvalidNotification, Machine, Message, Notification, Now, Outcome, Rejection, UnknownCause,
};

/// A notification that is submitted to a connection or a session, with the caller's key.
///
/// The outcome returns the key; it is never sent and never compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission<K, M: Message = Notification> {
    /// The caller's key.
    pub key: K,
    /// What to send: a notification, or another message.
    pub notification: M,
    /// How often it was written so far, completely or in part.
    pub attempts: u32,
    /// How often it was written again although an earlier copy may have arrived: each may cause a duplicate.
    pub replays: u32,
    /// How often it was sent again, according to the retry policy, because the service refused it temporarily.
    pub retries: u32,
    /// When it was submitted, where somebody noted it.
    pub since: Option<Instant>,
    /// The number of proofs that were requested from the [`Session`](crate::Session) before it was submitted: later proofs
    /// cover it.
    pub mark: u64,
}

impl<K, M: Message> Submission<K, M> {
    /// A notification that was never written.
    #[must_use]
    pub const fn new(key: K, notification: M) -> Self {
        Self { key, notification, attempts: 0, replays: 0, retries: 0, since: None, mark: 0 }
    }

    /// Settles it with this outcome.
    #[inline]
    #[must_use]
    pub fn settle(self, outcome: Outcome) -> Settled<K, M> {
        let Self { key, notification, attempts, replays, retries, since, mark } = self;
        let returned = if outcome.is_accepted() { None } else { Some(Box::new(notification)) };
        Settled { key, outcome, answer: M::Answer::default(), attempts, replays, retries, since, mark, returned }
    }

    /// Ends one that is not sent, or not sent again, for this reason. Where an earlier copy of it was lost without a
    /// word, that copy may have arrived: then the end is unknown.
    pub(crate) fn settle_unsent(self, outcome: Outcome) -> Settled<K, M> {
        if self.replays == 0 {
            return self.settle(outcome);
        }
        let why = match &outcome {
            Outcome::NotSent { cause } => Arc::from(cause.to_string()),
            _ => Arc::from("its expiration passed before it could be sent again"),
        };
        self.settle(Outcome::Unknown { cause: UnknownCause::ConnectionLost(why) })
    }
}

/// A submission with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled<K, M: Message = Notification> {
    /// The caller's key.
    pub key: K,
    /// How it ended.
    pub outcome: Outcome,
    /// What the service said beside the outcome.
    pub answer: M::Answer,
    /// How often it was written.
    pub attempts: u32,
    /// How often it was written again although its fate was unknown.
    pub replays: u32,
    /// How often it was sent again because the service refused it for the time being.
    pub retries: u32,
    /// When it was submitted, where somebody noted it.
    pub since: Option<Instant>,
    /// The mark that the submission had.
    pub mark: u64,
    /// The notification, when the service did not take it.
    pub returned: Option<Box<M>>,
}

/// A submission that a connection returns without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled<K, M: Message = Notification> {
    /// The submission.
    pub submission: Submission<K, M>,
    /// What is known about it.
    pub fate: Fate,
}

/// What is known about a notification without an outcome when its connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It was never sent completely: sending it again is safe.
    NotWritten,
    /// The service discarded it: it must be sent again, and that is safe.
    Discarded,
    /// The service refused the credential and did not process it: send it again when the credential is corrected, which is
    /// safe.
    CredentialRefused {
        /// How.
        refusal: Arc<CredentialRefusal>,
        /// Whether the service may accept a newly signed provider token, so that one more attempt is worthwhile at once.
        renewed: bool,
    },
    /// It was written, and it is unknown whether it arrived. [`LossPolicy`](crate::LossPolicy) decides whether to send it again.
    Unknown(UnknownCause),
    /// It was written, it is unknown whether it arrived, and it may have caused the error: do not send it again.
    Suspected(UnknownCause),
}

/// What a connection reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent<K, M: Message = Notification> {
    /// A submission ended.
    Settled(Settled<K, M>),
    /// The service gave a real answer: this is a working connection.
    Answered,
    /// A request timed out, and the service has answered nothing on this connection so far.
    Silent,
    /// It accepts no more submissions; another connection should take over.
    Retired,
    /// Something the owner should know.
    Warning(Warning),
    /// A submission that the service did not process is returned; the connection stays open.
    Returned(Unsettled<K, M>),
    /// It has something to send and its token source has no provider token. The source is asked again every second.
    TokenWanted,
    /// The terminal event. Every submission was settled, returned, or is listed here.
    Closed(Closed<K, M>),
}

/// The terminal event of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed<K, M: Message = Notification> {
    /// Why.
    pub reason: CloseReason,
    /// What was submitted and not settled, in the order of submission.
    pub unsettled: Vec<Unsettled<K, M>>,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Everything that was written is proven, and nothing is left to do.
    #[error("everything was settled")]
    Finished,
    /// This side closed it.
    #[error("closed by this side")]
    ClosedHere,
    /// The gateway sent an error response.
    #[error("{0}")]
    ErrorResponse(PlanSummary),
    /// The peer closed without an error response.
    #[error("the peer closed without saying why")]
    PeerClosed,
    /// The peer closed inside a message.
    #[error("the peer closed after {received} bytes of a message")]
    Truncated {
        /// Bytes of the message that arrived.
        received: usize,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Cut,
    /// The peer refused this client, with its text.
    #[error("the peer refused this client: {}", Escaped(.0))]
    Refused(Arc<str>),
    /// The peer does not speak this protocol.
    #[error("the peer does not speak this protocol: its first byte is {first_byte:#04x}")]
    NotThisProtocol {
        /// The byte.
        first_byte: u8,
    },
    /// The peer does not speak HTTP/2.
    #[error("the peer does not speak HTTP/2: it begins with \"{received}\"; was `h2` negotiated (ALPN)?")]
    NotHttp2 {
        /// Its first bytes, at most nine, with escapes for what is not printable.
        received: Arc<str>,
    },
    /// The peer violated HTTP/2, and this side sent it the error code.
    #[error("the peer broke the protocol (HTTP/2 error code {code})")]
    Violation {
        /// The error code of RFC 9113 section 7 that was sent.
        code: u32,
    },
    /// The service sent a GOAWAY frame (HTTP/2).
    #[error("the service is going away{}{}", going_away_because(.reason.as_deref()), going_away_code(*.code))]
    GoAway {
        /// Apple's reason, if the frame has one.
        reason: Option<Arc<str>>,
        /// The error code of RFC 9113 section 7; 0 is no error.
        code: u32,
        /// Whether the next connection would get the same reason until a person acts, because the credential is refused.
        fatal: bool,
    },
    /// The service repeatedly refused every request unprocessed.
    #[error("the service takes no requests on this connection")]
    RefusesRequests,
    /// The service refuses the certificate or the provider token on this connection.
    #[error("the service refuses the credential: {0}")]
    CredentialRefused(Arc<CredentialRefusal>),
    /// The token source gave no provider token in time.
    #[error("no provider token in time: {}", Escaped(.why))]
    NoToken {
        /// The source's error text.
        why: Arc<str>,
    },
    /// The transport took no bytes for too long.
    #[error("the peer took no bytes for too long")]
    WriteStalled,
    /// The expected answer did not arrive in time.
    #[error("no answer came in time")]
    NoAnswer,
}

impl CloseReason {
    /// Whether another connection would end in the same way until a person acts: the peer speaks another protocol, or the
    /// service refuses the credential.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::NotThisProtocol { .. }
            | Self::NotHttp2 { .. }
            | Self::GoAway { fatal: true, .. }
            | Self::CredentialRefused(_) => true,
            Self::ErrorResponse(summary) => summary.condemns_topic(),
            _ => false,
        }
    }
}

impl CloseReason {
    /// How it refuses the credential, if it does.
    #[must_use]
    pub fn credential_refusal(&self) -> Option<Arc<CredentialRefusal>> {
        match self {
            Self::CredentialRefused(refusal) => Some(refusal.clone()),
            Self::Refused(words) => Some(Arc::new(CredentialRefusal::Tls(words.clone()))),
            Self::GoAway { reason: Some(reason), fatal: true, .. } => {
                Some(Arc::new(CredentialRefusal::GoAway(reason.clone())))
            }
            Self::ErrorResponse(summary) if summary.refuses_credential => {
                let rejection = Rejection::Gateway(summary.response.status);
                Some(Arc::new(CredentialRefusal::Answer(rejection)))
            }
            _ => None,
        }
    }
}

fn going_away_because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", Escaped(reason))).unwrap_or_default()
}

fn going_away_code(code: u32) -> String {
    if code == 0 { String::new() } else { format!(" (HTTP/2 error code {code})") }
}

/// What an error response of the binary gateway means for the notifications in the window, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSummary {
    /// The response.
    pub response: ErrorResponse,
    /// Whether it answers the probe that this side sent to prove its window.
    pub answers_probe: bool,
    /// How many it proves accepted.
    pub accepted: usize,
    /// How many it rejects: none or one.
    pub rejected: usize,
    /// How many it proves discarded, which are sent again.
    pub discarded: usize,
    /// How many it leaves in doubt.
    pub unknown: usize,
    /// Whether it refuses the certificate's topic, and so every notification.
    pub refuses_credential: bool,
    /// How many had not been written.
    pub not_written: usize,
}

impl PlanSummary {
    /// Whether the response refuses the certificate's topic, and so every notification.
    #[must_use]
    pub(crate) const fn condemns_topic(&self) -> bool {
        self.refuses_credential
    }
}

impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.answers_probe {
            return write!(f, "the probe was answered: {} accepted", self.accepted);
        }
        let status = self.response.status;
        write!(
            f,
            "error response with status {} ({}) for identifier {}: {} accepted, {} rejected, {} to send again, {} in doubt",
            status.raw(),
            Rejection::Gateway(status).reason(),
            self.response.identifier,
            self.accepted,
            self.rejected,
            self.discarded + self.not_written,
            self.unknown
        )
    }
}

/// Something that the application should know, and that settles no notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// An error response named a notification that was already presumed accepted. The gateway discarded those that were
    /// written after it and presumed accepted too; their outcomes do not change.
    #[error(
        "the gateway answered late: the notification with identifier {named} had been presumed accepted, and {lost} after it are lost too; a longer quiet time prevents this"
    )]
    AnsweredTooLate {
        /// The identifier that was named.
        named: u32,
        /// The status it was named with.
        status: u8,
        /// How many notifications, written after it and presumed accepted, were discarded.
        lost: u64,
        /// The identifiers of the first and the last of these; `None` when there are none.
        range: Option<(u32, u32)>,
    },
    /// An error response names nothing that was sent on this connection.
    #[error("the gateway's error response names identifier {identifier}, which was never sent here (status {status})")]
    Unplaceable {
        /// The identifier that was named.
        identifier: u32,
        /// The status.
        status: u8,
    },
    /// The service will refuse everything until a person acts.
    #[cfg(feature = "http2")]
    #[error(transparent)]
    Token(#[from] crate::http2::TokenError),
    /// A notification is sent with changes, or something about it is doubtful. All connections of one
    /// [`ProviderApi`](crate::http2::ProviderApi) and its clones together report each kind once.
    #[cfg(feature = "http2")]
    #[error(transparent)]
    Request(#[from] crate::http2::RequestWarning),
}

/// A submission that a connection did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<K, M: Message = Notification> {
    /// The submission, unchanged.
    pub submission: Submission<K, M>,
    /// Why.
    pub cause: SubmitError,
}

/// Why a connection did not accept a submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no room for now.
    #[error("the window is full")]
    Full,
    /// It accepts no more: it is proving its window, or closed.
    #[error("this connection takes no more notifications")]
    Retired,
    /// No service would accept it.
    #[error(transparent)]
    Invalid(#[from] InvalidNotification),
}

/// A machine that sends notifications, as a [`Session`](crate::Session) sees it.
///
/// Every submission leaves the connection in one of three ways: as [`Settled`](ConnectionEvent::Settled), with its outcome; as
/// [`Returned`](ConnectionEvent::Returned), if the service did not process it and the connection stays open; or in the list
/// of [`Closed`](ConnectionEvent::Closed).
///
/// A connection accepts one submission before the peer's HTTP/2 SETTINGS state how many it allows, so that the submission has
/// a deadline.
pub trait Connection<K>: Machine<Event = ConnectionEvent<K, Self::Message>> {
    /// What it sends.
    type Message: Message;

    /// Takes a notification, to be sent in the order of submission.
    ///
    /// # Errors
    ///
    /// Returns the submission if there is no room, if the connection accepts no more, or if no service would accept it.
    fn submit(&mut self, now: Now, submission: Submission<K, Self::Message>) -> Result<(), Refused<K, Self::Message>>;

    /// The approximate number of submissions that find room. If bytes are the limit, it may be fewer, but at least one.
    fn room(&self) -> usize;

    /// Whether a submission would find room.
    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many submissions have no outcome yet.
    fn unsettled(&self) -> usize;

    /// The approximate number of submissions that the connection can have without one of them waiting: those without an
    /// outcome, and those that could be written now.
    fn capacity(&self) -> usize {
        self.unsettled() + self.room()
    }

    /// Tells the connection that more submissions wait than it has room for. A connection that needs a probe for its proof
    /// sends it now and retires; others do nothing.
    fn make_room(&mut self, now: Now);

    /// Settles everything submitted so far as soon as possible, by `deadline` at the latest.
    fn prove(&mut self, now: Now, deadline: Option<Instant>);

    /// Returns every submission with a mark below `mark`, with its fate, because its time is over. A connection that cannot
    /// return only some of its submissions closes if it has any of these.
    fn give_up(&mut self, now: Now, mark: u64);

    /// Accepts no more submissions, settles those it has, and closes; by `deadline` at the latest.
    fn drain(&mut self, now: Now, deadline: Option<Instant>);

    /// Closes now. The terminal event lists submissions without an outcome.
    fn close(&mut self, now: Now);

    /// Visits the keys of the submissions whose last byte the most recent call of [`Machine::poll_transmit`] handed out.
    /// Before that the service cannot have accepted a submission.
    fn just_sent(&self, each: &mut dyn FnMut(&K));

    /// Whether the terminal event was produced; it may still be waiting in [`Machine::poll_event`].
    fn is_closed(&self) -> bool;
}
