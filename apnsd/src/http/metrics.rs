//! Figures for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;
use crate::delivery::{Spans, now};

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut families = Families::default();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        let Ok(snapshot) = api.service().snapshot(&info.name) else { continue };
        let counts = api.service().counts(&info.name).await?;
        let app = info.name.as_str().to_owned();
        families.add(WAITING, &app, &[], counts.waiting);
        families.add(IN_FLIGHT, &app, &[], counts.in_flight);
        families.add(BYTES, &app, &[], counts.bytes);
        families.add(TAKEN, &app, &[], snapshot.taken);
        for (reason, count) in &snapshot.ended {
            families.add(ENDED, &app, &[("reason", reason)], *count);
        }
        for (reason, count) in &snapshot.refusals {
            families.add(REFUSALS, &app, &[("reason", reason)], *count);
        }
        families.add_spans(&app, &snapshot.spans);
        let oldest =
            if counts.waiting > 0 { api.service().oldest_waiting(&info.name).await.ok().flatten() } else { None };
        families.add(OLDEST, &app, &[], oldest.map_or(0, |oldest| now().saturating_since(oldest).as_secs()));
        families.add(REPLAYS, &app, &[], snapshot.replays);
        families.add(CONNECTIONS, &app, &[], snapshot.connections as u64);
        families.add(BRIDGE_CONNECTIONS, &app, &[], snapshot.bridge.connections as u64);
        families.add(BRIDGE_RECOGNISED, &app, &[], snapshot.bridge.recognised);
        for (status, count) in &snapshot.bridge.responses {
            families.add(BRIDGE_RESPONSES, &app, &[("status", &status.to_string())], *count);
        }
        for state in ["untried", "working", "no_connection", "failing"] {
            families.add(HEALTH, &app, &[("state", state)], u64::from(info.health.word() == state));
        }
        if let Some(end) = info.credential.not_after() {
            families.add(EXPIRES, &app, &[], end.as_secs());
        }
    }
    for ((interface, status), count) in api.service().refusals().calls() {
        let status = status.to_string();
        families.add_line(REFUSED, "", &[("interface", interface), ("status", &status)], &count);
        if status == "401" {
            families.add_line(UNKNOWN_CALLERS, "", &[("interface", interface)], &count);
        }
    }
    let store = api.service().store_health().await;
    families.add_plain(STORE, u64::from(store.is_ready()));
    families.add_plain(USED, store.disk.used);
    if let Some(free) = store.disk.free {
        families.add_plain(FREE, free);
    }
    families.add_line(BUILD, "", &[("version", env!("CARGO_PKG_VERSION"))], &1);
    families.add_plain(STARTED, api.service().started().as_secs());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], families.text()).into_response())
}

/// A family: name, kind, help.
type Family = (&'static str, &'static str, &'static str);

const WAITING: Family = ("apnsd_waiting", "gauge", "Notifications that wait for their turn.");
const IN_FLIGHT: Family = ("apnsd_in_flight", "gauge", "Notifications that may have left and have no outcome.");
const BYTES: Family = ("apnsd_outbox_bytes", "gauge", "Bytes of notifications without an outcome.");
const TAKEN: Family = ("apnsd_taken_total", "counter", "Notifications accepted from callers.");
const ENDED: Family =
    ("apnsd_ended_total", "counter", "Notifications that ended, by the reason of a refusal or the outcome.");
const REFUSALS: Family = (
    "apnsd_credential_refusals_total",
    "counter",
    "Refusals of the credential, by reason: each is an attempt with one notification.",
);
const REPLAYS: Family = ("apnsd_replays_total", "counter", "Copies sent although an earlier one may have arrived.");
const CONNECTIONS: Family = ("apnsd_connections", "gauge", "Open connections to the service.");
const BRIDGE_CONNECTIONS: Family = ("apnsd_bridge_connections", "gauge", "Open connections of old binary clients.");
const BRIDGE_RECOGNISED: Family = (
    "apnsd_bridge_recognised_total",
    "counter",
    "Notifications that old clients sent again after an error response, and that were not taken twice.",
);
const BRIDGE_RESPONSES: Family =
    ("apnsd_bridge_error_responses_total", "counter", "Error responses to old binary clients, by status.");
const HEALTH: Family = ("apnsd_app_health", "gauge", "1 for the state that an app is in.");
const EXPIRES: Family =
    ("apnsd_credential_expires_seconds", "gauge", "When a certificate ends, in seconds since 1970.");
const OLDEST: Family =
    ("apnsd_oldest_waiting_seconds", "gauge", "How long the oldest notification has waited; 0 where none waits.");
const SPANS: Family =
    ("apnsd_settle_seconds", "histogram", "How long notifications took from being accepted to their outcome.");
const REFUSED: Family = (
    "apnsd_refused_calls_total",
    "counter",
    "Calls that were refused, by interface and HTTP status, or the fault code of XML-RPC.",
);
const UNKNOWN_CALLERS: Family =
    ("apnsd_authentication_failures_total", "counter", "Calls without an access token that is known.");
const STORE: Family = ("apnsd_outbox_ready", "gauge", "1 if something was stored when this was asked, otherwise 0.");
const USED: Family = ("apnsd_outbox_disk_bytes", "gauge", "What the files of the outbox take up.");
const FREE: Family = ("apnsd_disk_free_bytes", "gauge", "What is free on the disk of the outbox.");
const BUILD: Family = ("apnsd_build_info", "gauge", "1, with the version.");
const STARTED: Family = ("apnsd_start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.");

/// The lines of each family have to stand together.
#[derive(Default)]
struct Families(Vec<(Family, String)>);

impl Families {
    fn add(&mut self, family: Family, app: &str, labels: &[(&str, &str)], value: u64) {
        let all: Vec<(&str, &str)> = [("app", app)].into_iter().chain(labels.iter().copied()).collect();
        self.add_line(family, "", &all, &value);
    }

    /// A line of a family, whose name may have an ending.
    fn add_line(&mut self, family: Family, ending: &str, labels: &[(&str, &str)], value: &dyn std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
        let line = format!("{}{ending}{{{}}} {value}\n", family.0, labels.join(","));
        self.of(family).push_str(&line);
    }

    fn add_spans(&mut self, app: &str, spans: &Spans) {
        let limits = Spans::LIMITS.iter().map(|millis| format!("{}", *millis as f64 / 1000.0));
        let mut below = 0;
        for (limit, count) in limits.chain(["+Inf".to_owned()]).zip(spans.counts) {
            below += count;
            self.add_line(SPANS, "_bucket", &[("app", app), ("le", &limit)], &below);
        }
        self.add_line(SPANS, "_sum", &[("app", app)], &(spans.total_millis as f64 / 1000.0));
        self.add_line(SPANS, "_count", &[("app", app)], &below);
    }

    fn add_plain(&mut self, family: Family, value: u64) {
        let line = format!("{} {value}\n", family.0);
        self.of(family).push_str(&line);
    }

    fn of(&mut self, family: Family) -> &mut String {
        let place = self.0.iter().position(|(known, _)| known.0 == family.0).unwrap_or_else(|| {
            self.0.push((family, String::new()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for ((name, kind, help), lines) in &self.0 {
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}").expect("a text takes everything");
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
