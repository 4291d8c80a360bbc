//! The two clocks, always handed in by the caller.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
///
/// The monotonic reading drives every deadline. The wall reading matters only where the protocol speaks of dates:
/// expirations and the age of provider tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time; never goes backwards.
    pub instant: Instant,
    /// Wall time; may jump in either direction.
    pub wall: WallTime,
}

impl Now {
    /// Joins a reading of each clock.
    #[must_use]
    pub const fn new(instant: Instant, wall: WallTime) -> Self {
        Self { instant, wall }
    }

    /// How far the wall clock was set, in either direction, since an earlier reading: by how much more or less time passed
    /// on it than on the monotonic clock.
    #[must_use]
    pub(crate) fn stepped_since(self, earlier: Self) -> Duration {
        let passed = self.instant.saturating_duration_since(earlier.instant);
        let ahead = self.wall.saturating_since(earlier.wall.saturating_add(passed));
        let behind = earlier.wall.saturating_add(passed).saturating_since(self.wall);
        if ahead.is_zero() { behind } else { ahead }
    }
}

/// This much later; with a span that no clock can show, so late that it never comes.
pub(crate) fn later(time: Instant, span: Duration) -> Instant {
    /// A century.
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    time.checked_add(span.min(NEVER)).unwrap_or(time)
}

/// Wall time as a distance from 1970-01-01T00:00:00Z, with a resolution of one millisecond.
///
/// Times before 1970 do not occur in these protocols and count as 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime {
    milliseconds: u64,
}

impl WallTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { milliseconds: 0 };

    /// From whole seconds since 1970. Values beyond the range of the type become its end.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self { milliseconds: seconds.saturating_mul(1000) }
    }

    /// From a number that somebody gave as seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`NotSeconds`] from 2^32 on, the year 2106: no protocol here can say such a time, and it is one in milliseconds.
    ///
    /// ```
    /// use apns_proto::{NotSeconds, WallTime};
    ///
    /// assert_eq!(WallTime::from_unix(1_700_000_000), Ok(WallTime::from_secs(1_700_000_000)));
    /// assert_eq!(WallTime::from_unix(1_700_000_000_000), Err(NotSeconds { value: 1_700_000_000_000 }));
    /// ```
    pub const fn from_unix(seconds: u64) -> Result<Self, NotSeconds> {
        match Self::from_secs(seconds).checked() {
            Ok(time) => Ok(time),
            Err(_) => Err(NotSeconds { value: seconds }),
        }
    }

    /// This time, where it can be said in the 32 bits that the protocols have for it.
    pub(crate) const fn checked(self) -> Result<Self, NotSeconds> {
        if self.as_secs() > u32::MAX as u64 { Err(NotSeconds { value: self.as_secs() }) } else { Ok(self) }
    }

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self { milliseconds }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.milliseconds / 1000
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.milliseconds
    }

    /// This time moved forward; stops at the end of the range.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self { milliseconds: self.milliseconds.saturating_add(span) }
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.milliseconds.saturating_sub(earlier.milliseconds))
    }
}

/// A number that was given as seconds since 1970 and cannot be meant so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is no time in seconds since 1970 but probably one in milliseconds: divide it by 1000")]
pub struct NotSeconds {
    /// The number.
    pub value: u64,
}

impl From<SystemTime> for WallTime {
    fn from(time: SystemTime) -> Self {
        Self::EPOCH.saturating_add(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}
