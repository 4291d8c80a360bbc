//! A notification as bytes, for any store.

use std::borrow::Cow;

use apns_proto::{
    ApnsId, CollapseId, DeviceToken, Expiration, Notification, Payload, Priority, PushType, Topic, WallTime,
};
use serde::{Deserialize, Serialize};

/// A stored notification that cannot be read: it was written by a later version, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stored notification cannot be read: its {part} is wrong")]
pub struct CodecError {
    part: &'static str,
}

/// The version of the form.
const VERSION: u8 = 1;

/// What is not the payload, in one line of JSON in front of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    v: u8,
    token: String,
    /// Milliseconds since 1970; 0 for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apns_id: Option<String>,
}

/// Writes a notification. A span as its expiration is not kept: resolve it first.
#[must_use]
pub fn encode(notification: &Notification) -> Vec<u8> {
    let head = Head {
        v: VERSION,
        token: notification.token().to_hex(),
        expiration: match notification.expiration() {
            Expiration::Immediately => Some(0),
            // 0 has a meaning of its own.
            Expiration::At(time) => Some(time.as_millis().max(1)),
            Expiration::Omitted | Expiration::After(_) => None,
        },
        priority: notification.priority().map(Priority::number),
        topic: notification.topic().map(|topic| topic.as_str().into()),
        push_type: notification.push_type().map(|push_type| push_type.as_str().into()),
        collapse_id: notification.collapse_id().map(|id| id.as_str().into()),
        apns_id: notification.apns_id().map(|id| id.to_string()),
    };
    let mut bytes = serde_json::to_vec(&head).expect("texts and numbers always have a JSON form");
    bytes.push(b'\n');
    bytes.extend_from_slice(notification.payload().as_bytes());
    bytes
}

/// What tells a notification from another one: its SHA-256 as a caller handed it in, before a span of its expiration is
/// counted from the moment.
#[must_use]
pub fn digest(notification: &Notification) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&encode(notification));
    if let Expiration::After(span) = notification.expiration() {
        context.update(&span.as_millis().to_be_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Reads a notification.
///
/// # Errors
///
/// [`CodecError`] names the part that is wrong.
pub fn decode(bytes: &[u8]) -> Result<Notification, CodecError> {
    let wrong = |part| CodecError { part };
    // JSON has no line end inside of a text, so the first one ends the head.
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(wrong("head"))?;
    let head: Head<'_> = serde_json::from_slice(&bytes[..end]).map_err(|_| wrong("head"))?;
    if head.v != VERSION {
        return Err(wrong("version"));
    }
    let token = DeviceToken::from_hex(&head.token).map_err(|_| wrong("device token"))?;
    let payload = Payload::from_json(bytes[end + 1..].to_vec()).map_err(|_| wrong("payload"))?;
    let mut notification = Notification::new(token, payload);
    match head.expiration {
        None => {}
        Some(0) => notification = notification.with_expiration(Expiration::Immediately),
        Some(time) => notification = notification.with_expiration(Expiration::At(WallTime::from_millis(time))),
    }
    if let Some(number) = head.priority {
        notification = notification.with_priority(Priority::from_number(number).ok_or(wrong("priority"))?);
    }
    if let Some(text) = head.topic {
        notification = notification.with_topic(Topic::new(&*text).map_err(|_| wrong("topic"))?);
    }
    if let Some(text) = head.push_type {
        notification = notification.with_push_type(text.parse::<PushType>().map_err(|_| wrong("push type"))?);
    }
    if let Some(text) = head.collapse_id {
        notification = notification.with_collapse_id(CollapseId::new(&*text).map_err(|_| wrong("collapse id"))?);
    }
    if let Some(text) = head.apns_id {
        notification = notification.with_apns_id(text.parse::<ApnsId>().map_err(|_| wrong("apns id"))?);
    }
    Ok(notification)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            token in prop::collection::vec(any::<u8>(), 1..=100),
            body: String,
            expiration in prop::option::of(0..u64::MAX / 2),
            priority in prop::option::of(prop::sample::select(vec![1_u8, 5, 10])),
            topic in prop::option::of("[!-~]{1,60}"),
            push_type in prop::option::of("[a-z]{1,12}"),
            collapse_id in prop::option::of("[ -~é\"\\\\]{0,20}x"),
            apns_id in prop::option::of(any::<[u8; 16]>()),
        ) {
            let mut notification = Notification::new(DeviceToken::from_bytes(token).unwrap(), Payload::alert(body));
            if let Some(time) = expiration {
                let expiration =
                    if time == 0 { Expiration::Immediately } else { Expiration::At(WallTime::from_millis(time)) };
                notification = notification.with_expiration(expiration);
            }
            if let Some(number) = priority {
                notification = notification.with_priority(Priority::from_number(number).unwrap());
            }
            if let Some(text) = topic {
                notification = notification.with_topic(Topic::new(text).unwrap());
            }
            if let Some(text) = push_type {
                notification = notification.with_push_type(text.parse().unwrap());
            }
            if let Some(Ok(id)) = collapse_id.map(CollapseId::new) {
                notification = notification.with_collapse_id(id);
            }
            if let Some(bytes) = apns_id {
                notification = notification.with_apns_id(ApnsId::from_bytes(bytes));
            }
            prop_assert_eq!(decode(&encode(&notification)), Ok(notification));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(decode(b"{}"), Err(CodecError { part: "head" }));
        assert_eq!(decode(b"{\"v\":9,\"token\":\"00\"}\n{}"), Err(CodecError { part: "version" }));
        assert_eq!(decode(b"{\"v\":1,\"token\":\"x\"}\n{}"), Err(CodecError { part: "device token" }));
        assert_eq!(decode(b"{\"v\":1,\"token\":\"00\"}\n{"), Err(CodecError { part: "payload" }));
    }
}
