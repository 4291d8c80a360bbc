//! Finding notifications. Device tokens are secrets, so what is looked for comes in the body, and not in a URL.

use apns_proto::{ApnsId, CollapseId, DeviceToken, WallTime};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Api;
use super::brake::{parsed, read};
use super::notifications::Report;
use super::problem::{FieldProblem, Problem};
use crate::Tag;
use crate::outbox::{Cursor, Search, Stage};

/// The most that one answer has, and how many it has if nobody says.
const MOST: usize = 1000;
const USUAL: usize = 100;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Wanted {
    token: Option<String>,
    collapse_id: Option<String>,
    tag: Option<String>,
    apns_id: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
    state: Option<Stage>,
    outcome: Option<String>,
    reason: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl Wanted {
    fn search(self) -> Result<Search, FieldProblem> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(FieldProblem::new("until", "it has to be later than since"));
        }
        Ok(Search {
            token: parsed::<DeviceToken>("token", self.token)?,
            collapse_id: parsed::<CollapseId>("collapse_id", self.collapse_id)?,
            tag: parsed::<Tag>("tag", self.tag)?,
            apns_id: parsed::<ApnsId>("apns_id", self.apns_id)?,
            since: self.since.map(WallTime::from_millis),
            until: self.until.map(WallTime::from_millis),
            stage: self.state,
            outcome: self.outcome.map(Into::into),
            reason: self.reason.map(Into::into),
        })
    }
}

#[derive(Serialize)]
struct FoundView {
    notifications: Vec<Report>,
    /// Where to go on; nothing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `POST /v1/apps/{app}/search`
pub(super) async fn search(
    State(api): State<Api>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let wanted: Wanted = read(&api, &headers, body, Some(Wanted::default())).await?;
    if !api.service().knows(&app) {
        return Err(Problem::unknown_app());
    }
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid().field("limit", format!("it has to be a number from 1 to {MOST}")));
    }
    let after = Cursor::new(wanted.after.clone().unwrap_or_default());
    let search = wanted.search().map_err(|problem| Problem::invalid().fields(vec![problem]))?;
    let found = api.service().search(&app, search, &after, limit).await?;
    let notifications = found.notifications.into_iter().map(Report::from).collect();
    let next = found.next.map(|next| next.as_str().to_owned());
    Ok(Json(FoundView { notifications, next }).into_response())
}
