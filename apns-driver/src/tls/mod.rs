//! Whom to trust, whom to be, and how a handshake fails.

mod alert;
mod failure;
mod given;
#[cfg(feature = "rustls")]
pub mod rustls;

use apns_credentials::internal::authorities;
use apns_proto::encoding::{self, EncodingError};

pub use alert::Alert;
pub use apns_proto::TlsCause;
pub use failure::TlsFailure;

use crate::Identity;

/// The certificate authorities that may vouch for the server. The server is always verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Roots {
    /// Those of the operating system.
    #[default]
    Platform,
    /// Those of the operating system and these, as DER.
    PlatformAnd(Vec<Vec<u8>>),
    /// Only these, as DER.
    Only(Vec<Vec<u8>>),
}

impl Roots {
    /// Reads certificates from PEM text, to be trusted beside those of the operating system.
    ///
    /// # Errors
    ///
    /// When there is no certificate in it.
    pub fn platform_and_pem(pem: &[u8]) -> Result<Self, RootsError> {
        Ok(Self::PlatformAnd(certificates(pem)?))
    }

    /// Reads certificates from PEM text, to be trusted alone.
    ///
    /// # Errors
    ///
    /// When there is no certificate in it.
    pub fn only_pem(pem: &[u8]) -> Result<Self, RootsError> {
        Ok(Self::Only(certificates(pem)?))
    }

    /// Whether those of the operating system are trusted.
    #[must_use]
    pub const fn trusts_platform(&self) -> bool {
        match self {
            Self::Platform | Self::PlatformAnd(_) => true,
            Self::Only(_) => false,
        }
    }

    /// Those that were given, as DER.
    #[must_use]
    pub fn given(&self) -> &[Vec<u8>] {
        match self {
            Self::Platform => &[],
            Self::PlatformAnd(given) | Self::Only(given) => given,
        }
    }
}

/// Certificate authorities could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The text is in another encoding than UTF-8.
    #[error("the certificate authorities cannot be read: {0}")]
    Encoding(#[from] EncodingError),
    /// The text is not PEM, or damaged.
    #[error("the certificate authorities cannot be read: {0}")]
    Pem(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it: a PEM file with -----BEGIN CERTIFICATE----- is expected")]
    Empty,
}

fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, RootsError> {
    let found = authorities(encoding::skip_mark(text)?).map_err(|error| RootsError::Pem(error.to_string()))?;
    if found.is_empty() { Err(RootsError::Empty) } else { Ok(found) }
}

/// What a TLS library needs to know.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Whom to trust.
    pub roots: Roots,
    /// Whom to be.
    pub identity: Option<Identity>,
    /// What to offer by ALPN, best first.
    pub alpn: Vec<Vec<u8>>,
}
