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
