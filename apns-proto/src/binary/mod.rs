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
//!
//! On top of these stand the machines: [`Client`] for one connection to the gateway, [`FeedbackClient`] for one reading
//! of the feedback service, [`BinaryApi`] for a [`Session`](crate::Session) of connections, and behind the feature `server`
//! the other side.

mod api;
mod budget;
mod client;
mod codec;
mod config;
mod feedback_client;
mod plan;
mod quiet;
mod segments;
#[cfg(feature = "server")]
pub mod server;
mod window;

pub use api::BinaryApi;
pub use client::Client;
pub use codec::{
    DecodedNotification, EncodeError, ErrorResponse, ErrorResponseDecoder, ErrorResponseError, ErrorResponseErrorKind,
    FeedbackDecoder, FeedbackError, FeedbackErrorKind, FeedbackRecord, Format, Frame, ItemOrder, Limits,
    NotificationDecoder, NotificationError, NotificationErrorKind, Status, StatusKind, encode, encode_probe,
};
pub use config::Config;
pub use feedback_client::{FeedbackClient, FeedbackEnd, FeedbackEvent};
