//! Refused notifications that are sent again after a while.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::{Message, Outcome, Rejection, Settled, Submission};

/// The most that are held at once. A refusal that finds no place is told at once.
const LIMIT: usize = 10_000;

/// Refused notifications by the time at which they are sent again.
#[derive(Debug)]
pub(super) struct Held<K, M: Message> {
    /// The number keeps those of one moment in their order.
    waiting: BTreeMap<(Instant, u64), (Submission<K, M>, Rejection)>,
    next: u64,
}

impl<K, M: Message> Held<K, M> {
    pub(super) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= LIMIT
    }

    pub(super) fn push(&mut self, due: Instant, submission: Submission<K, M>, rejection: Rejection) {
        self.waiting.insert((due, self.next), (submission, rejection));
        self.next += 1;
    }

    /// The next one whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Submission<K, M>> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        Some(first.remove().0)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes out, with the refusal as its end, one that would be sent again only after `deadline`.
    pub(super) fn pop_after(&mut self, deadline: Instant) -> Option<Settled<K, M>> {
        let last = self.waiting.last_entry()?;
        if last.key().0 <= deadline {
            return None;
        }
        Some(end(last.remove()))
    }

    /// Takes one out, with the refusal as its end.
    pub(super) fn pop(&mut self) -> Option<Settled<K, M>> {
        self.waiting.pop_first().map(|(_, held)| end(held))
    }
}

fn end<K, M: Message>((submission, rejection): (Submission<K, M>, Rejection)) -> Settled<K, M> {
    submission.settle(Outcome::Rejected(rejection))
}
