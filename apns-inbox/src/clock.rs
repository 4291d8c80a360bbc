//! Times as people read them, in the time zone of this machine.

use apns_proto::WallTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// The clock on the wall.
pub(crate) fn now() -> WallTime {
    std::time::SystemTime::now().into()
}

fn zoned(time: WallTime) -> Option<ZonedDateTime> {
    let milliseconds = i64::try_from(time.as_millis()).ok()?;
    Some(Timestamp::from_millisecond(milliseconds).ok()?.to_zoned_datetime(TimeZone::system()))
}

fn shown(time: WallTime, format: &str) -> String {
    match zoned(time) {
        Some(zoned) => zoned.strftime(format).to_string(),
        None => "beyond the calendar".to_owned(),
    }
}

/// Hours and minutes; with the day where it is not the day of `now`.
pub(crate) fn short(time: WallTime, now: WallTime) -> String {
    let same_day = zoned(time).map(|zoned| zoned.date()) == zoned(now).map(|zoned| zoned.date());
    shown(time, if same_day { "%H:%M" } else { "%-d %b %H:%M" })
}

/// Hours, minutes and seconds; with the date where it is not the day of `now`.
pub(crate) fn exact(time: WallTime, now: WallTime) -> String {
    let same_day = zoned(time).map(|zoned| zoned.date()) == zoned(now).map(|zoned| zoned.date());
    shown(time, if same_day { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" })
}

/// Exact to the millisecond.
pub(crate) fn precise(time: WallTime, now: WallTime) -> String {
    format!("{}.{:03}", exact(time, now), time.as_millis() % 1000)
}

/// The weekday and the day.
pub(crate) fn day(time: WallTime) -> String {
    shown(time, "%A %-d %B")
}

/// How far a time is away: `in 19 min`, `2 h ago`.
pub(crate) fn distance(time: WallTime, now: WallTime) -> String {
    let (ahead, behind) = (time.saturating_since(now).as_secs(), now.saturating_since(time).as_secs());
    if ahead > 0 { format!("in {}", span(ahead)) } else { format!("{} ago", span(behind)) }
}

/// A span of seconds in its largest unit.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_another_day_has_its_day() {
        let now = WallTime::from_secs(1_700_000_000);
        assert_eq!(short(now, now).len(), 5);
        assert!(short(now.saturating_add(std::time::Duration::from_secs(200_000)), now).len() > 5);
        assert_eq!(exact(WallTime::from_millis(u64::MAX), now), "beyond the calendar");
        assert_eq!(precise(WallTime::from_millis(1_700_000_000_007), now).split('.').nth(1), Some("007"));
    }

    #[test]
    fn distances_have_one_unit() {
        let now = WallTime::from_secs(1_000_000);
        let at = |seconds: u64| distance(WallTime::from_secs(seconds), now);
        assert_eq!([at(1_000_000), at(1_000_059), at(1_001_200)], ["0 s ago", "in 59 s", "in 20 min"]);
        assert_eq!([at(992_800), at(0)], ["2 h ago", "11 days ago"]);
    }
}
