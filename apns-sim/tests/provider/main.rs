//! The HTTP/2 provider API, with the `h2` crate as client: neither side shares its HTTP/2 with the other's rules.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod channels;
mod checks;
mod client;
mod folder;
mod raw;
mod script;
mod sessions;
mod spoken;
mod tokens;
