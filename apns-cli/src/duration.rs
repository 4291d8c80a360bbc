//! Spans of time on the command line, and their limits.

use std::time::Duration;

use apnsd::span::{self, SpanError};

/// The longest that anything is waited for.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest span: beyond it lies the end of the binary protocol's clock.
const LONGEST: Duration = Duration::from_secs(200 * 365 * DAY.as_secs());

/// Reads a span of time.
pub(crate) fn parse(text: &str) -> Result<Duration, SpanError> {
    span::parse(text, Duration::ZERO..=LONGEST)
}

/// The shortest time to wait.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Reads a time to wait: above zero, and at most a day.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, SpanError> {
    span::parse(text, SHORTEST_WAIT..=DAY)
}

/// The same of a span that was read already.
pub(crate) fn check_wait(span: Duration) -> Result<Duration, SpanError> {
    match span {
        Duration::ZERO => Err(SpanError::Zero),
        span if span > DAY => Err(SpanError::TooLong { limit: DAY }),
        span => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_above_zero_and_no_longer_than_a_day() {
        assert_eq!(parse_wait("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_wait("24h"), Ok(DAY));
        assert_eq!(parse_wait("0m"), Err(SpanError::Zero));
        assert_eq!(parse_wait("25h"), Err(SpanError::TooLong { limit: DAY }));
        assert_eq!(parse("201000d"), Err(SpanError::TooLong { limit: LONGEST }));
    }
}
