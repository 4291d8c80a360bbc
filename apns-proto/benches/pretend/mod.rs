//! Pretend time, and notifications of a chosen size.

use std::time::Instant;

use apns_proto::{DeviceToken, Notification, Now, Payload, Submission, WallTime};

/// How many notifications make one round.
pub(crate) const ROUND: usize = 128;

/// A time to begin with.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way; only differences matter")]
pub(crate) fn start() -> Now {
    Now::new(Instant::now(), WallTime::from_secs(1_700_000_000))
}

/// A payload of exactly so many bytes, at least 20.
pub(crate) fn payload(size: usize) -> Payload {
    let json = format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(size - 20));
    assert_eq!(json.len(), size);
    Payload::from_json(json).expect("it is a payload")
}

/// A device token that no other number has.
pub(crate) fn token(number: u32) -> DeviceToken {
    let mut bytes = [0xab; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    DeviceToken::from_bytes(bytes).expect("32 bytes are a token")
}

/// A round of notifications to devices of their own, with one payload.
pub(crate) fn round(payload: &Payload) -> Vec<Submission<u32>> {
    (0..ROUND as u32).map(|n| Submission::new(n, Notification::new(token(n), payload.clone()))).collect()
}
