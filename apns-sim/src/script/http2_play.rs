//! The provider API's rules while they are played.

use std::collections::HashMap;

use super::condition::Used;
use super::{Arrival, Http2Step, RequestKind, Script, Unregistered};

/// What of the rules has been used up, and lists prepared for looking up.
#[derive(Debug, Default)]
pub(crate) struct Http2Play {
    used: Used,
    /// Places in the list of tokens out of use.
    exact: HashMap<Box<[u8]>, usize>,
    patterns: Vec<usize>,
}

impl Http2Play {
    pub(crate) fn new(script: &Script) -> Self {
        let mut play = Self { used: Used::none(&script.http2.rules), ..Self::default() };
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
        let used = std::mem::take(&mut self.used).kept(&old.http2.rules, &new.http2.rules);
        *self = Self { used, ..Self::new(new) };
    }

    /// What the script says about it; `None` where it says nothing.
    pub(crate) fn decide(&mut self, script: &Script, arrival: &Arrival<'_, RequestKind>) -> Option<Vec<Http2Step>> {
        self.used.decide(&script.http2.rules, script.seed, arrival)
    }

    /// Whether a device token is out of use, and since when.
    pub(crate) fn unregistered<'a>(&self, script: &'a Script, token: &[u8]) -> Option<&'a Unregistered> {
        let entries = &script.http2.unregistered;
        let exact = self.exact.get(token).copied();
        let pattern = self.patterns.iter().copied().find(|place| entries[*place].token.matches(token));
        [exact, pattern].into_iter().flatten().min().map(|place| &entries[place])
    }
}
