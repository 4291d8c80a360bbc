//! What the extensions of a certificate say that matters here.

use x509_cert::der::asn1::ObjectIdentifier;

use crate::{
    certificate::CertificateEnvironment,
    host_names::HostNames,
    tlv::{self, Elements},
};

const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// Uses of a key (RFC 5280 section 4.2.1.12).
const ANY_USE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// Apple's marks on push certificates: the environments.
const DEVELOPMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.1");
const PRODUCTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.2");
/// Apple's lists of topics ("Sending notification requests to APNs": "These extensions list all the push topics allowed
/// for your certificate").
const VOIP_TOPICS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.4");
const TOPICS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.6");

/// What the extensions say that matters here.
#[derive(Default)]
pub(crate) struct Extensions {
    pub(crate) environment: Option<CertificateEnvironment>,
    /// The topics of Apple's list, each with the word for its kind, which may be missing.
    pub(crate) topics: Vec<(String, String)>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    /// The names in it that servers have; `None` without the extension.
    pub(crate) host_names: Option<HostNames>,
    /// It may issue certificates.
    pub(crate) is_authority: bool,
    /// It is for signing code, and not for TLS.
    pub(crate) signs_code: bool,
}

impl Extensions {
    pub(crate) fn note(&mut self, name: ObjectIdentifier, value: &[u8]) {
        match name {
            DEVELOPMENT => self.note_environment(CertificateEnvironment::Development),
            PRODUCTION => self.note_environment(CertificateEnvironment::Production),
            TOPICS | VOIP_TOPICS => self.note_topics(value),
            SUBJECT_KEY_ID => {
                self.subject_key_id = Elements::new(value).read(tlv::OCTET_STRING).map(<[u8]>::to_vec);
            }
            AUTHORITY_KEY_ID => {
                // keyIdentifier [0] IMPLICIT OCTET STRING OPTIONAL (RFC 5280 section 4.2.1.1)
                let inside = Elements::inside(value, tlv::SEQUENCE).and_then(|mut elements| elements.read(0x80));
                self.authority_key_id = inside.map(<[u8]>::to_vec);
            }
            SUBJECT_ALTERNATIVE_NAME => self.host_names = Some(HostNames::from_der(value)),
            // BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, … (RFC 5280 section 4.2.1.9)
            BASIC_CONSTRAINTS => {
                let inside = Elements::inside(value, tlv::SEQUENCE);
                self.is_authority = inside.and_then(|mut elements| elements.read(tlv::BOOLEAN)) == Some(&[0xff]);
            }
            EXTENDED_KEY_USAGE => {
                let uses: Vec<_> = Elements::inside(value, tlv::SEQUENCE)
                    .into_iter()
                    .flatten()
                    .filter_map(|element| ObjectIdentifier::from_bytes(element.expect(tlv::OID)?).ok())
                    .collect();
                let is_for_tls = uses.contains(&CLIENT_AUTH) || uses.contains(&ANY_USE);
                self.signs_code = uses.contains(&CODE_SIGNING) && !is_for_tls;
            }
            _ => {}
        }
    }

    fn note_environment(&mut self, found: CertificateEnvironment) {
        self.environment = match self.environment {
            Some(known) if known != found => Some(CertificateEnvironment::Both),
            Some(known) => Some(known),
            None => Some(found),
        };
    }

    /// A sequence in which each topic is a string and is followed by a sequence with its kind ("app", "voip",
    /// "complication"). The older VoIP extension may also be empty.
    fn note_topics(&mut self, value: &[u8]) {
        // The place of the topic that the next kind belongs to.
        let mut last = None;
        for element in Elements::inside(value, tlv::SEQUENCE).into_iter().flatten() {
            if let Some(topic) = tlv::string(element.tag, element.value) {
                let known = self.topics.iter().position(|(known, _)| *known == topic);
                last = Some(known.unwrap_or_else(|| {
                    self.topics.push((topic, String::new()));
                    self.topics.len() - 1
                }));
            } else if let Some(place) = last.take() {
                let mut words = Elements::inside(element.whole, tlv::SEQUENCE).into_iter().flatten();
                let word = words.next().and_then(|word| tlv::string(word.tag, word.value));
                if let (Some(word), Some((_, kind))) = (word, self.topics.get_mut(place)) {
                    *kind = word;
                }
            }
        }
    }
}
