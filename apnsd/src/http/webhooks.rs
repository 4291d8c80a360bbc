//! Webhooks: how they stand, and a test of one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::problem::Problem;
use crate::AppName;
use crate::access::Caller;
use crate::outbox::Backlog;
use crate::webhook::WebhookInfo;

/// A webhook and one app, with what was not told.
pub(super) struct Told {
    pub(super) info: WebhookInfo,
    pub(super) backlog: Backlog,
}

impl Api {
    /// What a caller may know of webhooks: of the apps that it may use.
    pub(super) async fn webhooks_of(&self, caller: &Caller) -> Result<Vec<Told>, Problem> {
        let mut told = Vec::new();
        for info in self.service().webhooks().into_iter().filter(|info| caller.may_use(&info.app)) {
            let backlog = self.service().webhook_backlog(&info).await?;
            told.push(Told { info, backlog });
        }
        Ok(told)
    }
}

#[derive(Serialize)]
struct WebhookView {
    name: String,
    url: String,
    apps: Vec<AppView>,
}

#[derive(Serialize)]
struct AppView {
    app: AppName,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Outcomes that the receiver does not have.
    behind: u64,
    /// When the oldest of them ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<u64>,
}

/// `GET /v1/webhooks`
pub(super) async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let told = api.webhooks_of(&caller).await?;
    let view = |(name, url): (String, String)| {
        let of = told.iter().filter(|told| told.info.name == name).map(|Told { info, backlog }| AppView {
            app: info.app.clone(),
            state: info.state.word(),
            why: info.state.why().map(str::to_owned),
            behind: backlog.outcomes,
            oldest: backlog.oldest.map(apns_proto::WallTime::as_millis),
            delivered_at: info.figures.delivered_at.map(apns_proto::WallTime::as_millis),
        });
        WebhookView { apps: of.collect(), name, url }
    };
    let views = api.service().webhook_names().into_iter().map(view);
    // Where outcomes of other apps go is not their business.
    let views: Vec<WebhookView> = views.filter(|view| caller.is_admin() || !view.apps.is_empty()).collect();
    Ok(Json(views).into_response())
}

#[derive(Serialize)]
struct TestView {
    delivered: bool,
    /// Of the receiver's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// `POST /v1/webhooks/{name}/test`
pub(super) async fn test(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.admin(&headers)?;
    super::body::MediaType::ensure_json(&headers)?;
    let answered = api.service().test_webhook(&name).await.ok_or_else(Problem::unknown_webhook)?;
    let view = match answered {
        Ok(status) => TestView { delivered: true, status: Some(status), why: None },
        Err(failure) => TestView { delivered: false, status: failure.status(), why: Some(failure.to_string()) },
    };
    Ok(Json(view).into_response())
}
