//! So many a second, evenly.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// How many notifications a second, above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PerSecond(f64);

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has to be a number of notifications a second from {SLOWEST} to {FASTEST}, such as 500 or 0.5")]
pub(crate) struct PerSecondError;

const SLOWEST: f64 = 0.001;
const FASTEST: f64 = 10_000_000.0;

impl FromStr for PerSecond {
    type Err = PerSecondError;

    fn from_str(text: &str) -> Result<Self, PerSecondError> {
        let rate: f64 = text.parse().map_err(|_| PerSecondError)?;
        if (SLOWEST..=FASTEST).contains(&rate) { Ok(Self(rate)) } else { Err(PerSecondError) }
    }
}

/// What may be caught up with in one go. Timers go off up to a millisecond late, and a busy machine takes longer.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Says when the next one may go: each has its time, one interval behind the one before. One that comes late may catch up
/// with 20 ms, and has lost the rest; so in any span of time there go at most as many as the rate says for it and 20 ms,
/// and one.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    /// The time of the next one.
    next: Option<Instant>,
}

impl Pacer {
    pub(crate) fn new(PerSecond(rate): PerSecond) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / rate), next: None }
    }

    /// Takes the next one's turn, or says when that is.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let turn = self.next.unwrap_or(now);
        if turn > now {
            return Err(turn);
        }
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next = Some(turn.max(earliest) + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pacer(rate: f64) -> Pacer {
        Pacer::new(PerSecond(rate))
    }

    /// When so many went, for a caller that comes back at the time it was told, and a bit.
    fn times(pacer: &mut Pacer, count: usize, mut late: impl FnMut() -> Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut now = start;
        let mut times = Vec::new();
        while times.len() < count {
            match pacer.take(now) {
                Ok(()) => times.push(now - start),
                Err(turn) => {
                    assert!(turn > now);
                    now = turn + late();
                }
            }
        }
        times
    }

    #[test]
    fn a_punctual_caller_is_served_at_even_times() {
        let times = times(&mut pacer(4.0), 9, || Duration::ZERO);
        let expected: Vec<_> = (0..9).map(|n| Duration::from_millis(250 * n)).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn less_than_one_a_second_is_a_rate() {
        let times = times(&mut pacer(0.5), 3, || Duration::ZERO);
        assert_eq!(times, [0, 2, 4].map(Duration::from_secs));
    }

    #[test]
    fn late_timers_do_not_slow_it_down() {
        let times = times(&mut pacer(100_000.0), 200_001, || Duration::from_millis(1));
        let last = *times.last().unwrap();
        assert!(last >= Duration::from_millis(1980) && last <= Duration::from_millis(2002), "{last:?}");
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pacer = pacer(1000.0);
        let start = Instant::now();
        assert_eq!(pacer.take(start), Ok(()));
        let later = start + Duration::from_secs(60);
        let at_once = (0..1000).take_while(|_| pacer.take(later).is_ok()).count();
        assert_eq!(at_once, 21);
    }

    #[test]
    fn rates_are_read() {
        assert_eq!("500".parse(), Ok(PerSecond(500.0)));
        assert_eq!("0.5".parse(), Ok(PerSecond(0.5)));
        for bad in ["", "0", "-1", "NaN", "inf", "1e9", "fast"] {
            assert_eq!(bad.parse::<PerSecond>(), Err(PerSecondError), "{bad}");
        }
    }

    proptest! {
        /// However late the caller comes, no span of time has more than its share, 20 ms and one.
        #[test]
        fn no_span_has_more_than_its_share(rate in 1..5000_u32, lates in prop::collection::vec(0..100_u64, 1..20)) {
            let mut turn = 0;
            let times = times(&mut pacer(f64::from(rate)), 300, || {
                turn += 1;
                Duration::from_millis(lates[turn % lates.len()])
            });
            for (first, start) in times.iter().enumerate() {
                for (count, end) in (1..).zip(&times[first..]) {
                    let share = (*end - *start + CATCH_UP).as_secs_f64() * f64::from(rate) + 1.0;
                    prop_assert!(f64::from(count) <= share + 1e-3, "{count} in {:?}", *end - *start);
                }
            }
        }
    }
}
