//! The notifications of one connection that have no outcome yet, in the order of writing.

use super::segments::Segments;
use super::{Format, Frame};
use crate::{Notification, Outcome, Priority, PushType, Settled, Submission, WallTime};

/// The number of wire identifiers: all of 32 bits but 0, which an error response uses for "I do not know which".
const IDENTIFIERS: u64 = u32::MAX as u64;

/// The place of a notification in the order of writing on one connection, from 1. Never reused, unlike identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) const FIRST: Self = Self(1);

    /// The identifier on the wire: never 0, also after a wrap.
    pub(super) const fn identifier(self) -> u32 {
        ((self.0 - 1) % IDENTIFIERS) as u32 + 1
    }

    pub(super) const fn plus(self, count: usize) -> Self {
        Self(self.0 + count as u64)
    }

    /// How many were written from `earlier` up to here.
    pub(super) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The latest sequence before `end` that was written with this identifier.
    fn latest_with(identifier: u32, end: Self) -> Option<Self> {
        let wanted = (u64::from(identifier)).checked_sub(1)?;
        let last = end.0.checked_sub(2)?; // zero-based sequence of the last one written
        let back = (last + IDENTIFIERS - wanted) % IDENTIFIERS;
        last.checked_sub(back).map(|zero_based| Self(zero_based + 1))
    }
}

/// Where an error response points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the notification with this index among those written.
    At(usize),
    /// At one that had left the window as presumed accepted. `first` is the first written after it.
    Left { first: Sequence },
    /// At nothing that was sent here.
    Nowhere,
}

#[derive(Debug)]
struct Entry<K> {
    submission: Submission<K>,
    bytes: usize,
}

/// Bounded by count and by bytes on the wire. Holds shared payloads, not encoded frames.
#[derive(Debug)]
pub(super) struct Window<K> {
    /// Written ones first, then those that wait to be written.
    entries: Segments<Entry<K>>,
    /// How many of `entries` were written.
    written: usize,
    /// After a failed write: how many of `entries` were written at least in part.
    begun: usize,
    /// The sequence of the first entry.
    front: Sequence,
    bytes: usize,
    count_limit: usize,
    byte_limit: usize,
    format: Format,
}

impl<K> Window<K> {
    pub(super) const fn new(format: Format, count_limit: usize, byte_limit: usize) -> Self {
        Self {
            entries: Segments::new(),
            written: 0,
            begun: 0,
            front: Sequence::FIRST,
            bytes: 0,
            count_limit,
            byte_limit,
            format,
        }
    }

    /// How many more there is room for, as long as they are small. An empty window takes one whatever the byte limit, so
    /// that a frame larger than that can be sent at all; the limit of the count is 1 or more.
    pub(super) fn room(&self) -> usize {
        if self.bytes >= self.byte_limit && !self.entries.is_empty() {
            return 0;
        }
        self.count_limit.saturating_sub(self.entries.len())
    }

    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Inlined always, for the reason of [`Segments::push_back`].
    #[inline(always)]
    pub(super) fn push(&mut self, submission: Submission<K>) {
        let bytes = encoded_len(self.format, &submission.notification);
        self.bytes += bytes;
        self.entries.push_back(Entry { submission, bytes });
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn any(&self, is_meant: impl Fn(&Submission<K>) -> bool) -> bool {
        (0..self.len()).filter_map(|index| self.entries.get(index)).any(|entry| is_meant(&entry.submission))
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The last of those that were written, so many.
    pub(super) fn written_last(&self, count: usize) -> impl Iterator<Item = &Submission<K>> {
        let last = self.written.saturating_sub(count)..self.written;
        last.filter_map(|index| self.entries.get(index)).map(|entry| &entry.submission)
    }

    /// The sequence that the next one written gets; also the end of those written.
    pub(super) fn next_sequence(&self) -> Sequence {
        self.front.plus(self.written)
    }

    /// How many entries come before this sequence.
    pub(super) fn count_before(&self, end: Sequence) -> usize {
        (end.since(self.front) as usize).min(self.written)
    }

    /// The next one to be written.
    pub(super) fn next_unwritten(&self) -> Option<&Submission<K>> {
        self.entries.get(self.written).map(|entry| &entry.submission)
    }

    /// The next one enters the window proper, if `write` wrote it, before its bytes are handed out. Says whether; `None`
    /// where there is no next one.
    pub(super) fn write_next(&mut self, write: impl FnOnce(u32, &Submission<K>) -> bool) -> Option<bool> {
        let identifier = self.next_sequence().identifier();
        let submission = &mut self.entries.get_mut(self.written)?.submission;
        let is_written = write(identifier, submission);
        if is_written {
            submission.attempts = submission.attempts.saturating_add(1);
            self.written += 1;
        }
        Some(is_written)
    }

    /// The transport never took the last `unsent` bytes. Those not wholly taken cannot have been understood by the
    /// peer: they count as not written, unless the peer names one of them. The first `kept` have an outcome already and
    /// stay.
    pub(super) fn unwrite(&mut self, mut unsent: usize, kept: usize) {
        self.begun = self.written;
        while unsent > 0 && self.written > kept {
            let Some(entry) = self.entries.get_mut(self.written - 1) else { return };
            if unsent >= entry.bytes {
                // Not one byte of it left.
                entry.submission.attempts = entry.submission.attempts.saturating_sub(1);
                self.begun = self.written - 1;
            }
            unsent = unsent.saturating_sub(entry.bytes);
            self.written -= 1;
        }
    }

    /// The peer named the entry with this index: it got more of it than the transport said.
    pub(super) fn mark_named(&mut self, index: usize) {
        self.written = self.written.max(index + 1).min(self.entries.len());
    }

    /// The end of what the peer may name: all of which at least the first bytes left.
    pub(super) fn nameable_end(&self) -> Sequence {
        self.front.plus(self.written.max(self.begun))
    }

    /// Takes out the one that would be written next.
    pub(super) fn remove_unwritten(&mut self) -> Option<Submission<K>> {
        let entry = self.entries.remove(self.written)?;
        self.bytes -= entry.bytes;
        Some(entry.submission)
    }

    /// Takes out the first one, which ended.
    #[inline]
    pub(super) fn settle_front(&mut self, outcome: Outcome) -> Option<Settled<K>> {
        self.entries.pop_front().map(|Entry { submission, bytes }| {
            self.note_popped(bytes);
            submission.settle(outcome)
        })
    }

    /// Takes out the first one; says whether it was written.
    pub(super) fn pop_front(&mut self) -> Option<(Submission<K>, bool)> {
        let entry = self.entries.pop_front()?;
        Some((entry.submission, self.note_popped(entry.bytes)))
    }

    /// Says whether the first one, which is gone, was written.
    const fn note_popped(&mut self, bytes: usize) -> bool {
        self.bytes -= bytes;
        let was_written = self.written > 0;
        if was_written {
            self.written -= 1;
            self.begun = self.begun.saturating_sub(1);
            self.front = self.front.plus(1);
        }
        was_written
    }

    /// Finds what an error response names.
    pub(super) fn place(&self, identifier: u32) -> Place {
        let Some(sequence) = Sequence::latest_with(identifier, self.nameable_end()) else { return Place::Nowhere };
        if self.format == Format::Simple {
            // Command 0 carries no identifier, so the gateway cannot have learnt one from us.
            return Place::Nowhere;
        }
        if sequence < self.front {
            return Place::Left { first: sequence.plus(1) };
        }
        Place::At(sequence.since(self.front) as usize)
    }

    /// The sequence of the first entry.
    pub(super) fn front(&self) -> Sequence {
        self.front
    }

    #[cfg(test)]
    pub(super) fn starting_at(mut self, sequence: u64) -> Self {
        self.front = Sequence(sequence);
        self
    }

    #[cfg(test)]
    pub(super) fn push_written(&mut self, submission: Submission<K>) {
        self.push(submission);
        self.write_next(|_, _| true);
    }
}

/// What a notification looks like on the wire.
pub(super) fn frame_of(format: Format, notification: &Notification, identifier: u32, now: WallTime) -> Frame<'_> {
    // Apple: priority 10 is an error for a push that only wakes the app (*Binary Provider API*, item 5).
    let background = notification.payload().is_inferred(&PushType::Background);
    let priority = if background { Some(Priority::PowerSaving) } else { notification.priority() };
    Frame {
        format,
        identifier,
        expiration: notification.expiration().seconds(now),
        priority: priority.map(Priority::number),
        token: notification.token().as_bytes(),
        payload: notification.payload().as_bytes(),
    }
}

fn encoded_len(format: Format, notification: &Notification) -> usize {
    // Neither the identifier nor the time changes the length.
    frame_of(format, notification, 1, WallTime::EPOCH).encoded_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_skip_zero_at_the_wrap() {
        let ids = |start: u64| (start..start + 4).map(|n| Sequence(n).identifier()).collect::<Vec<_>>();
        assert_eq!(ids(1), [1, 2, 3, 4]);
        assert_eq!(ids(u64::from(u32::MAX) - 1), [u32::MAX - 1, u32::MAX, 1, 2]);
        assert_eq!(ids(2 * u64::from(u32::MAX)), [u32::MAX, 1, 2, 3]);
    }

    #[test]
    fn the_latest_with_an_identifier_is_found() {
        let wrap = u64::from(u32::MAX);
        let latest = |identifier, end| Sequence::latest_with(identifier, Sequence(end)).map(|found| found.0);
        assert_eq!(latest(0, 10), None, "0 names nothing");
        assert_eq!(latest(1, 1), None, "nothing was written yet");
        assert_eq!(latest(1, 2), Some(1));
        assert_eq!(latest(9, 10), Some(9));
        assert_eq!(latest(10, 10), None, "not written yet");
        assert_eq!(latest(u32::MAX, wrap + 3), Some(wrap));
        assert_eq!(latest(2, wrap + 3), Some(wrap + 2));
        assert_eq!(latest(3, wrap + 3), Some(3));
    }

    #[test]
    fn what_may_be_named_after_a_failed_write_does_not_move_when_the_first_ones_leave() {
        let mut window = Window::new(Format::Items, 10, usize::MAX);
        for number in 0..4 {
            window.push_written(Submission::new((), crate::testing::notification(number)));
        }
        let one = window.bytes / 4;
        // The last one did not leave, the third in part.
        window.unwrite(one + one / 2, 1);
        let named = |window: &Window<()>| [2, 3, 4].map(|identifier| window.place(identifier));
        assert_eq!(named(&window), [Place::At(1), Place::At(2), Place::Nowhere]);
        window.pop_front();
        assert_eq!(named(&window), [Place::At(0), Place::At(1), Place::Nowhere]);
    }

    fn window_of(count: u32) -> Window<()> {
        let mut window = Window::new(Format::Items, 10, usize::MAX);
        for number in 0..count {
            window.push_written(Submission::new((), crate::testing::notification(number)));
        }
        window
    }

    #[test]
    fn a_failed_write_takes_nothing_back_that_has_an_outcome() {
        let mut window = window_of(3);
        window.unwrite(window.bytes, 1);
        assert_eq!(window.written(), 1);
        assert_eq!(window.len(), 3);
        window.unwrite(window.bytes, 1);
        assert_eq!(window.written(), 1, "there is nothing left to take back");
    }

    #[test]
    fn what_leaves_makes_room_for_as_many_bytes() {
        let mut window = window_of(4);
        let one = window.bytes / 4;
        window.byte_limit = 4 * one;
        assert!(!window.has_room());
        window.pop_front();
        assert!(window.has_room());
        assert_eq!(window.bytes, 3 * one);

        window.unwrite(one, 0);
        assert!(window.remove_unwritten().is_some());
        assert_eq!(window.bytes, 2 * one);
        assert!(window.remove_unwritten().is_none());
        assert_eq!(window.bytes, 2 * one);
    }

    #[test]
    fn only_what_merely_wakes_the_app_is_forced_to_priority_5() {
        let priority = |json: &'static str| {
            let payload = crate::Payload::from_json(json).unwrap();
            let notification = Notification::new(crate::testing::notification(1).token().clone(), payload)
                .with_priority(Priority::Immediate);
            frame_of(Format::Items, &notification, 1, WallTime::EPOCH).priority
        };
        assert_eq!(priority(r#"{"aps":{"content-available":1}}"#), Some(5));
        assert_eq!(priority(r#"{"aps":{"alert":"a","content-available":1}}"#), Some(10));
    }
}
