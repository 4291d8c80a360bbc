//! Why a line of a batch, or a device token on the command line, makes no notification.

use apns_credentials::disclosure::is_name;
use apns_proto::encoding::EncodingError;
use apns_proto::{DeviceTokenError, InvalidNotification, PayloadError, UnknownPushType};

/// The longest line that is read, in bytes. A notification of any service is well below it.
pub(crate) const LONGEST_LINE: usize = 64 * 1024;

/// Why a line, or a device token on the command line, makes no notification.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The line is too long.
    #[error("the line has more than {LONGEST_LINE} bytes")]
    TooLong,
    /// The line is not UTF-8.
    #[error("the line cannot be read: {0}")]
    Encoding(EncodingError),
    /// The line is not JSON.
    #[error("the line is not valid JSON at byte {column}")]
    NotJson {
        /// Where, counted from 1.
        column: usize,
    },
    /// The line is JSON, but not an object.
    #[error("the line is JSON but not an object, such as {{\"token\":\"…\",\"body\":\"…\"}}")]
    NotAnObject,
    /// The line is no record of CSV.
    #[error("the line is no record of CSV")]
    NotCsv,
    /// A record of CSV has more fields than there are columns.
    #[error(
        "the record has {found} fields where there are {expected} columns: a text with a separator in it needs quotes"
    )]
    TooManyFields {
        /// How many it has.
        found: usize,
        /// How many columns there are.
        expected: usize,
    },
    /// There is a field that nobody knows.
    #[error("unknown field `{}`{}", if is_name(name) { name } else { "…" }, hint(name))]
    UnknownField {
        /// Its name.
        name: String,
    },
    /// A field stands there twice.
    #[error("the field `{name}` stands there twice")]
    DuplicateField {
        /// Its name.
        name: &'static str,
    },
    /// Two fields that say the same thing in two ways.
    #[error("`{one}` and `{other}` exclude each other")]
    Exclusive {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No device is named.
    #[error("there is no `token`")]
    NoToken,
    /// The device token is none.
    #[error("{0}")]
    Token(#[from] DeviceTokenError),
    /// The payload cannot be sent.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// The service could not take it.
    #[error("{0}")]
    Refused(#[from] InvalidNotification),
    /// Nothing says what to send.
    #[error("nothing says what to send: give `payload`, or members such as `title` and `body`")]
    NothingToSend,
}

/// What is wrong with the value of a field. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    /// It is of another kind.
    #[error("`{field}` has to be {expected}")]
    Kind {
        /// The field.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// It is of the right kind, but does not fit.
    #[error("`{field}`: {reason}")]
    Value {
        /// The field.
        field: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// There is no such push type.
    #[error("`push_type`: {0}; --force-push-type sends it all the same")]
    PushType(UnknownPushType),
    /// The binary protocol has no such priority.
    #[error("priority 1 does not exist in the binary protocol: use 5 or 10")]
    PriorityNotBinary,
}

fn hint(name: &str) -> String {
    let with_underscores = name.replace('-', "_");
    match FIELDS.into_iter().find(|known| *known == with_underscores) {
        Some(known) => format!(": it is called `{known}` here"),
        None => format!("; those that are known: {}", FIELDS.join(", ")),
    }
}

/// The fields of a line.
pub(crate) const FIELDS: [&str; 21] = [
    "token",
    "id",
    "registered",
    "payload",
    "title",
    "subtitle",
    "body",
    "badge",
    "sound",
    "category",
    "thread_id",
    "content_available",
    "mutable_content",
    "custom",
    "expiration",
    "ttl",
    "priority",
    "topic",
    "push_type",
    "collapse_id",
    "apns_id",
];
