//! The provider API's part of a script.

use apns_proto::http2::Reason;
use serde::{Deserialize, Serialize};

use super::{ConditionOf, CutHow, Faults, HexBytes, RuleOf, TokenPattern, field};

/// How the HTTP/2 provider API behaves.
///
/// Without rules it judges as Apple's service is documented to do, see the list of checks at
/// [`Simulator::http2_address`](crate::Simulator::http2_address). The list `invalid_tokens` of the
/// [`Script`](super::Script) holds here too: such tokens are answered with BadDeviceToken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http2Script {
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) rules: Vec<Http2Rule>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) connections: Vec<Faults>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) sessions: Vec<Http2Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_limit: Option<u32>,
    #[serde(skip_serializing_if = "is_true")]
    pub(crate) token_start_limit: bool,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) topics: Vec<String>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) token_topics: Vec<TokenTopic>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) unregistered: Vec<Unregistered>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) keys: Vec<Http2Key>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) clock_offset_s: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_update_interval_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_token: Option<Http2Answer>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) stale_for_good: bool,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) unique_ids: bool,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) no_broadcast: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_channels: Option<u64>,
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Default for Http2Script {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            connections: Vec::new(),
            sessions: Vec::new(),
            stream_limit: None,
            token_start_limit: true,
            topics: Vec::new(),
            token_topics: Vec::new(),
            unregistered: Vec::new(),
            keys: Vec::new(),
            clock_offset_s: 0,
            token_update_interval_s: None,
            stale_token: None,
            stale_for_good: false,
            unique_ids: false,
            no_broadcast: Vec::new(),
            max_channels: None,
        }
    }
}

impl Http2Script {
    /// Adds a rule behind those there are. The first that fits decides.
    #[must_use]
    pub fn rule(mut self, rule: Http2Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds faults of connections behind those there are. For each connection the first that concern it count.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.connections.push(faults);
        self
    }

    /// Adds what is special about connections, behind what there is. For each connection the first that concerns it
    /// counts.
    #[must_use]
    pub fn session(mut self, session: Http2Session) -> Self {
        self.sessions.push(session);
        self
    }

    /// How many streams a client may have open. Default: 1000.
    #[must_use]
    pub const fn stream_limit(mut self, limit: u32) -> Self {
        self.stream_limit = Some(limit);
        self
    }

    /// Allows a client without a certificate all streams from the start. Default: only one until a request with a good
    /// provider token was answered (*Sending notification requests to APNs*).
    #[must_use]
    pub const fn without_token_start_limit(mut self) -> Self {
        self.token_start_limit = false;
        self
    }

    /// Adds a topic that clients with a provider token may push to, with any of the suffixes that push types have.
    /// Default: none, which means that all topics are allowed.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Says which topic device tokens belong to; with several entries, any of these topics. Another is answered with
    /// DeviceTokenNotForTopic.
    #[must_use]
    pub fn token_topic(mut self, token: impl Into<TokenPattern>, topic: impl Into<String>) -> Self {
        self.token_topics.push(TokenTopic { token: token.into(), topic: topic.into() });
        self
    }

    /// Adds device tokens that are no longer in use. The first entry that fits decides.
    #[must_use]
    pub fn unregistered(mut self, unregistered: Unregistered) -> Self {
        self.unregistered.push(unregistered);
        self
    }

    /// Whether a provider token is good for a topic: by the topics that all may push to, and by those of its key.
    pub(crate) fn allows(&self, key_id: &str, fits: impl Fn(&str) -> bool) -> bool {
        let any = |topics: &[String]| topics.is_empty() || topics.iter().any(|topic| fits(topic));
        let key = self.keys.iter().find(|key| key.key_id == key_id);
        any(&self.topics) && key.is_none_or(|key| any(&key.topics))
    }

    /// Adds a key id that is known beside [`Simulator::key_id`](crate::Simulator::key_id).
    #[must_use]
    pub fn key(mut self, key: Http2Key) -> Self {
        self.keys.push(key);
        self
    }

    /// By how many seconds the clock that judges provider tokens is ahead of this machine's. Default: 0.
    #[must_use]
    pub const fn clock_offset_s(mut self, seconds: i64) -> Self {
        self.clock_offset_s = seconds;
        self
    }

    /// For how many seconds a connection has to keep its provider token. Another one before is answered with
    /// TooManyProviderTokenUpdates. Default: 1200.
    #[must_use]
    pub const fn token_update_interval_s(mut self, seconds: u64) -> Self {
        self.token_update_interval_s = Some(seconds);
        self
    }

    /// What answers a provider token that is too old. Default: 403 ExpiredProviderToken; the service was also seen to
    /// say 500 InternalServerError.
    #[must_use]
    pub fn stale_token(mut self, answer: Http2Answer) -> Self {
        self.stale_token = Some(answer);
        self
    }

    /// A connection on which a provider token was too old refuses every later one. Default: it takes a fresh one.
    #[must_use]
    pub const fn stale_for_good(mut self) -> Self {
        self.stale_for_good = true;
        self
    }

    /// Answers carry an `apns-unique-id`, as in the development environment. Default: they do not.
    #[must_use]
    pub const fn unique_ids(mut self) -> Self {
        self.unique_ids = true;
        self
    }

    /// Adds a bundle id for which broadcasts are not enabled.
    #[must_use]
    pub fn no_broadcast(mut self, bundle_id: impl Into<String>) -> Self {
        self.no_broadcast.push(bundle_id.into());
        self
    }

    /// How many channels an app may have. Default: 10 000.
    #[must_use]
    pub const fn max_channels(mut self, limit: u64) -> Self {
        self.max_channels = Some(limit);
        self
    }
}

/// A rule of the provider API.
///
/// ```
/// use apns_sim::{Http2Answer, Http2Condition, Http2Rule, Http2Step};
///
/// let busy = Http2Answer::new(429, "TooManyRequests").retry_after("3");
/// let rule = Http2Rule::new(Http2Condition::default().arrival(2), [Http2Step::WaitMs(20), busy.into()]).times(1);
/// # let _ = rule;
/// ```
pub type Http2Rule = RuleOf<RequestKind, Vec<Http2Step>>;

impl Http2Rule {
    /// A rule without a limit. Without any step that answers, the request is never answered.
    #[must_use]
    pub fn new(when: Http2Condition, then: impl IntoIterator<Item = Http2Step>) -> Self {
        Self { when, then: then.into_iter().collect(), times: None }
    }
}

/// What an [`Http2Rule`] is about.
pub type Http2Condition = ConditionOf<RequestKind>;

/// What a request to the provider API is about, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestKind {
    /// A notification for one device: `/3/device/…`.
    #[default]
    Push,
    /// A broadcast: `/4/broadcasts/apps/…`.
    Broadcast,
    /// The management of channels: `/1/apps/…`.
    Channels,
    /// Anything else.
    Other,
}

/// One thing that the provider API does. The steps of a rule come one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Http2Step {
    /// Judges the request as if there were no rule, and answers it.
    Answer,
    /// Answers the request with this.
    AnswerWith(Http2Answer),
    /// Waits this many milliseconds.
    WaitMs(u64),
    /// Resets the request's stream with this code (RFC 9113 section 7): 7 says that it was not processed.
    Reset(u32),
    /// Says GOAWAY.
    GoAway(Http2GoAway),
    /// Announces how many streams may be open from now on. What is beyond is refused.
    StreamLimit(u32),
    /// Announces SETTINGS, as pairs of identifier and value.
    Settings(Vec<(u16, u32)>),
    /// Sends a PING.
    Ping,
    /// Writes these bytes between two frames.
    Inject(HexBytes),
    /// Closes without a word of HTTP/2.
    Close,
    /// Cuts the connection once everything before is written.
    Cut(CutHow),
}

impl From<Http2Answer> for Http2Step {
    fn from(answer: Http2Answer) -> Self {
        Self::AnswerWith(answer)
    }
}

/// A refusal for a reason of Apple's, with the status that Apple documents beside it; 400 where it documents none.
impl From<Reason> for Http2Answer {
    fn from(reason: Reason) -> Self {
        Self::new(reason.status().unwrap_or(400), reason.as_str())
    }
}

/// An answer of the provider API. It gets an `apns-id` of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2Answer {
    #[serde(deserialize_with = "field::final_status")]
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<String>,
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

impl Http2Answer {
    /// Status 200 and no body.
    #[must_use]
    pub const fn accepted() -> Self {
        Self { status: 200, reason: None, timestamp_ms: None, retry_after: None, headers: Vec::new(), body: None }
    }

    /// A refusal. The status is from 200 to 999; any other becomes 500.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        let status = if field::is_final_status(status) { status } else { 500 };
        Self { status, reason: Some(reason.into()), ..Self::accepted() }
    }

    /// Since when a device token is not in use, in milliseconds since 1970.
    #[must_use]
    pub const fn timestamp_ms(mut self, milliseconds: u64) -> Self {
        self.timestamp_ms = Some(milliseconds);
        self
    }

    /// The header `retry-after`: seconds or a date.
    #[must_use]
    pub fn retry_after(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body in the place of the usual one.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// A GOAWAY frame.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http2GoAway {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) last_stream: LastStream,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) debug: Option<String>,
}

impl Http2GoAway {
    /// With a reason in the debug data, as the service has it.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }

    /// Which stream is said to be the last that is processed. Default: the request's own.
    #[must_use]
    pub const fn last_stream(mut self, last_stream: LastStream) -> Self {
        self.last_stream = last_stream;
        self
    }

    /// The error code (RFC 9113 section 7). Default: 0.
    #[must_use]
    pub const fn code(mut self, code: u32) -> Self {
        self.code = code;
        self
    }

    /// Debug data in the place of the usual. Default: a JSON object with the reason, or nothing without a reason.
    #[must_use]
    pub fn debug(mut self, text: impl Into<String>) -> Self {
        self.debug = Some(text.into());
        self
    }
}

/// The last stream in a GOAWAY frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LastStream {
    /// The request's own, which is still answered. Without a request: the highest there can be.
    #[default]
    Own,
    /// The one before the request's own, which is therefore not processed.
    Before,
    /// This one.
    At(u32),
}

/// What is special about one connection to the provider API, or about all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http2Session {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Vec<(u16, u32)>>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) steps: Vec<Http2Step>,
}

impl Http2Session {
    /// The connection it is about, from 1. Default: every connection.
    #[must_use]
    pub const fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// The first SETTINGS frame, word for word, as pairs of identifier and value. The limit of streams does not rise
    /// by itself then.
    #[must_use]
    pub fn settings(mut self, settings: impl Into<Vec<(u16, u32)>>) -> Self {
        self.settings = Some(settings.into());
        self
    }

    /// Adds what is done from the handshake on, whatever arrives. Steps that answer or reset
    /// a request do nothing.
    #[must_use]
    pub fn step(mut self, step: Http2Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(crate) fn concerns(&self, connection: u64) -> bool {
        self.connection.is_none_or(|number| number == connection)
    }
}

/// Device tokens and a topic they belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTopic {
    pub(crate) token: TokenPattern,
    pub(crate) topic: String,
}

/// Device tokens that are no longer in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unregistered {
    pub(crate) token: TokenPattern,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Unregistered {
    /// Answered with 410 Unregistered.
    #[must_use]
    pub fn new(token: impl Into<TokenPattern>) -> Self {
        Self { token: token.into(), timestamp_ms: None, reason: None }
    }

    /// Since when, in milliseconds since 1970. Default: since the request arrived.
    #[must_use]
    pub const fn timestamp_ms(mut self, milliseconds: u64) -> Self {
        self.timestamp_ms = Some(milliseconds);
        self
    }

    /// Another reason: ExpiredToken, say. Default: Unregistered.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// A further key id that provider tokens may name, or more about [`Simulator::key_id`](crate::Simulator::key_id). It stands
/// for the simulator's one signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2Key {
    pub(crate) key_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team_id: Option<String>,
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) other_environment: bool,
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) topics: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) related: Option<String>,
}

impl Http2Key {
    /// A key of the simulator's team, for all topics. It is not related to others: a connection that began with one of them
    /// gets UnrelatedKeyIdInToken.
    #[must_use]
    pub fn new(key_id: impl Into<String>) -> Self {
        Self { key_id: key_id.into(), team_id: None, other_environment: false, topics: Vec::new(), related: None }
    }

    /// A key of another team. A connection that began with one team gets Forbidden for another.
    #[must_use]
    pub fn team_id(mut self, team_id: impl Into<String>) -> Self {
        self.team_id = Some(team_id.into());
        self
    }

    /// Adds a bundle id that the key is for, with any of the suffixes that push types have: a key for named topics. Another
    /// topic gets TopicDisallowed, and a broadcast or a channel TopicMismatch.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The one key that may be used on the same connection.
    #[must_use]
    pub fn related(mut self, key_id: impl Into<String>) -> Self {
        self.related = Some(key_id.into());
        self
    }

    /// A key of the other environment, which is answered with BadEnvironmentKeyInToken, the spelling seen on the wire.
    #[must_use]
    pub const fn other_environment(mut self) -> Self {
        self.other_environment = true;
        self
    }
}
