//! Private keys in every wrapping, and whether one belongs to a certificate.

use std::ops::RangeInclusive;

use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use x509_cert::der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::{
    certificate::{Certificate, PublicKey},
    error::{IdentityError, Part},
    tlv::{self, Elements},
};

pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(crate) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(crate) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(crate) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Algorithms that are recognised only to be named.
const OTHER_ALGORITHMS: [(&str, &str); 5] = [
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.113549.1.3.1", "Diffie-Hellman"),
];

/// A private key that is known to be well-formed, not yet to belong to any certificate.
pub(crate) enum PrivateKey {
    Rsa {
        /// `RSAPublicKey`, the way a certificate holds it (RFC 8017 appendix A.1.1).
        public: Vec<u8>,
        pkcs1: Zeroizing<Vec<u8>>,
    },
    Ec {
        curve: ObjectIdentifier,
        scalar: Zeroizing<Vec<u8>>,
        public: Option<Vec<u8>>,
    },
    Ed25519 {
        seed: Zeroizing<Vec<u8>>,
    },
}

impl PrivateKey {
    /// Reads `PrivateKeyInfo` (PKCS#8, RFC 5208) or `OneAsymmetricKey` (RFC 5958).
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, IdentityError> {
        let bad = || IdentityError::malformed(Part::PrivateKey, "it is not PKCS#8");
        let mut info = Elements::inside(der, tlv::SEQUENCE).ok_or_else(bad)?;
        info.read(tlv::INTEGER).ok_or_else(bad)?;
        let mut algorithm = Elements::new(info.read(tlv::SEQUENCE).ok_or_else(bad)?);
        let key = info.read(tlv::OCTET_STRING).ok_or_else(bad)?;
        let name = algorithm.read(tlv::OID).and_then(oid).ok_or_else(bad)?;
        match name {
            RSA => Self::from_pkcs1(key),
            EC => {
                let curve = algorithm.read(tlv::OID).and_then(oid);
                Self::from_ec(key, curve)
            }
            ED25519 => {
                let seed = Elements::inside(key, tlv::OCTET_STRING).is_some();
                let seed = seed.then(|| Elements::new(key).read(tlv::OCTET_STRING)).flatten();
                let seed = seed.filter(|seed| seed.len() == 32).ok_or_else(bad)?;
                Ok(Self::Ed25519 { seed: Zeroizing::new(seed.to_vec()) })
            }
            other => Err(IdentityError::UnsupportedKey { algorithm: algorithm_name(other) }),
        }
    }

    /// Reads `RSAPrivateKey` (PKCS#1, RFC 8017 appendix A.1.2).
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Self, IdentityError> {
        let bad = || IdentityError::malformed(Part::PrivateKey, "it is not an RSA key in PKCS#1");
        let mut elements = Elements::inside(der, tlv::SEQUENCE).ok_or_else(bad)?;
        let mut integer = || elements.next().filter(|element| element.tag == tlv::INTEGER).ok_or_else(bad);
        integer()?;
        let (modulus, exponent) = (integer()?, integer()?);
        for _ in 0..6 {
            integer()?;
        }
        let public = tlv::join(tlv::SEQUENCE, &[modulus.whole, exponent.whole]).to_vec();
        match RsaKeyPair::from_der(der) {
            Ok(_) => {}
            // These say that the numbers contradict each other. Other complaints are about sizes (under 2048 bits,
            // over 4096), which is for the TLS library to accept or refuse.
            Err(error)
                if ["InconsistentComponents", "InvalidComponent", "InvalidEncoding"].contains(&&*error.to_string()) =>
            {
                return Err(IdentityError::InvalidKey { reason: format!("the RSA numbers do not fit ({error})") });
            }
            Err(_) => {}
        }
        Ok(Self::Rsa { public, pkcs1: Zeroizing::new(der.to_vec()) })
    }

    /// Reads `ECPrivateKey` (SEC 1, RFC 5915) that names its curve.
    pub(crate) fn from_sec1(der: &[u8]) -> Result<Self, IdentityError> {
        Self::from_ec(der, None)
    }

    fn from_ec(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Self, IdentityError> {
        let bad = || IdentityError::malformed(Part::PrivateKey, "it is not an EC key in SEC 1");
        let mut elements = Elements::inside(der, tlv::SEQUENCE).ok_or_else(bad)?;
        elements.read(tlv::INTEGER).ok_or_else(bad)?;
        let scalar = elements.read(tlv::OCTET_STRING).ok_or_else(bad)?;
        let named = elements.read(tlv::CONTEXT_0).and_then(|inside| Elements::new(inside).read(tlv::OID)).and_then(oid);
        let public = elements.read(tlv::CONTEXT_1).and_then(|inside| Elements::new(inside).read(tlv::BIT_STRING));
        let curve = curve.or(named).ok_or_else(|| IdentityError::UnsupportedKey {
            algorithm: "an EC key that does not name its curve".to_owned(),
        })?;
        // Some writers drop leading zeros or add one; the curve fixes the length (RFC 5915 section 3).
        let length: usize = match curve {
            P256 => 32,
            P384 => 48,
            P521 => 66,
            other => return Err(IdentityError::UnsupportedKey { algorithm: format!("ECDSA on the curve {other}") }),
        };
        let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
        let digits = &scalar[zeros..];
        let Some(padding) = length.checked_sub(digits.len()).filter(|_| !digits.is_empty()) else {
            return Err(bad());
        };
        let mut scalar = Zeroizing::new(vec![0; length]);
        scalar[padding..].copy_from_slice(digits);
        // The first octet of a bit string counts unused bits, of which there are none.
        let public = public.and_then(|bits| bits.strip_prefix(&[0])).map(<[u8]>::to_vec);
        Ok(Self::Ec { curve, scalar, public })
    }

    /// This key as PKCS#8 version 1, if it belongs to that certificate.
    ///
    /// EC keys are given the public half, which some writers leave out and ring insists on.
    pub(crate) fn for_certificate(&self, certificate: &Certificate) -> Option<Zeroizing<Vec<u8>>> {
        let wanted = certificate.public_key();
        match self {
            Self::Rsa { public, pkcs1 } => {
                let algorithm = tlv::join(tlv::SEQUENCE, &[&object(RSA), &[tlv::NULL, 0]]);
                (wanted.algorithm == RSA && wanted.bits == *public).then(|| pkcs8(&algorithm, pkcs1))
            }
            Self::Ec { curve, scalar, public } => {
                if wanted.algorithm != EC || wanted.curve != Some(*curve) {
                    return None;
                }
                let matches = match ring_algorithm(*curve) {
                    Some(ring) => ec_pair_matches(ring, scalar, &wanted.bits),
                    None => public.as_ref() == Some(&wanted.bits),
                };
                matches.then(|| {
                    let algorithm = tlv::join(tlv::SEQUENCE, &[&object(EC), &object(*curve)]);
                    pkcs8(&algorithm, &sec1(scalar, &wanted.bits))
                })
            }
            Self::Ed25519 { seed } => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
                (wanted.algorithm == ED25519 && wanted.bits == pair.public_key().as_ref()).then(|| {
                    let algorithm = tlv::join(tlv::SEQUENCE, &[&object(ED25519)]);
                    pkcs8(&algorithm, &tlv::join(tlv::OCTET_STRING, &[seed]))
                })
            }
        }
    }
}

/// Whether TLS can sign with the private half of this. The sizes are those that rustls takes, with ring behind it.
pub(crate) fn ensure_supported(public: &PublicKey) -> Result<(), IdentityError> {
    const RSA_BITS: RangeInclusive<usize> = 2048..=4096;
    let supported = match (public.algorithm, public.curve) {
        (RSA, _) => rsa_bits(&public.bits).is_some_and(|bits| RSA_BITS.contains(&bits)),
        (EC, Some(curve)) => ring_algorithm(curve).is_some(),
        (algorithm, _) => algorithm == ED25519,
    };
    if supported { Ok(()) } else { Err(IdentityError::UnsupportedKey { algorithm: kind(public) }) }
}

/// The same for the private key itself, in PKCS#8, which may have odder troubles than its size.
pub(crate) fn ensure_signs(pkcs8: &[u8], public: &PublicKey) -> Result<(), IdentityError> {
    ensure_supported(public)?;
    if public.algorithm == RSA
        && let Err(error) = RsaKeyPair::from_pkcs8(pkcs8)
    {
        let what = match &*error.to_string() {
            // The modulus is neither.
            "TooSmall" => "a public exponent below 65537".to_owned(),
            "TooLarge" => "a public exponent of more than 33 bits".to_owned(),
            other => format!("numbers that are not taken ({other})"),
        };
        return Err(IdentityError::UnsupportedKey { algorithm: format!("{} and {what}", kind(public)) });
    }
    Ok(())
}

fn ring_algorithm(curve: ObjectIdentifier) -> Option<&'static EcdsaSigningAlgorithm> {
    match curve {
        P256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        P384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        _ => None,
    }
}

fn ec_pair_matches(algorithm: &'static EcdsaSigningAlgorithm, scalar: &[u8], public: &[u8]) -> bool {
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, public, &SystemRandom::new()).is_ok()
}

fn sec1(scalar: &[u8], public: &[u8]) -> Zeroizing<Vec<u8>> {
    let bits = tlv::join(tlv::BIT_STRING, &[&[0], public]);
    let public = tlv::join(tlv::CONTEXT_1, &[&bits]);
    let scalar = tlv::join(tlv::OCTET_STRING, &[scalar]);
    tlv::join(tlv::SEQUENCE, &[&[tlv::INTEGER, 1, 1], &scalar, &public])
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = tlv::join(tlv::OCTET_STRING, &[key]);
    tlv::join(tlv::SEQUENCE, &[&[tlv::INTEGER, 1, 0], algorithm, &key])
}

fn object(identifier: ObjectIdentifier) -> Zeroizing<Vec<u8>> {
    tlv::join(tlv::OID, &[identifier.as_bytes()])
}

pub(crate) fn oid(bytes: &[u8]) -> Option<ObjectIdentifier> {
    ObjectIdentifier::from_bytes(bytes).ok()
}

/// What kind of key the public half shows, for people.
pub(crate) fn kind(public: &PublicKey) -> String {
    match (public.algorithm, public.curve) {
        (RSA, _) => match rsa_bits(&public.bits) {
            Some(bits) => format!("RSA with {bits} bits"),
            None => "RSA".to_owned(),
        },
        (EC, Some(P256)) => "ECDSA on P-256".to_owned(),
        (EC, Some(P384)) => "ECDSA on P-384".to_owned(),
        (EC, Some(P521)) => "ECDSA on P-521".to_owned(),
        (EC, Some(curve)) => format!("ECDSA on the curve {curve}"),
        (EC, None) => "ECDSA".to_owned(),
        (ED25519, _) => "Ed25519".to_owned(),
        (other, _) => algorithm_name(other),
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, …` (RFC 8017 appendix A.1.1).
fn rsa_bits(public: &[u8]) -> Option<usize> {
    let modulus = Elements::inside(public, tlv::SEQUENCE)?.read(tlv::INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = &modulus[zeros..];
    let unused = digits.first()?.leading_zeros() as usize;
    Some(digits.len() * 8 - unused)
}

fn algorithm_name(identifier: ObjectIdentifier) -> String {
    let text = identifier.to_string();
    OTHER_ALGORITHMS.iter().find(|(oid, _)| *oid == text).map_or(text, |(_, name)| (*name).to_owned())
}
