//! The status byte of an error response, and all that is known of each.

use std::fmt;

use crate::{Explanation, Reaction};

/// Why the gateway closes, as one byte.
///
/// The byte is kept as it came. [`kind`](Self::kind) is what to act on: a byte that Apple never assigned has the kind
/// of 255, because a client that stumbles over a new status loses everything it had in flight.
///
/// The list is Apple's (*Binary Provider API*, table "Codes in error-response packet").
///
/// ```
/// use apns_proto::binary::{Status, StatusKind};
///
/// assert_eq!(Status::from_raw(8), Status::INVALID_TOKEN);
/// let odd = Status::from_raw(9);
/// assert_eq!((odd.kind(), odd.raw(), odd.name()), (StatusKind::Unknown, 9, None));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u8);

/// One row for each status: kind, constant, byte, Apple's words, our name, what to do about it, what happened and what to
/// do in plain words.
macro_rules! statuses {
    ($(
        $kind:ident $constant:ident = $byte:literal $apple:literal $name:ident: $reaction:ident { $happened:literal, $to_do:literal, }
    )+) => {
        /// The kinds of [`Status`]; unassigned bytes are [`Unknown`](Self::Unknown).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum StatusKind {
            $(#[doc = concat!($byte, ", \"", $apple, "\". ", $happened)] $kind,)+
        }

        impl Status {
            $(#[doc = concat!($byte, ", \"", $apple, "\".")] pub const $constant: Self = Self($byte);)+

            /// What to act on.
            #[must_use]
            pub const fn kind(self) -> StatusKind {
                match self {
                    $(Self::$constant => StatusKind::$kind,)+
                    _ => StatusKind::Unknown,
                }
            }
        }

        impl StatusKind {
            /// A stable name for logs and configuration, such as `invalid_token`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($name),)+
                }
            }

            /// What to do about it.
            pub(crate) const fn reaction(self) -> Reaction {
                match self {
                    $(Self::$kind => Reaction::$reaction,)+
                }
            }

            /// What this status of the binary gateway means and what to do, in plain words.
            #[must_use]
            pub const fn explain(self) -> Explanation {
                match self {
                    $(Self::$kind => Explanation::new($happened, $to_do),)+
                }
            }
        }
    };
}

statuses! {
    NoErrors NO_ERRORS = 0 "no errors encountered" no_errors: Retry {
        "The gateway named this notification and closed the connection, but reported no error.",
        "Nobody knows whether it was taken. Send it again only if a second copy on the device does no harm.",
    }
    ProcessingError PROCESSING_ERROR = 1 "processing error" processing_error: Retry {
        "The gateway failed while it processed this notification; the notification itself is not at fault.",
        "Send it again after a moment. If it stays so, look at the state of the gateway.",
    }
    MissingDeviceToken MISSING_DEVICE_TOKEN = 2 "missing device token" missing_device_token: FixRequest {
        "The notification carried no device token.",
        "Find out why the token is empty in your data; an app that has no token yet often stores an empty text.",
    }
    MissingTopic MISSING_TOPIC = 3 "missing topic" missing_topic: FixCredentials {
        "The gateway could not tell which app the notification is for, because the client certificate names none.",
        "Use a push certificate that was made for this app's bundle id.",
    }
    MissingPayload MISSING_PAYLOAD = 4 "missing payload" missing_payload: FixRequest {
        "The notification carried no payload.",
        "Give it a JSON object with an `aps` dictionary.",
    }
    InvalidTokenSize INVALID_TOKEN_SIZE = 5 "invalid token size" invalid_token_size: DropToken {
        "The device token has a length that the gateway does not take; it was cut, padded or read wrongly.",
        "Compare the stored text with what the app received: 64 hexadecimal digits for a token of 32 bytes. \
         Drop the token if it cannot be repaired.",
    }
    InvalidTopicSize INVALID_TOPIC_SIZE = 6 "invalid topic size" invalid_topic_size: FixCredentials {
        "The topic in the client certificate has a length that the gateway does not take.",
        "Use a push certificate that was made for this app's bundle id.",
    }
    InvalidPayloadSize INVALID_PAYLOAD_SIZE = 7 "invalid payload size" invalid_payload_size: FixRequest {
        "The payload is larger than the gateway takes: 2048 bytes, on old gateways 256.",
        "Shorten it. Bytes of UTF-8 count, not characters.",
    }
    InvalidToken INVALID_TOKEN = 8 "invalid token" invalid_token: DropToken {
        "The gateway does not know this device token for this app in this environment.",
        "First rule out a mix-up of environments: tokens of development builds work only in the sandbox, and \
         those of the App Store and TestFlight only in production. Then see that the certificate belongs to \
         this app. If both are right, drop the token.",
    }
    Shutdown SHUTDOWN = 10 "shutdown" shutdown: Reconnect {
        "The gateway closed the connection for maintenance. This notification is the last that it took.",
        "Nothing: what came after it is sent again on a new connection.",
    }
    ProtocolError PROTOCOL_ERROR = 128 "protocol error" protocol_error: FixRequest {
        "The gateway could not read the notification.",
        "See that the command format is one that this gateway understands. An old gateway may know only the \
         simple or the enhanced format.",
    }
    Unknown UNKNOWN = 255 "none (unknown)" none_unknown: FixRequest {
        "The gateway refused the notification and did not say why, or with a number that nobody has documented.",
        "Look at this notification alone: its token, its payload, its size. Do not send it again unchanged.",
    }
}

impl Status {
    /// The status that this byte stands for; every byte is one.
    #[must_use]
    pub const fn from_raw(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// Whether Apple gave this byte a meaning.
    #[must_use]
    pub const fn is_assigned(self) -> bool {
        self.0 == Self::UNKNOWN.0 || !matches!(self.kind(), StatusKind::Unknown)
    }

    /// A stable name for logs and configuration, such as `invalid_token`; `None` for a byte that is not assigned.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        if self.is_assigned() { Some(self.kind().name()) } else { None }
    }
}

impl StatusKind {
    /// Whether it is about the topic of the client certificate: it refuses whatever is sent with it.
    pub(crate) const fn refuses_credential(self) -> bool {
        matches!(self.reaction(), Reaction::FixCredentials)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name().unwrap_or("unassigned"))
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({self})")
    }
}
