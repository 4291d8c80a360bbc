//! The text format of Prometheus (*Exposition formats*, version 0.0.4).

use std::fmt::{self, Write as _};

use super::figures::Figures;
use super::{LATENCY_BUCKETS_MS, LatencyHistogram, Stats};

/// Figures for Prometheus, of one client or of many: the lines of each figure stand together, whatever adds them.
/// [`Display`](fmt::Display) writes the text.
///
/// ```
/// let mut families = apns_driver::Families::default();
/// families.gauge("my_queue_depth", "Things that wait.", &[("queue", "one")], 2);
/// families.gauge("my_queue_depth", "Things that wait.", &[("queue", "two")], 3);
/// assert!(families.to_string().ends_with("my_queue_depth{queue=\"one\"} 2\nmy_queue_depth{queue=\"two\"} 3\n"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Families(Vec<(&'static str, String)>);

impl Families {
    /// A figure that never falls. Labels tell it from others of its name, which ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.add([name, "counter", help], "", labels, &value);
    }

    /// A figure that rises and falls.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.add([name, "gauge", help], "", labels, &value);
    }

    /// Many values by size: for each end of a bucket how many were at most so large, and larger than the end before; at
    /// the end of `counts`, how many were larger than all; and the sum of all values.
    pub fn histogram<const N: usize>(
        &mut self,
        [name, help]: [&'static str; 2],
        labels: &[(&str, &str)],
        ends: [f64; N],
        counts: &[u64],
        sum: f64,
    ) {
        let (family, mut below) = ([name, "histogram", help], 0);
        for (end, count) in ends.iter().map(f64::to_string).chain(["+Inf".to_owned()]).zip(counts) {
            below += count;
            self.add(family, "_bucket", &[labels, &[("le", &end)]].concat(), &below);
        }
        self.add(family, "_sum", labels, &sum);
        self.add(family, "_count", labels, &below);
    }

    fn add(
        &mut self,
        [name, kind, help]: [&'static str; 3],
        ending: &str,
        labels: &[(&str, &str)],
        value: &dyn fmt::Display,
    ) {
        let place = self.0.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.0.push((name, format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")));
            self.0.len() - 1
        });
        let labels: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0[place].1, "{name}{ending}{labels} {value}").expect("a text takes everything");
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(_, lines)| f.write_str(lines))
    }
}

/// A reason is the service's text and may have anything in it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Figures for Families {
    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.gauge(name, help, labels, value);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.counter(name, help, labels, value);
    }

    fn latency(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], latency: &LatencyHistogram) {
        let ends = LATENCY_BUCKETS_MS.map(|end| end as f64 / 1000.0);
        self.histogram([name, help], labels, ends, &latency.buckets, latency.sum.as_secs_f64());
    }
}

impl Stats {
    /// Adds all of it to the figures of a process, with labels that tell this client from others.
    /// `docs/observability.md` has the names in a table.
    pub fn add_to(&self, families: &mut Families, labels: &[(&str, &str)]) {
        self.show(families, labels);
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
    use super::*;
    use crate::stats::figures::sample;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let stats = sample();
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
}
