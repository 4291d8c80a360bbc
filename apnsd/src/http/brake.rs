//! The emergency brake: pause, resume, purge, cancel.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::{CollapseId, DeviceToken, PushType, Topic, WallTime};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Api;
use super::body::{MediaType, read_text};
use super::problem::{FieldProblem, Problem};
use super::wire::read_json;
use crate::config::Span;
use crate::delivery::now;
use crate::outbox::{Cursor, OutcomeRecord, Search, Selection, Stage};
use crate::service::Cancelled;
use crate::{AppName, NotificationId, Tag};

/// The longest reason for a pause, in bytes.
const LONGEST_REASON: usize = 500;
/// The most notifications of one request that are cancelled.
const MOST_CANCELLED: usize = 10_000;

/// Reads the body of a request that changes something. It has to say that it is JSON, which a page in a browser cannot say
/// without asking first; an empty one is that of `empty`.
pub(super) async fn read<T: for<'de> Deserialize<'de>>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    empty: Option<T>,
) -> Result<T, Problem> {
    MediaType::ensure_json(headers)?;
    let text = read_text(headers, body, api.limits()).await?;
    if let (true, Some(empty)) = (text.trim().is_empty(), empty) {
        return Ok(empty);
    }
    read_json(&text).map_err(|FieldProblem { field, detail }| match &*field {
        "." => Problem::invalid().detail(detail),
        _ => Problem::invalid().field(field, detail),
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PauseOrder {
    reason: Option<String>,
}

/// `POST /v1/apps/{app}/pause`
pub(super) async fn pause(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let PauseOrder { reason } = read(&api, &headers, body, Some(PauseOrder::default())).await?;
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Problem::invalid().field("reason", format!("at most {LONGEST_REASON} bytes are kept")));
    }
    api.service().pause(&app, reason.map(Arc::from)).await?;
    answer(&api, &app).await
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct NoOrder {}

/// `POST /v1/apps/{app}/resume`
pub(super) async fn resume(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let NoOrder {} = read(&api, &headers, body, Some(NoOrder::default())).await?;
    api.service().resume(&app).await?;
    answer(&api, &app).await
}

async fn answer(api: &Api, app: &AppName) -> Result<Response, Problem> {
    let info = api.service().info(app)?;
    Ok(Json(api.view(info).await?).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeOrder {
    /// Everything that waits, without a condition: so that a forgotten condition is no order.
    #[serde(default)]
    all: bool,
    older_than: Option<Span>,
    accepted_before: Option<u64>,
    token: Option<String>,
    topic: Option<String>,
    push_type: Option<String>,
    collapse_id: Option<String>,
    tag: Option<String>,
}

impl PurgeOrder {
    fn selection(self, now: WallTime) -> Result<Selection, FieldProblem> {
        let accepted_before = match (self.older_than, self.accepted_before) {
            (Some(_), Some(_)) => {
                return Err(FieldProblem::new("accepted_before", "give older_than or accepted_before, not both"));
            }
            (Some(Span(age)), None) => Some(earlier(now, age)),
            (None, before) => before.map(WallTime::from_millis),
        };
        let selection = Selection {
            ids: None,
            accepted_before,
            token: parsed::<DeviceToken>("token", self.token)?,
            topic: parsed::<Topic>("topic", self.topic)?,
            push_type: parsed::<PushType>("push_type", self.push_type)?,
            collapse_id: parsed::<CollapseId>("collapse_id", self.collapse_id)?,
            tag: parsed::<Tag>("tag", self.tag)?,
        };
        match (self.all, selection == Selection::default()) {
            (false, true) => {
                Err(FieldProblem::new("all", "give a condition, or `all`: true for everything that waits"))
            }
            (true, false) => Err(FieldProblem::new("all", "give conditions or `all`, not both")),
            _ => Ok(selection),
        }
    }
}

/// Reads a condition that is given as a text.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<T>, FieldProblem> {
    text.map(|text| text.parse().map_err(|error| FieldProblem::new(field, error))).transpose()
}

pub(super) fn earlier(now: WallTime, age: Duration) -> WallTime {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    WallTime::from_millis(now.as_millis().saturating_sub(age))
}

#[derive(Serialize)]
struct PurgedView {
    purged: u64,
    unknown: u64,
    in_flight: u64,
}

/// `POST /v1/apps/{app}/purge`
pub(super) async fn purge(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let order: PurgeOrder = read(&api, &headers, body, None).await?;
    let selection = order.selection(now()).map_err(|problem| Problem::invalid().fields(vec![problem]))?;
    let purged = api.service().purge(&app, selection).await?;
    let view = PurgedView { purged: purged.purged, unknown: purged.unknown, in_flight: purged.in_flight };
    Ok(Json(view).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelOrder {
    #[serde(default)]
    ids: Vec<NotificationId>,
    #[serde(default)]
    idempotency_keys: Vec<String>,
    tag: Option<String>,
}

#[derive(Serialize)]
struct CancelledView {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<NotificationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Box<OutcomeRecord>>,
}

impl CancelledView {
    fn new(id: Option<NotificationId>, idempotency_key: Option<String>, cancelled: Cancelled) -> Self {
        let (state, outcome) = match cancelled {
            Cancelled::Done(record) => ("cancelled", Some(record)),
            Cancelled::InFlight => ("in_flight", None),
            Cancelled::Ended(record) => ("settled", Some(record)),
            Cancelled::Unknown => ("unknown", None),
        };
        Self { id, idempotency_key, state, outcome }
    }
}

/// What has this tag and waits; `None` where that is more than so many.
async fn waiting(api: &Api, app: &AppName, tag: Tag, most: usize) -> Result<Option<Vec<NotificationId>>, Problem> {
    let search = Search { tag: Some(tag), stage: Some(Stage::Waiting), ..Search::default() };
    let (mut ids, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(after) = next {
        let page = api.service().search(app, search.clone(), &after, 1000).await?;
        ids.extend(page.notifications.iter().map(|one| one.id));
        if ids.len() > most {
            return Ok(None);
        }
        next = page.next;
    }
    Ok(Some(ids))
}

/// `POST /v1/apps/{app}/cancel`
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let CancelOrder { ids, idempotency_keys, tag } = read(&api, &headers, body, None).await?;
    let too_many = |field, what: &str| {
        let detail = format!("at most {MOST_CANCELLED} are cancelled in one request{what}");
        Err(Problem::invalid().field(field, detail))
    };
    let tag: Option<Tag> = parsed("tag", tag).map_err(|problem| Problem::invalid().fields(vec![problem]))?;
    match ids.len() + idempotency_keys.len() {
        0 if tag.is_none() => return Err(Problem::invalid().field("ids", "give ids, idempotency_keys or a tag")),
        count if count > MOST_CANCELLED => return too_many("ids", ""),
        _ => {}
    }
    if !api.service().knows(&app) {
        return Err(Problem::unknown_app());
    }
    let keys = idempotency_keys.iter().map(|key| Arc::from(&**key)).collect();
    let named = api.service().by_keys(&app, keys).await?;
    let mut wanted: Vec<_> = ids
        .into_iter()
        .map(|id| (Some(id), None))
        .chain(named.into_iter().zip(idempotency_keys).map(|(id, key)| (id, Some(key))))
        .collect();
    if let Some(tag) = tag {
        let Some(tagged) = waiting(&api, &app, tag, MOST_CANCELLED - wanted.len()).await? else {
            return too_many("tag", "; a purge has no such limit");
        };
        wanted.extend(tagged.into_iter().map(|id| (Some(id), None)));
    }
    let known = wanted.iter().filter_map(|(id, _)| *id).collect();
    let mut cancelled = api.service().cancel(&app, known).await?.into_iter();
    let views: Vec<_> = wanted
        .into_iter()
        .map(|(id, key)| {
            let came = id.and_then(|_| cancelled.next()).unwrap_or(Cancelled::Unknown);
            CancelledView::new(id, key, came)
        })
        .collect();
    Ok((StatusCode::OK, Json(views)).into_response())
}
