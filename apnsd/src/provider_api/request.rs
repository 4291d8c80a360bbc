//! A request of Apple's provider API, and the notification that it is.

use apns_proto::http2::Reason;
use apns_proto::internal::asked::{Fields, PushFields, is_object};
use apns_proto::{CollapseId, DeviceToken, Expiration, Notification, Payload, PushType, Topic};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};

use super::answer::Refusal;
use super::routing::Found;
use crate::Tag;
use crate::config::Limits;
use crate::http::body::next_part;

/// A request with as much of its body as is there.
pub(super) struct Asked<'a> {
    pub(super) parts: &'a Parts,
    pub(super) body: &'a [u8],
}

impl Fields for Asked<'_> {
    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.parts.headers.get(name).map(HeaderValue::as_bytes)
    }

    fn count(&self, name: &str) -> usize {
        self.parts.headers.get_all(name).iter().count()
    }

    fn body(&self) -> &[u8] {
        self.body
    }
}

/// The whole body.
pub(super) async fn read_body(mut body: Body, limits: &Limits) -> Result<Bytes, Response> {
    let mut bytes = BytesMut::new();
    while let Some(part) = next_part(&mut body, limits).await.map_err(|problem| problem.into_response())? {
        if bytes.len() + part.len() > limits.body {
            return Err(Refusal::of(Reason::PayloadTooLarge).into_response());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// The header with the caller's word for what it belongs to.
const TAG: &str = "apnsd-tag";

/// Reads the tag, where there is one.
pub(super) fn tag(headers: &HeaderMap) -> Result<Option<Tag>, Refusal> {
    let Some(value) = headers.get(TAG) else { return Ok(None) };
    let bad = |error: &dyn std::fmt::Display| Refusal::new(400, "BadTag").detail(error);
    let text = str::from_utf8(value.as_bytes()).map_err(|error| bad(&error))?;
    Tag::new(text).map(Some).map_err(|error| bad(&error))
}

/// Reads a push. What only Apple can judge is left to Apple.
pub(super) fn notification(found: &Found, asked: &Asked<'_>, token: &str) -> Result<Notification, Refusal> {
    let topic_type = found.topic.as_deref().filter(|_| !found.is_bundle_id).and_then(PushType::of_topic);
    let fields = PushFields::read(asked, topic_type.as_ref()).map_err(Refusal::of)?;
    if !is_object(asked) {
        return Err(Refusal::of(Reason::PayloadEmpty).detail("the body is not a JSON object"));
    }
    let about = |reason: Reason, error: &dyn std::fmt::Display| Refusal::of(reason).detail(error);
    let payload = Payload::from_json_compact(asked.body).map_err(|error| about(Reason::PayloadEmpty, &error))?;
    let token = token.parse::<DeviceToken>().map_err(|error| about(Reason::BadDeviceToken, &error))?;
    let mut notification = Notification::new(token, payload);
    if let Some(topic) = &found.topic {
        let topic = Topic::new(&**topic).map_err(|error| about(Reason::BadTopic, &error))?;
        notification = notification.with_topic(topic);
    }
    if let Some(push_type) = fields.push_type {
        notification = notification.with_push_type(push_type);
    }
    if let Some(priority) = fields.priority {
        notification = notification.with_priority(priority);
    }
    if let Some(seconds) = fields.expiration {
        let expiration = Expiration::from_unix(seconds).map_err(|error| about(Reason::BadExpirationDate, &error))?;
        notification = notification.with_expiration(expiration);
    }
    if let Some(id) = fields.collapse_id {
        let text = str::from_utf8(id).map_err(|error| about(Reason::BadCollapseId, &error))?;
        let id = CollapseId::new(text).map_err(|error| about(Reason::BadCollapseId, &error))?;
        notification = notification.with_collapse_id(id);
    }
    if let Some(id) = fields.apns_id {
        notification = notification.with_apns_id(id);
    }
    Ok(notification)
}
