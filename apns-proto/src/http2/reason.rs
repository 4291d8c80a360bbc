//! The reasons that the provider API gives, and all that is known of each.

use std::fmt;
use std::time::Duration;

use crate::{Escaped, Explanation, Reaction, Retry};

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
const SERVICE_FAULT_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long to wait after TooManyRequests when no time is named. Apple gives none; one minute for one device is little.
const TOO_MANY_REQUESTS_WAIT: Duration = Duration::from_secs(60);

/// How long to wait after TooManyProviderTokenUpdates: the cure is another connection with the same token, not time.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_secs(1);

/// What is known of a reason, or of a status without one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) status: u16,
    pub(super) reaction: Reaction,
    pub(super) retry: Retry,
    pub(super) explanation: Explanation,
    about_token: bool,
    refuses_credential: bool,
}

impl Facts {
    const fn new(status: u16, reaction: Reaction, happened: &'static str, to_do: &'static str) -> Self {
        let wait = if matches!(reaction, Reaction::BackOff) { TOO_MANY_REQUESTS_WAIT } else { SERVICE_FAULT_WAIT };
        let explanation = Explanation::new(happened, to_do);
        Self {
            status,
            reaction,
            retry: reaction.retry(wait),
            explanation,
            about_token: false,
            refuses_credential: false,
        }
    }

    /// On Apple's list of what is never to be sent again, whatever is mended.
    const fn never_again(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }

    const fn again_over_another_connection(mut self) -> Self {
        self.retry = Retry::After(TOKEN_UPDATES_WAIT);
        self
    }

    const fn about_token(mut self) -> Self {
        self.about_token = true;
        self
    }

    const fn refuses_credential(mut self) -> Self {
        self.refuses_credential = true;
        self
    }

    /// What is known where the reason is not.
    pub(super) const fn of_status(status: u16) -> Self {
        use Reaction::{BackOff, DropToken, FixCredentials, FixRequest};
        match status {
            403 => Self::new(
                status,
                FixCredentials,
                "The service does not accept the credentials, for a reason that this version does not know.",
                "Look the reason up in Apple's documentation; key, certificate, topic or environment is wrong.",
            ),
            410 => Self::new(
                status,
                DropToken,
                "The device token is no longer active.",
                "Drop it, unless the app registered it again after the time in the answer.",
            ),
            413 => Self::new(
                status,
                FixRequest,
                "The payload is above the limit.",
                "Shorten it. Bytes of UTF-8 count, not characters.",
            )
            .never_again(),
            429 => Self::new(status, BackOff, "The service asks to slow down.", "Wait, then send again more slowly."),
            500..=599 => Self::new(
                status,
                Reaction::Retry,
                "A fault inside the service, or in a proxy before it.",
                "Send it again later; Apple asks for 15 minutes, then longer each time.",
            ),
            _ => Self::new(
                status,
                FixRequest,
                "The request was refused, for a reason that this version does not know.",
                "Look the reason up in Apple's documentation. Do not send the request again unchanged.",
            ),
        }
    }
}

/// One row for each reason: variant, texts (the one that Apple documents first), status, reaction, what else holds of it
/// as methods of [`Facts`], what happened and what to do; and the last three for broadcasts where they differ.
macro_rules! reasons {
    ($(
        $(#[doc = $doc:literal])*
        $variant:ident = $text:literal $(| $alias:literal)*: $status:literal
            $reaction:ident $([$($more:ident),+])? { $happened:literal, $to_do:literal, }
            $(=> broadcast $b_reaction:ident { $b_happened:literal, $b_to_do:literal, })?
    )+) => {
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
            $(
                #[doc = concat!("Status ", $status, ". ", $happened)]
                $(#[doc = $doc])*
                $variant,
            )+
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

            pub(super) const fn facts(&self, api: Api) -> Option<&'static Facts> {
                let facts = match (self, api) {
                    $(
                        $((Self::$variant, Api::Broadcast) => const {
                            &Facts::new($status, Reaction::$b_reaction, $b_happened, $b_to_do)
                        },)?
                        (Self::$variant, _) => const {
                            &Facts::new($status, Reaction::$reaction, $happened, $to_do)$($(.$more())+)?
                        },
                    )+
                    (Self::Other(_), _) => return None,
                };
                Some(facts)
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
    BadChannelId = "BadChannelId": 400 FixRequest {
        "The channel id is not proper base64, or is too long.",
        "Send the id exactly as it came when the channel was made.",
    }
    BadCollapseId = "BadCollapseId": 400 FixRequest {
        "The collapse id is longer than 64 bytes.",
        "Shorten it. Bytes of UTF-8 count, not characters.",
    }
    BadDeviceToken = "BadDeviceToken": 400 DropToken {
        "The device token is not valid, or it belongs to the other environment.",
        "First rule out a mix-up of environments: tokens of development builds work only in the sandbox, and \
         those of the App Store and TestFlight only in production. If the environment is right, drop the token.",
    }
    BadExpirationDate = "BadExpirationDate": 400 FixRequest {
        "The expiration is not a valid time.",
        "Give whole seconds since 1970 (not milliseconds), or 0 for a single attempt.",
    } => broadcast FixRequest {
        "The expiration is not a valid time, or it is not 0 although the channel stores nothing.",
        "Give 0 for a channel without storage, otherwise whole seconds since 1970.",
    }
    BadMessageId = "BadMessageId": 400 FixRequest {
        "The id of the request is not a UUID of the form 8-4-4-4-12.",
        "Give a well-formed UUID in lower case, or leave it out: the service makes one.",
    }
    BadPriority = "BadPriority": 400 FixRequest {
        "The priority is not one that is allowed here.",
        "Use 10, 5 or 1. A background push must have 5.",
    }
    BadRequestParams = "BadRequestParams": 400 FixRequest {
        "The JSON body has an attribute that the service does not know.",
        "Compare the body with Apple's page on channel management; only `message-storage-policy` and \
         `push-type` are known there.",
    }
    BadRequestPayload = "BadRequestPayload": 400 FixRequest {
        "The body is not JSON that the service can read.",
        "Check the body with a JSON parser and send it as UTF-8.",
    }
    BadTopic = "BadTopic": 400 FixRequest {
        "The topic is not valid.",
        "Use the bundle id of the app, with the suffix of the push type (such as `.voip`) and without the team id \
         in front of it.",
    }
    CannotCreateChannelConfig = "CannotCreateChannelConfig": 400 FixRequest {
        "The app has as many channels as it may have: 10 000 in each environment.",
        "Delete channels that are no longer used.",
    }
    ChannelNotRegistered = "ChannelNotRegistered": 400 FixRequest {
        "There is no such channel in this environment.",
        "Forget the channel and make a new one. Each environment has its own channels, and switching the broadcast \
         capability off deletes them all.",
    }
    DeviceTokenNotForTopic = "DeviceTokenNotForTopic": 400 FixRequest [never_again] {
        "The device token was made for another app than the topic names.",
        "Check which app each token is stored for. If the topic is right, drop this token for this topic. Never \
         send it again as it is.",
    }
    DuplicateHeaders = "DuplicateHeaders": 400 FixRequest {
        "A header stands in the request twice.",
        "Look for a proxy or a wrapper that adds headers of its own.",
    }
    FeatureNotEnabled = "FeatureNotEnabled": 400 FixCredentials {
        "The broadcast capability is off for this app.",
        "Switch it on for the app id in the developer portal.",
    }
    /// Also in a GOAWAY frame.
    IdleTimeout = "IdleTimeout": 400 Reconnect {
        "The service closed the connection because it was idle for too long.",
        "Nothing: a new connection is opened when it is needed.",
    }
    InvalidPushType = "InvalidPushType": 400 FixRequest {
        "The push type is not one that the service knows.",
        "Use one of Apple's push types, such as `alert`, `background` or `voip`.",
    } => broadcast FixRequest {
        "The push type is not one that may be broadcast.",
        "Only Live Activities can be broadcast: use `liveactivity`.",
    }
    MissingChannelId = "MissingChannelId": 400 FixRequest {
        "The request names no channel.",
        "Give the channel id in `apns-channel-id`.",
    }
    MissingDeviceToken = "MissingDeviceToken": 400 FixRequest {
        "The request names no device.",
        "Find out why the token is empty in your data; an app that has no token yet often stores an empty text.",
    }
    MissingPushType = "MissingPushType": 400 FixRequest {
        "The request has no push type.",
        "Give one.",
    }
    MissingTopic = "MissingTopic": 400 FixRequest {
        "The request names no app. A signing key, or a certificate for several topics, makes the topic necessary.",
        "Give the topic: the bundle id of the app, with the suffix of the push type.",
    }
    PayloadEmpty = "PayloadEmpty": 400 FixRequest {
        "The request has no body.",
        "Send a JSON object, at least `{\"aps\":{}}`.",
    }
    TopicDisallowed = "TopicDisallowed": 400 FixCredentials {
        "This key or certificate may not push to this topic.",
        "Check that the key or certificate belongs to the team and covers the app, and that the push type's \
             suffix is allowed for it. A topic that was added a moment ago needs a new connection.",
    } => broadcast FixRequest {
        "The bundle id in the path is not one that may be broadcast to.",
        "Use the bare bundle id of the app, without the suffix of a push type.",
    }
    BadCertificate = "BadCertificate": 403 FixCredentials [refuses_credential] {
        "The client certificate is not valid: it has expired, was revoked, or is not one for pushes.",
        "Make a new push certificate in the developer portal, or move to a signing key.",
    }
    BadCertificateEnvironment = "BadCertificateEnvironment": 403 FixCredentials [refuses_credential] {
        "The client certificate is for the other environment.",
        "Connect to the sandbox with a development certificate and to production with a production one.",
    }
    /// The shorter text is the one that is received.
    BadEnvironmentKeyIdInToken = "BadEnvironmentKeyIdInToken" | "BadEnvironmentKeyInToken": 403 FixCredentials [about_token, refuses_credential] {
        "The signing key is for the other environment.",
        "Use a key that was made for this environment, or a team key that covers both.",
    }
    ExpiredProviderToken = "ExpiredProviderToken": 403 RefreshToken [about_token, refuses_credential] {
        "By the service's clock the provider token is more than an hour old.",
        "A new token is signed automatically. If it happens again, set the clock of this computer.",
    }
    Forbidden = "Forbidden": 403 FixCredentials [refuses_credential, never_again] {
        "The service does not allow this.",
        "Check that key, team and topic belong together and that no connection is shared between teams. Do not \
         send it again unchanged.",
    }
    InvalidProviderToken = "InvalidProviderToken": 403 FixCredentials [about_token, refuses_credential] {
        "The provider token is malformed, or its signature does not fit the key id and team id in it.",
        "Check that the key id belongs to this very key file, that the team id is the team's, and that the key was \
         not revoked.",
    }
    MissingProviderToken = "MissingProviderToken": 403 FixCredentials [about_token, refuses_credential] {
        "There was neither a client certificate nor a provider token.",
        "Configure a signing key or a client certificate.",
    }
    TopicMismatch = "TopicMismatch": 403 FixCredentials {
        "The key or certificate does not cover the bundle id in the path.",
        "Use credentials of the team that owns the app.",
    }
    UnrelatedKeyIdInToken = "UnrelatedKeyIdInToken": 403 Reconnect [about_token] {
        "Another signing key was used on this connection before, and the two are not related.",
        "Use one connection for each key.",
    }
    BadPath = "BadPath": 404 FixRequest {
        "The path of the request is wrong.",
        "It must be `/3/device/` and the device token in hexadecimal digits.",
    } => broadcast FixRequest {
        "The path or the method of the request is wrong.",
        "Check the bundle id in the path, and that the request goes to the host of this very API.",
    }
    MethodNotAllowed = "MethodNotAllowed": 405 FixRequest {
        "The service does not take this method here.",
        "Pushes are sent with POST. Look for a proxy that changes requests.",
    }
    ExpiredToken = "ExpiredToken": 410 DropToken {
        "The device token has expired.",
        "Drop it, unless the app registered it again after the time in the answer.",
    }
    Unregistered = "Unregistered": 410 DropToken {
        "The device token is no longer active for this topic: mostly the app was removed.",
        "Drop it, unless the app registered it again after the time in the answer.",
    }
    PayloadTooLarge = "PayloadTooLarge": 413 FixRequest [never_again] {
        "The payload is above the limit: 5120 bytes for VoIP and broadcasts, 4096 for all else.",
        "Shorten it. Bytes of UTF-8 count, not characters.",
    }
    TooManyProviderTokenUpdates = "TooManyProviderTokenUpdates": 429 BackOff [about_token, again_over_another_connection] {
        "The provider token was changed twice within 20 minutes on one connection.",
        "Nothing if it is rare: the same token goes on over a new connection. Otherwise see that all processes with \
         this key share one token.",
    }
    TooManyRequests = "TooManyRequests": 429 BackOff {
        "Too many notifications went to this one device in a short time.",
        "Send to it less often; other devices are not affected.",
    } => broadcast BackOff {
        "Too many requests in a short time for this channel or app.",
        "Send less often. Broadcasts with priority 5 do not count against the budget.",
    }
    InternalServerError = "InternalServerError": 500 Retry {
        "A fault inside the service.",
        "Send it again later; Apple asks for 15 minutes, then longer each time.",
    }
    /// Apple prints it with a space in the table of the broadcast API.
    ServiceUnavailable = "ServiceUnavailable" | "Service Unavailable": 503 Retry {
        "The service is not available for now.",
        "Send it again later; Apple asks for 15 minutes, then longer each time.",
    }
    /// Also in a GOAWAY frame.
    Shutdown = "Shutdown": 503 Reconnect {
        "This server of the service is about to go away.",
        "Send it again over a new connection.",
    }
}

impl Reason {
    /// The status that Apple documents beside it; `None` for [`Other`](Self::Other).
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.facts(Api::Device) {
            Some(facts) => Some(facts.status),
            None => None,
        }
    }

    /// What to do about it; `None` for [`Other`](Self::Other), where the status decides.
    #[must_use]
    pub const fn reaction(&self, api: Api) -> Option<Reaction> {
        match self.facts(api) {
            Some(facts) => Some(facts.reaction),
            None => None,
        }
    }

    /// Whether it may be sent again; `None` for [`Other`](Self::Other), where the status decides.
    #[must_use]
    pub const fn retry(&self, api: Api) -> Option<Retry> {
        match self.facts(api) {
            Some(facts) => Some(facts.retry),
            None => None,
        }
    }

    /// Whether it is about the provider token and not about what was sent with it.
    pub(super) fn is_about_token(&self) -> bool {
        self.facts(Api::Device).is_some_and(|facts| facts.about_token)
    }

    /// Whether it refuses every connection with this credential, when a GOAWAY frame gives it.
    pub(super) fn refuses_credential(&self) -> bool {
        self.facts(Api::Device).is_some_and(|facts| facts.refuses_credential)
    }

    /// What this reason means and what to do; `None` for [`Other`](Self::Other).
    #[must_use]
    pub const fn explain(&self, api: Api) -> Option<Explanation> {
        match self.facts(api) {
            Some(facts) => Some(facts.explanation),
            None => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Escaped(self.as_str()).to_string())
    }
}
