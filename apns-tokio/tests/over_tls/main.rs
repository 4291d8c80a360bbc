//! The transport over real sockets and TLS, against the simulator.

mod bad_network;
mod binary;
mod common;
mod feedback;
mod provider;
mod proxy;
mod reaching;
