//! When a certificate may be used.

use std::time::Duration;

use apns_proto::WallTime;

/// How a certificate's dates stand to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Validity {
    /// Valid for more than [`Validity::SOON`].
    Ok,
    /// Valid, but not for longer than [`Validity::SOON`]: time to renew it.
    ExpiresSoon {
        /// The last second at which it is valid.
        at: WallTime,
    },
    /// Not valid any more.
    Expired {
        /// The last second at which it was valid.
        at: WallTime,
    },
    /// Not valid yet.
    NotYet {
        /// The first second at which it is valid.
        at: WallTime,
    },
}

impl Validity {
    /// How long before the end a certificate counts as expiring soon: 30 days.
    pub const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Whether the certificate may be used.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        match self {
            Self::Ok | Self::ExpiresSoon { .. } => true,
            Self::Expired { .. } | Self::NotYet { .. } => false,
        }
    }

    /// Both ends belong to the period (RFC 5280 section 4.1.2.5) and are whole seconds.
    pub(crate) fn judge(not_before: WallTime, not_after: WallTime, now: WallTime) -> Self {
        if now < not_before {
            Self::NotYet { at: not_before }
        } else if now.as_secs() > not_after.as_secs() {
            Self::Expired { at: not_after }
        } else if not_after.saturating_since(now) <= Self::SOON {
            Self::ExpiresSoon { at: not_after }
        } else {
            Self::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b84_both_ends_belong_to_the_period() {
        let (start, end) = (WallTime::from_secs(1000), WallTime::from_secs(10_000_000));
        let judge = |milliseconds| Validity::judge(start, end, WallTime::from_millis(milliseconds));
        let soon = end.as_millis() - u64::try_from(Validity::SOON.as_millis()).unwrap();
        assert_eq!(judge(999_999), Validity::NotYet { at: start });
        assert_eq!(judge(1_000_000), Validity::Ok);
        assert_eq!(judge(soon - 1), Validity::Ok);
        assert_eq!(judge(soon), Validity::ExpiresSoon { at: end });
        assert_eq!(judge(10_000_000_999), Validity::ExpiresSoon { at: end });
        assert_eq!(judge(10_000_001_000), Validity::Expired { at: end });
    }
}
