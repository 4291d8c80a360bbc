//! How fast an app may send to the service. No clock and no timer: the time is given.

use std::time::{Duration, Instant};

/// A bucket that fills by so many a second, and holds what a tenth of a second brings.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: Option<f64>,
    there: f64,
    at: Instant,
}

/// So much of a second is sent at once.
const STEP: f64 = 0.1;

impl Pace {
    /// Without a number there is no limit.
    pub(super) fn new(per_second: Option<u32>, now: Instant) -> Self {
        let per_second = per_second.map(f64::from);
        Self { per_second, there: per_second.map_or(0.0, most), at: now }
    }

    /// How many of these may be sent now.
    pub(super) fn allows(&mut self, wanted: usize, now: Instant) -> usize {
        let Some(per_second) = self.per_second else { return wanted };
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.there = (self.there + passed * per_second).min(most(per_second));
        self.at = self.at.max(now);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
        let there = self.there as usize;
        wanted.min(there)
    }

    /// So many are sent.
    pub(super) fn spend(&mut self, count: usize) {
        if self.per_second.is_some() {
            self.there -= count as f64;
        }
    }

    /// How long it takes until a step's worth may be sent; nothing where one may be sent already.
    pub(super) fn wait(&self) -> Option<Duration> {
        let per_second = self.per_second?;
        let missing = most(per_second) - self.there;
        (self.there < 1.0).then(|| Duration::from_secs_f64((missing / per_second).max(0.001)))
    }
}

/// What the bucket holds: one at least.
fn most(per_second: f64) -> f64 {
    (per_second * STEP).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as much as it may for so many pretended seconds, looking as often as it is told to, and gives when each left.
    fn run(pace: &mut Pace, start: Instant, seconds: u64) -> Vec<Duration> {
        let (mut sent, mut now) = (Vec::new(), start);
        while now < start + Duration::from_secs(seconds) {
            let count = pace.allows(1000, now);
            pace.spend(count);
            sent.extend(std::iter::repeat_n(now - start, count));
            now += pace.wait().unwrap_or(Duration::from_millis(1));
        }
        sent
    }

    #[test]
    fn no_second_has_more_than_the_rate_and_a_step() {
        let start = Instant::now();
        for per_second in [1, 7, 50, 999, 30_000] {
            let sent = run(&mut Pace::new(Some(per_second), start), start, 20);
            let most = per_second as usize + (per_second as usize / 10).max(1);
            for (place, first) in sent.iter().enumerate() {
                let within = sent[place..].iter().take_while(|at| **at - *first < Duration::from_secs(1)).count();
                assert!(within <= most, "{per_second}: {within} within a second of {first:?}");
                if per_second > 1000 && place > 5000 {
                    break;
                }
            }
            let least = f64::from(per_second) * 20.0 * 0.95;
            assert!(sent.len() as f64 >= least.floor(), "{per_second}: {} in 20 s", sent.len());
        }
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(100), start);
        assert_eq!(pace.allows(1000, start + Duration::from_secs(3600)), 10);
        pace.spend(10);
        assert_eq!(pace.allows(1000, start + Duration::from_secs(3600)), 0);
        assert!(pace.wait().is_some_and(|wait| wait <= Duration::from_millis(100)));
        // A clock that stands still or goes back brings nothing.
        assert_eq!(pace.allows(1000, start), 0);
    }

    #[test]
    fn without_a_rate_everything_may_be_sent() {
        let start = Instant::now();
        let mut pace = Pace::new(None, start);
        assert_eq!(pace.allows(100_000, start), 100_000);
        pace.spend(100_000);
        assert_eq!((pace.allows(7, start), pace.wait()), (7, None));
    }
}
