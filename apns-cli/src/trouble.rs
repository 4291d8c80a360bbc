//! Why there is no connection, and what to do about it.

use std::borrow::Cow;
use std::fmt;

use apns_proto::Escaped;
use apns_proto::http2::{Api, Reason};
use apns_proto::proxy::ProxyCause;
use apns_proto::{CloseReason, CredentialRefusal, DialFailure, DialStep, Rejection, TlsCause};
use apns_tokio::{BuildError, ClientEvent, Endpoint, IdentityError};

/// No connection, or none that is of use: the cause, and a remedy where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    kind: &'static str,
    endpoint: String,
    cause: String,
    remedy: Option<Cow<'static, str>>,
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, Escaped(&self.endpoint), Escaped(&self.cause))?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n      {}", Escaped(remedy)),
            None => Ok(()),
        }
    }
}

const CERTIFICATE_REMEDY: &str =
    "Use a certificate with --cert that the service knows, of the same environment, and that is still valid.";

const VALID_CERTIFICATE: &str = "Give a certificate that is valid now with --cert.";

/// Without a connection nothing can be sent.
const NO_CONNECTION: &str = "no connection to";

/// There is a connection, but the other side does not accept who we are.
const REFUSED: &str = "refused by";

impl Trouble {
    fn new(endpoint: &Endpoint, cause: impl fmt::Display, remedy: Option<&'static str>) -> Self {
        let cause = cause.to_string();
        Self { kind: NO_CONNECTION, endpoint: endpoint.to_string(), cause, remedy: remedy.map(Cow::Borrowed) }
    }

    /// What happened.
    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do, where that is known.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Some cause, in the words of what noticed it.
    pub(crate) fn other(endpoint: &Endpoint, cause: impl fmt::Display) -> Self {
        Self::new(endpoint, cause, None)
    }

    /// A connection could not be opened.
    pub(crate) fn dial(endpoint: &Endpoint, failure: &DialFailure) -> Self {
        let remedy = match (failure.tls, failure.proxy) {
            (Some(cause), _) if failure.step == DialStep::ProxyTls => proxy_tls_remedy(cause),
            (Some(cause), _) => tls_remedy(cause),
            (None, Some(cause)) => proxy_remedy(cause),
            (None, None) => match failure.step {
                DialStep::ProxyResolve => Some(
                    "Check the spelling of the proxy's host (--proxy, APNS_PROXY, HTTPS_PROXY, ALL_PROXY), and that this \
                     machine's name service works.",
                ),
                DialStep::ProxyConnect => Some(
                    "Check the proxy's host and port (--proxy, APNS_PROXY, HTTPS_PROXY, ALL_PROXY), and that it runs; \
                     --no-proxy does without it.",
                ),
                DialStep::ProxyTls => Some(PROXY_TLS_REMEDY),
                DialStep::Resolve => Some("Check the spelling of --host, and that this machine's name service works."),
                DialStep::Connect if endpoint.port() == 443 => Some(
                    "Check --host and --port, that the service runs, and that no firewall is between. Apple serves the same at \
                     port 2197, for firewalls that block 443: --port 2197.",
                ),
                DialStep::Connect => {
                    Some("Check --host and --port, that the service runs, and that no firewall is between.")
                }
                DialStep::Tls => {
                    Some("Check that --port is that of the service: what answers there may not speak TLS.")
                }
                DialStep::Identity => Some(VALID_CERTIFICATE),
                DialStep::Certificate => Some(CERTIFICATE_REMEDY),
                DialStep::Protocol => Some(PROTOCOL_REMEDY),
                _ => None,
            },
        };
        Self::new(endpoint, failure, remedy)
    }

    /// The peer closed because it does not want these credentials.
    pub(crate) fn refused(endpoint: &Endpoint, words: impl fmt::Display) -> Self {
        Self::new(
            endpoint,
            format_args!("the server refused the client certificate: {words}"),
            Some(CERTIFICATE_REMEDY),
        )
    }

    /// The service does not take the credential.
    pub(crate) fn credential(endpoint: &Endpoint, refusal: &CredentialRefusal) -> Self {
        match refusal {
            CredentialRefusal::Answer(rejection) => Self::rejected(endpoint, rejection),
            CredentialRefusal::GoAway(reason) => {
                let reason = Reason::from(&**reason);
                let happened = refusal.explain().happened;
                let trouble = Self::other(endpoint, format_args!("{reason}: {happened}"));
                Self { kind: REFUSED, remedy: Some(remedy_for(&reason)), ..trouble }
            }
            // In the handshake or just behind it; the words say all.
            CredentialRefusal::Tls(words) => Self::refused(endpoint, words),
            other => Self::new(endpoint, other, Some(VALID_CERTIFICATE)),
        }
    }

    /// The service refused all that was sent because of who sends it.
    pub(crate) fn rejected(endpoint: &Endpoint, rejection: &Rejection) -> Self {
        let explanation = rejection.explain();
        let cause = format!("{} {}: {}", rejection.status(), rejection.reason(), explanation.happened);
        let remedy = match rejection {
            Rejection::Provider(provider) => provider.reason().map_or(Cow::Borrowed(explanation.to_do), remedy_for),
            _ => Cow::Borrowed(explanation.to_do),
        };
        Self { kind: REFUSED, endpoint: endpoint.to_string(), cause, remedy: Some(remedy) }
    }

    /// The client could not even be started, because the certificate cannot be used. Other reasons are no trouble of this
    /// kind, and come back.
    pub(crate) fn start(endpoint: &Endpoint, error: BuildError) -> Result<Self, BuildError> {
        match error {
            BuildError::Identity(error @ (IdentityError::Expired { .. } | IdentityError::NotYetValid { .. })) => {
                Ok(Self::new(endpoint, error, Some(VALID_CERTIFICATE)))
            }
            BuildError::Identity(error) => Ok(Self::new(endpoint, error, None)),
            other => Err(other),
        }
    }

    /// What an event says about why there is no connection, if it does.
    pub(crate) fn event(endpoint: &Endpoint, event: &ClientEvent) -> Option<Self> {
        match event {
            ClientEvent::DialFailed { failure, .. } => Some(Self::dial(endpoint, failure)),
            ClientEvent::Closed { report, .. } => Self::closed(endpoint, &report.reason),
            _ => None,
        }
    }

    fn closed(endpoint: &Endpoint, reason: &CloseReason) -> Option<Self> {
        if let CloseReason::Refused(words) = reason {
            return Some(Self::refused(endpoint, words));
        }
        if let Some(refusal) = reason.credential_refusal() {
            return Some(Self::credential(endpoint, &refusal));
        }
        match reason {
            CloseReason::Finished | CloseReason::ClosedHere | CloseReason::ErrorResponse(_) => None,
            CloseReason::NotThisProtocol { .. } => Some(Self::new(
                endpoint,
                reason,
                Some("Check that --port is that of the service and not of another one."),
            )),
            CloseReason::NotHttp2 { .. } => Some(Self::new(endpoint, reason, Some(PROTOCOL_REMEDY))),
            other => Some(Self::other(endpoint, other)),
        }
    }
}

const fn tls_remedy(cause: TlsCause) -> Option<&'static str> {
    match cause {
        TlsCause::UntrustedServer => Some(
            "If the service's authority is a private one that you trust, give its certificate with --ca; if it should be \
             Apple, something on the way is listening.",
        ),
        TlsCause::ServerExpired => Some(
            "Set this computer's clock if it is wrong; otherwise the operator of the service has to renew its certificate.",
        ),
        TlsCause::WrongName => Some("--host must be a name that the service's certificate is for."),
        TlsCause::ClientMissing | TlsCause::ClientRefused => Some(CERTIFICATE_REMEDY),
        TlsCause::NoCommonProtocol => Some(PROTOCOL_REMEDY),
        // The words say what is wrong on this side.
        TlsCause::Settings => None,
        _ => Some("Check that --port is that of the service: what answers there may not speak TLS."),
    }
}

const PROXY_TLS_REMEDY: &str =
    "If the proxy speaks no TLS itself, as most do not, its URL begins with http:// and not with https://.";

const fn proxy_tls_remedy(cause: TlsCause) -> Option<&'static str> {
    match cause {
        TlsCause::UntrustedServer => {
            Some("If the proxy's authority is one that you trust, give its certificate with --proxy-ca.")
        }
        TlsCause::ServerExpired => Some(
            "Set this computer's clock if it is wrong; otherwise the operator of the proxy has to renew its certificate.",
        ),
        TlsCause::WrongName => Some("The host in --proxy must be a name that the proxy's certificate is for."),
        TlsCause::ClientMissing | TlsCause::ClientRefused => {
            Some("The proxy wants a client certificate of its own, which cannot be given to it here.")
        }
        // The words say what is wrong on this side.
        TlsCause::Settings => None,
        _ => Some(PROXY_TLS_REMEDY),
    }
}

const fn proxy_remedy(cause: ProxyCause) -> Option<&'static str> {
    match cause {
        ProxyCause::CredentialsMissing => {
            Some("Give the proxy a user and a password: --proxy http://USER@HOST:PORT with --proxy-password-file FILE.")
        }
        ProxyCause::CredentialsRefused => Some(
            "Check user and password for the proxy; in its URL @ is written %40, : is %3A, / is %2F. The credentials for \
             the push service were not looked at.",
        ),
        ProxyCause::Forbidden => {
            Some("The operator of the proxy has to allow CONNECT to this host and port from this machine.")
        }
        ProxyCause::NoTunnels => {
            Some("Check that --proxy is a proxy for HTTPS (CONNECT) or SOCKS version 5, and that it allows this port.")
        }
        ProxyCause::ServiceUnreachable => {
            Some("Check --host and --port, and that the proxy's own network and name service reach them.")
        }
        ProxyCause::Busy | ProxyCause::NoAnswer => Some("Try again later; the operator of the proxy may know more."),
        ProxyCause::NotAProxy => Some(
            "Check host, port and the beginning of the proxy's URL: http:// for HTTP, socks5h:// for SOCKS version 5.",
        ),
        _ => None,
    }
}

const PROTOCOL_REMEDY: &str =
    "Check --host and --port: what answers there does not speak HTTP/2 (h2). A proxy in between may take it away.";

/// What to do about a reason, in the words of this command where it has any.
fn remedy_for(reason: &Reason) -> Cow<'static, str> {
    match reason {
        Reason::BadCertificateEnvironment => {
            Cow::Borrowed("Use --sandbox with a development certificate, and leave it out with a production one.")
        }
        Reason::BadEnvironmentKeyIdInToken => Cow::Borrowed(
            "The key is for the other environment: use --sandbox, or leave it out, or give a key that covers both.",
        ),
        Reason::InvalidProviderToken => Cow::Borrowed(
            "Check that --key-id belongs to this very --p8 file, that --team-id is the team's, and that the key was not \
             revoked.",
        ),
        Reason::BadCertificate => {
            Cow::Borrowed("Make a new push certificate in the developer portal, or move to a signing key with --p8.")
        }
        other => other.explain(Api::Device).map_or_else(
            || Cow::Borrowed("Look the reason up in Apple's \"Handling notification responses from APNs\"."),
            |explanation| Cow::Borrowed(explanation.to_do),
        ),
    }
}
