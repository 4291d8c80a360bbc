//! How fast an app may take notifications from its callers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A bucket that fills by so many a second and holds one second's worth. A batch may take more than there is; what it
/// owes is paid before the next one is let in.
#[derive(Debug)]
pub(crate) struct RateLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    per_second: Option<u32>,
    /// Below zero: owed.
    there: f64,
    at: Instant,
}

impl RateLimit {
    pub(crate) fn new(per_second: Option<u32>, now: Instant) -> Self {
        let there = per_second.map_or(0.0, f64::from);
        Self(Mutex::new(State { per_second, there, at: now }))
    }

    /// Sets another limit; what is owed stays owed.
    pub(crate) fn set(&self, per_second: Option<u32>, now: Instant) {
        let mut state = self.0.lock();
        state.fill(now);
        state.per_second = per_second;
        state.there = state.there.min(per_second.map_or(0.0, f64::from));
    }

    /// Takes so many, or says how long to wait before asking again.
    pub(crate) fn take(&self, count: usize, now: Instant) -> Result<(), Duration> {
        let mut state = self.0.lock();
        let Some(per_second) = state.per_second else { return Ok(()) };
        state.fill(now);
        if state.there <= 0.0 {
            return Err(Duration::from_secs_f64((1.0 - state.there) / f64::from(per_second)));
        }
        state.there -= count as f64;
        Ok(())
    }
}

impl State {
    fn fill(&mut self, now: Instant) {
        let per_second = self.per_second.map_or(0.0, f64::from);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.there = (self.there + passed * per_second).min(per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_too_fast_is_paid_back() {
        let start = Instant::now();
        let limit = RateLimit::new(Some(100), start);
        assert_eq!(limit.take(100, start), Ok(()));
        assert!(limit.take(1, start).is_err());
        assert_eq!(limit.take(300, start + Duration::from_millis(500)), Ok(()));
        let wait = limit.take(1, start + Duration::from_millis(500)).unwrap_err();
        assert!(wait > Duration::from_secs(2) && wait < Duration::from_secs(3), "{wait:?}");
        assert_eq!(limit.take(1, start + Duration::from_millis(500) + wait), Ok(()));
        limit.set(None, start + Duration::from_secs(4));
        assert_eq!(limit.take(1_000_000, start + Duration::from_secs(4)), Ok(()));
    }
}
