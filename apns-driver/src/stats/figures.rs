//! The names of all figures, once for every way to show them.

use super::{LatencyHistogram, Stats};

/// What takes figures by name, with labels that tell clients apart.
pub(super) trait Figures {
    /// A figure that rises and falls.
    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64);

    /// A figure that never falls.
    fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64);

    /// Times by length, in seconds.
    fn latency(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], latency: &LatencyHistogram);
}

impl Stats {
    pub(super) fn show(&self, figures: &mut impl Figures, labels: &[(&str, &str)]) {
        let mut gauge = |name, help, value| figures.gauge(name, help, labels, value);
        gauge("apns_queue_depth", "Notifications that wait for a connection with room.", self.queued);
        gauge("apns_in_flight", "Notifications with a session and without an outcome.", self.in_flight);
        gauge("apns_connected_sessions", "Sessions with an open connection.", self.connected);
        if let Some(age) = self.token_age {
            gauge("apns_provider_token_age_seconds", "Age of the provider token in use.", age.as_secs());
        }
        let mut counter = |name, help, value| figures.counter(name, help, labels, value);
        counter("apns_submitted_total", "Notifications taken.", self.submitted);
        counter("apns_dials_total", "Attempts to connect.", self.dials);
        counter("apns_dial_failures_total", "Attempts to connect that failed.", self.dial_failures);
        counter("apns_connections_total", "Connections opened.", self.connections);
        counter("apns_written_again_total", "Times that something was written again.", self.written_again);
        counter("apns_replayed_total", "Of these, possible duplicates.", self.replayed);
        let (name, help) = ("apns_outcomes_total", "Notifications that ended, by outcome and reason.");
        for outcome in &self.outcomes {
            let reason = [("outcome", outcome.outcome), ("reason", &*outcome.reason)];
            figures.counter(name, help, &[labels, &reason].concat(), outcome.count);
        }
        figures.latency("apns_latency_seconds", "From a session to the outcome.", labels, &self.latency);
    }
}

/// Figures of all kinds.
#[cfg(test)]
pub(super) fn sample() -> Stats {
    use std::time::Duration;

    use super::{LATENCY_BUCKETS_MS, OutcomeCount};

    let mut buckets = [0; LATENCY_BUCKETS_MS.len() + 1];
    (buckets[0], buckets[2], buckets[14]) = (3, 1, 1);
    let outcome = |outcome, reason: &'static str, count| OutcomeCount { outcome, reason: reason.into(), count };
    Stats {
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
    }
}
