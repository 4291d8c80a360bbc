//! The behaviours.

#![allow(missing_docs, reason = "the name of a behaviour says what it shows")]

mod common;
mod watched;

pub(crate) mod binary;
pub(crate) mod channels;
pub(crate) mod expiry;
pub(crate) mod feedback;
pub(crate) mod provider;
pub(crate) mod reaching;
pub(crate) mod trust;
