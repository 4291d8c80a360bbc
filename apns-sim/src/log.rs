//! What a simulator saw.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use apns_proto::WallTime;
use apns_proto::binary::server::Verdict;
use apns_proto::binary::{DecodedNotification, Format, ItemOrder, Status};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::line;
use crate::provider::RequestRecord;

/// One of the services that a simulator offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Service {
    /// The binary gateway.
    Gateway,
    /// The feedback service.
    Feedback,
    /// The HTTP/2 provider API.
    Http2,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Feedback => "feedback service",
            Self::Http2 => "provider API",
        })
    }
}

/// Something that happened, in the order in which it did.
///
/// [`to_json`](Self::to_json) prints it as one line. The field `event` says which of these it is, in lower case with
/// underscores; the names of all fields are stable.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A notification arrived at the gateway and was judged.
    Notification(Record),
    /// A probe arrived at the gateway and was judged: a frame with an empty token.
    Probe(Unreadable),
    /// Something that is no notification arrived at the gateway and was judged.
    Malformed(Unreadable),
    /// A request arrived at the provider API and was judged. Shared, so that who keeps it copies nothing.
    Request(#[serde(serialize_with = "line::shared")] Arc<RequestRecord>),
    /// A client of the provider API reset a stream that had no answer.
    Cancelled {
        /// The provider API's connection.
        connection: u64,
        /// The stream.
        stream: u32,
        /// The client's code (RFC 9113 section 7).
        code: u32,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// The provider API refused a stream with REFUSED_STREAM, and did not look at its request: one more than may be open, or
    /// one behind a GOAWAY frame. Without a certificate one stream may be open until a request was answered, see
    /// [`Http2Script::without_token_start_limit`](crate::Http2Script::without_token_start_limit).
    StreamRefused {
        /// The provider API's connection.
        connection: u64,
        /// The stream.
        stream: u32,
        /// How many may be open at the time; none where the stream came behind a GOAWAY frame.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// The feedback service is about to send so many records, which it no longer has.
    FeedbackTaken {
        /// The feedback service's connection.
        connection: u64,
        /// How many.
        records: usize,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// A TLS handshake was completed.
    Connected {
        /// Whose connection.
        service: Service,
        /// Its number, from 1.
        connection: u64,
        /// Where the client is.
        peer: Option<SocketAddr>,
        /// The version of TLS: `"1.2"` or `"1.3"`.
        tls: &'static str,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// A TLS handshake failed.
    HandshakeFailed {
        /// Whose connection.
        service: Service,
        /// Its number, from 1.
        connection: u64,
        /// Where the client is.
        peer: Option<SocketAddr>,
        /// Why: what the client did, or what the TLS library says.
        error: String,
        /// What the client should do, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        should: Option<&'static str>,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// A client of the provider API does not speak as it should. It may be let in all the same.
    Misspoken {
        /// The provider API's connection.
        connection: u64,
        /// What it did.
        did: &'static str,
        /// What it should do.
        should: &'static str,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
    /// A connection is over.
    Closed {
        /// Whose connection.
        service: Service,
        /// Its number, from 1.
        connection: u64,
        /// How it ended.
        end: String,
        /// Bytes behind a refused notification that were thrown away unread.
        discarded: u64,
        /// When.
        #[serde(serialize_with = "line::wall_time")]
        at: WallTime,
    },
}

impl Entry {
    /// Prints it as one line of JSON, without the line's end.
    ///
    /// A notification looks like this (in one line):
    ///
    /// ```json
    /// {"event": "notification", "seq": 1, "connection": 1, "command": 2, "identifier": 7, "expiration": 1700000000,
    ///  "priority": 10, "token": "00aa11bb", "payload": {"aps": {"alert": "Hi"}}, "item_order": [3, 1, 2, 4, 5],
    ///  "verdict": "refuse", "status": 8, "accepted": false, "at": 1700000000123}
    /// ```
    ///
    /// A request to the provider API looks like this:
    ///
    /// ```json
    /// {"event": "request", "seq": 1, "connection": 1, "stream": 1, "kind": "push", "method": "POST",
    ///  "path": "/3/device/00aa11bb", "authority": "localhost", "token": "00aa11bb", "topic": "com.example.app",
    ///  "push_type": "alert", "priority": 10, "expiration": null, "collapse_id": null,
    ///  "apns_id": "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d", "payload": {"aps": {"alert": "Hi"}},
    ///  "authenticated_by": {"token": {"key_id": "SIMULATOR0", "team_id": "TEAMID0000"}}, "status": 400,
    ///  "reason": "BadDeviceToken", "accepted": false, "at": 1700000000123}
    /// ```
    ///
    /// `identifier`, `expiration`, `priority` and `status` are null where there is none; `at` is in milliseconds since
    /// 1970. `lint` has what is wrong with the payload although the service may take it, `deviations` and `detail` what
    /// [`Deviation`](crate::Deviation) is about; they are left out where there is nothing. A payload that is not JSON is given as `payload_text`, or as `payload_hex` when it is not text either, and
    /// `payload` is null.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an entry has text keys only and no value that JSON cannot say")
    }
}

/// A notification as it arrived, and what became of it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Place among all notifications that arrived, from 1.
    pub seq: u64,
    /// The gateway's connection it came over, from 1.
    pub connection: u64,
    /// The command.
    pub format: Format,
    /// What the client calls it; none in command 0.
    pub identifier: Option<u32>,
    /// Seconds since 1970, if it was said.
    pub expiration: Option<u32>,
    /// 5 or 10, if it was said.
    pub priority: Option<u8>,
    /// The device token.
    pub token: Bytes,
    /// The payload.
    pub payload: Bytes,
    /// The items of command 2 in their order.
    pub item_order: ItemOrder,
    /// What was decided.
    pub verdict: Verdict,
    /// Whether it was decided by hand, see [`Armed`](crate::Armed).
    pub armed: bool,
    /// When.
    pub at: WallTime,
}

impl Record {
    /// A notification as it arrived, and what was decided.
    #[must_use]
    pub fn new(
        seq: u64,
        connection: u64,
        notification: &DecodedNotification,
        verdict: Verdict,
        armed: bool,
        at: WallTime,
    ) -> Self {
        Self {
            seq,
            connection,
            format: notification.format,
            identifier: notification.identifier,
            expiration: notification.expiration,
            priority: notification.priority,
            token: notification.token.clone(),
            payload: notification.payload.clone(),
            item_order: notification.item_order,
            verdict,
            armed,
            at,
        }
    }

    /// Whether the gateway took it.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.verdict.accepts()
    }

    /// The status it was answered with, if it was.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        status_of(self.verdict)
    }

    /// The device token in hexadecimal.
    #[must_use]
    pub fn token_hex(&self) -> String {
        apns_proto::internal::to_hex(&self.token)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("seq", &self.seq)
            .field("connection", &self.connection)
            .field("format", &self.format)
            .field("identifier", &self.identifier)
            .field("expiration", &self.expiration)
            .field("priority", &self.priority)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .field("item_order", &self.item_order)
            .field("verdict", &self.verdict)
            .field("at", &self.at)
            .finish()
    }
}

/// Something that arrived at the gateway and is no notification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The gateway's connection it came over, from 1.
    pub connection: u64,
    /// The identifier, if it could be read.
    pub identifier: Option<u32>,
    /// What was wrong with it, and where.
    pub error: String,
    /// What was decided.
    pub verdict: Verdict,
    /// When.
    pub at: WallTime,
}

impl Unreadable {
    /// The status it was answered with, if it was.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        status_of(self.verdict)
    }
}

const fn status_of(verdict: Verdict) -> Option<Status> {
    match verdict {
        Verdict::Refuse { status, .. } => Some(status),
        Verdict::AcceptAndShutDown { .. } => Some(Status::SHUTDOWN),
        _ => None,
    }
}

/// How much of what arrives is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Keep {
    /// Everything. Memory grows with each notification, by its payload and about 200 bytes.
    #[default]
    Everything,
    /// Counts, and for each device token how often something for it was taken.
    TokenCounts,
    /// Counts only.
    Counts,
}

/// How much of each there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Connections to the gateway on which the TLS handshake was completed.
    pub gateway_connections: u64,
    /// Connections to the feedback service on which the TLS handshake was completed.
    pub feedback_connections: u64,
    /// Connections to the provider API on which the TLS handshake was completed.
    pub http2_connections: u64,
    /// Handshakes that failed, at any service.
    pub failed_handshakes: u64,
    /// Connections of any service that are over, other than by a failed handshake.
    pub closed: u64,
    /// Notifications that arrived at the gateway, taken or not. What was thrown away unread does not count.
    pub notifications: u64,
    /// Notifications that were taken.
    pub accepted: u64,
    /// Notifications that were answered with a status other than 10.
    pub refused: u64,
    /// Probes.
    pub probes: u64,
    /// What was neither a notification nor a probe.
    pub malformed: u64,
    /// Feedback records that were sent, or at least begun.
    pub feedback_records: u64,
    /// Requests that arrived at the provider API. What was refused below it (a stream too many) does not count.
    pub requests: u64,
    /// Requests that were answered with success, or will be.
    pub requests_accepted: u64,
    /// Requests that were answered with anything else, or will be.
    pub requests_refused: u64,
    /// Requests without an answer whose stream the client reset.
    pub requests_cancelled: u64,
    /// Streams of the provider API that were refused, as too many were open or behind a GOAWAY frame.
    pub streams_refused: u64,
}

/// What a simulator saw so far.
#[derive(Default)]
pub struct Log {
    pub(crate) counts: Counts,
    pub(crate) entries: Vec<Entry>,
    pub(crate) tokens: HashMap<Box<[u8]>, u64>,
}

impl Log {
    /// How much of each there was.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Everything in its order. Empty unless [`Keep::Everything`] is in force.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The notifications among the entries.
    pub fn received(&self) -> impl Iterator<Item = &Record> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Notification(record) => Some(record),
            _ => None,
        })
    }

    /// The requests to the provider API among the entries.
    pub fn requests(&self) -> impl Iterator<Item = &RequestRecord> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Request(record) => Some(record.as_ref()),
            _ => None,
        })
    }

    /// How often something for this device token was taken, by the gateway or the provider API. 0 under [`Keep::Counts`].
    #[must_use]
    pub fn accepted_for(&self, token: &[u8]) -> u64 {
        if self.entries.is_empty() {
            return self.tokens.get(token).copied().unwrap_or(0);
        }
        let binary = self.received().filter(|record| record.accepted() && record.token == token).count();
        let pushes = self.requests().filter(|record| record.accepted() && record.token.as_deref() == Some(token));
        (binary + pushes.count()) as u64
    }

    /// The device tokens for which something was taken, in no order, and how often. Empty unless
    /// [`Keep::TokenCounts`] is in force.
    pub fn accepted_by_token(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.tokens.iter().map(|(token, count)| (&token[..], *count))
    }
}

impl Log {
    pub(crate) fn count_token(&mut self, token: &[u8]) {
        match self.tokens.get_mut(token) {
            Some(count) => *count += 1,
            // A copy: the token that arrived keeps its payload alive.
            None => drop(self.tokens.insert(token.into(), 1)),
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("counts", &self.counts).finish_non_exhaustive()
    }
}
