//! Why a proxy opened no tunnel.

use std::fmt;

/// What was wrong with a proxy that was reached, and with it who has to act.
///
/// None of it says anything about what the service makes of a credential: the service was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyCause {
    /// It wants a user and a password, and was given none.
    CredentialsMissing,
    /// It does not take the user and the password, or not in the way that they are given here.
    CredentialsRefused,
    /// Its rules do not allow the service, or not for this client.
    Forbidden,
    /// It opens no tunnels, or none to a host name.
    NoTunnels,
    /// It could not reach the service.
    ServiceUnreachable,
    /// It cannot for now, and says so.
    Busy,
    /// It closed without an answer, or gave none in time.
    NoAnswer,
    /// What answers is no proxy of this kind.
    NotAProxy,
}

impl ProxyCause {
    /// Whether trying again is pointless until a person acts.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::CredentialsMissing | Self::CredentialsRefused | Self::Forbidden | Self::NoTunnels => true,
            Self::ServiceUnreachable | Self::Busy | Self::NoAnswer | Self::NotAProxy => false,
        }
    }
}

impl fmt::Display for ProxyCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsMissing => "the proxy wants a user and a password",
            Self::CredentialsRefused => "the proxy refused the user and the password",
            Self::Forbidden => "the proxy does not allow it",
            Self::NoTunnels => "the proxy opens no tunnels",
            Self::ServiceUnreachable => "the proxy could not reach the service",
            Self::Busy => "the proxy cannot for now",
            Self::NoAnswer => "the proxy did not answer",
            Self::NotAProxy => "what answers is no proxy of this kind",
        })
    }
}

/// A proxy opened no tunnel. [`Display`](fmt::Display) escapes what the proxy said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::Escaped(message))]
pub struct ProxyFailure {
    /// What was wrong.
    pub cause: ProxyCause,
    /// What happened, for a person, with the status or reply code and the proxy's own words.
    pub message: String,
}

impl ProxyFailure {
    pub(super) fn new(cause: ProxyCause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }
}

/// The most that is told of a proxy's words, in characters.
const LONGEST: usize = 200;

/// The proxy's words, cut where they are long.
pub(super) fn cut(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let words = words.trim();
    match words.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    }
}
