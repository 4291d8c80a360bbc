//! The behaviours.

#![allow(missing_docs, reason = "the name of a behaviour says what it shows")]

pub mod common;
mod proxy;
mod proxy_server;
mod watched;

pub(crate) mod bad_network;
pub(crate) mod binary;
pub(crate) mod channels;
pub(crate) mod deadlines;
pub(crate) mod expiry;
pub(crate) mod feedback;
pub(crate) mod leaving;
pub(crate) mod pool;
pub(crate) mod provider;
pub(crate) mod proxies;
pub(crate) mod reaching;
pub(crate) mod stats;
pub(crate) mod trust;
