//! For whoever watches over the process.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use crate::AppName;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Only for callers who may see it.
    failing: Vec<Failing>,
}

#[derive(Serialize)]
struct Failing {
    app: AppName,
    why: String,
}

/// `GET /readyz`: the outbox answers, and no app's credential is known to fail.
pub(super) async fn readyz(State(api): State<Api>, headers: HeaderMap) -> Response {
    let failing = api.service().failing();
    let ready = failing.is_empty() && api.service().total().await.is_ok();
    let caller = api.caller(&headers).ok();
    let failing = failing
        .into_iter()
        .filter(|(app, _)| caller.as_ref().is_some_and(|caller| caller.may_use(app)))
        .map(|(app, why)| Failing { app, why })
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, failing })).into_response()
}
