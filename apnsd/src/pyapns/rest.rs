//! The REST interface of pyapns's later branch.
//!
//! An app is named by an id and an environment there. The app `shop` of this daemon is the one in the environment that
//! its definition names; the one in the other environment is `shop:sandbox` or `shop:production`.

use std::time::Duration;

use apns_proto::{DeviceToken, Expiration, Notification, Payload, encoding};
use apns_tokio::Environment;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::disconnections::Sent;
use super::provisioning::{Provision, TIMEOUT, environment, timeout};
use super::{Pyapns, Unread, html, json};
use crate::AppName;
use crate::access::Caller;
use crate::config::Secret;
use crate::delivery::Credential;
use crate::http::percent_decoded;
use crate::http::problem::Problem;
use crate::service::{AppInfo, ProvisionError, Submission, SubmitError};

const NO_APP: &str = "No app registered under that name and environment";
const NO_ENVIRONMENT: &str = "Environment must be either `production` or `sandbox`";
const NO_RESOURCE: &str = "Unknown resource";
const NO_CERTIFICATE: &str =
    "`certificate` is a required key. It must be either a path to a .pem file or the contents of the pem itself";
const INCOMPLETE: &str = "Notifications must be a list of dictionaries in the proper format: \
                          [{\"payload\": {...}, \"token\": \"...\", \"identifier\": \"...\", \"expiry\": 30}]";
/// An `expiry` above ten years is a time; below, a span.
const TEN_YEARS: f64 = 10.0 * 365.0 * 24.0 * 60.0 * 60.0;

/// What is told of an app. There is no key in it, and no certificate.
#[derive(Serialize)]
struct AppView {
    r#type: &'static str,
    /// As the code of pyapns said it.
    name: String,
    /// As its documentation said it.
    app_id: String,
    environment: &'static str,
    /// What the credential is, in words.
    certificate: String,
    timeout: f64,
}

#[derive(Serialize)]
struct FeedbackView {
    r#type: &'static str,
    timestamp: f64,
    token: String,
}

/// Something about an answer that is not what was asked for.
type Refused = Box<Response>;

fn refused(response: impl IntoResponse) -> Refused {
    Box::new(response.into_response())
}

/// An app as it is named here.
struct Named<'a> {
    id: &'a str,
    environment: Environment,
    caller: Caller,
}

/// Every address.
pub(super) async fn answer(State(pyapns): State<Pyapns>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    pyapns.route(&parts.method, parts.uri.path(), &parts.headers, body).await.unwrap_or_else(|refused| *refused)
}

impl Pyapns {
    async fn route(&self, method: &Method, path: &str, headers: &HeaderMap, body: Body) -> Result<Response, Refused> {
        let caller = self.caller(headers).map_err(refused)?;
        if ![Method::GET, Method::HEAD, Method::POST].contains(method) {
            return Ok(html::page(StatusCode::NOT_IMPLEMENTED, "Unsupported Method", "This method is not known here."));
        }
        let segments: Option<Vec<String>> = path.split('/').skip(1).map(percent_decoded).collect();
        let segments = segments.unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        match *segments {
            ["apps"] | ["apps", ""] if *method == Method::POST => Ok(html::method_not_allowed("GET, HEAD")),
            ["apps"] | ["apps", ""] => Ok(self.list(&caller)),
            ["apps", _] => {
                let detail = "An app is named by its id and its environment.";
                Ok(html::page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", detail))
            }
            ["apps", id, word, ref rest @ ..] => {
                let Some(environment) = environment(word) else {
                    let args = [("environment", word), ("app", id)];
                    return Err(refused(json::error(StatusCode::NOT_FOUND, NO_ENVIRONMENT, &args)));
                };
                let named = Named { id, environment, caller };
                match *rest {
                    [] | [""] if *method == Method::POST => self.rest_provision(&named, body).await,
                    [] | [""] => self.show(&named),
                    [leaf, ..] => self.leaf(&named, leaf, method, body).await,
                }
            }
            _ => Ok(html::page(StatusCode::NOT_FOUND, "No Such Resource", "There is nothing at this address.")),
        }
    }

    async fn leaf(&self, named: &Named<'_>, leaf: &str, method: &Method, body: Body) -> Result<Response, Refused> {
        let app = self.find(named)?;
        match (leaf, method) {
            ("notifications", &Method::POST) => self.rest_notify(app, body).await,
            ("feedback", &Method::GET) => self.rest_feedback(app).await,
            ("disconnections", &Method::GET) => {
                let log = self.0.disconnections.of(self.service(), &app).await;
                Ok(json::success(StatusCode::OK, &log.take()))
            }
            ("notifications", _) => Ok(html::method_not_allowed("POST")),
            ("feedback" | "disconnections", _) => Ok(html::method_not_allowed("GET")),
            _ => {
                let args = [("app", named.id), ("environment", named.environment.word())];
                Err(refused(json::error(StatusCode::NOT_FOUND, NO_RESOURCE, &args)))
            }
        }
    }

    /// The names that an app may have here: the one that it has if it is there, and the one of a new one.
    fn names(&self, named: &Named<'_>) -> Result<(Option<AppName>, Option<AppName>), Refused> {
        let plain = AppName::new(named.id).ok();
        let other = plain.as_ref().and_then(|plain| plain.in_environment(named.environment).ok());
        let usable: Vec<AppName> =
            [plain.clone(), other.clone()].into_iter().flatten().filter(|name| named.caller.may_use(name)).collect();
        if usable.is_empty() && plain.is_some() {
            return Err(refused(Problem::forbidden()));
        }
        let is_there =
            |name: &&AppName| self.service().info(name).is_ok_and(|info| info.environment == named.environment.into());
        let found = usable.iter().find(is_there).cloned();
        let taken = plain.as_ref().is_some_and(|plain| self.service().knows(plain));
        Ok((found, if taken { other } else { plain }))
    }

    fn find(&self, named: &Named<'_>) -> Result<AppName, Refused> {
        let (found, _) = self.names(named)?;
        found.ok_or_else(|| {
            let args = [("name", named.id), ("environment", named.environment.word())];
            refused(json::error(StatusCode::NOT_FOUND, NO_APP, &args))
        })
    }

    fn list(&self, caller: &Caller) -> Response {
        let infos: Vec<AppInfo> = self.service().list().into_iter().filter(|info| caller.may_use(&info.name)).collect();
        let views: Vec<AppView> = infos
            .iter()
            .filter(|info| {
                // Hidden by the app of the plain name, where that is in the same environment now.
                let id = public_id(info);
                id == info.name.as_str()
                    || !infos.iter().any(|other| other.name.as_str() == id && other.environment == info.environment)
            })
            .map(view)
            .collect();
        json::success(StatusCode::OK, &views)
    }

    fn show(&self, named: &Named<'_>) -> Result<Response, Refused> {
        let name = self.find(named)?;
        let info = self.service().info(&name).map_err(|error| refused(Problem::from(error)))?;
        Ok(json::success(StatusCode::OK, &view(&info)))
    }

    async fn rest_provision(&self, named: &Named<'_>, body: Body) -> Result<Response, Refused> {
        if !named.caller.is_admin() {
            return Err(refused(Problem::forbidden().closing()));
        }
        let body = self.read_json(body).await?;
        let told = read_provision(&body, named.environment)?;
        let _one_after_another = self.0.naming.lock().await;
        let (found, new) = self.names(named)?;
        let Some(name) = found.or(new) else {
            let message = "this cannot be the id of an app";
            return Err(refused(json::error(StatusCode::BAD_REQUEST, message, &[("name", named.id)])));
        };
        let info = self.provision(&name, told).await.map_err(|error| match error {
            ProvisionError::Definition(error) => {
                refused(json::error(StatusCode::BAD_REQUEST, &error.to_string(), &[("name", named.id)]))
            }
            error => refused(not_now(&error, StatusCode::SERVICE_UNAVAILABLE)),
        })?;
        self.0.disconnections.of(self.service(), &name).await;
        Ok(json::success(StatusCode::CREATED, &view(&info)))
    }

    async fn rest_notify(&self, app: AppName, body: Body) -> Result<Response, Refused> {
        let body = self.read_json(body).await?;
        let (submissions, sent) = read_notifications(&body)?;
        let log = self.0.disconnections.of(self.service(), &app).await;
        let accepted = self.submit(&app, submissions).await.map_err(|error| match &error {
            SubmitError::UnknownApp(_) => {
                refused(json::error(StatusCode::NOT_FOUND, NO_APP, &[("name", app.as_str())]))
            }
            SubmitError::Invalid { index, cause } => {
                let place = index.to_string();
                refused(json::error(StatusCode::BAD_REQUEST, &cause.to_string(), &[("notification", &place)]))
            }
            SubmitError::Payload { index, .. } => {
                let place = index.to_string();
                refused(json::error(StatusCode::BAD_REQUEST, &error.to_string(), &[("notification", &place)]))
            }
            // No call of this interface has one.
            SubmitError::KeyReused { .. } | SubmitError::SendAt { .. } | SubmitError::Environment { .. } => {
                refused(json::error(StatusCode::BAD_REQUEST, &error.to_string(), &[]))
            }
            SubmitError::TooFast { .. } => refused(not_now(&error, StatusCode::TOO_MANY_REQUESTS)),
            SubmitError::Outbox(_) => refused(not_now(&error, StatusCode::SERVICE_UNAVAILABLE)),
        })?;
        log.remember(accepted.iter().map(|one| one.id).zip(sent));
        Ok(json::success(StatusCode::CREATED, &serde_json::json!({})))
    }

    async fn rest_feedback(&self, app: AppName) -> Result<Response, Refused> {
        let feedback =
            self.feedback(&app).await.map_err(|error| refused(not_now(&error, StatusCode::SERVICE_UNAVAILABLE)))?;
        let views: Vec<FeedbackView> = feedback
            .tokens
            .into_iter()
            .map(|gone| FeedbackView {
                r#type: "feedback",
                timestamp: gone.since.as_millis() as f64 / 1000.0,
                token: gone.token,
            })
            .collect();
        let body = json::success_body(StatusCode::OK, &views);
        Ok(self.clearing_answer(app, json::JSON, body, feedback.upto))
    }

    async fn read_json(&self, body: Body) -> Result<Bytes, Refused> {
        self.read_body(body).await.map_err(|unread| match unread {
            Unread::TooLarge => {
                let message = format!("the body is larger than {} bytes", self.0.limits.body);
                refused(json::error(StatusCode::PAYLOAD_TOO_LARGE, &message, &[]))
            }
            Unread::Broken(problem) => refused(problem),
        })
    }
}

/// Nothing was stored; it may be tried again.
fn not_now(error: &dyn std::fmt::Display, status: StatusCode) -> Response {
    let mut response = json::error(status, &error.to_string(), &[]);
    response.headers_mut().insert(header::RETRY_AFTER, 5.into());
    response
}

/// As pyapns answered what it stumbled over.
fn stumbled(detail: &str) -> Refused {
    refused(html::page(StatusCode::INTERNAL_SERVER_ERROR, "Processing Failed", detail))
}

/// The id under which an app is known here.
fn public_id(info: &AppInfo) -> &str {
    let name = info.name.as_str();
    match name.rsplit_once(':') {
        Some((id, word)) if !id.is_empty() && word == info.environment.word() => id,
        _ => name,
    }
}

fn view(info: &AppInfo) -> AppView {
    let id = public_id(info);
    AppView {
        r#type: "app",
        name: id.to_owned(),
        app_id: id.to_owned(),
        environment: info.environment.word(),
        certificate: match &info.credential {
            Credential::Certificate { subject, fingerprint, .. } => {
                format!("certificate of {subject}, SHA-256 {fingerprint}")
            }
            Credential::SigningKey { key_id, team_id } => format!("signing key {key_id} of team {team_id}"),
        },
        timeout: info.patience.as_secs_f64(),
    }
}

/// A number, or a text of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Number {
    fn read(raw: &RawValue) -> Option<f64> {
        match serde_json::from_str(raw.get()).ok()? {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn read_json(body: &[u8]) -> Result<&RawValue, Refused> {
    let text = encoding::text(body).map_err(|error| stumbled(&format!("The body cannot be read: {error}.")))?;
    serde_json::from_str(text).map_err(|_| stumbled("The body is not JSON."))
}

fn read_provision(body: &[u8], environment: Environment) -> Result<Provision, Refused> {
    #[derive(Deserialize)]
    struct Wire {
        certificate: Option<Secret>,
        timeout: Option<Box<RawValue>>,
    }
    let raw = read_json(body)?;
    let bad = |message: &str| refused(json::error(StatusCode::BAD_REQUEST, message, &[]));
    if !is_object(raw) {
        return Err(bad(NO_CERTIFICATE));
    }
    let wire: Wire = serde_json::from_str(raw.get()).map_err(|_| bad(NO_CERTIFICATE))?;
    let certificate = wire.certificate.ok_or_else(|| bad(NO_CERTIFICATE))?;
    let timeout = match wire.timeout {
        None => Some(TIMEOUT),
        Some(raw) => Number::read(&raw).and_then(timeout),
    };
    let timeout = timeout.ok_or_else(|| bad("`timeout` has to be a number of seconds"))?;
    Ok(Provision { environment, certificate, timeout })
}

/// One notification as a caller writes it.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    identifier: Option<&'a RawValue>,
    #[serde(borrow)]
    expiry: Option<&'a RawValue>,
}

/// Reads an array of notifications, or one.
fn read_notifications(body: &[u8]) -> Result<(Vec<Submission>, Vec<Sent>), Refused> {
    let raw = read_json(body)?;
    let incomplete = || refused(json::error(StatusCode::BAD_REQUEST, INCOMPLETE, &[]));
    let elements = if is_object(raw) {
        vec![raw]
    } else {
        serde_json::from_str::<Vec<&RawValue>>(raw.get()).map_err(|_| incomplete())?
    };
    let mut submissions = Vec::with_capacity(elements.len());
    let mut sent = Vec::with_capacity(elements.len());
    for (place, element) in elements.into_iter().enumerate() {
        if !is_object(element) {
            return Err(incomplete());
        }
        let Ok(Wire { payload: Some(payload), token: Some(token), identifier: Some(identifier), expiry: Some(expiry) }) =
            serde_json::from_str(element.get())
        else {
            return Err(incomplete());
        };
        let bad = |message: String| {
            refused(json::error(StatusCode::BAD_REQUEST, &message, &[("notification", &place.to_string())]))
        };
        let text: Option<String> = serde_json::from_str(token.get()).ok();
        let text = text.map(|text| text.replace(' ', ""));
        let device_token: DeviceToken = text
            .as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| stumbled(&format!("The device token of notification {place} is not one.")))?;
        let ready = Payload::from_json_compact(payload.get()).map_err(|error| bad(error.to_string()))?;
        let expiration = read_expiry(expiry).map_err(|problem| bad(format!("`expiry` {problem}")))?;
        submissions.push(Notification::new(device_token, ready).with_expiration(expiration).into());
        sent.push(Sent {
            expiry: expiry.to_owned(),
            identifier: identifier.to_owned(),
            payload: payload.to_owned(),
            token: text.unwrap_or_default(),
        });
    }
    Ok((submissions, sent))
}

/// Zero is one attempt; what is above ten years is a time; all else is a span.
fn read_expiry(raw: &RawValue) -> Result<Expiration, String> {
    let no_number = || "has to be a number of seconds".to_owned();
    let seconds = Number::read(raw).ok_or_else(no_number)?;
    if seconds == 0.0 {
        return Ok(Expiration::Immediately);
    }
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| no_number())?;
    if seconds > TEN_YEARS {
        Expiration::from_unix(span.as_secs()).map_err(|error| format!("cannot be used: {error}"))
    } else {
        Ok(Expiration::After(span))
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::WallTime;

    use super::*;

    #[test]
    fn b20_expiry_is_a_span_or_a_time() {
        let read = |text: &str| read_expiry(&RawValue::from_string(text.to_owned()).unwrap()).ok();
        assert_eq!(read("30"), Some(Expiration::After(Duration::from_secs(30))), "not the year 1970");
        assert_eq!(read("\"30\""), Some(Expiration::After(Duration::from_secs(30))));
        assert_eq!(read("0"), Some(Expiration::Immediately));
        assert_eq!(read("315360000"), Some(Expiration::After(Duration::from_secs(315_360_000))));
        assert_eq!(read("315360001"), Some(Expiration::At(WallTime::from_secs(315_360_001))));
        assert_eq!(read("1700000000.5"), Some(Expiration::At(WallTime::from_secs(1_700_000_000))));
        for nonsense in ["-1", "\"soon\"", "[]", "{}", "1e300", "1700000000000", "\"1700000000000\""] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        let milliseconds = RawValue::from_string("1700000000000".to_owned()).unwrap();
        assert!(read_expiry(&milliseconds).unwrap_err().contains("milliseconds"));
    }

    #[test]
    fn parts_of_paths_are_decoded() {
        assert_eq!(percent_decoded("sandbox%3Ashop").as_deref(), Some("sandbox:shop"));
        assert_eq!(percent_decoded("a+b%C3%A9").as_deref(), Some("a+bé"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }
}
