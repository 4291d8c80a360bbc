//! Times beyond 2^32 seconds are milliseconds, and are refused saying so, wherever a time comes in.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::time::Duration;

use apns_proto::binary::Limits;
use apns_proto::http2::{Authentication, Broadcast, BundleId, ChannelId, ProviderToken, Requests};
use apns_proto::payload::LiveActivity;
use apns_proto::{DeviceToken, Expiration, InvalidNotification, NotSeconds, Notification, Now, Payload, WallTime};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MILLISECONDS: u64 = 1_700_000_000_000;
const NOW: WallTime = WallTime::from_secs(1_700_000_000);

#[test]
fn n11_an_expiration_in_milliseconds_is_refused_by_both_protocols_and_for_broadcasts() {
    let wrong = NotSeconds { value: MILLISECONDS };
    assert!(wrong.to_string().contains("milliseconds"), "{wrong}");
    assert_eq!(Expiration::from_unix(MILLISECONDS), Err(wrong));
    let expiration = Expiration::At(WallTime::from_secs(MILLISECONDS));
    let token = DeviceToken::from_bytes([1]).unwrap();
    let notification = Notification::new(token, Payload::alert("x")).with_expiration(expiration);
    let refused = InvalidNotification::Expiration(wrong);
    assert_eq!(Limits::default().check(&notification), Err(refused.clone()));
    let mut requests = Requests::new("localhost", Authentication::Certificate);
    assert_eq!(requests.check(&notification), Err(refused.clone()));
    assert_eq!(requests.device(&notification, None, NOW), Err(refused.clone()));
    let broadcast =
        Broadcast::new(BundleId::new("com.x").unwrap(), ChannelId::new("AAAA").unwrap(), Payload::alert("x"));
    assert_eq!(requests.broadcast(&broadcast.with_expiration(expiration), None, NOW), Err(refused));
}

#[test]
fn the_last_second_that_can_be_said_is_taken_and_a_span_beyond_it_ends_there() {
    let last = WallTime::from_secs(u32::MAX.into());
    assert_eq!(Expiration::from_unix(u32::MAX.into()), Ok(Expiration::At(last)));
    assert!(Expiration::from_unix(1 << 32).is_err());
    assert_eq!(Expiration::After(Duration::MAX).resolve(NOW), Expiration::At(last));
}

#[test]
fn the_times_of_a_live_activity_and_of_a_provider_token_are_seconds() {
    let wrong = WallTime::from_secs(MILLISECONDS);
    let update = || LiveActivity::update(NOW, serde_json::json!({}));
    assert!(update().stale_date(NOW).build().is_ok());
    let error = update().stale_date(wrong).build().unwrap_err().to_string();
    assert!(error.contains("stale-date") && error.contains("milliseconds"), "{error}");
    assert!(LiveActivity::update(wrong, serde_json::json!({})).build().is_err());
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"TEAMID0000","iat":{MILLISECONDS}}}"#));
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    let now = Now::new(std::time::Instant::now(), NOW);
    let error = ProviderToken::from_jwt(&format!("e30.{claims}.c2ln"), now).unwrap_err().to_string();
    assert!(error.contains("iat") && error.contains("milliseconds"), "{error}");
}
