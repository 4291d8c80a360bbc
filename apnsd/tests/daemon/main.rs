//! The daemon with real sockets, against a pretend Apple.

#![cfg(test)]

mod api;
mod callers;
mod delivery;
mod http;
mod support;
mod watching;
