//! The folder that a simulator writes its credentials to, and finds them in again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use apns_driver::apns_credentials::Certificate;
use apns_driver::files::replace_private;

use crate::certificates::{Certificates, Kept};
use crate::provider::SigningKeyPair;
use crate::simulator::StartError;

/// A folder for the credentials of a simulator, see [`Builder::credentials_in`](crate::Builder::credentials_in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFolder {
    path: PathBuf,
    readable: bool,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file cannot be read.
    #[error("{name} cannot be read: {source}")]
    Read {
        /// Its name in the folder.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{name} cannot be written: {source}")]
    Write {
        /// Its name in the folder.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the simulator wrote there.
    #[error("{name} is not what it has to be, {fault}; take the files of the simulator away, and it makes new ones")]
    Unusable {
        /// Its name in the folder.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
}

/// The names of the files.
const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const CLIENT: &str = "client.pem";
const CLIENT_KEY: &str = "client.key";
const CLIENT_PKCS12: &str = "client.p12";

/// As Apple names the file of a key.
pub(crate) fn signing_key_name(key_id: &str) -> String {
    format!("AuthKey_{key_id}.p8")
}

/// What a folder had from an earlier simulator.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) keys: Option<Kept>,
    pub(crate) signing_key: Option<String>,
}

impl CredentialFolder {
    /// This folder, which is made if need be. Private keys are for the owner to read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readable: false }
    }

    /// Everybody may read the files that clients need, private keys among them: for clients in another container, whose
    /// user is another one. The key of the authority stays private.
    #[must_use]
    pub const fn readable(mut self) -> Self {
        self.readable = true;
        self
    }

    /// What an earlier simulator left. A folder without the key of its authority has nothing that could stay.
    pub(crate) fn find(&self, key_id: &str) -> Result<Found, FolderError> {
        let Some(authority_key) = self.read(AUTHORITY_KEY)? else { return Ok(Found::default()) };
        let Some(authority) = self.read(AUTHORITY)? else { return Ok(Found::default()) };
        let unusable = |name: &str, fault: String| FolderError::Unusable { name: name.to_owned(), fault };
        let certificates = Certificate::all_in(authority.as_bytes(), None);
        let certificates = certificates.map_err(|error| unusable(AUTHORITY, error.to_string()))?;
        let key = rcgen::KeyPair::from_pem(&authority_key);
        let key = key.map_err(|error| unusable(AUTHORITY_KEY, error.to_string()))?;
        let own =
            certificates.iter().any(|one| one.public_key_info() == rcgen::PublicKeyData::subject_public_key_info(&key));
        if !own {
            return Err(unusable(AUTHORITY_KEY, "it is not the key of ca.pem".to_owned()));
        }
        let keys = Kept { authority, authority_key, client_key: self.read(CLIENT_KEY)? };
        Ok(Found { keys: Some(keys), signing_key: self.read(&signing_key_name(key_id))? })
    }

    pub(crate) fn unusable(&self, error: FolderError) -> StartError {
        StartError::Folder { path: self.path.clone(), error }
    }

    fn read(&self, name: &str) -> Result<Option<String>, FolderError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError::Read { name: name.to_owned(), source }),
        }
    }

    /// Writes what clients need; the key of the authority as well where it is to be found again.
    pub(crate) fn write(&self, made: &Certificates, key: &SigningKeyPair, stay: bool) -> Result<(), FolderError> {
        let failed = |name: &str, source| FolderError::Write { name: name.to_owned(), source };
        fs::create_dir_all(&self.path).map_err(|source| failed("the folder", source))?;
        let public = |name: &str, contents: &[u8]| {
            let path = self.path.join(name);
            let written = fs::write(&path, contents).and_then(|()| self.open_to_all(&path));
            written.map_err(|source| failed(name, source))
        };
        let private = |name: &str, contents: &[u8]| {
            let path = self.path.join(name);
            // A key is nobody else's business, not even that of a test, unless it was said so.
            let written = replace_private(&path, contents).map(drop).and_then(|()| self.open_to_all(&path));
            written.map_err(|source| failed(name, source))
        };
        self.open_to_all(&self.path).map_err(|source| failed("the folder", source))?;
        public(AUTHORITY, made.authority.as_bytes())?;
        public(CLIENT, made.client.as_bytes())?;
        private(CLIENT_KEY, made.client_key.as_bytes())?;
        let pkcs12 = made.pkcs12().map_err(|error| failed(CLIENT_PKCS12, io::Error::other(error)))?;
        private(CLIENT_PKCS12, &pkcs12)?;
        if let Some(pem) = key.made_here() {
            private(&signing_key_name(key.key_id()), pem.as_bytes())?;
        }
        if stay {
            let path = self.path.join(AUTHORITY_KEY);
            let written = replace_private(&path, made.authority_key.as_bytes()).map(drop);
            written.map_err(|source| failed(AUTHORITY_KEY, source))?;
        }
        Ok(())
    }

    /// For everybody to read, where that is wanted.
    #[cfg(unix)]
    fn open_to_all(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;

        if !self.readable {
            return Ok(());
        }
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    fn open_to_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("keys", &self.keys.is_some()).finish_non_exhaustive()
    }
}
