//! The transport over real sockets and TLS, against the simulator.

mod binary;
mod common;
mod feedback;
mod pool;
mod provider;
mod reaching;
mod stats;
