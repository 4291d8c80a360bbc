//! Pushes for tests, as the simulator notes them.

use std::sync::Arc;

use apns_proto::WallTime;
use apns_proto::internal::from_hex;
use apns_sim::{Entry, RequestKind, RequestRecord};
use bytes::Bytes;

/// A device token.
pub(crate) const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

/// When the first push comes, in milliseconds since 1970.
pub(crate) const START: u64 = 1_795_961_000_000;

/// A push over HTTP/2; without changes an alert that is taken.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) token: String,
    pub(crate) topic: String,
    pub(crate) push_type: Option<&'static str>,
    pub(crate) payload: String,
    pub(crate) collapse_id: Option<String>,
    pub(crate) expiration: Option<u64>,
    pub(crate) channel: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) refused: Option<(u16, String)>,
    pub(crate) at: u64,
}

impl Push {
    pub(crate) fn new(payload: &str) -> Self {
        Self {
            token: TOKEN.to_owned(),
            topic: "com.example.app".to_owned(),
            push_type: Some("alert"),
            payload: payload.to_owned(),
            collapse_id: None,
            expiration: None,
            channel: None,
            headers: Vec::new(),
            refused: None,
            at: START,
        }
    }

    /// Of this push type, with the topic that it asks for.
    pub(crate) fn of_type(push_type: &'static str, payload: &str) -> Self {
        let known = apns_proto::PushType::from_known(push_type).unwrap();
        let topic = known.topic("com.example.app").into_owned();
        Self { push_type: Some(push_type), topic, ..Self::new(payload) }
    }

    /// A broadcast on a channel.
    pub(crate) fn broadcast(channel: &str, payload: &str) -> Self {
        Self { channel: Some(channel.to_owned()), ..Self::of_type("liveactivity", payload) }
    }

    pub(crate) fn to(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    /// So many seconds behind the start.
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.at = START + seconds * 1000;
        self
    }

    pub(crate) fn collapse(mut self, id: &str) -> Self {
        self.collapse_id = Some(id.to_owned());
        self
    }

    pub(crate) fn expires(mut self, at: u64) -> Self {
        self.expiration = Some(at);
        self
    }

    pub(crate) fn topic(mut self, topic: &str) -> Self {
        self.topic = topic.to_owned();
        self
    }

    /// Without the header of the push type.
    pub(crate) fn untyped(mut self) -> Self {
        self.push_type = None;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn refused(mut self, status: u16, reason: &str) -> Self {
        self.refused = Some((status, reason.to_owned()));
        self
    }

    pub(crate) fn record(&self, seq: u64) -> RequestRecord {
        let token = from_hex(&self.token, |_| false).unwrap();
        let at = WallTime::from_millis(self.at);
        let mut record = RequestRecord::push(token, self.topic.as_str(), self.payload.clone(), at);
        record.seq = seq;
        record.push_type = self.push_type.map(str::to_owned);
        record.collapse_id.clone_from(&self.collapse_id);
        record.expiration = self.expiration;
        let mut header = |name: &str, value: &str| {
            record.headers.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        };
        if let Some(push_type) = self.push_type {
            header("apns-push-type", push_type);
        }
        if let Some(id) = &self.collapse_id {
            header("apns-collapse-id", id);
        }
        if let Some(expiration) = self.expiration {
            header("apns-expiration", &expiration.to_string());
        }
        for (name, value) in &self.headers {
            header(name, value);
        }
        let priority = self.headers.iter().find(|(name, _)| name == "apns-priority");
        record.priority = priority.and_then(|(_, value)| value.parse().ok());
        if let Some(channel) = &self.channel {
            record.kind = RequestKind::Broadcast;
            record.path = "/4/broadcasts/apps/com.example.app".to_owned();
            record.topic = Some("com.example.app".to_owned());
            record.token = None;
            record.channel_id = Some(channel.clone());
        }
        if let Some((status, reason)) = &self.refused {
            (record.status, record.reason) = (Some(*status), Some(reason.clone()));
        }
        record
    }

    pub(crate) fn entry(&self, seq: u64) -> Entry {
        Entry::Request(Arc::new(self.record(seq)))
    }
}
