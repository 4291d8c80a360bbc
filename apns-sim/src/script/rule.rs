//! What the gateway does with which notification.

use std::time::Duration;

use apns_proto::binary::Status;
use apns_proto::binary::server::Verdict;
use serde::{Deserialize, Serialize};

use super::{ConditionOf, RuleOf, field};

/// A rule of the gateway.
pub type Rule = RuleOf<Kind, Action>;

impl Rule {
    /// A rule without a limit.
    #[must_use]
    pub const fn new(when: Condition, then: Action) -> Self {
        Self { when, then, times: None }
    }
}

/// What a [`Rule`] is about.
///
/// ```
/// use apns_sim::Condition;
///
/// let third_of_the_second_connection = Condition::default().connection(2).arrival_in_connection(3);
/// # let _ = third_of_the_second_connection;
/// ```
pub type Condition = ConditionOf<Kind>;

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
