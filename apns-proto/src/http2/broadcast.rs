//! Broadcasts: one request for all devices that follow a channel (iOS 18, Live Activities only).

use crate::text::{TextError, check};
use crate::{ApnsId, Expiration, Payload, Priority, text_newtype};

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

text_newtype! {
    /// The bundle id of an app, as it stands in a path: letters, digits, hyphens and dots, 1 to 255 bytes, without the
    /// suffix of a push type, which the service answers with TopicDisallowed.
    pub struct BundleId: "the bundle id", at most 255 bytes, check_bundle_id;
}

/// What Live Activities have behind the bundle id in the topic of a push to one device.
const SUFFIX: &str = ".push-type.liveactivity";

fn check_bundle_id(what: &'static str, text: &str) -> Result<(), TextError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
    check(what, text, BundleId::MAX, allowed)?;
    if text.split('.').any(str::is_empty) {
        return Err(TextError::EmptyPart { what });
    }
    if text.ends_with(SUFFIX) {
        return Err(TextError::Suffix { what, suffix: SUFFIX });
    }
    Ok(())
}

text_newtype! {
    /// The name of a broadcast channel: base64 text that the service made, some 24 bytes today. Opaque.
    pub struct ChannelId: "the channel id", at most 1024 bytes, |what, text: &str| {
        check(what, text, Self::MAX, |character| character.is_ascii_alphanumeric() || "+/-_=".contains(character))
    };
}
