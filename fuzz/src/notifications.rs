//! Notifications that can be told apart by their tokens.

use std::sync::OnceLock;
use std::time::Duration;

use apns_proto::{DeviceToken, Expiration, Notification, Payload, Priority, Topic, WallTime};

use crate::clock::WALL;
use crate::feed::Feed;

/// A notification that says its number in its token.
pub fn notification(number: u32) -> Notification {
    static PAYLOAD: OnceLock<Payload> = OnceLock::new();
    let mut token = [0xab; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    let token = DeviceToken::from_bytes(token).expect("32 bytes are a device token");
    Notification::new(token, PAYLOAD.get_or_init(|| Payload::alert("x")).clone())
}

/// The same with choices of expiration, priority, topic and payload.
pub fn any_notification(feed: &mut Feed<'_>, number: u32) -> Notification {
    let mut made = notification(number);
    let kind = feed.byte();
    if kind & 1 == 1 {
        made = made.with_expiration(match feed.byte() % 5 {
            0 => Expiration::Immediately,
            1 => Expiration::After(Duration::from_millis(u64::from(feed.byte()) * 100)),
            2 => Expiration::After(Duration::MAX),
            3 => Expiration::At(WallTime::from_secs(WALL + u64::from(feed.byte()))),
            _ => Expiration::At(WallTime::from_secs(0)),
        });
    }
    if kind & 2 == 2 {
        made = made.with_priority(feed.of(&[Priority::Immediate, Priority::PowerSaving, Priority::NeverWake]));
    }
    if kind & 4 == 4 {
        made = made.with_topic(Topic::new("com.example.app").expect("this is a topic"));
    }
    if kind & 8 == 8 {
        let length = feed.of(&[0_usize, 100, 2030, 2040, 5000, 70_000]);
        made = Notification::new(made.token().clone(), Payload::alert("y".repeat(length)));
    }
    made
}
