//! From the outbox to the service and back, one engine for each app.

mod announcer;
mod attempts;
mod client;
pub(crate) mod clocks;
mod engine;
mod feedback;
mod judge;
mod keys;
mod pace;
mod router;
mod standing;
mod waiters;

pub(crate) use announcer::Announcer;
pub(crate) use client::start_broadcasts;
pub(crate) use clocks::now;
pub(crate) use engine::{Engine, Order};
pub(crate) use keys::KeyRing;
pub(crate) use router::Router;
pub(crate) use standing::Standing;
pub use standing::{BridgeFigures, Credential, EnvironmentStanding, Health, ProbeFigures, Snapshot, Spans};
pub(crate) use waiters::{Answered, Listener, Waiters};
