//! PKCS#12 files (RFC 7292).

use p12_keystore::{Pkcs12Archive, error::Error};
use zeroize::Zeroizing;

use crate::{
    algorithm, ber,
    error::{IdentityError, Part},
    tlv::{self, Elements},
};

/// What was in the bags, in their order.
pub(crate) struct Bags {
    /// X.509 in DER.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// PKCS#8 in DER.
    pub(crate) keys: Vec<Zeroizing<Vec<u8>>>,
}

/// Opens a file; without a password as if it were the empty one.
pub(crate) fn open(bytes: &[u8], password: Option<&str>) -> Result<Bags, IdentityError> {
    let der = ber::to_der(bytes)
        .ok_or_else(|| IdentityError::malformed(Part::Pkcs12, "it is cut off, or something follows it"))?;
    let explain = |error: &Error| explain(error, &der, password);
    let archive = match read(&der, password) {
        Ok(archive) => archive,
        Err(error @ Error::DerError(_)) => {
            // Not DER inside. The MAC covers the contents as they stand and is checked before they are read, so that a
            // wrong password is a `MacError` and never comes here. Now the contents are made DER, without the MAC that
            // would not fit them any more.
            let inner = inner_as_der(&der).ok_or_else(|| explain(&error))?;
            read(&inner, password).map_err(|error| explain(&error))?
        }
        Err(error) => return Err(explain(&error)),
    };
    Ok(Bags {
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
        keys: archive.keys.iter().map(|bag| Zeroizing::new(bag.key.as_der().to_vec())).collect(),
    })
}

fn read(der: &[u8], password: Option<&str>) -> Result<Pkcs12Archive, Error> {
    Pkcs12Archive::from_pkcs12(der, password.unwrap_or_default())
}

fn explain(error: &Error, der: &[u8], password: Option<&str>) -> IdentityError {
    let part = Part::Pkcs12;
    let wrong_password = || match password {
        Some(_) => IdentityError::WrongPassword { part },
        None => IdentityError::PasswordRequired { part },
    };
    if matches!(error, Error::MacError(_)) {
        return wrong_password();
    }
    // The MAC's algorithm stands in the one, those inside BER contents are found in the other.
    let inner = inner_as_der(der).unwrap_or_default();
    let search = |what: fn(&[u8]) -> Option<String>| what(der).or_else(|| what(&inner));
    if let Some(algorithm) = search(algorithm::unsupported_in_pkcs12) {
        return IdentityError::UnsupportedEncryption { part, algorithm };
    }
    match error {
        // Without a MAC the padding is the first to notice.
        Error::UnpadError | Error::Pkcs5Error(_) => wrong_password(),
        // And once in 256 times the padding looks right by chance, and what it surrounds is noise.
        Error::DerError(_) | Error::InvalidPrivateKey if !has_mac(der) && !inner.is_empty() => wrong_password(),
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            let algorithm = search(algorithm::unknown_in_pkcs12).unwrap_or_else(|| "an unknown algorithm".to_owned());
            IdentityError::UnsupportedEncryption { part, algorithm }
        }
        other => IdentityError::malformed(part, other),
    }
}

fn has_mac(der: &[u8]) -> bool {
    Elements::inside(der, tlv::SEQUENCE).is_some_and(|pfx| pfx.count() > 2)
}

/// `PFX { version, authSafe { data, [0] { OCTET STRING contents } }, MAC }`, the contents as DER and without the MAC.
fn inner_as_der(der: &[u8]) -> Option<Vec<u8>> {
    let mut pfx = Elements::inside(der, tlv::SEQUENCE)?;
    let version = pfx.next()?;
    let mut safe = Elements::new(pfx.read(tlv::SEQUENCE)?);
    let kind = safe.next()?;
    let contents = Elements::new(safe.read(tlv::CONTEXT_0)?).read(tlv::OCTET_STRING)?;
    // Unencrypted bags are a second octet string inside.
    let contents = with_inner_safes(&ber::to_der(contents)?)?;
    let contents = tlv::join(tlv::OCTET_STRING, &[&contents]);
    let explicit = tlv::join(tlv::CONTEXT_0, &[&contents]);
    let safe = tlv::join(tlv::SEQUENCE, &[kind.whole, &explicit]);
    Some(tlv::join(tlv::SEQUENCE, &[version.whole, &safe]).to_vec())
}

/// `SEQUENCE OF ContentInfo`, with what stands in plain octet strings made DER as well.
fn with_inner_safes(contents: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for info in Elements::inside(contents, tlv::SEQUENCE)? {
        let mut inside = Elements::new(info.expect(tlv::SEQUENCE)?);
        let kind = inside.next()?;
        let plain = inside
            .read(tlv::CONTEXT_0)
            .and_then(|content| Elements::new(content).read(tlv::OCTET_STRING))
            .and_then(ber::to_der);
        match plain {
            Some(plain) => {
                let plain = tlv::join(tlv::OCTET_STRING, &[&plain]);
                let explicit = tlv::join(tlv::CONTEXT_0, &[&plain]);
                out.extend_from_slice(&tlv::join(tlv::SEQUENCE, &[kind.whole, &explicit]));
            }
            None => out.extend_from_slice(info.whole),
        }
    }
    Some(tlv::join(tlv::SEQUENCE, &[&out]).to_vec())
}
