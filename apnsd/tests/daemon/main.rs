//! The daemon with real sockets, against a pretend Apple.

mod api;
mod delivery;
mod http;
mod support;
