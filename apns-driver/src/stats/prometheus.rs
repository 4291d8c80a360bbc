//! The text format of Prometheus (*Exposition formats*, version 0.0.4).

use std::fmt::{self, Write as _};

use super::{LATENCY_BUCKETS_MS, Stats};

/// What a figure is: its name, its kind and a line of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

impl Family {
    /// A figure that never falls. Its name ends with `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "counter", help }
    }

    /// A figure that rises and falls.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "gauge", help }
    }

    /// Many values, by size.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "histogram", help }
    }
}

/// Figures for Prometheus, of one client or of many: the lines of each family stand together, whatever adds them.
/// [`Display`](fmt::Display) writes the text.
///
/// ```
/// use apns_driver::{Families, Family};
///
/// const DEPTH: Family = Family::gauge("my_queue_depth", "Things that wait.");
/// let mut families = Families::default();
/// families.add(DEPTH, &[("queue", "one")], 2);
/// assert!(families.to_string().ends_with("my_queue_depth{queue=\"one\"} 2\n"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Families(Vec<(Family, String)>);

impl Families {
    /// Adds a figure, told from others of its family by its labels.
    pub fn add(&mut self, family: Family, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.line(family, "", labels, &value);
    }

    /// Adds a histogram: how many values were at most so large (and larger than the end before) and how many larger than
    /// all, the sum of all, and its labels.
    pub fn add_histogram(
        &mut self,
        family: Family,
        labels: &[(&str, &str)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        larger: u64,
        sum: f64,
    ) {
        let mut count = 0;
        for (end, more) in
            buckets.into_iter().map(|(end, more)| (end.to_string(), more)).chain([("+Inf".to_owned(), larger)])
        {
            count += more;
            self.line(family, "_bucket", &[labels, &[("le", &end)]].concat(), &count);
        }
        self.line(family, "_sum", labels, &sum);
        self.line(family, "_count", labels, &count);
    }

    fn line(&mut self, family: Family, ending: &str, labels: &[(&str, &str)], value: &dyn fmt::Display) {
        let place = self.0.iter().position(|(known, _)| known.name == family.name).unwrap_or_else(|| {
            self.0.push((family, String::new()));
            self.0.len() - 1
        });
        let labels: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0[place].1, "{}{ending}{labels} {value}", family.name).expect("a text takes everything");
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(Family { name, kind, help }, lines)| {
            write!(f, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}")
        })
    }
}

/// A reason is the service's text and may have anything in it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const SUBMITTED: Family = Family::counter("apns_submitted_total", "Notifications taken.");
const QUEUED: Family = Family::gauge("apns_queue_depth", "Notifications that wait for a connection with room.");
const IN_FLIGHT: Family = Family::gauge("apns_in_flight", "Notifications with a session and without an outcome.");
const CONNECTED: Family = Family::gauge("apns_connected_sessions", "Sessions with an open connection.");
const DIALS: Family = Family::counter("apns_dials_total", "Attempts to connect.");
const DIAL_FAILURES: Family = Family::counter("apns_dial_failures_total", "Attempts to connect that failed.");
const CONNECTIONS: Family = Family::counter("apns_connections_total", "Connections opened.");
const WRITTEN_AGAIN: Family = Family::counter("apns_written_again_total", "Times that something was written again.");
const REPLAYED: Family = Family::counter("apns_replayed_total", "Of these, possible duplicates.");
const TOKEN_AGE: Family = Family::gauge("apns_provider_token_age_seconds", "Age of the provider token in use.");
const OUTCOMES: Family = Family::counter("apns_outcomes_total", "Notifications that ended, by outcome and reason.");
const LATENCY: Family = Family::histogram("apns_latency_seconds", "From a session to the outcome.");

impl Stats {
    /// Adds all of it to the figures of a process, with labels that tell this client from others.
    /// `docs/observability.md` has the names in a table.
    pub fn add_to(&self, families: &mut Families, labels: &[(&str, &str)]) {
        for (family, value) in [
            (SUBMITTED, self.submitted),
            (QUEUED, self.queued),
            (IN_FLIGHT, self.in_flight),
            (CONNECTED, self.connected),
            (DIALS, self.dials),
            (DIAL_FAILURES, self.dial_failures),
            (CONNECTIONS, self.connections),
            (WRITTEN_AGAIN, self.written_again),
            (REPLAYED, self.replayed),
        ] {
            families.add(family, labels, value);
        }
        if let Some(age) = self.token_age {
            families.add(TOKEN_AGE, labels, age.as_secs());
        }
        for outcome in &self.outcomes {
            let reason = [("outcome", outcome.outcome), ("reason", &*outcome.reason)];
            families.add(OUTCOMES, &[labels, &reason].concat(), outcome.count);
        }
        let buckets = LATENCY_BUCKETS_MS.map(|end| end as f64 / 1000.0).into_iter().zip(self.latency.buckets);
        let larger = self.latency.buckets[LATENCY_BUCKETS_MS.len()];
        families.add_histogram(LATENCY, labels, buckets, larger, self.latency.sum.as_secs_f64());
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut families = Families::default();
        self.add_to(&mut families, &[]);
        families.fmt(f)
    }
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

        let mut both = Families::default();
        stats.add_to(&mut both, &[("app", "one")]);
        stats.add_to(&mut both, &[("app", "two")]);
        let text = both.to_string();
        assert_eq!(text.matches("# TYPE apns_queue_depth gauge").count(), 1, "{text}");
        assert!(text.contains("apns_queue_depth{app=\"one\"} 2\napns_queue_depth{app=\"two\"} 2\n"), "{text}");
        assert!(text.contains("apns_latency_seconds_bucket{app=\"two\",le=\"0.001\"} 3\n"), "{text}");
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
