//! The name of an app, as its callers know it.

use apns_proto::TextError;
use apns_proto::internal::{check_text, text_newtype};
use apns_tokio::Environment;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

text_newtype! {
    /// The name under which callers send for an app.
    ///
    /// Any printable text of at most [`MAX`](Self::MAX) bytes: old clients chose theirs freely. Compared byte by byte.
    ///
    /// ```
    /// use apnsd::AppName;
    ///
    /// let name: AppName = "shop".parse()?;
    /// assert_eq!(name.as_str(), "shop");
    /// assert!("".parse::<AppName>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct AppName: "the name of an app", at most 200 bytes, |what, text: &str| {
        check_text(what, text, Self::MAX, |character| !character.is_control())
    };
}

impl AppName {
    /// The name of the app's other half, where one name stands for an app in each environment: `shop:sandbox`.
    pub(crate) fn in_environment(&self, environment: Environment) -> Result<Self, TextError> {
        Self::new(format!("{self}:{}", environment.word()))
    }
}

impl std::borrow::Borrow<str> for AppName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for AppName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AppName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
