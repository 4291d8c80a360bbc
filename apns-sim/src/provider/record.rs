//! What the log keeps of a request.

use std::fmt;

use apns_lint::{Finding, Lint};
use apns_proto::{Priority, PushType, WallTime};
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::deviation::Deviation;
use crate::line::one_line;
use apns_proto::internal::to_hex;

use crate::script::RequestKind;

/// A request to the provider API as it arrived, and what became of it.
///
/// Numbers are `None` where the header is not there, or holds something else than a number. All headers but
/// `authorization` are in [`headers`](Self::headers).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Place among all requests that arrived, from 1.
    pub seq: u64,
    /// The provider API's connection it came over, from 1.
    pub connection: u64,
    /// The HTTP/2 stream.
    pub stream: u32,
    /// What it is about.
    pub kind: RequestKind,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The `:authority`, or `host` in its place.
    pub authority: Option<String>,
    /// The device token, if it is hexadecimal.
    pub token: Option<Bytes>,
    /// The topic that was named; for broadcasts and channels the bundle id.
    pub topic: Option<String>,
    /// The push type.
    pub push_type: Option<String>,
    /// The priority.
    pub priority: Option<u8>,
    /// The expiration in seconds since 1970.
    pub expiration: Option<u64>,
    /// The collapse id.
    pub collapse_id: Option<String>,
    /// The channel that was named.
    pub channel_id: Option<String>,
    /// The name in the answer: the one that the client gave, as it gave it, or one that was made. For broadcasts and
    /// channels it is the `apns-request-id`.
    pub apns_id: String,
    /// The `apns-unique-id` in the answer, if there is one.
    pub unique_id: Option<String>,
    /// All headers but `authorization`, in order.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub payload: Bytes,
    /// Who sent it.
    pub authenticated_by: AuthenticatedBy,
    /// The status of the answer; `None` when there is to be none.
    pub status: Option<u16>,
    /// The reason in the answer.
    pub reason: Option<String>,
    /// Since when the device token is not in use, as the answer says it, in milliseconds since 1970.
    pub timestamp_ms: Option<u64>,
    /// The header `retry-after` of the answer.
    pub retry_after: Option<String>,
    /// How long the answer was held back on purpose, in milliseconds.
    pub delay_ms: u64,
    /// Whether it was decided by hand, see [`Armed`](crate::Armed).
    pub armed: bool,
    /// What it does as Apple's recipes do and Apple's pages do not allow, taken or not.
    pub deviations: Vec<Deviation>,
    /// What the header `apns-sim-detail` of the answer says: the deviations in words, and which of its many causes an
    /// InvalidProviderToken has.
    pub detail: Option<String>,
    /// When the provider token was signed by its own word, in seconds since 1970; `None` without a good one.
    pub token_issued_at: Option<u64>,
    /// When it arrived.
    pub at: WallTime,
}

/// How the sender of a request proved who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthenticatedBy {
    /// Not at all, or with a token that was refused.
    Nothing,
    /// By the certificate of the connection.
    Certificate,
    /// By a provider token.
    Token {
        /// The key.
        key_id: String,
        /// The team.
        team_id: String,
    },
}

impl RequestRecord {
    /// A push that came over the first connection and was taken, with nothing but what it needs: to begin with for those
    /// who test what they make of records. All fields can be set.
    #[must_use]
    pub fn push(token: impl Into<Bytes>, topic: impl Into<String>, payload: impl Into<Bytes>, at: WallTime) -> Self {
        let (token, topic) = (token.into(), topic.into());
        Self {
            seq: 1,
            connection: 1,
            stream: 1,
            kind: RequestKind::Push,
            method: "POST".to_owned(),
            path: format!("/3/device/{}", to_hex(&token)),
            authority: Some("localhost".to_owned()),
            token: Some(token),
            headers: vec![("apns-topic".to_owned(), Bytes::from(topic.clone()))],
            topic: Some(topic),
            push_type: None,
            priority: None,
            expiration: None,
            collapse_id: None,
            channel_id: None,
            apns_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            unique_id: None,
            payload: payload.into(),
            authenticated_by: AuthenticatedBy::Certificate,
            status: Some(200),
            reason: None,
            timestamp_ms: None,
            retry_after: None,
            delay_ms: 0,
            armed: false,
            deviations: Vec::new(),
            detail: None,
            token_issued_at: None,
            at,
        }
    }

    /// What is wrong with the payload, the topic's suffix and the priority, whatever the answer: to most of it the service
    /// answers 200, and a device drops it. Nothing for requests about channels. Looked for when it is asked for.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        let lint = Lint::new(&self.payload);
        let lint = match (self.kind, self.topic.as_deref()) {
            (RequestKind::Push, Some(topic)) => lint.with_topic(topic),
            (RequestKind::Push, None) => lint,
            (RequestKind::Broadcast, _) => lint.with_push_type(PushType::LiveActivity).as_broadcast(),
            (RequestKind::Channels | RequestKind::Other, _) => return Vec::new(),
        };
        let said = self.push_type.as_deref().and_then(|said| PushType::from_known(said).ok());
        let lint = said.into_iter().fold(lint, |lint, push_type| lint.with_push_type(push_type));
        let priority = self.priority.and_then(Priority::from_number);
        let mut findings = priority.into_iter().fold(lint, |lint, priority| lint.with_priority(priority)).findings();
        // The text of a pass comes from the pass.
        if self.topic.as_deref().is_some_and(|topic| topic.starts_with("pass.")) {
            findings.retain(|finding| finding.at != "aps");
        }
        findings
    }

    /// Whether it was answered with success.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The device token in hexadecimal; empty if there is none.
    #[must_use]
    pub fn token_hex(&self) -> String {
        self.token.as_deref().map(to_hex).unwrap_or_default()
    }

    /// The value of a header, the first where there are more. `authorization` is never kept.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &value[..])
    }
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestRecord")
            .field("seq", &self.seq)
            .field("connection", &self.connection)
            .field("stream", &self.stream)
            .field("kind", &self.kind)
            .field("method", &self.method)
            .field("token", &self.token.as_ref().map(|token| format!("<{} bytes>", token.len())))
            .field("topic", &self.topic)
            .field("push_type", &self.push_type)
            .field("priority", &self.priority)
            .field("expiration", &self.expiration)
            .field("apns_id", &self.apns_id)
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .field("authenticated_by", &self.authenticated_by)
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A finding about the payload.
#[derive(Serialize)]
struct Note {
    severity: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    at: String,
    what: String,
}

impl From<Finding> for Note {
    fn from(finding: Finding) -> Self {
        Self { severity: finding.severity.word(), at: finding.at, what: finding.what }
    }
}

#[derive(Serialize)]
struct RequestLine<'a> {
    seq: u64,
    connection: u64,
    stream: u32,
    kind: RequestKind,
    method: &'a str,
    path: &'a str,
    authority: Option<&'a str>,
    token: Option<String>,
    topic: Option<&'a str>,
    push_type: Option<&'a str>,
    priority: Option<u8>,
    expiration: Option<u64>,
    collapse_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<&'a str>,
    apns_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_id: Option<&'a str>,
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    authenticated_by: &'a AuthenticatedBy,
    status: Option<u16>,
    reason: Option<&'a str>,
    accepted: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    armed: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    deviations: &'a [Deviation],
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lint: Vec<Note>,
    at: u64,
}

impl Serialize for RequestRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = str::from_utf8(&self.payload).ok();
        let payload = text.and_then(one_line);
        RequestLine {
            seq: self.seq,
            connection: self.connection,
            stream: self.stream,
            kind: self.kind,
            method: &self.method,
            path: &self.path,
            authority: self.authority.as_deref(),
            token: self.token.as_deref().map(to_hex),
            topic: self.topic.as_deref(),
            push_type: self.push_type.as_deref(),
            priority: self.priority,
            expiration: self.expiration,
            collapse_id: self.collapse_id.as_deref(),
            channel_id: self.channel_id.as_deref(),
            apns_id: &self.apns_id,
            unique_id: self.unique_id.as_deref(),
            // No body at all is no text either.
            payload_text: text.filter(|text| payload.is_none() && !text.is_empty()),
            payload_hex: text.is_none().then(|| to_hex(&self.payload)),
            payload,
            authenticated_by: &self.authenticated_by,
            status: self.status,
            reason: self.reason.as_deref(),
            accepted: self.accepted(),
            armed: self.armed,
            deviations: &self.deviations,
            detail: self.detail.as_deref(),
            lint: self.lint().into_iter().map(Note::from).collect(),
            at: self.at.as_millis(),
        }
        .serialize(serializer)
    }
}
