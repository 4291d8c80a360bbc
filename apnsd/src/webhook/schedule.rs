//! When a receiver is asked again that failed.

use std::time::Duration;

/// The wait after the first failure. It doubles with each.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait that this side chooses.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The longest wait that a receiver may ask for.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The failures one after another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Schedule {
    failures: u32,
}

impl Schedule {
    /// How long to wait after a failure. A receiver that says how long is believed, within bounds. `random` spreads those who
    /// failed together.
    pub(super) fn failed(&mut self, asked: Option<Duration>, random: u16) -> Duration {
        let wait = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        match asked {
            Some(asked) => asked.clamp(FIRST, LONGEST_ASKED),
            // Up to a quarter less.
            None => wait - wait / 4 * u32::from(random) / u32::from(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_spread() {
        let mut schedule = Schedule::default();
        let waits: Vec<u64> = (0..40).map(|_| schedule.failed(None, 0).as_secs()).collect();
        assert_eq!(waits[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(waits[10..].iter().all(|wait| *wait == 300));
        let mut schedule = Schedule::default();
        for nth in 0..40 {
            let (longest, shortest) = (Schedule { failures: nth }.failed(None, 0), schedule.failed(None, u16::MAX));
            assert!(shortest >= longest / 4 * 3 && shortest < longest, "{longest:?} {shortest:?}");
        }
        assert_eq!(Schedule { failures: u32::MAX }.failed(None, 0), LONGEST);
    }

    #[test]
    fn a_receiver_says_how_long_within_bounds() {
        let mut schedule = Schedule { failures: 30 };
        let mut asked = |seconds| schedule.failed(Some(Duration::from_secs(seconds)), 7).as_secs();
        assert_eq!([asked(0), asked(17), asked(900), asked(u64::MAX)], [1, 17, 900, 3600]);
    }
}
