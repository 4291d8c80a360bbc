//! Answers in Apple's words.

use std::borrow::Cow;
use std::time::Duration;

use apns_proto::http2::Reason;
use apns_proto::internal::asked;
use apns_proto::{ApnsId, Escaped, InvalidNotification, Outcome, Rejection};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::request::Asked;
use crate::NotificationId;
use crate::http::problem::Problem;
use crate::http::watched::{Refusal as CountedAs, Unproved};
use crate::outbox::{OutboxError, OutcomeRecord};
use crate::service::{BroadcastError, PassedOn, SubmitError};

/// What Apple calls a notification.
const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
/// What Apple calls a broadcast.
const REQUEST_ID: HeaderName = HeaderName::from_static("apns-request-id");
/// What the push console lists it under.
const UNIQUE_ID: HeaderName = HeaderName::from_static("apns-unique-id");
/// What the daemon calls it.
const ID: HeaderName = HeaderName::from_static("apnsd-id");
/// Where it stands when that is not what the status says at Apple.
const STATE: HeaderName = HeaderName::from_static("apnsd-state");
/// What happened, for a person.
const DETAIL: HeaderName = HeaderName::from_static("apnsd-detail");

/// What Apple says of a request that it does not take, or what the daemon says in its place.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    reason: Cow<'static, str>,
    timestamp: Option<u64>,
    retry_after: Option<Duration>,
    detail: Option<String>,
    id: Option<NotificationId>,
    apns_id: Option<String>,
    request_id: Option<String>,
    unique_id: Option<String>,
    state: Option<&'static str>,
    /// Nobody proved who calls.
    unproved: bool,
    /// The words are Apple's own about this notification.
    apples: bool,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            timestamp: None,
            retry_after: None,
            detail: None,
            id: None,
            apns_id: None,
            request_id: None,
            unique_id: None,
            state: None,
            unproved: false,
            apples: false,
        }
    }

    /// With the status that Apple documents for a reason.
    #[allow(clippy::needless_pass_by_value, reason = "it is what becomes of a reason")]
    pub(super) fn of(reason: Reason) -> Self {
        Self::new(reason.status().unwrap_or(400), reason.as_str().to_owned())
    }

    pub(super) fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub(super) const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) const fn unproved(mut self) -> Self {
        self.unproved = true;
        self
    }

    const fn id(mut self, id: NotificationId) -> Self {
        self.id = Some(id);
        self
    }

    const fn state(mut self, state: &'static str) -> Self {
        self.state = Some(state);
        self
    }

    /// Apple's refusal, as the record has it.
    fn rejected(record: &OutcomeRecord) -> Self {
        let reason = record.reason.clone().unwrap_or_default();
        let (status, reason) = match record.status.unwrap_or_default() {
            // A private gateway speaks the binary protocol.
            byte @ ..100 => of_gateway(byte, reason),
            status => (status, Cow::Owned(reason)),
        };
        Self {
            timestamp: record.gone_since,
            apns_id: record.apns_id.clone(),
            unique_id: record.unique_id.clone(),
            apples: true,
            ..Self::new(status, reason)
        }
    }

    /// What became of a notification that the service has not taken.
    fn ended(record: &OutcomeRecord) -> Self {
        let why = || record.detail.clone().unwrap_or_default();
        let unavailable = Self::of(Reason::ServiceUnavailable);
        match (&*record.outcome, record.reason.as_deref()) {
            ("rejected", _) => Self::rejected(record),
            ("expired", _) => unavailable.detail("it expired before the service could be reached").state("expired"),
            ("unknown", _) => Self::in_doubt().detail(why()),
            // Somebody took it back on purpose, and does not want it sent again.
            ("not_sent", Some(reason @ ("cancelled" | "purged"))) => {
                let reason = if reason == "purged" { "Purged" } else { "Cancelled" };
                Self::new(400, reason).detail("it was taken back before it was sent").state("not_sent")
            }
            ("not_sent", _) => unavailable.detail(why()).state("not_sent"),
            _ => Self::new(400, "InvalidNotification").detail(why()).state("invalid"),
        }
    }

    fn in_doubt() -> Self {
        Self::new(504, "OutcomeUnknown").state("unknown")
    }
}

/// A status byte in Apple's later words.
fn of_gateway(byte: u16, word: String) -> (u16, Cow<'static, str>) {
    let reason = match byte {
        1 => Reason::InternalServerError,
        2 => Reason::MissingDeviceToken,
        3 => Reason::MissingTopic,
        4 => Reason::PayloadEmpty,
        5 | 8 => Reason::BadDeviceToken,
        6 => Reason::BadTopic,
        7 => Reason::PayloadTooLarge,
        10 => Reason::Shutdown,
        _ => return (400, word.into()),
    };
    (reason.status().unwrap_or(400), reason.as_str().to_owned().into())
}

/// A text that may stand in a header.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&Escaped(text).to_string().escape_default().to_string()).ok()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = match self.timestamp {
            Some(timestamp) => serde_json::json!({"reason": self.reason, "timestamp": timestamp}),
            None => serde_json::json!({"reason": self.reason}),
        };
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        let id = self.id.map(|id| id.to_string());
        for (name, text) in [
            (APNS_ID, self.apns_id.as_deref()),
            (REQUEST_ID, self.request_id.as_deref()),
            (UNIQUE_ID, self.unique_id.as_deref()),
            (ID, id.as_deref()),
            (STATE, self.state),
            (DETAIL, self.detail.as_deref()),
        ] {
            if let Some(value) = text.and_then(value) {
                headers.insert(name, value);
            }
        }
        if self.unproved {
            // Counted as what it would be in other interfaces.
            response.extensions_mut().insert(CountedAs(401));
            response.extensions_mut().insert(Unproved);
        }
        if self.apples {
            // That is no refusal of the daemon's.
            response.extensions_mut().insert(CountedAs(200));
        }
        response
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::UnknownApp(error) => Self::of(Reason::TopicDisallowed).detail(error),
            SubmitError::Invalid { cause, .. } => Self::from(cause),
            SubmitError::Payload { .. } => Self::new(400, "PayloadInvalid").detail(error),
            // Nobody can ask for it here.
            SubmitError::SendAt { cause, .. } => Self::of(Reason::BadExpirationDate).detail(cause),
            SubmitError::Environment { .. } => Self::of(Reason::TopicDisallowed).detail(error),
            SubmitError::KeyReused { .. } => Self::of(Reason::BadMessageId).detail(error),
            SubmitError::TooFast { wait } => Self::of(Reason::TooManyRequests).detail(&error).retry_after(wait),
            SubmitError::Outbox(OutboxError::Closed) => {
                Self::of(Reason::Shutdown).detail("the daemon is stopping").retry_after(Duration::from_secs(1))
            }
            SubmitError::Outbox(error @ OutboxError::Unsure(_)) => Self::in_doubt().detail(error),
            SubmitError::Outbox(error) => {
                let problem = Problem::from(error);
                let refusal = Self::of(Reason::ServiceUnavailable).detail(problem.in_one_line());
                Self { retry_after: problem.wait(), ..refusal }
            }
        }
    }
}

impl From<BroadcastError> for Refusal {
    fn from(error: BroadcastError) -> Self {
        match error {
            BroadcastError::UnknownApp(error) => Self::of(Reason::TopicDisallowed).detail(error),
            BroadcastError::Binary => Self::new(501, "BroadcastsNotSupported").detail(error),
            BroadcastError::Environment => Self::of(Reason::TopicDisallowed).detail(error),
            BroadcastError::TooFast { wait } => Self::of(Reason::TooManyRequests).detail(&error).retry_after(wait),
            BroadcastError::InDoubt => Self::in_doubt().detail(error),
            BroadcastError::Stopping => {
                Self::of(Reason::Shutdown).detail(&error).retry_after(Duration::from_secs(1)).state("not_sent")
            }
            BroadcastError::Paused | BroadcastError::Client(_) => {
                Self::of(Reason::ServiceUnavailable).detail(error).state("not_sent")
            }
        }
    }
}

impl From<InvalidNotification> for Refusal {
    fn from(cause: InvalidNotification) -> Self {
        let reason = match &cause {
            InvalidNotification::PayloadTooLarge { .. } => Reason::PayloadTooLarge,
            InvalidNotification::MissingTopic => Reason::MissingTopic,
            InvalidNotification::TopicNotInCertificate { .. } => Reason::TopicDisallowed,
            InvalidNotification::PushTypeNotForTopic { .. }
            | InvalidNotification::PushTypeUndecided
            | InvalidNotification::NeedsProviderToken { .. } => Reason::InvalidPushType,
            InvalidNotification::Expiration(_) => Reason::BadExpirationDate,
            _ => return Self::new(400, "InvalidNotification").detail(cause),
        };
        Self::of(reason).detail(cause)
    }
}

/// It is on disk, and Apple has not seen it.
pub(super) fn stored(id: NotificationId) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    if let Some(name) = value(&id.to_string()) {
        headers.insert(APNS_ID, name.clone());
        headers.insert(ID, name);
    }
    headers.insert(STATE, HeaderValue::from_static("stored"));
    response
}

/// What Apple said, or why there is no word of Apple's.
pub(super) fn passed_on(id: NotificationId, passed: &PassedOn) -> Result<Response, Refusal> {
    let unavailable = || Refusal::of(Reason::ServiceUnavailable).retry_after(Duration::from_secs(1)).state("not_sent");
    let refusal = match passed {
        PassedOn::Ended(record) if record.is_accepted() => {
            let mut response = StatusCode::OK.into_response();
            let apns_id = record.apns_id.clone().unwrap_or_else(|| id.to_string());
            let told = [(APNS_ID, Some(apns_id)), (UNIQUE_ID, record.unique_id.clone()), (ID, Some(id.to_string()))];
            for (name, text) in told {
                if let Some(value) = text.as_deref().and_then(value) {
                    response.headers_mut().insert(name, value);
                }
            }
            return Ok(response);
        }
        PassedOn::Ended(record) => Refusal::ended(record),
        PassedOn::Refused(rejection) => refused(rejection),
        PassedOn::Late => unavailable().detail("the service gave no answer in time; it was taken back before it left"),
        PassedOn::Stopping => Refusal { reason: Reason::Shutdown.as_str().to_owned().into(), ..unavailable() }
            .detail("the daemon is stopping; it was taken back before it left"),
        PassedOn::InDoubt => Refusal::in_doubt().detail("it may have left, and there is no answer yet"),
    };
    Err(refusal.id(id))
}

/// What came of a broadcast.
pub(super) fn broadcast_answer(outcome: &Outcome, request_id: Option<ApnsId>) -> Result<Response, Refusal> {
    let request_id = request_id.map(|id| id.to_string());
    let unavailable = || Refusal::of(Reason::ServiceUnavailable).retry_after(Duration::from_secs(1)).state("not_sent");
    let refusal = match outcome {
        Outcome::Accepted { unique_id, .. } => {
            let mut response = StatusCode::OK.into_response();
            for (name, text) in [(REQUEST_ID, request_id.as_deref()), (UNIQUE_ID, unique_id.as_deref())] {
                if let Some(value) = text.and_then(value) {
                    response.headers_mut().insert(name, value);
                }
            }
            return Ok(response);
        }
        Outcome::Rejected(rejection) => Refusal { apns_id: None, ..refused(rejection) },
        Outcome::Unknown { cause } => Refusal::in_doubt().detail(cause),
        Outcome::NotSent { cause } => unavailable().detail(cause),
        _ => unavailable().detail("it could not be sent in time"),
    };
    Err(Refusal { request_id, ..refusal })
}

/// Apple's refusal for the time being.
fn refused(rejection: &Rejection) -> Refusal {
    let (status, reason) = match rejection.status() {
        byte @ ..100 => of_gateway(byte, rejection.reason().to_owned()),
        status => (status, rejection.reason().to_owned().into()),
    };
    let refusal = Refusal { apples: true, ..Refusal::new(status, reason) };
    let Rejection::Provider(said) = rejection else { return refusal };
    Refusal {
        retry_after: said.retry_after(),
        apns_id: said.apns_id().map(|id| id.to_string()),
        unique_id: said.unique_id().map(str::to_owned),
        ..refusal
    }
}

/// The `apns-id` of a request, if it is one, in the case in which it was sent.
pub(super) fn sent_id(parts: &Parts) -> Option<HeaderValue> {
    let asked = Asked { parts, body: &[] };
    match asked::uuid(&asked, APNS_ID.as_str()) {
        Ok(Some(_)) => parts.headers.get(APNS_ID).cloned(),
        Ok(None) | Err(_) => None,
    }
}

/// An answer with the `apns-id` of its request as it was sent, else with the one that it knows, else with one of its own.
pub(super) fn named(mut response: Response, sent: Option<HeaderValue>, random: &SystemRandom) -> Response {
    if let Some(sent) = sent {
        response.headers_mut().insert(APNS_ID, sent);
    } else if !response.headers().contains_key(APNS_ID)
        && let Some(made) = value(&make_id(random).to_string())
    {
        response.headers_mut().insert(APNS_ID, made);
    }
    response
}

/// What another part of the daemon refused, in Apple's words.
pub(super) fn in_apples_words(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => in_other_words(&problem).into_response(),
        None => response,
    }
}

fn in_other_words(problem: &Problem) -> Refusal {
    let refusal = match problem.status() {
        408 => Refusal::of(Reason::IdleTimeout),
        413 => Refusal::of(Reason::PayloadTooLarge),
        429 => Refusal::of(Reason::TooManyRequests),
        503 => Refusal::of(Reason::ServiceUnavailable),
        // The body broke off.
        400 => Refusal::of(Reason::PayloadEmpty),
        status => Refusal::new(status, Reason::InternalServerError.as_str().to_owned()),
    };
    Refusal { retry_after: problem.wait(), ..refusal.detail(problem.in_one_line()) }
}

fn make_id(random: &SystemRandom) -> ApnsId {
    let mut bytes = [0; 16];
    match random.fill(&mut bytes) {
        Ok(()) => ApnsId::from_random(bytes),
        // It is nil, and names nothing.
        Err(_) => ApnsId::from_bytes([0; 16]),
    }
}
