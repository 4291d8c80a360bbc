//! The service does not take who sends.

use std::fmt;
use std::sync::Arc;

use crate::{Escaped, Explanation, Rejection};

/// How a credential was refused.
///
/// A refusal of the credential is no verdict on a notification: the service looked at none. What it concerns is sent again
/// once the credential is mended, or ends as [not sent](crate::NotSentCause::CredentialRefused).
///
/// ```
/// use apns_proto::CredentialRefusal;
/// use apns_proto::http2::{Api, ProviderRejection};
///
/// let answer = ProviderRejection::new(Api::Device, 403).with_reason("InvalidProviderToken");
/// let refusal = CredentialRefusal::Answer(answer.into());
/// assert_eq!((refusal.status(), refusal.reason()), (Some(403), Some("InvalidProviderToken")));
/// assert_eq!(refusal.to_string(), "403 InvalidProviderToken");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialRefusal {
    /// In the answer to a notification.
    Answer(Rejection),
    /// With Apple's word for the reason, as the service closed the connection (HTTP/2 GOAWAY).
    GoAway(Arc<str>),
    /// By a TLS alert, in words.
    Tls(Arc<str>),
    /// By this side: the client certificate is not valid now, by this machine's clock.
    NotValidNow(Arc<str>),
}

impl CredentialRefusal {
    /// The number that came with it: an HTTP status, or a status byte of the binary protocol.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(rejection) => Some(rejection.status()),
            Self::GoAway(_) | Self::Tls(_) | Self::NotValidNow(_) => None,
        }
    }

    /// Apple's word for the reason, or the name of the status byte.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Answer(rejection) => Some(rejection.reason()),
            Self::GoAway(reason) => Some(reason),
            Self::Tls(_) | Self::NotValidNow(_) => None,
        }
    }

    /// What happened and what to do, in plain words.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Answer(rejection) => rejection.explain(),
            #[cfg(feature = "http2")]
            Self::GoAway(reason) => crate::http2::Reason::from(&**reason)
                .explain(crate::http2::Api::Device)
                .unwrap_or(Explanation::new(SERVICE_REFUSES, SEE_CREDENTIAL)),
            #[cfg(not(feature = "http2"))]
            Self::GoAway(_) => Explanation::new(SERVICE_REFUSES, SEE_CREDENTIAL),
            Self::Tls(_) => Explanation::new(
                "The server refused the client certificate in the TLS handshake.",
                "Use a certificate that the service knows, of the same environment, and that is still valid.",
            ),
            Self::NotValidNow(_) => Explanation::new(
                "The client certificate has expired or is not valid yet, by this computer's clock.",
                "Renew the certificate, or set the clock if that is wrong.",
            ),
        }
    }
}

const SERVICE_REFUSES: &str = "The service refuses the credential.";
const SEE_CREDENTIAL: &str = "See that key, certificate and environment are the right ones.";

impl fmt::Display for CredentialRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(rejection) => write!(f, "{} {}", rejection.status(), Escaped(rejection.reason())),
            Self::GoAway(reason) => write!(f, "{}", Escaped(reason)),
            Self::Tls(words) => write!(f, "the server refused the client certificate: {}", Escaped(words)),
            Self::NotValidNow(words) => write!(f, "the client certificate cannot be used: {words}"),
        }
    }
}
