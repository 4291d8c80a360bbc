//! Figures for Prometheus, in its text format 0.0.4.

use std::net::SocketAddr;
use std::time::Duration;

use apns_driver::Families;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::problem::Problem;
use super::webhooks::Told;
use super::{Api, Limits};
use crate::daemon::DaemonError;
use crate::delivery::{Snapshot, Spans, now};
use crate::listen::Port;
use crate::outbox::Backlog;
use crate::webhook::{WebhookInfo, WebhookState};

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

fn add_webhook(families: &mut Families, info: &WebhookInfo, backlog: Backlog) {
    let labels = &[("webhook", &*info.name), ("app", info.app.as_str())];
    let oldest = backlog.oldest.map_or(0, |oldest| now().saturating_since(oldest).as_secs());
    let behind = "Outcomes that the receiver of a webhook does not have.";
    families.gauge("apnsd_webhook_behind", behind, labels, backlog.outcomes);
    let behind = "How long ago the oldest of these outcomes was known; 0 where there is none.";
    families.gauge("apnsd_webhook_behind_seconds", behind, labels, oldest);
    let figures = &info.figures;
    for (name, help, value) in [
        ("apnsd_webhook_batches_total", "Batches that the receiver of a webhook took.", figures.batches),
        ("apnsd_webhook_outcomes_total", "Outcomes in these batches.", figures.outcomes),
        (
            "apnsd_webhook_gaps_total",
            "How often the receiver was told that outcomes were forgotten before it could be told of them.",
            figures.gaps,
        ),
    ] {
        families.counter(name, help, labels, value);
    }
    for (kind, count) in &figures.failures {
        let help = "Attempts to send a batch that failed, by kind.";
        families.counter("apnsd_webhook_failures_total", help, &[labels[0], labels[1], ("kind", kind)], *count);
    }
    for state in WebhookState::WORDS {
        let (is, help) = (u64::from(info.state.word() == state), "1 for the state that a webhook is in.");
        families.gauge("apnsd_webhook_state", help, &[labels[0], labels[1], ("state", state)], is);
    }
}

/// What an app's health may be.
const STATES: [&str; 4] = ["untried", "working", "no_connection", "failing"];

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut families = Families::default();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        let Ok(snapshot) = api.service().snapshot(&info.name) else { continue };
        let counts = api.service().counts(&info.name).await?;
        let app = &[("app", info.name.as_str())];
        let oldest =
            if counts.waiting > 0 { api.service().oldest_waiting(&info.name).await.ok().flatten() } else { None };
        let oldest = oldest.map_or(0, |oldest| now().saturating_since(oldest).as_secs());
        let Snapshot { spans, bridge, ended, refusals, .. } = &snapshot;
        for (name, help, value) in [
            ("apnsd_waiting", "Notifications that wait for their turn.", counts.waiting),
            ("apnsd_in_flight", "Notifications that may have left and have no outcome.", counts.in_flight),
            ("apnsd_outbox_bytes", "Bytes of notifications without an outcome.", counts.bytes),
            (
                "apnsd_oldest_waiting_seconds",
                "How long the oldest notification has waited; 0 where none waits.",
                oldest,
            ),
            ("apnsd_app_paused", "1 while the app is paused by order.", u64::from(snapshot.pause.is_some())),
            ("apnsd_connections", "Open connections to the service.", snapshot.connections as u64),
            ("apnsd_bridge_connections", "Open connections of old binary clients.", bridge.connections as u64),
        ] {
            families.gauge(name, help, app, value);
        }
        let recognised =
            "Notifications that old clients sent again after an error response, and that were not taken twice.";
        for (name, help, value) in [
            ("apnsd_taken_total", "Notifications accepted from callers.", snapshot.taken),
            ("apnsd_replays_total", "Copies sent although an earlier one may have arrived.", snapshot.replays),
            ("apnsd_bridge_recognised_total", recognised, bridge.recognised),
        ] {
            families.counter(name, help, app, value);
        }
        let family = ["apnsd_settle_seconds", "How long notifications took from being accepted to their outcome."];
        let ends = Spans::LIMITS.map(|millis| millis as f64 / 1000.0);
        families.histogram(family, app, ends, &spans.counts, spans.total_millis as f64 / 1000.0);
        for (reason, count) in ended {
            let help = "Notifications that ended, by the reason of a refusal or the outcome.";
            families.counter("apnsd_ended_total", help, &[app[0], ("reason", reason)], *count);
        }
        for (reason, count) in refusals {
            let help = "Refusals of the credential, by reason: each is an attempt with one notification.";
            families.counter("apnsd_credential_refusals_total", help, &[app[0], ("reason", reason)], *count);
        }
        for (status, count) in &bridge.responses {
            let help = "Error responses to old binary clients, by status.";
            let status = [app[0], ("status", &*status.to_string())];
            families.counter("apnsd_bridge_error_responses_total", help, &status, *count);
        }
        for state in STATES {
            let (is, help) = (u64::from(info.health.word() == state), "1 for the state that an app is in.");
            families.gauge("apnsd_app_health", help, &[app[0], ("state", state)], is);
        }
        for one in &snapshot.environments {
            let environment = ("environment", one.environment.word());
            let help = "Open connections to the service in an environment.";
            families.gauge("apnsd_environment_connections", help, &[app[0], environment], one.connections as u64);
            for state in STATES {
                let help = "1 for the state that an app is in, in an environment.";
                let is = u64::from(one.health.word() == state);
                families.gauge("apnsd_environment_health", help, &[app[0], environment, ("state", state)], is);
            }
        }
        if let Some(end) = info.environments.iter().filter_map(|one| one.credential.not_after()).min() {
            let help = "When a certificate ends, in seconds since 1970.";
            families.gauge("apnsd_credential_expires_seconds", help, app, end.as_secs());
        }
        if info.environments.len() > 1 {
            let help = "Device tokens that the wrong environment was asked for.";
            families.counter("apnsd_wrong_probes_total", help, app, snapshot.probes.wrong);
            let help =
                "Notifications that had to wait until the environment of another device token could be asked for.";
            families.counter("apnsd_probes_held_total", help, app, snapshot.probes.held);
            let help = "1 while notifications wait because of `wrong_probes`.";
            families.gauge("apnsd_probes_wait", help, app, u64::from(snapshot.probes.waits));
        }
    }
    for Told { info, backlog } in api.webhooks_of(&caller).await? {
        add_webhook(&mut families, &info, backlog);
    }
    for ((interface, status), count) in api.service().refusals().calls() {
        let status = status.to_string();
        let help = "Calls that were refused, by interface and HTTP status, or the fault code of XML-RPC.";
        let labels = [("interface", interface), ("status", &status)];
        families.counter("apnsd_refused_calls_total", help, &labels, count);
        if status == "401" {
            let help = "Calls without an access token that is known.";
            families.counter("apnsd_authentication_failures_total", help, &labels[..1], count);
        }
    }
    let store = api.service().store_health().await;
    let ready = "1 if something was stored when this was asked, otherwise 0.";
    families.gauge("apnsd_outbox_ready", ready, &[], u64::from(store.is_ready()));
    families.gauge("apnsd_outbox_disk_bytes", "What the files of the outbox take up.", &[], store.disk.used);
    if let Some(free) = store.disk.free {
        families.gauge("apnsd_disk_free_bytes", "What is free on the disk of the outbox.", &[], free);
    }
    families.gauge("apnsd_build_info", "1, with the version.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let (started, help) = (api.service().started().as_secs(), "When the daemon started, in seconds since 1970.");
    families.gauge("apnsd_start_time_seconds", help, &[], started);
    Ok((TEXT, families.to_string()).into_response())
}
