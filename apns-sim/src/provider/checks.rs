//! The checks of a push to a device, in their order.

use std::sync::Arc;

use apns_proto::{ApnsId, Priority, PushType, WallTime};
use serde::de::IgnoredAny;

use super::asked::Asked;
use super::deviation::Remarks;
use super::tokens::Signer;
use crate::script::{Http2Answer, Http2Play, Http2Script, Play};

/// The headers that may stand once only.
const SINGLE_HEADERS: &[&str] = &[
    "authorization",
    "apns-id",
    "apns-request-id",
    "apns-push-type",
    "apns-expiration",
    "apns-priority",
    "apns-topic",
    "apns-collapse-id",
    "apns-channel-id",
];

/// The most bytes of a collapse id.
const MAX_COLLAPSE_ID: usize = 64;

/// What a client proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Client {
    /// The holder of a certificate for these topics.
    Certificate(Arc<[String]>),
    /// The holder of a signing key.
    Token(Signer),
}

/// Judges a push to a device. The first check that fails decides:
///
/// 1. MethodNotAllowed: the method is POST;
/// 2. MissingDeviceToken, BadPath: the path;
/// 3. DuplicateHeaders;
/// 4. MissingProviderToken and what else can be wrong with the credential (see `ConnectionTokens::check`);
/// 5. MissingTopic, BadTopic, TopicDisallowed: `apns-topic`;
/// 6. InvalidPushType: `apns-push-type`, which may be left out, is a known type and the one of the topic's suffix;
/// 7. BadMessageId: `apns-id`, a UUID in either case;
/// 8. BadExpirationDate: `apns-expiration`;
/// 9. BadPriority: `apns-priority` is 10, 5 or 1, and not 10 for `background`;
/// 10. BadCollapseId: `apns-collapse-id` has at most 64 bytes;
/// 11. PayloadEmpty, PayloadTooLarge: the body, which is a JSON object;
/// 12. BadDeviceToken, DeviceTokenNotForTopic, Unregistered: the device token, by the script's lists.
pub(crate) fn check_push(
    asked: &Asked<'_>,
    client: &Result<Client, Http2Answer>,
    play: &Play,
    lists: &Http2Play,
    now: WallTime,
    remarks: &mut Remarks,
) -> Result<(), Http2Answer> {
    check_method(asked, "POST")?;
    if asked.target.is_empty() {
        return Err(bad("MissingDeviceToken"));
    }
    if asked.target.contains('/') {
        return Err(Http2Answer::new(404, "BadPath"));
    }
    check_duplicates(asked)?;
    let client = client.as_ref().map_err(Clone::clone)?;
    let script = play.script();
    let topic = check_topic(asked, client, &script.http2)?;
    let topic_type = topic_type(topic, client, &script.http2.topics);
    let push_type = check_push_type(asked, topic_type.as_ref())?;
    check_id(asked, "apns-id")?;
    if asked.header("apns-expiration").is_some() && asked.number("apns-expiration").is_none() {
        return Err(bad("BadExpirationDate"));
    }
    let priority = check_priority(asked)?;
    let forced = push_type.as_ref().and_then(PushType::forced_priority);
    if forced.is_some() && priority == Some(Priority::Immediate.number()) {
        return Err(bad("BadPriority"));
    }
    if asked.header("apns-collapse-id").is_some_and(|id| id.len() > MAX_COLLAPSE_ID) {
        return Err(bad("BadCollapseId"));
    }
    let limit = push_type.or(topic_type).unwrap_or(PushType::Alert).payload_limit();
    check_body(asked, limit.bytes())?;
    // Apple's table has no reason of its own for a body that is no JSON.
    check_json(asked, "PayloadEmpty", remarks)?;
    let token = asked.token().filter(|token| !play.is_invalid(token)).ok_or_else(|| bad("BadDeviceToken"))?;
    let mut owners = script.http2.token_topics.iter().filter(|owner| owner.token.matches(&token)).peekable();
    if owners.peek().is_some() && !owners.any(|owner| owner.topic == topic) {
        return Err(bad("DeviceTokenNotForTopic"));
    }
    if let Some(gone) = lists.unregistered(script, &token) {
        let reason = gone.reason.as_deref().unwrap_or("Unregistered");
        let timestamp = gone.timestamp_ms.unwrap_or(now.as_millis());
        return Err(Http2Answer::new(410, reason).timestamp_ms(timestamp));
    }
    Ok(())
}

pub(super) fn bad(reason: &str) -> Http2Answer {
    Http2Answer::new(400, reason)
}

pub(super) fn check_method(asked: &Asked<'_>, method: &str) -> Result<(), Http2Answer> {
    if asked.request.method() == method { Ok(()) } else { Err(Http2Answer::new(405, "MethodNotAllowed")) }
}

pub(super) fn check_duplicates(asked: &Asked<'_>) -> Result<(), Http2Answer> {
    let repeated = SINGLE_HEADERS.iter().any(|name| asked.request.count(name) > 1);
    if repeated { Err(bad("DuplicateHeaders")) } else { Ok(()) }
}

/// The topic that the push is for.
fn check_topic<'a>(asked: &Asked<'a>, client: &'a Client, script: &Http2Script) -> Result<&'a str, Http2Answer> {
    let named = match asked.header("apns-topic") {
        Some(value) => Some(str::from_utf8(value).map_err(|_| bad("BadTopic"))?),
        None => None,
    };
    let topic = match (named, client) {
        (Some(topic), _) => topic,
        // The certificate's own, if there is only one.
        (None, Client::Certificate(topics)) if topics.len() == 1 => &topics[0],
        (None, Client::Certificate(_) | Client::Token(_)) => return Err(bad("MissingTopic")),
    };
    let proper = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if topic.is_empty() || !topic.bytes().all(proper) {
        return Err(bad("BadTopic"));
    }
    let covered = match client {
        Client::Certificate(topics) => topics.iter().any(|one| one == topic),
        Client::Token(signer) => script.allows(&signer.key_id, |one| covers(one, topic)),
    };
    if covered { Ok(topic) } else { Err(bad("TopicDisallowed")) }
}

/// A key that is good for an app is good for all its topics.
fn covers(bundle_id: &str, topic: &str) -> bool {
    topic.strip_prefix(bundle_id).is_some_and(|rest| PushType::known().any(|known| known.topic_suffix() == rest))
}

/// The push type that a topic is for by its suffix or beginning; none for a bundle id, whatever it ends in.
fn topic_type(topic: &str, client: &Client, allowed: &[String]) -> Option<PushType> {
    match client {
        Client::Token(_) if allowed.iter().any(|bundle_id| bundle_id == topic) => None,
        Client::Token(_) | Client::Certificate(_) => PushType::of_topic(topic),
    }
}

/// Seen from the service: InvalidPushType answers `alert` for a topic that ends in `.voip`, and `voip` for one that does
/// not.
fn check_push_type(asked: &Asked<'_>, topic_type: Option<&PushType>) -> Result<Option<PushType>, Http2Answer> {
    if asked.header("apns-push-type").is_none() {
        return Ok(None);
    }
    let invalid = || bad("InvalidPushType");
    let push_type =
        asked.text("apns-push-type").and_then(|text| PushType::from_known(text).ok()).ok_or_else(invalid)?;
    let suits = match topic_type {
        // Passes and websites have one topic for everything.
        Some(PushType::Alert) => push_type.topic_suffix().is_empty(),
        Some(only) => *only == push_type,
        None => push_type.topic_suffix().is_empty(),
    };
    if suits { Ok(Some(push_type)) } else { Err(invalid()) }
}

pub(super) fn check_id(asked: &Asked<'_>, name: &str) -> Result<(), Http2Answer> {
    match asked.header(name) {
        Some(_) if apns_id(asked, name).is_none() => Err(bad("BadMessageId")),
        Some(_) | None => Ok(()),
    }
}

/// The UUID in a header.
pub(super) fn apns_id(asked: &Asked<'_>, name: &str) -> Option<ApnsId> {
    asked.text(name)?.parse().ok()
}

pub(super) fn check_priority(asked: &Asked<'_>) -> Result<Option<u8>, Http2Answer> {
    match asked.header("apns-priority") {
        None => Ok(None),
        Some(b"10") => Ok(Some(10)),
        Some(b"5") => Ok(Some(5)),
        Some(b"1") => Ok(Some(1)),
        Some(_) => Err(bad("BadPriority")),
    }
}

pub(super) fn check_body(asked: &Asked<'_>, limit: usize) -> Result<(), Http2Answer> {
    match asked.request.body().len() {
        0 => Err(bad("PayloadEmpty")),
        length if length > limit => Err(Http2Answer::new(413, "PayloadTooLarge")),
        _ => Ok(()),
    }
}

/// The body is a JSON object. A byte order mark before it is let through: the record's notes name it.
pub(super) fn check_json(asked: &Asked<'_>, reason: &str, remarks: &mut Remarks) -> Result<(), Http2Answer> {
    let body = asked.request.body();
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    // What is skipped is not looked at for UTF-8.
    let text = str::from_utf8(body).ok().filter(|_| object);
    if text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) {
        return Ok(());
    }
    remarks.fault("the body is not a JSON object");
    Err(bad(reason))
}

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
