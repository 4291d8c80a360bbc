//! What went wrong, for programs and for people: RFC 9457.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::config::ConfigError;
use crate::outbox::OutboxError;
use crate::service::{ProvisionError, SubmitError, UnknownApp};

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// A name for the kind of problem, relative to the API's documentation.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// The rest of the request is not worth reading.
    #[serde(skip)]
    close: bool,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldProblem {
    /// The part: a path into the body such as `[3].token`, or the name of a parameter.
    pub(crate) field: String,
    pub(crate) detail: String,
}

impl FieldProblem {
    pub(crate) fn new(field: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { field: field.into(), detail: detail.to_string() }
    }
}

macro_rules! kinds {
    ($($name:ident: $status:ident, $type:literal, $title:literal;)*) => {
        $(pub(crate) fn $name() -> Self { Self::kind(StatusCode::$status, $type, $title) })*

        /// One of each kind.
        #[cfg(test)]
        fn all() -> Vec<Self> {
            vec![$(Self::$name()),*]
        }
    };
}

impl Problem {
    kinds! {
        no_such_resource: NOT_FOUND, "#not-found", "There is nothing at this address";
        unknown_app: NOT_FOUND, "#unknown-app", "There is no app of this name";
        unknown_notification: NOT_FOUND, "#unknown-notification", "There is no notification of this id";
        unknown_webhook: NOT_FOUND, "#unknown-webhook", "There is no webhook of this name";
        method: METHOD_NOT_ALLOWED, "#method", "This address does not take this method";
        unauthorized: UNAUTHORIZED, "#unauthorized", "An access token is needed";
        forbidden: FORBIDDEN, "#forbidden", "This access token is not good for this";
        wrong_host: FORBIDDEN, "#host", "This name is not one of this daemon's";
        foreign_page: FORBIDDEN, "#foreign-page", "Pages of other sites are not answered";
        not_json: BAD_REQUEST, "#json", "The body is not JSON";
        media_type: UNSUPPORTED_MEDIA_TYPE, "#media-type", "The body has to be application/json or application/x-ndjson";
        invalid: UNPROCESSABLE_ENTITY, "#invalid", "Something in the request cannot be used";
        body_too_large: PAYLOAD_TOO_LARGE, "#body-too-large", "The body is too large";
        batch_too_large: PAYLOAD_TOO_LARGE, "#batch-too-large", "There are too many notifications in one array";
        body_too_slow: REQUEST_TIMEOUT, "#body-too-slow", "The body did not come in time";
        too_fast: TOO_MANY_REQUESTS, "#too-fast", "The app takes no more notifications at the moment";
        too_many: TOO_MANY_REQUESTS, "#too-many", "There is too much under way with this access token";
        busy: SERVICE_UNAVAILABLE, "#busy", "There is too much under way";
        full: SERVICE_UNAVAILABLE, "#outbox-full", "The outbox is full";
        failed: SERVICE_UNAVAILABLE, "#outbox-failed", "The outbox failed";
        filed: CONFLICT, "#filed", "The configuration file has the last word on this";
    }

    fn kind(status: StatusCode, r#type: &'static str, title: &'static str) -> Self {
        Self {
            r#type,
            title,
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            close: false,
        }
    }

    pub(crate) fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub(crate) fn field(mut self, field: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        self.errors.push(FieldProblem::new(field, detail));
        self
    }

    pub(crate) fn fields(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same about the one at this place, told to somebody who knows which one is meant: its place is left out.
    pub(crate) fn about(mut self, index: usize) -> Self {
        let place = format!("[{index}]");
        for error in &mut self.errors {
            match error.field.strip_prefix(&place) {
                Some("") => "(the whole)".clone_into(&mut error.field),
                Some(rest) => error.field = rest.strip_prefix('.').unwrap_or(rest).to_owned(),
                None => {}
            }
        }
        self
    }

    /// The same about those of a list in the request.
    pub(crate) fn of_list(mut self, list: &str) -> Self {
        for error in &mut self.errors {
            if error.field.starts_with('[') {
                error.field.insert_str(0, list);
            }
        }
        self
    }

    /// The connection is not read any further.
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The status.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// What happened, in one line for a person.
    pub(crate) fn in_one_line(&self) -> String {
        let fields = self.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
        let all: Vec<_> = self.detail.clone().into_iter().chain(fields).collect();
        if all.is_empty() { self.title.to_owned() } else { all.join("; ") }
    }

    /// How long to wait.
    pub(crate) const fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether it is the outbox that has no room.
    pub(crate) fn is_full(&self) -> bool {
        self.r#type == "#outbox-full"
    }
}

/// How long to wait before the outbox is asked again.
const FULL_RETRY: Duration = Duration::from_secs(5);

impl From<UnknownApp> for Problem {
    fn from(_: UnknownApp) -> Self {
        Self::unknown_app()
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        match &error {
            full if full.is_full() => Self::full().detail(&error).retry_after(FULL_RETRY),
            OutboxError::Cursor { .. } => Self::invalid().field("after", &error),
            OutboxError::TokensNotKept => Self::invalid().field("token", &error),
            _ => Self::failed().detail(&error).retry_after(FULL_RETRY),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::UnknownApp(error) => error.into(),
            SubmitError::Invalid { index, cause } => Self::invalid().field(format!("[{index}]"), cause),
            SubmitError::Payload { index, findings } => findings.iter().fold(Self::invalid(), |problem, finding| {
                let dot = if finding.at.is_empty() { "" } else { "." };
                problem.field(format!("[{index}].payload{dot}{}", finding.at), &finding.what)
            }),
            SubmitError::SendAt { index, cause } => Self::invalid().field(format!("[{index}].send_at"), cause),
            SubmitError::Environment { index, .. } => Self::invalid().field(format!("[{index}].environment"), &error),
            SubmitError::KeyReused { index } => Self::invalid().field(format!("[{index}].idempotency_key"), &error),
            SubmitError::TooFast { wait } => Self::too_fast().detail(&error).retry_after(wait),
            SubmitError::Outbox(error) => error.into(),
        }
    }
}

impl From<ProvisionError> for Problem {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Definition(error) => error.into(),
            ProvisionError::UnknownApp(error) => error.into(),
            ProvisionError::Filed => Self::filed().detail(ProvisionError::Filed),
            ProvisionError::Outbox(error) => error.into(),
        }
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let ConfigError { field, problem } = error;
        match field {
            Some(field) => Self::invalid().field(field, problem),
            None => Self::invalid().detail(problem),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("a problem has text keys and numbers only");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // Basic as well, with the token as the password: it is what a browser can ask for.
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"apnsd\""));
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"apnsd\""));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // For an interface that says it in other words.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_problem_is_described() {
        let document: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described = document["components"]["schemas"]["Problem"]["properties"]["type"]["anyOf"].as_array().unwrap();
        let text = |kind: &serde_json::Value, member: &str| kind[member].as_str().unwrap().to_owned();
        let described: BTreeSet<_> = described
            .iter()
            .filter(|kind| kind.get("const").is_some())
            .map(|kind| (text(kind, "const"), text(kind, "title"), text(kind, "description")))
            .collect();
        let there_are: BTreeSet<_> = Problem::all()
            .iter()
            .map(|problem| (problem.r#type.to_owned(), problem.title.to_owned(), format!("Status {}", problem.status)))
            .collect();
        assert_eq!(described, there_are);
    }
}
