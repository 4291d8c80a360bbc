//! The certificates that a simulator makes for itself and its clients.

use apns_proto::PushType;
use std::fmt;
use std::path::Path;
use std::{fs, io};

use apns_driver::files::replace_private;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::pki_types::CertificateDer;

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

/// An authority, a server certificate and a client certificate, all made afresh and good until 2049.
///
/// The client certificate looks like one of Apple's "Apple Push Services" certificates: the topic is the `UID` of the
/// subject, and Apple's extensions say that it is for both environments and list the topics.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) client: String,
    pub(crate) client_key: String,
    pub(crate) authority_der: CertificateDer<'static>,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

impl Certificates {
    /// Makes them, with `topics` in the client certificate; the first is that of the subject.
    pub(crate) fn generate(topics: &[String], server: ServerCertificate) -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut params = lasting(CertificateParams::default());
        params.distinguished_name = name(&[
            (DnType::CommonName, "Pretend Push Certification Authority"),
            (DnType::OrganizationName, "apns-sim"),
        ]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let server_key = KeyPair::generate()?;
        let names: Vec<String> = SERVER_NAMES.iter().map(ToString::to_string).collect();
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

        let client_key = KeyPair::generate()?;
        let client = client_params(topics).signed_by(&client_key, &issuer)?;

        Ok(Self {
            authority: authority.pem(),
            client: client.pem(),
            client_key: client_key.serialize_pem(),
            authority_der: authority.der().clone(),
            server: server.pem(),
            server_key: server_key.serialize_pem(),
        })
    }

    /// Writes `ca.pem`, `client.pem` and `client.key`.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("ca.pem"), &self.authority)?;
        fs::write(directory.join("client.pem"), &self.client)?;
        // A key is nobody else's business, not even that of a test.
        replace_private(&directory.join("client.key"), self.client_key.as_bytes()).map(drop)
    }
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
        let made = Certificates::generate(&topics, ServerCertificate::Good).unwrap();
        let identity = Identity::from_pem(made.client.as_bytes(), Some(made.client_key.as_bytes()), None).unwrap();
        assert_eq!(identity.default_topic(), Some("com.example.dev"));
        assert_eq!(identity.topics(), topics);
        assert_eq!(identity.environment(), Some(CertificateEnvironment::Both));
        assert!(!format!("{made:?}").contains("KEY"), "keeps the key to itself");
    }

    #[test]
    fn long_values_have_long_lengths() {
        assert_eq!(der(0x0c, b"a"), [0x0c, 1, b'a']);
        assert_eq!(der(0x0c, b""), [0x0c, 0]);
        assert_eq!(der(0x30, &[7; 200])[..4], [0x30, 0x81, 200, 7]);
        assert_eq!(der(0x30, &[7; 300])[..5], [0x30, 0x82, 1, 44, 7]);
    }
}
