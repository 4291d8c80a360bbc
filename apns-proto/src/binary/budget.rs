//! How much may be written ahead of proof.

/// The smallest write-ahead budget.
const FLOOR: usize = 256;

/// A budget is not worth more than so many times the run of good ones that ended in a culprit.
const RUNS: usize = 8;

/// The most notifications that one connection may have in its window.
///
/// Each error response throws away what was written behind the one it names. With one bad token in a hundred, a large
/// window would be written again a hundred times over. So the budget at least halves at each error response that names
/// a culprit, and doubles for each budget's worth that was proven accepted.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    current: usize,
    limit: usize,
    proven: usize,
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Self { current: limit, limit, proven: 0 }
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    /// So many were proven accepted.
    pub(super) fn proven(&mut self, count: usize) {
        self.proven += count;
        while self.proven >= self.current && self.current < self.limit {
            self.proven -= self.current;
            self.current = (self.current * 2).min(self.limit);
        }
        if self.current == self.limit {
            self.proven = 0;
        }
    }

    /// An error response named a culprit behind `accepted` good ones, after `written` had been written in all. Both say
    /// more than halving alone, which would take a dozen connections to find the right size of a large window.
    pub(super) fn culprit(&mut self, accepted: usize, written: usize) {
        let run = (accepted + 1).saturating_mul(RUNS);
        self.current = (self.current.min(written) / 2).min(run).max(FLOOR).min(self.limit);
        self.proven = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_to_the_floor_and_doubles_to_the_limit() {
        let mut budget = Budget::new(1000);
        budget.culprit(4000, 5000);
        assert_eq!(budget.current(), 500);
        budget.culprit(4000, 5000);
        budget.culprit(4000, 5000);
        assert_eq!(budget.current(), 256);
        budget.proven(255);
        assert_eq!(budget.current(), 256);
        budget.proven(1);
        assert_eq!(budget.current(), 512);
        budget.proven(10_000);
        assert_eq!(budget.current(), 1000);
    }

    #[test]
    fn what_was_never_written_does_not_count() {
        let mut budget = Budget::new(100_000);
        budget.culprit(1500, 2000);
        assert_eq!(budget.current(), 1000);
    }

    #[test]
    fn a_short_run_of_good_ones_counts() {
        let mut budget = Budget::new(100_000);
        budget.culprit(99, 100_000);
        assert_eq!(budget.current(), 800);
        budget.culprit(0, 800);
        assert_eq!(budget.current(), 256);
    }

    #[test]
    fn a_window_smaller_than_the_floor_stays_as_it_is() {
        let mut budget = Budget::new(10);
        budget.culprit(9, 10);
        assert_eq!(budget.current(), 10);
    }
}
