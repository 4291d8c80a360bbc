//! Outcomes as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::Api;
use super::notifications::query;
use super::problem::Problem;
use crate::outbox::Cursor;

/// A comment after so much silence keeps proxies from closing the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again, in milliseconds.
const RECONNECT: &str = "retry: 2000\n\n";

/// `GET /v1/apps/{app}/outcomes`
pub(super) async fn outcomes(
    State(api): State<Api>,
    Path(app): Path<String>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, app) = api.user_of(&headers, &app)?;
    let [after] = query(parameters.as_deref(), ["after"])?;
    // A client that connects again says where it was; that is newer than the address it was given.
    let last = headers.get("last-event-id").map(|value| value.to_str().map(str::to_owned)).transpose();
    let last = last.map_err(|_| Problem::invalid().field("Last-Event-ID", "it is not visible ASCII"))?;
    let after = last.filter(|last| !last.is_empty()).or(after).map(Cursor::new);
    let outcomes = api.service().outcomes(&app, after).await?;
    let events = stream::unfold((outcomes, true), |(mut outcomes, first)| async move {
        if first {
            return Some((Ok::<_, Infallible>(Bytes::from_static(RECONNECT.as_bytes())), (outcomes, false)));
        }
        let part = match tokio::time::timeout(HEARTBEAT, outcomes.next()).await {
            Err(_) => Bytes::from_static(b": still here\n\n"),
            Ok(Ok(Some((cursor, record)))) => {
                let data = serde_json::to_string(&record).expect("a record has text keys and numbers only");
                Bytes::from(format!("id: {cursor}\nevent: outcome\ndata: {data}\n\n"))
            }
            // The client comes again, and goes on where it was.
            Ok(Ok(None) | Err(_)) => return None,
        };
        Some((Ok(part), (outcomes, false)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(events)).into_response())
}
