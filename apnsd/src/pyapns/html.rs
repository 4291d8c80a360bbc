//! Answers in HTML, as Twisted gave them where no resource answered.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// A page that says what is wrong. The texts are this program's own: nothing of a request stands in it.
pub(super) fn page(status: StatusCode, title: &str, detail: &str) -> Response {
    let html = format!(
        "\n<html>\n  <head><title>{} - {title}</title></head>\n  <body>\n    <h1>{title}</h1>\n    \
         <p>{detail}</p>\n  </body>\n</html>\n",
        status.as_u16(),
    );
    (status, Html(html)).into_response()
}

/// This address does not take the method.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let detail = format!("This address takes {allowed} only.");
    let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", &detail);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
