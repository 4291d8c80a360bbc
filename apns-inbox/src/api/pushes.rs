//! Pushes: found, waited for, looked at, exported and forgotten.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::time::Instant;

use super::{Problem, PushLine};
use crate::filter::{Filter, is_answer, pairs};
use crate::http::Shared;
use crate::push::Push;

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
                    })?)
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

/// `GET /v1/pushes`
pub(super) async fn list(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref())?;
    let until = query.wait.map(|wait| Instant::now() + wait);
    let wanted = query.count.unwrap_or(1);
    let mut changes = shared.store().subscribe();
    // Those that fit, each looked at once.
    let mut fitting: Vec<Arc<Push>> = Vec::new();
    let mut seen = query.after.unwrap_or(0);
    let mut timed_out = false;
    loop {
        changes.mark_unchanged();
        for push in shared.store().since(seen) {
            seen = push.seq;
            if query.before.is_none_or(|before| push.seq < before) && shared.fits(&query.filter, &push) {
                fitting.push(push);
            }
        }
        let Some(until) = until.filter(|_| fitting.len() < wanted && !timed_out) else { break };
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
    let snapshot = shared.store().counts();
    let matched = fitting.len();
    let limit = query.limit.unwrap_or(PAGE);
    // With `after` the oldest come first, as one who follows wants them; otherwise the newest.
    let page: Vec<&Arc<Push>> = match query.after {
        Some(_) => fitting.iter().take(limit).collect(),
        None => fitting.iter().rev().take(limit).collect(),
    };
    let pushes: Vec<PushLine<'_>> = page.iter().map(|push| PushLine::new(push)).collect();
    let body = json!({
        "pushes": pushes,
        "matched": matched,
        "kept": snapshot.kept,
        "dropped": snapshot.dropped,
        "newest": snapshot.newest,
        "timed_out": timed_out && matched < wanted,
    });
    Ok(Json(body).into_response())
}

/// `DELETE /v1/pushes`
pub(super) async fn clear(State(shared): State<Shared>) -> StatusCode {
    shared.store().clear();
    StatusCode::NO_CONTENT
}

/// `GET /v1/pushes/{seq}`
pub(super) async fn show(State(shared): State<Shared>, Path(seq): Path<String>) -> Result<Response, Problem> {
    let seq: u64 = seq.parse().map_err(|_| Problem::unknown_push())?;
    let snapshot = shared.store().snapshot();
    let push = snapshot.push(seq).ok_or_else(Problem::unknown_push)?;
    let mut body = serde_json::to_value(PushLine::new(push)).map_err(|error| Problem::invalid().detail(error))?;
    body["kept_rules"] = json!(push.judgement().kept);
    body["again"] = json!(shared.again(push));
    if let Some(explanation) = push.explanation() {
        body["explanation"] = json!({"happened": explanation.happened, "to_do": explanation.to_do});
    }
    Ok(Json(body).into_response())
}

/// `GET /export.jsonl`: every push that fits, oldest first, one line each.
pub(super) async fn export(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref())?;
    let snapshot = shared.store().snapshot();
    let mut pushes = snapshot.pushes;
    pushes.retain(|push| {
        query.after.is_none_or(|after| push.seq > after)
            && query.before.is_none_or(|before| push.seq < before)
            && shared.fits(&query.filter, push)
    });
    let pieces = stream::iter(pushes.into_iter()).map_chunks(PIECE);
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"pushes.jsonl\""),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Makes lines of pushes, some at a time, as the reader takes them.
trait MapChunks {
    fn map_chunks(
        self,
        size: usize,
    ) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send;
}

impl<S: futures_util::Stream<Item = Arc<Push>> + Send> MapChunks for S {
    fn map_chunks(
        self,
        size: usize,
    ) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        use futures_util::StreamExt as _;
        self.chunks(size).map(|pushes| {
            let mut lines = Vec::new();
            for push in &pushes {
                if serde_json::to_writer(&mut lines, &PushLine::new(push)).is_ok() {
                    lines.push(b'\n');
                }
            }
            Ok(lines.into())
        })
    }
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
