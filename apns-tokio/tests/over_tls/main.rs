//! The transport over real sockets and TLS, against the simulator.

mod binary;
mod channels;
mod common;
mod expiry;
mod feedback;
mod provider;
mod reaching;
