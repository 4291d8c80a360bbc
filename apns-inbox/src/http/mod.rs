//! The inbox over HTTP: pages for people, the API for programs, and who may call.

mod events;
mod guard;
mod server;

use std::fmt;
use std::sync::Arc;

use apns_proto::WallTime;
use apns_proto::internal::from_hex;
use apns_sim::{Armed, Simulator, TokenPattern};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub(crate) use self::server::{Listener, Listening};
use crate::again::{Again, Credentials};
use crate::api::{self, Problem};
use crate::bad_day;
use crate::clock;
use crate::filter::{Filter, name_of};
use crate::names::Names;
use crate::page;
use crate::push::Push;
use crate::store::Store;

/// The largest body that is read: a script may be long.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) names: Names,
    /// Host names that are answered to, beside those of this machine.
    pub(crate) hosts: Vec<String>,
    /// The folder with the certificates, as it is shown.
    pub(crate) certs: String,
    /// The file of the signing key, as it is shown; none where it is with the certificates.
    pub(crate) signing_key: Option<String>,
    /// What a form has to bring, so that only forms of these pages count.
    pub(crate) secret: String,
    pub(crate) stop: watch::Receiver<bool>,
    /// When GOAWAY was said last.
    pub(crate) gone_away: Mutex<Option<WallTime>>,
    /// The file that the inbox is kept in, if there is one.
    pub(crate) file: Option<FileView>,
}

/// What is said of the file that the inbox is kept in.
pub(crate) struct FileView {
    pub(crate) path: String,
    /// Why the last write failed; `None` where it did not.
    pub(crate) trouble: watch::Receiver<Option<String>>,
}

impl Shared {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn simulator(&self) -> &Simulator {
        &self.0.simulator
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    /// The file that the inbox is kept in, and why it cannot be written now.
    pub(crate) fn file(&self) -> Option<(&str, Option<String>)> {
        let file = self.0.file.as_ref()?;
        Some((&file.path, file.trouble.borrow().clone()))
    }

    pub(crate) fn certs(&self) -> &str {
        &self.0.certs
    }

    /// The file of the signing key, as commands name it.
    pub(crate) fn signing_key(&self) -> String {
        let with_certificates = || format!("{}/AuthKey_{}.p8", self.certs(), self.simulator().key_id());
        self.0.signing_key.clone().unwrap_or_else(with_certificates)
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0.secret
    }

    pub(crate) fn keep(&self) -> usize {
        self.store().keep()
    }

    /// Does what takes a while (reading, judging, drawing what is kept) where no connection of the simulator waits for it.
    pub(crate) async fn work<T: Send + 'static>(&self, job: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let shared = self.clone();
        match tokio::task::spawn_blocking(move || job(&shared)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Ready once the inbox is to end.
    pub(crate) async fn stopping(&self) {
        // An error says that it has ended.
        let _ = self.0.stop.clone().wait_for(|stop| *stop).await;
    }

    pub(crate) fn fits(&self, filter: &Filter, push: &Push) -> bool {
        filter.fits(push, &|token| self.device_name(token))
    }

    /// What a device is called.
    pub(crate) fn device_name(&self, token: &str) -> Option<String> {
        let bytes = from_hex(token, |_| false).ok()?;
        let given = self.store().given_name(&bytes);
        name_of(self.names(), given.as_deref(), token)
    }

    /// The commands that send a push again.
    pub(crate) fn again(&self, push: &Push) -> Again {
        let simulator = self.simulator();
        let credentials = Credentials {
            http2_port: simulator.http2_address().port(),
            gateway_port: simulator.gateway_address().port(),
            certs: self.certs(),
            signing_key: &self.signing_key(),
            key_id: simulator.key_id(),
            team_id: simulator.team_id(),
        };
        Again::of(push, &credentials)
    }

    /// Has the service say GOAWAY on all connections.
    pub(crate) fn go_away(&self) {
        self.simulator().go_away(bad_day::go_away());
        *self.0.gone_away.lock() = Some(clock::now());
        self.store().changed();
    }

    /// When GOAWAY was said last.
    pub(crate) fn gone_away(&self) -> Option<WallTime> {
        *self.0.gone_away.lock()
    }

    /// Arms something for the next push.
    pub(crate) fn arm(&self, armed: Armed) -> Result<(), Problem> {
        let there = self.simulator().armed();
        if there.len() >= api::MAX_ARMED && there.iter().all(|one| one.token() != armed.token()) {
            return Err(Problem::too_many().detail("something is armed for 1000 devices"));
        }
        self.simulator().arm(armed);
        self.store().changed();
        Ok(())
    }

    /// What is armed for these device tokens and for no others.
    pub(crate) fn armed_for(&self, tokens: &str) -> Option<Armed> {
        let tokens: TokenPattern = tokens.parse().ok()?;
        self.simulator().armed().into_iter().find(|armed| *armed.token() == tokens)
    }

    pub(crate) fn disarm(&self, tokens: &TokenPattern) {
        self.simulator().disarm(tokens);
        self.store().changed();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("store", &self.0.store).finish_non_exhaustive()
    }
}

/// The way in.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .merge(page::routes())
        .merge(api::routes())
        .route("/events", get(events::events))
        .fallback(|| async { Problem::nothing_here() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

/// The body of a request, within its bound.
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = Bytes::from_request(request, state).await;
        read.map(Self).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(),
            _ => Problem::invalid().detail(rejection.body_text()),
        })
    }
}

/// Reads a body of JSON. That it has to say so keeps forms of other sites out: they cannot.
pub(crate) fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = said.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Problem::invalid().detail(format!("at {}: {}", error.path(), error.inner())))?;
    json.end().map_err(|error| Problem::invalid().detail(error))?;
    Ok(read)
}
