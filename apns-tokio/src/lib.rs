//! Send Apple push notifications on tokio and rustls.

mod runtime;
mod tls;

pub use apns_proto as proto;
pub use runtime::Tokio;

apns_driver::names!(Tokio);

/// Runs the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
