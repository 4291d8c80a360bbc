//! How much may be written ahead of proof.

/// The smallest write-ahead budget.
const FLOOR: usize = 256;

/// The most notifications that one connection may have in its window.
///
/// Each error response throws away what was written behind the one it names. With one bad token in a hundred, a large
/// window would be written again a hundred times over. So the budget halves at each error response that names a
/// culprit, and doubles for each budget's worth that was proven accepted.
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

    /// An error response named a culprit after `written` had been written. Halving what was really written, where that
    /// is less than was allowed, finds the right size at once instead of in a dozen connections.
    pub(super) fn culprit(&mut self, written: usize) {
        self.current = (self.current.min(written) / 2).max(FLOOR).min(self.limit);
        self.proven = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_to_the_floor_and_doubles_to_the_limit() {
        let mut budget = Budget::new(1000);
        budget.culprit(5000);
        assert_eq!(budget.current(), 500);
        budget.culprit(5000);
        budget.culprit(5000);
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
        budget.culprit(2000);
        assert_eq!(budget.current(), 1000);
    }

    #[test]
    fn a_window_smaller_than_the_floor_stays_as_it_is() {
        let mut budget = Budget::new(10);
        budget.culprit(10);
        assert_eq!(budget.current(), 10);
    }
}
