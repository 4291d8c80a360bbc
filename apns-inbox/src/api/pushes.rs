//! Pushes: found, waited for, looked at, exported and forgotten.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{Problem, PushLine};
use crate::again::Again;
use crate::filter::{Filter, is_answer, pairs};
use crate::http::Shared;
use crate::push::Push;
use crate::simulator_file;
use crate::store::Counts;

/// How many pushes are in one answer, unless more or fewer are asked for.
const PAGE: usize = 100;

/// The most that are in one answer.
const LARGEST_PAGE: usize = 1000;

/// The longest that a request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How many pushes are in one piece of an export.
const PIECE: usize = 100;

/// What is asked for.
#[derive(Debug, Default)]
struct Query {
    filter: Filter,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
    wait: Option<Duration>,
    count: Option<usize>,
}

impl Query {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut read = Self::default();
        let invalid = |name: &str, what: &str| Problem::invalid().detail(format!("{name}: {what}"));
        let number = |name: &str, value: &str| value.parse().map_err(|_| invalid(name, "it has to be a whole number"));
        for (name, value) in pairs(query.unwrap_or_default()) {
            match name.as_str() {
                "after" => read.after = Some(number(&name, &value)?),
                "before" => read.before = Some(number(&name, &value)?),
                "limit" => match usize::try_from(number(&name, &value)?) {
                    Ok(limit @ 1..=LARGEST_PAGE) => read.limit = Some(limit),
                    _ => return Err(invalid(&name, "it is from 1 to 1000")),
                },
                "count" => match usize::try_from(number(&name, &value)?) {
                    Ok(count @ 1..=LARGEST_PAGE) => read.count = Some(count),
                    _ => return Err(invalid(&name, "it is from 1 to 1000")),
                },
                "wait" => {
                    read.wait = Some(read_wait(&value).ok_or_else(|| {
                        invalid(&name, "it has to be a span of time such as 5s or 500ms, at most 300s")
                    })?);
                }
                "answer" if !value.is_empty() && !is_answer(&value) => {
                    let what = "it is accepted, refused, broken, none, a status, a class such as 5xx, or a reason";
                    return Err(invalid(&name, what));
                }
                _ if read.filter.take(&name, &value) => {}
                // A slip in a name would ask for everything.
                _ => return Err(invalid(&name, "there is no such parameter")),
            }
        }
        Ok(read)
    }
}

/// A number of seconds, or with a unit: `ms`, `s` or `m`.
fn read_wait(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let wait = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (wait <= LONGEST_WAIT).then_some(wait)
}

/// The pushes that fit, each looked at once.
#[derive(Debug, Default)]
struct Found {
    fitting: Vec<Arc<Push>>,
    /// The last that was looked at.
    seen: u64,
}

impl Found {
    fn look(mut self, shared: &Shared, query: &Query) -> Self {
        for push in shared.store().since(self.seen) {
            self.seen = push.seq;
            if query.before.is_none_or(|before| push.seq < before) && shared.fits(&query.filter, &push) {
                self.fitting.push(push);
            }
        }
        self
    }
}

/// What `GET /v1/pushes` answers.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    pushes: Vec<PushLine<'a>>,
    matched: usize,
    kept: usize,
    dropped: u64,
    newest: u64,
    timed_out: bool,
}

/// `GET /v1/pushes`
pub(super) async fn list(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Arc::new(Query::read(query.as_deref())?);
    let until = query.wait.map(|wait| Instant::now() + wait);
    let wanted = query.count.unwrap_or(1);
    let mut changes = shared.store().subscribe();
    let mut found = Found { seen: query.after.unwrap_or(0), ..Found::default() };
    let mut timed_out = false;
    loop {
        changes.mark_unchanged();
        let asked = Arc::clone(&query);
        found = shared.work(move |shared| found.look(shared, &asked)).await;
        let Some(until) = until.filter(|_| found.fitting.len() < wanted && !timed_out) else { break };
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep_until(until) => timed_out = true,
            // The answer says what there is; nobody waits for an inbox that ends.
            () = shared.stopping() => timed_out = true,
        }
    }
    let body = shared.work(move |shared| {
        let counts = shared.store().counts();
        let matched = found.fitting.len();
        let limit = query.limit.unwrap_or(PAGE);
        // With `after` the oldest come first, as one who follows wants them; otherwise the newest.
        let page: Vec<&Arc<Push>> = match query.after {
            Some(_) => found.fitting.iter().take(limit).collect(),
            None => found.fitting.iter().rev().take(limit).collect(),
        };
        let pushes = page.into_iter().map(|push| PushLine::new(push)).collect();
        let timed_out = timed_out && matched < wanted;
        let Counts { kept, dropped, newest } = counts;
        in_json(&Listing { pushes, matched, kept, dropped, newest, timed_out })
    });
    Ok(body.await)
}

/// An answer in JSON, made here so that a payload stays as it came.
fn in_json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => Problem::invalid().detail(error).into_response(),
    }
}

/// `DELETE /v1/pushes`
pub(super) async fn clear(State(shared): State<Shared>) -> StatusCode {
    shared.store().clear();
    StatusCode::NO_CONTENT
}

/// What `GET /v1/pushes/{seq}` answers.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    push: PushLine<'a>,
    kept_rules: &'a [&'static str],
    again: Again,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained>,
}

/// What an answer means.
#[derive(Debug, Serialize)]
struct Explained {
    happened: &'static str,
    to_do: &'static str,
}

/// `GET /v1/pushes/{seq}`
pub(super) async fn show(State(shared): State<Shared>, Path(seq): Path<String>) -> Result<Response, Problem> {
    let push = find(&shared, &seq)?;
    let explanation =
        push.explanation().map(|explanation| Explained { happened: explanation.happened, to_do: explanation.to_do });
    let kept_rules = &push.judgement().kept;
    Ok(in_json(&Shown { push: PushLine::new(&push), kept_rules, again: shared.again(&push), explanation }))
}

/// The push of this number, if it is kept.
fn find(shared: &Shared, seq: &str) -> Result<Arc<Push>, Problem> {
    let seq: u64 = seq.parse().map_err(|_| Problem::unknown_push())?;
    shared.store().push(seq).ok_or_else(Problem::unknown_push)
}

/// `GET /v1/pushes/{seq}/apns`: a file that Xcode's simulator takes, by `xcrun simctl push` or dropped onto its window.
pub(super) async fn file(State(shared): State<Shared>, Path(seq): Path<String>) -> Result<Response, Problem> {
    let push = find(&shared, &seq)?;
    let text = saved(&push).ok_or_else(Problem::no_object)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"push-{}.apns\"", push.seq)),
    ];
    Ok((headers, text).into_response())
}

/// What the file holds, where the payload is a JSON object.
fn saved(push: &Push) -> Option<String> {
    push.content().object.as_ref()?;
    simulator_file(str::from_utf8(push.payload()).ok()?, push.app())
}

/// `GET /export.jsonl`: every push that fits, oldest first, one line each.
pub(super) async fn export(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref())?;
    let pushes = shared.work(move |shared| {
        let mut pushes = shared.store().since(query.after.unwrap_or(0));
        pushes.retain(|push| query.before.is_none_or(|before| push.seq < before) && shared.fits(&query.filter, push));
        pushes
    });
    // Some at a time, as the reader takes them.
    let pieces = stream::iter(pushes.await).chunks(PIECE).then(move |pushes| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.work(move |_| lines(&pushes)).await) }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"pushes.jsonl\""),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A line of JSON for each push.
fn lines(pushes: &[Arc<Push>]) -> Bytes {
    let mut lines = Vec::new();
    for push in pushes {
        if serde_json::to_writer(&mut lines, &PushLine::new(push)).is_ok() {
            lines.push(b'\n');
        }
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit_or_count_seconds() {
        let read = |text| read_wait(text).map(|wait| wait.as_millis());
        assert_eq!(
            [read("5s"), read("500ms"), read("5"), read("2m")],
            [Some(5000), Some(500), Some(5000), Some(120_000)]
        );
        assert_eq!([read(""), read("s"), read("1h"), read("301"), read("-1"), read("99999999999999999999")], [None; 6]);
    }

    #[test]
    fn a_file_for_the_simulator_names_the_app_and_keeps_the_rest() {
        let file = |payload: &str| {
            let record = crate::testing::Push::of_type("voip", payload).record(1);
            let source = crate::push::Source::Request(Arc::new(record));
            saved(&Push::new(1, source, None, Arc::from("com.example.app")))
        };
        let named = "{\"Simulator Target Bundle\":\"com.example.app\"";
        assert_eq!(file(" { \"a\": 1, \"a\": 2 }"), Some(format!("{named}, \"a\": 1, \"a\": 2 }}")));
        assert_eq!(file("{ }"), Some(format!("{named} }}")));
        assert_eq!([file("[]"), file("{"), file("")], [None, None, None]);
    }

    #[test]
    fn what_cannot_be_asked_for_is_named() {
        for (query, named) in [
            ("limit=0", "limit"),
            ("typ=alert", "typ"),
            ("wait=x", "wait"),
            ("answer=lost", "answer"),
            ("after=x", "after"),
        ] {
            let problem = format!("{:?}", Query::read(Some(query)).unwrap_err());
            assert!(problem.contains(&format!("\"{named}: ")), "{problem}");
        }
        let read = Query::read(Some("device=00&answer=BadDeviceToken&q=%C3%A9+x&app=")).unwrap();
        assert_eq!((read.filter.q.as_deref(), read.filter.app), (Some("é x"), None));
    }
}
