//! The requests that wait for their answers.

use std::collections::BTreeMap;
use std::time::Instant;

use super::ProviderToken;
use crate::Submission;

/// A notification that was sent.
#[derive(Debug)]
pub(super) struct Sent<K> {
    pub(super) submission: Submission<K>,
    pub(super) since: Instant,
    /// The token it was sent with.
    pub(super) token: Option<ProviderToken>,
}

/// The open streams, by identifier, which is the order in which they were opened.
#[derive(Debug)]
pub(super) struct InFlight<K> {
    streams: BTreeMap<u32, Sent<K>>,
}

impl<K> InFlight<K> {
    pub(super) const fn new() -> Self {
        Self { streams: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, stream: u32, sent: Sent<K>) {
        self.streams.insert(stream, sent);
    }

    pub(super) fn take(&mut self, stream: u32) -> Option<Sent<K>> {
        self.streams.remove(&stream)
    }

    /// The stream that has waited longest, and since when.
    pub(super) fn oldest(&self) -> Option<(u32, Instant)> {
        self.streams.first_key_value().map(|(stream, sent)| (*stream, sent.since))
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}
