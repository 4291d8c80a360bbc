//! Figures at the recorder of the `metrics` crate.

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use super::figures::Figures;
use super::{LATENCY_BUCKETS_MS, LatencyHistogram, Stats};

impl Stats {
    /// Sets all of it at the recorder that the application installed for the [`metrics`] crate, with labels that tell this
    /// client from others. Call it every few seconds.
    ///
    /// `docs/observability.md` has the names in a table. The latency comes as counters `apns_latency_seconds_bucket` with
    /// the label `le`, and `apns_latency_seconds_count`, as in Prometheus; its sum as the gauge `apns_latency_seconds_sum`.
    pub fn record(&self, labels: &[(&str, &str)]) {
        self.show(&mut Recorder, labels);
    }
}

/// The recorder of this process.
struct Recorder;

fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, text)| Label::new((*name).to_owned(), (*text).to_owned())).collect()
}

impl Figures for Recorder {
    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        describe_gauge!(name, help);
        gauge!(name, owned(labels)).set(value as f64);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        describe_counter!(name, help);
        counter!(name, owned(labels)).absolute(value);
    }

    fn latency(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], latency: &LatencyHistogram) {
        let mut below = 0;
        let ends = LATENCY_BUCKETS_MS.iter().map(|end| (*end as f64 / 1000.0).to_string()).chain(["+Inf".to_owned()]);
        describe_counter!(format!("{name}_bucket"), help);
        for (end, count) in ends.zip(&latency.buckets) {
            below += count;
            let labels = owned(&[labels, &[("le", &end)]].concat());
            counter!(format!("{name}_bucket"), labels).absolute(below);
        }
        counter!(format!("{name}_count"), owned(labels)).absolute(below);
        gauge!(format!("{name}_sum"), owned(labels)).set(latency.sum.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, SharedString, Unit};
    use parking_lot::Mutex;

    use crate::stats::figures::sample;

    type Values = Arc<Mutex<BTreeMap<String, f64>>>;

    /// Keeps what was set.
    #[derive(Clone, Default)]
    struct Kept(Values);

    struct Slot(Values, String);

    impl CounterFn for Slot {
        fn increment(&self, _: u64) {
            unreachable!("figures are set");
        }

        fn absolute(&self, value: u64) {
            GaugeFn::set(self, value as f64);
        }
    }

    impl GaugeFn for Slot {
        fn increment(&self, _: f64) {
            unreachable!("figures are set");
        }

        fn decrement(&self, _: f64) {
            unreachable!("figures are set");
        }

        fn set(&self, value: f64) {
            self.0.lock().insert(self.1.clone(), value);
        }
    }

    impl Kept {
        fn slot(&self, key: &Key) -> Arc<Slot> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Slot(self.0.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }
    }

    impl metrics::Recorder for Kept {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.slot(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.slot(key))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_recorder_has_the_figures_of_prometheus() {
        let kept = Kept::default();
        let mut stats = sample();
        stats.outcomes[1].reason = "BadDeviceToken".into();
        metrics::with_local_recorder(&kept, || stats.record(&[("client", "one")]));
        let mut families = crate::Families::default();
        stats.add_to(&mut families, &[("client", "one")]);
        let text = families.to_string().replace('"', "");
        let lines: BTreeMap<String, f64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect();
        assert!(lines.len() > 10, "{text}");
        assert_eq!(*kept.0.lock(), lines);
    }
}
