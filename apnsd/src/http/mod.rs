//! The JSON API, the status page, and what a service manager and Prometheus ask for.

mod apps;
pub(crate) mod body;
mod brake;
mod buttons;
mod config;
mod finder;
mod forms;
mod lines;
mod many;
mod metrics;
mod notifications;
mod openapi;
pub(crate) mod origin;
mod outcomes;
mod page;
pub(crate) mod problem;
mod search;
pub(crate) mod shares;
mod status;
pub(crate) mod watched;
mod webhooks;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;

pub use self::config::{ApiConfig, Limits, TlsConfig};
pub use self::metrics::MetricsPort;
pub(crate) use self::notifications::percent_decoded;
use self::origin::names_loopback;
use self::problem::Problem;
use crate::AppName;
use crate::access::Caller;
use crate::service::Service;

/// What the handlers share.
#[derive(Debug, Clone)]
struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Service,
    limits: Limits,
    /// What signs the forms of the page.
    forms: Option<forms::Forms>,
}

/// The way in.
fn router(service: Service, limits: Limits) -> Router {
    let api = Api(Arc::new(Shared { service, limits, forms: forms::Forms::new() }));
    Router::new()
        .route("/", get(page::page))
        .route(buttons::PAUSE, post(buttons::pause))
        .route(buttons::RESUME, post(buttons::resume))
        .route(buttons::PURGE, get(buttons::question).post(buttons::purge))
        .route(finder::SEARCH, get(finder::form).post(finder::search))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/v1/apps", get(apps::list))
        .route("/v1/apps/{app}", get(apps::show).put(apps::provision).delete(apps::remove))
        .route("/v1/apps/{app}/pause", post(brake::pause))
        .route("/v1/apps/{app}/resume", post(brake::resume))
        .route("/v1/apps/{app}/purge", post(brake::purge))
        .route("/v1/apps/{app}/cancel", post(brake::cancel))
        .route("/v1/apps/{app}/search", post(search::search))
        .route("/v1/apps/{app}/notifications", post(notifications::submit))
        .route("/v1/apps/{app}/outcomes", get(outcomes::outcomes))
        .route("/v1/apps/{app}/invalid-tokens", get(apps::invalid_tokens))
        .route("/v1/notifications/{id}", get(notifications::show))
        .route("/v1/webhooks", get(webhooks::list))
        .route("/v1/webhooks/{name}/test", post(webhooks::test))
        .fallback(|| async { Problem::no_such_resource() })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(api.clone(), known_host))
        .with_state(api)
}

/// Where no token is needed, a page in somebody's browser could send by giving its own name this machine's address. So
/// only names of this machine are answered there.
async fn known_host(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.service().access().is_open() && !names_loopback(request.headers()) {
        return Problem::wrong_host()
            .detail("without access tokens only requests to localhost are answered")
            .closing()
            .into_response();
    }
    next.run(request).await
}

impl Api {
    fn service(&self) -> &Service {
        &self.0.service
    }

    fn forms(&self) -> Option<&forms::Forms> {
        self.0.forms.as_ref()
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Who asks.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let token = token(headers);
        self.service()
            .access()
            .check(token.as_ref().map(|token| token.as_str()))
            .map_err(|denied| Problem::unauthorized().detail(denied).closing())
    }

    /// Who asks, if they may use this app. Whether there is such an app is nobody else's business.
    fn user_of(&self, headers: &HeaderMap, app: &str) -> Result<(Caller, AppName), Problem> {
        let caller = self.caller(headers)?;
        let app = AppName::new(app).map_err(|error| Problem::invalid().field("app", error).closing())?;
        if !caller.may_use(&app) {
            return Err(Problem::forbidden().closing());
        }
        Ok((caller, app))
    }

    /// Who asks, if they may do everything.
    fn admin(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = self.caller(headers)?;
        if caller.is_admin() { Ok(caller) } else { Err(Problem::forbidden().closing()) }
    }
}

/// The access token of a request: `Bearer`, or the password of `Basic`.
pub(crate) fn token(headers: &HeaderMap) -> Option<zeroize::Zeroizing<String>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned().into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let (_, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned().into())
}
