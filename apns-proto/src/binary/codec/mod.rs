//! The bytes of the protocol: one file for each message, and what they share.

mod cursor;
mod encode_error;
mod error_response;
mod feedback;
mod limits;
mod notification;
mod reassembly;
mod status;

pub use encode_error::EncodeError;
pub use error_response::{ErrorResponse, ErrorResponseDecoder, ErrorResponseError, ErrorResponseErrorKind};
pub use feedback::{FeedbackDecoder, FeedbackError, FeedbackErrorKind, FeedbackRecord};
pub use limits::Limits;
pub(in crate::binary) use notification::PROBE_LEN;
pub use notification::{
    DecodedNotification, Format, Frame, ItemOrder, NotificationDecoder, NotificationError, NotificationErrorKind,
    encode, encode_probe,
};
pub use status::{Status, StatusKind};
