//! The push type: what the receiving system should do with a notification.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use crate::PayloadLimit;

/// The value of the `apns-push-type` header.
///
/// Source: Apple, "Sending notification requests to APNs", table of push types; `accessory` from the documentation of the
/// AccessoryNotifications framework.
///
/// Parsing takes every value of header-safe text, so that a type Apple adds tomorrow can be sent today:
///
/// ```
/// use apns_proto::PushType;
///
/// assert_eq!("voip".parse(), Ok(PushType::Voip));
/// let future: PushType = "hologram".parse()?;
/// assert_eq!(future.as_str(), "hologram");
/// # Ok::<(), apns_proto::PushTypeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PushType {
    /// Shows an alert, plays a sound or sets the badge.
    Alert,
    /// Wakes the app in the background and shows nothing. Priority 5 only.
    Background,
    /// Updates a watchOS complication.
    Complication,
    /// Reloads a control widget (iOS 18).
    Controls,
    /// Signals changes to a File Provider extension.
    FileProvider,
    /// Starts, updates or ends a Live Activity.
    LiveActivity,
    /// Asks a location push service extension for the location. Token authentication only.
    Location,
    /// Tells a managed device to contact its server.
    Mdm,
    /// Starts a Push to Talk session.
    PushToTalk,
    /// Announces a voice-over-IP call.
    Voip,
    /// Reloads a widget (iOS 26).
    Widgets,
    /// Forwards notifications to an accessory (iOS 26.5).
    Accessory,
    /// A type that this version does not know.
    Other(OtherPushType),
}

/// The types with a name of our own. `as_str` has their text.
const KNOWN: [PushType; 12] = [
    PushType::Alert,
    PushType::Background,
    PushType::Complication,
    PushType::Controls,
    PushType::FileProvider,
    PushType::LiveActivity,
    PushType::Location,
    PushType::Mdm,
    PushType::PushToTalk,
    PushType::Voip,
    PushType::Widgets,
    PushType::Accessory,
];

impl PushType {
    /// The value as it stands in the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self.text() {
            Ok(known) => known,
            Err(other) => other.as_str(),
        }
    }

    /// The text of a known type, which needs no copy, or the other type.
    pub(crate) const fn text(&self) -> Result<&'static str, &OtherPushType> {
        match self {
            Self::Alert => Ok("alert"),
            Self::Background => Ok("background"),
            Self::Complication => Ok("complication"),
            Self::Controls => Ok("controls"),
            Self::FileProvider => Ok("fileprovider"),
            Self::LiveActivity => Ok("liveactivity"),
            Self::Location => Ok("location"),
            Self::Mdm => Ok("mdm"),
            Self::PushToTalk => Ok("pushtotalk"),
            Self::Voip => Ok("voip"),
            Self::Widgets => Ok("widgets"),
            Self::Accessory => Ok("accessory"),
            Self::Other(other) => Err(other),
        }
    }

    /// What the topic carries behind the app's bundle id; empty for types that need nothing, and for unknown ones.
    ///
    /// The topic of [`Mdm`](Self::Mdm) is not a bundle id at all but the UID attribute of the push certificate's subject.
    #[must_use]
    pub const fn topic_suffix(&self) -> &'static str {
        match self {
            Self::Alert | Self::Background | Self::Mdm | Self::Other(_) => "",
            Self::Complication => ".complication",
            Self::Controls => ".push-type.controls",
            Self::FileProvider => ".pushkit.fileprovider",
            Self::LiveActivity => ".push-type.liveactivity",
            Self::Location => ".location-query",
            Self::PushToTalk => ".voip-ptt",
            Self::Voip => ".voip",
            Self::Widgets => ".push-type.widgets",
            Self::Accessory => ".push-type.accessory",
        }
    }

    /// The topic for an app: its bundle id with the suffix of this type. What already carries the suffix stays as it is.
    ///
    /// ```
    /// use apns_proto::PushType;
    ///
    /// assert_eq!(PushType::Voip.topic("com.example.app"), "com.example.app.voip");
    /// assert_eq!(PushType::Voip.topic("com.example.app.voip"), "com.example.app.voip");
    /// ```
    #[must_use]
    pub fn topic<'a>(&self, bundle_id: &'a str) -> Cow<'a, str> {
        let suffix = self.topic_suffix();
        if bundle_id.ends_with(suffix) { bundle_id.into() } else { format!("{bundle_id}{suffix}").into() }
    }

    /// The largest payload that the HTTP/2 provider API takes for this type: 5120 bytes for [`Voip`](Self::Voip), 4096 for
    /// all others.
    ///
    /// Source: Apple, "Generating a remote notification". A broadcast may have [`PayloadLimit::BROADCAST`] whatever its
    /// type, and the binary protocol has one limit for everything.
    #[must_use]
    pub const fn payload_limit(&self) -> PayloadLimit {
        match self {
            Self::Voip => PayloadLimit::VOIP,
            Self::Alert
            | Self::Background
            | Self::Complication
            | Self::Controls
            | Self::FileProvider
            | Self::LiveActivity
            | Self::Location
            | Self::Mdm
            | Self::PushToTalk
            | Self::Widgets
            | Self::Accessory
            | Self::Other(_) => PayloadLimit::HTTP2,
        }
    }
}

impl FromStr for PushType {
    type Err = PushTypeError;

    /// Known values are recognised in any case, because Apple's own pages print `Liveactivity` and `LiveActivity`; others
    /// are kept as they are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(known) = KNOWN.iter().find(|known| known.as_str().eq_ignore_ascii_case(text)) {
            return Ok(known.clone());
        }
        if text.is_empty() {
            return Err(PushTypeError::Empty);
        }
        if text.len() > OtherPushType::MAX_LEN {
            return Err(PushTypeError::TooLong { bytes: text.len() });
        }
        match text.chars().enumerate().find(|&(_, found)| !is_token_character(found)) {
            Some((position, found)) => Err(PushTypeError::UnexpectedCharacter { found, position }),
            None => Ok(Self::Other(OtherPushType(text.into()))),
        }
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

impl fmt::Display for PushType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text of a push type that this version does not know. Made by parsing a [`PushType`], so it is safe in a header and
/// never one of the known types in disguise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherPushType(Arc<str>);

impl OtherPushType {
    /// The longest text taken, in bytes. Apple's own are at most 12 long.
    pub const MAX_LEN: usize = 64;

    /// The text as it stands in the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be a push type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushTypeError {
    /// There is nothing in it.
    #[error("the push type is empty")]
    Empty,
    /// More than [`OtherPushType::MAX_LEN`] bytes.
    #[error("the push type has {bytes} bytes, at most {} are possible", OtherPushType::MAX_LEN)]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A character that may not stand in a header token.
    #[error("unexpected character {found:?} at position {position} of the push type")]
    UnexpectedCharacter {
        /// The character.
        found: char,
        /// How many characters stand before it.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_types_have_apples_names_suffixes_and_limits() {
        let table = [
            ("alert", PushType::Alert, "", 4096),
            ("background", PushType::Background, "", 4096),
            ("complication", PushType::Complication, ".complication", 4096),
            ("controls", PushType::Controls, ".push-type.controls", 4096),
            ("fileprovider", PushType::FileProvider, ".pushkit.fileprovider", 4096),
            ("liveactivity", PushType::LiveActivity, ".push-type.liveactivity", 4096),
            ("location", PushType::Location, ".location-query", 4096),
            ("mdm", PushType::Mdm, "", 4096),
            ("pushtotalk", PushType::PushToTalk, ".voip-ptt", 4096),
            ("voip", PushType::Voip, ".voip", 5120),
            ("widgets", PushType::Widgets, ".push-type.widgets", 4096),
            ("accessory", PushType::Accessory, ".push-type.accessory", 4096),
        ];
        assert_eq!(table.len(), KNOWN.len());
        for (text, push_type, suffix, limit) in table {
            assert_eq!(text.parse(), Ok(push_type.clone()));
            assert_eq!(text.to_uppercase().parse(), Ok(push_type.clone()));
            assert_eq!(push_type.as_str(), text);
            assert_eq!(push_type.to_string(), text);
            assert_eq!(push_type.topic_suffix(), suffix);
            assert_eq!(push_type.payload_limit().bytes(), limit);
        }
    }

    #[test]
    fn b105_the_suffix_is_added_once() {
        assert_eq!(PushType::Voip.topic("com.x"), "com.x.voip");
        assert_eq!(PushType::Voip.topic("com.x.voip"), "com.x.voip");
        assert_eq!(PushType::PushToTalk.topic("com.x"), "com.x.voip-ptt");
        assert_eq!(PushType::Alert.topic("com.x"), "com.x");
        assert_eq!(PushType::LiveActivity.topic("com.x"), "com.x.push-type.liveactivity");
        assert!(matches!(PushType::LiveActivity.topic("com.x.push-type.liveactivity"), Cow::Borrowed(_)));
    }

    #[test]
    fn future_types_are_kept_and_unsafe_text_is_refused() {
        let other: PushType = "x-Future.1".parse().unwrap();
        assert_eq!(other.as_str(), "x-Future.1");
        assert_eq!(other.topic_suffix(), "");
        assert_eq!(other.payload_limit(), PayloadLimit::HTTP2);
        assert_eq!("".parse::<PushType>(), Err(PushTypeError::Empty));
        assert_eq!("a\r\nb".parse::<PushType>(), Err(PushTypeError::UnexpectedCharacter { found: '\r', position: 1 }));
        assert_eq!("é".parse::<PushType>(), Err(PushTypeError::UnexpectedCharacter { found: 'é', position: 0 }));
        assert_eq!("a".repeat(65).parse::<PushType>(), Err(PushTypeError::TooLong { bytes: 65 }));
    }

    proptest! {
        #[test]
        fn what_parses_is_safe_in_a_header_and_parses_again(text in any::<String>()) {
            if let Ok(push_type) = text.parse::<PushType>() {
                prop_assert!(push_type.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(push_type.as_str().parse(), Ok(push_type.clone()));
            }
        }
    }
}
