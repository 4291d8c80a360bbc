//! What tests of several modules need.

use std::time::{Duration, Instant};

use crate::{DeviceToken, Notification, Now, Payload, WallTime};

/// Where pretend time begins.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way; only differences matter")]
pub(crate) fn start() -> Now {
    Now::new(Instant::now(), WallTime::from_secs(1_700_000_000))
}

/// So much later, by both clocks.
pub(crate) fn after(now: Now, span: Duration) -> Now {
    Now::new(now.instant + span, now.wall.saturating_add(span))
}

pub(crate) fn notification(number: u32) -> Notification {
    let mut token = [0xab; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    let token = DeviceToken::from_bytes(token).expect("32 bytes are a device token");
    Notification::new(token, Payload::from_json("{\"aps\":{}}").expect("this is a JSON object"))
}
