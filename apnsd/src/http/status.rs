//! For what watches over the process.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::notifications::query;
use super::problem::Problem;
use crate::AppName;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    outbox: StoreView,
    /// Only for callers who may see it.
    failing: Vec<Failing>,
    /// The same of webhooks, which change nothing of the readiness: outcomes are kept for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing_webhooks: Vec<FailingWebhook>,
}

#[derive(Serialize)]
struct StoreView {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Failing {
    app: AppName,
    why: String,
}

#[derive(Serialize)]
struct FailingWebhook {
    webhook: String,
    app: AppName,
    why: String,
}

/// `GET /readyz`: callers can be served, which means that the outbox stores. With `apps=all`, also that no app is known to
/// fail: one app's credential is not to take the node away from all others.
pub(super) async fn readyz(
    State(api): State<Api>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [apps] = query(parameters.as_deref(), ["apps"])?;
    let all_apps = match apps.as_deref() {
        None => false,
        Some("all") => true,
        Some(_) => return Err(Problem::invalid().field("apps", "it has to be `all`")),
    };
    let store = api.service().store_health().await;
    let failing = api.service().failing();
    let ready = store.is_ready() && (!all_apps || failing.is_empty());
    let caller = api.caller(&headers).ok();
    let may_see = |app: &AppName| caller.as_ref().is_some_and(|caller| caller.may_use(app));
    let failing_webhooks = api.service().webhooks().into_iter().filter(|info| may_see(&info.app)).filter_map(|info| {
        let why = info.state.why()?.to_owned();
        Some(FailingWebhook { webhook: info.name, app: info.app, why })
    });
    let failing_webhooks = failing_webhooks.collect();
    let failing = failing.into_iter().filter(|(app, _)| may_see(app)).map(|(app, why)| Failing { app, why }).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let outbox = StoreView { ready: store.is_ready(), free_bytes: store.disk.free, why: store.why };
    Ok((status, Json(Readiness { ready, outbox, failing, failing_webhooks })).into_response())
}
