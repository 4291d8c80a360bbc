//! Why TLS did not come about, in words that are the same on every TLS library.

use std::fmt::Display;

use apns_proto::TlsCause;

use super::Alert;

/// Why TLS did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsFailure {
    /// What was wrong, and with it who has to act.
    pub cause: TlsCause,
    /// What happened and what to do, for a person.
    pub message: String,
}

impl TlsFailure {
    /// This side's settings cannot be used.
    pub fn settings(message: impl Into<String>) -> Self {
        Self { cause: TlsCause::Settings, message: message.into() }
    }

    /// Nobody who is trusted vouches for the server. `who` is the issuer or the chain, as far as the library tells.
    pub fn untrusted(host: &str, who: impl Display) -> Self {
        let message = format!("{host} is not trusted: {who}; give its certificate authority if you trust it");
        Self { cause: TlsCause::UntrustedServer, message }
    }

    /// The certificate of the server has expired or is not valid yet; `why` says which.
    pub fn expired(host: &str, why: impl Display) -> Self {
        let message = format!(
            "the certificate of {host} is not valid now: {why}; its owner has to renew it, unless this machine's clock \
             is wrong"
        );
        Self { cause: TlsCause::ServerExpired, message }
    }

    /// The certificate of the server is for another name.
    pub fn wrong_name(host: &str) -> Self {
        let message = format!("the server's certificate is not for {host}: check the host name");
        Self { cause: TlsCause::WrongName, message }
    }

    /// The server ended the handshake with this alert.
    pub fn alert(host: &str, alert: Alert) -> Self {
        Self { cause: alert.cause(), message: format!("{host}: {alert}") }
    }

    /// Anything else.
    pub fn other(host: &str, why: impl Display) -> Self {
        Self { cause: TlsCause::Other, message: format!("{host}: {why}") }
    }
}
