//! Telling the forms of a credential apart.

use apns_proto::encoding;
use zeroize::Zeroizing;

use crate::{
    error::IdentityError,
    pem,
    tlv::{self, Elements},
};

/// The largest credential that is read. A PKCS#12 file with a long chain has some ten kilobytes.
pub(crate) const LARGEST: usize = 1024 * 1024;

/// What a credential turned out to be.
pub(crate) enum Source {
    Pem(Zeroizing<Vec<u8>>),
    Der(Kind, Zeroizing<Vec<u8>>),
}

/// What a DER encoding holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Pkcs12,
    Certificate,
    Pkcs8,
    EncryptedPkcs8,
    Pkcs1,
    Sec1,
    PublicKey,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pkcs12 => "PKCS#12",
            Self::Certificate => "a certificate in DER",
            Self::PublicKey => "a public key in DER",
            Self::Pkcs8 | Self::EncryptedPkcs8 | Self::Pkcs1 | Self::Sec1 => "a private key in DER",
        }
    }
}

impl Source {
    /// Looks at the bytes; base64 without armour is taken off.
    pub(crate) fn recognise(bytes: &[u8]) -> Result<Self, IdentityError> {
        if bytes.len() > LARGEST {
            return Err(IdentityError::TooLarge { limit: LARGEST });
        }
        let bytes = encoding::skip_mark(bytes)?;
        let trimmed = unquoted(bytes.trim_ascii());
        if trimmed.is_empty() {
            return Err(IdentityError::Empty);
        }
        if pem::is_pem(trimmed) {
            return Ok(Self::Pem(Zeroizing::new(bytes.to_vec())));
        }
        if let Some(kind) = classify(bytes) {
            return Ok(Self::Der(kind, Zeroizing::new(bytes.to_vec())));
        }
        let decoded = pem::bare_base64(trimmed).ok_or(IdentityError::Unrecognized)?;
        if pem::is_pem(&decoded) {
            return Ok(Self::Pem(decoded));
        }
        let kind = classify(&decoded).ok_or(IdentityError::Unrecognized)?;
        Ok(Self::Der(kind, decoded))
    }
}

/// Whether this may be the path of a credential and not the credential itself: a short line without the words that PEM
/// begins with, and not the base64 of a key.
#[must_use]
pub fn is_path(text: &str) -> bool {
    const LONGEST: usize = 1024;
    const SHORTEST_KEY: usize = 100;
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let key = text.len() >= SHORTEST_KEY && text.trim_start_matches('/').bytes().all(base64);
    text.len() <= LONGEST && !key && !text.contains(char::is_control) && !text.contains("-----BEGIN")
}

/// Without the quotes of a shell or of JSON.
fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside.trim_ascii(),
        _ => text,
    }
}

/// By the first elements inside the outer sequence.
pub(crate) fn classify(der: &[u8]) -> Option<Kind> {
    if is_pkcs12(der) {
        return Some(Kind::Pkcs12);
    }
    let mut elements = Elements::inside(der, tlv::SEQUENCE)?;
    let tags = [elements.next()?.tag, elements.next()?.tag, elements.next().map_or(0, |element| element.tag)];
    match tags {
        [tlv::SEQUENCE, tlv::SEQUENCE, tlv::BIT_STRING] => Some(Kind::Certificate),
        [tlv::SEQUENCE, tlv::OCTET_STRING, 0] => Some(Kind::EncryptedPkcs8),
        [tlv::SEQUENCE, tlv::BIT_STRING, 0] => Some(Kind::PublicKey),
        [tlv::INTEGER, tlv::SEQUENCE, tlv::OCTET_STRING] => Some(Kind::Pkcs8),
        [tlv::INTEGER, tlv::INTEGER, tlv::INTEGER] => Some(Kind::Pkcs1),
        [tlv::INTEGER, tlv::OCTET_STRING, _] => Some(Kind::Sec1),
        _ => None,
    }
}

/// `PFX ::= SEQUENCE { version INTEGER (3), authSafe SEQUENCE …` (RFC 7292 section 4), the outer length in any form.
fn is_pkcs12(der: &[u8]) -> bool {
    der.first() == Some(&tlv::SEQUENCE)
        && tlv::header(der).is_some_and(|(header, _)| der[header..].starts_with(&[tlv::INTEGER, 1, 3, tlv::SEQUENCE]))
}
