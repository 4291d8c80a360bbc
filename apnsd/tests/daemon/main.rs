//! The daemon with real sockets, against a simulator.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod api;
mod brake;
mod buttons;
mod callers;
mod delivery;
mod environments;
mod giving_up;
mod health;
mod http;
mod http2;
mod later;
mod many;
mod meaning;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod postgres;
mod provider_api;
mod provider_api_broadcasts;
mod provider_api_callers;
mod proxies;
mod pyapns;
mod pyapns_rest;
mod pyapns_rpc;
#[path = "../support/receiver.rs"]
mod receiver;
mod renewal;
mod search;
mod sharing;
mod store;
mod support;
mod validation;
mod watching;
mod webhooks;
