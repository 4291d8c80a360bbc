//! Broadcast channels: their management, and broadcasts to the devices that follow them (iOS 18, Live Activities only).
//!
//! The service has a server for each of the two, and so [`connect`] ends in one of two handles: [`Channels`] for
//! [`Endpoint::channels`], [`Broadcasts`] for [`Endpoint::provider_api`].
//!
//! ```
//! use apns_driver::channels::connect;
//! use apns_driver::{Endpoint, Environment, Runtime};
//! use apns_proto::Payload;
//! use apns_proto::http2::{Broadcast, BundleId, ChannelStorage};
//!
//! # type Error = Box<dyn std::error::Error>;
//! async fn kick_off<R: Runtime>(credentials: apns_driver::Credentials, update: Payload) -> Result<(), Error> {
//!     let app = BundleId::new("com.example.app")?;
//!     let channels = connect::<R>(Endpoint::channels(Environment::Sandbox), credentials.clone()).channels(app.clone())?;
//!     let channel = channels.create(ChannelStorage::Latest).await?;
//!
//!     let broadcasts = connect::<R>(Endpoint::provider_api(Environment::Sandbox), credentials).broadcasts()?;
//!     broadcasts.send(Broadcast::new(app, channel, update)).await?;
//!     Ok(())
//! }
//! ```

mod task;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::Escaped;
use apns_proto::http2::{
    Ask, Broadcast, BundleId, ChannelAnswer, ChannelError, ChannelId, ChannelRequest, ChannelStorage, Config,
    Credential, Response,
};
use apns_proto::{ApnsId, CloseReason, DialFailure, InvalidNotification, Rejection, UnknownCause};
use futures_channel::{mpsc, oneshot};

use self::task::{Job, Task, run};
use crate::builder::BuildError;
use crate::dial::Target;
use crate::http2_builder::{HTTP2, provider_api};
use crate::tls::{Roots, TlsSettings};
use crate::{Credentials, Endpoint, Runtime};

/// How to reach one server. [`channels`](Self::channels) and [`broadcasts`](Self::broadcasts) end the chain.
#[derive(Debug, Clone)]
pub struct Connect<R> {
    runtime: R,
    endpoint: Endpoint,
    tls: TlsSettings,
    credential: Credential,
    config: Config,
    connect_timeout: Duration,
    patience: Duration,
}

/// Begins a handle for one server, with a provider token or a client certificate.
pub fn connect<R: Runtime>(endpoint: Endpoint, credentials: impl Into<Credentials>) -> Connect<R> {
    let (identity, credential) = credentials.into().into_parts();
    Connect {
        runtime: R::default(),
        endpoint,
        tls: TlsSettings { identity, alpn: vec![HTTP2.to_vec()], ..TlsSettings::default() },
        credential,
        config: Config::default(),
        connect_timeout: Duration::from_secs(10),
        patience: Duration::from_secs(30),
    }
}

impl<R: Runtime> Connect<R> {
    /// Whom to trust. Default: the certificate authorities of the operating system.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.tls.roots = roots;
        self
    }

    /// The time for one attempt to connect, from the name to the end of the handshake. Default: 10 s.
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a request may wait without a connection, attempts and back-off included. Default: 30 s.
    #[must_use]
    pub const fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// The time for one request on a connection, to its answer. Default: 30 s.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.config = self.config.with_request_timeout(limit);
        self
    }

    /// Everything that concerns one connection: deadlines, streams.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts a handle that manages the channels of one app. It connects when there is something to ask.
    ///
    /// # Errors
    ///
    /// When the client certificate has expired or is not valid yet, the host name cannot stand in a request, or the TLS
    /// settings cannot be used.
    ///
    /// # Panics
    ///
    /// Where the runtime panics when a task is spawned outside of it.
    pub fn channels(self, bundle_id: BundleId) -> Result<Channels<R>, BuildError> {
        Ok(Channels { service: self.start()?, bundle_id })
    }

    /// Starts a handle that sends broadcasts. It connects when there is something to send.
    ///
    /// # Errors
    ///
    /// As for [`channels`](Self::channels).
    ///
    /// # Panics
    ///
    /// As for [`channels`](Self::channels).
    pub fn broadcasts(self) -> Result<Broadcasts<R>, BuildError> {
        Ok(Broadcasts { service: self.start()? })
    }

    fn start(self) -> Result<Service<R>, BuildError> {
        let api = provider_api(&self.endpoint, self.credential, self.config)?;
        let target = Target::new(&self.runtime, self.endpoint, self.tls, Some(HTTP2), self.connect_timeout)?;
        let (inbox, jobs) = mpsc::channel(0);
        self.runtime.spawn(run(Task::new(self.runtime.clone(), api, target, self.patience, jobs)));
        Ok(Service { runtime: self.runtime, inbox })
    }
}

/// Where requests go in. When the last clone is dropped, the connection closes in the background.
struct Service<R> {
    runtime: R,
    inbox: mpsc::Sender<Job>,
}

impl<R: Clone> Clone for Service<R> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), inbox: self.inbox.clone() }
    }
}

impl<R: Runtime> Service<R> {
    async fn ask(&self, ask: Ask) -> Result<Response, ChannelFailure> {
        let (reply, answer) = oneshot::channel();
        let job = Job::new(ask, reply, self.runtime.now());
        let mut inbox = self.inbox.clone();
        poll_fn(|cx| inbox.poll_ready(cx)).await.map_err(|_| ChannelFailure::Closed)?;
        inbox.start_send(job).map_err(|_| ChannelFailure::Closed)?;
        // Dropped without an answer: the runtime threw the task away.
        answer.await.unwrap_or(Err(ChannelFailure::Closed))
    }
}

/// Makes, reads, deletes and lists the broadcast channels of one app.
///
/// A cheap handle: clone it freely. All clones share one connection, which is opened when it is needed and closed after
/// a minute without a request. What the service is known not to have looked at is asked once more on another
/// connection; nothing else is ever sent twice.
pub struct Channels<R> {
    service: Service<R>,
    bundle_id: BundleId,
}

/// How a channel was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// What it keeps for devices that are away.
    pub storage: ChannelStorage,
    /// Its push type, as the service writes it.
    pub push_type: String,
}

impl<R: Runtime> Channels<R> {
    /// The app.
    #[must_use]
    pub const fn bundle_id(&self) -> &BundleId {
        &self.bundle_id
    }

    /// Makes a channel. An app may have 10 000 in each environment.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`]. Where that [leaves it open](ChannelFailure::is_unknown), [`list`](Self::list) tells whether
    /// there is a channel more.
    pub async fn create(&self, storage: ChannelStorage) -> Result<ChannelId, ChannelFailure> {
        match self.ask(ChannelRequest::Create { storage }).await? {
            ChannelAnswer::Created(channel) => Ok(channel),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads how a channel was made.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`].
    pub async fn read(&self, channel: &ChannelId) -> Result<Channel, ChannelFailure> {
        match self.ask(ChannelRequest::Read(channel.clone())).await? {
            ChannelAnswer::Channel { storage, push_type } => Ok(Channel { storage, push_type }),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a channel for good.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`].
    pub async fn delete(&self, channel: &ChannelId) -> Result<(), ChannelFailure> {
        match self.ask(ChannelRequest::Delete(channel.clone())).await? {
            ChannelAnswer::Deleted => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Lists all channels of the app.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`].
    pub async fn list(&self) -> Result<Vec<ChannelId>, ChannelFailure> {
        match self.ask(ChannelRequest::List).await? {
            ChannelAnswer::Channels(channels) => Ok(channels),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, request: ChannelRequest) -> Result<ChannelAnswer, ChannelFailure> {
        let ask = Ask::Channel { bundle_id: self.bundle_id.clone(), request: request.clone(), id: None };
        let response = self.service.ask(ask).await?;
        Ok(request.answer(response)?)
    }
}

/// [`ChannelRequest::answer`] gives each request an answer of its own kind.
fn unexpected(answer: &ChannelAnswer) -> ChannelFailure {
    unreachable!("the answer is read by the request: {answer:?}")
}

/// Sends broadcasts to channels.
///
/// A handle like [`Channels`], for the server that takes pushes.
pub struct Broadcasts<R> {
    service: Service<R>,
}

/// A broadcast that the service took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The name of the request: the one that the broadcast was given, otherwise one that the service made.
    pub request_id: Option<ApnsId>,
}

impl<R: Runtime> Broadcasts<R> {
    /// Sends one. That the service took it is all that can be known: nobody learns who follows a channel.
    ///
    /// # Errors
    ///
    /// [`ChannelFailure`]. Where that [leaves it open](ChannelFailure::is_unknown), sending again may show it twice.
    pub async fn send(&self, broadcast: Broadcast) -> Result<Published, ChannelFailure> {
        // A span begins here, and not when there is a connection.
        let expires = broadcast.expiration().resolve(self.service.runtime.now().wall);
        let broadcast = broadcast.with_expiration(expires);
        let response = self.service.ask(Ask::Broadcast(broadcast)).await?;
        if response.is_success() {
            Ok(Published { request_id: response.request_id() })
        } else {
            Err(ChannelFailure::Rejected(response.into_rejection()))
        }
    }
}

/// Why a request about channels, or a broadcast, came to nothing: which step failed, and what is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelFailure {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialFailure),
    /// There was a connection, and it ended before the service looked at the request. It is safe to ask again once the
    /// reason is mended.
    #[error("the request was not processed: {0}")]
    Disconnected(CloseReason),
    /// The service is known not to have looked at it. It is safe to ask again.
    #[error("the request was not processed: {0}")]
    NotProcessed(Arc<str>),
    /// It was sent, and nobody knows what became of it.
    #[error("it is not known what became of the request: {0}")]
    Unknown(UnknownCause),
    /// No service would take it; it was not sent.
    #[error(transparent)]
    Invalid(#[from] InvalidNotification),
    /// The service said no.
    #[error("the service refused: {} ({})", Escaped(.0.reason()), .0.status())]
    Rejected(Rejection),
    /// The service said yes, in an answer that makes no sense.
    #[error(transparent)]
    Answer(ChannelError),
    /// The runtime has ended, and with it everything.
    #[error("the runtime was shut down")]
    Closed,
}

impl ChannelFailure {
    /// Whether the service may have done what was asked.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Answer(_) | Self::Closed => true,
            Self::Dial(_) | Self::Disconnected(_) | Self::NotProcessed(_) | Self::Invalid(_) | Self::Rejected(_) => {
                false
            }
        }
    }
}

impl From<ChannelError> for ChannelFailure {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Rejected(rejection) => Self::Rejected(rejection),
            other => Self::Answer(other),
        }
    }
}

impl<R: Clone> Clone for Channels<R> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), bundle_id: self.bundle_id.clone() }
    }
}

impl<R: Clone> Clone for Broadcasts<R> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone() }
    }
}

impl<R> fmt::Debug for Channels<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("bundle_id", &self.bundle_id).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Broadcasts<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcasts").finish_non_exhaustive()
    }
}
