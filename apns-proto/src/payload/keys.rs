//! The keys of `aps`.

use std::{fmt, str::FromStr};

use super::PayloadError;

enum_with_texts! {
    /// How strongly an alert asks for attention (iOS 15). Source: Apple, "Generating a remote notification".
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum InterruptionLevel {
        /// Goes into the list without lighting the screen.
        Passive = "passive",
        /// Lights the screen and can play a sound. What the system takes when nothing is said.
        Active = "active",
        /// Breaks through Focus and summaries. Needs an entitlement.
        TimeSensitive = "time-sensitive",
        /// Breaks through the mute switch. Needs an entitlement that Apple grants one by one.
        Critical = "critical",
    }

    /// The value in the payload.
    fn as_str;
}

impl fmt::Display for InterruptionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InterruptionLevel {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|level| level.as_str() == text);
        known.ok_or(PayloadError::UnknownInterruptionLevel)
    }
}

enum_with_texts! {
    /// The keys of `aps` behind `alert`, in the order in which they are written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum ApsKey {
        Badge = "badge",
        Sound = "sound",
        ThreadId = "thread-id",
        Category = "category",
        ContentAvailable = "content-available",
        MutableContent = "mutable-content",
        TargetContentId = "target-content-id",
        InterruptionLevel = "interruption-level",
        RelevanceScore = "relevance-score",
        FilterCriteria = "filter-criteria",
        Timestamp = "timestamp",
        Event = "event",
        ContentState = "content-state",
        StaleDate = "stale-date",
        DismissalDate = "dismissal-date",
        AttributesType = "attributes-type",
        Attributes = "attributes",
        InputPushToken = "input-push-token",
        InputPushChannel = "input-push-channel",
        ContentChanged = "content-changed",
        EncryptedData = "encryptedData",
        SessionIdentifier = "sessionIdentifier",
        KeyId = "keyID",
        MessageIndex = "messageIndex",
        UrlArgs = "url-args",
    }

    fn as_str;
}

impl ApsKey {
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
