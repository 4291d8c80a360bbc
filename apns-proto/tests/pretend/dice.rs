//! Chance that can be repeated.

/// Throws dice from a seed (SplitMix64), or from the bytes of a fuzzer for as long as there are some.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    state: u64,
    bytes: std::collections::VecDeque<u8>,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed, bytes: std::collections::VecDeque::new() }
    }

    /// Each throw takes a byte, or two where it has more than 256 sides.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: bytes.iter().copied().collect() }
    }

    /// Dice of their own for another table.
    pub(crate) fn split(&mut self) -> Self {
        let half = self.bytes.len() / 2;
        Self { bytes: self.bytes.split_off(half), state: self.next() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let number = match self.bytes.pop_front() {
            None => self.next(),
            Some(byte) if end <= 256 => byte.into(),
            Some(byte) => u64::from(byte) << 8 | u64::from(self.bytes.pop_front().unwrap_or(0)),
        };
        number % end
    }

    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}
