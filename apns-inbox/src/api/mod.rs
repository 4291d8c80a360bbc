//! The API for tests in any language: JSON over HTTP, described by `docs/inbox-openapi.json`.

mod bad_days;
mod devices;
mod problem;
mod pushes;
mod status;
mod wire;

use apns_proto::WallTime;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serializer;

pub(crate) use self::bad_days::MAX_ARMED;
pub(crate) use self::devices::{check_name, read_token};
pub(crate) use self::problem::Problem;
pub(crate) use self::wire::PushLine;
use crate::http::Shared;

/// OpenAPI 3.1; a copy of what is in the folder of documents, as a test keeps it.
const DOCUMENT: &str = include_str!("openapi.json");

/// The routes of the API.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(status::healthz))
        .route("/openapi.json", get(document))
        .route("/export.jsonl", get(pushes::export))
        .route("/v1/status", get(status::status))
        .route("/v1/pushes", get(pushes::list).delete(pushes::clear))
        .route("/v1/pushes/{seq}", get(pushes::show))
        .route("/v1/pushes/{seq}/apns", get(pushes::file))
        .route("/v1/devices", get(devices::list))
        .route("/v1/devices/{token}", get(devices::show).patch(devices::change))
        .route("/v1/channels", get(devices::channels))
        .route("/v1/bad-days", get(bad_days::list).post(bad_days::arm).delete(bad_days::disarm))
        .route("/v1/go-away", post(bad_days::go_away))
        .route("/v1/script", get(bad_days::script).put(bad_days::set_script))
        .method_not_allowed_fallback(|| async { Problem::method() })
}

/// `GET /openapi.json`
async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// A time in milliseconds since 1970.
pub(crate) fn millis<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_millis())
}
