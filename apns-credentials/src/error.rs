//! Why a credential could not be read.

use std::{fmt, io, path::PathBuf, time::Duration};

use apns_proto::{WallTime, encoding::EncodingError};
use x509_cert::der::DateTime;

use crate::disclosure::shown;

/// What an [`IdentityError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// A certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A PKCS#12 file (`.p12`, `.pfx`).
    Pkcs12,
    /// The text of a PEM file, before anything in it was read.
    Pem,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Pkcs12 => "PKCS#12 file",
            Self::Pem => "PEM text",
        })
    }
}

/// Why a credential could not be read or used: what is wrong, where, and what to do.
///
/// Holds names out of certificates, never bytes of a key or a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is nothing in it.
    #[error("the credential is empty")]
    Empty,
    /// A file could not be read.
    #[error("{}: {kind}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// More bytes than a credential can have.
    #[error("this is larger than {limit} bytes and no credential")]
    TooLarge {
        /// The largest size that is read.
        limit: usize,
    },
    /// More certificates or keys than are compared with each other.
    #[error("there are more than {limit} certificates or private keys; keep those that belong to one app")]
    TooMany {
        /// The most that are read of each.
        limit: usize,
    },
    /// Text in another encoding than UTF-8.
    #[error("the credential cannot be read: {0}")]
    Encoding(#[from] EncodingError),
    /// None of the forms that are known.
    #[error("this is neither PEM nor PKCS#12, nor a certificate or private key in DER or base64")]
    Unrecognized,
    /// PKCS#12 where PEM is expected.
    #[error("this is PKCS#12 where PEM is expected; read it with `Identity::from_pkcs12` and its password")]
    IsPkcs12,
    /// Something else where PKCS#12 is expected.
    #[error("this is {found} where PKCS#12 is expected; read it with `Identity::from_pem`")]
    NotPkcs12 {
        /// What it is.
        found: &'static str,
    },
    /// PEM blocks, but neither a certificate nor a private key among them.
    #[error("neither a certificate nor a private key is here, only {}", labels.join(", "))]
    UnexpectedPem {
        /// The labels of the blocks that are there.
        labels: Vec<String>,
    },
    /// Cut off or damaged.
    #[error("the {part} cannot be read{}: {reason}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Malformed {
        /// What could not be read.
        part: Part,
        /// The line on which its PEM block begins, from 1; `None` when it did not come from PEM.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key alone.
    #[error(
        "this is a private key without a certificate; add the certificate, or, if it is a token key from Apple \
         (AuthKey_….p8), use it to sign provider tokens"
    )]
    KeyWithoutCertificate,
    /// A PKCS#12 file that holds a private key alone.
    #[error(
        "this PKCS#12 file holds a private key without its certificate; export it again with both (in Keychain Access \
         choose the certificate, not the key), or join them: `openssl pkcs12 -export -inkey key.pem -in certificate.pem \
         -out both.p12`"
    )]
    Pkcs12WithoutCertificate,
    /// A certificate alone.
    #[error(
        "the certificate of {subject} came without its private key; a .cer file never contains it: export both from the \
         keychain that made the request"
    )]
    CertificateWithoutKey {
        /// Its subject.
        subject: String,
    },
    /// Keys and certificates, but no two that belong together.
    #[error("the private key belongs to none of the certificates: {}", subjects.join("; "))]
    KeyMismatch {
        /// The subjects of the certificates that are there.
        subjects: Vec<String>,
    },
    /// More than one certificate with its key.
    #[error("there are several identities, choose one with `Identities::with_subject`: {}", subjects.join("; "))]
    SeveralIdentities {
        /// The subjects to choose from.
        subjects: Vec<String>,
    },
    /// The subject that was asked for is not there.
    #[error("no identity matches {wanted:?}; there are: {}", subjects.join("; "))]
    NoSuchIdentity {
        /// What was asked for.
        wanted: String,
        /// The subjects to choose from.
        subjects: Vec<String>,
    },
    /// It is encrypted and no password was given.
    #[error("the {part} is encrypted and needs a password")]
    PasswordRequired {
        /// What is encrypted.
        part: Part,
    },
    /// The password does not open it.
    #[error("the password does not open the {part} (or it is damaged)")]
    WrongPassword {
        /// What is encrypted.
        part: Part,
    },
    /// Encrypted or authenticated by something that is not supported.
    #[error("the {part} uses {algorithm}, which is not supported; encrypt it anew with AES-256: {}", encrypt_anew(*part))]
    UnsupportedEncryption {
        /// What is encrypted.
        part: Part,
        /// The algorithm by name, or by object identifier where it has none here.
        algorithm: String,
    },
    /// A private key in OpenSSL's own old encryption (`Proc-Type: 4,ENCRYPTED`).
    #[error(
        "the private key (line {line}) is in OpenSSL's old encryption (Proc-Type: 4,ENCRYPTED); convert it with \
         `openssl pkcs8 -topk8 -in key.pem -out key-pkcs8.pem`"
    )]
    LegacyEncryption {
        /// The line on which its PEM block begins, from 1.
        line: usize,
    },
    /// A key of a kind or size that TLS does not sign with here.
    #[error(
        "the key is {algorithm}, which is not supported: RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 \
         are; make a new key, and a certificate for it"
    )]
    UnsupportedKey {
        /// The algorithm by name, or by object identifier where it has none here.
        algorithm: String,
    },
    /// A certificate for signing code, which is no client certificate.
    #[error(
        "the certificate of {subject} is for signing code, not for push notifications: use one of the kind `Apple Push \
         Services`"
    )]
    CodeSigning {
        /// Its subject.
        subject: String,
    },
    /// The certificate lists its topics, and the wanted one is none of them.
    #[error("the certificate is not for the topic {topic}, only for {}", topics.join(", "))]
    OtherTopic {
        /// The topic.
        topic: String,
        /// Those that it lists.
        topics: Vec<String>,
    },
    /// The private key contradicts itself.
    #[error("the private key is not usable: {reason}")]
    InvalidKey {
        /// What is wrong with it.
        reason: String,
    },
    /// It needs a feature of this crate that is switched off.
    #[error("the {part} needs the crate feature `{feature}`, which is not enabled")]
    FeatureDisabled {
        /// What needs it.
        part: Part,
        /// The feature.
        feature: &'static str,
    },
    /// The certificate is not valid any more.
    #[error("the certificate of {subject} expired at {}; renew it", date(*at))]
    Expired {
        /// Its subject.
        subject: String,
        /// The last second at which it was valid.
        at: WallTime,
    },
    /// The certificate is not valid yet.
    #[error("the certificate of {subject} is not valid before {}; check the clock", date(*at))]
    NotYetValid {
        /// Its subject.
        subject: String,
        /// The first second at which it is valid.
        at: WallTime,
    },
}

impl IdentityError {
    pub(crate) fn malformed(part: Part, reason: impl fmt::Display) -> Self {
        Self::Malformed { part, line: None, reason: reason.to_string() }
    }

    /// Adds the place, where it is not known yet.
    pub(crate) fn at_line(self, place: Option<usize>) -> Self {
        match self {
            Self::Malformed { part, line: None, reason } => Self::Malformed { part, line: place, reason },
            other => other,
        }
    }
}

/// A command that reads what only old algorithms open, and writes the same with those of today.
const fn encrypt_anew(part: Part) -> &'static str {
    match part {
        Part::Pkcs12 => "`openssl pkcs12 -legacy -nodes -in old.p12 | openssl pkcs12 -export -out new.p12`",
        Part::Certificate | Part::PrivateKey | Part::Pem => {
            "`openssl pkey -provider legacy -provider default -aes256 -in old.pem -out new.pem`"
        }
    }
}

/// As in RFC 3339; the plain number of seconds beyond the year 9999.
#[must_use]
pub fn date(time: WallTime) -> String {
    DateTime::from_unix_duration(Duration::from_secs(time.as_secs()))
        .map_or_else(|_| format!("second {} since 1970", time.as_secs()), |date| date.to_string())
}
