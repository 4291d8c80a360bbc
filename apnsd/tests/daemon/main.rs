//! The daemon with real sockets, against a pretend Apple.

mod delivery;
mod support;
