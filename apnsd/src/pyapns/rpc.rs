//! XML-RPC: `provision`, `notify` and `feedback`.
//!
//! Every call is answered with HTTP 200, faults too. Where pyapns said no more than "error", neither does the fault; a
//! header beside it says why.

use std::fmt;

use apns_proto::{DeviceToken, Notification, Payload, WallTime};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::provisioning::{Provision, TIMEOUT, environment, timeout};
use super::xml::{self, Call, Value, XmlError};
use super::{Feedback, Pyapns, Unread, html};
use crate::AppName;
use crate::access::Caller;
use crate::config::Secret;
use crate::http::problem::Problem;
use crate::service::{ProvisionError, Submission, SubmitError};

const XML: &str = "text/xml";
/// What a fault does not say, for a person. Clients do not look at it.
const DETAIL: HeaderName = HeaderName::from_static("x-apns-detail");
/// The longest detail in bytes.
const LONGEST_DETAIL: usize = 500;
/// A body beyond this is read on a thread that may take its time.
const MUCH: usize = 256 * 1024;

/// What a client is told when a call is in vain. The texts are those of pyapns and of the library under it; clients
/// compare them.
#[derive(Debug, Clone, PartialEq)]
enum Fault {
    /// The environment is not one.
    Environment(String),
    /// The app is not provisioned.
    UnknownApp,
    /// Nothing could be stored: the outbox is full or fails, or the app's rate is used up.
    NotStored(String),
    /// No such procedure.
    Procedure(String),
    /// No such procedure, with a dot in its name.
    SubHandler(String),
    /// Everything else, and why.
    Failure(String),
    /// The call cannot be read.
    Input(String),
    /// As many notifications as device tokens are needed.
    Lengths { tokens: usize, notifications: usize },
}

impl Fault {
    const fn code(&self) -> i64 {
        match self {
            Self::Environment(_) => 401,
            Self::UnknownApp => 404,
            Self::NotStored(_) => 500,
            Self::Procedure(_) | Self::SubHandler(_) => 8001,
            Self::Failure(_) | Self::Input(_) | Self::Lengths { .. } => 8002,
        }
    }

    /// What only the header says.
    fn detail(&self) -> Option<&str> {
        match self {
            Self::NotStored(why) | Self::Failure(why) => Some(why),
            Self::Environment(_)
            | Self::UnknownApp
            | Self::Procedure(_)
            | Self::SubHandler(_)
            | Self::Input(_)
            | Self::Lengths { .. } => None,
        }
    }

    fn failure(why: impl fmt::Display) -> Self {
        Self::Failure(why.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(found) => {
                write!(f, "Invalid environment provided `{found}`. Valid environments are `sandbox` and `production`")
            }
            Self::UnknownApp => f.write_str("The app_id specified has not been provisioned."),
            Self::NotStored(_) => f.write_str("Connection to the APNS server could not be made."),
            Self::Procedure(name) => write!(f, "procedure {name} not found"),
            Self::SubHandler(prefix) => write!(f, "no such subHandler {prefix}"),
            Self::Failure(_) => f.write_str("error"),
            Self::Input(why) => write!(f, "Can't deserialize input: {why}"),
            Self::Lengths { tokens, notifications } => write!(
                f,
                "error: {tokens} device tokens and {notifications} notifications; nothing was sent, as many of each are \
                 needed"
            ),
        }
    }
}

/// Why there is no result.
enum Refusal {
    Fault(Fault),
    /// The caller may not do this: said in HTTP, as wherever else access tokens are asked for.
    Problem(Box<Problem>),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<XmlError> for Fault {
    fn from(error: XmlError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<SubmitError> for Fault {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::UnknownApp(_) => Self::UnknownApp,
            SubmitError::Invalid { index, cause } => Self::failure(format_args!("notification {index}: {cause}")),
            SubmitError::Payload { index, .. } => Self::failure(format_args!("notification {index}: {error}")),
            SubmitError::KeyReused { .. } | SubmitError::SendAt { .. } | SubmitError::Environment { .. } => {
                Self::failure(error)
            }
            SubmitError::TooFast { .. } | SubmitError::Outbox(_) => Self::NotStored(error.to_string()),
        }
    }
}

impl From<ProvisionError> for Fault {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::UnknownApp(_) => Self::UnknownApp,
            ProvisionError::Definition(_) | ProvisionError::Filed => Self::failure(error),
            ProvisionError::Outbox(_) => Self::NotStored(error.to_string()),
        }
    }
}

/// What a call returns.
enum Returned {
    Nil,
    /// What was read is cleared with the last byte of the answer.
    Feedback(AppName, Feedback),
}

/// Any path.
pub(super) async fn answer(State(pyapns): State<Pyapns>, request: Request) -> Response {
    if request.method() != Method::POST {
        return html::method_not_allowed("POST");
    }
    match pyapns.call(request).await {
        Ok(Returned::Nil) => document(xml::response(&Value::Nil)),
        Ok(Returned::Feedback(app, feedback)) => {
            let local = pyapns.0.settings.local_time;
            pyapns.clearing_answer(app, XML, xml::response(&feedback_value(&feedback, local)), feedback.upto)
        }
        Err(Refusal::Fault(fault)) => {
            let mut response = document(xml::fault(fault.code(), &fault.to_string()));
            response
                .extensions_mut()
                .insert(crate::http::watched::Refusal(u16::try_from(fault.code()).unwrap_or(u16::MAX)));
            if let Some(detail) = fault.detail() {
                response.headers_mut().insert(DETAIL, header_text(detail));
            }
            response
        }
        Err(Refusal::Problem(problem)) => problem.into_response(),
    }
}

fn document(xml: String) -> Response {
    let length = HeaderValue::from(xml.len());
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(XML)), (header::CONTENT_LENGTH, length)];
    (headers, xml).into_response()
}

fn header_text(text: &str) -> HeaderValue {
    let visible = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
    let text: String = text.chars().map(visible).take(LONGEST_DETAIL).collect();
    HeaderValue::from_str(&text).expect("the text is printable ASCII")
}

impl Pyapns {
    async fn call(&self, request: Request) -> Result<Returned, Refusal> {
        let (parts, body) = request.into_parts();
        let caller = self.caller(&parts.headers)?;
        let Call { method, params } = self.read_call(body).await?;
        match &*method {
            "provision" => self.rpc_provision(&caller, params).await,
            "notify" => self.rpc_notify(&caller, params).await,
            "feedback" => self.rpc_feedback(&caller, params).await,
            name => Err(match name.split_once('.') {
                Some((prefix, _)) => Fault::SubHandler(prefix.to_owned()),
                None => Fault::Procedure(name.to_owned()),
            }
            .into()),
        }
    }

    async fn read_call(&self, body: Body) -> Result<Call, Refusal> {
        let limit = self.0.limits.body;
        let body: Bytes = match self.read_body(body).await {
            Ok(body) => body,
            Err(Unread::TooLarge) => {
                return Err(Fault::Input(format!("the call is larger than {limit} bytes")).into());
            }
            Err(Unread::Broken(problem)) => return Err(problem.into()),
        };
        let read = if body.len() <= MUCH {
            xml::read_call(&body)
        } else {
            let read = tokio::task::spawn_blocking(move || xml::read_call(&body)).await;
            read.map_err(|_| Fault::NotStored("the service is stopping".to_owned()))?
        };
        Ok(read.map_err(Fault::from)?)
    }

    async fn rpc_provision(&self, caller: &Caller, params: Vec<Value>) -> Result<Returned, Refusal> {
        let mut params = params.into_iter();
        let (Some(app), Some(certificate), Some(world), seconds, None) =
            (params.next(), params.next(), params.next(), params.next(), params.next())
        else {
            return Err(Fault::failure("provision takes app_id, certificate, environment and timeout").into());
        };
        let Some(environment) = text_of(&world).and_then(environment) else {
            return Err(Fault::Environment(shown(&world)).into());
        };
        if !caller.is_admin() {
            return Err(Problem::forbidden().into());
        }
        let (Value::Text(app), Value::Text(certificate)) = (app, certificate) else {
            return Err(Fault::failure("app_id and certificate have to be strings").into());
        };
        let app = AppName::new(app).map_err(Fault::failure)?;
        let timeout = match seconds {
            None | Some(Value::Nil) => Some(TIMEOUT),
            // A whole number of that size is one of seconds.
            Some(Value::Int(seconds)) => timeout(seconds as f64),
            Some(Value::Double(seconds)) => timeout(seconds),
            Some(Value::Text(seconds)) => seconds.trim().parse().ok().and_then(timeout),
            Some(_) => None,
        };
        let timeout = timeout.ok_or_else(|| Fault::failure("timeout has to be a number of seconds"))?;
        let told = Provision { environment, certificate: Secret::new(certificate), timeout };
        self.provision(&app, told).await.map_err(Fault::from)?;
        Ok(Returned::Nil)
    }

    async fn rpc_notify(&self, caller: &Caller, params: Vec<Value>) -> Result<Returned, Refusal> {
        let [app, tokens, notifications] = <[Value; 3]>::try_from(params)
            .map_err(|_| Fault::failure("notify takes app_id, tokens and notifications"))?;
        let app = self.known(caller, &app)?;
        let submissions = pair(tokens, &notifications)?;
        self.submit(&app, submissions).await.map_err(Fault::from)?;
        Ok(Returned::Nil)
    }

    async fn rpc_feedback(&self, caller: &Caller, params: Vec<Value>) -> Result<Returned, Refusal> {
        let [app] = <[Value; 1]>::try_from(params).map_err(|_| Fault::failure("feedback takes app_id"))?;
        let app = self.known(caller, &app)?;
        let feedback = self.feedback(&app).await.map_err(Fault::from)?;
        Ok(Returned::Feedback(app, feedback))
    }

    /// The app that a call is about, if there is one. Old clients ask hundreds of times a second for one that there is
    /// not, so this looks into memory alone.
    fn known(&self, caller: &Caller, app: &Value) -> Result<AppName, Refusal> {
        let name = text_of(app).and_then(|name| AppName::new(name).ok()).ok_or(Fault::UnknownApp)?;
        if !caller.may_use(&name) {
            return Err(Problem::forbidden().into());
        }
        if !self.service().knows(&name) && !self.service().is_stopping() {
            return Err(Fault::UnknownApp.into());
        }
        Ok(name)
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// How Python wrote a value into a text, of the kinds that anybody passes for an environment.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Nil => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.kind().to_owned(),
    }
}

/// One device token or many, with one notification or many. One notification goes to all device tokens; of many there
/// have to be as many as device tokens, for pyapns dropped the rest without a word.
fn pair(tokens: Value, notifications: &Value) -> Result<Vec<Submission>, Fault> {
    let tokens = match tokens {
        Value::Array(tokens) => tokens,
        one => vec![one],
    };
    let notification =
        |token: &DeviceToken, payload: &Payload| Notification::new(token.clone(), payload.clone()).into();
    match notifications {
        Value::Array(payloads) if payloads.len() == tokens.len() => {
            let mut pairs = Vec::with_capacity(tokens.len());
            for (place, (token, value)) in tokens.iter().zip(payloads).enumerate() {
                pairs.push(notification(&device_token(place, token)?, &payload(place, value)?));
            }
            Ok(pairs)
        }
        Value::Array(payloads) => Err(Fault::Lengths { tokens: tokens.len(), notifications: payloads.len() }),
        one => {
            let payload = payload(0, one)?;
            let tokens = tokens.iter().enumerate();
            tokens.map(|(place, token)| Ok(notification(&device_token(place, token)?, &payload))).collect()
        }
    }
}

fn device_token(place: usize, value: &Value) -> Result<DeviceToken, Fault> {
    let text = text_of(value).ok_or_else(|| Fault::failure(format_args!("device token {place} is not a string")))?;
    text.replace(' ', "").parse().map_err(|error| Fault::failure(format_args!("device token {place}: {error}")))
}

fn payload(place: usize, value: &Value) -> Result<Payload, Fault> {
    let mut json = String::new();
    value.write_json(&mut json).map_err(|error| Fault::failure(format_args!("notification {place}: {error}")))?;
    Payload::from_json(json).map_err(|error| Fault::failure(format_args!("notification {place}: {error}")))
}

fn feedback_value(feedback: &Feedback, local: bool) -> Value {
    let zone = if local { TimeZone::system() } else { TimeZone::UTC };
    let records = feedback
        .tokens
        .iter()
        .map(|gone| Value::Array(vec![Value::DateTime(date(gone.since, &zone)), Value::Text(gone.token.clone())]));
    Value::Array(records.collect())
}

/// `YYYYMMDDThh:mm:ss`, without a zone.
fn date(time: WallTime, zone: &TimeZone) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned_datetime(zone.clone());
    time.strftime("%Y%m%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
