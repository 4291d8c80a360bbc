//! What a person does on the status page: pause, resume, and purge after a question.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use super::body::read_text;
use super::forms::Forms;
use super::notifications::query;
use super::origin::comes_from_another_site;
use super::page::{document, headers};
use super::problem::Problem;
use super::{Api, brake};
use crate::AppName;
use crate::access::Caller;
use crate::config::Span;
use crate::delivery::now;
use crate::outbox::Selection;

/// Where the forms lead.
pub(super) const PAUSE: &str = "/page/pause";
pub(super) const RESUME: &str = "/page/resume";
pub(super) const PURGE: &str = "/page/purge";

/// How old those are that are purged, as a person may choose.
const AGES: [(&str, &str); 4] =
    [("", "of any age"), ("10m", "older than 10 minutes"), ("1h", "older than an hour"), ("1d", "older than a day")];

/// A button that does something to an app at once.
pub(super) fn button(forms: &Forms, caller: &Caller, action: &'static str, app: &AppName, text: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="app" value=(app.as_str());
            input type="hidden" name="signed" value=(forms.sign(caller, action, app, now()));
            button { (text) }
        }
    }
}

/// A button that leads to a page about an app.
pub(super) fn link(page: &'static str, app: &AppName, text: &str) -> Markup {
    html! {
        form method="get" action=(page) {
            input type="hidden" name="app" value=(app.as_str());
            button { (text) }
        }
    }
}

/// `GET /page/purge`
pub(super) async fn question(
    State(api): State<Api>,
    RawQuery(parameters): RawQuery,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let [app] = query(parameters.as_deref(), ["app"])?;
    let (caller, app) = api.user_of(&request, &app.unwrap_or_default())?;
    api.service().info(&app)?;
    let counts = api.service().counts(&app).await?;
    let forms = api.forms().ok_or_else(no_forms)?;
    let body = html! {
        header { h1 { "Purge " (app.as_str()) "?" } }
        main {
            p {
                b #waiting { (counts.waiting) } " notifications wait. Those that are purged are not sent: each ends as not sent, "
                "with the reason purged. " (counts.in_flight) " are in flight, and are not touched."
            }
            form method="post" action=(PURGE) {
                input type="hidden" name="app" value=(app.as_str());
                input type="hidden" name="signed" value=(forms.sign(&caller, PURGE, &app, now()));
                p {
                    label for="older_than" { "Purge those " }
                    select #older_than name="older_than" {
                        @for (value, text) in AGES { option value=(value) { (text) } }
                    }
                }
                button.failing { "Purge" }
            }
            form method="get" action="/" { button { "Back" } }
        }
    };
    Ok((headers(), Html(document("apnsd: purge", None, &body).into_string())).into_response())
}

pub(super) fn no_forms() -> Problem {
    Problem::failed().detail("the system gives no random numbers, so forms cannot be signed; use the API")
}

/// A form that was sent.
pub(super) struct Sent<const N: usize> {
    pub(super) caller: Caller,
    pub(super) app: AppName,
    /// In the order in which they were asked for.
    pub(super) fields: [Option<String>; N],
}

/// Reads a form with these fields, of which `app` and `signed` are two, and makes sure that the page sent it which
/// this caller was shown.
pub(super) async fn read<const N: usize>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    action: &str,
    names: [&'static str; N],
) -> Result<Sent<N>, Problem> {
    let foreign = |what: &str| Problem::foreign_page().detail(what).closing();
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if comes_from_another_site(headers) || !kind.starts_with(b"application/x-www-form-urlencoded") {
        return Err(foreign("this is for forms of the status page; programs use the API"));
    }
    let text = read_text(headers, body, api.limits()).await?;
    let fields = query(Some(&text), names)?;
    let field = |name: &str| {
        let place = names.iter().position(|known| *known == name);
        place.and_then(|place| fields[place].as_deref()).unwrap_or_default()
    };
    let (caller, app) = api.user_of(headers, field("app"))?;
    let forms = api.forms().ok_or_else(no_forms)?;
    if !forms.check(field("signed"), &caller, action, &app, now()) {
        return Err(foreign("the form is too old, or not from the status page: load the page again"));
    }
    Ok(Sent { caller, app, fields })
}

/// Back to the page, which asks for it anew.
fn back() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
}

/// `POST /page/pause`
pub(super) async fn pause(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let Sent { app, .. } = read(&api, &headers, body, PAUSE, ["app", "signed"]).await?;
    api.service().pause(&app, Some("on the status page".into())).await?;
    Ok(back())
}

/// `POST /page/resume`
pub(super) async fn resume(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let Sent { app, .. } = read(&api, &headers, body, RESUME, ["app", "signed"]).await?;
    api.service().resume(&app).await?;
    Ok(back())
}

/// `POST /page/purge`
pub(super) async fn purge(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let Sent { app, fields, .. } = read(&api, &headers, body, PURGE, ["app", "signed", "older_than"]).await?;
    let [_, _, older_than] = fields;
    let age = older_than.filter(|text| !text.is_empty()).map(|text| Span::parse(&text)).transpose();
    let age = age.map_err(|error| Problem::invalid().field("older_than", error))?;
    let accepted_before = age.map(|Span(age)| brake::earlier(now(), age));
    api.service().purge(&app, Selection { accepted_before, ..Selection::default() }).await?;
    Ok(back())
}
