//! The name of an app, as its callers know it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use apns_tokio::Environment;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name under which callers send for an app.
///
/// Any printable text of at most [`MAX`](Self::MAX) bytes: old clients chose theirs freely. Compared byte by byte.
///
/// ```
/// use apnsd::{AppName, AppNameError};
///
/// let name: AppName = "shop".parse()?;
/// assert_eq!(name.as_str(), "shop");
/// assert_eq!("".parse::<AppName>(), Err(AppNameError::Empty));
/// # Ok::<(), AppNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(Arc<str>);

/// Why a text cannot be the name of an app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppNameError {
    /// There is nothing in it.
    #[error("the name of an app is empty")]
    Empty,
    /// More than [`AppName::MAX`] bytes.
    #[error("the name of an app has {bytes} bytes, at most {} are possible", AppName::MAX)]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A character that cannot be printed.
    #[error("the name of an app has a control character at position {position}")]
    Control {
        /// How many characters stand before it.
        position: usize,
    },
}

impl AppName {
    /// The longest name, in bytes.
    pub const MAX: usize = 200;

    /// Checks the text.
    ///
    /// # Errors
    ///
    /// [`AppNameError`] says what is wrong with it.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, AppNameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(AppNameError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(AppNameError::TooLong { bytes: text.len() });
        }
        if let Some(position) = text.chars().position(char::is_control) {
            return Err(AppNameError::Control { position });
        }
        Ok(Self(text))
    }

    /// The name of the app's other half, where one name stands for an app in each environment: `shop:sandbox`.
    pub(crate) fn in_environment(&self, environment: Environment) -> Result<Self, AppNameError> {
        Self::new(format!("{self}:{}", environment.word()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        Self::new(text)
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppName({})", self.0)
    }
}

impl std::borrow::Borrow<str> for AppName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for AppName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AppName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
