//! Figures for Prometheus, in its text format 0.0.4.

use std::net::SocketAddr;
use std::time::Duration;

use apns_driver::{Families, Family};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::problem::Problem;
use super::{Api, Limits};
use crate::daemon::DaemonError;
use crate::delivery::{Spans, now};
use crate::listen::Port;

/// A port that answers with the figures of a program, under `/metrics`, until it is dropped.
#[derive(Debug)]
pub struct MetricsPort {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl MetricsPort {
    /// Listens, and answers from now on, on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// When nothing can listen at this address.
    pub fn serve(
        address: SocketAddr,
        figures: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> Result<Self, DaemonError> {
        let port = Port::bind("metrics", "metrics", address, None, Limits::default())?;
        let answer = move || async move { (TEXT, figures()) };
        let elsewhere = || async { (StatusCode::NOT_FOUND, "The numbers are at /metrics.\n") };
        let router = Router::new().route("/metrics", get(answer)).fallback(elsewhere);
        let (address, (stop, stopping)) = (port.shown.address, watch::channel(false));
        tokio::spawn(port.serve(router, stopping, Duration::ZERO));
        Ok(Self { address, _stop: stop })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

const TEXT: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut families = Families::default();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        let Ok(snapshot) = api.service().snapshot(&info.name) else { continue };
        let counts = api.service().counts(&info.name).await?;
        let app = &[("app", info.name.as_str())];
        families.add(WAITING, app, counts.waiting);
        families.add(IN_FLIGHT, app, counts.in_flight);
        families.add(BYTES, app, counts.bytes);
        families.add(TAKEN, app, snapshot.taken);
        for (reason, count) in &snapshot.ended {
            families.add(ENDED, &[app[0], ("reason", reason)], *count);
        }
        for (reason, count) in &snapshot.refusals {
            families.add(REFUSALS, &[app[0], ("reason", reason)], *count);
        }
        let spans = &snapshot.spans;
        let ends = Spans::LIMITS.map(|millis| millis as f64 / 1000.0);
        let (larger, sum) = (spans.counts[ends.len()], spans.total_millis as f64 / 1000.0);
        families.add_histogram(SPANS, app, ends.into_iter().zip(spans.counts), larger, sum);
        let oldest =
            if counts.waiting > 0 { api.service().oldest_waiting(&info.name).await.ok().flatten() } else { None };
        families.add(OLDEST, app, oldest.map_or(0, |oldest| now().saturating_since(oldest).as_secs()));
        families.add(REPLAYS, app, snapshot.replays);
        families.add(CONNECTIONS, app, snapshot.connections as u64);
        families.add(BRIDGE_CONNECTIONS, app, snapshot.bridge.connections as u64);
        families.add(BRIDGE_RECOGNISED, app, snapshot.bridge.recognised);
        for (status, count) in &snapshot.bridge.responses {
            families.add(BRIDGE_RESPONSES, &[app[0], ("status", &status.to_string())], *count);
        }
        for state in ["untried", "working", "no_connection", "failing"] {
            families.add(HEALTH, &[app[0], ("state", state)], u64::from(info.health.word() == state));
        }
        if let Some(end) = info.credential.not_after() {
            families.add(EXPIRES, app, end.as_secs());
        }
    }
    for ((interface, status), count) in api.service().refusals().calls() {
        let status = status.to_string();
        families.add(REFUSED, &[("interface", interface), ("status", &status)], count);
        if status == "401" {
            families.add(UNKNOWN_CALLERS, &[("interface", interface)], count);
        }
    }
    let store = api.service().store_health().await;
    families.add(STORE, &[], u64::from(store.is_ready()));
    families.add(USED, &[], store.disk.used);
    if let Some(free) = store.disk.free {
        families.add(FREE, &[], free);
    }
    families.add(BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    families.add(STARTED, &[], api.service().started().as_secs());
    Ok((TEXT, families.to_string()).into_response())
}

const WAITING: Family = Family::gauge("apnsd_waiting", "Notifications that wait for their turn.");
const IN_FLIGHT: Family = Family::gauge("apnsd_in_flight", "Notifications that may have left and have no outcome.");
const BYTES: Family = Family::gauge("apnsd_outbox_bytes", "Bytes of notifications without an outcome.");
const TAKEN: Family = Family::counter("apnsd_taken_total", "Notifications accepted from callers.");
const ENDED: Family =
    Family::counter("apnsd_ended_total", "Notifications that ended, by the reason of a refusal or the outcome.");
const REFUSALS: Family = Family::counter(
    "apnsd_credential_refusals_total",
    "Refusals of the credential, by reason: each is an attempt with one notification.",
);
const REPLAYS: Family = Family::counter("apnsd_replays_total", "Copies sent although an earlier one may have arrived.");
const CONNECTIONS: Family = Family::gauge("apnsd_connections", "Open connections to the service.");
const BRIDGE_CONNECTIONS: Family = Family::gauge("apnsd_bridge_connections", "Open connections of old binary clients.");
const BRIDGE_RECOGNISED: Family = Family::counter(
    "apnsd_bridge_recognised_total",
    "Notifications that old clients sent again after an error response, and that were not taken twice.",
);
const BRIDGE_RESPONSES: Family =
    Family::counter("apnsd_bridge_error_responses_total", "Error responses to old binary clients, by status.");
const HEALTH: Family = Family::gauge("apnsd_app_health", "1 for the state that an app is in.");
const EXPIRES: Family =
    Family::gauge("apnsd_credential_expires_seconds", "When a certificate ends, in seconds since 1970.");
const OLDEST: Family =
    Family::gauge("apnsd_oldest_waiting_seconds", "How long the oldest notification has waited; 0 where none waits.");
const SPANS: Family =
    Family::histogram("apnsd_settle_seconds", "How long notifications took from being accepted to their outcome.");
const REFUSED: Family = Family::counter(
    "apnsd_refused_calls_total",
    "Calls that were refused, by interface and HTTP status, or the fault code of XML-RPC.",
);
const UNKNOWN_CALLERS: Family =
    Family::counter("apnsd_authentication_failures_total", "Calls without an access token that is known.");
const STORE: Family =
    Family::gauge("apnsd_outbox_ready", "1 if something was stored when this was asked, otherwise 0.");
const USED: Family = Family::gauge("apnsd_outbox_disk_bytes", "What the files of the outbox take up.");
const FREE: Family = Family::gauge("apnsd_disk_free_bytes", "What is free on the disk of the outbox.");
const BUILD: Family = Family::gauge("apnsd_build_info", "1, with the version.");
const STARTED: Family = Family::gauge("apnsd_start_time_seconds", "When the daemon started, in seconds since 1970.");
