//! The management of broadcast channels.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::broadcast::{BundleId, ChannelId};
use super::request::Method;
use super::response::Response;
use crate::{ApnsId, Escaped, Rejection, TextError};

/// The largest body of a list of channels: an app has at most 10 000, so 1 MiB leaves a hundred bytes for each.
pub(super) const MAX_CHANNEL_LIST: usize = 1024 * 1024;

/// What a channel keeps for devices that are away. Fixed when the channel is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelStorage {
    /// 0: nothing; a higher publishing budget.
    Nothing,
    /// 1: the latest message, for at most eight hours.
    Latest,
}

impl ChannelStorage {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Latest => 1,
        }
    }
}

/// A request to the channel management service.
///
/// Source: Apple, "Sending channel management requests to APNs".
///
/// ```
/// use apns_proto::http2::{Authentication, BundleId, ChannelRequest, ChannelStorage, Requests, host};
///
/// let mut requests = Requests::new(host::CHANNELS_PRODUCTION, Authentication::Certificate);
/// let create = ChannelRequest::Create { storage: ChannelStorage::Latest };
/// let request = requests.channel(&create.of(BundleId::new("com.example.app")?), None);
/// assert_eq!(request.path, "/1/apps/com.example.app/channels");
/// assert_eq!(request.body, r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelRequest {
    /// Makes a channel. An app may have 10 000 in each environment.
    Create {
        /// What the channel keeps.
        storage: ChannelStorage,
    },
    /// Reads how a channel was made.
    Read(ChannelId),
    /// Deletes a channel for good. What it has stored is still delivered.
    Delete(ChannelId),
    /// Lists all channels of the app.
    List,
}

/// A [`ChannelRequest`] for the channels of one app, ready to be sent: [`ChannelRequest::of`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelCall {
    pub(super) bundle_id: BundleId,
    pub(super) request: ChannelRequest,
    pub(super) id: Option<ApnsId>,
}

impl ChannelCall {
    /// Sets the name of the request, which comes back in the answer. Default: none.
    #[must_use]
    pub const fn with_request_id(mut self, id: ApnsId) -> Self {
        self.id = Some(id);
        self
    }
}

impl ChannelRequest {
    /// For the channels of this app.
    #[must_use]
    pub const fn of(self, bundle_id: BundleId) -> ChannelCall {
        ChannelCall { bundle_id, request: self, id: None }
    }

    /// Reads the answer to this request.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Rejected`] when the service said no, the others when its answer makes no sense.
    pub fn answer(&self, response: Response) -> Result<ChannelAnswer, ChannelError> {
        if !response.is_success() {
            return Err(ChannelError::Rejected(response.into_rejection()));
        }
        match self {
            Self::Create { .. } => {
                let id = response.channel_id().ok_or(ChannelError::NoChannelId)?;
                Ok(ChannelAnswer::Created(ChannelId::new(id)?))
            }
            Self::Read(_) => {
                let read: Configuration = parse(response.body())?;
                Ok(ChannelAnswer::Channel {
                    storage: read.storage()?,
                    push_type: read.push_type.unwrap_or_else(|| PUSH_TYPE.to_owned()),
                })
            }
            Self::Delete(_) => Ok(ChannelAnswer::Deleted),
            Self::List => {
                let list: List = parse(response.body())?;
                let ids = list.channels.into_iter().map(ChannelId::new).collect::<Result<_, _>>()?;
                Ok(ChannelAnswer::Channels(ids))
            }
        }
    }

    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Create { .. } => Method::Post,
            Self::Read(_) | Self::List => Method::Get,
            Self::Delete(_) => Method::Delete,
        }
    }

    /// The last part of the path.
    pub(super) const fn collection(&self) -> &'static str {
        match self {
            Self::Create { .. } | Self::Read(_) | Self::Delete(_) => "channels",
            Self::List => "all-channels",
        }
    }

    pub(super) const fn channel(&self) -> Option<&ChannelId> {
        match self {
            Self::Read(channel) | Self::Delete(channel) => Some(channel),
            Self::Create { .. } | Self::List => None,
        }
    }

    pub(super) const fn body(&self) -> &'static Bytes {
        match self {
            Self::Create { storage: ChannelStorage::Nothing } => &CREATE_WITHOUT_STORAGE,
            Self::Create { storage: ChannelStorage::Latest } => &CREATE_WITH_STORAGE,
            Self::Read(_) | Self::Delete(_) | Self::List => &NO_BODY,
        }
    }
}

static CREATE_WITHOUT_STORAGE: Bytes =
    Bytes::from_static(br#"{"message-storage-policy":0,"push-type":"LiveActivity"}"#);
static CREATE_WITH_STORAGE: Bytes = Bytes::from_static(br#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#);
static NO_BODY: Bytes = Bytes::new();

/// The one push type that a channel may have, in the spelling of this part of the API.
const PUSH_TYPE: &str = "LiveActivity";

/// The answer to a [`ChannelRequest`] that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelAnswer {
    /// The new channel.
    Created(ChannelId),
    /// How the channel was made.
    Channel {
        /// What it keeps.
        storage: ChannelStorage,
        /// Its push type, as the service writes it.
        push_type: String,
    },
    /// The channel is gone.
    Deleted,
    /// All channels of the app.
    Channels(Vec<ChannelId>),
}

/// Why a [`ChannelRequest`] came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The service said no.
    #[error("the service refused: {} ({})", Escaped(.0.reason()), .0.status())]
    Rejected(Rejection),
    /// A channel was made, but the answer does not say which: list all channels to find it.
    #[error("the answer names no channel: list all channels to find the one that was made")]
    NoChannelId,
    /// The answer has a channel id that is none.
    #[error("in the answer, {0}")]
    ChannelId(#[from] TextError),
    /// The body is not the JSON that it should be, or was cut.
    #[error("the answer's body of {size} bytes is not the JSON that it should be")]
    Body {
        /// Its size.
        size: usize,
    },
    /// A storage policy that this version does not know.
    #[error("the answer has a storage policy that is neither 0 nor 1")]
    Storage,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ChannelError> {
    serde_json::from_slice(body).map_err(|_| ChannelError::Body { size: body.len() })
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "message-storage-policy")]
    storage: Value,
    #[serde(rename = "push-type", default)]
    push_type: Option<String>,
}

impl Configuration {
    /// A number by Apple's page; some senders write it as a text, so it may come back as one.
    fn storage(&self) -> Result<ChannelStorage, ChannelError> {
        let text = match &self.storage {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match text.as_str() {
            "0" => Ok(ChannelStorage::Nothing),
            "1" => Ok(ChannelStorage::Latest),
            _ => Err(ChannelError::Storage),
        }
    }
}

#[derive(Deserialize)]
struct List {
    channels: Vec<String>,
}
