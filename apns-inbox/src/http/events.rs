//! What a page that is looked at gets to know: that there is something new. It then fetches itself again.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde_json::json;

use super::Shared;

/// How often a page is told at most.
const PACE: Duration = Duration::from_millis(200);

/// After how much silence a word is sent, so that nobody between takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// `GET /events`: `push` when one came, `change` when anything else did.
pub(super) async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = shared.store().subscribe();
    let newest = changes.borrow().newest;
    let hello = Event::default().event("hello").data("{}").retry(Duration::from_secs(2));
    let start = (shared, changes, newest, Some(hello));
    let stream = stream::unfold(start, |(shared, mut changes, newest, hello)| async move {
        if let Some(hello) = hello {
            return Some((Ok(hello), (shared, changes, newest, None)));
        }
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            () = shared.stopping() => return None,
        }
        let version = *changes.borrow_and_update();
        let kind = if version.newest > newest { "push" } else { "change" };
        let event = Event::default().event(kind).data(json!({"seq": version.newest}).to_string());
        // A burst is one event: what comes in this time is in the next.
        tokio::time::sleep(PACE).await;
        Some((Ok(event), (shared, changes, version.newest, None)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(SILENCE))
}
