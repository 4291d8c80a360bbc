//! Apple's push notification protocols, without I/O.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod binary;
mod device_token;
pub mod machine;
pub mod payload;
mod push_type;
mod time;

pub use device_token::{DeviceToken, DeviceTokenError};
pub use machine::{End, Machine, Transmit};
pub use payload::{Payload, PayloadBuilder, PayloadError, PayloadLimit};
pub use push_type::{OtherPushType, PushType, PushTypeError};
pub use time::{Now, WallTime};
