//! When silence counts as a yes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::window::Sequence;

/// How many marks one quiet time is divided into. More are merged, which delays a presumption by at most one part.
const PARTS: u32 = 32;

/// All written before `end` were taken by the transport between `first` and `last`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    end: Sequence,
    first: Instant,
    last: Instant,
}

/// Remembers when the transport took what, in bounded memory.
#[derive(Debug)]
pub(super) struct Quiet {
    time: Duration,
    marks: VecDeque<Mark>,
}

impl Quiet {
    pub(super) const fn new(time: Duration) -> Self {
        Self { time, marks: VecDeque::new() }
    }

    /// The transport took all that was written before `end`.
    pub(super) fn taken(&mut self, end: Sequence, now: Instant) {
        // A clock that goes backwards must not shorten the quiet time.
        let now = self.marks.back().map_or(now, |mark| now.max(mark.last));
        if let Some(mark) = self.marks.back_mut() {
            if mark.end == end {
                return;
            }
            if now.saturating_duration_since(mark.first) < self.time / PARTS {
                mark.end = end;
                mark.last = now;
                return;
            }
        }
        self.marks.push_back(Mark { end, first: now, last: now });
    }

    /// The end of what has been quiet for long enough.
    pub(super) fn presumed(&mut self, now: Instant) -> Option<Sequence> {
        let mut end = None;
        while self.due().is_some_and(|due| due <= now) {
            end = self.marks.pop_front().map(|mark| mark.end);
        }
        end
    }

    /// When the next presumption is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.marks.front()?.last.checked_add(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, start};

    #[test]
    fn a_steady_stream_is_presumed_in_time_and_kept_in_bounded_memory() {
        let start = start().instant;
        let mut quiet = Quiet::new(Duration::from_secs(3));
        for step in 0..10_000_u64 {
            let now = start + Duration::from_millis(step);
            quiet.taken(Sequence::FIRST.plus(step as usize + 1), now);
            if let Some(end) = quiet.presumed(now) {
                let taken_at = start + Duration::from_millis(end.since(Sequence::FIRST) - 1);
                assert!(now >= taken_at + Duration::from_secs(3), "presumed too early");
            }
            assert!(quiet.marks.len() <= PARTS as usize + 2, "{} marks", quiet.marks.len());
        }
        let last = quiet.presumed(start + Duration::from_secs(13));
        assert_eq!(last, Some(Sequence::FIRST.plus(10_000)));
        assert_eq!(quiet.due(), None);
    }

    #[test]
    fn a_clock_that_goes_backwards_does_not_shorten_the_quiet_time() {
        let second = Duration::from_secs(1);
        let early = start();
        let late = after(early, second);
        for merged in [Duration::from_secs(3), Duration::from_secs(300)] {
            let mut quiet = Quiet::new(merged);
            quiet.taken(Sequence::FIRST.plus(1), late.instant);
            quiet.taken(Sequence::FIRST.plus(2), early.instant);
            assert_eq!(quiet.presumed(early.instant + merged), None);
            assert_eq!(quiet.presumed(late.instant + merged), Some(Sequence::FIRST.plus(2)));
            assert_eq!(quiet.due(), None);
        }
    }
}
