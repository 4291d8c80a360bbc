//! The checks of a push to a device, in their order.

use std::sync::Arc;

use apns_proto::internal::asked::{self, PushFields};
use apns_proto::{PushType, WallTime};

use super::asked::Asked;
use super::deviation::Remarks;
use super::tokens::Signer;
use crate::script::{Http2Answer, Http2Play, Http2Script, Play};

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
    asked::check_head(asked.request, asked.target)?;
    let client = client.as_ref().map_err(Clone::clone)?;
    let script = play.script();
    let topic = check_topic(asked, client, &script.http2)?;
    let topic_type = topic_type(topic, client, &script.http2.topics);
    check_known(asked)?;
    PushFields::read(asked.request, topic_type.as_ref())?;
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

/// The topic that the push is for.
fn check_topic<'a>(asked: &Asked<'a>, client: &'a Client, script: &Http2Script) -> Result<&'a str, Http2Answer> {
    let topic = match (asked::named_topic(asked.request)?, client) {
        (Some(topic), _) => topic,
        // The certificate's own, if there is only one.
        (None, Client::Certificate(topics)) if topics.len() == 1 => &topics[0],
        (None, Client::Certificate(_) | Client::Token(_)) => return Err(bad("MissingTopic")),
    };
    asked::check_topic(topic)?;
    let covered = match client {
        Client::Certificate(topics) => topics.iter().any(|one| one == topic),
        Client::Token(signer) => script.allows(&signer.key_id, |one| asked::is_topic_of(one, topic)),
    };
    if covered { Ok(topic) } else { Err(bad("TopicDisallowed")) }
}

/// The push type that a topic is for by its suffix or beginning; none for a bundle id, whatever it ends in.
fn topic_type(topic: &str, client: &Client, allowed: &[String]) -> Option<PushType> {
    match client {
        Client::Token(_) if allowed.iter().any(|bundle_id| bundle_id == topic) => None,
        Client::Token(_) | Client::Certificate(_) => PushType::of_topic(topic),
    }
}

/// The service knows its own push types and no others.
fn check_known(asked: &Asked<'_>) -> Result<(), Http2Answer> {
    let named = asked.header("apns-push-type").is_some();
    let known = asked.text("apns-push-type").is_some_and(|text| PushType::from_known(text).is_ok());
    if known || !named { Ok(()) } else { Err(bad("InvalidPushType")) }
}

/// The body is a JSON object. A byte order mark before it is let through: the record's notes name it.
pub(super) fn check_json(asked: &Asked<'_>, reason: &str, remarks: &mut Remarks) -> Result<(), Http2Answer> {
    if asked::is_object(asked.request) {
        return Ok(());
    }
    remarks.fault("the body is not a JSON object");
    Err(bad(reason))
}
