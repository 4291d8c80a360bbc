//! Bad days as data.

mod condition;
mod error;
mod faults;
mod feedback;
mod field;
mod gateway;
mod hex;
mod http2;
mod http2_play;
mod play;
mod rule;

pub use apns_proto::internal::HexError;
pub(crate) use condition::{Arrival, mix};
pub use condition::{ConditionOf, RuleOf, Subject};
pub use error::ScriptError;
pub use faults::{Cut, CutHow, Faults, HandshakeFault, Junk, Stall};
pub use feedback::{FeedbackEnding, FeedbackScript, ScriptedRecord};
pub use gateway::GatewayScript;
pub use hex::{HexBytes, TokenPattern};
pub use http2::{
    Http2Answer, Http2Condition, Http2GoAway, Http2Key, Http2Rule, Http2Script, Http2Session, Http2Step, LastStream,
    RequestKind, TokenTopic, Unregistered,
};
pub(crate) use http2_play::Http2Play;
pub(crate) use play::Play;
pub use rule::{Action, Condition, Kind, Rule};

use apns_proto::encoding;
use serde::{Deserialize, Serialize};

/// What a [`Simulator`](crate::Simulator) does beyond taking everything that is well-formed. Data, not code: it can be
/// printed, kept beside a failing test, and played again.
///
/// A script may be written in Rust or as JSON. Every field has a default, and an unknown one is an error. This is the
/// sample for the gateway and the feedback service that comes with the crate (`scripts/bad-day.json`):
///
/// ```json
#[doc = include_str!("../../scripts/bad-day.json")]
/// ```
///
/// And this is one for the HTTP/2 provider API (`scripts/bad-day-http2.json`):
///
/// ```json
#[doc = include_str!("../../scripts/bad-day-http2.json")]
/// ```
///
/// The same rule in both forms:
///
/// ```
/// use apns_proto::binary::Status;
/// use apns_sim::{Action, Condition, Rule, Script};
///
/// let written = Script::from_json(
///     r#"{"gateway": {"rules": [{"when": {"arrival": 3}, "then": {"refuse": {"status": 8}}, "times": 1}]}}"#,
/// )?;
/// let built = Script::default()
///     .rule(Rule::new(Condition::default().arrival(3), Action::refuse(Status::INVALID_TOKEN)).times(1));
/// assert_eq!(written, built);
/// assert_eq!(Script::from_json(&built.to_json())?, built);
/// # Ok::<(), apns_sim::ScriptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) seed: u64,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) invalid_tokens: Vec<TokenPattern>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) gateway: GatewayScript,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) feedback: FeedbackScript,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) http2: Http2Script,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// [`ScriptError`], which names the field in question.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        let text = encoding::text(text.as_bytes()).map_err(|error| ScriptError::whole(&error))?;
        let mut json = serde_json::Deserializer::from_str(text);
        let script = serde_path_to_error::deserialize(&mut json).map_err(|error| ScriptError::new(&error))?;
        json.end().map_err(|error| ScriptError::whole(&error))?;
        Ok(script)
    }

    /// Prints the script, so that [`from_json`](Self::from_json) gives it back.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a script has text keys only and no value that JSON cannot say")
    }

    /// What chance is drawn from. Default: 0.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a device token, or all that start alike, that is unknown to the service: status 8 at the gateway,
    /// BadDeviceToken at the provider API, unless a rule says otherwise.
    #[must_use]
    pub fn invalid_token(mut self, pattern: impl Into<TokenPattern>) -> Self {
        self.invalid_tokens.push(pattern.into());
        self
    }

    /// Adds a rule of the gateway, behind those there are.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.gateway.rules.push(rule);
        self
    }

    /// Adds faults of the gateway's connections, behind those there are. For each connection the first that concern it
    /// count.
    #[must_use]
    pub fn gateway_faults(mut self, faults: Faults) -> Self {
        self.gateway.connections.push(faults);
        self
    }

    /// Everything about the gateway.
    #[must_use]
    pub fn gateway(mut self, gateway: GatewayScript) -> Self {
        self.gateway = gateway;
        self
    }

    /// Everything about the feedback service.
    #[must_use]
    pub fn feedback(mut self, feedback: FeedbackScript) -> Self {
        self.feedback = feedback;
        self
    }

    /// Everything about the HTTP/2 provider API.
    #[must_use]
    pub fn http2(mut self, http2: Http2Script) -> Self {
        self.http2 = http2;
        self
    }

    /// Adds a rule of the HTTP/2 provider API, behind those there are.
    #[must_use]
    pub fn http2_rule(mut self, rule: Http2Rule) -> Self {
        self.http2.rules.push(rule);
        self
    }
}

impl std::str::FromStr for Script {
    type Err = ScriptError;

    /// The same as [`Script::from_json`].
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        Self::from_json(text)
    }
}
