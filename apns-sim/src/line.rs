//! Log entries as JSON.

use std::sync::Arc;

use apns_proto::WallTime;
use apns_proto::binary::server::Verdict;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::log::{Record, Unreadable};
use apns_proto::internal::to_hex;

pub(crate) fn wall_time<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.as_millis())
}

/// What is shared, as if it were not.
pub(crate) fn shared<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// The words of the script.
const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Refuse { .. } => "refuse",
        Verdict::AcceptAndShutDown { .. } => "accept_and_shut_down",
        Verdict::Close => "close",
        Verdict::AcceptAndClose => "accept_and_close",
        Verdict::FallSilent => "fall_silent",
        _ => "other",
    }
}

#[derive(Serialize)]
struct RecordLine<'a> {
    seq: u64,
    connection: u64,
    command: u8,
    identifier: Option<u32>,
    expiration: Option<u32>,
    priority: Option<u8>,
    token: String,
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    item_order: &'a [u8],
    verdict: &'static str,
    status: Option<u8>,
    accepted: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    armed: bool,
    at: u64,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = str::from_utf8(&self.payload).ok();
        let payload = text.and_then(one_line);
        RecordLine {
            seq: self.seq,
            connection: self.connection,
            command: self.format.command(),
            identifier: self.identifier,
            expiration: self.expiration,
            priority: self.priority,
            token: self.token_hex(),
            payload_text: text.filter(|_| payload.is_none()),
            payload_hex: text.is_none().then(|| to_hex(&self.payload)),
            payload,
            item_order: self.item_order.as_slice(),
            verdict: verdict_name(self.verdict),
            status: self.status().map(|status| status.raw()),
            accepted: self.accepted(),
            armed: self.armed,
            at: self.at.as_millis(),
        }
        .serialize(serializer)
    }
}

/// The same JSON on one line. `None` when it is not JSON.
pub(crate) fn one_line(text: &str) -> Option<Box<RawValue>> {
    // First as it is: inside a string a bare line end is an error, which a space would hide.
    serde_json::from_str::<&RawValue>(text).ok()?;
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
}

#[derive(Serialize)]
struct UnreadableLine<'a> {
    connection: u64,
    identifier: Option<u32>,
    error: &'a str,
    verdict: &'static str,
    status: Option<u8>,
    at: u64,
}

impl Serialize for Unreadable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        UnreadableLine {
            connection: self.connection,
            identifier: self.identifier,
            error: &self.error,
            verdict: verdict_name(self.verdict),
            status: self.status().map(|status| status.raw()),
            at: self.at.as_millis(),
        }
        .serialize(serializer)
    }
}
