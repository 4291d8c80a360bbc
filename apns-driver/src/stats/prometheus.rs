//! The text format of Prometheus (*Exposition formats*, version 0.0.4).

use std::fmt::{self, Write};

use super::{LATENCY_BUCKETS_MS, Stats};

/// Writes all of it. `docs/observability.md` has the same names in a table.
pub(super) fn write(stats: &Stats, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut number = |kind: &str, name: &str, help: &str, value: u64| {
        head(f, name, kind, help)?;
        writeln!(f, "{name} {value}")
    };
    number("counter", "apns_submitted_total", "Notifications taken.", stats.submitted)?;
    number("gauge", "apns_queue_depth", "Notifications that wait for a connection with room.", stats.queued)?;
    number("gauge", "apns_in_flight", "Notifications with a session and without an outcome.", stats.in_flight)?;
    number("gauge", "apns_connected_sessions", "Sessions with an open connection.", stats.connected)?;
    number("counter", "apns_dials_total", "Attempts to connect.", stats.dials)?;
    number("counter", "apns_dial_failures_total", "Attempts to connect that failed.", stats.dial_failures)?;
    number("counter", "apns_connections_total", "Connections opened.", stats.connections)?;
    number("counter", "apns_written_again_total", "Times that something was written again.", stats.written_again)?;
    number("counter", "apns_replayed_total", "Of these, possible duplicates.", stats.replayed)?;
    if let Some(age) = stats.token_age {
        number("gauge", "apns_provider_token_age_seconds", "Age of the provider token in use.", age.as_secs())?;
    }
    head(f, "apns_outcomes_total", "counter", "Notifications that ended, by outcome and reason.")?;
    for outcome in &stats.outcomes {
        write!(f, "apns_outcomes_total{{outcome=\"{}\",reason=\"", outcome.outcome)?;
        write_label(f, &outcome.reason)?;
        writeln!(f, "\"}} {}", outcome.count)?;
    }
    let name = "apns_latency_seconds";
    head(f, name, "histogram", "From a session to the outcome.")?;
    let mut count = 0;
    for (bucket, end) in stats.latency.buckets.iter().zip(LATENCY_BUCKETS_MS) {
        count += bucket;
        writeln!(f, "{name}_bucket{{le=\"{}\"}} {count}", end as f64 / 1000.0)?;
    }
    writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {}", stats.latency.count())?;
    writeln!(f, "{name}_sum {}", stats.latency.sum.as_secs_f64())?;
    writeln!(f, "{name}_count {}", stats.latency.count())
}

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A reason is the service's text and may have anything in it.
fn write_label(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    for character in value.chars() {
        match character {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            other => f.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{LatencyHistogram, OutcomeCount};
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut buckets = [0; LATENCY_BUCKETS_MS.len() + 1];
        (buckets[0], buckets[2], buckets[14]) = (3, 1, 1);
        let outcome = |outcome, reason: &'static str, count| OutcomeCount { outcome, reason: reason.into(), count };
        let stats = Stats {
            submitted: 9,
            queued: 2,
            in_flight: 2,
            connected: 1,
            outcomes: vec![outcome("accepted", "confirmed", 4), outcome("rejected", "a \"b\\\nc", 1)],
            latency: LatencyHistogram { buckets, sum: Duration::from_millis(1500) },
            written_again: 0,
            replayed: 0,
            dials: 3,
            dial_failures: 1,
            connections: 2,
            token_issued: None,
            token_age: Some(Duration::from_secs(61)),
        };
        let text = stats.to_string();
        for line in [
            "# TYPE apns_queue_depth gauge",
            "apns_queue_depth 2",
            "apns_provider_token_age_seconds 61",
            "apns_outcomes_total{outcome=\"accepted\",reason=\"confirmed\"} 4",
            "apns_outcomes_total{outcome=\"rejected\",reason=\"a \\\"b\\\\\\nc\"} 1",
            "apns_latency_seconds_bucket{le=\"0.001\"} 3",
            "apns_latency_seconds_bucket{le=\"0.002\"} 3",
            "apns_latency_seconds_bucket{le=\"0.005\"} 4",
            "apns_latency_seconds_bucket{le=\"30\"} 4",
            "apns_latency_seconds_bucket{le=\"+Inf\"} 5",
            "apns_latency_seconds_sum 1.5",
            "apns_latency_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert!(text.ends_with('\n'), "the format wants a line feed behind the last line");
    }

    #[test]
    fn every_metric_is_in_the_table_of_the_documentation() {
        let table = include_str!("../../../docs/observability.md");
        let source = include_str!("prometheus.rs");
        let names: Vec<_> = source
            .split('"')
            .filter(|text| {
                text.starts_with("apns_") && text.len() > 5 && text.chars().all(|c| c == '_' || c.is_ascii_lowercase())
            })
            .collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(table.contains(&format!("`{name}`")), "{name} is not in docs/observability.md");
        }
    }
}
