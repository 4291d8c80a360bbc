//! A push as programs read it: one shape for both protocols, in answers and in exports.

use apns_proto::internal::to_hex;
use apns_sim::{AuthenticatedBy, RequestKind};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::phone::answer_words;
use crate::push::{Answer, Push, Source};
use crate::rules::Finding;

/// A push. Times are in milliseconds since 1970, `expiration` in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct PushLine<'a> {
    seq: u64,
    at: u64,
    protocol: &'static str,
    kind: &'static str,
    device: Option<String>,
    app: &'a str,
    topic: &'a str,
    /// As it was sent.
    push_type: Option<&'a str>,
    /// What it is taken for.
    r#type: String,
    priority: Option<u8>,
    expiration: Option<u64>,
    collapse_id: Option<&'a str>,
    channel_id: Option<&'a str>,
    apns_id: Option<&'a str>,
    unique_id: Option<&'a str>,
    headline: String,
    answer: AnswerLine<'a>,
    connection: Option<ConnectionLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_by: Option<&'a AuthenticatedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issued_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<FramePart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    payload_bytes: usize,
    payload_limit: usize,
    broken: &'a [Finding],
}

#[derive(Debug, Serialize)]
struct AnswerLine<'a> {
    accepted: bool,
    words: String,
    status: Option<u16>,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    delay_ms: u64,
    /// Whether it was decided by hand.
    armed: bool,
}

#[derive(Debug, Serialize)]
struct ConnectionLine {
    number: u64,
    peer: Option<String>,
    tls: &'static str,
    since: u64,
}

#[derive(Debug, Serialize)]
struct RequestPart<'a> {
    method: &'a str,
    path: &'a str,
    authority: Option<&'a str>,
    stream: u32,
    /// In their order, without `authorization`.
    headers: Vec<(&'a str, String)>,
}

#[derive(Debug, Serialize)]
struct FramePart<'a> {
    command: u8,
    identifier: Option<u32>,
    item_order: &'a [u8],
}

impl<'a> PushLine<'a> {
    pub(crate) fn new(push: &'a Push) -> Self {
        let request = push.request();
        let text = str::from_utf8(push.payload()).ok();
        let payload = text.and_then(one_line);
        let (status, reason) = match push.answer() {
            Answer::Accepted(status) => (Some(status), None),
            Answer::Refused(status, reason) => (Some(status), reason),
            Answer::Silent | Answer::None => (None, None),
        };
        Self {
            seq: push.seq,
            at: push.at.as_millis(),
            protocol: push.protocol(),
            kind: match &push.source {
                Source::Request(request) => match request.kind {
                    RequestKind::Push => "push",
                    RequestKind::Broadcast => "broadcast",
                    _ => "other",
                },
                Source::Frame(_) => "push",
                Source::Unreadable(_) => "unreadable",
            },
            device: push.device(),
            app: push.app(),
            topic: push.topic(),
            push_type: push.said_type(),
            r#type: push.push_type().as_str().to_owned(),
            priority: push.priority(),
            expiration: push.expiration(),
            collapse_id: push.collapse_id(),
            channel_id: push.channel(),
            apns_id: push.apns_id(),
            unique_id: request.and_then(|request| request.unique_id.as_deref()),
            headline: push.headline(),
            answer: AnswerLine {
                accepted: push.accepted(),
                words: answer_words(push.answer()),
                status,
                reason,
                retry_after: request.and_then(|request| request.retry_after.as_deref()),
                timestamp: request.and_then(|request| request.timestamp_ms),
                delay_ms: request.map_or(0, |request| request.delay_ms),
                armed: push.armed(),
            },
            connection: push.connection.as_ref().map(|connection| ConnectionLine {
                number: connection.number,
                peer: connection.peer.map(|peer| peer.to_string()),
                tls: connection.tls,
                since: connection.since.as_millis(),
            }),
            authenticated_by: push.credential(),
            token_issued_at: request.and_then(|request| request.token_issued_at),
            request: request.map(|request| RequestPart {
                method: &request.method,
                path: &request.path,
                authority: request.authority.as_deref(),
                stream: request.stream,
                headers: request
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
                    .collect(),
            }),
            frame: match &push.source {
                Source::Frame(record) => Some(FramePart {
                    command: record.format.command(),
                    identifier: record.identifier,
                    item_order: record.item_order.as_slice(),
                }),
                Source::Request(_) | Source::Unreadable(_) => None,
            },
            unreadable: match &push.source {
                Source::Unreadable(unreadable) => Some(&unreadable.error),
                Source::Request(_) | Source::Frame(_) => None,
            },
            payload_text: text.filter(|text| payload.is_none() && !text.is_empty()),
            payload_hex: text.is_none().then(|| to_hex(push.payload())),
            payload,
            payload_bytes: push.payload().len(),
            payload_limit: push.payload_limit().bytes(),
            broken: &push.judgement().broken,
        }
    }
}

/// The same JSON on one line; `None` when it is none.
fn one_line(text: &str) -> Option<Box<RawValue>> {
    // First as it is: inside a string a bare line end is an error, which a space would hide.
    serde_json::from_str::<&RawValue>(text).ok()?;
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
}
