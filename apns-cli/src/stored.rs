//! Where a credential is kept: in a file, or in a variable of the environment itself.

use std::fmt;
use std::path::{Path, PathBuf};

use apns_credentials::disclosure::shown;
use apns_credentials::is_path;
use apnsd::config::Secret;
use serde::{Deserialize, Deserializer};

use crate::exit::Failure;
use crate::input::read_file;

/// A certificate or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In this file.
    File(PathBuf),
    /// In this variable.
    Variable {
        /// Its name.
        name: &'static str,
        /// What it holds: PEM, or base64.
        text: Secret,
    },
}

impl Stored {
    /// The value of a variable. What can be no path is the credential itself: systems that run containers hand out
    /// secrets so.
    pub(crate) fn in_variable(name: &'static str, value: String) -> Self {
        // A long path without a full stop looks like base64.
        let is_file = is_path(&value) || Path::new(&value).exists();
        if is_file { Self::File(value.into()) } else { Self::Variable { name, text: Secret::new(value) } }
    }

    /// The file that it is in.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Variable { .. } => None,
        }
    }

    /// Reads it, if it has no more than `limit` bytes.
    pub(crate) fn read(&self, limit: u64) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File(path) => read_file(path, limit),
            Self::Variable { name, text } if text.expose().len() as u64 > limit => {
                Err(Failure::TooLarge { name: format!("the variable {name}"), limit })
            }
            Self::Variable { text, .. } => Ok(text.expose().as_bytes().to_vec()),
        }
    }

    /// The same, with a relative path beginning in this folder.
    pub(crate) fn within(self, folder: Option<&Path>) -> Self {
        match (self, folder) {
            (Self::File(path), Some(folder)) => Self::File(folder.join(path)),
            (stored, _) => stored,
        }
    }
}

impl From<PathBuf> for Stored {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// For messages: where it is, and nothing of what is there.
impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => shown(path).fmt(f),
            Self::Variable { name, .. } => write!(f, "the variable {name}"),
        }
    }
}

/// A profile names files.
impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::deserialize(deserializer).map(Self::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_holds_a_path_or_the_credential_itself() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n";
        let base64 =
            "TUlHSEFnRUFNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQkcwd2F3SUJBUVFnZ25ySE5FRktOOTRyd0tBV0tEUWtGWkQxZ3V6TQ==";
        let folded = base64.replace("ZQ", "Z\nQ");
        for (value, file) in [
            ("AuthKey_ABCDE12345.p8", true),
            ("/run/secrets/apns key", true),
            (key, false),
            (base64, false),
            (&folded, false),
        ] {
            let stored = Stored::in_variable("APNS_P8", value.to_owned());
            assert_eq!(stored.path().is_some(), file, "{value}");
            assert!(file || stored.to_string() == "the variable APNS_P8");
            assert!(file || !format!("{stored:?}").contains(&value[30..]), "it is a secret");
        }
    }
}
