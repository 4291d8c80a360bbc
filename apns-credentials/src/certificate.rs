//! One certificate and what it says about pushing.

use std::fmt;

use apns_proto::WallTime;
use apns_proto::internal::to_hex;
#[cfg(feature = "http2")]
use apns_proto::{
    Topic,
    http2::{CertificateTopics, TopicKind},
};
use ring::digest::{SHA256, digest};
use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{Decode as _, Encode as _, asn1::ObjectIdentifier},
    name::Name,
};

use crate::{
    error::{IdentityError, Part},
    extensions::Extensions,
    host_names::HostNames,
    material::Material,
    private_key,
    tlv::{self, Elements},
    validity::Validity,
};

/// The subject attribute that is the topic (`UID`, RFC 4519 section 2.39).
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
/// The SHA-256 digest of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

/// The environments a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateEnvironment {
    /// The development (sandbox) hosts only.
    Development,
    /// The production hosts only.
    Production,
    /// Both: the "Apple Push Services" certificates of today.
    Both,
}

impl CertificateEnvironment {
    /// Whether the production hosts accept it.
    #[must_use]
    pub const fn allows_production(self) -> bool {
        matches!(self, Self::Production | Self::Both)
    }

    /// Whether the development (sandbox) hosts accept it.
    #[must_use]
    pub const fn allows_development(self) -> bool {
        matches!(self, Self::Development | Self::Both)
    }
}

/// The public key of a certificate.
pub(crate) struct PublicKey {
    pub(crate) algorithm: ObjectIdentifier,
    pub(crate) curve: Option<ObjectIdentifier>,
    pub(crate) bits: Vec<u8>,
    /// `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub(crate) info: Vec<u8>,
}

/// An X.509 certificate that was read.
pub struct Certificate {
    der: Vec<u8>,
    subject: String,
    issuer: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    serial: String,
    fingerprint: Fingerprint,
    not_before: WallTime,
    not_after: WallTime,
    public_key: PublicKey,
    team_id: Option<String>,
    default_topic: Option<String>,
    topics: Vec<String>,
    /// The topics of its list, each with the word for its kind, which may be missing.
    listed: Vec<(String, String)>,
    environment: Option<CertificateEnvironment>,
    host_names: HostNames,
    is_authority: bool,
    signs_code: bool,
}

impl Certificate {
    /// Reads one certificate. What follows it is ignored: OpenSSL's "trusted" certificates have a list of uses there.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`] when it is not a certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let der = Elements::new(der)
            .next()
            .filter(|element| element.tag == tlv::SEQUENCE)
            .ok_or_else(|| IdentityError::malformed(Part::Certificate, "it is not DER, or cut off"))?
            .whole;
        // `Raw`: the checks of RFC 5280 are for those who issue or trust certificates, not for those who own one.
        let parsed = CertificateInner::<Raw>::from_der(der)
            .map_err(|error| IdentityError::malformed(Part::Certificate, error))?;
        let body = parsed.tbs_certificate();
        let mut extensions = Extensions::default();
        for extension in body.extensions().into_iter().flatten() {
            extensions.note(extension.extn_id, extension.extn_value.as_bytes());
        }

        let common_name = attribute(body.subject(), COMMON_NAME);
        let (known, named) = common_name.as_deref().map_or((None, None), by_common_name);
        // The UID of a certificate for signing code is a team or a person, and no topic.
        let uid = attribute(body.subject(), UID).filter(|uid| uid.contains('.'));
        let default_topic = uid.or_else(|| named.map(str::to_owned));
        let mut topics: Vec<_> = extensions.topics.iter().map(|(topic, _)| topic.clone()).collect();
        if topics.is_empty() {
            topics.extend(default_topic.clone());
        }
        let key = body.subject_public_key_info();
        Ok(Self {
            subject: text(body.subject()),
            issuer: text(body.issuer()),
            subject_der: encoded(body.subject())?,
            issuer_der: encoded(body.issuer())?,
            subject_key_id: extensions.subject_key_id,
            authority_key_id: extensions.authority_key_id,
            serial: to_hex(body.serial_number().as_bytes()),
            fingerprint: sha256(der),
            not_before: WallTime::from_secs(body.validity().not_before.to_unix_duration().as_secs()),
            not_after: WallTime::from_secs(body.validity().not_after.to_unix_duration().as_secs()),
            public_key: PublicKey {
                algorithm: key.algorithm.oid,
                curve: key.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok()),
                bits: key.subject_public_key.raw_bytes().to_vec(),
                info: key.to_der().map_err(|error| IdentityError::malformed(Part::Certificate, error))?,
            },
            team_id: attribute(body.subject(), ORGANIZATIONAL_UNIT).filter(|unit| is_team_id(unit)),
            default_topic,
            topics,
            listed: extensions.topics,
            environment: extensions.environment.or(known),
            host_names: extensions.host_names.unwrap_or_else(|| HostNames::common_name(common_name.as_deref())),
            is_authority: extensions.is_authority,
            signs_code: extensions.signs_code,
            der: der.to_vec(),
        })
    }

    /// Reads all certificates of a credential in any form that [`Identity`](crate::Identity) is read from, whatever keys
    /// are there or missing. There may be none.
    ///
    /// # Errors
    ///
    /// When it is no credential, is encrypted and the password does not open it, or when a certificate in it cannot be
    /// read.
    pub fn all_in(bytes: &[u8], password: Option<&str>) -> Result<Vec<Self>, IdentityError> {
        Ok(Material::read(bytes, password)?.certificates)
    }

    /// The certificate as it was read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject, for people (RFC 4514).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer, for people (RFC 4514).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial number in lower-case hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The SHA-256 digest of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The first second at which it is valid.
    #[must_use]
    pub const fn not_before(&self) -> WallTime {
        self.not_before
    }

    /// The last second at which it is valid.
    #[must_use]
    pub const fn not_after(&self) -> WallTime {
        self.not_after
    }

    /// How its dates stand to `now`.
    #[must_use]
    pub fn validity(&self, now: WallTime) -> Validity {
        Validity::judge(self.not_before, self.not_after, now)
    }

    /// The kind of its key, for people: `RSA with 2048 bits`, `ECDSA on P-256`, `Ed25519`, or the object identifier of
    /// another algorithm.
    #[must_use]
    pub fn key_kind(&self) -> String {
        private_key::kind(&self.public_key)
    }

    /// The id of the team that a push certificate was made for: the organizational unit of the subject where that looks
    /// like one, ten letters and digits.
    #[must_use]
    pub fn team_id(&self) -> Option<&str> {
        self.team_id.as_deref()
    }

    /// The topic that is meant when a notification names none: the subject's UID, or what follows the colon in the
    /// common name of a push certificate.
    #[must_use]
    pub fn default_topic(&self) -> Option<&str> {
        self.default_topic.as_deref()
    }

    /// The topics it may be used for, in the order in which it lists them (Apple's extensions 1.2.840.113635.100.6.3.6
    /// and 6.3.4); without a list, [`default_topic`](Self::default_topic). Empty when it says nothing.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The topics and their kinds, for the requests of the provider API.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn push_topics(&self) -> CertificateTopics {
        let topic = |text: &str| Topic::new(text).ok();
        let default = self.default_topic().filter(|name| name.contains('.')).and_then(topic);
        self.listed.iter().fold(CertificateTopics::new(default), |topics, (name, kind)| match topic(name) {
            Some(listed) => topics.with_listed(listed, TopicKind::of_word(kind)),
            None => topics,
        })
    }

    /// The environments it is for (Apple's extensions 1.2.840.113635.100.6.3.1 and 6.3.2, otherwise the common name);
    /// `None` when it says nothing, as those of private gateways do.
    #[must_use]
    pub const fn environment(&self) -> Option<CertificateEnvironment> {
        self.environment
    }

    /// Whether it lists its topics itself, in Apple's extensions. Then it is good for no other.
    #[must_use]
    pub const fn lists_topics(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Whether it is for signing code and not for TLS: the certificates that apps are distributed with.
    #[must_use]
    pub const fn signs_code(&self) -> bool {
        self.signs_code
    }

    /// Whether it may issue certificates.
    #[must_use]
    pub const fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// Whether it is for this host, a name or an address: by its subject alternative names, or by its common name
    /// where it has none.
    #[must_use]
    pub fn is_for_host(&self, host: &str) -> bool {
        self.host_names.include(host)
    }

    /// Its public key as `SubjectPublicKeyInfo`, in DER.
    #[must_use]
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key.info
    }

    /// Whether TLS here can sign with the other half of its key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::UnsupportedKey`] names the kind and the size.
    pub fn ensure_key_is_supported(&self) -> Result<(), IdentityError> {
        private_key::ensure_supported(&self.public_key)
    }

    /// Whether the owner of its key signed `message`. TLS libraries that read a certificate only as far as they would
    /// trust it need to be told of others.
    #[must_use]
    pub fn has_signed(&self, algorithm: &dyn SignatureVerificationAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let kind =
            Elements::inside(self.public_key_info(), tlv::SEQUENCE).and_then(|mut info| info.read(tlv::SEQUENCE));
        kind.is_some_and(|kind| kind == &*algorithm.public_key_alg_id())
            && algorithm.verify_signature(&self.public_key.bits, message, signature).is_ok()
    }

    pub(crate) const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// By name, and by key identifier where both sides have one: authorities renew their keys under the same name.
    pub(crate) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let keys_agree = match (&self.authority_key_id, &issuer.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            (Some(_) | None, None) | (None, Some(_)) => true,
        };
        self.issuer_der == issuer.subject_der && keys_agree
    }

    /// Whether `other` is this certificate issued again for the same use.
    pub(crate) fn is_same_use(&self, other: &Self) -> bool {
        self.subject_der == other.subject_der && self.environment == other.environment && self.topics == other.topics
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn is_team_id(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// What the common name of a push certificate gives away: the environment and the topic.
fn by_common_name(common_name: &str) -> (Option<CertificateEnvironment>, Option<&str>) {
    let Some((kind, topic)) = common_name.split_once(": ") else {
        return (None, None);
    };
    let environment = match kind {
        "Apple Push Services" => Some(CertificateEnvironment::Both),
        "Apple Development IOS Push Services"
        | "Apple Development Mac Push Services"
        | "Apple Sandbox Push Services" => Some(CertificateEnvironment::Development),
        "Apple Production IOS Push Services" | "Apple Production Mac Push Services" => {
            Some(CertificateEnvironment::Production)
        }
        "VoIP Services" | "WatchKit Services" | "Website Push ID" | "Pass Type ID" => None,
        _ => return (None, None),
    };
    (environment, Some(topic).filter(|topic| !topic.is_empty()))
}

/// The value of the last attribute of this kind: the most specific one.
fn attribute(name: &Name, wanted: ObjectIdentifier) -> Option<String> {
    name.iter()
        .filter(|attribute| attribute.oid == wanted)
        .filter_map(|attribute| {
            let element = attribute.value.to_der().ok()?;
            let element = Elements::new(&element).next()?;
            tlv::string(element.tag, element.value)
        })
        .last()
        .filter(|value| !value.is_empty())
}

/// For logs and messages: a name cannot smuggle line ends or terminal codes into them.
fn text(name: &Name) -> String {
    let mut out = String::new();
    for character in name.to_string().chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

fn encoded(name: &Name) -> Result<Vec<u8>, IdentityError> {
    name.to_der().map_err(|error| IdentityError::malformed(Part::Certificate, error))
}

fn sha256(der: &[u8]) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, der).as_ref());
    Fingerprint(bytes)
}
