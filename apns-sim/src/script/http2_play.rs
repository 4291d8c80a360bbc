//! The provider API's rules while they are played.

use std::collections::HashMap;

use super::play::{chance, contains};
use super::{Http2Condition, Http2Step, RequestKind, Script, Unregistered};

/// A request that arrived at the provider API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestArrival<'a> {
    pub(crate) kind: RequestKind,
    pub(crate) connection: u64,
    /// Place among all requests, from 1.
    pub(crate) number: u64,
    /// Place among the requests of the connection, from 1.
    pub(crate) number_in_connection: u64,
    pub(crate) token: &'a [u8],
    pub(crate) topic: Option<&'a str>,
    pub(crate) push_type: Option<&'a str>,
    pub(crate) payload: &'a [u8],
}

/// What of the rules has been used up, and lists prepared for looking up.
#[derive(Debug, Default)]
pub(crate) struct Http2Play {
    /// How often each rule applied.
    used: Vec<u64>,
    /// Places in the list of tokens out of use.
    exact: HashMap<Box<[u8]>, usize>,
    patterns: Vec<usize>,
}

impl Http2Play {
    pub(crate) fn new(script: &Script) -> Self {
        let mut play = Self { used: vec![0; script.http2.rules.len()], ..Self::default() };
        for (place, entry) in script.http2.unregistered.iter().enumerate() {
            match entry.token.as_exact() {
                Some(token) => {
                    play.exact.entry(token.into()).or_insert(place);
                }
                None => play.patterns.push(place),
            }
        }
        play
    }

    /// Goes on with a changed script. A rule that stays at its place keeps its count.
    pub(crate) fn change(&mut self, old: &Script, new: &Script) {
        let kept = old.http2.rules.iter().zip(&new.http2.rules).take_while(|(old, new)| old == new).count();
        let used = std::mem::replace(self, Self::new(new)).used;
        self.used[..kept].copy_from_slice(&used[..kept]);
    }

    /// What the script says about it; `None` where it says nothing.
    pub(crate) fn decide(&mut self, script: &Script, arrival: &RequestArrival<'_>) -> Option<Vec<Http2Step>> {
        let rules = script.http2.rules.iter().zip(&mut self.used).enumerate();
        for (place, (rule, used)) in rules {
            if rule.times.is_none_or(|limit| *used < limit) && fits(&rule.when, script.seed, place, arrival) {
                *used += 1;
                return Some(rule.then.clone());
            }
        }
        None
    }

    /// Whether a device token is out of use, and since when.
    pub(crate) fn unregistered<'a>(&self, script: &'a Script, token: &[u8]) -> Option<&'a Unregistered> {
        let entries = &script.http2.unregistered;
        let exact = self.exact.get(token).copied();
        let pattern = self.patterns.iter().copied().find(|place| entries[*place].token.matches(token));
        [exact, pattern].into_iter().flatten().min().map(|place| &entries[place])
    }
}

fn fits(when: &Http2Condition, seed: u64, place: usize, arrival: &RequestArrival<'_>) -> bool {
    when.kind == arrival.kind
        && when.connection.is_none_or(|number| number == arrival.connection)
        && when.arrival.is_none_or(|number| number == arrival.number)
        && when.arrival_in_connection.is_none_or(|number| number == arrival.number_in_connection)
        && when.every.is_none_or(|n| n != 0 && arrival.number.is_multiple_of(n))
        && when.token.as_ref().is_none_or(|pattern| pattern.matches(arrival.token))
        && when.topic.as_deref().is_none_or(|topic| Some(topic) == arrival.topic)
        && when.push_type.as_deref().is_none_or(|push_type| Some(push_type) == arrival.push_type)
        && when.payload_contains.as_ref().is_none_or(|text| contains(arrival.payload, text.as_bytes()))
        && when.probability.is_none_or(|probability| chance(seed, place as u64, arrival.number) < probability)
}
