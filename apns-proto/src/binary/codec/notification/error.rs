//! What can be wrong with a notification, seen from the gateway.

use super::super::Status;
use super::item;

/// Bytes that are not a notification within the limits: what is wrong, and where.
///
/// Holds numbers only; no byte of a token or payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notification, at byte {offset}: {kind}")]
#[non_exhaustive]
pub struct NotificationError {
    /// What is wrong.
    pub kind: NotificationErrorKind,
    /// Place of the byte in question, from the start of the bytes given to [`DecodedNotification::parse`], or of the
    /// stream.
    ///
    /// | kind | byte |
    /// |---|---|
    /// | truncated | where the next byte would be |
    /// | unknown command | the command |
    /// | trailing bytes | the first behind the notification |
    /// | length of token or payload | commands 0 and 1: the length field; command 2: the item id |
    /// | other item errors | the item id |
    /// | missing item | the end of the frame |
    /// | trailing bytes in frame | the first that belongs to no item |
    /// | frame too long | the frame length |
    ///
    /// [`DecodedNotification::parse`]: super::DecodedNotification::parse
    pub offset: u64,
    /// The item of command 2 in question.
    pub item_id: Option<u8>,
    /// The identifier of the notification, if it had been read: what an error response can name.
    pub identifier: Option<u32>,
}

/// What is wrong with a notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotificationErrorKind {
    /// The input ends inside a notification.
    #[error("the input ends inside a notification that reaches to byte {needed_total} at least")]
    Truncated {
        /// The smallest length of the input that is now known to be needed.
        needed_total: u64,
    },
    /// The first byte is none of 0, 1, 2.
    #[error("unknown command {command}")]
    UnknownCommand {
        /// The first byte.
        command: u8,
    },
    /// Bytes behind a complete notification. A stream has none: there the next notification starts.
    #[error("bytes behind the notification")]
    TrailingBytes,
    /// One or two bytes left in a frame, where an item header needs three.
    #[error("bytes in the frame that are no item")]
    TrailingBytesInFrame,
    /// The declared frame length is above what the limits can add up to. Refused before the frame is there.
    #[error("a frame of {length} bytes, above the limit of {limit}")]
    FrameTooLong {
        /// The declared length.
        length: u32,
        /// [`Limits::frame_max`](crate::binary::Limits::frame_max) in force.
        limit: usize,
    },
    /// The declared length of an item passes the end of the frame.
    #[error("an item of {length} bytes, and {left} are left in the frame")]
    ItemLengthOverrun {
        /// The declared length.
        length: u16,
        /// Bytes between the item's header and the end of the frame.
        left: usize,
    },
    /// An item id other than 1 to 5.
    #[error("unknown item id")]
    UnknownItemId,
    /// An item id for the second time in one frame.
    #[error("the item occurs twice")]
    DuplicateItem,
    /// Item 1 or item 2 is absent.
    #[error("the frame ends without a required item")]
    MissingItem,
    /// An item of fixed size with another length.
    #[error("an item of {length} bytes that has {expected} always")]
    BadItemLength {
        /// The declared length.
        length: u16,
        /// What it must be.
        expected: u16,
    },
    /// A device token of no bytes.
    #[error("a device token of no bytes")]
    ZeroLengthToken,
    /// A device token above the limit.
    #[error("a device token of {length} bytes, above the limit of {limit}")]
    TokenTooLong {
        /// The declared length.
        length: u16,
        /// The limit in force.
        limit: u16,
    },
    /// A payload of no bytes.
    #[error("a payload of no bytes")]
    ZeroLengthPayload,
    /// A payload above the limit.
    #[error("a payload of {length} bytes, above the limit of {limit}")]
    PayloadTooLong {
        /// The declared length.
        length: u16,
        /// The limit in force.
        limit: u16,
    },
    /// A priority other than 5 and 10.
    #[error("priority {priority}, which is neither 5 nor 10")]
    BadPriority {
        /// The priority given.
        priority: u8,
    },
}

impl NotificationError {
    /// The status that Apple's gateway would most likely have reported; `None` where there is no ground for a guess.
    ///
    /// Inferred from the names of the statuses, not measured.
    #[must_use]
    pub const fn gateway_status_hint(&self) -> Option<Status> {
        match self.kind {
            NotificationErrorKind::ZeroLengthToken => Some(Status::MISSING_DEVICE_TOKEN),
            NotificationErrorKind::TokenTooLong { .. } => Some(Status::INVALID_TOKEN_SIZE),
            NotificationErrorKind::ZeroLengthPayload => Some(Status::MISSING_PAYLOAD),
            NotificationErrorKind::PayloadTooLong { .. } => Some(Status::INVALID_PAYLOAD_SIZE),
            NotificationErrorKind::MissingItem => match self.item_id {
                Some(item::PAYLOAD) => Some(Status::MISSING_PAYLOAD),
                _ => Some(Status::MISSING_DEVICE_TOKEN),
            },
            NotificationErrorKind::ItemLengthOverrun { .. }
            | NotificationErrorKind::TrailingBytesInFrame
            | NotificationErrorKind::UnknownItemId => Some(Status::PROTOCOL_ERROR),
            NotificationErrorKind::Truncated { .. }
            | NotificationErrorKind::UnknownCommand { .. }
            | NotificationErrorKind::TrailingBytes
            | NotificationErrorKind::FrameTooLong { .. }
            | NotificationErrorKind::DuplicateItem
            | NotificationErrorKind::BadItemLength { .. }
            | NotificationErrorKind::BadPriority { .. } => None,
        }
    }
}
