//! What callers may take up at a time, all together and each access token for itself; and answers to callers who are
//! still writing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use super::body::MediaType;
use super::problem::Problem;
use crate::config::Limits;
use crate::service::Service;

/// A connection beyond those that there are places for: it is there to ask after the health, and for nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    bodies: Arc<AtomicUsize>,
    /// By what is counted apart, and by the names of access tokens: as many as the configuration has.
    tokens: Mutex<BTreeMap<Counted, HashMap<String, Arc<Share>>>>,
}

/// What is counted together of one access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counted {
    /// The calls of all interfaces that are called.
    Calls,
    /// The requests of Apple's provider API, of which there are many at a time.
    ProviderApi,
}

/// What is under way with one access token.
#[derive(Debug, Default)]
struct Share {
    bodies: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
}

/// A part of what there is, given back when dropped.
#[derive(Debug)]
struct Held {
    of: Arc<AtomicUsize>,
    count: usize,
}

impl Held {
    fn new(of: Arc<AtomicUsize>) -> Self {
        Self { of, count: 0 }
    }

    /// Says whether there was so much more.
    fn take(&mut self, more: usize, limit: usize) -> bool {
        let taken = self.of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(more).filter(|sum| *sum <= limit)
        });
        if taken.is_ok() {
            self.count += more;
        }
        taken.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// How much of a body is thrown away at most, in sizes of the largest that is taken, so that its caller hears the answer.
const DRAINED: usize = 4;
/// And for how long.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

impl Shares {
    fn of(&self, counted: Counted, token: &str) -> Arc<Share> {
        let mut tokens = self.tokens.lock();
        let tokens = tokens.entry(counted).or_default();
        if let Some(share) = tokens.get(token) {
            return share.clone();
        }
        // Those of tokens that went away, where nothing is under way any more.
        tokens.retain(|_, share| Arc::strong_count(&share.requests) > 1);
        tokens.entry(token.to_owned()).or_default().clone()
    }
}

/// Bounds what callers of a router take up.
pub(crate) fn bounded(router: Router, service: Service, limits: Limits, counted: Counted) -> Router {
    router.layer(from_fn_with_state((service, limits, counted), bound))
}

async fn bound(
    State((service, limits, counted)): State<(Service, Limits, Counted)>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let health = matches!(path, "/healthz" | "/readyz");
    if request.extensions().get::<Spare>().is_some() && !health {
        return Problem::busy()
            .detail("all connections are taken; this one is for /healthz and /readyz")
            .retry_after(Duration::from_secs(1))
            .closing()
            .into_response();
    }
    let shares = service.shares();
    let token = super::token(request.headers());
    let caller = service.access().check(token.as_ref().map(|token| token.as_str())).ok();
    let share = caller.as_ref().and_then(|caller| caller.name()).map(|name| shares.of(counted, name));
    let mut held = Vec::new();
    if let Some(share) = share.as_ref().filter(|_| !health) {
        let stream = path.ends_with("/outcomes");
        for (what, of, limit) in [
            ("requests", Some(&share.requests), limits.token_requests),
            ("event streams", Some(&share.streams).filter(|_| stream), limits.token_streams),
        ] {
            let Some(of) = of else { continue };
            let mut one = Held::new(of.clone());
            if !one.take(1, limit) {
                return Problem::too_many()
                    .detail(format_args!("{what}: at most {limit} at a time"))
                    .retry_after(Duration::from_secs(1))
                    .closing()
                    .into_response();
            }
            held.push(one);
        }
    }
    let waits = request.headers().contains_key(header::EXPECT);
    let lines = MediaType::of(request.headers()).is_ok_and(|media| media == MediaType::JsonLines);
    let (parts, body) = request.into_parts();
    let (back, mut left) = tokio::sync::oneshot::channel();
    let body = CountedBody {
        inner: Some(body),
        back: Some(back),
        // What is read line by line is not kept.
        counts: (!lines).then(|| Counts {
            all: (Held::new(shares.bodies.clone()), limits.bodies),
            token: share.as_ref().map(|share| (Held::new(share.bodies.clone()), limits.token_bodies)),
        }),
        over: false,
    };
    // The bytes of a body count until its request is answered.
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if let Ok((body, counts)) = left.try_recv() {
        if !waits {
            drain(body, DRAINED * limits.body).await;
        }
        held.extend(counts.into_iter().flat_map(Counts::into_held));
    }
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(Holding { inner: body, _held: held }))
}

/// Throws away what is left of a body, up to a bound.
async fn drain(mut body: Body, most: usize) {
    let mut thrown_away = 0;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            thrown_away += frame.data_ref().map_or(0, Bytes::len);
            if thrown_away > most {
                break;
            }
        }
    };
    // The time being over is an end like the other.
    let _over = tokio::time::timeout(DRAINED_WITHIN, all).await;
}

/// The bytes of one body, among all and among those of its access token.
struct Counts {
    all: (Held, usize),
    token: Option<(Held, usize)>,
}

impl Counts {
    fn take(&mut self, more: usize) -> bool {
        let token = self.token.as_mut().is_none_or(|(held, limit)| held.take(more, *limit));
        token && self.all.0.take(more, self.all.1)
    }

    fn into_held(self) -> impl Iterator<Item = Held> {
        [Some(self.all.0), self.token.map(|(held, _)| held)].into_iter().flatten()
    }
}

type Left = (Body, Option<Counts>);

/// A body whose bytes are counted. What its reader leaves of it comes back, with what it holds.
struct CountedBody {
    inner: Option<Body>,
    back: Option<tokio::sync::oneshot::Sender<Left>>,
    counts: Option<Counts>,
    over: bool,
}

/// There is no room for more bytes of bodies.
#[derive(Debug)]
pub(super) struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many bytes of bodies are under way")
    }
}

impl std::error::Error for NoRoom {}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let more = frame.data_ref().map_or(0, Bytes::len);
                if self.counts.as_mut().is_some_and(|counts| !counts.take(more)) {
                    return Poll::Ready(Some(Err(axum::Error::new(NoRoom))));
                }
            }
            Poll::Ready(None | Some(Err(_))) => self.over = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(hyper::body::Body::size_hint).unwrap_or_default()
    }
}

/// The body of an answer. What its request holds is given back with its last byte.
struct Holding {
    inner: Body,
    _held: Vec<Held>,
}

impl hyper::body::Body for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    /// With it an answer without a body ends with its headers: some clients of HTTP/2 stumble over an empty frame.
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// With it an answer of known size is sent with its length and not in chunks.
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        if let (Some(inner), Some(back)) = (self.inner.take(), self.back.take()) {
            let inner = if self.over { Body::empty() } else { inner };
            // A request that was given up wants nothing back.
            drop(back.send((inner, self.counts.take())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let shares = Shares::default();
        let share = shares.of(Counted::Calls, "one");
        let mut held = Held::new(share.bodies.clone());
        assert!(held.take(60, 100) && held.take(40, 100) && !held.take(1, 100));
        let mut other = Held::new(shares.of(Counted::Calls, "one").bodies.clone());
        assert!(!other.take(1, 100), "it is the same token's");
        drop(held);
        assert!(other.take(100, 100));
        assert!(Held::new(shares.of(Counted::Calls, "two").bodies.clone()).take(100, 100));
        assert!(Held::new(shares.of(Counted::ProviderApi, "one").bodies.clone()).take(100, 100));
    }
}
