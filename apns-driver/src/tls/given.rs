//! Servers whose very certificate was given as trusted.

use apns_credentials::{Certificate, Validity, internal::date};
use apns_proto::WallTime;

use super::{Roots, TlsFailure};

impl Roots {
    /// Judges a server by its certificate alone, where that is byte for byte one of those given. A certificate that a
    /// person chose needs nobody to vouch for it: not an issuer, not an extension, not its own signature. Its name and
    /// its dates are checked all the same.
    ///
    /// `None` when it is none of them.
    #[must_use]
    pub fn judge_given(&self, der: &[u8], host: &str, now: WallTime) -> Option<Result<(), TlsFailure>> {
        self.given().iter().find(|given| *given == der)?;
        // What TLS libraries read of a certificate differs; what none of them can, this cannot trust either.
        let certificate = Certificate::from_der(der).ok()?;
        Some(match certificate.validity(now) {
            Validity::Expired { at } => Err(TlsFailure::expired(host, format_args!("it expired at {}", date(at)))),
            Validity::NotYet { at } => {
                Err(TlsFailure::expired(host, format_args!("it is not valid before {}", date(at))))
            }
            Validity::Ok | Validity::ExpiresSoon { .. } if certificate.is_for_host(host) => Ok(()),
            Validity::Ok | Validity::ExpiresSoon { .. } => Err(TlsFailure::wrong_name(host)),
        })
    }

    /// Whether one of those given can only be a server's own: it is no authority that could issue others.
    #[must_use]
    pub fn gives_servers(&self) -> bool {
        let is_server = |der: &Vec<u8>| Certificate::from_der(der).is_ok_and(|read| !read.is_authority());
        self.given().iter().any(is_server)
    }
}
