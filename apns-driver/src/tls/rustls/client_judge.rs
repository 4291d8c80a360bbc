//! Servers that judge a client's certificate themselves.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::{verify_tls12_signature, verify_tls13_signature};

/// Asks for a client certificate of any issuer, and has a function judge it. That the client has the key of the certificate
/// is verified.
pub struct ClientJudge<J> {
    provider: Arc<CryptoProvider>,
    judge: J,
}

impl<J> ClientJudge<J>
where
    J: Fn(&CertificateDer<'_>) -> Result<(), CertificateError> + Send + Sync + 'static,
{
    /// A verifier for [`with_client_cert_verifier`](rustls::ConfigBuilder::with_client_cert_verifier).
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>, judge: J) -> Arc<Self> {
        Arc::new(Self { provider, judge })
    }
}

impl<J> fmt::Debug for ClientJudge<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientJudge").finish_non_exhaustive()
    }
}

impl<J> ClientCertVerifier for ClientJudge<J>
where
    J: Fn(&CertificateDer<'_>) -> Result<(), CertificateError> + Send + Sync + 'static,
{
    /// Whatever certificate the client has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        (self.judge)(end_entity)?;
        Ok(ClientCertVerified::assertion())
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
