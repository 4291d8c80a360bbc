//! The reasons that the provider API gives, and what each asks for.

use std::fmt;
use std::time::Duration;

use crate::Escaped;
use crate::{Reaction, Retry};

/// Which part of the provider API answered. Two reasons mean different things in the two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// Pushes to one device (`/3/device/…`).
    Device,
    /// Pushes to a broadcast channel, and the management of channels.
    Broadcast,
}

/// How long to wait after a fault inside the service when it names no time: 15 minutes.
///
/// Source: Apple, "Handling notification responses from APNs".
pub const SERVICE_FAULT_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long to wait after TooManyRequests when no time is named. Apple gives none; one minute for one device is little.
const TOO_MANY_REQUESTS_WAIT: Duration = Duration::from_secs(60);

/// How long to wait after TooManyProviderTokenUpdates: the cure is another connection with the same token, not time.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_secs(1);

/// Writes each reason once: its documentation, variant and texts, the one that Apple documents first.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal $(| $alias:literal)*,)+) => {
        /// Why the provider API refused a request: the value of `reason` in the body of an answer or in the debug data of a
        /// GOAWAY frame.
        ///
        /// An open list. What this version does not know is kept as [`Other`](Self::Other) and judged by the status alone.
        ///
        /// Sources: Apple, "Handling notification responses from APNs" and "Handling error responses from Apple Push
        /// Notification service" (broadcasts and channels).
        ///
        /// ```
        /// use apns_proto::http2::Reason;
        ///
        /// assert_eq!(Reason::from("BadDeviceToken"), Reason::BadDeviceToken);
        /// assert_eq!(Reason::from("SomethingNew").as_str(), "SomethingNew");
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
            /// A reason that this version does not know, as it came.
            Other(Box<str>),
        }

        impl Reason {
            /// All reasons with a name of their own.
            pub const KNOWN: &[Self] = &[$(Self::$variant,)+];

            /// The text as Apple documents it; for [`Other`](Self::Other) as it came.
            #[must_use]
            pub const fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }

            /// All texts that stand for this reason, the documented one first; none for [`Other`](Self::Other).
            #[must_use]
            pub const fn spellings(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$text $(, $alias)*],)+
                    Self::Other(_) => &[],
                }
            }
        }

        impl From<&str> for Reason {
            fn from(text: &str) -> Self {
                match text {
                    $($text $(| $alias)* => Self::$variant,)+
                    _ => Self::Other(text.into()),
                }
            }
        }
    };
}

reasons! {
    /// 400: the channel id is not proper base64, or too long.
    BadChannelId = "BadChannelId",
    /// 400: the collapse id is longer than 64 bytes.
    BadCollapseId = "BadCollapseId",
    /// 400: the device token is invalid, or belongs to the other environment.
    BadDeviceToken = "BadDeviceToken",
    /// 400: the expiration is invalid; for a broadcast also one that is not 0 on a channel without storage.
    BadExpirationDate = "BadExpirationDate",
    /// 400: the `apns-id` or request id is invalid.
    BadMessageId = "BadMessageId",
    /// 400: the priority is invalid.
    BadPriority = "BadPriority",
    /// 400: the JSON body has an attribute that the service does not know.
    BadRequestParams = "BadRequestParams",
    /// 400: the JSON body cannot be parsed.
    BadRequestPayload = "BadRequestPayload",
    /// 400: the topic is invalid.
    BadTopic = "BadTopic",
    /// 400: the app has as many channels as it may have.
    CannotCreateChannelConfig = "CannotCreateChannelConfig",
    /// 400: there is no such channel in this environment.
    ChannelNotRegistered = "ChannelNotRegistered",
    /// 400: the device token belongs to another topic.
    DeviceTokenNotForTopic = "DeviceTokenNotForTopic",
    /// 400: a header occurs twice.
    DuplicateHeaders = "DuplicateHeaders",
    /// 400: the broadcast capability is off for the app.
    FeatureNotEnabled = "FeatureNotEnabled",
    /// 400, or in a GOAWAY frame: the connection was idle for too long.
    IdleTimeout = "IdleTimeout",
    /// 400: the push type is invalid.
    InvalidPushType = "InvalidPushType",
    /// 400: the channel id is missing.
    MissingChannelId = "MissingChannelId",
    /// 400: there is no device token in the path.
    MissingDeviceToken = "MissingDeviceToken",
    /// 400: the push type is missing.
    MissingPushType = "MissingPushType",
    /// 400: the topic is needed and missing.
    MissingTopic = "MissingTopic",
    /// 400: the request has no body.
    PayloadEmpty = "PayloadEmpty",
    /// 400: this sender may not push to this topic. In the broadcast API mostly a bundle id with a suffix.
    TopicDisallowed = "TopicDisallowed",
    /// 403: the client certificate is invalid.
    BadCertificate = "BadCertificate",
    /// 403: the client certificate is for the other environment.
    BadCertificateEnvironment = "BadCertificateEnvironment",
    /// 403: the signing key is for the other environment. The shorter text is the one that is received.
    BadEnvironmentKeyIdInToken = "BadEnvironmentKeyIdInToken" | "BadEnvironmentKeyInToken",
    /// 403: the provider token is more than an hour old, by the service's clock.
    ExpiredProviderToken = "ExpiredProviderToken",
    /// 403: the action is not allowed.
    Forbidden = "Forbidden",
    /// 403: the provider token is malformed or its signature is wrong.
    InvalidProviderToken = "InvalidProviderToken",
    /// 403: there is neither a client certificate nor a provider token.
    MissingProviderToken = "MissingProviderToken",
    /// 403: the credentials do not cover the bundle id in the path.
    TopicMismatch = "TopicMismatch",
    /// 403: the signing key has nothing to do with the first one used on this connection.
    UnrelatedKeyIdInToken = "UnrelatedKeyIdInToken",
    /// 404: the path is wrong; in the broadcast API the path or the method.
    BadPath = "BadPath",
    /// 405: the method is wrong.
    MethodNotAllowed = "MethodNotAllowed",
    /// 410: the device token has expired.
    ExpiredToken = "ExpiredToken",
    /// 410: the device token is not active for the topic any more.
    Unregistered = "Unregistered",
    /// 413: the body is above the limit.
    PayloadTooLarge = "PayloadTooLarge",
    /// 429: the provider token was changed twice within 20 minutes on one connection.
    TooManyProviderTokenUpdates = "TooManyProviderTokenUpdates",
    /// 429: too many requests for one device token; in the broadcast API for one channel or app.
    TooManyRequests = "TooManyRequests",
    /// 500: a fault inside the service.
    InternalServerError = "InternalServerError",
    /// 503: the service is not available. Apple prints it with a space in the table of the broadcast API.
    ServiceUnavailable = "ServiceUnavailable" | "Service Unavailable",
    /// 503, or in a GOAWAY frame: this server is about to go away.
    Shutdown = "Shutdown",
}

impl Reason {
    /// The status that Apple documents beside it; `None` for [`Other`](Self::Other).
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::BadChannelId
            | Self::BadCollapseId
            | Self::BadDeviceToken
            | Self::BadExpirationDate
            | Self::BadMessageId
            | Self::BadPriority
            | Self::BadRequestParams
            | Self::BadRequestPayload
            | Self::BadTopic
            | Self::CannotCreateChannelConfig
            | Self::ChannelNotRegistered
            | Self::DeviceTokenNotForTopic
            | Self::DuplicateHeaders
            | Self::FeatureNotEnabled
            | Self::IdleTimeout
            | Self::InvalidPushType
            | Self::MissingChannelId
            | Self::MissingDeviceToken
            | Self::MissingPushType
            | Self::MissingTopic
            | Self::PayloadEmpty
            | Self::TopicDisallowed => Some(400),
            Self::BadCertificate
            | Self::BadCertificateEnvironment
            | Self::BadEnvironmentKeyIdInToken
            | Self::ExpiredProviderToken
            | Self::Forbidden
            | Self::InvalidProviderToken
            | Self::MissingProviderToken
            | Self::TopicMismatch
            | Self::UnrelatedKeyIdInToken => Some(403),
            Self::BadPath => Some(404),
            Self::MethodNotAllowed => Some(405),
            Self::ExpiredToken | Self::Unregistered => Some(410),
            Self::PayloadTooLarge => Some(413),
            Self::TooManyProviderTokenUpdates | Self::TooManyRequests => Some(429),
            Self::InternalServerError => Some(500),
            Self::ServiceUnavailable | Self::Shutdown => Some(503),
            Self::Other(_) => None,
        }
    }

    /// What to do about it; `None` for [`Other`](Self::Other), where the status decides.
    #[must_use]
    pub const fn reaction(&self, api: Api) -> Option<Reaction> {
        Some(match self {
            Self::BadDeviceToken | Self::ExpiredToken | Self::Unregistered => Reaction::DropToken,
            Self::BadChannelId
            | Self::BadCollapseId
            | Self::BadExpirationDate
            | Self::BadMessageId
            | Self::BadPath
            | Self::BadPriority
            | Self::BadRequestParams
            | Self::BadRequestPayload
            | Self::BadTopic
            | Self::CannotCreateChannelConfig
            | Self::ChannelNotRegistered
            | Self::DeviceTokenNotForTopic
            | Self::DuplicateHeaders
            | Self::InvalidPushType
            | Self::MethodNotAllowed
            | Self::MissingChannelId
            | Self::MissingDeviceToken
            | Self::MissingPushType
            | Self::MissingTopic
            | Self::PayloadEmpty
            | Self::PayloadTooLarge => Reaction::FixRequest,
            Self::TopicDisallowed => match api {
                Api::Device => Reaction::FixCredentials,
                Api::Broadcast => Reaction::FixRequest,
            },
            Self::BadCertificate
            | Self::BadCertificateEnvironment
            | Self::BadEnvironmentKeyIdInToken
            | Self::FeatureNotEnabled
            | Self::Forbidden
            | Self::InvalidProviderToken
            | Self::MissingProviderToken
            | Self::TopicMismatch => Reaction::FixCredentials,
            Self::ExpiredProviderToken => Reaction::RefreshToken,
            Self::TooManyProviderTokenUpdates | Self::TooManyRequests => Reaction::BackOff,
            Self::InternalServerError | Self::ServiceUnavailable => Reaction::Retry,
            Self::IdleTimeout | Self::Shutdown | Self::UnrelatedKeyIdInToken => Reaction::Reconnect,
            Self::Other(_) => return None,
        })
    }

    /// Whether it is about the provider token and not about what was sent with it.
    pub(super) const fn is_about_token(&self) -> bool {
        matches!(
            self,
            Self::ExpiredProviderToken
                | Self::InvalidProviderToken
                | Self::MissingProviderToken
                | Self::TooManyProviderTokenUpdates
                | Self::UnrelatedKeyIdInToken
                | Self::BadEnvironmentKeyIdInToken
        )
    }

    /// Whether it refuses every connection with this credential, when a GOAWAY frame gives it.
    pub(super) const fn refuses_credential(&self) -> bool {
        matches!(
            self,
            Self::BadCertificate
                | Self::BadCertificateEnvironment
                | Self::BadEnvironmentKeyIdInToken
                | Self::ExpiredProviderToken
                | Self::Forbidden
                | Self::InvalidProviderToken
                | Self::MissingProviderToken
        )
    }

    /// Whether it may be sent again; `None` for [`Other`](Self::Other), where the status decides.
    #[must_use]
    pub const fn retry(&self, api: Api) -> Option<Retry> {
        // Apple's list of what is never to be sent again, whatever is mended.
        if matches!(self, Self::DeviceTokenNotForTopic | Self::Forbidden | Self::PayloadTooLarge) {
            return Some(Retry::Never);
        }
        if matches!(self, Self::TooManyProviderTokenUpdates) {
            return Some(Retry::After(TOKEN_UPDATES_WAIT));
        }
        match self.reaction(api) {
            Some(reaction) => Some(retry_of(reaction)),
            None => None,
        }
    }
}

/// What a reaction says about sending again, where nothing more is known.
const fn retry_of(reaction: Reaction) -> Retry {
    match reaction {
        Reaction::DropToken => Retry::Never,
        Reaction::FixRequest | Reaction::FixCredentials => Retry::AfterFix,
        Reaction::RefreshToken => Retry::NewToken,
        Reaction::BackOff => Retry::After(TOO_MANY_REQUESTS_WAIT),
        Reaction::Retry => Retry::After(SERVICE_FAULT_WAIT),
        Reaction::Reconnect => Retry::NewConnection,
    }
}

/// What to do when only the status is known.
pub(super) const fn reaction_of_status(status: u16) -> Reaction {
    match status {
        403 => Reaction::FixCredentials,
        410 => Reaction::DropToken,
        429 => Reaction::BackOff,
        500..=599 => Reaction::Retry,
        _ => Reaction::FixRequest,
    }
}

/// Whether to send again when only the status is known.
pub(super) const fn retry_of_status(status: u16) -> Retry {
    match status {
        413 => Retry::Never,
        _ => retry_of(reaction_of_status(status)),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Escaped(self.as_str()).to_string())
    }
}
