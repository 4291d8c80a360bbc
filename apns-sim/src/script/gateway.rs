//! The gateway's part of a script.

use std::num::NonZeroU16;

use apns_proto::binary::Limits;
use serde::{Deserialize, Serialize};

use super::{Faults, Rule, field};

/// How the gateway behaves.
///
/// Without rules it judges as Apple's did. Well-formed notifications of any of the three commands are taken; status 8
/// answers a token that is not known; 2, 4, 5, 7 or 128 answer what is not a notification (*Binary Provider API*, table
/// "Codes in error-response packet"), and a malformed command 0 has the connection closed without a word (*Legacy
/// Notification Format*). After an answer the connection closes and what follows is thrown away unread. A probe, that is
/// a frame with an empty token, is answered with status 2.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayScript {
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) rules: Vec<Rule>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) connections: Vec<Faults>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_max: Option<NonZeroU16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_max: Option<NonZeroU16>,
}

impl GatewayScript {
    /// Adds a rule behind those there are. The first that fits decides.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds faults behind those there are. For each connection the first that concern it count.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.connections.push(faults);
        self
    }

    /// The largest payload in bytes. Default: 2048, as from 2014 on; before, it was 256.
    #[must_use]
    pub const fn payload_max(mut self, bytes: NonZeroU16) -> Self {
        self.payload_max = Some(bytes);
        self
    }

    /// The largest device token in bytes. Default: 100.
    #[must_use]
    pub const fn token_max(mut self, bytes: NonZeroU16) -> Self {
        self.token_max = Some(bytes);
        self
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(bytes) = self.payload_max {
            limits = limits.with_payload_max(bytes.get());
        }
        if let Some(bytes) = self.token_max {
            limits = limits.with_token_max(bytes.get());
        }
        limits
    }
}
