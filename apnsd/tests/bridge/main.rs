//! The bridge with real sockets: clients of the binary protocol on one side, a simulator on the other.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod client;
mod delivery;
mod door;
mod environments;
mod feedback;
mod resend;
mod stopping;
mod world;

#[path = "../daemon/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which need more of it")]
mod support;

#[path = "../daemon/http.rs"]
#[allow(dead_code, reason = "shared with the tests of the daemon, which need more of it")]
mod http;
