//! Certificates and keys as they come out of a credential.

use crate::{
    Certificate,
    error::{IdentityError, Part},
    pem,
    private_key::PrivateKey,
    source::{Kind, Source},
    tlv::Elements,
};
#[cfg(feature = "pkcs12")]
use crate::{encrypted_key, pkcs12};

/// The most certificates, and the most keys, of one credential. Each key is tried with each certificate, and a whole
/// keychain has some dozens.
const MOST: usize = 64;

/// The labels of PEM blocks that hold a certificate. OpenSSL's last one has a list of uses behind it.
pub(crate) const CERTIFICATES: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

/// The certificates in PEM text, in DER and unread: there are hundreds where a system keeps its authorities, and some of
/// them nobody reads.
///
/// # Errors
///
/// When the text is PEM and damaged.
pub fn authorities(text: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    let mut found = Vec::new();
    for block in pem::blocks(text) {
        let block = block?;
        if let Some(der) = block.der.filter(|_| CERTIFICATES.contains(&block.label.as_str())) {
            found.push(Elements::new(&der).next().map_or_else(|| der.to_vec(), |element| element.whole.to_vec()));
        }
    }
    Ok(found)
}

/// The parts of a credential, before they are put together.
#[derive(Default)]
pub(crate) struct Material {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) keys: Vec<PrivateKey>,
    /// Why a key could not be read. It matters only if no other key serves.
    pub(crate) key_trouble: Option<IdentityError>,
    keys_tried: usize,
    /// Something of it came out of PKCS#12.
    pub(crate) is_pkcs12: bool,
    /// Labels of PEM blocks that are neither.
    pub(crate) other_labels: Vec<String>,
}

impl Material {
    pub(crate) fn read(bytes: &[u8], password: Option<&str>) -> Result<Self, IdentityError> {
        let mut material = Self::default();
        match Source::recognise(bytes)? {
            Source::Pem(text) => material.add_pem(&text, password)?,
            Source::Der(kind, der) => material.add_der(kind, &der, password)?,
        }
        Ok(material)
    }

    pub(crate) fn add_pem(&mut self, text: &[u8], password: Option<&str>) -> Result<(), IdentityError> {
        for block in pem::blocks(text) {
            let block = block?;
            let place = Some(block.line);
            let Some(der) = block.der else {
                self.add_key(|| Err(IdentityError::LegacyEncryption { line: block.line }), place)?;
                continue;
            };
            match block.label.as_str() {
                label if CERTIFICATES.contains(&label) => {
                    self.add_certificate(&der).map_err(|error| error.at_line(place))?;
                }
                "PRIVATE KEY" => self.add_key(|| PrivateKey::from_pkcs8(&der), place)?,
                "RSA PRIVATE KEY" => self.add_key(|| PrivateKey::from_pkcs1(&der), place)?,
                "EC PRIVATE KEY" => self.add_key(|| PrivateKey::from_sec1(&der), place)?,
                "DSA PRIVATE KEY" => {
                    self.add_key(|| Err(IdentityError::UnsupportedKey { algorithm: "DSA".to_owned() }), place)?;
                }
                "ENCRYPTED PRIVATE KEY" => self.add_key(|| decrypted(&der, password), place)?,
                _ if self.other_labels.contains(&block.label) || self.other_labels.len() == MOST => {}
                _ => self.other_labels.push(block.label),
            }
        }
        Ok(())
    }

    pub(crate) fn add_der(&mut self, kind: Kind, der: &[u8], password: Option<&str>) -> Result<(), IdentityError> {
        match kind {
            Kind::Pkcs12 => return self.add_pkcs12(der, password),
            Kind::Certificate => return self.add_certificate(der),
            Kind::Pkcs8 => self.add_key(|| PrivateKey::from_pkcs8(der), None)?,
            Kind::EncryptedPkcs8 => self.add_key(|| decrypted(der, password), None)?,
            Kind::Pkcs1 => self.add_key(|| PrivateKey::from_pkcs1(der), None)?,
            Kind::Sec1 => self.add_key(|| PrivateKey::from_sec1(der), None)?,
            Kind::PublicKey => return Err(IdentityError::Unrecognized),
        }
        Ok(())
    }

    #[cfg(feature = "pkcs12")]
    fn add_pkcs12(&mut self, der: &[u8], password: Option<&str>) -> Result<(), IdentityError> {
        let bags = pkcs12::open(der, password)?;
        self.is_pkcs12 = true;
        for certificate in &bags.certificates {
            self.add_certificate(certificate)?;
        }
        for key in &bags.keys {
            self.add_key(|| PrivateKey::from_pkcs8(key), None)?;
        }
        Ok(())
    }

    #[cfg(not(feature = "pkcs12"))]
    fn add_pkcs12(&mut self, _: &[u8], _: Option<&str>) -> Result<(), IdentityError> {
        Err(IdentityError::FeatureDisabled { part: Part::Pkcs12, feature: "pkcs12" })
    }

    fn add_certificate(&mut self, der: &[u8]) -> Result<(), IdentityError> {
        let certificate = Certificate::from_der(der)?;
        if !self.certificates.contains(&certificate) {
            if self.certificates.len() == MOST {
                return Err(IdentityError::TooMany { limit: MOST });
            }
            self.certificates.push(certificate);
        }
        Ok(())
    }

    /// Keys that cannot be read count as well: deriving a key from a password is the slowest step of all.
    fn add_key(
        &mut self,
        key: impl FnOnce() -> Result<PrivateKey, IdentityError>,
        place: Option<usize>,
    ) -> Result<(), IdentityError> {
        if self.keys_tried == MOST {
            return Err(IdentityError::TooMany { limit: MOST });
        }
        self.keys_tried += 1;
        match key() {
            Ok(key) => self.keys.push(key),
            Err(error) => {
                self.key_trouble.get_or_insert(error.at_line(place));
            }
        }
        Ok(())
    }
}

#[cfg(feature = "pkcs12")]
fn decrypted(der: &[u8], password: Option<&str>) -> Result<PrivateKey, IdentityError> {
    let password = password.ok_or(IdentityError::PasswordRequired { part: Part::PrivateKey })?;
    let key = encrypted_key::decrypt(der, password)?;
    // A wrong password leaves valid padding behind once in 256 times; what comes out is then no key.
    PrivateKey::from_pkcs8(&key).map_err(|error| match error {
        IdentityError::Malformed { .. } => IdentityError::WrongPassword { part: Part::PrivateKey },
        other => other,
    })
}

#[cfg(not(feature = "pkcs12"))]
fn decrypted(_: &[u8], _: Option<&str>) -> Result<PrivateKey, IdentityError> {
    Err(IdentityError::FeatureDisabled { part: Part::PrivateKey, feature: "pkcs12" })
}
