//! What went wrong, for programs and for people: RFC 9457.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// A name for the kind of problem, relative to the API's documentation.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

macro_rules! kinds {
    ($($name:ident: $status:ident, $type:literal, $title:literal;)*) => {
        $(pub(crate) fn $name() -> Self {
            Self { r#type: $type, title: $title, status: StatusCode::$status.as_u16(), detail: None }
        })*

        /// One of each kind.
        #[cfg(test)]
        pub(super) fn all() -> Vec<Self> {
            vec![$(Self::$name()),*]
        }
    };
}

impl Problem {
    kinds! {
        nothing_here: NOT_FOUND, "#not-found", "There is nothing at this address";
        unknown_push: NOT_FOUND, "#unknown-push", "There is no such push, or it is no longer kept";
        no_object: CONFLICT, "#no-object", "The payload is no JSON object";
        method: METHOD_NOT_ALLOWED, "#method", "This address does not take this method";
        wrong_host: FORBIDDEN, "#host", "This name is not one of the inbox";
        foreign_page: FORBIDDEN, "#foreign-page", "Pages of other sites are not answered";
        media_type: UNSUPPORTED_MEDIA_TYPE, "#media-type", "The body has to be application/json";
        invalid: UNPROCESSABLE_ENTITY, "#invalid", "Something in the request cannot be used";
        body_too_large: PAYLOAD_TOO_LARGE, "#body-too-large", "The body is too large";
        too_many: CONFLICT, "#too-many", "There is no room for more of these";
    }

    /// Says more.
    pub(crate) fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> &'static str {
        self.r#type
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_kind_and_no_two_are_the_same() {
        let document: serde_json::Value = serde_json::from_str(super::super::DOCUMENT).unwrap();
        let kinds: Vec<&str> = Problem::all().iter().map(Problem::kind).collect();
        assert_eq!(
            document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"],
            serde_json::json!(kinds)
        );
    }
}
