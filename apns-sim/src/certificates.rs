//! The certificates that a simulator makes for itself and its clients.

use apns_proto::PushType;
use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The topic in the client certificate, unless another is asked for.
pub(crate) const DEFAULT_TOPIC: &str = "com.example.app";

/// The names that the server certificate is good for: this machine's, and all that Apple's services have or had, for
/// rigs that point those at this machine.
const SERVER_NAMES: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "::1",
    "gateway.push.apple.com",
    "gateway.sandbox.push.apple.com",
    "feedback.push.apple.com",
    "feedback.sandbox.push.apple.com",
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
    "api-broadcast.push.apple.com",
    "api-broadcast.sandbox.push.apple.com",
    "api-manage-broadcast.push.apple.com",
    "api-manage-broadcast.sandbox.push.apple.com",
];

/// What is wrong with the dates of a server certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ServerCertificate {
    /// Nothing.
    #[default]
    Good,
    /// It expired in 2021.
    Expired,
    /// It is valid from 2048 on.
    NotYetValid,
}

/// The password of `client.p12`. It keeps nothing secret; some readers refuse a file without one.
pub(crate) const PKCS12_PASSWORD: &str = "apns-sim";

/// The topics of one of Apple's universal certificates for an app: its bundle id, and each of the suffixes that push types
/// have. Types that need a provider token are not among them. What has a suffix already stands for itself alone.
pub(crate) fn universal_topics(bundle_id: &str) -> Vec<String> {
    let suffixed = PushType::of_topic(bundle_id).is_some_and(|push_type| !push_type.topic_suffix().is_empty());
    if suffixed {
        return vec![bundle_id.to_owned()];
    }
    let suffixes = PushType::known().filter(|push_type| !TOKEN_ONLY.contains(&push_type.as_str()));
    let mut topics = vec![bundle_id.to_owned()];
    for push_type in suffixes {
        let topic = format!("{bundle_id}{}", push_type.topic_suffix());
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

/// Push types that are sent with a provider token alone: `location` by Apple's page, `liveactivity` by other libraries.
const TOKEN_ONLY: [&str; 2] = ["location", "liveactivity"];

/// Keys that stay from one simulator to the next.
pub(crate) struct Kept {
    pub(crate) authority: String,
    pub(crate) authority_key: String,
    /// None: a new one is made.
    pub(crate) client_key: Option<String>,
}

/// An authority, a server certificate and a client certificate, good until 2049.
///
/// The client certificate looks like one of Apple's "Apple Push Services" certificates: the topic is the `UID` of the
/// subject, and Apple's extensions say that it is for both environments and list the topics.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) authority_key: String,
    pub(crate) client: String,
    pub(crate) client_key: String,
    pub(crate) authority_der: CertificateDer<'static>,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

impl Certificates {
    /// Makes them, with `topics` in the client certificate; the first is that of the subject.
    pub(crate) fn generate(
        topics: &[String],
        server: ServerCertificate,
        server_names: &[String],
        kept: Option<&Kept>,
    ) -> Result<Self, rcgen::Error> {
        let authority_key = match kept {
            Some(kept) => KeyPair::from_pem(&kept.authority_key)?,
            None => KeyPair::generate()?,
        };
        let authority_key_pem = authority_key.serialize_pem();
        let mut params = lasting(CertificateParams::default());
        params.distinguished_name = name(&[
            (DnType::CommonName, "Pretend Push Certification Authority"),
            (DnType::OrganizationName, "apns-sim"),
        ]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (authority, authority_der) = match kept {
            Some(kept) => (kept.authority.clone(), certificate_in(&kept.authority)?),
            None => {
                let made = params.self_signed(&authority_key)?;
                (made.pem(), made.der().clone())
            }
        };
        let issuer = Issuer::new(params, authority_key);

        let server_key = KeyPair::generate()?;
        let names: Vec<String> =
            SERVER_NAMES.iter().map(ToString::to_string).chain(server_names.iter().cloned()).collect();
        let mut params = lasting(CertificateParams::new(names)?);
        match server {
            ServerCertificate::Good => {}
            ServerCertificate::Expired => params.not_after = date_time_ymd(2021, 1, 1),
            ServerCertificate::NotYetValid => params.not_before = date_time_ymd(2048, 1, 1),
        }
        params.distinguished_name = name(&[(DnType::CommonName, "localhost"), (DnType::OrganizationName, "apns-sim")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let server = params.signed_by(&server_key, &issuer)?;

        let client_key = match kept.and_then(|kept| kept.client_key.as_deref()) {
            Some(pem) => KeyPair::from_pem(pem)?,
            None => KeyPair::generate()?,
        };
        let client = client_params(topics).signed_by(&client_key, &issuer)?;

        Ok(Self {
            authority,
            authority_key: authority_key_pem,
            client: client.pem(),
            client_key: client_key.serialize_pem(),
            authority_der,
            server: server.pem(),
            server_key: server_key.serialize_pem(),
        })
    }

    /// The client certificate and its key in one file, behind [`PKCS12_PASSWORD`].
    pub(crate) fn pkcs12(&self) -> Result<Vec<u8>, Pkcs12Error> {
        use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

        let key = PrivateKeyDer::from_pem_slice(self.client_key.as_bytes())?;
        let client = CertificateDer::from_pem_slice(self.client.as_bytes())?;
        let chain = [Certificate::from_der(&client)?, Certificate::from_der(&self.authority_der)?];
        let chain = PrivateKeyChain::new("client", PrivateKey::from_der(key.secret_der())?, chain);
        let mut store = KeyStore::new();
        store.add_entry("client", KeyStoreEntry::PrivateKeyChain(chain));
        // As many as OpenSSL takes. There is nothing to guess here.
        Ok(store.writer(PKCS12_PASSWORD).encryption_iterations(2048).mac_iterations(2048).write()?)
    }
}

/// Why `client.p12` could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Pkcs12Error {
    #[error("{0}")]
    Pem(#[from] tokio_rustls::rustls::pki_types::pem::Error),
    #[error("{0}")]
    Write(#[from] p12_keystore::error::Error),
}

fn certificate_in(pem: &str) -> Result<CertificateDer<'static>, rcgen::Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| rcgen::Error::PemError(error.to_string()))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// Before 2050 a date has one form only, which every client reads.
fn lasting(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    params
}

fn name(attributes: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in attributes {
        name.push(kind.clone(), *value);
    }
    name
}

fn client_params(topics: &[String]) -> CertificateParams {
    let topic = topics.first().map_or(DEFAULT_TOPIC, String::as_str);
    let common_name = format!("Apple Push Services: {topic}");
    // `userId` (RFC 4519 section 2.39): where Apple's certificates have the topic.
    let user_id = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
    let mut params = lasting(CertificateParams::default());
    params.distinguished_name = name(&[
        (user_id, topic),
        (DnType::CommonName, &common_name),
        (DnType::OrganizationalUnitName, "ABCDE12345"),
        (DnType::OrganizationName, "apns-sim"),
        (DnType::CountryName, "US"),
    ]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // Apple's marks: development, production, and the list of topics with the kind of each.
    let null = vec![0x05, 0x00];
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&[1, 2, 840, 113_635, 100, 6, 3, 1], null.clone()),
        CustomExtension::from_oid_content(&[1, 2, 840, 113_635, 100, 6, 3, 2], null),
        CustomExtension::from_oid_content(&[1, 2, 840, 113_635, 100, 6, 3, 6], topic_list(topics)),
    ];
    params
}

/// A sequence of topics, each behind it a sequence with its kind.
fn topic_list(topics: &[String]) -> Vec<u8> {
    let mut inside = Vec::new();
    for topic in topics {
        let push_type = PushType::of_topic(topic).filter(|push_type| !push_type.topic_suffix().is_empty());
        let kind = push_type.as_ref().map_or("app", PushType::as_str);
        inside.extend(der(UTF8_STRING, topic.as_bytes()));
        inside.extend(der(SEQUENCE, &der(UTF8_STRING, kind.as_bytes())));
    }
    der(SEQUENCE, &inside)
}

const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;

/// Tag, length, value (X.690 section 8.1).
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match significant {
        [] => out.push(0),
        [short @ 0..=0x7f] => out.push(*short),
        // At most eight bytes: the size of a length in memory.
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use apns_driver::Identity;
    use apns_driver::apns_credentials::CertificateEnvironment;

    use super::*;

    #[test]
    fn the_client_certificate_looks_like_apples() {
        let topics = ["com.example.dev".to_owned(), "com.example.dev.voip".to_owned()];
        let made = Certificates::generate(&topics, ServerCertificate::Good, &[], None).unwrap();
        let identity = Identity::from_pem(made.client.as_bytes(), Some(made.client_key.as_bytes()), None).unwrap();
        assert_eq!(identity.default_topic(), Some("com.example.dev"));
        assert_eq!(identity.topics(), topics);
        assert_eq!(identity.environment(), Some(CertificateEnvironment::Both));
        assert!(!format!("{made:?}").contains("KEY"), "keeps the key to itself");
    }

    #[test]
    fn a_universal_certificate_is_for_all_types_but_those_that_need_a_token() {
        let topics = universal_topics("com.example.dev");
        assert_eq!(topics[0], "com.example.dev");
        for suffix in [".voip", ".complication", ".pushkit.fileprovider", ".voip-ptt"] {
            assert!(topics.contains(&format!("com.example.dev{suffix}")), "{topics:?}");
        }
        for suffix in [".location-query", ".push-type.liveactivity"] {
            assert!(!topics.contains(&format!("com.example.dev{suffix}")), "{topics:?}");
        }
        assert_eq!(universal_topics("com.example.dev.voip"), ["com.example.dev.voip"]);
        let made = Certificates::generate(&topics, ServerCertificate::Good, &[], None).unwrap();
        let identity = Identity::from_pem(made.client.as_bytes(), Some(made.client_key.as_bytes()), None).unwrap();
        assert_eq!((identity.default_topic(), identity.topics()), (Some("com.example.dev"), &topics[..]));
    }

    #[test]
    fn the_client_certificate_is_a_pkcs12_file_too() {
        let made = Certificates::generate(&["com.example.dev".to_owned()], ServerCertificate::Good, &[], None).unwrap();
        let file = made.pkcs12().unwrap();
        let identity = Identity::from_pkcs12(&file, PKCS12_PASSWORD).unwrap();
        assert_eq!(identity.default_topic(), Some("com.example.dev"));
        assert!(Identity::from_pkcs12(&file, "another").is_err());
    }

    #[test]
    fn long_values_have_long_lengths() {
        assert_eq!(der(0x0c, b"a"), [0x0c, 1, b'a']);
        assert_eq!(der(0x0c, b""), [0x0c, 0]);
        assert_eq!(der(0x30, &[7; 200])[..4], [0x30, 0x81, 200, 7]);
        assert_eq!(der(0x30, &[7; 300])[..5], [0x30, 0x82, 1, 44, 7]);
    }
}
