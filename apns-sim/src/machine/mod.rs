//! The provider API's side of one connection, without I/O.
//!
//! [`ProviderServer`] is the machine under the simulator: bytes in, bytes out, and a [`Judge`] that decides what becomes of
//! each request. Use it for tests in memory, with pretend time; use [`Simulator`](crate::Simulator) for tests over sockets.

mod request;
mod server;
mod verdict;

pub use request::ProviderRequest;
pub use server::{ProviderEnd, ProviderEvent, ProviderServer, ServerConfig};
pub use verdict::{Answer, Judge, Step, Verdict};
