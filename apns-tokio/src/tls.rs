//! TLS by rustls: whom to trust, whom to be, and what its errors mean.

use std::io;
use std::sync::Arc;

use apns_driver::Identity;
use apns_driver::identity::Certificate;
use apns_driver::tls::{Alert, Roots, TlsFailure, TlsSettings};
use apns_proto::End;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};

/// TLS settings in the form that rustls wants.
pub(crate) type Connector = Arc<ClientConfig>;

pub(crate) fn connector(settings: &TlsSettings) -> Result<Connector, TlsFailure> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFailure::settings(format!("rustls: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamingVerifier::new(&settings.roots, provider)?));
    let mut config = match &settings.identity {
        Some(identity) => {
            let (chain, key) = certificate(identity);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsFailure::settings(format!("the client certificate cannot be used: {error}")))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&settings.alpn);
    Ok(Arc::new(config))
}

fn certificate(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = identity.chain().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let key = PrivatePkcs8KeyDer::from(identity.private_key_der().to_vec());
    (chain, PrivateKeyDer::Pkcs8(key))
}

fn roots(roots: &Roots) -> Result<RootCertStore, TlsFailure> {
    let mut store = RootCertStore::empty();
    if roots.trusts_platform() {
        // What the system lists and rustls cannot read is left out; a store that ends up empty is an error below.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for der in roots.given() {
        store.add(CertificateDer::from(der.clone())).map_err(|error| {
            TlsFailure::settings(format!("a certificate authority that was given cannot be used: {error}"))
        })?;
    }
    if store.is_empty() {
        return Err(TlsFailure::settings(
            "this system has no certificate authorities: install them (on Debian: apt-get install ca-certificates) or give one",
        ));
    }
    Ok(store)
}

/// Verifies as rustls does, and says whose certificate it was that nobody vouches for.
#[derive(Debug)]
struct NamingVerifier(Arc<WebPkiServerVerifier>);

impl NamingVerifier {
    fn new(trusted: &Roots, provider: Arc<CryptoProvider>) -> Result<Self, TlsFailure> {
        let roots = Arc::new(roots(trusted)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| TlsFailure::settings(format!("the certificate authorities cannot be used: {error}")))?;
        Ok(Self(verifier))
    }
}

/// The issuer that nobody vouches for.
#[derive(Debug, thiserror::Error)]
#[error("its certificate was issued by \"{issuer}\"")]
struct UntrustedIssuer {
    issuer: String,
}

impl ServerCertVerifier for NamingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
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
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

pub(crate) async fn handshake(
    connector: &Connector,
    tcp: TcpStream,
    host: &str,
) -> Result<TlsStream<TcpStream>, TlsFailure> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| TlsFailure::settings(format!("{host:?} is neither a host name nor an address")))?;
    TlsConnector::from(connector.clone()).connect(name, tcp).await.map_err(|error| failure(host, &error))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn failure(host: &str, error: &io::Error) -> TlsFailure {
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
        ) => TlsFailure::expired(host, reason),
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => TlsFailure::untrusted(host, other),
        rustls::Error::InvalidCertificate(reason) => TlsFailure::untrusted(host, reason),
        rustls::Error::AlertReceived(alert) => TlsFailure::alert(host, Alert((*alert).into())),
        _ => TlsFailure::other(host, error),
    }
}

/// What a failed read says about how the peer's side ended.
pub(crate) fn end_of(error: &io::Error) -> End {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => Alert((*alert).into()).end(),
        _ => End::Cut,
    }
}
