//! Why a receiver did not take what was sent.

use std::net::IpAddr;
use std::time::Duration;

use apns_proto::Escaped;

/// Why a receiver did not take what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookFailure {
    /// Its host has no address.
    #[error("{host} cannot be resolved: {why}")]
    Resolve {
        /// The host.
        host: String,
        /// What the system says.
        why: String,
    },
    /// None of the addresses of its host may be connected to.
    #[error("{host} is at {address}, which is not a public address: add it to `allow` of the webhook if it is meant")]
    Address {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The URL has no TLS, and the host is on the internet.
    #[error(
        "{host} is at the public address {address}, and is to be reached without TLS: use https://, or add it to `allow`"
    )]
    Plain {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS did not come about.
    #[error("TLS: {0}")]
    Tls(String),
    /// No connection came about in time.
    #[error("no connection came about within {} s", .0.as_secs_f32())]
    ConnectTime(Duration),
    /// No answer came in time.
    #[error("no answer came within {} s", .0.as_secs_f32())]
    AnswerTime(Duration),
    /// The connection ended before there was an answer, or what came was none.
    #[error("the connection ended without an answer: {0}")]
    Cut(String),
    /// The answer is a redirect, which is not followed.
    #[error("it answers {status}, a redirect{}: redirects are not followed, so write its new address into the configuration", to(.location.as_deref()))]
    Redirect {
        /// The status.
        status: u16,
        /// Where to.
        location: Option<String>,
    },
    /// The answer is 410: the receiver wants nothing more.
    #[error(
        "it answers 410 (gone), and is asked again now and then: remove the webhook from the configuration, or mend the receiver"
    )]
    Gone,
    /// The answer is that of a failure.
    #[error("it answers {status}{}", said(.words))]
    Status {
        /// The status.
        status: u16,
        /// How the answer's body begins.
        words: String,
        /// How long to wait, as the receiver says.
        retry_after: Option<Duration>,
    },
}

fn to(location: Option<&str>) -> String {
    location.map(|location| format!(" to {}", Escaped(location))).unwrap_or_default()
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {}", Escaped(words)) }
}

impl WebhookFailure {
    /// A stable word for the kind.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::Address { .. } | Self::Plain { .. } => "address",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::ConnectTime(_) | Self::AnswerTime(_) => "timeout",
            Self::Cut(_) => "cut",
            Self::Redirect { .. } => "redirect",
            Self::Gone => "gone",
            Self::Status { .. } => "status",
        }
    }

    /// The status of the answer, if there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Redirect { status, .. } | Self::Status { status, .. } => Some(*status),
            Self::Gone => Some(410),
            _ => None,
        }
    }

    /// How long to wait, as the receiver says.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_are_one_line_that_prints() {
        let words = "no\n2026 INFO all is well\u{1b}[2J".to_owned();
        let said = WebhookFailure::Status { status: 500, words, retry_after: None }.to_string();
        assert_eq!(said, r"it answers 500: no\n2026 INFO all is well\u{1b}[2J");
        let location = Some("https://x/\u{202e}".to_owned());
        let said = WebhookFailure::Redirect { status: 302, location }.to_string();
        assert!(
            said.starts_with(r"it answers 302, a redirect to https://x/\u{202e}: redirects are not followed"),
            "{said}"
        );
    }
}
