//! TLS by rustls: whom to trust, whom to be, and what its errors mean.

use std::io;
use std::sync::Arc;

use apns_driver::Identity;
use apns_driver::identity::Certificate;
use apns_driver::tls::{Roots, TlsCause, TlsFailure, TlsSettings};
use apns_proto::End;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

/// TLS settings in the form that rustls wants.
pub(crate) type Connector = Arc<ClientConfig>;

pub(crate) fn connector(settings: &TlsSettings) -> Result<Connector, TlsFailure> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(format!("rustls: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamingVerifier::new(&settings.roots, provider)?));
    let mut config = match &settings.identity {
        Some(identity) => {
            let (chain, key) = certificate(identity);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(format!("the client certificate cannot be used: {error}")))?
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

fn unusable(message: String) -> TlsFailure {
    TlsFailure { cause: TlsCause::Settings, message }
}

fn roots(roots: &Roots) -> Result<RootCertStore, TlsFailure> {
    let mut store = RootCertStore::empty();
    let (platform, extra): (bool, &[Vec<u8>]) = match roots {
        Roots::Platform => (true, &[]),
        Roots::PlatformAnd(extra) => (true, extra),
        Roots::Only(only) => (false, only),
        _ => (true, &[]),
    };
    if platform {
        // What the system lists and rustls cannot read is left out; a store that ends up empty is an error below.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for der in extra {
        store
            .add(CertificateDer::from(der.clone()))
            .map_err(|error| unusable(format!("a certificate authority that was given cannot be used: {error}")))?;
    }
    if store.is_empty() {
        return Err(unusable(
            "this system has no certificate authorities: install them (on Debian: apt-get install ca-certificates) or give one"
                .to_owned(),
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
            .map_err(|error| unusable(format!("the certificate authorities cannot be used: {error}")))?;
        Ok(Self(verifier))
    }
}

/// The issuer that nobody vouches for.
#[derive(Debug, thiserror::Error)]
#[error("the issuer of the server's certificate, \"{issuer}\", is not trusted")]
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
        .map_err(|_| unusable(format!("{host:?} is neither a host name nor an address")))?;
    TlsConnector::from(connector.clone()).connect(name, tcp).await.map_err(|error| failure(host, &error))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn failure(host: &str, error: &io::Error) -> TlsFailure {
    let other = || TlsFailure { cause: TlsCause::Other, message: format!("{host}: {error}") };
    let Some(error) = rustls_error(error) else { return other() };
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsFailure {
            cause: TlsCause::WrongName,
            message: format!("the server's certificate is not for {host}: check the host name"),
        },
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => TlsFailure {
            cause: TlsCause::UntrustedServer,
            message: format!("{other}: give its certificate authority if you trust it"),
        },
        rustls::Error::InvalidCertificate(reason) => TlsFailure {
            cause: TlsCause::UntrustedServer,
            message: format!("the certificate of {host} is not valid: {reason:?}"),
        },
        rustls::Error::AlertReceived(alert) => match refusal(*alert) {
            Some(words) => TlsFailure { cause: TlsCause::ClientRefused, message: format!("{host}: {words}") },
            None if *alert == AlertDescription::NoApplicationProtocol => TlsFailure {
                cause: TlsCause::NoCommonProtocol,
                message: format!("{host} does not speak the protocol that was asked for"),
            },
            None => other(),
        },
        _ => other(),
    }
}

/// What an alert says about the client certificate, where it does.
fn refusal(alert: AlertDescription) -> Option<String> {
    let words = match alert {
        AlertDescription::CertificateRequired => "it demands a client certificate",
        AlertDescription::CertificateExpired => "it says that the client certificate has expired",
        AlertDescription::CertificateRevoked => "it says that the client certificate was revoked",
        AlertDescription::UnknownCA => "it does not know the issuer of the client certificate",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "it does not accept the client certificate",
        _ => return None,
    };
    Some(format!("{words} (TLS alert {alert:?})"))
}

/// What a failed read says about how the peer's side ended. With TLS 1.3 the verdict on the client certificate comes
/// after the handshake.
pub(crate) fn end_of(error: &io::Error) -> End {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => refusal(*alert).map_or(End::Cut, End::Refused),
        _ => End::Cut,
    }
}
