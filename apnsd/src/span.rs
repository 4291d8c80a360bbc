//! Spans of time as people write them: `500ms`, `3s`, `2m`, `12h`, `7d`, or a number of seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Why a text is not a span of time that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// There is no number in front.
    #[error("a span of time begins with a whole number, as in 500ms, 3s, 2m, 12h or 7d")]
    NoNumber,
    /// What follows the number is no unit.
    #[error(
        "a span of time ends with its unit, ms, s, m, h or d: 500ms, 3s, 2m, 12h, 7d; without one it counts seconds"
    )]
    NoUnit,
    /// It is longer than makes sense.
    #[error("a span of time of at most {} is possible here", text(*limit))]
    TooLong {
        /// The longest that is possible.
        limit: Duration,
    },
    /// It is zero where that makes no sense.
    #[error("a span of time above zero is needed here")]
    Zero,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Reads a span of time: a whole number and its unit, or a number of seconds.
///
/// # Errors
///
/// [`SpanError`], also for a span that is not in `range`.
pub fn parse(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, SpanError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SpanError::NoNumber);
    }
    let unit = match unit {
        "ms" => 1,
        "s" | "" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return Err(SpanError::NoUnit),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match milliseconds.map(Duration::from_millis) {
        Some(span) if range.contains(&span) => Ok(span),
        Some(span) if span < *range.start() => Err(SpanError::Zero),
        _ => Err(SpanError::TooLong { limit: *range.end() }),
    }
}

/// Writes a span in the largest unit that leaves a whole number.
#[must_use]
pub fn text(span: Duration) -> String {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let whole = units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(200 * 365 * DAY);

    fn read(text: &str) -> Result<Duration, SpanError> {
        parse(text, Duration::ZERO..=LONGEST)
    }

    #[test]
    fn spans_have_a_number_and_a_unit_or_count_seconds() {
        assert_eq!(read("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(read("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(read("3"), read("3s"));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(read("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(read("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(read("0s"), Ok(Duration::ZERO));
        for text in ["", "s", "-3s", " 3s", "١s"] {
            assert_eq!(read(text), Err(SpanError::NoNumber), "{text:?}");
        }
        for text in ["3 s", "3sec", "1.5s", "3S", "3s "] {
            assert_eq!(read(text), Err(SpanError::NoUnit), "{text:?}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d", "201000d"] {
            assert_eq!(read(text), Err(SpanError::TooLong { limit: LONGEST }), "{text:?}");
        }
        assert_eq!(parse("0m", Duration::from_millis(1)..=LONGEST), Err(SpanError::Zero));
    }

    #[test]
    fn a_span_is_written_as_it_would_be_read() {
        for written in ["1ms", "1500ms", "3s", "90s", "2m", "12h", "7d"] {
            assert_eq!(text(read(written).unwrap()), written);
        }
        assert_eq!(text(Duration::from_secs(60)), "1m");
        assert_eq!(text(Duration::ZERO), "0ms");
    }
}
