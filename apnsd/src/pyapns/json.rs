//! The bodies of the REST interface.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) const JSON: &str = "application/json; charset=utf-8";

#[derive(Serialize)]
struct Success<'a, T> {
    code: u16,
    response: &'a T,
}

/// What is answered, as text.
pub(super) fn success_body<T: Serialize>(status: StatusCode, response: &T) -> String {
    let body = Success { code: status.as_u16(), response };
    serde_json::to_string(&body).expect("an answer has text keys and finite numbers only")
}

/// An answer that has what was asked for.
pub(super) fn success<T: Serialize>(status: StatusCode, response: &T) -> Response {
    with_type(status, success_body(status, response))
}

/// An answer that has not. `args` says what it is about; the documentation of pyapns called the text `error`, its code
/// `message`, so it is both.
pub(super) fn error(status: StatusCode, message: &str, args: &[(&str, &str)]) -> Response {
    let args: serde_json::Map<_, _> = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let body = serde_json::json!({
        "code": status.as_u16(), "message": message, "error": message, "type": "error", "args": args,
    });
    with_type(status, body.to_string())
}

fn with_type(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response()
}
