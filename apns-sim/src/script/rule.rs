//! What the gateway does with which notification.

use std::fmt;
use std::time::Duration;

use apns_proto::binary::Status;
use apns_proto::binary::server::Verdict;
use serde::{Deserialize, Serialize};

use super::TokenPattern;
use super::field;

/// "When this arrives, do that." The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) when: Condition,
    pub(crate) then: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u64>,
}

impl Rule {
    /// A rule without a limit.
    #[must_use]
    pub const fn new(when: Condition, then: Action) -> Self {
        Self { when, then, times: None }
    }

    /// Applies at most this often; afterwards it is as if it were not there. Default: no limit.
    #[must_use]
    pub const fn times(mut self, limit: u64) -> Self {
        self.times = Some(limit);
        self
    }
}

/// What a [`Rule`] is about. All that is set must fit; with nothing set every notification does.
///
/// ```
/// use apns_sim::Condition;
///
/// let third_of_the_second_connection = Condition::default().connection(2).arrival_in_connection(3);
/// # let _ = third_of_the_second_connection;
/// ```
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<TokenPattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identifier: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) arrival: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) arrival_in_connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::probability")]
    pub(crate) probability: Option<f64>,
}

impl Condition {
    /// Notifications (the default), probes, or what is neither.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The device token. Probes have none.
    #[must_use]
    pub fn token(mut self, pattern: impl Into<TokenPattern>) -> Self {
        self.token = Some(pattern.into());
        self
    }

    /// Text that occurs somewhere in the payload, compared byte by byte.
    #[must_use]
    pub fn payload_contains(mut self, text: impl Into<String>) -> Self {
        self.payload_contains = Some(text.into());
        self
    }

    /// The identifier that the client gave it.
    #[must_use]
    pub const fn identifier(mut self, identifier: u32) -> Self {
        self.identifier = Some(identifier);
        self
    }

    /// The connection it came over; the gateway counts its connections from 1.
    #[must_use]
    pub const fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// The place among all notifications that arrived, from 1. What a client sends again counts again.
    #[must_use]
    pub const fn arrival(mut self, number: u64) -> Self {
        self.arrival = Some(number);
        self
    }

    /// The place among the notifications of the connection, from 1.
    #[must_use]
    pub const fn arrival_in_connection(mut self, number: u64) -> Self {
        self.arrival_in_connection = Some(number);
        self
    }

    /// Every n-th of all notifications that arrived.
    #[must_use]
    pub const fn every(mut self, n: u64) -> Self {
        self.every = Some(n);
        self
    }

    /// By chance, from 0 (never) to 1 (always). Which ones are hit depends on the script's seed and on the place
    /// among all that arrived, so that the same arrivals meet the same fate.
    #[must_use]
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("kind", &self.kind)
            .field("token", &self.token)
            .field("payload_contains", &self.payload_contains.as_ref().map(|text| format!("<{} bytes>", text.len())))
            .field("identifier", &self.identifier)
            .field("connection", &self.connection)
            .field("arrival", &self.arrival)
            .field("arrival_in_connection", &self.arrival_in_connection)
            .field("every", &self.every)
            .field("probability", &self.probability)
            .finish()
    }
}

/// What arrives at a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A notification.
    #[default]
    Notification,
    /// The frame with an empty token, which clients send to have everything before it proven. It has no place among
    /// the arrivals: `arrival` is the number of notifications before it.
    Probe,
    /// Anything else. Counted like a probe.
    Malformed,
}

/// What the gateway does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Takes it and says nothing. A probe or something malformed is swallowed, and so is all that follows.
    Accept,
    /// Answers with an error response and closes. What follows is thrown away unread.
    Refuse {
        /// Why: a number or the name from Apple's table, such as `"invalid_token"`.
        #[serde(with = "field::status")]
        status: Status,
        /// The identifier in the answer; without it the notification's own, or 0 where it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identifier: Option<u32>,
        /// How long the answer takes, in milliseconds.
        #[serde(default, skip_serializing_if = "field::is_default")]
        after_ms: u64,
    },
    /// Takes it, answers with status 10 that names it, and closes.
    AcceptAndShutDown {
        /// How long the answer takes, in milliseconds.
        #[serde(default, skip_serializing_if = "field::is_default")]
        after_ms: u64,
    },
    /// Closes without a word and does not take it.
    Close,
    /// Takes it, then closes without a word.
    AcceptAndClose,
    /// Takes neither this nor anything that follows, and never says so.
    FallSilent,
}

impl Action {
    /// An error response at once, with the notification's own identifier.
    #[must_use]
    pub const fn refuse(status: Status) -> Self {
        Self::Refuse { status, identifier: None, after_ms: 0 }
    }

    pub(crate) const fn verdict(&self) -> Verdict {
        match *self {
            Self::Accept => Verdict::Accept,
            Self::Refuse { status, identifier, after_ms } => {
                Verdict::Refuse { status, identifier, after: Duration::from_millis(after_ms) }
            }
            Self::AcceptAndShutDown { after_ms } => {
                Verdict::AcceptAndShutDown { after: Duration::from_millis(after_ms) }
            }
            Self::Close => Verdict::Close,
            Self::AcceptAndClose => Verdict::AcceptAndClose,
            Self::FallSilent => Verdict::FallSilent,
        }
    }
}
