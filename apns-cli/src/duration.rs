//! Spans of time on the command line: `500ms`, `3s`, `2m`, `12h`, `7d`.

use std::time::Duration;

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// There is no number in front.
    #[error("a span of time begins with a whole number, as in 500ms, 3s, 2m, 12h or 7d")]
    NoNumber,
    /// There is no unit behind the number, or another one.
    #[error("a span of time ends with its unit, ms, s, m, h or d: 500ms, 3s, 2m, 12h, 7d")]
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

/// The longest span: beyond it lies the end of the binary protocol's clock.
const LONGEST: Duration = Duration::from_millis(200 * 365 * DAY);

/// The longest time to wait for anything.
const LONGEST_WAIT: Duration = Duration::from_millis(DAY);

/// Reads a span of time.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::NoNumber);
    }
    let unit = match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return Err(DurationError::NoUnit),
    };
    let too_long = DurationError::TooLong { limit: LONGEST };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    milliseconds.map(Duration::from_millis).filter(|span| *span <= LONGEST).ok_or(too_long)
}

/// Reads a time to wait: above zero, and at most a day.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, DurationError> {
    match parse(text)? {
        Duration::ZERO => Err(DurationError::Zero),
        wait if wait > LONGEST_WAIT => Err(DurationError::TooLong { limit: LONGEST_WAIT }),
        wait => Ok(wait),
    }
}

/// Writes a span in the largest unit that leaves a whole number.
pub(crate) fn text(span: Duration) -> String {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let whole = units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for text in ["", "s", "-3s", " 3s", "١s"] {
            assert_eq!(parse(text), Err(DurationError::NoNumber), "{text:?}");
        }
        for text in ["3", "3 s", "3sec", "1.5s", "3S", "3s "] {
            assert_eq!(parse(text), Err(DurationError::NoUnit), "{text:?}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d", "201000d"] {
            assert_eq!(parse(text), Err(DurationError::TooLong { limit: LONGEST }), "{text:?}");
        }
    }

    #[test]
    fn a_wait_is_above_zero_and_no_longer_than_a_day() {
        assert_eq!(parse_wait("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_wait("24h"), Ok(LONGEST_WAIT));
        assert_eq!(parse_wait("0m"), Err(DurationError::Zero));
        assert_eq!(parse_wait("25h"), Err(DurationError::TooLong { limit: LONGEST_WAIT }));
    }

    #[test]
    fn a_span_is_written_as_it_would_be_read() {
        for written in ["1ms", "1500ms", "3s", "90s", "2m", "12h", "7d"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
        assert_eq!(text(Duration::from_secs(60)), "1m");
        assert_eq!(text(Duration::ZERO), "0ms");
    }
}
