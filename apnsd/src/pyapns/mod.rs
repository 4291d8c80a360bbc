//! The interfaces of pyapns, for clients that are not to change: XML-RPC, and the REST interface of its later branch.
//!
//! Both keep nothing that matters: apps, notifications and feedback are the service's. What is here is how pyapns said
//! it, down to the byte where clients look at bytes.

mod config;
mod disconnections;
mod html;
mod json;
mod provisioning;
mod rest;
mod rpc;
mod xml;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::WallTime;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::config::PyapnsConfig;
use self::disconnections::Disconnections;
use crate::AppName;
use crate::access::Caller;
use crate::config::Limits;
use crate::http::body::next_part;
use crate::http::origin::{comes_from_another_site, names_loopback};
use crate::http::problem::Problem;
use crate::outbox::{Accepted, Cursor, GoneToken};
use crate::service::{Service, Submission, SubmitError};

/// Under which name what was read of the feedback is remembered, for both interfaces: with pyapns, too, a caller who asked
/// first had it.
const READER: &str = "pyapns";
/// The most device tokens in one answer; the next answer has the next ones.
const MOST_FEEDBACK: usize = 50_000;
/// How many are read at once.
const FEEDBACK_PAGE: usize = 1000;
/// How many notifications of one call are stored together.
const PART: usize = 5000;

/// How long a caller is held back while the outbox is full or the app's rate is used up. Clients gave up after 15 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a full outbox is asked anew, at least.
const ROOM_EVERY: Duration = Duration::from_millis(250);

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Pyapns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Service,
    limits: Limits,
    settings: PyapnsConfig,
    disconnections: Disconnections,
    /// Held while a new id is given a name, so that no other takes it meanwhile.
    naming: Mutex<()>,
}

/// A body that was not read to its end.
enum Unread {
    /// It is larger than is taken.
    TooLarge,
    /// It did not come.
    Broken(Problem),
}

/// Device tokens for a caller, and the place behind them.
struct Feedback {
    tokens: Vec<Gone>,
    upto: Cursor,
}

struct Gone {
    token: String,
    since: WallTime,
}

impl Pyapns {
    pub(crate) fn new(service: Service, limits: Limits, settings: PyapnsConfig) -> Self {
        let disconnections = Disconnections::default();
        Self(Arc::new(Shared { service, limits, settings, disconnections, naming: Mutex::new(()) }))
    }

    /// The way in of XML-RPC.
    pub(crate) fn rpc(&self) -> axum::Router {
        self.router(axum::Router::new().fallback(rpc::answer))
    }

    /// The way in of the REST interface.
    pub(crate) fn rest(&self) -> axum::Router {
        self.router(axum::Router::new().fallback(rest::answer))
    }

    fn router(&self, router: axum::Router<Self>) -> axum::Router {
        router.layer(axum::middleware::from_fn_with_state(self.clone(), no_browsers)).with_state(self.clone())
    }

    fn service(&self) -> &Service {
        &self.0.service
    }

    /// Who asks.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let token = crate::http::token(headers);
        self.service()
            .access()
            .check(token.as_ref().map(|token| token.as_str()))
            .map_err(|denied| Problem::unauthorized().detail(denied).closing())
    }

    async fn read_body(&self, mut body: Body) -> Result<Bytes, Unread> {
        let limits = &self.0.limits;
        let mut bytes = BytesMut::new();
        while let Some(part) = next_part(&mut body, limits).await.map_err(Unread::Broken)? {
            if bytes.len() + part.len() > limits.body {
                return Err(Unread::TooLarge);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    }

    /// Has notifications stored. A caller waits a while where there is no room: its clients do not ask again by
    /// themselves. A large call is stored in parts, so that it does not hold up everybody else; where the store fails
    /// between two of them, the first were taken.
    async fn submit(&self, app: &AppName, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
        // What no part of it would pass is said before any is taken.
        self.service().check(app, &submissions)?;
        let deadline = Instant::now() + PATIENCE;
        let mut accepted = Vec::with_capacity(submissions.len());
        // With a rate of its own, an app takes a call whole or not at all: a part would be in debt for the next.
        let part = if self.service().has_rate(app) { submissions.len().max(1) } else { PART };
        for part in submissions.chunks(part) {
            accepted.extend(self.submit_part(app, part, deadline).await?);
        }
        Ok(accepted)
    }

    async fn submit_part(
        &self,
        app: &AppName,
        part: &[Submission],
        deadline: Instant,
    ) -> Result<Vec<Accepted>, SubmitError> {
        loop {
            let error = match self.service().submit(app, part.to_vec()).await {
                Ok(accepted) => return Ok(accepted),
                Err(error) => error,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match &error {
                SubmitError::TooFast { wait } if *wait < left => tokio::time::sleep(*wait).await,
                SubmitError::Outbox(full) if full.is_full() && !left.is_zero() => {
                    self.service().room(left.min(ROOM_EVERY)).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Device tokens on which the app is gone and that were not told yet, oldest first.
    ///
    /// Tokens that the service does not know at all are not among them: Apple's feedback service never named those, and
    /// a client that deletes what it is told would lose all its tokens after one mistake with the environment.
    async fn feedback(&self, app: &AppName) -> Result<Feedback, SubmitError> {
        let mut feedback = Feedback { tokens: Vec::new(), upto: Cursor::default() };
        let mut page = self.service().feedback(app, READER, FEEDBACK_PAGE).await?;
        loop {
            let more = page.tokens.len() == FEEDBACK_PAGE;
            feedback.upto = page.next;
            feedback.tokens.extend(page.tokens.iter().filter_map(Gone::of));
            if !more || feedback.tokens.len() >= MOST_FEEDBACK {
                feedback.tokens = latest_of_each(feedback.tokens);
                return Ok(feedback);
            }
            page = self.service().invalid_tokens(app, &feedback.upto, WallTime::EPOCH, FEEDBACK_PAGE).await?;
        }
    }

    /// An answer whose last byte waits until it is kept that it was given. That the caller read it nobody here can know:
    /// what is on its way to one that hangs up just then counts as read. The JSON API has all of them still.
    fn clearing_answer(&self, app: AppName, content_type: &'static str, body: String, upto: Cursor) -> Response {
        let service = self.service().clone();
        let mut all = Bytes::from(body);
        let length = all.len();
        let last = all.split_off(length.saturating_sub(1));
        let mark = async move {
            match service.feedback_read(&app, READER, &upto).await {
                Ok(()) => Ok(last),
                Err(error) => Err(std::io::Error::other(error)),
            }
        };
        let parts = futures_util::StreamExt::chain(
            futures_util::stream::iter([Ok::<_, std::io::Error>(all)]),
            futures_util::stream::once(mark),
        );
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CONTENT_LENGTH, HeaderValue::from(length)),
        ];
        (headers, Body::from_stream(parts)).into_response()
    }
}

impl Gone {
    fn of(gone: &GoneToken) -> Option<Self> {
        gone.since.map(|since| Self { token: gone.token.to_hex(), since })
    }
}

/// Each token once, with what was found out last: several notifications may have found it gone.
fn latest_of_each(tokens: Vec<Gone>) -> Vec<Gone> {
    let mut seen = HashSet::new();
    let mut latest: Vec<Gone> = tokens.into_iter().rev().filter(|gone| seen.insert(gone.token.clone())).collect();
    latest.reverse();
    latest
}

/// No page in somebody's browser shall be able to send, or to clear what can be read once: it would name itself as the
/// origin, or the browser would say that the request comes from elsewhere. Where no token is needed, a name that is not
/// this machine's is refused as well.
async fn no_browsers(State(pyapns): State<Pyapns>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let open = pyapns.service().access().is_open();
    if open && (headers.contains_key(header::ORIGIN) || !names_loopback(headers)) {
        return Problem::wrong_host()
            .detail("without access tokens only requests to localhost are answered, and none from web pages")
            .closing()
            .into_response();
    }
    if comes_from_another_site(headers) {
        return Problem::foreign_page().closing().into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests;
