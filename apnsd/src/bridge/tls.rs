//! TLS as old clients can do it: 1.2 and 1.3, a client certificate that proves its key, no sessions.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use apns_driver::files::replace_private;
use apns_driver::tls::rustls::ClientJudge;
use parking_lot::RwLock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CertificateError, OtherError, ServerConfig};

use super::clients::{Admission, Admitted, UnknownClient};
use crate::listen::ServerCertificate;
use crate::service::Service;

/// Who may connect: clients whose certificate belongs to an app, regardless of its issuer and its dates.
#[derive(Debug)]
pub(super) struct KnownClients {
    service: Service,
    admission: RwLock<Arc<Admission>>,
}

impl KnownClients {
    pub(super) fn new(service: Service, admission: Admission) -> Self {
        Self { service, admission: RwLock::new(Arc::new(admission)) }
    }

    /// From now on these are let in.
    pub(super) fn replace(&self, admission: Admission) {
        *self.admission.write() = Arc::new(admission);
    }

    /// Whose certificate this is.
    pub(super) fn admit(&self, certificate: &CertificateDer<'_>) -> Result<Admitted, UnknownClient> {
        let admission = self.admission.read().clone();
        admission.admit(&self.service, certificate)
    }
}

/// The settings of both ports.
///
/// Sessions are not resumed: each connection shows its certificate, and what TLS 1.3 would send for later sessions is
/// something to read that old clients do not expect.
pub(super) fn settings(clients: Arc<KnownClients>, certificate: Arc<ServerCertificate>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let judge = ClientJudge::new(provider.clone(), move |certificate| match clients.admit(certificate) {
        Ok(_) => Ok(()),
        Err(unknown) => Err(CertificateError::Other(OtherError(Arc::new(unknown)))),
    });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both versions")
        .with_client_cert_verifier(judge)
        .with_cert_resolver(certificate);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// The names under which old clients know a gateway, for those that are pointed here by the name service.
const NAMES: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "::1",
    "gateway.push.apple.com",
    "gateway.sandbox.push.apple.com",
    "feedback.push.apple.com",
    "feedback.sandbox.push.apple.com",
];

const HOW_TO_TRUST: &str = "\
The bridge made these files for itself, because the configuration names no certificate.

ca.pem      what clients have to trust: give it to them as their authority
server.pem  the bridge's certificate
server.key  its key: nobody else's business

Python, PyAPNs and its forks     they check no server, so there is nothing to do
Node, apn                        new apn.Connection({ ca: [\"ca.pem\"], ... })
Java, java-apns                  keytool -importcert -alias bridge -file ca.pem -keystore truststore.jks, and
                                 -Djavax.net.ssl.trustStore=truststore.jks
OpenSSL, and most others         the option for an authority, or SSL_CERT_FILE=ca.pem

The key that signed server.pem was thrown away. To have everything made anew, say for other names, remove this folder.
The certificate is ECDSA on P-256. For clients that only know RSA make one yourself, and name it in [bridge]:

  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=NAME -addext subjectAltName=DNS:NAME \\
      -keyout server.key -out server.pem
";

/// Makes a certificate in this folder, with an authority to trust, unless there is one.
pub(super) fn own_certificate(folder: &Path, names: &[String]) -> io::Result<()> {
    if folder.join("server.pem").exists() && folder.join("server.key").exists() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let made = make(names).map_err(io::Error::other)?;
    fs::write(folder.join("README.txt"), HOW_TO_TRUST)?;
    fs::write(folder.join("ca.pem"), made.authority)?;
    replace_private(&folder.join("server.key"), made.key.as_bytes())?;
    // The last: where it is, the others are.
    fs::write(folder.join("server.pem"), made.certificate)
}

struct Made {
    authority: String,
    certificate: String,
    key: String,
}

fn make(names: &[String]) -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut params = lasting(CertificateParams::default(), "apnsd bridge authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let key = KeyPair::generate()?;
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned()).collect();
    let mut params = lasting(CertificateParams::new(names)?, "apnsd bridge");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Made { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Before 2050 a date has one form only, which every client reads.
fn lasting(mut params: CertificateParams, name: &str) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::CertificateFiles;

    #[test]
    fn the_own_certificate_is_made_once_and_its_key_is_nobody_elses_business() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("bridge-tls");
        own_certificate(&folder, &["push.example.com".to_owned()]).unwrap();
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let first = text("server.pem");
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        CertificateFiles { table: "bridge", certificate, key }.read().unwrap();
        assert!(text("ca.pem").starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(text("README.txt").contains("openssl req"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join("server.key"))), (0o700, 0o600));
        }
        own_certificate(&folder, &[]).unwrap();
        assert_eq!(text("server.pem"), first, "clients trust it by now");
    }
}
