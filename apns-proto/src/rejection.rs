//! The service said no: what it said, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::binary::Status;
#[cfg(feature = "http2")]
use crate::http2::ProviderRejection;
use crate::{Retry, WallTime};

/// A refusal of a notification by the service.
///
/// It answers three questions, also for unknown reasons: what to do with the device token
/// ([`token_verdict`](Self::token_verdict)), whether to send again ([`retry`](Self::retry)), and whether a person has to act
/// ([`needs_person`](Self::needs_person)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// By the binary gateway, with a status byte.
    Gateway(Status),
    /// By the HTTP/2 provider API, with a status and usually a reason.
    #[cfg(feature = "http2")]
    Provider(Box<ProviderRejection>),
}

#[cfg(feature = "http2")]
impl From<ProviderRejection> for Rejection {
    fn from(rejection: ProviderRejection) -> Self {
        Self::Provider(Box::new(rejection))
    }
}

/// The service's reason and status number. Unprintable characters in the reason are escaped.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {})", self.reason().escape_debug(), self.status())
    }
}

enum_with_texts! {
    /// What to do after a refusal.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Reaction {
        /// Stop sending to this token for this topic.
        DropToken = "drop_token",
        /// The request is wrong; sending it unchanged is pointless.
        FixRequest = "fix_request",
        /// Key, certificate, topic permission or environment is wrong; a person must act.
        FixCredentials = "fix_credentials",
        /// Sign a new provider token and send again.
        RefreshToken = "refresh_token",
        /// Wait, then send again more slowly.
        BackOff = "back_off",
        /// Send again later.
        Retry = "retry",
        /// Open a new connection and send again.
        Reconnect = "reconnect",
    }

    /// A stable word for programs, such as `drop_token`.
    fn word;
}

impl Reaction {
    /// What it says about sending again, where nothing more is known and a fault passes in `wait`.
    pub(crate) const fn retry(self, wait: Duration) -> Retry {
        match self {
            Self::DropToken => Retry::Never,
            Self::FixRequest | Self::FixCredentials => Retry::AfterFix,
            Self::RefreshToken => Retry::NewToken,
            Self::BackOff | Self::Retry => Retry::After(wait),
            Self::Reconnect => Retry::NewConnection,
        }
    }
}

/// What a refusal means for the device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenVerdict {
    /// It says nothing against the token.
    Keep,
    /// Stop using it (once a wrong environment is ruled out).
    Drop,
    /// Stop using it, unless the app registered it again after this time.
    DropIfRegisteredBefore(WallTime),
}

impl TokenVerdict {
    /// A stable word for programs: `keep`, `drop` or `drop_if_registered_before`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::DropIfRegisteredBefore(_) => "drop_if_registered_before",
        }
    }

    /// Since when the app is gone from the device, where the service says so.
    #[must_use]
    pub const fn gone_since(self) -> Option<WallTime> {
        match self {
            Self::DropIfRegisteredBefore(time) => Some(time),
            Self::Keep | Self::Drop => None,
        }
    }

    /// Whether a token that was registered at this time should be dropped.
    #[must_use]
    pub fn drops(self, registered: WallTime) -> bool {
        match self {
            Self::Keep => false,
            Self::Drop => true,
            Self::DropIfRegisteredBefore(time) => registered < time,
        }
    }
}

/// The wait before a fault of the gateway is tried again.
const GATEWAY_FAULT: Duration = Duration::from_secs(1);

impl Rejection {
    /// The status: a status byte of the binary protocol, or an HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Gateway(status) => status.raw() as u16,
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.status(),
        }
    }

    /// The reason as text: Apple's name for it if there is one, `unassigned` for a status byte without a meaning, and
    /// `no_reason` for an answer without a reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Gateway(status) => status.name().unwrap_or("unassigned"),
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.reason_text().unwrap_or("no_reason"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Gateway(status) => status.kind().reaction(),
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.reaction(),
        }
    }

    /// What to do with the device token.
    #[must_use]
    pub fn token_verdict(&self) -> TokenVerdict {
        #[cfg(feature = "http2")]
        if let Self::Provider(rejection) = self {
            return rejection.token_verdict();
        }
        match self.reaction() {
            Reaction::DropToken => TokenVerdict::Drop,
            Reaction::FixRequest
            | Reaction::FixCredentials
            | Reaction::RefreshToken
            | Reaction::BackOff
            | Reaction::Retry
            | Reaction::Reconnect => TokenVerdict::Keep,
        }
    }

    /// Whether it may be sent again, and when.
    #[must_use]
    pub fn retry(&self) -> Retry {
        #[cfg(feature = "http2")]
        if let Self::Provider(rejection) = self {
            return rejection.retry();
        }
        self.reaction().retry(GATEWAY_FAULT)
    }

    /// Whether it refuses the credential, and so says nothing about the notification: in the binary protocol the topic of the
    /// certificate; over HTTP/2 the certificate, the signing key or its provider token.
    ///
    /// TopicDisallowed is not such a refusal: it concerns the topic of one notification, and the next may have another.
    #[must_use]
    pub fn refuses_credential(&self) -> bool {
        match self {
            Self::Gateway(status) => status.kind().refuses_credential(),
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.refuses_credential(),
        }
    }

    /// Whether a person has to act before a similar notification can succeed.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(self.reaction(), Reaction::FixRequest | Reaction::FixCredentials)
    }
}
