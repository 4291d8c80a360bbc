//! Figures for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut families = Families::default();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        let Ok(snapshot) = api.service().snapshot(&info.name) else { continue };
        let counts = api.service().counts(&info.name).await?;
        let app = escaped(info.name.as_str());
        families.add(WAITING, &app, &[], counts.waiting);
        families.add(IN_FLIGHT, &app, &[], counts.in_flight);
        families.add(BYTES, &app, &[], counts.bytes);
        families.add(TAKEN, &app, &[], snapshot.taken);
        for (reason, count) in &snapshot.ended {
            families.add(ENDED, &app, &[("reason", reason)], *count);
        }
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
const STARTED: Family = ("apnsd_start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.");

/// The lines of each family have to stand together.
#[derive(Default)]
struct Families(Vec<(Family, String)>);

impl Families {
    fn add(&mut self, family: Family, app: &str, labels: &[(&str, &str)], value: u64) {
        let mut line = format!("{}{{app=\"{app}\"", family.0);
        for (name, text) in labels {
            write!(line, ",{name}=\"{}\"", escaped(text)).expect("a text takes everything");
        }
        writeln!(line, "}} {value}").expect("a text takes everything");
        self.of(family).push_str(&line);
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
