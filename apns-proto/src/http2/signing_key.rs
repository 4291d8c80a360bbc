//! The key that signs provider tokens, in all the forms in which people keep it.

use std::borrow::Cow;
use std::fmt;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey as EcdsaKey};

use super::der::{Elements, dotted, tag};
use crate::encoding::{self, EncodingError};

/// The private key of a `.p8` file: on the curve P-256, for ES256.
///
/// [`read`](Self::read) takes the file as Apple hands it out, and what becomes of it in databases, environment variables and
/// other tools. [`Debug`](fmt::Debug) shows nothing of it.
///
/// ```
/// use apns_proto::http2::{SigningKey, SigningKeyError};
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
        // DER of a key is never UTF-8: the object identifiers in it are not.
        match encoding::text(bytes) {
            Ok(text) => Self::from_text(text),
            Err(EncodingError::NotUtf8 { .. }) => from_der(bytes),
            Err(error) => Err(error.into()),
        }
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

    fn from_text(text: &str) -> Result<Self, SigningKeyError> {
        let text = text.trim().trim_matches(['"', '\'']).trim();
        if text.is_empty() {
            return Err(SigningKeyError::Empty);
        }
        let text = if text.contains('\\') {
            Cow::Owned(text.replace("\\r", "\n").replace("\\n", "\n"))
        } else {
            Cow::Borrowed(text)
        };
        if !text.contains(BEGIN) {
            let decoded = decode(&text).map_err(|_| SigningKeyError::NoKey)?;
            // Stores of secrets that take a file as base64 make it of the whole PEM text.
            return match encoding::text(&decoded) {
                Ok(inner) if inner.contains(BEGIN) => Self::from_text(inner),
                _ => from_der(&decoded),
            };
        }
        let mut first_error = None;
        let mut rest = &*text;
        while let Some(block) = Block::next(&mut rest) {
            match block.and_then(|block| block.key()) {
                Ok(key) => return Ok(key),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(SigningKeyError::NoKey))
    }
}

const BEGIN: &str = "-----BEGIN";

/// One block of PEM (RFC 7468).
struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

impl<'a> Block<'a> {
    /// The next block that could be a key or be mistaken for one.
    fn next(rest: &mut &'a str) -> Option<Result<Self, SigningKeyError>> {
        loop {
            let (_, after) = rest.split_once("-----BEGIN ")?;
            let Some((label, after)) = after.split_once("-----") else {
                *rest = "";
                return Some(Err(SigningKeyError::Cut));
            };
            let Some((body, after)) = after.split_once("-----END ") else {
                *rest = "";
                return Some(Err(SigningKeyError::Cut));
            };
            *rest = after;
            // Some tools write the name of the curve in a block of its own before the key.
            if label != "EC PARAMETERS" {
                return Some(Ok(Self { label, body }));
            }
        }
    }

    fn key(&self) -> Result<SigningKey, SigningKeyError> {
        match self.label {
            "PRIVATE KEY" | "EC PRIVATE KEY" if self.body.contains("ENCRYPTED") => Err(SigningKeyError::Encrypted),
            "PRIVATE KEY" | "EC PRIVATE KEY" => {
                let der = decode(self.body).map_err(|_| SigningKeyError::Base64)?;
                from_der(&der)
            }
            "ENCRYPTED PRIVATE KEY" => Err(SigningKeyError::Encrypted),
            "RSA PRIVATE KEY" => Err(SigningKeyError::Rsa),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Err(SigningKeyError::PublicKey),
            "CERTIFICATE"
            | "TRUSTED CERTIFICATE"
            | "X509 CERTIFICATE"
            | "CERTIFICATE REQUEST"
            | "NEW CERTIFICATE REQUEST" => Err(SigningKeyError::Certificate),
            other => Err(SigningKeyError::OtherBlock { label: other.chars().take(40).collect() }),
        }
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 with white space anywhere.
fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(bytes)
}

mod oid {
    pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    pub(super) const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
    pub(super) const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
    pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
}

/// Finds out what the bytes are, and takes them if they are a key for ES256.
fn from_der(bytes: &[u8]) -> Result<SigningKey, SigningKeyError> {
    const NO_KEY: SigningKeyError = SigningKeyError::NoKey;
    let inside = Elements::new(bytes).expect(tag::SEQUENCE).ok_or(NO_KEY)?;
    let mut elements = Elements::new(inside);
    let (first_tag, first) = elements.next().ok_or(NO_KEY)?;
    let Some((second_tag, second)) = elements.next() else { return Err(NO_KEY) };
    match (first_tag, first, second_tag) {
        // PFX (RFC 7292): version 3, then the contents.
        (tag::INTEGER, [3], tag::SEQUENCE) => Err(SigningKeyError::Pkcs12),
        // PrivateKeyInfo (RFC 5958): version, algorithm, key.
        (tag::INTEGER, [0 | 1], tag::SEQUENCE) => {
            check_algorithm(second)?;
            let key = elements.expect(tag::OCTET_STRING).ok_or(NO_KEY)?;
            from_sec1(Elements::new(key).expect(tag::SEQUENCE).ok_or(NO_KEY)?)
        }
        // ECPrivateKey (RFC 5915): version 1, then the number.
        (tag::INTEGER, [1], tag::OCTET_STRING) => from_sec1(inside),
        // RSAPrivateKey (RFC 8017): version, then the modulus.
        (tag::INTEGER, [0], tag::INTEGER) => Err(SigningKeyError::Rsa),
        (tag::SEQUENCE, [tag::OBJECT_IDENTIFIER, ..], tag::BIT_STRING) => Err(SigningKeyError::PublicKey),
        (tag::SEQUENCE, [tag::OBJECT_IDENTIFIER, ..], tag::OCTET_STRING) => Err(SigningKeyError::Encrypted),
        // Certificate and request: what is signed, then the algorithm.
        (tag::SEQUENCE, _, tag::SEQUENCE) => Err(SigningKeyError::Certificate),
        _ => Err(NO_KEY),
    }
}

/// AlgorithmIdentifier: for a key on a curve the name of the curve is the parameter (RFC 5480 section 2.1.1).
fn check_algorithm(algorithm: &[u8]) -> Result<(), SigningKeyError> {
    let mut elements = Elements::new(algorithm);
    match elements.expect(tag::OBJECT_IDENTIFIER).ok_or(SigningKeyError::NoKey)? {
        oid::EC_PUBLIC_KEY => check_curve(elements.expect(tag::OBJECT_IDENTIFIER).ok_or(SigningKeyError::NoKey)?),
        oid::RSA => Err(SigningKeyError::Rsa),
        other => Err(SigningKeyError::Algorithm { oid: dotted(other) }),
    }
}

fn check_curve(curve: &[u8]) -> Result<(), SigningKeyError> {
    let name = match curve {
        oid::P256 => return Ok(()),
        oid::P384 => "P-384".to_owned(),
        oid::P521 => "P-521".to_owned(),
        oid::SECP256K1 => "secp256k1".to_owned(),
        other => dotted(other),
    };
    Err(SigningKeyError::Curve { name })
}

/// The least bytes of a private key. A good one is shorter once in 2^64.
const SHORTEST_NUMBER: usize = 24;

/// The inside of an ECPrivateKey: version, the number, perhaps the curve, perhaps the public key.
fn from_sec1(inside: &[u8]) -> Result<SigningKey, SigningKeyError> {
    let mut elements = Elements::new(inside);
    elements.expect(tag::INTEGER).filter(|version| *version == [1]).ok_or(SigningKeyError::NoKey)?;
    let number = elements.expect(tag::OCTET_STRING).ok_or(SigningKeyError::NoKey)?;
    let mut public = None;
    while let Some((found, content)) = elements.next() {
        match found {
            tag::CONTEXT_0 => check_curve(Elements::new(content).expect(tag::OBJECT_IDENTIFIER).unwrap_or_default())?,
            tag::CONTEXT_1 => public = Elements::new(content).expect(tag::BIT_STRING),
            _ => {}
        }
    }
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
