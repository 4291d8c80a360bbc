//! The reasons of the provider API in plain words.

use super::{Api, ProviderRejection, Reason};
use crate::Explanation;

impl Reason {
    /// What this reason means and what to do; `None` for [`Other`](Self::Other).
    #[must_use]
    pub const fn explain(&self, api: Api) -> Option<Explanation> {
        Some(match self {
            Self::BadChannelId => Explanation::new(
                "The channel id is not proper base64, or is too long.",
                "Send the id exactly as it came when the channel was made.",
            ),
            Self::BadCollapseId => Explanation::new(
                "The collapse id is longer than 64 bytes.",
                "Shorten it. Bytes of UTF-8 count, not characters.",
            ),
            Self::BadDeviceToken => Explanation::new(
                "The device token is not valid, or it belongs to the other environment.",
                "First rule out a mix-up of environments: tokens of development builds work only in the sandbox, and \
                 those of the App Store and TestFlight only in production. If the environment is right, drop the token.",
            ),
            Self::BadExpirationDate => match api {
                Api::Device => Explanation::new(
                    "The expiration is not a valid time.",
                    "Give whole seconds since 1970 (not milliseconds), or 0 for a single attempt.",
                ),
                Api::Broadcast => Explanation::new(
                    "The expiration is not a valid time, or it is not 0 although the channel stores nothing.",
                    "Give 0 for a channel without storage, otherwise whole seconds since 1970.",
                ),
            },
            Self::BadMessageId => Explanation::new(
                "The id of the request is not a UUID of the form 8-4-4-4-12.",
                "Give a well-formed UUID in lower case, or leave it out: the service makes one.",
            ),
            Self::BadPriority => Explanation::new(
                "The priority is not one that is allowed here.",
                "Use 10, 5 or 1. A background push must have 5.",
            ),
            Self::BadRequestParams => Explanation::new(
                "The JSON body has an attribute that the service does not know.",
                "Compare the body with Apple's page on channel management; only `message-storage-policy` and \
                 `push-type` are known there.",
            ),
            Self::BadRequestPayload => Explanation::new(
                "The body is not JSON that the service can read.",
                "Check the body with a JSON parser and send it as UTF-8.",
            ),
            Self::BadTopic => Explanation::new(
                "The topic is not valid.",
                "Use the bundle id of the app, with the suffix of the push type (such as `.voip`) and without the team id \
                 in front of it.",
            ),
            Self::CannotCreateChannelConfig => Explanation::new(
                "The app has as many channels as it may have: 10 000 in each environment.",
                "Delete channels that are no longer used.",
            ),
            Self::ChannelNotRegistered => Explanation::new(
                "There is no such channel in this environment.",
                "Forget the channel and make a new one. Each environment has its own channels, and switching the broadcast \
                 capability off deletes them all.",
            ),
            Self::DeviceTokenNotForTopic => Explanation::new(
                "The device token was made for another app than the topic names.",
                "Check which app each token is stored for. If the topic is right, drop this token for this topic. Never \
                 send it again as it is.",
            ),
            Self::DuplicateHeaders => Explanation::new(
                "A header stands in the request twice.",
                "Look for a proxy or a wrapper that adds headers of its own.",
            ),
            Self::FeatureNotEnabled => Explanation::new(
                "The broadcast capability is off for this app.",
                "Switch it on for the app id in the developer portal.",
            ),
            Self::IdleTimeout => Explanation::new(
                "The service closed the connection because it was idle for too long.",
                "Nothing: a new connection is opened when it is needed.",
            ),
            Self::InvalidPushType => match api {
                Api::Device => Explanation::new(
                    "The push type is not one that the service knows.",
                    "Use one of Apple's push types, such as `alert`, `background` or `voip`.",
                ),
                Api::Broadcast => Explanation::new(
                    "The push type is not one that may be broadcast.",
                    "Only Live Activities can be broadcast: use `liveactivity`.",
                ),
            },
            Self::MissingChannelId => {
                Explanation::new("The request names no channel.", "Give the channel id in `apns-channel-id`.")
            }
            Self::MissingDeviceToken => Explanation::new(
                "The request names no device.",
                "Find out why the token is empty in your data; an app that has no token yet often stores an empty text.",
            ),
            Self::MissingPushType => Explanation::new("The request has no push type.", "Give one."),
            Self::MissingTopic => Explanation::new(
                "The request names no app. A signing key, or a certificate for several topics, makes the topic necessary.",
                "Give the topic: the bundle id of the app, with the suffix of the push type.",
            ),
            Self::PayloadEmpty => {
                Explanation::new("The request has no body.", "Send a JSON object, at least `{\"aps\":{}}`.")
            }
            Self::TopicDisallowed => match api {
                Api::Device => Explanation::new(
                    "This key or certificate may not push to this topic.",
                    "Check that the key or certificate belongs to the team and covers the app, and that the push type's \
                     suffix is allowed for it. A topic that was added a moment ago needs a new connection.",
                ),
                Api::Broadcast => Explanation::new(
                    "The bundle id in the path is not one that may be broadcast to.",
                    "Use the bare bundle id of the app, without the suffix of a push type.",
                ),
            },
            Self::BadCertificate => Explanation::new(
                "The client certificate is not valid: it has expired, was revoked, or is not one for pushes.",
                "Make a new push certificate in the developer portal, or move to a signing key.",
            ),
            Self::BadCertificateEnvironment => Explanation::new(
                "The client certificate is for the other environment.",
                "Connect to the sandbox with a development certificate and to production with a production one.",
            ),
            Self::BadEnvironmentKeyIdInToken => Explanation::new(
                "The signing key is for the other environment.",
                "Use a key that was made for this environment, or a team key that covers both.",
            ),
            Self::ExpiredProviderToken => Explanation::new(
                "By the service's clock the provider token is more than an hour old.",
                "A new token is signed by itself. If it happens again, set the clock of this computer.",
            ),
            Self::Forbidden => Explanation::new(
                "The service does not allow this.",
                "Check that key, team and topic belong together and that no connection is shared between teams. Do not \
                 send it again unchanged.",
            ),
            Self::InvalidProviderToken => Explanation::new(
                "The provider token is malformed, or its signature does not fit the key id and team id in it.",
                "Check that the key id belongs to this very key file, that the team id is the team's, and that the key was \
                 not revoked.",
            ),
            Self::MissingProviderToken => Explanation::new(
                "There was neither a client certificate nor a provider token.",
                "Configure a signing key or a client certificate.",
            ),
            Self::TopicMismatch => Explanation::new(
                "The key or certificate does not cover the bundle id in the path.",
                "Use credentials of the team that owns the app.",
            ),
            Self::UnrelatedKeyIdInToken => Explanation::new(
                "Another signing key was used on this connection before, and the two are not related.",
                "Use one connection for each key.",
            ),
            Self::BadPath => match api {
                Api::Device => Explanation::new(
                    "The path of the request is wrong.",
                    "It must be `/3/device/` and the device token in hexadecimal digits.",
                ),
                Api::Broadcast => Explanation::new(
                    "The path or the method of the request is wrong.",
                    "Check the bundle id in the path, and that the request goes to the host of this very API.",
                ),
            },
            Self::MethodNotAllowed => Explanation::new(
                "The service does not take this method here.",
                "Pushes are sent with POST. Look for a proxy that changes requests.",
            ),
            Self::ExpiredToken => Explanation::new(
                "The device token has expired.",
                "Drop it, unless the app registered it again after the time in the answer.",
            ),
            Self::Unregistered => Explanation::new(
                "The device token is no longer active for this topic: mostly the app was removed.",
                "Drop it, unless the app registered it again after the time in the answer.",
            ),
            Self::PayloadTooLarge => Explanation::new(
                "The payload is above the limit: 5120 bytes for VoIP and broadcasts, 4096 for all else.",
                "Shorten it. Bytes of UTF-8 count, not characters.",
            ),
            Self::TooManyProviderTokenUpdates => Explanation::new(
                "The provider token was changed twice within 20 minutes on one connection.",
                "Nothing if it is rare: the same token goes on over a new connection. Otherwise see that all processes with \
                 this key share one token.",
            ),
            Self::TooManyRequests => match api {
                Api::Device => Explanation::new(
                    "Too many notifications went to this one device in a short time.",
                    "Send to it less often; other devices are not affected.",
                ),
                Api::Broadcast => Explanation::new(
                    "Too many requests in a short time for this channel or app.",
                    "Send less often. Broadcasts with priority 5 do not count against the budget.",
                ),
            },
            Self::InternalServerError => Explanation::new(
                "A fault inside the service.",
                "Send it again later; Apple asks for 15 minutes, then longer each time.",
            ),
            Self::ServiceUnavailable => Explanation::new(
                "The service is not available for now.",
                "Send it again later; Apple asks for 15 minutes, then longer each time.",
            ),
            Self::Shutdown => Explanation::new(
                "This server of the service is about to go away.",
                "Send it again over a new connection.",
            ),
            Self::Other(_) => return None,
        })
    }
}

impl ProviderRejection {
    /// What happened and what to do, in plain words. A reason that this version does not know is explained by its status.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        match self.known_reason().and_then(|reason| reason.explain(self.api())) {
            Some(explanation) => explanation,
            None => explain_status(self.status()),
        }
    }
}

const fn explain_status(status: u16) -> Explanation {
    match status {
        403 => Explanation::new(
            "The service does not accept the credentials, for a reason that this version does not know.",
            "Look the reason up in Apple's documentation; key, certificate, topic or environment is wrong.",
        ),
        410 => Explanation::new(
            "The device token is no longer active.",
            "Drop it, unless the app registered it again after the time in the answer.",
        ),
        413 => Explanation::new("The payload is above the limit.", "Shorten it. Bytes of UTF-8 count, not characters."),
        429 => Explanation::new("The service asks to slow down.", "Wait, then send again more slowly."),
        500..=599 => Explanation::new(
            "A fault inside the service, or in a proxy before it.",
            "Send it again later; Apple asks for 15 minutes, then longer each time.",
        ),
        _ => Explanation::new(
            "The request was refused, for a reason that this version does not know.",
            "Look the reason up in Apple's documentation. Do not send the request again unchanged.",
        ),
    }
}
