//! Broadcasts: one request for all devices that follow a channel (iOS 18, Live Activities only).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ApnsId, Expiration, Payload, Priority};

/// A Live Activity update for all devices that follow a channel.
///
/// Source: Apple, "Sending broadcast push notification requests to APNs".
///
/// ```
/// use apns_proto::Payload;
/// use apns_proto::http2::{Authentication, Broadcast, BundleId, ChannelId, Requests, host};
///
/// let broadcast = Broadcast::new(
///     BundleId::new("com.example.app")?,
///     ChannelId::new("dHN0LXNyY2gtY2hubA==")?,
///     Payload::from_json(r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{}}}"#)?,
/// );
/// let mut requests = Requests::new(host::PRODUCTION, Authentication::Certificate);
/// let request = requests.broadcast(&broadcast, None, apns_proto::WallTime::EPOCH)?;
/// assert_eq!(request.path, "/4/broadcasts/apps/com.example.app");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    bundle_id: BundleId,
    channel: ChannelId,
    payload: Payload,
    expiration: Expiration,
    priority: Priority,
    request_id: Option<ApnsId>,
}

impl Broadcast {
    /// A broadcast with nothing but what it must have.
    #[must_use]
    pub const fn new(bundle_id: BundleId, channel: ChannelId, payload: Payload) -> Self {
        Self {
            bundle_id,
            channel,
            payload,
            expiration: Expiration::Immediately,
            priority: Priority::Immediate,
            request_id: None,
        }
    }

    /// Sets how long the service keeps it for devices that are away. Default: not at all, which is all that a channel
    /// without storage allows; [`Expiration::Omitted`] means the same.
    #[must_use]
    pub const fn with_expiration(mut self, expiration: Expiration) -> Self {
        self.expiration = expiration;
        self
    }

    /// Sets the priority. Default: [`Priority::Immediate`], which counts against the app's budget;
    /// [`Priority::PowerSaving`] does not.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets an id that the answer repeats. Default: the service makes one.
    #[must_use]
    pub const fn with_request_id(mut self, id: ApnsId) -> Self {
        self.request_id = Some(id);
        self
    }

    pub(super) const fn set_expiration(&mut self, expiration: Expiration) {
        self.expiration = expiration;
    }

    /// The app.
    #[must_use]
    pub const fn bundle_id(&self) -> &BundleId {
        &self.bundle_id
    }

    /// The channel.
    #[must_use]
    pub const fn channel(&self) -> &ChannelId {
        &self.channel
    }

    /// What it carries.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How long the service keeps it.
    #[must_use]
    pub const fn expiration(&self) -> Expiration {
        self.expiration
    }

    /// The priority.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// The id that the answer repeats, if one was set.
    #[must_use]
    pub const fn request_id(&self) -> Option<ApnsId> {
        self.request_id
    }
}

/// The bundle id of an app, as it stands in a path: letters, digits, hyphens and dots, 1 to 255 bytes, without the suffix
/// of a push type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(Arc<str>);

impl BundleId {
    /// The longest bundle id, in bytes.
    pub const MAX: usize = 255;

    /// Checks the text.
    ///
    /// # Errors
    ///
    /// When the text is no bundle id, or has the suffix of a push type: the service answers that with TopicDisallowed.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, BundleIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(BundleIdError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(BundleIdError::TooLong { found: text.len() });
        }
        let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
        if let Some((position, found)) = text.chars().enumerate().find(|&(_, character)| !allowed(character)) {
            return Err(BundleIdError::Character { found, position });
        }
        if text.split('.').any(str::is_empty) {
            return Err(BundleIdError::EmptyPart);
        }
        if text.ends_with(SUFFIX) {
            return Err(BundleIdError::Suffix);
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What Live Activities have behind the bundle id in the topic of a push to one device.
const SUFFIX: &str = ".push-type.liveactivity";

/// Why a text is no bundle id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleIdError {
    /// There is nothing in it.
    #[error("the bundle id is empty")]
    Empty,
    /// More than [`BundleId::MAX`] bytes.
    #[error("the bundle id has {found} bytes, at most {} are possible", BundleId::MAX)]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// A character that has no place in a bundle id.
    #[error("unexpected character {found:?} at position {position} of the bundle id")]
    Character {
        /// The character.
        found: char,
        /// How many characters stand before it.
        position: usize,
    },
    /// A dot at the beginning or the end, or two in a row.
    #[error("a part of the bundle id is empty: a dot stands at an end, or beside another")]
    EmptyPart,
    /// The suffix `.push-type.liveactivity`.
    #[error("here the bundle id stands alone, without the suffix {SUFFIX}")]
    Suffix,
}

/// The name of a broadcast channel: base64 text that the service made. Opaque.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(Bytes);

impl ChannelId {
    /// The longest id taken, in bytes. Those of today have some 24.
    pub const MAX: usize = 1024;

    /// Checks the text.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or not made of base64 characters.
    pub fn new(text: impl Into<String>) -> Result<Self, ChannelIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ChannelIdError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(ChannelIdError::TooLong { found: text.len() });
        }
        let allowed = |character: char| character.is_ascii_alphanumeric() || "+/-_=".contains(character);
        match text.chars().enumerate().find(|&(_, character)| !allowed(character)) {
            Some((position, found)) => Err(ChannelIdError::Character { found, position }),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("`new` lets only ASCII through")
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// Why a text is no channel id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelIdError {
    /// There is nothing in it.
    #[error("the channel id is empty")]
    Empty,
    /// More than [`ChannelId::MAX`] bytes.
    #[error("the channel id has {found} bytes, at most {} are possible", ChannelId::MAX)]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// A character that is not one of base64.
    #[error("unexpected character {found:?} at position {position} of the channel id")]
    Character {
        /// The character.
        found: char,
        /// How many characters stand before it.
        position: usize,
    },
}

impl FromStr for BundleId {
    type Err = BundleIdError;

    fn from_str(text: &str) -> Result<Self, BundleIdError> {
        Self::new(text)
    }
}

impl FromStr for ChannelId {
    type Err = ChannelIdError;

    fn from_str(text: &str) -> Result<Self, ChannelIdError> {
        Self::new(text)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleId({self})")
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelId({self})")
    }
}
