//! Which lines may have left.

use crate::batch::lines::LineSet;

/// Which lines may have left, over all passes through the batch: what a resumed run does is one more pass, from the first
/// line on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Departures {
    /// In an earlier pass, lines up to this one may have left,
    pub(crate) earlier: u64,
    /// but for these.
    pub(crate) stayed: LineSet,
    /// In the pass that was the last one, lines up to this one may have left.
    pub(crate) mark: u64,
}

impl Departures {
    /// Whether a line may have left.
    pub(crate) fn may_have_left(&self, line: u64) -> bool {
        line <= self.mark || self.may_have_left_earlier(line)
    }

    fn may_have_left_earlier(&self, line: u64) -> bool {
        line <= self.earlier && !self.stayed.contains(line)
    }

    /// The same, seen from the next pass. `returned` are lines of the last pass that are known not to have left in it.
    pub(crate) fn into_next_pass(self, returned: &LineSet) -> Self {
        let behind = self.stayed.iter().filter(|line| *line > self.mark);
        let back = returned.iter().filter(|line| !self.may_have_left_earlier(*line));
        let earlier = self.earlier.max(self.mark);
        let stayed = behind.chain(back).filter(|line| *line <= earlier).map(|line| line..=line).collect();
        Self { earlier, stayed, mark: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_back_did_not_leave() {
        let first = Departures { mark: 10, ..Departures::default() };
        assert!(first.may_have_left(10) && !first.may_have_left(11));
        let second = first.into_next_pass(&[6..=8].into_iter().collect());
        let left: Vec<_> = (1..=12).filter(|line| second.may_have_left(*line)).collect();
        assert_eq!(left, [1, 2, 3, 4, 5, 9, 10]);
        // The second pass got as far as 7 and was killed.
        let third = Departures { mark: 7, ..second }.into_next_pass(&LineSet::default());
        let left: Vec<_> = (1..=12).filter(|line| third.may_have_left(*line)).collect();
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 9, 10]);
    }

    #[test]
    fn what_may_have_left_earlier_did_not_come_back_later() {
        let second = Departures { mark: 10, ..Departures::default() }.into_next_pass(&LineSet::default());
        let third = Departures { mark: 10, ..second }.into_next_pass(&[1..=10].into_iter().collect());
        assert!((1..=10).all(|line| third.may_have_left(line)));
    }

    proptest! {
        /// Against a list of all that was ever handed over and did not come back.
        #[test]
        fn it_is_what_was_handed_over(passes in prop::collection::vec((0..40_u64, prop::collection::vec(1..40_u64, 0..20)), 0..6)) {
            let mut left = [false; 41];
            let mut departures = Departures::default();
            for (mark, returned) in passes {
                let returned: LineSet = returned.into_iter().filter(|line| *line <= mark).map(|line| line..=line).collect();
                for line in 1..=mark {
                    left[line as usize] |= !returned.contains(line);
                }
                departures = Departures { mark, ..departures }.into_next_pass(&returned);
                for line in 1..=40 {
                    prop_assert_eq!(departures.may_have_left(line), left[line as usize], "line {}", line);
                }
            }
        }
    }
}
