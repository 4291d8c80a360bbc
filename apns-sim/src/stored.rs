//! What arrived, as a program that keeps it over restarts stores it: nothing is lost, unlike in the lines of the log.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::WallTime;
use apns_proto::binary::server::Verdict;
use apns_proto::binary::{Format, ItemOrder, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::log::{Entry, Record, Unreadable};
use crate::provider::{AuthenticatedBy, Deviation, RequestRecord};
use crate::script::RequestKind;

/// Why a stored entry cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("this is no stored entry: {0}")]
pub struct StoredError(#[from] serde_json::Error);

impl Entry {
    /// All of it as JSON, for [`from_stored`](Self::from_stored). `None` unless it is a push: a notification, a request, or
    /// something malformed at the gateway.
    #[must_use]
    pub fn to_stored(&self) -> Option<String> {
        let stored = match self {
            Self::Notification(record) => Stored::Notification(record.into()),
            Self::Request(record) => Stored::Request(Box::new(record.as_ref().into())),
            Self::Malformed(unreadable) => Stored::Malformed(unreadable.into()),
            _ => return None,
        };
        Some(serde_json::to_string(&stored).expect("it has text keys only and no value that JSON cannot say"))
    }

    /// The entry that [`to_stored`](Self::to_stored) wrote.
    ///
    /// # Errors
    ///
    /// [`StoredError`] for everything else.
    pub fn from_stored(text: &str) -> Result<Self, StoredError> {
        Ok(match serde_json::from_str(text)? {
            Stored::Notification(record) => Self::Notification(record.try_into()?),
            Stored::Request(request) => Self::Request(Arc::new((*request).try_into()?)),
            Stored::Malformed(unreadable) => Self::Malformed(unreadable.into()),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Stored {
    Notification(StoredRecord),
    Request(Box<StoredRequest>),
    Malformed(StoredUnreadable),
}

/// Bytes in base64.
struct Base64(Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredVerdict {
    Accept,
    Refuse { status: u8, identifier: Option<u32>, after_ms: u64 },
    AcceptAndShutDown { after_ms: u64 },
    Close,
    AcceptAndClose,
    FallSilent,
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl From<Verdict> for StoredVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Refuse { status, identifier, after } => {
                Self::Refuse { status: status.raw(), identifier, after_ms: milliseconds(after) }
            }
            Verdict::AcceptAndShutDown { after } => Self::AcceptAndShutDown { after_ms: milliseconds(after) },
            Verdict::Close => Self::Close,
            Verdict::AcceptAndClose => Self::AcceptAndClose,
            Verdict::FallSilent => Self::FallSilent,
            _ => Self::Accept,
        }
    }
}

impl From<StoredVerdict> for Verdict {
    fn from(stored: StoredVerdict) -> Self {
        match stored {
            StoredVerdict::Accept => Self::Accept,
            StoredVerdict::Refuse { status, identifier, after_ms } => {
                let after = Duration::from_millis(after_ms);
                Self::Refuse { status: Status::from_raw(status), identifier, after }
            }
            StoredVerdict::AcceptAndShutDown { after_ms } => {
                Self::AcceptAndShutDown { after: Duration::from_millis(after_ms) }
            }
            StoredVerdict::Close => Self::Close,
            StoredVerdict::AcceptAndClose => Self::AcceptAndClose,
            StoredVerdict::FallSilent => Self::FallSilent,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    seq: u64,
    connection: u64,
    command: u8,
    identifier: Option<u32>,
    expiration: Option<u32>,
    priority: Option<u8>,
    token: Base64,
    payload: Base64,
    item_order: Vec<u8>,
    verdict: StoredVerdict,
    armed: bool,
    at: u64,
}

impl From<&Record> for StoredRecord {
    fn from(record: &Record) -> Self {
        Self {
            seq: record.seq,
            connection: record.connection,
            command: record.format.command(),
            identifier: record.identifier,
            expiration: record.expiration,
            priority: record.priority,
            token: Base64(record.token.clone()),
            payload: Base64(record.payload.clone()),
            item_order: record.item_order.as_slice().to_vec(),
            verdict: record.verdict.into(),
            armed: record.armed,
            at: record.at.as_millis(),
        }
    }
}

impl TryFrom<StoredRecord> for Record {
    type Error = serde_json::Error;

    fn try_from(stored: StoredRecord) -> Result<Self, Self::Error> {
        let format = Format::from_command(stored.command)
            .ok_or_else(|| serde_json::Error::custom(format_args!("there is no command {}", stored.command)))?;
        let item_order = ItemOrder::new(&stored.item_order)
            .ok_or_else(|| serde_json::Error::custom("item_order is no order of the items 1 to 5"))?;
        Ok(Self {
            seq: stored.seq,
            connection: stored.connection,
            format,
            identifier: stored.identifier,
            expiration: stored.expiration,
            priority: stored.priority,
            token: stored.token.0,
            payload: stored.payload.0,
            item_order,
            verdict: stored.verdict.into(),
            armed: stored.armed,
            at: WallTime::from_millis(stored.at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredUnreadable {
    connection: u64,
    identifier: Option<u32>,
    error: String,
    verdict: StoredVerdict,
    at: u64,
}

impl From<&Unreadable> for StoredUnreadable {
    fn from(unreadable: &Unreadable) -> Self {
        Self {
            connection: unreadable.connection,
            identifier: unreadable.identifier,
            error: unreadable.error.clone(),
            verdict: unreadable.verdict.into(),
            at: unreadable.at.as_millis(),
        }
    }
}

impl From<StoredUnreadable> for Unreadable {
    fn from(stored: StoredUnreadable) -> Self {
        Self {
            connection: stored.connection,
            identifier: stored.identifier,
            error: stored.error,
            verdict: stored.verdict.into(),
            at: WallTime::from_millis(stored.at),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRequest {
    seq: u64,
    connection: u64,
    stream: u32,
    kind: RequestKind,
    method: String,
    path: String,
    authority: Option<String>,
    token: Option<Base64>,
    topic: Option<String>,
    push_type: Option<String>,
    priority: Option<u8>,
    expiration: Option<u64>,
    collapse_id: Option<String>,
    channel_id: Option<String>,
    apns_id: String,
    unique_id: Option<String>,
    headers: Vec<(String, Base64)>,
    payload: Base64,
    authenticated_by: AuthenticatedBy,
    status: Option<u16>,
    reason: Option<String>,
    timestamp_ms: Option<u64>,
    retry_after: Option<String>,
    delay_ms: u64,
    armed: bool,
    deviations: Vec<String>,
    detail: Option<String>,
    token_issued_at: Option<u64>,
    at: u64,
}

impl From<&RequestRecord> for StoredRequest {
    fn from(record: &RequestRecord) -> Self {
        let record = record.clone();
        Self {
            seq: record.seq,
            connection: record.connection,
            stream: record.stream,
            kind: record.kind,
            method: record.method,
            path: record.path,
            authority: record.authority,
            token: record.token.map(Base64),
            topic: record.topic,
            push_type: record.push_type,
            priority: record.priority,
            expiration: record.expiration,
            collapse_id: record.collapse_id,
            channel_id: record.channel_id,
            apns_id: record.apns_id,
            unique_id: record.unique_id,
            headers: record.headers.into_iter().map(|(name, value)| (name, Base64(value))).collect(),
            payload: Base64(record.payload),
            authenticated_by: record.authenticated_by,
            status: record.status,
            reason: record.reason,
            timestamp_ms: record.timestamp_ms,
            retry_after: record.retry_after,
            delay_ms: record.delay_ms,
            armed: record.armed,
            deviations: record.deviations.iter().map(|one| one.word().to_owned()).collect(),
            detail: record.detail,
            token_issued_at: record.token_issued_at,
            at: record.at.as_millis(),
        }
    }
}

impl TryFrom<StoredRequest> for RequestRecord {
    type Error = serde_json::Error;

    fn try_from(stored: StoredRequest) -> Result<Self, Self::Error> {
        let deviation = |word: &String| {
            let known = Deviation::ALL.into_iter().find(|one| one.word() == word);
            known.ok_or_else(|| serde_json::Error::custom("there is no such deviation"))
        };
        Ok(Self {
            seq: stored.seq,
            connection: stored.connection,
            stream: stored.stream,
            kind: stored.kind,
            method: stored.method,
            path: stored.path,
            authority: stored.authority,
            token: stored.token.map(|token| token.0),
            topic: stored.topic,
            push_type: stored.push_type,
            priority: stored.priority,
            expiration: stored.expiration,
            collapse_id: stored.collapse_id,
            channel_id: stored.channel_id,
            apns_id: stored.apns_id,
            unique_id: stored.unique_id,
            headers: stored.headers.into_iter().map(|(name, value)| (name, value.0)).collect(),
            payload: stored.payload.0,
            authenticated_by: stored.authenticated_by,
            status: stored.status,
            reason: stored.reason,
            timestamp_ms: stored.timestamp_ms,
            retry_after: stored.retry_after,
            delay_ms: stored.delay_ms,
            armed: stored.armed,
            deviations: stored.deviations.iter().map(deviation).collect::<Result<_, _>>()?,
            detail: stored.detail,
            token_issued_at: stored.token_issued_at,
            at: WallTime::from_millis(stored.at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(entry: &Entry) -> Entry {
        Entry::from_stored(&entry.to_stored().unwrap()).unwrap()
    }

    #[test]
    fn a_request_comes_back_byte_for_byte() {
        let mut record =
            RequestRecord::push(vec![0, 0xff], "com.example.app", "not JSON \u{0}\n", WallTime::from_millis(7));
        record.headers.push(("x-odd".to_owned(), Bytes::from_static(b"\xff\n")));
        record.authenticated_by = AuthenticatedBy::Token { key_id: "K".to_owned(), team_id: "T".to_owned() };
        record.deviations = Deviation::ALL.to_vec();
        record.status = None;
        record.timestamp_ms = Some(u64::MAX);
        let Entry::Request(again) = kept(&Entry::Request(Arc::new(record.clone()))) else { panic!("another kind") };
        assert_eq!(*again, record);
    }

    #[test]
    fn frames_come_back_with_every_verdict() {
        let after = Duration::from_millis(3);
        let verdicts = [
            Verdict::Accept,
            Verdict::Refuse { status: Status::from_raw(8), identifier: Some(9), after },
            Verdict::AcceptAndShutDown { after },
            Verdict::Close,
            Verdict::AcceptAndClose,
            Verdict::FallSilent,
        ];
        for verdict in verdicts {
            let record = Record {
                seq: 2,
                connection: 3,
                format: Format::Items,
                identifier: Some(u32::MAX),
                expiration: None,
                priority: Some(5),
                token: Bytes::from_static(b"\0\xff"),
                payload: Bytes::from_static(b"{ \"a\":1}"),
                item_order: ItemOrder::new(&[3, 1, 2]).unwrap(),
                verdict,
                armed: true,
                at: WallTime::from_millis(5),
            };
            let Entry::Notification(again) = kept(&Entry::Notification(record.clone())) else { panic!("another kind") };
            assert_eq!(again, record);
            let (error, at) = ("at 3: \"odd\"".to_owned(), WallTime::from_millis(1));
            let unreadable = Unreadable { connection: 1, identifier: None, error, verdict, at };
            let Entry::Malformed(again) = kept(&Entry::Malformed(unreadable.clone())) else { panic!("another kind") };
            assert_eq!(again, unreadable);
        }
    }

    #[test]
    fn what_is_no_stored_entry_is_refused() {
        for text in ["", "{}", r#"{"event":"request"}"#, r#"{"event":"connected"}"#] {
            assert!(Entry::from_stored(text).is_err(), "{text}");
        }
    }
}
