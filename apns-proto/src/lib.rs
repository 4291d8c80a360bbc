//! Apple's push notification protocols, without I/O.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod device_token;
pub mod machine;
mod time;

pub use device_token::{DeviceToken, DeviceTokenError};
pub use machine::{End, Machine, Transmit};
pub use time::{Now, WallTime};
