//! `apns serve` and `apns bridge` from outside.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod bridge;
mod ctl;
mod running;
mod serve;
