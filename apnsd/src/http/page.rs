//! The status page.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// `GET /`
pub(super) async fn page(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    api.caller(&headers)?;
    Ok(Html("apnsd").into_response())
}
