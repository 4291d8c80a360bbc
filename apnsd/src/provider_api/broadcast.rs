//! Broadcasts to all devices that follow a channel: passed on to Apple, and answered in Apple's words.

use apns_proto::http2::{Broadcast, BundleId, ChannelId, Reason};
use apns_proto::internal::asked::{self, Fields as _};
use apns_proto::{ApnsId, Expiration, Outcome, Payload, PayloadLimit};
use axum::http::request::Parts;
use axum::response::Response;

use super::answer::{Refusal, broadcast_answer};
use super::request::Asked;
use crate::service::BroadcastError;

/// Checks what comes before the credential, and gives the bundle id as it stands in the path.
pub(super) fn check_head<'a>(parts: &Parts, bundle_id: &'a str) -> Result<&'a str, Refusal> {
    let asked = Asked { parts, body: &[] };
    if asked.method() != "POST" || bundle_id.is_empty() || bundle_id.contains('/') {
        return Err(Refusal::of(Reason::BadPath).detail("what is served here is POST /4/broadcasts/apps/BUNDLE-ID"));
    }
    asked::check_duplicates(&asked).map_err(Refusal::of)?;
    Ok(bundle_id)
}

/// Reads a broadcast. What only Apple can judge is left to Apple.
pub(super) fn read(asked: &Asked<'_>, bundle_id: &str) -> Result<Broadcast, Refusal> {
    let bad = |reason: &'static str| Refusal::new(400, reason);
    let bundle_id = BundleId::new(bundle_id).map_err(|error| Refusal::of(Reason::TopicDisallowed).detail(error))?;
    let request_id = asked::uuid(asked, "apns-request-id").map_err(Refusal::of)?;
    asked::uuid(asked, "apns-id").map_err(Refusal::of)?;
    let channel = asked.header("apns-channel-id").ok_or_else(|| bad("MissingChannelId"))?;
    let channel = str::from_utf8(channel).map_err(|error| bad("BadChannelId").detail(error))?;
    let channel = ChannelId::new(channel).map_err(|error| bad("BadChannelId").detail(error))?;
    let push_type = asked.header("apns-push-type").ok_or_else(|| bad("MissingPushType"))?;
    if !push_type.eq_ignore_ascii_case(b"liveactivity") {
        return Err(Refusal::of(Reason::InvalidPushType).detail("broadcasts are of the push type liveactivity"));
    }
    let seconds = asked.number("apns-expiration");
    let seconds = seconds.ok_or_else(|| Refusal::of(Reason::BadExpirationDate).detail("0, or seconds since 1970"))?;
    let expiration =
        Expiration::from_unix(seconds).map_err(|error| Refusal::of(Reason::BadExpirationDate).detail(error))?;
    let priority = asked::priority(asked).map_err(Refusal::of)?.ok_or_else(|| Refusal::of(Reason::BadPriority))?;
    asked::check_size(asked, PayloadLimit::BROADCAST.bytes()).map_err(Refusal::of)?;
    if !asked::is_object(asked) {
        return Err(bad("BadRequestPayload").detail("the body is not a JSON object"));
    }
    let payload = Payload::from_json_compact(asked.body).map_err(|error| bad("BadRequestPayload").detail(error))?;
    let broadcast = Broadcast::new(bundle_id, channel, payload).with_expiration(expiration).with_priority(priority);
    Ok(match request_id {
        Some(id) => broadcast.with_request_id(id),
        None => broadcast,
    })
}

/// What Apple said, or why there is no word of Apple's.
pub(super) fn answered(said: Result<(Outcome, Option<ApnsId>), BroadcastError>) -> Result<Response, Refusal> {
    match said {
        Ok((outcome, request_id)) => broadcast_answer(&outcome, request_id),
        Err(error) => Err(Refusal::from(error)),
    }
}
