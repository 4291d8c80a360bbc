//! Send Apple push notifications on async-std or smol, with the TLS of the operating system.

mod runtime;
mod tls;

pub use apns_proto as proto;
pub use runtime::AsyncStd;

apns_driver::names!(AsyncStd);
