//! Apple's push notification protocols, without I/O: no socket, no clock, no task, no lock, no key.
//!
//! # Who it is for
//!
//! Use this crate alone when you write your own transport: a proxy, blocking sockets, io_uring, a simulation, a test.
//! [`guide`] explains step by step how. An application uses `apns-tokio`, `apns-smol` or `apns-async-std` according to its
//! runtime; each of them re-exports this crate as `proto`.
//!
//! # A first program
//!
//! A gateway of the binary protocol refuses the second of three notifications. The program moves the bytes itself:
//!
//! ```
//! use std::time::{Instant, SystemTime};
//!
//! use apns_proto::binary::{Client, Config};
//! use apns_proto::{Connection, ConnectionEvent, DeviceToken, Machine, Notification, Now, Payload, Submission};
//! use bytes::BytesMut;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let now = Now::new(Instant::now(), SystemTime::now().into());
//!     let mut client = Client::new(Config::default(), now);
//!     let payload = Payload::builder().title("Kitchen").body("Tea is ready").badge(1).build()?;
//!     for number in 1..=3_u8 {
//!         let token = DeviceToken::from_bytes([number; 32])?;
//!         let submission = Submission::new(number, Notification::new(token, payload.clone()));
//!         client.submit(now, submission).map_err(|refused| refused.cause)?;
//!     }
//!
//!     let mut out = BytesMut::new();
//!     client.poll_transmit(now, &mut out);
//!     assert_eq!(out[0], 2); // frames of command 2, for you to write to the gateway
//!
//!     // The gateway's error response: command 8, status 8 (invalid token), identifier 2.
//!     client.handle_input(now, &[8, 8, 0, 0, 0, 2]);
//!     let mut outcomes = Vec::new();
//!     while let Some(event) = client.poll_event() {
//!         match event {
//!             ConnectionEvent::Settled(settled) => outcomes.push((settled.key, settled.outcome.word())),
//!             // The gateway discarded what was written after it. A `Session` would send that again.
//!             ConnectionEvent::Closed(closed) => assert_eq!(closed.unsettled[0].submission.key, 3),
//!             _ => {}
//!         }
//!     }
//!     assert_eq!(outcomes, [(1, "accepted"), (2, "rejected")]);
//!     Ok(())
//! }
//! ```
//!
//! # What is where
//!
//! * [`Notification`], [`DeviceToken`], [`payload`] and related types: what is sent, the same for both protocols.
//! * [`Outcome`], [`Rejection`]: how a notification ended, and what to do about it. [`RetryPolicy`]: when to send it again.
//!   [`InvalidTokens`]: the device tokens to stop using.
//! * [`binary`]: the protocol of the binary gateway and its feedback service. `http2`: the HTTP/2 provider API (feature
//!   `http2`, on by default).
//! * [`machine`]: the contract of all state machines that have a connection. [`Connection`]: a machine that sends
//!   notifications.
//! * [`Session`]: opens one connection after another, until each notification has its outcome.
//! * [`proxy`]: connecting through an HTTP or SOCKS proxy.
//! * [`encoding`]: decoding of text files, with byte order marks and UTF-16 recognised.
//! * [`guide`]: how to write a transport.
//!
//! The feature `server` adds the state machines of the server side for the binary protocol: gateway and feedback service.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod enum_with_texts;

mod apns_id;
mod backoff;
pub mod binary;
mod connection;
mod credential_refusal;
mod device_token;
pub mod encoding;
mod environment;
mod escaped;
mod explanation;
pub mod guide;
mod hex;
#[cfg(feature = "http2")]
pub mod http2;
mod invalid_tokens;
pub mod machine;
mod message;
mod notification;
mod outcome;
pub mod payload;
pub mod proxy;
mod push_type;
mod rejection;
mod retry;
#[cfg(feature = "serde")]
mod serde_forms;
mod session;
#[cfg(test)]
mod testing;
mod text;
mod time;
mod topic;

pub use apns_id::{ApnsId, ApnsIdError};
pub use backoff::Backoff;
pub use connection::{
    CloseReason, Closed, Connection, ConnectionEvent, Fate, PlanSummary, Refused, Settled, Submission, SubmitError,
    Unsettled, Warning,
};
pub use credential_refusal::CredentialRefusal;
pub use device_token::{DeviceToken, DeviceTokenError};
pub use environment::Environment;
pub use escaped::Escaped;
pub use explanation::Explanation;
pub use invalid_tokens::{InvalidToken, InvalidTokens};
pub use machine::{End, Machine, Transmit};
pub use message::Message;
pub use notification::{Expiration, Notification, Priority};
pub use outcome::{InvalidNotification, LossPolicy, NotSentCause, Outcome, Proof, RefusalPolicy, Retry, UnknownCause};
pub use payload::{Payload, PayloadBuilder, PayloadError, PayloadLimit};
pub use push_type::{OtherPushType, PushType, PushTypeError, UnknownPushType};
pub use rejection::{Reaction, Rejection, TokenVerdict};
pub use retry::{RetryDecision, RetryPolicy, RetryRoute};
pub use session::{
    DialFailure, DialStep, LinkId, LinkReport, Opener, Pause, Session, SessionConfig, SessionEvent, TlsCause,
};
pub use text::TextError;
pub use time::{NotSeconds, Now, WallTime};
pub use topic::{CollapseId, Topic};

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// Helpers that the other crates of the project share. Not a public API: it changes without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::hex::{HexError, from_hex, read_digits, to_hex};
    #[cfg(all(feature = "http2", feature = "server"))]
    pub use crate::http2::{ShownToken, asked};
    pub use crate::payload::{Members, compact_json};
    pub use crate::text::check as check_text;
    pub use crate::text_newtype;
}
