//! Whom to trust, whom to be, and how a handshake fails.

use std::fmt;

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
}

/// Certificate authorities could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The text is not PEM.
    #[error("the certificate authorities are not in PEM form: {0}")]
    Pem(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it: a PEM file with -----BEGIN CERTIFICATE----- is expected")]
    Empty,
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, RootsError> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem)
        .map(|one| one.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| RootsError::Pem(error.to_string()))?;
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

/// Why TLS did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsFailure {
    /// Whose fault it is.
    pub cause: TlsCause,
    /// What happened and what to do, for a person.
    pub message: String,
}

/// Whose fault a failed handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsCause {
    /// No authority that is trusted vouches for the server, or its certificate is not valid now.
    UntrustedServer,
    /// The server's certificate is for another name.
    WrongName,
    /// The server refused the client certificate, or wants one.
    ClientRefused,
    /// The server does not speak the protocol that ALPN asked for.
    NoCommonProtocol,
    /// This side's settings cannot be used.
    Settings,
    /// Anything else: the network, or a peer that does not speak TLS.
    Other,
}

impl TlsCause {
    /// Whether trying again is pointless until a person acts.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::UntrustedServer | Self::WrongName | Self::ClientRefused | Self::NoCommonProtocol | Self::Settings => {
                true
            }
            Self::Other => false,
        }
    }
}

impl fmt::Display for TlsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UntrustedServer => "the server is not trusted",
            Self::WrongName => "the server's certificate is for another name",
            Self::ClientRefused => "the server refused the client certificate",
            Self::NoCommonProtocol => "the server does not speak the protocol",
            Self::Settings => "the TLS settings cannot be used",
            Self::Other => "the handshake failed",
        })
    }
}
