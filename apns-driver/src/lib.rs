//! The asynchronous client without a particular runtime: the client handle, the bounded queue, the connection loop and
//! bulk sending.
//!
//! # Who it is for
//!
//! Applications depend on a transport (`apns-tokio`, `apns-smol`, `apns-async-std`) and do not use this crate directly. Use
//! it to support another runtime or TLS library: implement [`Clock`] and [`Runtime`], and call [`define_client!`].
//! `apns-smol` is the shortest example, with about 100 lines; the code that all clients on rustls share is in [`tls`], behind
//! the feature `rustls-client`. `apns-async-std` uses another TLS library, and most of it interprets the errors of that
//! library. A transport without a runtime needs only `apns-proto` (see its `guide`), and [`apns_credentials`] for
//! certificates and keys.
//!
//! # A first program
//!
//! [`drive`] runs any state machine over any stream of `futures-io`. Here the stream is a cursor that holds the whole output
//! of a feedback service, and the clock is that of the standard library:
//!
//! ```
//! use std::future::{Future, ready};
//! use std::time::{Instant, SystemTime};
//!
//! use apns_driver::{Clock, drive};
//! use apns_proto::Now;
//! use apns_proto::binary::{FeedbackClient, FeedbackEvent};
//! use futures_util::io::Cursor;
//!
//! #[derive(Clone)]
//! struct StdClock;
//!
//! impl Clock for StdClock {
//!     fn now(&self) -> Now {
//!         Now::new(Instant::now(), SystemTime::now().into())
//!     }
//!
//!     // Sufficient for a stream that is always ready.
//!     fn sleep_until(&self, _deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
//!         ready(())
//!     }
//! }
//!
//! // One record: the time, the length of the token, the token.
//! let stream = Cursor::new(vec![0, 0, 0, 1, 0, 2, 0xaa, 0xbb]);
//! let mut machine = FeedbackClient::new(StdClock.now());
//! let mut gone = Vec::new();
//! let driving = drive(StdClock, stream, &mut machine, |_, event| {
//!     if let FeedbackEvent::Record(record) = event {
//!         gone.push(record.token.to_vec());
//!     }
//! });
//! futures_util::FutureExt::now_or_never(driving).expect("this stream never waits");
//! assert_eq!(gone, [[0xaa, 0xbb]]);
//! ```
//!
//! # What is where
//!
//! * [`Runtime`], [`Clock`], [`Wire`], [`Secured`], [`Alpn`], [`tls`]: what a transport implements, and what it receives.
//! * [`Client`] with its builders, [`Pending`], [`Delivery`], [`SendAll`], [`Events`]: the API for applications.
//! * [`feedback`]: reading the feedback service.
//! * [`files`]: creating private files, and opening files that a user names.
//! * [`drive`]: the connection loop for one state machine on one stream, for servers and tests.

mod alarm;
mod binary_builder;
mod builder;
mod bulk;
#[cfg(feature = "http2")]
pub mod channels;
mod client;
mod define_client;
mod dial;
mod drive;
mod endpoint;
mod events;
pub mod feedback;
pub mod files;
#[cfg(feature = "http2")]
mod http2_builder;
mod leaving;
mod probe;
mod proxied;
mod pump;
mod queue;
mod reply;
mod runtime;
mod session_task;
pub mod stats;
pub mod tls;
mod trace;
mod wire;

pub use apns_credentials::{self, Identity, IdentityError, Validity};
pub use apns_proto::proxy::Proxy;
pub use apns_proto::{self, Environment};
pub use binary_builder::BinaryBuilder;
pub use builder::BuildError;
pub use bulk::SendAll;
#[cfg(feature = "http2")]
pub use channels::ChannelFailure;
pub use client::{Client, CloseReport, Leftover, TrySendError};
pub use drive::drive;
pub use endpoint::Endpoint;
pub use events::{ClientEvent, Events};
pub use feedback::FeedbackFailure;
#[cfg(feature = "http2")]
pub use http2_builder::{Credentials, Http2Builder};
pub use probe::Probe;
pub use reply::{Delivery, Pending};
pub use runtime::{Alpn, Clock, Runtime, Secured};
pub use stats::{Families, Stats};
pub use tls::{Roots, RootsError};
pub use wire::Wire;
