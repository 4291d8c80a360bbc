//! What travels to the gateway: a notification in one of three formats, told apart by the first byte.

mod decode;
mod encode;
mod error;

pub use decode::{DecodedNotification, ItemOrder, NotificationDecoder};
pub(in crate::binary) use encode::PROBE_LEN;
pub use encode::{Frame, encode, encode_probe};
pub use error::{NotificationError, NotificationErrorKind};

/// The format of a notification. Formats may be mixed on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Command 0, "simple": token and payload, nothing to tell it by (*Legacy Notification Format*).
    ///
    /// A gateway that does not like it closes without a word. It is stored and delivered however late.
    Simple,
    /// Command 1, "enhanced": with identifier and expiration (*Legacy Notification Format*).
    Enhanced,
    /// Command 2, a frame of items: with identifier, expiration and priority, each optional (*Binary Provider API*).
    #[default]
    Items,
}

impl Format {
    /// The format that starts with this byte, if any.
    #[must_use]
    pub const fn from_command(command: u8) -> Option<Self> {
        match command {
            0 => Some(Self::Simple),
            1 => Some(Self::Enhanced),
            2 => Some(Self::Items),
            _ => None,
        }
    }

    /// The first byte on the wire.
    #[must_use]
    pub const fn command(self) -> u8 {
        match self {
            Self::Simple => 0,
            Self::Enhanced => 1,
            Self::Items => 2,
        }
    }
}

/// Ids of the items in a frame of command 2 (*Binary Provider API*, table "Frame data").
mod item {
    pub(super) const TOKEN: u8 = 1;
    pub(super) const PAYLOAD: u8 = 2;
    pub(super) const IDENTIFIER: u8 = 3;
    pub(super) const EXPIRATION: u8 = 4;
    pub(super) const PRIORITY: u8 = 5;

    /// Id and length in front of the data of each item.
    pub(super) const HEADER_LEN: usize = 3;
}
