//! The feedback service's part of a script.

use apns_proto::WallTime;
use apns_proto::binary::FeedbackRecord;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Faults, HexBytes, field};

/// How the feedback service behaves.
///
/// It sends its records to the first client that connects, which clears them, and closes (*Binary Provider API*, "The
/// Feedback Service").
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackScript {
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) records: Vec<ScriptedRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tail: Option<HexBytes>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) ending: FeedbackEnding,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) connections: Vec<Faults>,
}

impl FeedbackScript {
    /// Adds a record: the app is gone from this device since `timestamp`, in seconds since 1970.
    #[must_use]
    pub fn record(mut self, token: impl Into<Vec<u8>>, timestamp: u32) -> Self {
        self.records.push(ScriptedRecord { token: HexBytes::from(token.into()), timestamp });
        self
    }

    /// Bytes behind the records of every reading, whatever they are: half a record, say. Default: none.
    #[must_use]
    pub fn tail(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.tail = Some(HexBytes::from(bytes.into()));
        self
    }

    /// What follows the last record. Default: the end of the connection.
    #[must_use]
    pub const fn ending(mut self, ending: FeedbackEnding) -> Self {
        self.ending = ending;
        self
    }

    /// Adds faults behind those there are. For each connection the first that concern it count.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.connections.push(faults);
        self
    }
}

/// What follows the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeedbackEnding {
    /// The connection is closed.
    #[default]
    Close,
    /// The connection stays open until the client closes it.
    StayOpen,
}

/// A record that a script has the feedback service send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedRecord {
    pub(crate) token: HexBytes,
    pub(crate) timestamp: u32,
}

impl ScriptedRecord {
    pub(crate) fn to_wire(&self) -> FeedbackRecord {
        let token: Bytes = self.token.0.clone();
        FeedbackRecord { timestamp: WallTime::from_secs(self.timestamp.into()), token }
    }
}
