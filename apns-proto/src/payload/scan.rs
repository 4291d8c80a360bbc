//! Reading a ready-made payload just far enough to know that it is one and what it is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::PayloadError;
use crate::PushType;

/// What in a payload's content tells its push type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Signs {
    /// `aps` is there as an object.
    pub(super) aps: bool,
    /// `alert`, `badge` or `sound`.
    pub(super) noticeable: bool,
    /// `content-available` that is on.
    pub(super) content_available: bool,
    /// Any other key in `aps`.
    pub(super) more: bool,
    /// `content-changed`.
    pub(super) content_changed: bool,
    /// `encryptedData`.
    pub(super) encrypted: bool,
    /// `event` is one of the three of Live Activities.
    pub(super) event: bool,
    /// `timestamp`.
    pub(super) timestamp: bool,
    /// `content-state`.
    pub(super) content_state: bool,
    /// Top level `mdm` as a text.
    pub(super) mdm: bool,
    /// Top level `container-identifier` as a text.
    pub(super) container: bool,
    /// Top level `domain` as a text.
    pub(super) domain: bool,
    /// Any other key at the top level.
    pub(super) own: bool,
}

impl Signs {
    /// The push type, where the content leaves no doubt.
    pub(super) fn push_type(self) -> Option<PushType> {
        if self.aps {
            if self.event && (self.timestamp || self.content_state) {
                Some(PushType::LiveActivity)
            } else if self.noticeable {
                Some(PushType::Alert)
            } else if self.content_available && !self.more {
                Some(PushType::Background)
            } else {
                None
            }
        } else if self.mdm && !self.container && !self.domain && !self.own {
            Some(PushType::Mdm)
        } else if self.container && self.domain && !self.mdm && !self.own {
            Some(PushType::FileProvider)
        } else {
            None
        }
    }

    /// Whether it wakes the app and shows nothing, as far as `aps` says. Other keys may mean that more is wanted.
    #[cfg(feature = "http2")]
    pub(super) const fn is_silent(self) -> bool {
        self.content_available && !self.noticeable && !self.content_changed && !self.encrypted && !self.event
    }

    /// Whether this key of [`PushType::required_keys`] is there.
    #[cfg(feature = "http2")]
    pub(super) fn has(self, key: &str) -> bool {
        match key {
            "aps.content-available" => self.content_available,
            "aps.content-changed" => self.content_changed,
            "aps.encryptedData" => self.encrypted,
            "aps.event" => self.event,
            "aps.timestamp" => self.timestamp,
            "container-identifier" => self.container,
            "domain" => self.domain,
            "mdm" => self.mdm,
            _ => false,
        }
    }
}

/// Checks that the text is one JSON object, and looks for signs. Keeps nothing of the content; linear in time.
pub(super) fn scan(text: &str) -> Result<Signs, PayloadError> {
    if text.is_empty() {
        return Err(PayloadError::Empty);
    }
    // serde_json's own words would quote the payload, so only the place is taken from its errors, and the two mistakes that
    // are not of syntax are found here.
    let syntax = |error: &serde_json::Error| PayloadError::InvalidJson {
        line: error.line(),
        column: error.column(),
        cut: error.is_eof(),
    };
    if !text.trim_start_matches(WHITE_SPACE).starts_with('{') {
        return match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(PayloadError::NotAnObject),
            Err(error) => Err(syntax(&error)),
        };
    }
    let Top { signs, aps_keys } = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    if aps_keys > 1 {
        return Err(PayloadError::DuplicateAps);
    }
    Ok(signs)
}

/// White space as JSON knows it (RFC 8259, section 2).
pub(super) const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Leaves the white space between the tokens of valid JSON out, and all else as it is.
#[must_use]
pub fn compact(json: &str) -> String {
    let mut in_text = false;
    let mut escaped = false;
    let kept = |character: &char| {
        if in_text {
            in_text = escaped || *character != '"';
            escaped = !escaped && *character == '\\';
            return true;
        }
        in_text = *character == '"';
        !WHITE_SPACE.contains(character)
    };
    json.chars().filter(kept).collect()
}

struct Top {
    signs: Signs,
    aps_keys: usize,
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut top = Top { signs: Signs::default(), aps_keys: 0 };
        let signs = &mut top.signs;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Aps => {
                    top.aps_keys += 1;
                    let raw: &RawValue = map.next_value()?;
                    if raw.get().starts_with('{') {
                        signs.aps = true;
                        look_into_aps(raw, signs);
                    } else {
                        signs.own = true;
                    }
                }
                Key::Mdm => note_text(map.next_value()?, &mut signs.mdm, &mut signs.own),
                Key::Container => note_text(map.next_value()?, &mut signs.container, &mut signs.own),
                Key::Domain => note_text(map.next_value()?, &mut signs.domain, &mut signs.own),
                Key::Noticeable
                | Key::ContentAvailable
                | Key::Event
                | Key::Timestamp
                | Key::ContentState
                | Key::ContentChanged
                | Key::Encrypted
                | Key::StartUpdateEnd
                | Key::Other => {
                    signs.own = true;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(top)
    }
}

fn note_text(raw: &RawValue, sign: &mut bool, otherwise: &mut bool) {
    *(if raw.get().starts_with('"') { sign } else { otherwise }) = true;
}

fn look_into_aps(aps: &RawValue, signs: &mut Signs) {
    /// Brings the signs to where serde lets values in.
    struct ApsVisitor(Signs);

    impl<'de> Visitor<'de> for ApsVisitor {
        type Value = Signs;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Signs, A::Error> {
            let mut signs = self.0;
            while let Some(key) = map.next_key::<Key>()? {
                let value = map.next_value::<&RawValue>()?.get();
                if value == "null" {
                    continue;
                }
                match key {
                    Key::Noticeable => signs.noticeable = true,
                    Key::ContentAvailable => signs.content_available |= !matches!(value, "0" | "false"),
                    Key::Event => {
                        signs.more = true;
                        signs.event |= matches!(serde_json::from_str::<Key>(value), Ok(Key::StartUpdateEnd));
                    }
                    Key::Timestamp => (signs.more, signs.timestamp) = (true, true),
                    Key::ContentState => (signs.more, signs.content_state) = (true, true),
                    Key::ContentChanged => {
                        signs.more = true;
                        signs.content_changed |= value != "false";
                    }
                    Key::Encrypted => (signs.more, signs.encrypted) = (true, true),
                    Key::Aps | Key::Mdm | Key::Container | Key::Domain | Key::StartUpdateEnd | Key::Other => {
                        signs.more = true;
                    }
                }
            }
            Ok(signs)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(aps.get());
    *signs = deserializer.deserialize_map(ApsVisitor(*signs)).expect("a raw value that starts as an object is one");
}

/// A key (or the value of `event`) as far as it matters here. Escapes are resolved before the comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Aps,
    Mdm,
    Container,
    Domain,
    Noticeable,
    ContentAvailable,
    Event,
    Timestamp,
    ContentState,
    ContentChanged,
    Encrypted,
    StartUpdateEnd,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Key, E> {
                Ok(match text {
                    b"aps" => Key::Aps,
                    b"mdm" => Key::Mdm,
                    b"container-identifier" => Key::Container,
                    b"domain" => Key::Domain,
                    b"alert" | b"badge" | b"sound" => Key::Noticeable,
                    b"content-available" => Key::ContentAvailable,
                    b"event" => Key::Event,
                    b"timestamp" => Key::Timestamp,
                    b"content-state" => Key::ContentState,
                    b"content-changed" => Key::ContentChanged,
                    b"encryptedData" => Key::Encrypted,
                    b"start" | b"update" | b"end" => Key::StartUpdateEnd,
                    _ => Key::Other,
                })
            }
        }

        // As bytes, because JSON allows a key with half of a surrogate pair, which is no text in Rust.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}
