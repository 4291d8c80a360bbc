//! The asynchronous half that needs no particular runtime: the client handle, the bounded queue, the connection loop,
//! bulk sending, and the reader of client certificates.
//!
//! Applications depend on a transport (`apns-tokio`) and never meet this crate. It is for whoever brings a further
//! runtime: implement [`Runtime`], and [`Client`] works on it.

mod alarm;
mod binary_builder;
mod builder;
mod bulk;
mod client;
mod dial;
mod drive;
mod endpoint;
mod events;
pub mod feedback;
#[cfg(feature = "http2")]
mod http2_builder;
pub mod identity;
mod names;
mod pump;
mod queue;
mod reply;
mod runtime;
mod session_task;
pub mod stats;
pub mod tls;
mod trace;

pub use binary_builder::BinaryBuilder;
pub use builder::BuildError;
pub use bulk::SendAll;
pub use client::{Client, CloseReport, Leftover, TrySendError};
pub use drive::drive;
pub use endpoint::{Endpoint, Environment};
pub use events::{ClientEvent, Events};
pub use feedback::FeedbackFailure;
#[cfg(feature = "http2")]
pub use http2_builder::{Credentials, Http2Builder};
pub use identity::{Identity, IdentityError, Validity};
pub use reply::{Delivery, Pending};
pub use runtime::{Alpn, Clock, Runtime, Secured};
pub use stats::Stats;
pub use tls::{Roots, RootsError};
