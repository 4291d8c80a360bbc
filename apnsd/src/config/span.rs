//! Spans of time in configuration files.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::span::{self, SpanError};

/// A span of time: `500ms`, `3s`, `2m`, `12h` or `7d`; a bare number counts seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// The longest span that a configuration may have: ten years.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

impl Span {
    /// Reads a span of at most ten years.
    ///
    /// # Errors
    ///
    /// [`SpanError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        span::parse(text, Duration::ZERO..=LONGEST).map(Self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a span of time such as 500ms, 3s, 2m, 12h or 7d")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                self.visit_str(&seconds.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_or_count_seconds() {
        let span = |text| Span::parse(text).ok().map(|span| span.0);
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("3s"), Some(Duration::from_secs(3)));
        assert_eq!(span("15"), Some(Duration::from_secs(15)));
        assert_eq!(span("2m"), Some(Duration::from_secs(120)));
        assert_eq!(span("7d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "h", "3 s", "1w", "-1s", "1.5s", "99999999d", "99999999999999999999s"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Span>("15").unwrap().0, Duration::from_secs(15));
        assert!(serde_json::from_str::<Span>("-1").is_err());
        assert!(serde_json::from_str::<Span>("true").is_err());
    }
}
