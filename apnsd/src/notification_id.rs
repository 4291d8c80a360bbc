//! The name of an accepted notification.

use std::fmt;
use std::str::FromStr;

use apns_proto::{ApnsId, ApnsIdError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a notification that was accepted: a UUID, chosen by the store.
///
/// It is sent as the `apns-id` where the caller set none, so that a copy that was sent again can be told from a new
/// notification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(ApnsId);

impl NotificationId {
    /// From the sixteen bytes of a UUID.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ApnsId::from_bytes(bytes))
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The same as an `apns-id`.
    #[must_use]
    pub const fn apns_id(self) -> ApnsId {
        self.0
    }
}

impl FromStr for NotificationId {
    type Err = ApnsIdError;

    fn from_str(text: &str) -> Result<Self, ApnsIdError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotificationId({})", self.0)
    }
}

impl Serialize for NotificationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NotificationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
