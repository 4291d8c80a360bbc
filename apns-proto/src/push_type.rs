//! The push type: what the receiving system should do with a notification.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use crate::{PayloadLimit, Priority};

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

/// What Apple says of one push type.
#[derive(Clone, Copy)]
struct Facts {
    /// The value of `apns-push-type`.
    word: &'static str,
    /// What the topic carries behind the bundle id.
    suffix: &'static str,
    /// How topics begin that are no bundle ids and have this type.
    prefixes: &'static [&'static str],
    limit: PayloadLimit,
    /// The only priority that the service takes.
    priority: Option<Priority>,
    /// The keys of the payload without which it means nothing.
    keys: &'static [&'static str],
    /// A client certificate cannot send it.
    token_only: bool,
}

/// What holds for most types, and for those that this version does not know.
const PLAIN: Facts = Facts {
    word: "",
    suffix: "",
    prefixes: &[],
    limit: PayloadLimit::HTTP2,
    priority: None,
    keys: &[],
    token_only: false,
};

/// Every type with a name of our own. All that this project knows about push types follows from this table.
///
/// Sources: Apple, "Sending notification requests to APNs" (words, suffixes, priorities, `location` by token only),
/// "Generating a remote notification" (limits), "Pushing background updates to your App", "Updating widgets with WidgetKit
/// push notifications", and the MDM protocol reference (keys). Pass type ids begin with `pass.`, website push ids with
/// `web.`; existing senders use `alert` for both.
static TABLE: [(PushType, Facts); 12] = [
    (PushType::Alert, Facts { word: "alert", prefixes: &["pass.", "web."], ..PLAIN }),
    (
        PushType::Background,
        Facts { word: "background", priority: Some(Priority::PowerSaving), keys: &["aps.content-available"], ..PLAIN },
    ),
    (PushType::Complication, Facts { word: "complication", suffix: ".complication", ..PLAIN }),
    (
        PushType::Controls,
        Facts { word: "controls", suffix: ".push-type.controls", keys: &["aps.content-changed"], ..PLAIN },
    ),
    (
        PushType::FileProvider,
        Facts {
            word: "fileprovider",
            suffix: ".pushkit.fileprovider",
            keys: &["container-identifier", "domain"],
            ..PLAIN
        },
    ),
    (
        PushType::LiveActivity,
        Facts {
            word: "liveactivity",
            suffix: ".push-type.liveactivity",
            keys: &["aps.timestamp", "aps.event"],
            ..PLAIN
        },
    ),
    (PushType::Location, Facts { word: "location", suffix: ".location-query", token_only: true, ..PLAIN }),
    (PushType::Mdm, Facts { word: "mdm", prefixes: &["com.apple.mgmt."], keys: &["mdm"], ..PLAIN }),
    (PushType::PushToTalk, Facts { word: "pushtotalk", suffix: ".voip-ptt", ..PLAIN }),
    (PushType::Voip, Facts { word: "voip", suffix: ".voip", limit: PayloadLimit::VOIP, ..PLAIN }),
    (
        PushType::Widgets,
        Facts { word: "widgets", suffix: ".push-type.widgets", keys: &["aps.content-changed"], ..PLAIN },
    ),
    (
        PushType::Accessory,
        Facts { word: "accessory", suffix: ".push-type.accessory", keys: &["aps.encryptedData"], ..PLAIN },
    ),
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
    pub(crate) fn text(&self) -> Result<&'static str, &OtherPushType> {
        match self {
            Self::Other(other) => Err(other),
            _ => Ok(self.facts().word),
        }
    }

    fn facts(&self) -> &'static Facts {
        TABLE.iter().find(|(known, _)| known == self).map_or(&PLAIN, |(_, facts)| facts)
    }

    /// All types with a name of their own here, in the order of their names.
    pub fn known() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(known, _)| known.clone())
    }

    /// The known type of this name, in any case.
    ///
    /// For names that people write: a slip of the pen is no new type. Parsing with [`FromStr`] takes the names of types
    /// that Apple may add, too.
    ///
    /// # Errors
    ///
    /// [`UnknownPushType`], which names the type that was probably meant.
    ///
    /// ```
    /// use apns_proto::PushType;
    ///
    /// assert_eq!(PushType::from_known("voip"), Ok(PushType::Voip));
    /// let error = PushType::from_known("alrt").unwrap_err();
    /// assert_eq!(error.similar, Some(PushType::Alert));
    /// ```
    pub fn from_known(text: &str) -> Result<Self, UnknownPushType> {
        match TABLE.iter().find(|(_, facts)| facts.word.eq_ignore_ascii_case(text)) {
            Some((known, _)) => Ok(known.clone()),
            None => Err(UnknownPushType { similar: similar(text) }),
        }
    }

    /// What the topic carries behind the app's bundle id; empty for types that need nothing, and for unknown ones.
    ///
    /// The topic of [`Mdm`](Self::Mdm) is not a bundle id at all but the UID attribute of the push certificate's subject.
    #[must_use]
    pub fn topic_suffix(&self) -> &'static str {
        self.facts().suffix
    }

    /// The type that a topic names by its suffix, or by how it begins: `com.apple.mgmt.` is a managed device, `pass.` a
    /// Wallet pass and `web.` a website. `None` for a plain bundle id.
    ///
    /// ```
    /// use apns_proto::PushType;
    ///
    /// assert_eq!(PushType::of_topic("com.example.app.voip-ptt"), Some(PushType::PushToTalk));
    /// assert_eq!(PushType::of_topic("com.apple.mgmt.External.1"), Some(PushType::Mdm));
    /// assert_eq!(PushType::of_topic("com.example.app"), None);
    /// ```
    #[must_use]
    pub fn of_topic(topic: &str) -> Option<Self> {
        let suffixed = |suffix: &str| !suffix.is_empty() && topic.len() > suffix.len() && topic.ends_with(suffix);
        let named = TABLE
            .iter()
            .find(|(_, facts)| facts.prefixes.iter().any(|prefix| topic.starts_with(prefix)) || suffixed(facts.suffix));
        named.map(|(known, _)| known.clone())
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
    pub fn payload_limit(&self) -> PayloadLimit {
        self.facts().limit
    }

    /// The only priority that the service takes for this type, where there is only one: 5 for
    /// [`Background`](Self::Background).
    #[must_use]
    pub fn forced_priority(&self) -> Option<Priority> {
        self.facts().priority
    }

    /// The keys of the payload without which a push of this type means nothing to a device: `mdm`, or `aps.event` for a
    /// key within `aps`. Empty for most types.
    #[must_use]
    pub fn required_keys(&self) -> &'static [&'static str] {
        self.facts().keys
    }

    /// Whether only a provider token can send it, and no certificate.
    #[must_use]
    pub fn needs_provider_token(&self) -> bool {
        self.facts().token_only
    }
}

/// The known type that a text probably means: one slip away from its name, or two in a long one.
fn similar(text: &str) -> Option<PushType> {
    let text = text.to_ascii_lowercase();
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    TABLE
        .iter()
        .map(|(known, facts)| (slips(&letters, facts.word), known, facts.word.len()))
        .filter(|(slips, _, length)| *slips <= if *length > 5 { 2 } else { 1 })
        .min_by_key(|(slips, ..)| *slips)
        .map(|(_, known, _)| known.clone())
}

/// How many characters have to be added, taken out or changed to make the one text of the other.
fn slips(one: &str, other: &str) -> usize {
    if one.len() > 2 * OtherPushType::LONGEST_KNOWN {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, found) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, wanted) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(found != wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

impl FromStr for PushType {
    type Err = PushTypeError;

    /// Known values are recognised in any case, because Apple's own pages print `Liveactivity` and `LiveActivity`; others
    /// are kept as they are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(known) = Self::from_known(text) {
            return Ok(known);
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

    /// The length of the longest name in the table.
    const LONGEST_KNOWN: usize = 12;

    /// The text as it stands in the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that names none of the known push types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("it is none of the known push types{}; those are {}", hint(self.similar.as_ref()), list())]
pub struct UnknownPushType {
    /// The one that was probably meant.
    pub similar: Option<PushType>,
}

fn hint(similar: Option<&PushType>) -> String {
    similar.map_or_else(String::new, |similar| format!(" (perhaps {similar}?)"))
}

fn list() -> String {
    TABLE.iter().map(|(_, facts)| facts.word).collect::<Vec<_>>().join(", ")
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
        assert_eq!(table.len(), TABLE.len());
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

    #[test]
    fn every_suffix_and_prefix_names_its_type() {
        for (known, facts) in &TABLE {
            assert!(facts.word.len() <= OtherPushType::LONGEST_KNOWN);
            if !facts.suffix.is_empty() {
                assert_eq!(PushType::of_topic(&format!("com.x{}", facts.suffix)), Some(known.clone()));
                assert_eq!(PushType::of_topic(facts.suffix), None, "there is no bundle id before it");
            }
            for prefix in facts.prefixes {
                assert_eq!(PushType::of_topic(&format!("{prefix}com.x")), Some(known.clone()));
            }
        }
        for plain in ["com.x", "com.x.voipp", "com.xvoip", "com.apple.mgmtx", "voip", ""] {
            assert_eq!(PushType::of_topic(plain), None, "{plain}");
        }
        assert_eq!(PushType::Background.forced_priority(), Some(Priority::PowerSaving));
        assert_eq!(PushType::known().filter(|known| known.forced_priority().is_some()).count(), 1);
        assert_eq!(PushType::known().filter(PushType::needs_provider_token).collect::<Vec<_>>(), [PushType::Location]);
    }

    #[test]
    fn a_slip_of_the_pen_is_no_new_type() {
        let similar = |text: &str| PushType::from_known(text).unwrap_err().similar;
        assert_eq!(similar("alrt"), Some(PushType::Alert));
        assert_eq!(similar("Alerts"), Some(PushType::Alert));
        assert_eq!(similar("live-activity"), Some(PushType::LiveActivity));
        assert_eq!(similar("backgroud"), Some(PushType::Background));
        assert_eq!(similar("push_to_talk"), Some(PushType::PushToTalk));
        assert_eq!(similar("voipp"), Some(PushType::Voip));
        for other in ["", "hologram", "x", &"a".repeat(100_000)] {
            assert_eq!(similar(other), None, "{}", other.len());
        }
        assert_eq!(PushType::from_known("LiveActivity"), Ok(PushType::LiveActivity));
        let error = PushType::from_known("alrt").unwrap_err().to_string();
        assert!(error.contains("perhaps alert?") && error.contains("pushtotalk"), "{error}");
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
