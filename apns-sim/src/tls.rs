//! TLS as the service does it.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

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
    /// A provider token only: certificates are not asked for.
    Token,
}

/// Whether a client shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Required,
    Welcome,
    Not,
}

/// What is needed to be a server.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    server: CertificateDer<'static>,
    server_key: PrivateKeyDer<'static>,
    /// The protocols that are offered. Empty: whatever the client offers is ignored.
    alpn: Vec<Vec<u8>>,
    usual: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(made: &Certificates, auth: ClientAuth, highest: TlsVersion) -> Result<Self, rustls::Error> {
        let asked = match auth {
            ClientAuth::Required => Asked::Required,
            ClientAuth::NotAsked => Asked::Not,
        };
        Self::with(made, asked, highest, Vec::new())
    }

    /// For the provider API, with these protocols by ALPN. A client that offers nothing is let in, one that offers
    /// something else is not.
    pub(crate) fn http2(
        made: &Certificates,
        auth: ProviderAuth,
        highest: TlsVersion,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, rustls::Error> {
        let asked = match auth {
            ProviderAuth::Either => Asked::Welcome,
            ProviderAuth::Certificate => Asked::Required,
            ProviderAuth::Token => Asked::Not,
        };
        Self::with(made, asked, highest, alpn)
    }

    fn with(made: &Certificates, asked: Asked, highest: TlsVersion, alpn: Vec<Vec<u8>>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let versions = highest.and_below();
        let verifier = match asked {
            Asked::Required | Asked::Welcome => {
                let mut roots = RootCertStore::empty();
                roots.add(made.authority_der.clone())?;
                let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
                if asked == Asked::Welcome {
                    builder = builder.allow_unauthenticated();
                }
                builder.build().map_err(|error| rustls::Error::General(error.to_string()))?
            }
            Asked::Not => WebPkiClientVerifier::no_client_auth(),
        };
        let (server, server_key) = (made.server_der.clone(), made.server_key.clone_key());
        let usual = config(&provider, versions, verifier, server.clone(), server_key.clone_key(), alpn.clone())?;
        Ok(Self { provider, versions, server, server_key, alpn, usual })
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
        let verifier = Arc::new(Refusing { provider: self.provider.clone(), reason });
        let (server, key) = (self.server.clone(), self.server_key.clone_key());
        config(&self.provider, self.versions, verifier, server, key, self.alpn.clone())
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    alpn: Vec<Vec<u8>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = alpn;
    Ok(Arc::new(config))
}

/// Wants a client certificate and refuses it.
#[derive(Debug)]
struct Refusing {
    provider: Arc<CryptoProvider>,
    reason: CertificateError,
}

impl ClientCertVerifier for Refusing {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(self.reason.clone().into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
