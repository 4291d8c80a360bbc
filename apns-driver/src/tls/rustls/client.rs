//! The client's side of TLS by rustls, for every transport: whom to trust, whom to be, and what its errors mean.

use std::io;
use std::sync::Arc;

use apns_credentials::Certificate;
use apns_proto::{End, WallTime};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};

use super::{certified_key, verify_tls12_signature, verify_tls13_signature, what_is_wrong, words};
use crate::Alpn;
use crate::tls::{Alert, Roots, TlsFailure, TlsSettings};

/// What the TLS of a transport is made with.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Base {
    /// The cryptography of ring.
    #[default]
    Ring,
    /// The cryptography of another provider, such as aws-lc or one that is validated for FIPS 140.
    Provider(Arc<CryptoProvider>),
    /// A configuration of the application's own. It decides whom to trust and which versions and suites to offer; the
    /// protocols for ALPN, and the client's identity where there is one, are set by the client.
    Config(Arc<ClientConfig>),
}

impl Base {
    /// TLS settings in the form that rustls wants, made once for many connections.
    ///
    /// # Errors
    ///
    /// When roots or identity cannot be used.
    pub fn config(&self, settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsFailure> {
        match self {
            Self::Ring => with_provider(settings, &Arc::new(ring::default_provider())),
            Self::Provider(provider) => with_provider(settings, provider),
            Self::Config(own) => {
                let mut config = ClientConfig::clone(own);
                if let Some(identity) = &settings.identity {
                    let key = certified_key(identity, own.crypto_provider())?;
                    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
                }
                config.alpn_protocols.clone_from(&settings.alpn);
                Ok(Arc::new(config))
            }
        }
    }
}

fn with_provider(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, TlsFailure> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFailure::settings(format!("rustls: {}", words(&error))))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(&settings.roots, provider.clone())?));
    let mut config = match &settings.identity {
        // What the server makes of the certificate is its own business, so nothing of it is judged here. rustls would
        // read it as that of a peer, to see whether the key belongs to it, and that was seen when it was read.
        Some(identity) => {
            let key = certified_key(identity, provider)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&settings.alpn);
    Ok(Arc::new(config))
}

fn authorities(roots: &Roots) -> Result<RootCertStore, TlsFailure> {
    let mut store = RootCertStore::empty();
    if roots.trusts_platform() {
        // What the system lists and rustls cannot read is left out; a store that ends up empty is an error below.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for der in roots.given() {
        if let Err(error) = store.add(CertificateDer::from(der.clone())) {
            // It may still be that of a server, which is compared as it is.
            Certificate::from_der(der).map_err(|_| {
                let why = words(&error);
                TlsFailure::settings(format!("a certificate authority that was given cannot be used: {why}"))
            })?;
        }
    }
    if store.is_empty() && roots.given().is_empty() {
        return Err(TlsFailure::settings(
            "this system has no certificate authorities: install them (on Debian: apt-get install ca-certificates) or give one",
        ));
    }
    Ok(store)
}

/// Trusts a certificate that was given, verifies others as rustls does, and says whose certificate it was that nobody
/// vouches for.
#[derive(Debug)]
struct ServerVerifier {
    roots: Roots,
    /// `None` where no authority is trusted, only servers.
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn new(roots: &Roots, provider: Arc<CryptoProvider>) -> Result<Self, TlsFailure> {
        let authorities = authorities(roots)?;
        let chains = if authorities.is_empty() {
            None
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(authorities.into(), provider.clone()).build();
            Some(verifier.map_err(|error| {
                TlsFailure::settings(format!("the certificate authorities cannot be used: {error}"))
            })?)
        };
        Ok(Self { roots: roots.clone(), chains, provider })
    }
}

/// The issuer that nobody vouches for.
#[derive(Debug, thiserror::Error)]
#[error("its certificate was issued by \"{issuer}\"")]
struct UntrustedIssuer {
    issuer: String,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let host = server_name.to_str();
        match self.roots.judge_given(end_entity, &host, WallTime::from_secs(now.as_secs())) {
            Some(Ok(())) => return Ok(ServerCertVerified::assertion()),
            Some(Err(failure)) => return Err(CertificateError::Other(OtherError(Arc::new(failure))).into()),
            None => {}
        }
        let verdict = self.chains.as_ref().map_or(Err(CertificateError::UnknownIssuer.into()), |chains| {
            chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        match verdict {
            // A bad signature is that of another authority under a name that is trusted.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                let last = intermediates.last().unwrap_or(end_entity);
                let issuer = Certificate::from_der(last)
                    .map_or_else(|_| "(unreadable)".to_owned(), |read| read.issuer().to_owned());
                let error = OtherError(Arc::new(UntrustedIssuer { issuer }));
                Err(rustls::Error::InvalidCertificate(CertificateError::Other(error)))
            }
            verdict => verdict,
        }
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

/// The host in the form that rustls wants.
///
/// # Errors
///
/// When it is neither a name nor an address.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsFailure> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| TlsFailure::settings(format!("{host:?} is neither a host name nor an address")))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a handshake with this host failed.
#[must_use]
pub fn failure(host: &str, error: &io::Error) -> TlsFailure {
    let Some(known) = rustls_error(error) else { return TlsFailure::other(host, error) };
    match known {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsFailure::wrong_name(host),
        rustls::Error::InvalidCertificate(
            reason @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }),
        ) => TlsFailure::expired(host, what_is_wrong(reason)),
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<TlsFailure>()
        {
            Some(failure) => failure.clone(),
            None => TlsFailure::untrusted(host, other),
        },
        rustls::Error::InvalidCertificate(reason) => TlsFailure::untrusted(host, what_is_wrong(reason)),
        rustls::Error::AlertReceived(alert) => TlsFailure::alert(host, Alert((*alert).into())),
        other => TlsFailure::other(host, words(other)),
    }
}

/// The protocol that the server chose.
#[must_use]
pub fn alpn(connection: &ClientConnection) -> Alpn {
    connection.alpn_protocol().map_or(Alpn::None, |protocol| Alpn::Chosen(protocol.to_vec()))
}

/// What a failed read says about how the peer's side ended.
#[must_use]
pub fn end_of(error: &io::Error) -> End {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => Alert((*alert).into()).end(),
        _ => End::Cut,
    }
}
