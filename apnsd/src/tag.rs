//! A caller's own word for notifications that belong together.

use apns_proto::internal::{check_text, text_newtype};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

text_newtype! {
    /// A caller's own word for a notification, by which it is found again: a campaign, an order, a user. Many notifications may
    /// have the same one.
    ///
    /// Any printable text of at most [`MAX`](Self::MAX) bytes. Compared byte by byte.
    ///
    /// ```
    /// use apnsd::Tag;
    ///
    /// let tag: Tag = "tea-campaign".parse()?;
    /// assert_eq!(tag.as_str(), "tea-campaign");
    /// assert!("two\nlines".parse::<Tag>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Tag: "the tag", at most 64 bytes, |what, text: &str| {
        check_text(what, text, Self::MAX, |character| !character.is_control())
    };
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
