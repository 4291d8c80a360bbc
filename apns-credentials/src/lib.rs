//! Credentials of a push provider: client certificates, private keys and signing keys, parsed from every common form, for
//! any TLS library. No I/O except in [`Identity::from_files`], no clock, no runtime, nothing asynchronous.
//!
//! # Who it is for
//!
//! Applications get these types from their transport (`apns-tokio`, `apns-smol`, `apns-async-std`). Use this crate with
//! `apns-proto` when you write your own transport.
//!
//! # A first program
//!
//! The gateway, the feedback service and (without a provider token) the HTTP/2 provider API identify an app by the
//! certificate of its provider. The certificate may be PEM in one or two files, a PKCS#12 file made by Keychain Access,
//! OpenSSL, Java or NSS, or base64 in an environment variable. [`Identity`] parses all of these, checks that the key
//! belongs to the certificate, and returns plain DER.
//!
//! ```
//! use apns_credentials::{CertificateEnvironment, Identity, Validity};
//! use apns_proto::WallTime;
//!
//! let identity = Identity::from_pem(
//!     include_bytes!("../tests/fixtures/universal.cert.pem"),
//!     Some(include_bytes!("../tests/fixtures/universal.key.pem")),
//!     None,
//! )?;
//! assert_eq!(identity.default_topic(), Some("com.example.app"));
//! assert_eq!(identity.topics(), ["com.example.app", "com.example.app.voip", "com.example.app.complication"]);
//! assert_eq!(identity.environment(), Some(CertificateEnvironment::Both));
//! assert_eq!(identity.validity(WallTime::from_secs(1_800_000_000)), Validity::Ok);
//! # Ok::<(), apns_credentials::IdentityError>(())
//! ```
//!
//! # What is where
//!
//! * [`Identity`], [`Identities`]: a certificate with its key and its chain, and the choice among several.
//! * [`Certificate`], [`CertificateEnvironment`], [`Validity`]: the contents of a certificate.
//! * [`Verdict`]: whether a certificate can be used; the same checks for a file and for a client that connects.
//! * [`SigningKey`], [`SigningSource`]: a `.p8` file, and the provider tokens that it signs.
//! * [`disclosure`]: what a message may show of a value that a user gave, which may be a secret in the wrong place.
//!
//! The feature `pkcs12` (on by default) reads files with a password. It depends on pre-release versions of cryptographic
//! libraries. Without the feature, such a file is an [`IdentityError::FeatureDisabled`].

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "pkcs12")]
mod algorithm;
#[cfg(feature = "pkcs12")]
mod ber;
mod certificate;
mod credential;
pub mod disclosure;
#[cfg(feature = "pkcs12")]
mod encrypted_key;
mod error;
mod es256;
mod extensions;
mod host_names;
mod matching;
mod material;
mod pem;
#[cfg(feature = "pkcs12")]
mod pkcs12;
mod private_key;
#[cfg(feature = "http2")]
mod signing_key;
#[cfg(feature = "http2")]
mod signing_source;
mod source;
mod tlv;
mod validity;
mod verdict;

pub use certificate::{Certificate, CertificateEnvironment, Fingerprint};
pub use credential::{Identities, Identity};
pub use error::{IdentityError, Part};
#[cfg(feature = "http2")]
pub use signing_key::{SigningKey, SigningKeyError};
#[cfg(feature = "http2")]
pub use signing_source::SigningSource;
pub use source::is_path;
pub use validity::Validity;
pub use verdict::{IdentityWarning, Purpose, Verdict};

/// What the other crates of the project share with this one, so that there is one reader of PEM, one way to write a date and
/// one to check a signature. Not for others: it changes without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::error::date;
    pub use crate::es256::{SignatureForm, verify_es256};
    pub use crate::material::authorities;
}
