//! The search of the status page: a form for each app, and what was found below it.

use apns_proto::{Escaped, WallTime};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use super::Api;
use super::brake::parsed;
use super::buttons::{Sent, no_forms, read};
use super::notifications::query;
use super::page::{document, headers, span};
use super::problem::{FieldProblem, Problem};
use crate::AppName;
use crate::access::Caller;
use crate::delivery::now;
use crate::outbox::{Cursor, Found, Search, Stage, State as Standing, Tracked};

/// Where the form leads.
pub(super) const SEARCH: &str = "/page/search";

/// How many are shown at once.
const PAGE: usize = 50;

/// The conditions that are texts: name, and what a person reads.
const TEXTS: [(&str, &str); 5] = [
    ("token", "device token"),
    ("tag", "tag"),
    ("collapse_id", "collapse id"),
    ("apns_id", "id or apns-id"),
    ("reason", "reason"),
];

const STATES: [(&str, &str); 4] =
    [("", "in any state"), ("waiting", "that wait"), ("in_flight", "in flight"), ("settled", "that ended")];

/// What was filled in, in the order of [`TEXTS`].
#[derive(Default)]
struct Filled {
    texts: [String; 5],
    state: String,
}

impl Filled {
    fn search(&self) -> Result<Search, FieldProblem> {
        let [token, tag, collapse_id, apns_id, reason] =
            self.texts.each_ref().map(|text| Some(text.trim().to_owned()).filter(|text| !text.is_empty()));
        let stage = match &*self.state {
            "" => None,
            word => Some(stage(word).map_err(|_| FieldProblem::new("state", "there is no such state"))?),
        };
        Ok(Search {
            token: parsed("token", token)?,
            tag: parsed("tag", tag)?,
            collapse_id: parsed("collapse_id", collapse_id)?,
            apns_id: parsed("apns_id", apns_id)?,
            reason: reason.map(Into::into),
            stage,
            ..Search::default()
        })
    }
}

fn stage(word: &str) -> Result<Stage, serde::de::value::Error> {
    Stage::deserialize(word.into_deserializer())
}

/// `GET /page/search`
pub(super) async fn form(
    State(api): State<Api>,
    RawQuery(parameters): RawQuery,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let [app] = query(parameters.as_deref(), ["app"])?;
    let (caller, app) = api.user_of(&request, &app.unwrap_or_default())?;
    api.service().info(&app)?;
    show(&api, &caller, &app, &Filled::default(), None)
}

/// `POST /page/search`
pub(super) async fn search(State(api): State<Api>, request: HeaderMap, body: Body) -> Result<Response, Problem> {
    let names = ["app", "signed", "token", "tag", "collapse_id", "apns_id", "reason", "state", "after"];
    let Sent { caller, app, fields } = read(&api, &request, body, SEARCH, names).await?;
    api.service().info(&app)?;
    let [_, _, token, tag, collapse_id, apns_id, reason, state, after] = fields.map(Option::unwrap_or_default);
    let filled = Filled { texts: [token, tag, collapse_id, apns_id, reason], state };
    let search = filled.search().map_err(|problem| Problem::invalid().fields(vec![problem]))?;
    let found = api.service().search(&app, search, &Cursor::new(after), PAGE).await?;
    show(&api, &caller, &app, &filled, Some(&found))
}

fn show(
    api: &Api,
    caller: &Caller,
    app: &AppName,
    filled: &Filled,
    found: Option<&Found>,
) -> Result<Response, Problem> {
    let signed = api.forms().ok_or_else(no_forms)?.sign(caller, SEARCH, app, now());
    let hidden = html! {
        input type="hidden" name="app" value=(app.as_str());
        input type="hidden" name="signed" value=(signed);
    };
    let body = html! {
        header { h1 { "Notifications of " (app.as_str()) } }
        main {
            form.search method="post" action=(SEARCH) {
                (hidden)
                @for ((name, text), value) in TEXTS.iter().zip(&filled.texts) {
                    p { label for=(name) { (text) } " " input id=(name) name=(name) value=(value) autocomplete="off"; }
                }
                p {
                    label for="state" { "those" } " "
                    select #state name="state" {
                        @for (value, text) in STATES { option value=(value) selected[value == filled.state] { (text) } }
                    }
                }
                button { "Search" }
            }
            @if let Some(found) = found { (results(found, now())) }
            @if let Some(next) = found.and_then(|found| found.next.as_ref()) {
                form method="post" action=(SEARCH) {
                    (hidden)
                    @for ((name, _), value) in TEXTS.iter().zip(&filled.texts) {
                        input type="hidden" name=(name) value=(value);
                    }
                    input type="hidden" name="state" value=(filled.state);
                    input type="hidden" name="after" value=(next);
                    button { "Further…" }
                }
            }
            form method="get" action="/" { button { "Back" } }
        }
    };
    Ok((headers(), Html(document("apnsd: search", None, &body).into_string())).into_response())
}

fn results(found: &Found, now: WallTime) -> Markup {
    if found.notifications.is_empty() {
        let further = if found.next.is_some() { "None so far: go on with the button below." } else { "None." };
        return html! { p #found { (further) } };
    }
    html! {
        table #found {
            thead {
                tr { th { "notification" } th { "tag" } th { "state" } th.n { "attempts" } th.n { "accepted" } th.n { "ended" } }
            }
            tbody { @for one in &found.notifications { (result(one, now)) } }
        }
    }
}

fn result(one: &Tracked, now: WallTime) -> Markup {
    let ago = |time: WallTime| format!("{} ago", span(now.saturating_since(time)));
    let (class, word, detail, attempts, accepted_at, ended) = match &one.state {
        Standing::Waiting { accepted_at, tries, .. } => ("", "waiting", "", tries.attempts, *accepted_at, None),
        Standing::InFlight { accepted_at, tries } => ("", "in flight", "", tries.attempts, *accepted_at, None),
        Standing::Settled(record) => (
            &*record.outcome,
            record.counted_as(),
            record.detail.as_deref().unwrap_or_default(),
            record.tries.attempts,
            WallTime::from_millis(record.accepted_at),
            Some(WallTime::from_millis(record.settled_at)),
        ),
    };
    html! {
        tr {
            td { code { (one.id) } }
            td { @if let Some(tag) = &one.tag { (Escaped(tag.as_str()).to_string()) } }
            td class=(class) title=(detail) { (word) }
            td.n { (attempts) }
            td.n { (ago(accepted_at)) }
            td.n { @if let Some(ended) = ended { (ago(ended)) } }
        }
    }
}
