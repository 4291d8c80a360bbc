//! What can be wrong with a payload before it is sent.

use super::{LiveActivityEvent, PayloadLimit};
use crate::encoding::EncodingError;
use crate::{NotSeconds, PushType};

/// Why a payload was refused. Names keys, sizes and numbers, but never holds a text from the payload's values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// More bytes than the limit allows. The service would answer `PayloadTooLarge`, or status 7.
    #[error("the payload has {size} bytes, {} more than the limit of {limit}", size.saturating_sub(limit.bytes()))]
    TooLarge {
        /// The size of the payload in bytes.
        size: usize,
        /// The limit.
        limit: PayloadLimit,
    },
    /// Shortening the alert body does not help: even with an empty one, or because there is none, the payload is too large.
    #[error(
        "even with an empty alert body the payload is {over} bytes over the limit of {limit}: shorten something else"
    )]
    CannotFit {
        /// How many bytes must go from the rest of the payload.
        over: usize,
        /// The limit.
        limit: PayloadLimit,
    },
    /// No bytes. The service would answer `PayloadEmpty`, or status 4.
    #[error("the payload is empty: the smallest one is `{{}}`")]
    Empty,
    /// The text is not in UTF-8, which JSON has to be (RFC 8259, section 8.1).
    #[error("the payload cannot be read: {0}")]
    Encoding(#[from] EncodingError),
    /// The text is not JSON.
    #[error("the payload is not valid JSON at line {line}, column {column}{}", if *cut { ": it ends too early" } else { "" })]
    InvalidJson {
        /// The line, counted from 1.
        line: usize,
        /// The column in bytes, counted from 1.
        column: usize,
        /// Whether the text ends where more was expected.
        cut: bool,
    },
    /// The JSON is not an object, and a payload has to be one.
    #[error("the payload is JSON but not an object")]
    NotAnObject,
    /// The key `aps` stands there twice, and which one counts is anybody's guess.
    #[error("the payload has the key `aps` more than once")]
    DuplicateAps,
    /// An own key was named `aps`, which belongs to Apple.
    #[error("an own key cannot be named `aps`: use the setters, or `aps_key` for keys that have none")]
    ReservedKey,
    /// A key inside `aps` was set as an unknown one but has a setter of its own.
    #[error("`{key}` has a setter of its own: use that")]
    KnownApsKey {
        /// The key.
        key: &'static str,
    },
    /// A time beyond the year 2106.
    #[error("`{key}`: {error}")]
    Time {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        error: NotSeconds,
    },
    /// A number is infinite or not a number, which JSON cannot express.
    #[error("`{key}` holds a number that is infinite or not a number")]
    NotFinite {
        /// The key, at the top or in `aps`, under which it lies.
        key: String,
    },
    /// The value could not be turned into JSON: its `Serialize` failed, or a map has keys that are not strings.
    #[error("the value of `{key}` cannot be serialised as JSON")]
    NotSerializable {
        /// The key.
        key: String,
    },
    /// The value has to be a JSON object.
    #[error("the value of `{key}` has to serialise as a JSON object")]
    ValueNotAnObject {
        /// The key.
        key: &'static str,
    },
    /// The value has to be base64 in the standard alphabet.
    #[error("the value of `{key}` has to be base64")]
    ValueNotBase64 {
        /// The key.
        key: &'static str,
    },
    /// The relevance score of an alert lies outside 0 to 1. Only Live Activities may go beyond.
    #[error("`relevance-score` of an alert has to lie within 0 and 1, not {score}")]
    RelevanceScore {
        /// What was set.
        score: f64,
    },
    /// The volume of a critical alert lies outside 0 to 1.
    #[error("`volume` has to lie within 0 and 1, not {volume}")]
    Volume {
        /// What was set.
        volume: f64,
    },
    /// `summary-arg-count` is 0; it has to be at least 1.
    #[error("`summary-arg-count` has to be at least 1")]
    SummaryArgCount,
    /// The text names none of the four interruption levels.
    #[error("the interruption level has to be `passive`, `active`, `time-sensitive` or `critical`")]
    UnknownInterruptionLevel,
    /// The text names none of the three events of a Live Activity.
    #[error("the event of a Live Activity has to be `start`, `update` or `end`")]
    UnknownLiveActivityEvent,
    /// The payload of a Live Activity lacks a key that Apple requires for its event.
    #[error("a Live Activity's `{event}` needs `{key}`")]
    MissingLiveActivityKey {
        /// The event.
        event: LiveActivityEvent,
        /// The key.
        key: &'static str,
    },
    /// There are keys of a Live Activity, or the payload was declared as one, but there is no `event`.
    #[error("a Live Activity needs an `event`")]
    MissingLiveActivityEvent,
    /// Apple offers `input-push-token` and `input-push-channel` as alternatives.
    #[error("`input-push-token` and `input-push-channel` exclude each other")]
    TokenAndChannel,
    /// Both an ordinary alert and the alert of a Live Activity were set.
    #[error("the alert of a Live Activity and an ordinary alert exclude each other")]
    TwoAlerts,
    /// The payload was declared as a background push but does not have `content-available`.
    #[error("a background push needs `content-available`")]
    MissingContentAvailable,
    /// A key that may not stand beside what this push type consists of.
    #[error("`{key}` cannot be part of a push of type `{push_type}`")]
    ForeignKey {
        /// The push type.
        push_type: PushType,
        /// The key.
        key: String,
    },
}
