//! This machine's clocks. The wall clock may be set while the daemon runs.

use std::time::{Duration, Instant, SystemTime};

use apns_proto::{Now, WallTime};

/// The wall clock.
pub(crate) fn now() -> WallTime {
    SystemTime::now().into()
}

/// Both clocks.
pub(crate) fn both() -> Now {
    Now::new(Instant::now(), now())
}

/// By how much the wall clock was set back between two readings.
pub(crate) fn set_back_by(earlier: Now, now: Now) -> Duration {
    let passed = now.instant.saturating_duration_since(earlier.instant);
    earlier.wall.saturating_add(passed).saturating_since(now.wall)
}

/// When something was by the wall clock as it is now, which may have been set back since.
pub(crate) fn by_present_clock(then: Now, now: Now) -> WallTime {
    let back = u64::try_from(set_back_by(then, now).as_millis()).unwrap_or(u64::MAX);
    WallTime::from_millis(then.wall.as_millis().saturating_sub(back))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_moves_what_was_before() {
        let began = Instant::now();
        let at = |passed, wall| Now::new(began + Duration::from_secs(passed), WallTime::from_secs(wall));
        let then = at(0, 100_000);
        for (now, back) in [(at(60, 100_060), 0), (at(60, 107_260), 0), (at(60, 100_000), 60), (at(60, 92_860), 7200)] {
            assert_eq!(set_back_by(then, now), Duration::from_secs(back));
            assert_eq!(by_present_clock(then, now), WallTime::from_secs(100_000 - back));
        }
    }
}
