//! A certificate with its key, and the several that one file may hold.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use apns_proto::WallTime;
use zeroize::Zeroizing;

use crate::{
    certificate::{Certificate, CertificateEnvironment, Fingerprint},
    error::IdentityError,
    matching,
    material::Material,
    pem, private_key,
    source::{Kind, LARGEST, Source},
    validity::Validity,
    verdict::{Purpose, Verdict},
};

/// A client certificate with its private key and its chain.
///
/// One can rely on it: the key belongs to the certificate, the chain is in order, and the key is PKCS#8.
/// Its dates are not judged while reading, so that an expired one can still be shown; see
/// [`validity`](Self::validity) and [`judge`](Self::judge).
///
/// Cheap to clone. `Debug` shows the certificate and never the key.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[Arc<Certificate>]>,
    key: Arc<Zeroizing<Vec<u8>>>,
    /// Why TLS cannot sign with the key. It is looked at once: judging takes place before every connection.
    key_trouble: Option<Arc<IdentityError>>,
}

impl Identity {
    /// `chain` begins with the certificate that `key` belongs to.
    pub(crate) fn new(chain: Vec<Arc<Certificate>>, key: Zeroizing<Vec<u8>>) -> Self {
        let trouble = chain.first().and_then(|leaf| private_key::ensure_signs(&key, leaf.public_key()).err());
        Self { chain: chain.into(), key: Arc::new(key), key_trouble: trouble.map(Arc::new) }
    }

    /// Reads whatever this is: PEM with certificate and key, PKCS#12, or either of them in base64.
    ///
    /// Without a password an encrypted PKCS#12 file is tried with the empty one. Deriving a key from a password is slow
    /// by design, up to a second or so: not something to do on the thread that serves connections.
    ///
    /// # Errors
    ///
    /// Any [`IdentityError`] but `Io`, `Expired`, `NotYetValid` and `NoSuchIdentity`; `SeveralIdentities` when there
    /// is a choice to make, see [`Identities`].
    pub fn from_bytes(bytes: &[u8], password: Option<&str>) -> Result<Self, IdentityError> {
        Identities::from_bytes(bytes, password)?.single()
    }

    /// Reads PEM: certificates and keys in one text or two, in any order.
    ///
    /// Keys may be PKCS#8, PKCS#1 (`RSA PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) or encrypted PKCS#8. A single
    /// certificate or key in DER, or in bare base64, is taken as well. Of several certificates the one that the key
    /// belongs to is the client's; those that issued it follow, the rest is left out. Where a certificate was renewed
    /// for the same key, the one that lasts longest counts.
    ///
    /// # Errors
    ///
    /// As for [`from_bytes`](Self::from_bytes); PKCS#12 is [`IdentityError::IsPkcs12`].
    pub fn from_pem(certificate: &[u8], key: Option<&[u8]>, password: Option<&str>) -> Result<Self, IdentityError> {
        Identities::from_pem(certificate, key, password)?.single()
    }

    /// Reads PKCS#12 (`.p12`, `.pfx`), in old encryption (RC2-40, Triple DES) or new (AES).
    ///
    /// # Errors
    ///
    /// As for [`from_bytes`](Self::from_bytes); anything but PKCS#12 is [`IdentityError::NotPkcs12`]. Without the crate
    /// feature `pkcs12` always [`IdentityError::FeatureDisabled`].
    pub fn from_pkcs12(bytes: &[u8], password: &str) -> Result<Self, IdentityError> {
        Identities::from_pkcs12(bytes, password)?.single()
    }

    /// Reads one file, or two where the key has its own.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Io`] when a file cannot be read, otherwise as for [`from_bytes`](Self::from_bytes) and
    /// [`from_pem`](Self::from_pem).
    pub fn from_files(certificate: &Path, key: Option<&Path>, password: Option<&str>) -> Result<Self, IdentityError> {
        Identities::from_files(certificate, key, password)?.single()
    }

    /// The certificate that the key belongs to.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The certificate, then each issuer that came with it. Never empty.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &Certificate> {
        self.chain.iter().map(|certificate| &**certificate)
    }

    /// The private key in PKCS#8 (`PrivateKeyInfo`, DER). A secret.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        &self.key
    }

    /// The chain as PEM, for TLS libraries that want it so.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        let mut out = String::new();
        for certificate in self.chain() {
            pem::encode(&mut out, "CERTIFICATE", certificate.der());
        }
        out
    }

    /// The private key as PEM (`PRIVATE KEY`), for TLS libraries that want it so. A secret; overwritten when dropped.
    #[must_use]
    pub fn private_key_pem(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(pem::encoded_length("PRIVATE KEY", &self.key)));
        pem::encode(&mut out, "PRIVATE KEY", &self.key);
        out
    }

    /// See [`Certificate::subject`].
    #[must_use]
    pub fn subject(&self) -> &str {
        self.certificate().subject()
    }

    /// See [`Certificate::issuer`].
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.certificate().issuer()
    }

    /// See [`Certificate::serial`].
    #[must_use]
    pub fn serial(&self) -> &str {
        self.certificate().serial()
    }

    /// See [`Certificate::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate().fingerprint()
    }

    /// See [`Certificate::default_topic`].
    #[must_use]
    pub fn default_topic(&self) -> Option<&str> {
        self.certificate().default_topic()
    }

    /// See [`Certificate::topics`].
    #[must_use]
    pub fn topics(&self) -> &[String] {
        self.certificate().topics()
    }

    /// See [`Certificate::environment`].
    #[must_use]
    pub fn environment(&self) -> Option<CertificateEnvironment> {
        self.certificate().environment()
    }

    /// See [`Certificate::not_before`].
    #[must_use]
    pub fn not_before(&self) -> WallTime {
        self.certificate().not_before()
    }

    /// See [`Certificate::not_after`].
    #[must_use]
    pub fn not_after(&self) -> WallTime {
        self.certificate().not_after()
    }

    /// How the certificate's dates stand to `now`.
    #[must_use]
    pub fn validity(&self, now: WallTime) -> Validity {
        self.certificate().validity(now)
    }

    /// Whether it can be used. The one judgement that checking and sending share.
    #[must_use]
    pub fn judge(&self, purpose: Purpose<'_>, now: WallTime) -> Verdict {
        let mut verdict = self.certificate().judge(purpose, now);
        if let Some(trouble) = &self.key_trouble
            && !verdict.problems.contains(trouble)
        {
            verdict.problems.push(IdentityError::clone(trouble));
        }
        verdict
    }

    /// The first of the problems that [`judge`](Self::judge) finds. Clients ask before every connection: a certificate
    /// can expire while the process runs.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Expired`], [`IdentityError::NotYetValid`], [`IdentityError::CodeSigning`] and
    /// [`IdentityError::UnsupportedKey`].
    pub fn ensure_usable(&self, now: WallTime) -> Result<(), IdentityError> {
        self.judge(Purpose::default(), now).problems.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Equal when certificate, chain and key are.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        // A certificate has one key, and both were checked against it.
        self.chain == other.chain
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("serial", &self.serial())
            .field("topics", &self.topics())
            .field("environment", &self.environment())
            .field("not_after", &self.not_after())
            .field("certificates", &self.chain.len())
            .field("private_key", &"redacted")
            .finish()
    }
}

/// All identities that one credential holds; at least one.
///
/// Keychains are exported whole, and Java keeps several keys in one store. The constructors of [`Identity`] refuse to
/// guess among them; here one is chosen.
///
/// ```
/// use apns_credentials::{Identities, IdentityError};
///
/// let both = [
///     &include_bytes!("../tests/fixtures/development.cert.pem")[..],
///     include_bytes!("../tests/fixtures/development.key.pem"),
///     include_bytes!("../tests/fixtures/production.cert.pem"),
///     include_bytes!("../tests/fixtures/production.key.pem"),
/// ]
/// .concat();
/// let identity = Identities::from_pem(&both, None, None)?.with_subject("com.example.dev")?;
/// assert_eq!(identity.topics(), ["com.example.dev"]);
/// # Ok::<(), IdentityError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities(Vec<Identity>);

impl Identities {
    /// As [`Identity::from_bytes`], without the choice.
    ///
    /// # Errors
    ///
    /// As there, but never `SeveralIdentities`.
    pub fn from_bytes(bytes: &[u8], password: Option<&str>) -> Result<Self, IdentityError> {
        matching::identities(Material::read(bytes, password)?).map(Self)
    }

    /// As [`Identity::from_pem`], without the choice.
    ///
    /// # Errors
    ///
    /// As there, but never `SeveralIdentities`.
    pub fn from_pem(certificate: &[u8], key: Option<&[u8]>, password: Option<&str>) -> Result<Self, IdentityError> {
        let mut material = Material::default();
        for bytes in [Some(certificate), key].into_iter().flatten() {
            match Source::recognise(bytes)? {
                Source::Pem(text) => material.add_pem(&text, password)?,
                Source::Der(Kind::Pkcs12, _) => return Err(IdentityError::IsPkcs12),
                Source::Der(kind, der) => material.add_der(kind, &der, password)?,
            }
        }
        matching::identities(material).map(Self)
    }

    /// As [`Identity::from_pkcs12`], without the choice.
    ///
    /// # Errors
    ///
    /// As there, but never `SeveralIdentities`.
    pub fn from_pkcs12(bytes: &[u8], password: &str) -> Result<Self, IdentityError> {
        let mut material = Material::default();
        match Source::recognise(bytes)? {
            Source::Der(Kind::Pkcs12, der) => material.add_der(Kind::Pkcs12, &der, Some(password))?,
            Source::Der(kind, _) => return Err(IdentityError::NotPkcs12 { found: kind.name() }),
            Source::Pem(_) => return Err(IdentityError::NotPkcs12 { found: "PEM" }),
        }
        matching::identities(material).map(Self)
    }

    /// As [`Identity::from_files`], without the choice.
    ///
    /// # Errors
    ///
    /// As there, but never `SeveralIdentities`.
    pub fn from_files(certificate: &Path, key: Option<&Path>, password: Option<&str>) -> Result<Self, IdentityError> {
        let first = read(certificate)?;
        match key {
            None => Self::from_bytes(&first, password),
            Some(key) => Self::from_pem(&first, Some(&read(key)?), password),
        }
    }

    /// The only one.
    ///
    /// # Errors
    ///
    /// [`IdentityError::SeveralIdentities`] when it is not the only one.
    pub fn single(self) -> Result<Identity, IdentityError> {
        let subjects = self.subjects();
        let mut all = self.0.into_iter();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            (_, _) => Err(IdentityError::SeveralIdentities { subjects }),
        }
    }

    /// The one that has `wanted` among its topics or in its subject. Topics are compared whole and come first; the
    /// subject only has to contain it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoSuchIdentity`] when there is none, [`IdentityError::SeveralIdentities`] when several match.
    pub fn with_subject(self, wanted: &str) -> Result<Identity, IdentityError> {
        let subjects = self.subjects();
        let matching = |test: &dyn Fn(&Identity) -> bool| -> Vec<Identity> {
            self.0.iter().filter(|identity| test(identity)).cloned().collect()
        };
        let mut found = matching(&|identity| identity.topics().iter().any(|topic| topic == wanted));
        if found.is_empty() {
            found = matching(&|identity| identity.subject().contains(wanted));
        }
        if found.is_empty() {
            return Err(IdentityError::NoSuchIdentity { wanted: wanted.to_owned(), subjects });
        }
        Self(found).single()
    }

    /// All of them, in the order of their certificates.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Identity> {
        self.0.iter()
    }

    fn subjects(&self) -> Vec<String> {
        self.0.iter().map(|identity| identity.subject().to_owned()).collect()
    }
}

/// One byte more than allowed is read, so that whatever judges the bytes sees that there are too many.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let io = |error: io::Error| IdentityError::Io { path: path.to_owned(), kind: error.kind() };
    let file = fs::File::open(path).map_err(io)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}
