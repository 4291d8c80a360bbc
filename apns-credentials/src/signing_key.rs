//! The key that signs provider tokens, in all the forms in which people keep it.

use std::fmt;

use apns_proto::Now;
use apns_proto::encoding::EncodingError;
use apns_proto::http2::{KeyId, ProviderToken, TeamId};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey as EcdsaKey};
use x509_cert::der::asn1::ObjectIdentifier;

use crate::error::IdentityError;
use crate::material::CERTIFICATES;
use crate::pem::{self, Block, Damage};
use crate::private_key::{EC, P256, P384, P521, RSA, oid};
use crate::source::{Kind, Source, classify};
use crate::tlv::{self, Elements};

/// The private key of a `.p8` file: on the curve P-256, for ES256.
///
/// [`read`](Self::read) takes the file as Apple hands it out, and what becomes of it in databases, environment variables and
/// other tools. [`Debug`](fmt::Debug) shows nothing of it.
///
/// ```
/// use apns_credentials::{SigningKey, SigningKeyError};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p8.pem");
/// let key = SigningKey::read(&std::fs::read(path)?)?;
/// assert_eq!(format!("{key:?}"), "SigningKey(P-256)");
/// assert_eq!(SigningKey::read(b"hunter2").unwrap_err(), SigningKeyError::NoKey);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SigningKey(EcdsaKey);

impl SigningKey {
    /// Bytes in a signature: r and s, 32 each (RFC 7518 section 3.4).
    pub const SIGNATURE_LEN: usize = 64;

    /// Reads a key: PKCS#8 (`PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`), as PEM, as DER, or as base64 of either.
    ///
    /// PEM may have any kind of line end or none, line ends written as `\n`, quotes around it, and text or other blocks
    /// before the key.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] names what the bytes are instead.
    pub fn read(bytes: &[u8]) -> Result<Self, SigningKeyError> {
        match Source::recognise(bytes) {
            Ok(Source::Pem(text)) => from_pem(&text),
            Ok(Source::Der(_, der)) => from_der(&der),
            Err(IdentityError::Empty) => Err(SigningKeyError::Empty),
            Err(IdentityError::Encoding(error)) => Err(error.into()),
            Err(_) => Err(SigningKeyError::NoKey),
        }
    }

    /// Signs a provider token: see [`ProviderToken::signed`].
    #[must_use]
    pub fn provider_token(&self, key_id: &KeyId, team_id: &TeamId, now: Now) -> ProviderToken {
        ProviderToken::signed(key_id, team_id, now, |message| self.sign(message))
    }

    /// Signs with ES256: ECDSA on P-256 with SHA-256, deterministic (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; Self::SIGNATURE_LEN] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// The public key as an uncompressed point: 0x04, x, y (SEC1 section 2.3.3).
    #[must_use]
    pub fn public_key(&self) -> [u8; 65] {
        let point = self.0.verifying_key().to_sec1_point(false);
        point.as_bytes().try_into().expect("an uncompressed point of P-256 has 65 bytes")
    }
}

/// The first block that is a key; without one, what is wrong with the first block.
fn from_pem(text: &[u8]) -> Result<SigningKey, SigningKeyError> {
    let mut first_error = None;
    for block in pem::blocks(text) {
        let key = match block {
            // Some tools write the name of the curve in a block of its own before the key.
            Ok(block) if block.label == "EC PARAMETERS" => continue,
            Ok(Block { label, der, .. }) => {
                is_key(&label).and_then(|()| der.ok_or(SigningKeyError::Encrypted)).and_then(|der| from_der(&der))
            }
            Err(damaged) => Err(match damaged.damage {
                Damage::NotBase64 { label } => is_key(&label).err().unwrap_or(SigningKeyError::Base64),
                Damage::Begin | Damage::Cut { .. } | Damage::OtherEnd { .. } => SigningKeyError::Cut,
            }),
        };
        match key {
            Ok(key) => return Ok(key),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or(SigningKeyError::NoKey))
}

/// Whether a block with this label may be a signing key.
fn is_key(label: &str) -> Result<(), SigningKeyError> {
    Err(match label {
        "PRIVATE KEY" | "EC PRIVATE KEY" => return Ok(()),
        "ENCRYPTED PRIVATE KEY" => SigningKeyError::Encrypted,
        "RSA PRIVATE KEY" => SigningKeyError::Rsa,
        "PUBLIC KEY" | "RSA PUBLIC KEY" => SigningKeyError::PublicKey,
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => SigningKeyError::Certificate,
        label if CERTIFICATES.contains(&label) => SigningKeyError::Certificate,
        other => SigningKeyError::OtherBlock { label: other.chars().take(40).collect() },
    })
}

/// Takes a key for ES256, and names what is something else.
fn from_der(der: &[u8]) -> Result<SigningKey, SigningKeyError> {
    let mut inside = Elements::inside(der, tlv::SEQUENCE).unwrap_or(Elements::new(&[]));
    match classify(der).ok_or(SigningKeyError::NoKey)? {
        Kind::Pkcs12 => Err(SigningKeyError::Pkcs12),
        Kind::Certificate => Err(SigningKeyError::Certificate),
        Kind::EncryptedPkcs8 => Err(SigningKeyError::Encrypted),
        Kind::Pkcs1 => Err(SigningKeyError::Rsa),
        Kind::PublicKey => Err(SigningKeyError::PublicKey),
        Kind::Sec1 => from_sec1(inside),
        // PrivateKeyInfo (RFC 5958): version, algorithm, key.
        Kind::Pkcs8 => {
            inside.read(tlv::INTEGER).filter(|version| matches!(version, [0 | 1])).ok_or(SigningKeyError::NoKey)?;
            check_algorithm(inside.read(tlv::SEQUENCE).ok_or(SigningKeyError::NoKey)?)?;
            let key = inside.read(tlv::OCTET_STRING).ok_or(SigningKeyError::NoKey)?;
            from_sec1(Elements::inside(key, tlv::SEQUENCE).ok_or(SigningKeyError::NoKey)?)
        }
    }
}

/// AlgorithmIdentifier: for a key on a curve the name of the curve is the parameter (RFC 5480 section 2.1.1).
fn check_algorithm(algorithm: &[u8]) -> Result<(), SigningKeyError> {
    let mut elements = Elements::new(algorithm);
    let mut name = || elements.read(tlv::OID).and_then(oid).ok_or(SigningKeyError::NoKey);
    match name()? {
        EC => check_curve(name()?),
        RSA => Err(SigningKeyError::Rsa),
        other => Err(SigningKeyError::Algorithm { oid: other.to_string() }),
    }
}

fn check_curve(curve: ObjectIdentifier) -> Result<(), SigningKeyError> {
    const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
    let name = match curve {
        P256 => return Ok(()),
        P384 => "P-384".to_owned(),
        P521 => "P-521".to_owned(),
        SECP256K1 => "secp256k1".to_owned(),
        other => other.to_string(),
    };
    Err(SigningKeyError::Curve { name })
}

/// The least bytes of a private key. A good one is shorter once in 2^64.
const SHORTEST_NUMBER: usize = 24;

/// The inside of an ECPrivateKey (RFC 5915): version, the number, perhaps the curve, perhaps the public key.
fn from_sec1(mut elements: Elements<'_>) -> Result<SigningKey, SigningKeyError> {
    elements.read(tlv::INTEGER).filter(|version| *version == [1]).ok_or(SigningKeyError::NoKey)?;
    let number = elements.read(tlv::OCTET_STRING).ok_or(SigningKeyError::NoKey)?;
    if let Some(curve) = elements.read(tlv::CONTEXT_0) {
        check_curve(Elements::new(curve).read(tlv::OID).and_then(oid).ok_or(SigningKeyError::NoKey)?)?;
    }
    let public = elements.read(tlv::CONTEXT_1).and_then(|inside| Elements::new(inside).read(tlv::BIT_STRING));
    // Some tools leave leading zeros away. So many of them that the number is this short are an accident, not a key.
    if number.len() < SHORTEST_NUMBER {
        return Err(SigningKeyError::OutOfRange);
    }
    let mut padded = [0; 32];
    let Some(start) = padded.len().checked_sub(number.len()) else {
        return Err(SigningKeyError::Curve { name: format!("one of {} bits", number.len() * 8) });
    };
    padded[start..].copy_from_slice(number);
    let key = EcdsaKey::from_slice(&padded).map(SigningKey).map_err(|_| SigningKeyError::OutOfRange)?;
    // The bit string begins with the number of unused bits. A compressed point is not compared.
    match public {
        Some([0, point @ ..]) if point.len() == 65 && *point != key.public_key() => Err(SigningKeyError::Mismatch),
        _ => Ok(key),
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(P-256)")
    }
}

/// What was given instead of a signing key. Never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// There is nothing in it.
    #[error("the signing key is empty")]
    Empty,
    /// Text in another encoding than UTF-8.
    #[error("the signing key cannot be read: {0}")]
    Encoding(#[from] EncodingError),
    /// A PKCS#12 container (`.p12`, `.pfx`), which has a client certificate and its key.
    #[error(
        "this is PKCS#12 (.p12), which holds a client certificate: use it as such, or give the .p8 file of a signing key"
    )]
    Pkcs12,
    /// A certificate, or a request for one.
    #[error("this is a certificate, not a private key: give the .p8 file of a signing key")]
    Certificate,
    /// A public key.
    #[error("this is a public key: give the private key, the .p8 file")]
    PublicKey,
    /// An RSA key, as it belongs to older client certificates.
    #[error("this is an RSA key, which belongs to a client certificate: a signing key is one on the curve P-256")]
    Rsa,
    /// A key on another curve.
    #[error("this key is on another curve ({name}): a signing key is one on P-256")]
    Curve {
        /// The name of the curve, or its object identifier.
        name: String,
    },
    /// A key for another algorithm.
    #[error("this key is for another algorithm ({oid}): a signing key is one for ECDSA on P-256")]
    Algorithm {
        /// The object identifier of the algorithm.
        oid: String,
    },
    /// A key that needs a password.
    #[error(
        "this key is encrypted: decrypt it first, for example with `openssl pkcs8 -in key.pem -out key.p8 -nocrypt -topk8`"
    )]
    Encrypted,
    /// PEM of something else.
    #[error("this is PEM, but of {label:?}: give the .p8 file of a signing key")]
    OtherBlock {
        /// The label of the block, cut after 40 characters.
        label: String,
    },
    /// PEM without its end.
    #[error("the PEM text was cut: its END line is missing")]
    Cut,
    /// PEM whose inside is not base64.
    #[error("what stands between the BEGIN and END lines is not base64")]
    Base64,
    /// The key is zero, or far too small to have been drawn at random, or too large for the curve.
    #[error("the key is not a number that is possible on P-256: the file was damaged")]
    OutOfRange,
    /// The public key in the file does not belong to the private key.
    #[error("the private and the public key in the file do not belong together: the file was damaged")]
    Mismatch,
    /// Nothing of the kind.
    #[error("this is no key in PEM, base64 or DER: give the .p8 file as Apple handed it out")]
    NoKey,
}
