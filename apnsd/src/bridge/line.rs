//! What one connection took, in its order, until it is known to be good: whom an error response names, and when.
//!
//! Answers come in any order, and an error response says that everything before the culprit was accepted. So the first
//! refusal is told only when everything before it is settled, or has kept it waiting for too long.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use apns_proto::binary::Status;

/// How long a refusal waits for those before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Open,
    /// There is nothing to tell the client.
    Fine,
    /// The client is told so.
    Refused(Status),
}

/// An error response that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// What to say.
    pub(super) status: Status,
    /// Whom it names; 0 for one that has no identifier.
    pub(super) identifier: u32,
    /// The place of that one.
    pub(super) place: u64,
}

/// The line of one connection. Reads no clock.
#[derive(Debug)]
pub(super) struct Line<T> {
    entries: VecDeque<Entry<T>>,
    /// The place of the first entry.
    first: u64,
    refused: BTreeSet<u64>,
    /// Since when there is one that was refused.
    waiting_since: Option<Instant>,
    last_identifier: Option<u32>,
    open: usize,
    limit: usize,
}

#[derive(Debug)]
struct Entry<T> {
    identifier: u32,
    fate: Fate,
    what: T,
}

impl<T> Line<T> {
    /// Remembers at most `limit`. The oldest beyond that are not told of any more, whatever becomes of them.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            refused: BTreeSet::new(),
            waiting_since: None,
            last_identifier: None,
            open: 0,
            limit: limit.max(1),
        }
    }

    /// The place that the next one gets.
    pub(super) fn next_place(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// One was taken. Gives its place.
    pub(super) fn push(&mut self, now: Instant, identifier: Option<u32>, fate: Fate, what: T) -> u64 {
        let place = self.next_place();
        let identifier = identifier.unwrap_or(0);
        self.entries.push_back(Entry { identifier, fate: Fate::Open, what });
        self.open += 1;
        if !matches!(fate, Fate::Refused(_)) {
            self.last_identifier = Some(identifier);
        }
        self.settle(now, place, fate);
        if self.entries.len() > self.limit {
            self.let_go(self.first + 1);
        }
        place
    }

    /// What became of one. One that is not in the line any more is nobody's business.
    pub(super) fn settle(&mut self, now: Instant, place: u64, fate: Fate) {
        let index = place.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else { return };
        if entry.fate == Fate::Open && fate != Fate::Open {
            entry.fate = fate;
            self.open -= 1;
            if matches!(fate, Fate::Refused(_)) {
                self.refused.insert(place);
                self.waiting_since.get_or_insert(now);
            }
        }
        let fine = self.entries.iter().take_while(|entry| entry.fate == Fate::Fine).count();
        self.let_go(self.first + fine as u64);
    }

    /// The error response that is due now.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let place = *self.refused.first()?;
        if place != self.first && self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let entry = self.entries.get(usize::try_from(place.checked_sub(self.first)?).ok()?)?;
        let Fate::Refused(status) = entry.fate else { return None };
        Some(Due { status, identifier: entry.identifier, place })
    }

    /// When [`due`](Self::due) has something to say even if nothing more is heard.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + PATIENCE)
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether nothing is open or to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The identifier of the last one that was taken; `None` when none was.
    pub(super) fn last_identifier(&self) -> Option<u32> {
        self.last_identifier
    }

    /// The end of the line: what stands behind this place, in its order.
    pub(super) fn behind(mut self, place: u64) -> impl Iterator<Item = T> {
        self.let_go(place + 1);
        self.entries.into_iter().map(|entry| entry.what)
    }

    fn let_go(&mut self, upto: u64) {
        while self.first < upto
            && let Some(entry) = self.entries.pop_front()
        {
            self.refused.remove(&self.first);
            self.open -= usize::from(entry.fate == Fate::Open);
            self.first += 1;
        }
        if self.refused.is_empty() {
            self.waiting_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BAD: Fate = Fate::Refused(Status::INVALID_TOKEN);

    fn line_of(count: u32, now: Instant) -> Line<u32> {
        let mut line = Line::new(1000);
        for identifier in 1..=count {
            assert_eq!(line.push(now, Some(identifier), Fate::Open, identifier), u64::from(identifier - 1));
        }
        line
    }

    #[test]
    fn the_first_refusal_is_told_when_all_before_it_are_good() {
        let now = Instant::now();
        let mut line = line_of(5, now);
        line.settle(now, 3, BAD);
        line.settle(now, 0, Fate::Fine);
        assert_eq!(line.due(now), None);
        line.settle(now, 1, BAD);
        let due = Due { status: Status::INVALID_TOKEN, identifier: 2, place: 1 };
        assert_eq!(line.due(now), Some(due));
        assert_eq!(line.behind(1).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn a_refusal_does_not_wait_for_ever() {
        let now = Instant::now();
        let mut line = line_of(5, now);
        line.settle(now, 2, BAD);
        assert_eq!(line.deadline(), Some(now + PATIENCE));
        assert_eq!(line.due(now + PATIENCE / 2), None);
        assert_eq!(line.due(now + PATIENCE).map(|due| due.identifier), Some(3));
    }

    #[test]
    fn a_line_that_is_too_long_lets_go_of_its_beginning() {
        let now = Instant::now();
        let mut line = Line::new(3);
        for identifier in 1..=5_u32 {
            line.push(now, Some(identifier), Fate::Open, identifier);
        }
        assert_eq!(line.open(), 3);
        line.settle(now, 0, BAD);
        assert_eq!(line.due(now), None, "it is not there any more");
        line.settle(now, 2, BAD);
        assert_eq!(line.due(now).map(|due| due.identifier), Some(3));
    }

    #[test]
    fn what_has_no_identifier_is_called_zero_and_what_was_refused_at_once_was_not_taken() {
        let now = Instant::now();
        let mut line = Line::new(3);
        assert_eq!(line.last_identifier(), None);
        line.push(now, Some(9), Fate::Open, ());
        line.push(now, None, BAD, ());
        assert_eq!(line.last_identifier(), Some(9));
        line.settle(now, 0, Fate::Fine);
        assert_eq!(line.due(now).map(|due| due.identifier), Some(0));
    }

    proptest! {
        #[test]
        fn it_tells_what_a_naive_reading_tells(
            fates in prop::collection::vec(prop::bool::weighted(0.8), 1..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let now = Instant::now();
            let mut line = line_of(fates.len() as u32, now);
            let mut known = vec![None; fates.len()];
            for index in order {
                let place = index.index(fates.len());
                let fate = if fates[place] { Fate::Fine } else { BAD };
                line.settle(now, place as u64, fate);
                known[place] = Some(fates[place]);
                let first = known.iter().position(|known| *known != Some(true));
                let expected = first.filter(|first| known[*first] == Some(false));
                prop_assert_eq!(line.due(now).map(|due| due.place), expected.map(|place| place as u64));
                prop_assert_eq!(line.is_empty(), first.is_none());
                prop_assert_eq!(line.open(), known.iter().filter(|known| known.is_none()).count());
            }
        }
    }
}
