//! Why a connection could not be opened.

use std::fmt;
use std::sync::Arc;

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {}", crate::Escaped(message))]
pub struct DialFailure {
    /// Where it failed.
    pub step: DialStep,
    /// What was wrong, where it was TLS that told.
    pub tls: Option<TlsCause>,
    /// What happened, for a person.
    pub message: Arc<str>,
    /// Whether trying again is pointless until a person acts.
    pub fatal: bool,
}

impl DialFailure {
    /// A failure that may be over the next time.
    #[must_use]
    pub fn passing(step: DialStep, message: impl Into<Arc<str>>) -> Self {
        Self { step, tls: None, message: message.into(), fatal: false }
    }

    /// One's own client certificate is not valid now. Fatal.
    #[must_use]
    pub fn identity(message: impl Into<Arc<str>>) -> Self {
        Self { step: DialStep::Identity, tls: None, message: message.into(), fatal: true }
    }

    /// A failure of the TLS handshake. Its step, and whether it is fatal, follow from the cause.
    ///
    /// ```
    /// use apns_proto::{DialFailure, DialStep, TlsCause};
    ///
    /// let failure = DialFailure::tls(TlsCause::ServerExpired, "expired on 1 May");
    /// assert_eq!((failure.step, failure.tls, failure.fatal), (DialStep::Tls, Some(TlsCause::ServerExpired), true));
    /// ```
    #[must_use]
    pub fn tls(cause: TlsCause, message: impl Into<Arc<str>>) -> Self {
        Self { step: cause.step(), tls: Some(cause), message: message.into(), fatal: cause.is_fatal() }
    }
}

/// The steps of opening a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialStep {
    /// Finding the addresses of a name.
    Resolve,
    /// Reaching one of them.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Looking at one's own client certificate: it has expired, or is not valid yet.
    Identity,
    /// The peer refused the client certificate.
    Certificate,
    /// The peer does not speak the protocol.
    Protocol,
}

impl fmt::Display for DialStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "cannot resolve the host name",
            Self::Connect => "cannot connect",
            Self::Tls => "the TLS handshake failed",
            Self::Identity => "the client certificate cannot be used",
            Self::Certificate => "the server refused the client certificate",
            Self::Protocol => "the server does not speak the protocol",
        })
    }
}

/// What was wrong with a TLS handshake, and with it who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsCause {
    /// No authority that is trusted vouches for the server: it is not the one that is meant, or its authority has to be
    /// given.
    UntrustedServer,
    /// The server's certificate has expired or is not valid yet; or this machine's clock is wrong.
    ServerExpired,
    /// The server's certificate is for another name.
    WrongName,
    /// The server wants a client certificate and was shown none.
    ClientMissing,
    /// The server refused the client certificate.
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
            Self::UntrustedServer
            | Self::ServerExpired
            | Self::WrongName
            | Self::ClientMissing
            | Self::ClientRefused
            | Self::NoCommonProtocol
            | Self::Settings => true,
            Self::Other => false,
        }
    }

    /// The step of opening a connection that it belongs to.
    #[must_use]
    pub const fn step(self) -> DialStep {
        match self {
            Self::ClientMissing | Self::ClientRefused => DialStep::Certificate,
            Self::NoCommonProtocol => DialStep::Protocol,
            Self::UntrustedServer | Self::ServerExpired | Self::WrongName | Self::Settings | Self::Other => {
                DialStep::Tls
            }
        }
    }
}

impl fmt::Display for TlsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UntrustedServer => "the server is not trusted",
            Self::ServerExpired => "the server's certificate is not valid now",
            Self::WrongName => "the server's certificate is for another name",
            Self::ClientMissing => "the server wants a client certificate",
            Self::ClientRefused => "the server refused the client certificate",
            Self::NoCommonProtocol => "the server does not speak the protocol",
            Self::Settings => "the TLS settings cannot be used",
            Self::Other => "the handshake failed",
        })
    }
}
