//! Broadcast channels: their management, and broadcasts to the devices that follow them (iOS 18, Live Activities only).
//!
//! The service has a server for each of the two: [`Http2Builder::channels`](crate::Http2Builder::channels) is for
//! [`Endpoint::channels`](crate::Endpoint::channels), [`Http2Builder::broadcasts`](crate::Http2Builder::broadcasts) for
//! [`Endpoint::provider_api`](crate::Endpoint::provider_api).
//!
//! ```
//! use apns_driver::{Client, Credentials, Endpoint, Environment, Runtime};
//! use apns_proto::Payload;
//! use apns_proto::http2::{Broadcast, BundleId, ChannelStorage};
//!
//! # type Error = Box<dyn std::error::Error>;
//! async fn kick_off<R: Runtime + Default>(credentials: Credentials, update: Payload) -> Result<(), Error> {
//!     let app = BundleId::new("com.example.app")?;
//!     let server = Endpoint::channels(Environment::Sandbox);
//!     let channels = Client::<R>::http2(server, credentials.clone()).channels(app.clone())?;
//!     let channel = channels.create(ChannelStorage::Latest).await?;
//!
//!     let server = Endpoint::provider_api(Environment::Sandbox);
//!     let broadcasts = Client::<R>::http2(server, credentials).broadcasts()?;
//!     let outcome = broadcasts.send(Broadcast::new(app, channel, update)).await;
//!     assert!(outcome.is_accepted());
//!     Ok(())
//! }
//! ```

use std::fmt;

use apns_proto::http2::{
    Broadcast, BundleId, ChannelAnswer, ChannelCall, ChannelError, ChannelId, ChannelRequest, ChannelStorage,
};
use apns_proto::{Escaped, NotSentCause, Outcome, Rejection, UnknownCause};

use crate::{Client, Events, Runtime};

/// Sends broadcasts to channels: a [`Client`] like that for notifications, with the same verbs and outcomes.
///
/// That the service took a broadcast is all that can be known: nobody learns who follows a channel. The
/// [`answer`](crate::Delivery::answer) to one is the `apns-request-id`.
pub type Broadcasts<R> = Client<R, Broadcast>;

/// Makes, reads, deletes and lists the broadcast channels of one app.
///
/// A cheap handle: clone it freely. All clones share one connection, which is opened when it is needed and closed after
/// a minute without a request. What the service is known not to have looked at is asked again; nothing else is sent twice,
/// unless the [`LossPolicy`](apns_proto::LossPolicy) wants it.
pub struct Channels<R: Runtime> {
    client: Client<R, ChannelCall>,
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
    pub(crate) const fn new(client: Client<R, ChannelCall>, bundle_id: BundleId) -> Self {
        Self { client, bundle_id }
    }

    /// Watches what happens to the connection from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.client.events()
    }

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
        let call = request.clone().of(self.bundle_id.clone());
        let delivery = self.client.submit(call).await.await;
        match (ChannelFailure::of(delivery.outcome), delivery.answer) {
            (None, Some(response)) => Ok(request.answer(*response)?),
            // None is accepted without an answer.
            (None, None) => Err(ChannelFailure::Unknown(UnknownCause::NoAnswer)),
            (Some(failure), _) => Err(failure),
        }
    }
}

/// [`ChannelRequest::answer`] gives each request an answer of its own kind.
fn unexpected(answer: &ChannelAnswer) -> ChannelFailure {
    unreachable!("the answer is read by the request: {answer:?}")
}

/// Why a request about channels came to nothing, and what is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelFailure {
    /// It did not leave, or the service did not look at it. It is safe to ask again once the reason is mended.
    #[error("the request was not sent: {0}")]
    NotSent(NotSentCause),
    /// It was sent, and nobody knows what became of it.
    #[error("it is not known what became of the request: {0}")]
    Unknown(UnknownCause),
    /// The service said no.
    #[error("the service refused: {} ({})", Escaped(.0.reason()), .0.status())]
    Rejected(Rejection),
    /// The service said yes, in an answer that makes no sense.
    #[error(transparent)]
    Answer(ChannelError),
}

impl ChannelFailure {
    /// What an outcome says that is no acceptance.
    #[must_use]
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Accepted { .. } => None,
            Outcome::Rejected(rejection) => Some(Self::Rejected(rejection)),
            Outcome::NotSent { cause } => Some(Self::NotSent(cause)),
            Outcome::Unknown { cause } => Some(Self::Unknown(cause)),
            // It expired before it could leave.
            _ => Some(Self::NotSent(NotSentCause::OutOfTime)),
        }
    }

    /// Whether the service may have done what was asked.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Answer(_) => true,
            Self::NotSent(_) | Self::Rejected(_) => false,
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

impl<R: Runtime> Clone for Channels<R> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), bundle_id: self.bundle_id.clone() }
    }
}

impl<R: Runtime> fmt::Debug for Channels<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("bundle_id", &self.bundle_id).finish_non_exhaustive()
    }
}
