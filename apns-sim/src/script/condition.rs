//! The rules of a script: what arrives, and what is done with it. The gateway and the provider API have the same.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Kind, RequestKind, TokenPattern, field};

/// What a rule can be about: something that arrives at the gateway ([`Kind`]), or at the provider API ([`RequestKind`]).
pub trait Subject: Copy + fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned {
    #[doc(hidden)]
    const AT_GATEWAY: bool;
}

impl Subject for Kind {
    const AT_GATEWAY: bool = true;
}

impl Subject for RequestKind {
    const AT_GATEWAY: bool = false;
}

/// "When this arrives, do that." The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "K: Subject, A: Deserialize<'de>"))]
pub struct RuleOf<K: Subject, A> {
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) when: ConditionOf<K>,
    pub(crate) then: A,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u64>,
}

impl<K: Subject, A> RuleOf<K, A> {
    /// Applies at most this often; afterwards it is as if it were not there. Default: no limit.
    #[must_use]
    pub fn times(mut self, limit: u64) -> Self {
        self.times = Some(limit);
        self
    }
}

/// What a rule is about. All that is set must fit; with nothing set, every notification does.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound(deserialize = "K: Subject"))]
pub struct ConditionOf<K: Subject> {
    #[serde(skip_serializing_if = "field::is_default")]
    kind: K,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenPattern>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "at_provider::<K, _>")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "at_provider::<K, _>")]
    push_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "at_gateway::<K, _>")]
    identifier: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    arrival: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    arrival_in_connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::probability")]
    probability: Option<f64>,
}

fn at_provider<'de, K: Subject, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    if K::AT_GATEWAY {
        Err(D::Error::custom("unknown field at the gateway"))
    } else {
        Option::deserialize(deserializer)
    }
}

fn at_gateway<'de, K: Subject, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    if K::AT_GATEWAY { Option::deserialize(deserializer) } else { Err(D::Error::custom("unknown field with HTTP/2")) }
}

impl<K: Subject> ConditionOf<K> {
    /// What arrives: of a gateway, notifications (the default), probes, or what is neither; of the provider API, pushes to
    /// devices (the default), or something else.
    #[must_use]
    pub fn kind(mut self, kind: K) -> Self {
        self.kind = kind;
        self
    }

    /// The device token. Probes have none.
    #[must_use]
    pub fn token(mut self, pattern: impl Into<TokenPattern>) -> Self {
        self.token = Some(pattern.into());
        self
    }

    /// Text that occurs somewhere in the payload, compared byte by byte.
    #[must_use]
    pub fn payload_contains(mut self, text: impl Into<String>) -> Self {
        self.payload_contains = Some(text.into());
        self
    }

    /// The connection it came over; the gateway and the provider API each count theirs from 1.
    #[must_use]
    pub fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// The place among all that arrived, from 1: notifications at the gateway, requests of any kind at the provider API.
    /// What a client sends again counts again.
    #[must_use]
    pub fn arrival(mut self, number: u64) -> Self {
        self.arrival = Some(number);
        self
    }

    /// The place among those of the connection, from 1.
    #[must_use]
    pub fn arrival_in_connection(mut self, number: u64) -> Self {
        self.arrival_in_connection = Some(number);
        self
    }

    /// Every n-th of all that arrived.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = Some(n);
        self
    }

    /// By chance, from 0 (never) to 1 (always). Which ones are hit depends on the script's seed and on the place
    /// among all that arrived, so that the same arrivals meet the same fate.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    fn fits(&self, seed: u64, place: usize, arrival: &Arrival<'_, K>) -> bool {
        self.kind == arrival.kind
            && self.connection.is_none_or(|number| number == arrival.connection)
            && self.arrival.is_none_or(|number| number == arrival.number)
            && self.arrival_in_connection.is_none_or(|number| number == arrival.number_in_connection)
            && self.every.is_none_or(|n| n != 0 && arrival.number.is_multiple_of(n))
            && self.identifier.is_none_or(|identifier| Some(identifier) == arrival.identifier)
            && self.token.as_ref().is_none_or(|pattern| pattern.matches(arrival.token))
            && self.topic.as_deref().is_none_or(|topic| Some(topic) == arrival.topic)
            && self.push_type.as_deref().is_none_or(|push_type| Some(push_type) == arrival.push_type)
            && self.payload_contains.as_ref().is_none_or(|text| contains(arrival.payload, text.as_bytes()))
            && self.probability.is_none_or(|probability| chance(seed, place as u64, arrival.number) < probability)
    }
}

impl ConditionOf<Kind> {
    /// The identifier that the client gave it.
    #[must_use]
    pub fn identifier(mut self, identifier: u32) -> Self {
        self.identifier = Some(identifier);
        self
    }
}

impl ConditionOf<RequestKind> {
    /// The topic, or the bundle id in the path, to the letter.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// The push type, to the letter.
    #[must_use]
    pub fn push_type(mut self, push_type: impl Into<String>) -> Self {
        self.push_type = Some(push_type.into());
        self
    }
}

impl<K: Subject> fmt::Debug for ConditionOf<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("kind", &self.kind)
            .field("token", &self.token)
            .field("topic", &self.topic)
            .field("push_type", &self.push_type)
            .field("payload_contains", &self.payload_contains.as_ref().map(|text| format!("<{} bytes>", text.len())))
            .field("identifier", &self.identifier)
            .field("connection", &self.connection)
            .field("arrival", &self.arrival)
            .field("arrival_in_connection", &self.arrival_in_connection)
            .field("every", &self.every)
            .field("probability", &self.probability)
            .finish()
    }
}

/// Something that arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival<'a, K> {
    pub(crate) kind: K,
    pub(crate) connection: u64,
    /// Place among all, from 1.
    pub(crate) number: u64,
    /// Place among those of the connection, from 1.
    pub(crate) number_in_connection: u64,
    pub(crate) identifier: Option<u32>,
    pub(crate) token: &'a [u8],
    pub(crate) topic: Option<&'a str>,
    pub(crate) push_type: Option<&'a str>,
    pub(crate) payload: &'a [u8],
}

/// How often each rule applied.
#[derive(Debug, Default)]
pub(super) struct Used(Vec<u64>);

impl Used {
    /// None of them yet.
    pub(super) fn none<R>(rules: &[R]) -> Self {
        Self(vec![0; rules.len()])
    }

    /// After a change: a rule that stays at its place keeps its count.
    pub(super) fn kept<R: PartialEq>(self, old: &[R], new: &[R]) -> Self {
        let kept = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let mut used = Self::none(new);
        used.0[..kept].copy_from_slice(&self.0[..kept]);
        used
    }

    /// What the first rule says that fits and is not used up.
    pub(super) fn decide<K: Subject, A: Clone>(
        &mut self,
        rules: &[RuleOf<K, A>],
        seed: u64,
        arrival: &Arrival<'_, K>,
    ) -> Option<A> {
        for (place, (rule, used)) in rules.iter().zip(&mut self.0).enumerate() {
            if rule.times.is_none_or(|limit| *used < limit) && rule.when.fits(seed, place, arrival) {
                *used += 1;
                return Some(rule.then.clone());
            }
        }
        None
    }
}

fn contains(payload: &[u8], text: &[u8]) -> bool {
    text.is_empty() || payload.windows(text.len()).any(|window| window == text)
}

/// A number from 0 to below 1 that looks random and is the same for the same arguments.
fn chance(seed: u64, place: u64, number: u64) -> f64 {
    let mixed = mix(mix(mix(seed) ^ place) ^ number);
    // The 53 bits that such a number has room for.
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64: each bit of the result depends on all bits of `value`.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
