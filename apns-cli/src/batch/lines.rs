//! A set of line numbers.

use std::fmt;
use std::ops::RangeInclusive;

/// Numbers of lines, from 1, as one bit for each line up to the last that is in it: 125 KB for a million.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct LineSet {
    words: Vec<u64>,
    count: u64,
}

const BITS: u64 = u64::BITS as u64;

/// Where the bit of a line is.
fn place(line: u64) -> (usize, u64) {
    let index = line - 1;
    (usize::try_from(index / BITS).unwrap_or(usize::MAX), 1 << (index % BITS))
}

impl LineSet {
    /// Adds a line. Says whether that is news.
    pub(crate) fn insert(&mut self, line: u64) -> bool {
        let (word, bit) = place(line);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let news = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(news);
        news
    }

    /// Whether a line is in it.
    pub(crate) fn contains(&self, line: u64) -> bool {
        let (word, bit) = place(line);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> u64 {
        self.count
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        (0..).zip(&self.words).flat_map(|(index, word)| {
            (0..BITS).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * BITS + bit + 1)
        })
    }

    /// All of them as ranges, which is short where they are many in a row.
    pub(crate) fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for line in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == line => *last = line,
                Some(_) | None => ranges.push((line, line)),
            }
        }
        ranges
    }
}

impl FromIterator<RangeInclusive<u64>> for LineSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut lines = Self::default();
        for line in ranges.into_iter().flatten() {
            lines.insert(line);
        }
        lines
    }
}

impl fmt::Debug for LineSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_lines_take_an_eighth_of_a_megabyte() {
        let lines: LineSet = [1..=1_000_000].into_iter().collect();
        assert_eq!((lines.len(), lines.words.len() * 8), (1_000_000, 125_000));
        assert_eq!(lines.ranges(), [(1, 1_000_000)]);
        assert!(lines.contains(1_000_000) && !lines.contains(1_000_001));
    }

    proptest! {
        #[test]
        fn it_is_a_set(numbers in prop::collection::vec(1..300_u64, 0..200)) {
            let mut lines = LineSet::default();
            let mut model = BTreeSet::new();
            for line in numbers {
                prop_assert_eq!(lines.insert(line), model.insert(line));
            }
            prop_assert_eq!(lines.len(), model.len() as u64);
            prop_assert!(lines.iter().eq(model.iter().copied()));
            for line in 1..310 {
                prop_assert_eq!(lines.contains(line), model.contains(&line));
            }
            let again: LineSet = lines.ranges().into_iter().map(|(first, last)| first..=last).collect();
            prop_assert!(again.iter().eq(lines.iter()));
        }
    }
}
