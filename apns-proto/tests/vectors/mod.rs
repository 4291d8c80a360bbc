//! The byte vectors of the binary protocol, `binary-vectors.json`, as types.
//!
//! Integration tests share it by `mod vectors;`.

#![allow(dead_code, reason = "each test binary uses its own part of the file")]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The whole file. An unknown key anywhere is an error, so that no fact in it goes untested unnoticed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) format_version: u32,
    pub(crate) description: String,
    pub(crate) limits: FileLimits,
    pub(crate) limit_profiles: BTreeMap<String, LimitProfile>,
    pub(crate) default_limit_profile: String,
    pub(crate) decoders: BTreeMap<Decoder, String>,
    pub(crate) check_order: Vec<String>,
    pub(crate) offset_meaning: BTreeMap<String, String>,
    pub(crate) error_kinds: BTreeMap<String, String>,
    pub(crate) gateway_status_hint_meaning: String,
    /// Status byte in decimal, and its name.
    pub(crate) statuses: BTreeMap<String, String>,
    pub(crate) vectors: Vec<Vector>,
    pub(crate) resend_scenario_meaning: String,
    pub(crate) resend_scenarios: Vec<ResendScenario>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLimits {
    pub(crate) token_max: usize,
    pub(crate) payload_max: usize,
    pub(crate) frame_max: usize,
    pub(crate) item_header: usize,
    pub(crate) error_response: usize,
    pub(crate) feedback_header: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitProfile {
    pub(crate) payload_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decoder {
    Notification,
    NotificationStream,
    ErrorResponse,
    FeedbackStream,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) decoder: Decoder,
    pub(crate) valid: bool,
    #[serde(rename = "hex", deserialize_with = "from_hex")]
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: usize,
    /// One for the decoders of a single message, any number for a stream.
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) decoded: Vec<Decoded>,
    #[serde(default)]
    pub(crate) decoded_before_error: Vec<Decoded>,
    pub(crate) expected_error: Option<ExpectedError>,
    pub(crate) gateway_status_hint: Option<u8>,
    pub(crate) limit_profile: Option<String>,
    /// Where the messages of a stream start.
    #[serde(default)]
    pub(crate) boundaries: Vec<usize>,
    #[serde(default)]
    pub(crate) note: String,
}

/// A message of any kind; the fields that its kind lacks are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decoded {
    pub(crate) command: Option<u8>,
    #[serde(default, rename = "token_hex", deserialize_with = "some_from_hex")]
    pub(crate) token: Option<Vec<u8>>,
    #[serde(rename = "payload_utf8")]
    pub(crate) payload: Option<String>,
    pub(crate) identifier: Option<u32>,
    pub(crate) expiration: Option<u32>,
    pub(crate) priority: Option<u8>,
    #[serde(default)]
    pub(crate) item_order: Vec<u8>,
    pub(crate) status: Option<u8>,
    pub(crate) status_name: Option<String>,
    pub(crate) timestamp: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedError {
    pub(crate) kind: String,
    pub(crate) offset: u64,
    pub(crate) item_id: Option<u8>,
    pub(crate) needed_total: Option<u64>,
}

/// One ending of a connection, and what becomes of what was written to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendScenario {
    pub(crate) name: String,
    /// In the order of writing.
    pub(crate) sent: Vec<Sent>,
    /// `None`: closed without one.
    pub(crate) response: Option<Response>,
    pub(crate) accepted: Vec<Sent>,
    pub(crate) rejected: Vec<Sent>,
    pub(crate) resend: Vec<Sent>,
    pub(crate) indeterminate: Vec<Sent>,
    /// First and last identifier of those that were discarded and can no longer be sent again.
    pub(crate) lost_range: Option<(u32, u32)>,
    pub(crate) confirmed: bool,
    pub(crate) note: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Sent {
    /// Commands 1 and 2.
    Identifier(u32),
    /// Command 0, which has none: a name to tell it by in the scenario.
    Simple(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) status: u8,
    pub(crate) identifier: u32,
}

impl File {
    pub(crate) fn load() -> Self {
        serde_json::from_str(include_str!("binary-vectors.json")).expect("the vector file matches its types")
    }

    pub(crate) fn of(&self, decoder: Decoder) -> impl Iterator<Item = &Vector> {
        self.vectors.iter().filter(move |vector| vector.decoder == decoder)
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).expect("a hexadecimal digit")).expect("a digit is below 16"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    String::deserialize(deserializer).map(|text| unhex(&text))
}

fn some_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    from_hex(deserializer).map(Some)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Decoded>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(Box<Decoded>),
        Many(Vec<Decoded>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![*one],
        OneOrMany::Many(many) => many,
    })
}
