//! The binary gateway and feedback protocol, which the classic provider clients speak.
//!
//! Apple switched its own gateway off on 31 March 2021; private gateways, test rigs and old software still speak it.
//! Everything on the wire is unsigned and big endian. Three message formats travel to the gateway
//! ([`Format`]), one comes back ([`ErrorResponse`]), and the feedback service sends records of its own
//! ([`FeedbackRecord`]).
//!
//! | what | write | read one | read a stream |
//! |---|---|---|---|
//! | notification | [`encode`], [`encode_probe`] | [`DecodedNotification::parse`] | [`NotificationDecoder`] |
//! | error response | [`ErrorResponse::emit`] | [`ErrorResponse::parse`] | [`ErrorResponseDecoder`] |
//! | feedback record | [`FeedbackRecord::emit`] | | [`FeedbackDecoder`] |

mod wire;

pub use wire::{
    DecodedNotification, EncodeError, ErrorResponse, ErrorResponseDecoder, ErrorResponseError, ErrorResponseErrorKind,
    FeedbackDecoder, FeedbackError, FeedbackErrorKind, FeedbackRecord, Format, Frame, ItemOrder, Limits,
    NotificationDecoder, NotificationError, NotificationErrorKind, Status, StatusKind, encode, encode_probe,
};
