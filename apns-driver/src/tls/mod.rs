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

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = include_str!("../../../apns-credentials/tests/fixtures/root.cert.pem");
    const TRUSTED: &str = include_str!("../../../apns-credentials/tests/fixtures/universal.trusted.pem");

    #[test]
    fn authorities_are_read_by_the_reader_of_all_pem() {
        let one = Roots::only_pem(ROOT.as_bytes()).unwrap();
        for text in [
            ROOT.replace('\n', "\r\n"),
            ROOT.replace('\n', "\\n"),
            format!("\u{feff}# a comment\n{ROOT}"),
            format!("{ROOT}-----BEGIN X509 CRL-----\nAAEC\n-----END X509 CRL-----\n"),
        ] {
            assert_eq!(Roots::only_pem(text.as_bytes()), Ok(one.clone()), "{text}");
        }
        // As many as systems have, and OpenSSL's kind with a list of uses behind each.
        let many = Roots::only_pem(ROOT.repeat(300).as_bytes()).unwrap();
        assert_eq!(many.given().len(), 300);
        let trusted = Roots::only_pem(TRUSTED.as_bytes()).unwrap();
        let plain = include_bytes!("../../../apns-credentials/tests/fixtures/universal.cert.pem");
        assert_eq!(trusted, Roots::only_pem(plain).unwrap());
    }

    #[test]
    fn what_is_wrong_with_authorities_is_said_in_words() {
        let cut = Roots::only_pem(&ROOT.as_bytes()[..200]).unwrap_err().to_string();
        assert!(cut.contains("the block CERTIFICATE has no END line; it was cut off"), "{cut}");
        assert_eq!(Roots::only_pem(b"nothing of the kind"), Err(RootsError::Empty));
        let key = include_bytes!("../../../apns-credentials/tests/fixtures/universal.key.pem");
        assert_eq!(Roots::only_pem(key), Err(RootsError::Empty));
        let utf16: Vec<u8> = ROOT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(Roots::only_pem(&utf16), Err(RootsError::Encoding(EncodingError::Utf16)));
    }
}
