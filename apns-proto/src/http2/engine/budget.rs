//! What a peer may ask for without bringing an answer.

use std::time::{Duration, Instant};

/// A budget for the work that a peer causes and that settles no request. Each such frame costs something; every answer and
/// every second gives something back, so neither a busy connection nor an idle one runs dry over weeks.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Up to here time was counted.
    counted: Option<Instant>,
}

/// A frame that costs little: PING, PRIORITY, WINDOW_UPDATE, RST_STREAM, a frame of an unknown kind, empty DATA, a frame of
/// a stream that is over.
pub(super) const FRAME: u32 = 1;

/// An answer that another one follows (1xx).
pub(super) const INTERIM: u32 = 4;

/// SETTINGS: the windows of all streams may move.
pub(super) const SETTINGS: u32 = 10;

/// A GOAWAY frame with something new in it, which is kept until it is told.
pub(super) const GO_AWAY: u32 = 500;

/// A full budget.
pub(super) const FULL: u32 = 10_000;

/// What a second gives back.
pub(super) const EACH_SECOND: u32 = 100;

/// What an answer gives back.
pub(super) const EACH_ANSWER: u32 = 16;

impl Budget {
    pub(super) const fn new() -> Self {
        Self { left: FULL, counted: None }
    }

    /// Takes something from it. Says whether it was there.
    #[must_use]
    pub(super) const fn spend(&mut self, cost: u32) -> bool {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    pub(super) fn answered(&mut self) {
        self.earn(EACH_ANSWER);
    }

    /// Counts the time up to now.
    pub(super) fn pass(&mut self, now: Instant) {
        let counted = *self.counted.get_or_insert(now);
        let step = Duration::from_secs(1) / EACH_SECOND;
        let steps = now.saturating_duration_since(counted).as_nanos() / step.as_nanos();
        if steps == 0 {
            return;
        }
        let steps = u32::try_from(steps).unwrap_or(u32::MAX).min(FULL);
        self.earn(steps);
        // What is left over of a step counts the next time; a full budget keeps nothing.
        self.counted = if self.left == FULL { Some(now) } else { counted.checked_add(step * steps) };
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn time_gives_it_back_and_never_more_than_all_of_it() {
        let start = start().instant;
        let mut budget = Budget::new();
        budget.pass(start);
        assert!(budget.spend(FULL));
        assert!(!budget.spend(1));
        // In steps that are each too short for one.
        for millisecond in 1..=1000 {
            budget.pass(start + Duration::from_millis(millisecond));
        }
        assert!(budget.spend(EACH_SECOND) && !budget.spend(1));
        budget.pass(start + Duration::from_secs(1_000_000));
        assert!(budget.spend(FULL) && !budget.spend(1));
        // A clock that goes back gives nothing.
        budget.pass(start);
        assert!(!budget.spend(1));
    }

    #[test]
    fn a_peer_that_asks_once_a_second_lives_for_weeks() {
        let start = start().instant;
        let mut budget = Budget::new();
        for second in 0..30 * 24 * 3600 {
            budget.pass(start + Duration::from_secs(second));
            assert!(budget.spend(FRAME) && budget.spend(SETTINGS));
        }
    }

    #[test]
    fn answers_give_it_back() {
        let mut budget = Budget::new();
        for _ in 0..100_000 {
            assert!((0..EACH_ANSWER).all(|_| budget.spend(FRAME)));
            budget.answered();
        }
    }
}
