//! Why there is no connection, and what to do about it.

use std::fmt;

use apns_proto::{CloseReason, DialFailure, DialStep};
use apns_tokio::{BuildError, ClientEvent, Endpoint, IdentityError};

/// No connection, or none that is of use: the cause, and a remedy where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    endpoint: String,
    cause: String,
    remedy: Option<&'static str>,
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection to {}: {}", self.endpoint, self.cause)?;
        match self.remedy {
            Some(remedy) => write!(f, "\n      {remedy}"),
            None => Ok(()),
        }
    }
}

const CERTIFICATE_REMEDY: &str =
    "Use a certificate with --cert that the service knows, of the same environment, and that is still valid.";

impl Trouble {
    /// Some cause, in the words of whoever noticed it.
    pub(crate) fn other(endpoint: &Endpoint, cause: impl fmt::Display) -> Self {
        Self { endpoint: endpoint.to_string(), cause: cause.to_string(), remedy: None }
    }

    /// A connection could not be opened.
    pub(crate) fn dial(endpoint: &Endpoint, failure: &DialFailure) -> Self {
        let remedy = match failure.step {
            DialStep::Resolve => Some("Check the spelling of --host, and that this machine's name service works."),
            DialStep::Connect => {
                Some("Check --host and --port, that the service runs, and that no firewall is between.")
            }
            DialStep::Tls if failure.fatal => Some(
                "If the service's authority is a private one that you trust, give its certificate with --ca; \
                 and --host must be a name that the service's certificate is for.",
            ),
            DialStep::Tls => Some("Check that --port is that of the service: what answers there may not speak TLS."),
            DialStep::Certificate => Some(CERTIFICATE_REMEDY),
            _ => None,
        };
        Self { endpoint: endpoint.to_string(), cause: failure.to_string(), remedy }
    }

    /// The peer closed because it does not want these credentials.
    pub(crate) fn refused(endpoint: &Endpoint, words: impl fmt::Display) -> Self {
        let cause = format!("the server refused the client certificate: {words}");
        Self { endpoint: endpoint.to_string(), cause, remedy: Some(CERTIFICATE_REMEDY) }
    }

    /// The client could not even be started, because the certificate has expired or is not valid yet. Other reasons are
    /// no trouble of this kind, and come back.
    pub(crate) fn start(endpoint: &Endpoint, error: BuildError) -> Result<Self, BuildError> {
        match error {
            BuildError::Identity(error @ (IdentityError::Expired { .. } | IdentityError::NotYetValid { .. })) => {
                let remedy = Some("Give a certificate that is valid now with --cert.");
                Ok(Self { endpoint: endpoint.to_string(), cause: error.to_string(), remedy })
            }
            other => Err(other),
        }
    }

    /// What an event says about why there is no connection, if it does.
    pub(crate) fn event(endpoint: &Endpoint, event: &ClientEvent) -> Option<Self> {
        match event {
            ClientEvent::DialFailed { failure, .. } => Some(Self::dial(endpoint, failure)),
            ClientEvent::Closed { report, .. } => match &report.reason {
                CloseReason::Refused(words) => Some(Self::refused(endpoint, words)),
                CloseReason::ErrorResponse(summary) if summary.condemns_topic() => Some(Self {
                    endpoint: endpoint.to_string(),
                    cause: report.reason.to_string(),
                    remedy: Some(
                        "The certificate gives no topic that the service knows: use that of the app with --cert.",
                    ),
                }),
                CloseReason::Finished | CloseReason::ClosedHere | CloseReason::ErrorResponse(_) => None,
                reason @ CloseReason::NotThisProtocol { .. } => {
                    let remedy = Some("Check that --port is that of the service and not of another one.");
                    Some(Self { remedy, ..Self::other(endpoint, reason) })
                }
                reason => Some(Self::other(endpoint, reason)),
            },
            _ => None,
        }
    }
}
