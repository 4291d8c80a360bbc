//! Why a connection could not be opened.

use std::fmt;
use std::sync::Arc;

use crate::proxy::{ProxyCause, ProxyFailure};

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {}", crate::Escaped(message))]
pub struct DialFailure {
    /// Where it failed.
    pub step: DialStep,
    /// What was wrong, where it was TLS that told: with the service, or with the proxy at [`DialStep::ProxyTls`].
    pub tls: Option<TlsCause>,
    /// What was wrong, where it was a proxy that told.
    pub proxy: Option<ProxyCause>,
    /// What happened, for a person.
    pub message: Arc<str>,
    /// Whether trying again is pointless until a person acts.
    pub fatal: bool,
}

impl DialFailure {
    /// A failure that may be over the next time.
    #[must_use]
    pub fn passing(step: DialStep, message: impl Into<Arc<str>>) -> Self {
        Self { step, tls: None, proxy: None, message: message.into(), fatal: false }
    }

    /// One's own client certificate is not valid now. Fatal.
    #[must_use]
    pub fn identity(message: impl Into<Arc<str>>) -> Self {
        Self { fatal: true, ..Self::passing(DialStep::Identity, message) }
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
        Self { tls: Some(cause), fatal: cause.is_fatal(), ..Self::passing(cause.step(), message) }
    }

    /// A failure of the TLS handshake with the proxy. What it says of a client certificate is about none that the service
    /// saw.
    #[must_use]
    pub fn proxy_tls(cause: TlsCause, message: impl Into<Arc<str>>) -> Self {
        Self { step: DialStep::ProxyTls, ..Self::tls(cause, message) }
    }

    /// A proxy that was reached opened no tunnel.
    ///
    /// ```
    /// use apns_proto::proxy::{ProxyCause, ProxyFailure};
    /// use apns_proto::{DialFailure, DialStep};
    ///
    /// let failure = ProxyFailure { cause: ProxyCause::Forbidden, message: "http://proxy:3128 answers 403".to_owned() };
    /// let failure = DialFailure::proxy(failure);
    /// assert_eq!((failure.step, failure.proxy, failure.fatal), (DialStep::Proxy, Some(ProxyCause::Forbidden), true));
    /// ```
    #[must_use]
    pub fn proxy(failure: ProxyFailure) -> Self {
        let ProxyFailure { cause, message } = failure;
        Self { proxy: Some(cause), fatal: cause.is_fatal(), ..Self::passing(DialStep::Proxy, message) }
    }
}

/// The steps of opening a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialStep {
    /// Finding the addresses of the proxy.
    ProxyResolve,
    /// Reaching one of them.
    ProxyConnect,
    /// The TLS handshake with the proxy.
    ProxyTls,
    /// Having the proxy open a tunnel to the service.
    Proxy,
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
            Self::ProxyResolve => "cannot resolve the proxy's host name",
            Self::ProxyConnect => "cannot connect to the proxy",
            Self::ProxyTls => "the TLS handshake with the proxy failed",
            Self::Proxy => "the proxy opened no tunnel",
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
