//! The keys of `aps`.

use std::{fmt, str::FromStr};

use super::PayloadError;

/// How strongly an alert asks for attention (iOS 15). Source: Apple, "Generating a remote notification".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InterruptionLevel {
    /// Goes into the list without lighting the screen.
    Passive,
    /// Lights the screen and can play a sound. What the system takes when nothing is said.
    Active,
    /// Breaks through Focus and summaries. Needs an entitlement.
    TimeSensitive,
    /// Breaks through the mute switch. Needs an entitlement that Apple grants one by one.
    Critical,
}

impl InterruptionLevel {
    /// The value in the payload.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
            Self::TimeSensitive => "time-sensitive",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for InterruptionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InterruptionLevel {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Passive, Self::Active, Self::TimeSensitive, Self::Critical]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or(PayloadError::UnknownInterruptionLevel)
    }
}

/// The keys of `aps` behind `alert`, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ApsKey {
    Badge,
    Sound,
    ThreadId,
    Category,
    ContentAvailable,
    MutableContent,
    TargetContentId,
    InterruptionLevel,
    RelevanceScore,
    FilterCriteria,
    Timestamp,
    Event,
    ContentState,
    StaleDate,
    DismissalDate,
    AttributesType,
    Attributes,
    InputPushToken,
    InputPushChannel,
    ContentChanged,
    EncryptedData,
    SessionIdentifier,
    KeyId,
    MessageIndex,
    UrlArgs,
}

pub(super) const APS_KEYS: [ApsKey; 25] = [
    ApsKey::Badge,
    ApsKey::Sound,
    ApsKey::ThreadId,
    ApsKey::Category,
    ApsKey::ContentAvailable,
    ApsKey::MutableContent,
    ApsKey::TargetContentId,
    ApsKey::InterruptionLevel,
    ApsKey::RelevanceScore,
    ApsKey::FilterCriteria,
    ApsKey::Timestamp,
    ApsKey::Event,
    ApsKey::ContentState,
    ApsKey::StaleDate,
    ApsKey::DismissalDate,
    ApsKey::AttributesType,
    ApsKey::Attributes,
    ApsKey::InputPushToken,
    ApsKey::InputPushChannel,
    ApsKey::ContentChanged,
    ApsKey::EncryptedData,
    ApsKey::SessionIdentifier,
    ApsKey::KeyId,
    ApsKey::MessageIndex,
    ApsKey::UrlArgs,
];

impl ApsKey {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Badge => "badge",
            Self::Sound => "sound",
            Self::ThreadId => "thread-id",
            Self::Category => "category",
            Self::ContentAvailable => "content-available",
            Self::MutableContent => "mutable-content",
            Self::TargetContentId => "target-content-id",
            Self::InterruptionLevel => "interruption-level",
            Self::RelevanceScore => "relevance-score",
            Self::FilterCriteria => "filter-criteria",
            Self::Timestamp => "timestamp",
            Self::Event => "event",
            Self::ContentState => "content-state",
            Self::StaleDate => "stale-date",
            Self::DismissalDate => "dismissal-date",
            Self::AttributesType => "attributes-type",
            Self::Attributes => "attributes",
            Self::InputPushToken => "input-push-token",
            Self::InputPushChannel => "input-push-channel",
            Self::ContentChanged => "content-changed",
            Self::EncryptedData => "encryptedData",
            Self::SessionIdentifier => "sessionIdentifier",
            Self::KeyId => "keyID",
            Self::MessageIndex => "messageIndex",
            Self::UrlArgs => "url-args",
        }
    }

    /// Whether the key means something in a Live Activity only.
    pub(super) const fn needs_event(self) -> bool {
        matches!(
            self,
            Self::Timestamp
                | Self::ContentState
                | Self::StaleDate
                | Self::DismissalDate
                | Self::AttributesType
                | Self::Attributes
                | Self::InputPushToken
                | Self::InputPushChannel
        )
    }
}
