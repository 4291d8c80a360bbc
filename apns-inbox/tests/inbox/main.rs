//! The inbox as its users meet it: pushes over TLS to the simulator, then the page and the API over HTTP.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod api;
mod bad_days;
mod devices;
mod document;
mod guard;
mod live;
mod support;
