//! Client certificates: read once, in whatever form they are stored, for every TLS stack.
//!
//! The gateway, the feedback service and (where no provider token is used) the HTTP/2 provider API know an app by the
//! certificate of its provider. People keep that certificate as PEM in one file or two, as a PKCS#12 file made by
//! Keychain Access, OpenSSL, Java or NSS, or as base64 in an environment variable. [`Identity`] takes them all, checks
//! that the key belongs to the certificate, and gives plain DER back.
//!
//! ```
//! use apns_driver::identity::{CertificateEnvironment, Identity, Validity};
//! use apns_proto::WallTime;
//!
//! let identity = Identity::from_pem(
//!     include_bytes!("../../tests/fixtures/universal.cert.pem"),
//!     Some(include_bytes!("../../tests/fixtures/universal.key.pem")),
//!     None,
//! )?;
//! assert_eq!(identity.default_topic(), Some("com.example.app"));
//! assert_eq!(identity.topics(), ["com.example.app", "com.example.app.voip", "com.example.app.complication"]);
//! assert_eq!(identity.environment(), Some(CertificateEnvironment::Both));
//! assert_eq!(identity.validity(WallTime::from_secs(1_800_000_000)), Validity::Ok);
//! # Ok::<(), apns_driver::identity::IdentityError>(())
//! ```

#[cfg(feature = "pkcs12")]
mod algorithm;
#[cfg(feature = "pkcs12")]
mod ber;
mod certificate;
mod credential;
#[cfg(feature = "pkcs12")]
mod encrypted_key;
mod error;
mod extensions;
mod host_names;
mod matching;
mod material;
mod pem;
#[cfg(feature = "pkcs12")]
mod pkcs12;
mod private_key;
mod source;
mod tlv;
mod validity;
mod verdict;

pub use certificate::{Certificate, CertificateEnvironment, Fingerprint};
pub use credential::{Identities, Identity};
pub(crate) use error::date;
pub use error::{IdentityError, Part};
pub(crate) use material::authorities;
pub use source::is_path;
pub use validity::Validity;
pub use verdict::{IdentityWarning, Purpose, Verdict};
