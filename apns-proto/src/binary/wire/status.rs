//! The status byte of an error response.

use std::fmt;

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

/// The kinds of [`Status`]; unassigned bytes are [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusKind {
    /// 0, "no errors encountered": listed by Apple without explanation.
    NoErrors,
    /// 1, "processing error": the gateway failed inside.
    ProcessingError,
    /// 2, "missing device token".
    MissingDeviceToken,
    /// 3, "missing topic": the certificate names none.
    MissingTopic,
    /// 4, "missing payload".
    MissingPayload,
    /// 5, "invalid token size".
    InvalidTokenSize,
    /// 6, "invalid topic size".
    InvalidTopicSize,
    /// 7, "invalid payload size".
    InvalidPayloadSize,
    /// 8, "invalid token": unknown to this environment and topic.
    InvalidToken,
    /// 10, "shutdown": the gateway closes, and the notification named is the last it accepted.
    Shutdown,
    /// 128, "protocol error": the gateway could not parse the notification.
    ProtocolError,
    /// 255, "none (unknown)", and every byte that is not assigned.
    Unknown,
}

impl Status {
    /// 0, "no errors encountered".
    pub const NO_ERRORS: Self = Self(0);
    /// 1, "processing error".
    pub const PROCESSING_ERROR: Self = Self(1);
    /// 2, "missing device token".
    pub const MISSING_DEVICE_TOKEN: Self = Self(2);
    /// 3, "missing topic".
    pub const MISSING_TOPIC: Self = Self(3);
    /// 4, "missing payload".
    pub const MISSING_PAYLOAD: Self = Self(4);
    /// 5, "invalid token size".
    pub const INVALID_TOKEN_SIZE: Self = Self(5);
    /// 6, "invalid topic size".
    pub const INVALID_TOPIC_SIZE: Self = Self(6);
    /// 7, "invalid payload size".
    pub const INVALID_PAYLOAD_SIZE: Self = Self(7);
    /// 8, "invalid token".
    pub const INVALID_TOKEN: Self = Self(8);
    /// 10, "shutdown".
    pub const SHUTDOWN: Self = Self(10);
    /// 128, "protocol error".
    pub const PROTOCOL_ERROR: Self = Self(128);
    /// 255, "none (unknown)".
    pub const UNKNOWN: Self = Self(255);

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

    /// What to act on.
    #[must_use]
    pub const fn kind(self) -> StatusKind {
        match self.0 {
            0 => StatusKind::NoErrors,
            1 => StatusKind::ProcessingError,
            2 => StatusKind::MissingDeviceToken,
            3 => StatusKind::MissingTopic,
            4 => StatusKind::MissingPayload,
            5 => StatusKind::InvalidTokenSize,
            6 => StatusKind::InvalidTopicSize,
            7 => StatusKind::InvalidPayloadSize,
            8 => StatusKind::InvalidToken,
            10 => StatusKind::Shutdown,
            128 => StatusKind::ProtocolError,
            _ => StatusKind::Unknown,
        }
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
    /// A stable name for logs and configuration, such as `invalid_token`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoErrors => "no_errors",
            Self::ProcessingError => "processing_error",
            Self::MissingDeviceToken => "missing_device_token",
            Self::MissingTopic => "missing_topic",
            Self::MissingPayload => "missing_payload",
            Self::InvalidTokenSize => "invalid_token_size",
            Self::InvalidTopicSize => "invalid_topic_size",
            Self::InvalidPayloadSize => "invalid_payload_size",
            Self::InvalidToken => "invalid_token",
            Self::Shutdown => "shutdown",
            Self::ProtocolError => "protocol_error",
            Self::Unknown => "none_unknown",
        }
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
