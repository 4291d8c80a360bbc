//! TLS as the service does it.

use std::sync::Arc;

use apns_driver::Identity;
use apns_driver::tls::TlsFailure;
use apns_driver::tls::rustls::{ClientJudge, certified_key};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::certificates::Certificates;
use crate::script::HandshakeFault;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2. The client learns inside the handshake whether its certificate is accepted.
    V1_2,
    /// TLS 1.3. The client learns only after its own handshake whether its certificate is accepted.
    #[default]
    V1_3,
}

impl TlsVersion {
    fn and_below(self) -> &'static [&'static SupportedProtocolVersion] {
        const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
        match self {
            Self::V1_2 => &BOTH[..1],
            Self::V1_3 => BOTH,
        }
    }
}

/// What a simulator makes of client certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// A client needs one that the simulator's own authority issued.
    #[default]
    Required,
    /// A client needs one. Who issued it, its dates, its version and its extensions do not matter, as with gateways
    /// that know their clients by their keys.
    Any,
    /// They are not asked for.
    NotAsked,
}

/// What the provider API takes as proof of who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ProviderAuth {
    /// A certificate of the simulator's own authority, or a provider token in each request.
    #[default]
    Either,
    /// A certificate only: without one there is no connection.
    Certificate,
    /// Any certificate, as [`ClientAuth::Any`] has it.
    AnyCertificate,
    /// A provider token only: certificates are not asked for.
    Token,
}

/// Whether a client shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Required,
    Welcome,
    Any,
    Not,
}

/// What is needed to be a server.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    server: Arc<CertifiedKey>,
    /// The protocols that are offered. Empty: whatever the client offers is ignored.
    alpn: Vec<Vec<u8>>,
    usual: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(
        made: &Certificates,
        server: &Identity,
        authorities: &[CertificateDer<'static>],
        auth: ClientAuth,
        highest: TlsVersion,
    ) -> Result<Self, TlsFailure> {
        let asked = match auth {
            ClientAuth::Required => Asked::Required,
            ClientAuth::Any => Asked::Any,
            ClientAuth::NotAsked => Asked::Not,
        };
        Self::with(made, server, authorities, asked, highest, Vec::new())
    }

    /// For the provider API, with these protocols by ALPN. A client that offers nothing is let in, one that offers
    /// something else is not.
    pub(crate) fn http2(
        made: &Certificates,
        server: &Identity,
        authorities: &[CertificateDer<'static>],
        auth: ProviderAuth,
        highest: TlsVersion,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, TlsFailure> {
        let asked = match auth {
            ProviderAuth::Either => Asked::Welcome,
            ProviderAuth::Certificate => Asked::Required,
            ProviderAuth::AnyCertificate => Asked::Any,
            ProviderAuth::Token => Asked::Not,
        };
        Self::with(made, server, authorities, asked, highest, alpn)
    }

    fn with(
        made: &Certificates,
        server: &Identity,
        authorities: &[CertificateDer<'static>],
        asked: Asked,
        highest: TlsVersion,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, TlsFailure> {
        let provider = Arc::new(ring::default_provider());
        let versions = highest.and_below();
        let verifier = match asked {
            Asked::Required | Asked::Welcome => {
                let mut roots = RootCertStore::empty();
                for authority in [&made.authority_der].into_iter().chain(authorities) {
                    roots.add(authority.clone()).map_err(|error| failure(&error))?;
                }
                let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
                if asked == Asked::Welcome {
                    builder = builder.allow_unauthenticated();
                }
                builder.build().map_err(|error| TlsFailure::settings(error.to_string()))?
            }
            Asked::Any => ClientJudge::new(provider.clone(), |_| Ok(())),
            Asked::Not => WebPkiClientVerifier::no_client_auth(),
        };
        let server = certified_key(server, &provider)?;
        let usual = config(&provider, versions, verifier, server.clone(), alpn.clone()).map_err(|e| failure(&e))?;
        Ok(Self { provider, versions, server, alpn, usual })
    }

    /// Whether it chooses a protocol by ALPN.
    pub(crate) fn expects_alpn(&self) -> bool {
        !self.alpn.is_empty()
    }

    pub(crate) fn usual(&self) -> Arc<ServerConfig> {
        self.usual.clone()
    }

    /// Refuses every client certificate.
    pub(crate) fn refusing(&self, fault: HandshakeFault) -> Result<Arc<ServerConfig>, rustls::Error> {
        let reason = match fault {
            HandshakeFault::RefuseRevoked => CertificateError::Revoked,
            HandshakeFault::RefuseExpired => CertificateError::Expired,
            HandshakeFault::RefuseUnknownAuthority => CertificateError::UnknownIssuer,
            HandshakeFault::RefuseClient | HandshakeFault::Never => CertificateError::BadEncoding,
        };
        let verifier = ClientJudge::new(self.provider.clone(), move |_| Err(reason.clone()));
        config(&self.provider, self.versions, verifier, self.server.clone(), self.alpn.clone())
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    server: Arc<CertifiedKey>,
    alpn: Vec<Vec<u8>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(server)));
    config.alpn_protocols = alpn;
    Ok(Arc::new(config))
}

fn failure(error: &rustls::Error) -> TlsFailure {
    TlsFailure::settings(apns_driver::tls::rustls::words(error))
}
