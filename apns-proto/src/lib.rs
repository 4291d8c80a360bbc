//! Apple's push notification protocols, without I/O.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod binary;
pub mod machine;
mod time;

pub use machine::{End, Machine, Transmit};
pub use time::{Now, WallTime};
