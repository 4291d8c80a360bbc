//! Notifications in, and where they stand.

use std::time::Duration;

use apns_lint::Finding;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::{MediaType, batch_too_large, read_text};
use super::problem::{FieldProblem, Problem};
use super::{Api, lines, many, wire};
use crate::config::{Limits, Span};
use crate::outbox::{Accepted, OutcomeRecord, State as Standing, Tracked, Tries};
use crate::service::{Service, Submission};
use crate::{AppName, NotificationId, Tag};

/// The longest wait for outcomes.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The most problems that are listed of one array.
const PROBLEMS: usize = 20;

/// What is told of a notification that was accepted.
#[derive(Serialize)]
pub(super) struct Receipt {
    pub(super) id: NotificationId,
    /// The device, where the call is for many.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Its idempotency key was known: this is the earlier one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) duplicate: bool,
    /// What is wrong with its payload, where the app's `validate` says to look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<FoundInPayload>,
    /// What became of it, where that was waited for and is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<OutcomeRecord>,
}

/// Something that is wrong with a payload.
#[derive(Serialize)]
pub(super) struct FoundInPayload {
    severity: &'static str,
    at: String,
    what: String,
}

impl From<&Finding> for FoundInPayload {
    fn from(finding: &Finding) -> Self {
        Self { severity: finding.severity.word(), at: finding.at.clone(), what: finding.what.clone() }
    }
}

/// What is told of one that is looked up.
#[derive(Serialize)]
pub(super) struct Report {
    id: NotificationId,
    app: AppName,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    tries: Option<Tries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Box<OutcomeRecord>>,
}

impl From<Tracked> for Report {
    fn from(tracked: Tracked) -> Self {
        let Tracked { id, app, tag, state } = tracked;
        let report = Self {
            id,
            app,
            tag,
            state: "settled",
            accepted_at: None,
            next_attempt_at: None,
            tries: None,
            outcome: None,
        };
        match state {
            Standing::Waiting { accepted_at, due, tries } => Self {
                state: "waiting",
                accepted_at: Some(accepted_at.as_millis()),
                next_attempt_at: Some(due.as_millis()),
                tries: Some(tries),
                ..report
            },
            Standing::InFlight { accepted_at, tries } => {
                Self { state: "in_flight", accepted_at: Some(accepted_at.as_millis()), tries: Some(tries), ..report }
            }
            Standing::Settled(record) => {
                Self { accepted_at: Some(record.accepted_at), outcome: Some(record), ..report }
            }
        }
    }
}

/// The parameters of a query, each at most once; a name that is not known is refused.
pub(super) fn query<const N: usize>(
    query: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let Some(place) = names.iter().position(|known| *known == name) else {
            return Err(
                Problem::invalid().field(name, format!("this parameter is not known; known are: {}", names.join(", ")))
            );
        };
        let value = percent_decoded(&value.replace('+', " "))
            .ok_or_else(|| Problem::invalid().field(name, "it is not UTF-8"))?;
        if values[place].replace(value).is_some() {
            return Err(Problem::invalid().field(name, "it is there twice"));
        }
    }
    Ok(values)
}

/// A text without its escapes: `%2F` and the like.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn read_wait(wait: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(text) = wait else { return Ok(None) };
    match Span::parse(text) {
        Ok(Span(wait)) if wait <= LONGEST_WAIT => Ok(Some(wait)),
        _ => Err(Problem::invalid()
            .field("wait", format!("it has to be a span of time such as 30s, at most {} s", LONGEST_WAIT.as_secs()))
            .closing()),
    }
}

/// `POST /v1/apps/{app}/notifications`
pub(super) async fn submit(
    State(api): State<Api>,
    Path(app): Path<String>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    // A service that stops says so itself.
    if !api.service().knows(&app) && !api.service().is_stopping() {
        return Err(Problem::unknown_app().closing());
    }
    let [wait] = query(parameters.as_deref(), ["wait"])?;
    let wait = read_wait(wait.as_deref())?;
    if MediaType::of(&headers)? == MediaType::JsonLines {
        return Ok(lines::submit(api, app, wait, body));
    }
    let text = read_text(&headers, body, api.limits()).await?;
    let Call { submissions, kind } = read_call(&text, &headers, api.limits())?;
    let tokens: Vec<String> = match kind {
        Kind::Many(_) => submissions.iter().map(|one| one.notification.token().to_hex()).collect(),
        Kind::One | Kind::Array => Vec::new(),
    };
    let accepted = api.service().submit(&app, submissions).await.map_err(|error| {
        let problem = Problem::from(error);
        match kind {
            // The one that is refused has no place among others when there is only one.
            Kind::One => problem.about(0),
            Kind::Array => problem,
            Kind::Many(list) => problem.of_list(list),
        }
    })?;
    let mut receipts = receipts(api.service(), &accepted, wait).await;
    for (receipt, token) in receipts.iter_mut().zip(tokens) {
        receipt.token = Some(token);
    }
    let status = match wait {
        Some(_) if receipts.iter().all(|receipt| receipt.outcome.is_some()) => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    Ok(match receipts.first() {
        Some(receipt) if kind == Kind::One => (status, Json(receipt)).into_response(),
        _ => (status, Json(receipts)).into_response(),
    })
}

/// What a call has to be stored, and how it said so.
struct Call {
    submissions: Vec<Submission>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    One,
    Array,
    /// Many devices, in this member.
    Many(&'static str),
}

fn read_call(text: &str, headers: &HeaderMap, limits: &Limits) -> Result<Call, Problem> {
    if text.trim_start().starts_with('[') {
        return Ok(Call { submissions: read_array(text, limits)?, kind: Kind::Array });
    }
    let top = |problem| Problem::invalid().fields(vec![at_top(problem)]);
    let mut call = wire::read_call(text).map_err(top)?;
    if let (None, Some(key)) = (&call.idempotency_key, headers.get("idempotency-key")) {
        let key = key.to_str().map_err(|_| Problem::invalid().field("Idempotency-Key", "it is not visible ASCII"))?;
        wire::check_key(key).map_err(|problem| Problem::invalid().field("Idempotency-Key", problem.detail))?;
        call.idempotency_key = Some(key.to_owned());
    }
    if !call.is_for_many() {
        return Ok(Call { submissions: vec![call.into_submission().map_err(top)?], kind: Kind::One });
    }
    if many::count(&call) > limits.batch {
        return Err(batch_too_large(limits));
    }
    let many::Many { list, submissions } = many::read(call).map_err(|problems| Problem::invalid().fields(problems))?;
    Ok(Call { submissions, kind: Kind::Many(list) })
}

fn at_top(mut problem: FieldProblem) -> FieldProblem {
    if problem.field == "." {
        "(the whole)".clone_into(&mut problem.field);
    }
    problem
}

fn read_array(text: &str, limits: &Limits) -> Result<Vec<Submission>, Problem> {
    let elements = wire::split_array(text).map_err(|problem| Problem::not_json().detail(problem.detail))?;
    if elements.len() > limits.batch {
        return Err(batch_too_large(limits));
    }
    let mut submissions = Vec::with_capacity(elements.len());
    let mut problems = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        match wire::read_one(element.get()) {
            Ok(submission) => submissions.push(submission),
            Err(problem) if problems.len() < PROBLEMS => {
                let field = match &*problem.field {
                    "." => format!("[{index}]"),
                    field => format!("[{index}].{field}"),
                };
                problems.push(FieldProblem { field, ..problem });
            }
            Err(_) => break,
        }
    }
    if problems.is_empty() { Ok(submissions) } else { Err(Problem::invalid().fields(problems)) }
}

/// What is told of accepted notifications, with their outcomes where they are waited for.
pub(super) async fn receipts(service: &Service, accepted: &[Accepted], wait: Option<Duration>) -> Vec<Receipt> {
    let mut outcomes = vec![None; accepted.len()];
    if let Some(wait) = wait {
        let ids: Vec<NotificationId> = accepted.iter().map(|one| one.id).collect();
        // They were accepted: a store that fails from then on keeps the outcomes from being told here, and no more.
        if let Ok(known) = service.wait_all(&ids, wait).await {
            outcomes = known;
        }
    }
    let receipt = |(one, outcome): (&Accepted, _)| Receipt {
        id: one.id,
        token: None,
        duplicate: one.duplicate,
        findings: one.findings.iter().map(FoundInPayload::from).collect(),
        outcome,
    };
    accepted.iter().zip(outcomes).map(receipt).collect()
}

/// `GET /v1/notifications/{id}`
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let id: NotificationId = id.parse().map_err(|error| Problem::invalid().field("id", error))?;
    let tracked = api.service().lookup(id).await?.filter(|tracked| caller.may_use(&tracked.app));
    match tracked {
        Some(tracked) => Ok(Json(Report::from(tracked)).into_response()),
        None => Err(Problem::unknown_notification()),
    }
}
