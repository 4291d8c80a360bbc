//! `ENCRYPTED PRIVATE KEY` (PKCS#8 with PBES2, RFC 5958 section 3 and RFC 8018).

use pkcs5::{EncryptionScheme, pbes2};
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::{
    algorithm,
    error::{IdentityError, Part},
    tlv::{self, Elements},
};

/// OpenSSL writes 2048, careful people some hundred thousand. A file must not be able to keep a processor busy.
const MOST_ITERATIONS: u32 = 1_000_000;
/// scrypt needs 128 · N · r bytes; OpenSSL writes 16 MiB.
const MOST_SCRYPT_MEMORY: u64 = 1 << 28;
const MOST_SCRYPT_LANES: u16 = 16;

/// The PKCS#8 inside.
pub(crate) fn decrypt(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let part = Part::PrivateKey;
    let bad = || IdentityError::malformed(part, "it is not encrypted PKCS#8");
    let mut elements = Elements::inside(der, tlv::SEQUENCE).ok_or_else(bad)?;
    let name = elements.next().filter(|element| element.tag == tlv::SEQUENCE).ok_or_else(bad)?.whole;
    let data = elements.read(tlv::OCTET_STRING).ok_or_else(bad)?;

    let unsupported = || IdentityError::UnsupportedEncryption { part, algorithm: algorithm::unsupported_in_key(name) };
    let scheme = EncryptionScheme::from_der(name).map_err(|_| unsupported())?;
    let within_limits = match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(pbes2::Kdf::Pbkdf2(kdf)) => kdf.iteration_count <= MOST_ITERATIONS,
        Some(pbes2::Kdf::Scrypt(kdf)) => {
            let memory = kdf.cost_parameter.saturating_mul(128).saturating_mul(u64::from(kdf.block_size));
            memory <= MOST_SCRYPT_MEMORY && kdf.parallelization <= MOST_SCRYPT_LANES
        }
        Some(_) | None => return Err(unsupported()),
    };
    if !within_limits {
        return Err(IdentityError::malformed(part, "its key derivation would take unreasonably long"));
    }
    match scheme.decrypt(password, data) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(pkcs5::Error::DecryptFailed) => Err(IdentityError::WrongPassword { part }),
        Err(pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::NoPbes1CryptSupport) => Err(unsupported()),
        Err(error) => Err(IdentityError::malformed(part, error)),
    }
}
