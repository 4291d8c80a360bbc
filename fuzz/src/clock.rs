//! Pretend time.

use std::time::{Duration, Instant};

use apns_proto::{Now, WallTime};

/// Wall time at the start, in seconds.
pub const WALL: u64 = 1_700_000_000;

pub fn start() -> Now {
    Now::new(Instant::now() + Duration::from_secs(100_000), WallTime::from_secs(WALL))
}

pub fn after(now: Now, span: Duration) -> Now {
    Now::new(now.instant + span, now.wall.saturating_add(span))
}

/// Looks at the clock of the wall to find whether the process stood still.
///
/// The HTTP/2 engine forgets the streams that it reset after a second by that clock, whatever the pretend time. So what
/// came out of one run is no measure for another when one of them lasted as long: a stopped or starved process.
pub struct Undisturbed(Instant);

impl Undisturbed {
    /// From now on.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether runs since then can be compared.
    pub fn lasts(&self) -> bool {
        self.0.elapsed() < Duration::from_millis(900)
    }
}
