//! Apps, and the device tokens on which they are gone.

use apns_proto::WallTime;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::body::{MediaType, read_text};
use super::notifications::query;
use super::problem::Problem;
use crate::AppName;
use crate::config::AppDefinition;
use crate::delivery::{Credential, now};
use crate::outbox::Cursor;
use crate::service::AppInfo;

/// What is told of an app.
#[derive(Serialize)]
pub(super) struct AppView {
    name: AppName,
    environment: &'static str,
    transport: &'static str,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    topic: Option<String>,
    credential: CredentialView,
    environments: Vec<EnvironmentView>,
    origin: &'static str,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PausedView>,
    waiting: u64,
    in_flight: u64,
}

/// An app in one environment.
#[derive(Serialize)]
struct EnvironmentView {
    environment: &'static str,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    credential: CredentialView,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct PausedView {
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum CredentialView {
    Certificate { subject: String, fingerprint: String, topics: Vec<String>, not_after: u64, expires_soon: bool },
    SigningKey { key_id: String, team_id: String },
}

impl CredentialView {
    fn of(credential: Credential, now: WallTime) -> Self {
        let expires_soon = credential.expires_soon(now).is_some();
        match credential {
            Credential::Certificate { subject, fingerprint, topics, not_after } => {
                Self::Certificate { subject, fingerprint, topics, not_after: not_after.as_millis(), expires_soon }
            }
            Credential::SigningKey { key_id, team_id } => Self::SigningKey { key_id, team_id },
        }
    }
}

impl Api {
    pub(super) async fn view(&self, info: AppInfo) -> Result<AppView, Problem> {
        let counts = self.service().counts(&info.name).await?;
        let now = now();
        let environments = info.environments.into_iter().map(|one| EnvironmentView {
            environment: one.environment.word(),
            endpoint: one.endpoint,
            proxy: one.proxy,
            health: one.health.word(),
            why: one.health.why().map(str::to_owned),
            credential: CredentialView::of(one.credential, now),
        });
        let environments = environments.collect();
        Ok(AppView {
            environment: info.environment.word(),
            transport: info.transport.word(),
            endpoint: info.endpoint,
            proxy: info.proxy,
            topic: info.topic,
            credential: CredentialView::of(info.credential, now),
            environments,
            origin: info.origin.word(),
            health: info.health.word(),
            why: info.health.why().map(str::to_owned),
            paused: info.pause.map(|pause| PausedView {
                since: pause.since.as_millis(),
                reason: pause.reason.as_deref().map(str::to_owned),
            }),
            name: info.name,
            waiting: counts.waiting,
            in_flight: counts.in_flight,
        })
    }
}

/// `GET /v1/apps`
pub(super) async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut views = Vec::new();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        views.push(api.view(info).await?);
    }
    Ok(Json(views).into_response())
}

/// `GET /v1/apps/{app}`
pub(super) async fn show(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let info = api.service().info(&app)?;
    Ok(Json(api.view(info).await?).into_response())
}

/// `PUT /v1/apps/{app}`
pub(super) async fn provision(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    api.admin(&headers)?;
    let app = AppName::new(app).map_err(|error| Problem::invalid().field("app", error).closing())?;
    MediaType::ensure_json(&headers)?;
    let text = zeroize::Zeroizing::new(read_text(&headers, body, api.limits()).await?);
    let definition = AppDefinition::from_json(text.as_bytes())?;
    let status = if api.service().knows(&app) { StatusCode::OK } else { StatusCode::CREATED };
    let info = api.service().provision(&app, definition).await?;
    Ok((status, Json(api.view(info).await?)).into_response())
}

/// `DELETE /v1/apps/{app}`
pub(super) async fn remove(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.admin(&headers)?;
    let app = AppName::new(app).map_err(|error| Problem::invalid().field("app", error))?;
    api.service().remove(&app).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Serialize)]
struct InvalidTokens {
    tokens: Vec<InvalidToken>,
    /// Where to go on: `?after=`.
    next: String,
}

#[derive(Serialize)]
struct InvalidToken {
    token: String,
    topic: Option<String>,
    gone_since: Option<u64>,
    found_at: u64,
    reason: String,
}

/// The most device tokens of one answer.
const PAGE: usize = 1000;

/// `GET /v1/apps/{app}/invalid-tokens`
pub(super) async fn invalid_tokens(
    State(api): State<Api>,
    Path(app): Path<String>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let [since, after, limit] = query(parameters.as_deref(), ["since", "after", "limit"])?;
    let number = |name: &'static str, text: Option<String>, default: u64| match text {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| Problem::invalid().field(name, "it has to be a whole number")),
    };
    let since = number("since", since, 0).map_err(|problem| problem.detail("`since` is in milliseconds since 1970"))?;
    let limit = number("limit", limit, PAGE as u64)?.clamp(1, PAGE as u64);
    let limit = usize::try_from(limit).unwrap_or(PAGE);
    let after = Cursor::new(after.unwrap_or_default());
    let page = api.service().invalid_tokens(&app, &after, WallTime::from_millis(since), limit).await?;
    let tokens = page.tokens.into_iter().map(|gone| InvalidToken {
        token: gone.token.to_hex(),
        topic: gone.topic.as_deref().map(str::to_owned),
        gone_since: gone.since.map(WallTime::as_millis),
        found_at: gone.found_at.as_millis(),
        reason: gone.reason.as_ref().to_owned(),
    });
    Ok(Json(InvalidTokens { tokens: tokens.collect(), next: page.next.as_str().to_owned() }).into_response())
}
