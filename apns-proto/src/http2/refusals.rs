//! A service that refuses requests without looking at them (REFUSED_STREAM).

use std::time::{Duration, Instant};

/// Keeps a connection from sending refused requests again and again as fast as they come back.
///
/// A refusal with other requests open says that there were too many: those that are open come first. A refusal of the only
/// open one says that even one is too many: the next waits, longer each time, and after some of these the connection is
/// given up.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Refusals in a row of the only open request.
    alone: u32,
    until: Option<Instant>,
    /// No more than this many at once, until something is answered.
    limit: Option<usize>,
}

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);

/// After so many refusals of the only open request in a row the connection is given up.
const GIVE_UP: u32 = 5;

impl Refusals {
    /// A request was refused while `open` others were open. Says whether to give up.
    pub(super) fn refused(&mut self, now: Instant, open: usize) -> bool {
        self.limit = Some(open.max(1));
        if open > 0 {
            return false;
        }
        let wait = FIRST.saturating_mul(1 << self.alone.min(16));
        self.alone += 1;
        self.until = now.checked_add(wait);
        self.alone >= GIVE_UP
    }

    /// A request was answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Instant) {
        self.until = self.until.filter(|until| *until > now);
    }

    /// Until when nothing is sent.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How many requests may be open now, if refusals say anything about it.
    pub(super) const fn limit(&self) -> Option<usize> {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn one_too_many_is_not_a_reason_to_wait() {
        let now = start().instant;
        let mut refusals = Refusals::default();
        for open in (1..200).rev() {
            assert!(!refusals.refused(now, open));
            assert_eq!((refusals.limit(), refusals.until()), (Some(open), None));
        }
        refusals.answered();
        assert_eq!(refusals.limit(), None);
    }

    #[test]
    fn a_service_that_takes_nothing_is_given_up() {
        let now = start().instant;
        let mut refusals = Refusals::default();
        for wait in [1, 2, 4, 8] {
            assert!(!refusals.refused(now, 0));
            assert_eq!(refusals.until(), Some(now + Duration::from_secs(wait)));
        }
        assert!(refusals.refused(now, 0));
        refusals.pass(now + Duration::from_secs(60));
        assert_eq!(refusals.until(), None);
    }
}
