//! The other side of the provider API, for simulators and bridges.

mod machine;
mod request;
mod verdict;

pub use machine::{ProviderEnd, ProviderEvent, ProviderServer, ServerConfig};
pub use request::ProviderRequest;
pub use verdict::{Answer, Judge, Step, Verdict};
