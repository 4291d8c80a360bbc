//! How long to wait between attempts to connect.

use std::time::Duration;

/// Exponential back-off with jitter, from a seed, so that a run can be replayed.
///
/// Default: 1 s, doubling to 60 s, each moved by up to 20 % in either direction.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(60), 0)
    }
}

impl Backoff {
    /// Starts at `first` and doubles up to `limit`, but never waits less than 10 ms: without a wait, attempts that fail at
    /// once would be made as fast as the machine can. The seed makes processes that fail together come back apart.
    #[must_use]
    pub const fn new(first: Duration, limit: Duration, seed: u64) -> Self {
        Self { first, limit, failures: 0, random: seed }
    }

    /// A failure happened: how long to wait before the next attempt.
    pub fn failed(&mut self) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(1 << doublings).min(self.limit);
        // From 0.8 to 1.2, in steps of a thousandth: never past the limit by more than the jitter.
        let factor = 800 + (self.next_random() % 401) as u32;
        // Divided first where the whole is so long that it has no thousandfold.
        let moved =
            whole.checked_mul(factor).map_or_else(|| (whole / 1000).saturating_mul(factor), |product| product / 1000);
        moved.max(LEAST)
    }

    /// Something worked: the next failure starts from the beginning.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(STEP);
        mix(self.random)
    }
}

/// The shortest wait.
const LEAST: Duration = Duration::from_millis(10);

/// What SplitMix64 adds to its state each time.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64: one multiplication chain, good enough to spread clients apart.
pub(crate) const fn mix(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(span: Duration, seconds: u64) -> bool {
        let whole = Duration::from_secs(seconds);
        span >= whole * 8 / 10 && span <= whole * 12 / 10
    }

    #[test]
    fn it_doubles_to_the_limit_and_starts_again() {
        let mut backoff = Backoff::default();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let span = backoff.failed();
            assert!(within(span, seconds), "{span:?} is not about {seconds} s");
        }
        backoff.succeeded();
        assert!(within(backoff.failed(), 1));
    }

    #[test]
    fn seeds_come_apart_and_repeat() {
        let spans = |seed| {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed);
            (0..8).map(|_| backoff.failed()).collect::<Vec<_>>()
        };
        assert_eq!(spans(7), spans(7));
        assert_ne!(spans(7), spans(8));
    }

    #[test]
    fn thousands_of_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(3600), Duration::from_secs(7200), 1);
        for _ in 0..10_000 {
            assert!(backoff.failed() <= Duration::from_secs(7200) * 12 / 10);
        }
    }
}
