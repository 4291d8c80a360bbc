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

/// What is needed to be a server.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    server: CertificateDer<'static>,
    server_key: PrivateKeyDer<'static>,
    usual: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(made: &Certificates, auth: ClientAuth, highest: TlsVersion) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let versions = highest.and_below();
        let verifier = match auth {
            ClientAuth::Required => {
                let mut roots = RootCertStore::empty();
                roots.add(made.authority_der.clone())?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
                verifier.map_err(|error| rustls::Error::General(error.to_string()))?
            }
            ClientAuth::NotAsked => WebPkiClientVerifier::no_client_auth(),
        };
        let (server, server_key) = (made.server_der.clone(), made.server_key.clone_key());
        let usual = config(&provider, versions, verifier, server.clone(), server_key.clone_key())?;
        Ok(Self { provider, versions, server, server_key, usual })
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
        config(&self.provider, self.versions, verifier, self.server.clone(), self.server_key.clone_key())
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
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
