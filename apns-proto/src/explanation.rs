//! What a refusal means, in plain words.

use crate::Rejection;
use crate::binary::StatusKind;

/// What happened and what to do about it, for a person to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What happened.
    pub happened: &'static str,
    /// What to do.
    pub to_do: &'static str,
}

impl Explanation {
    pub(crate) const fn new(happened: &'static str, to_do: &'static str) -> Self {
        Self { happened, to_do }
    }
}

impl Rejection {
    /// What happened and what to do, in plain words.
    ///
    /// ```
    /// use apns_proto::Rejection;
    /// use apns_proto::binary::Status;
    ///
    /// let explanation = Rejection::Gateway(Status::INVALID_TOKEN).explain();
    /// assert!(explanation.happened.contains("device token"));
    /// ```
    #[must_use]
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Gateway(status) => status.kind().explain(),
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.explain(),
        }
    }
}

impl StatusKind {
    /// What this status of the binary gateway means and what to do, in plain words.
    #[must_use]
    pub const fn explain(self) -> Explanation {
        match self {
            Self::NoErrors => Explanation::new(
                "The gateway named this notification and closed the connection, but reported no error.",
                "Nobody knows whether it was taken. Send it again only if a second copy on the device does no harm.",
            ),
            Self::ProcessingError => Explanation::new(
                "The gateway failed while it processed this notification; the notification itself is not at fault.",
                "Send it again after a moment. If it stays so, look at the state of the gateway.",
            ),
            Self::MissingDeviceToken => Explanation::new(
                "The notification carried no device token.",
                "Find out why the token is empty in your data; an app that has no token yet often stores an empty text.",
            ),
            Self::MissingTopic => Explanation::new(
                "The gateway could not tell which app the notification is for, because the client certificate names none.",
                "Use a push certificate that was made for this app's bundle id.",
            ),
            Self::MissingPayload => Explanation::new(
                "The notification carried no payload.",
                "Give it a JSON object with an `aps` dictionary.",
            ),
            Self::InvalidTokenSize => Explanation::new(
                "The device token has a length that the gateway does not take; it was cut, padded or read wrongly.",
                "Compare the stored text with what the app received: 64 hexadecimal digits for a token of 32 bytes. \
                 Drop the token if it cannot be repaired.",
            ),
            Self::InvalidTopicSize => Explanation::new(
                "The topic in the client certificate has a length that the gateway does not take.",
                "Use a push certificate that was made for this app's bundle id.",
            ),
            Self::InvalidPayloadSize => Explanation::new(
                "The payload is larger than the gateway takes: 2048 bytes, on old gateways 256.",
                "Shorten it. Bytes of UTF-8 count, not characters.",
            ),
            Self::InvalidToken => Explanation::new(
                "The gateway does not know this device token for this app in this environment.",
                "First rule out a mix-up of environments: tokens of development builds work only in the sandbox, and \
                 those of the App Store and TestFlight only in production. Then see that the certificate belongs to \
                 this app. If both are right, drop the token.",
            ),
            Self::Shutdown => Explanation::new(
                "The gateway closed the connection for maintenance. This notification is the last that it took.",
                "Nothing: what came after it is sent again on a new connection.",
            ),
            Self::ProtocolError => Explanation::new(
                "The gateway could not read the notification.",
                "See that the command format is one that this gateway understands. An old gateway may know only the \
                 simple or the enhanced format.",
            ),
            Self::Unknown => Explanation::new(
                "The gateway refused the notification and did not say why, or with a number that nobody has documented.",
                "Look at this notification by itself: its token, its payload, its size. Do not send it again unchanged.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::Status;

    #[test]
    fn every_status_byte_is_explained_in_sentences() {
        for byte in 0..=u8::MAX {
            let explanation = Rejection::Gateway(Status::from_raw(byte)).explain();
            for text in [explanation.happened, explanation.to_do] {
                assert!(text.ends_with('.') && !text.contains("  ") && !text.contains('\n'), "{byte}: {text}");
            }
        }
        assert_eq!(StatusKind::Unknown.explain(), Rejection::Gateway(Status::from_raw(9)).explain());
    }
}
