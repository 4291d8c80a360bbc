//! A refusal by the provider API, whole.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::reason::Facts;
use super::{Api, Reason};
use crate::{ApnsId, Escaped, Explanation, Reaction, Retry, TokenVerdict, WallTime};

/// A refusal by the HTTP/2 provider API.
///
/// The status is always there. The reason may be missing, unknown, or at odds with the status; then the status decides.
///
/// ```
/// use apns_proto::http2::{Api, ProviderRejection};
/// use apns_proto::{Reaction, Rejection, WallTime};
///
/// let gone = ProviderRejection::new(Api::Device, 410)
///     .with_reason("Unregistered")
///     .with_timestamp(WallTime::from_millis(1_527_206_400_000));
/// let gone = Rejection::from(gone);
/// assert_eq!(gone.reaction(), Reaction::DropToken);
/// assert!(gone.token_verdict().drops(WallTime::from_secs(1_500_000_000)));
/// assert!(!gone.token_verdict().drops(WallTime::from_secs(1_600_000_000)));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderRejection {
    api: Api,
    status: u16,
    reason: Option<Reason>,
    /// The text that came, where it is another spelling of a reason that is known.
    spelling: Option<Box<str>>,
    timestamp: Option<WallTime>,
    retry_after: Option<Duration>,
    apns_id: Option<ApnsId>,
    unique_id: Option<Box<str>>,
    body: Bytes,
}

impl ProviderRejection {
    /// A refusal of which nothing but the status is known.
    #[must_use]
    pub const fn new(api: Api, status: u16) -> Self {
        Self {
            api,
            status,
            reason: None,
            spelling: None,
            timestamp: None,
            retry_after: None,
            apns_id: None,
            unique_id: None,
            body: Bytes::new(),
        }
    }

    /// Sets the reason from its text.
    #[must_use]
    pub fn with_reason(mut self, text: &str) -> Self {
        let reason = Reason::from(text);
        self.spelling = (reason.as_str() != text).then(|| text.into());
        self.reason = Some(reason);
        self
    }

    /// Sets when the service found the token inactive.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: WallTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Sets how long the service asks to wait.
    #[must_use]
    pub(crate) const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the `apns-id` of the answer.
    #[must_use]
    pub const fn with_apns_id(mut self, id: ApnsId) -> Self {
        self.apns_id = Some(id);
        self
    }

    /// Sets the `apns-unique-id` of the answer.
    #[must_use]
    pub(crate) fn with_unique_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.unique_id = Some(id.into());
        self
    }

    pub(super) fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Which part of the API answered.
    #[must_use]
    pub const fn api(&self) -> Api {
        self.api
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason, if the answer had one.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The reason exactly as it came.
    #[must_use]
    pub fn reason_text(&self) -> Option<&str> {
        self.spelling.as_deref().or_else(|| self.reason.as_ref().map(Reason::as_str))
    }

    /// When the service found that the token was no longer active for the topic. The answer has it in **milliseconds**
    /// ("Handling notification responses from APNs"); [`WallTime::as_millis`] gives the number as it came.
    #[must_use]
    pub const fn timestamp(&self) -> Option<WallTime> {
        self.timestamp
    }

    /// How long the service asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The `apns-id` of the answer: that of the request, or one that the service made.
    #[must_use]
    pub const fn apns_id(&self) -> Option<ApnsId> {
        self.apns_id
    }

    /// The `apns-unique-id` of the answer, under which the push console lists the notification; development environment
    /// only.
    #[must_use]
    pub fn unique_id(&self) -> Option<&str> {
        self.unique_id.as_deref()
    }

    /// The body as it came, at most [`MAX_BODY`](super::MAX_BODY) bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The reason, if this version knows it and the status is of the same class. A proxy's 502 with somebody else's
    /// words in it must not cost a device its token.
    pub(super) fn known_reason(&self) -> Option<&Reason> {
        self.reason.as_ref().filter(|reason| reason.status().is_some_and(|status| status / 100 == self.status / 100))
    }

    /// What to do about it.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        self.facts().reaction
    }

    /// What happened and what to do, in plain words. A reason that this version does not know is explained by its status.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.facts().explanation
    }

    fn facts(&self) -> Facts {
        let known = self.known_reason().and_then(|reason| reason.facts(self.api));
        known.copied().unwrap_or(Facts::of_status(self.status))
    }

    /// Whether it refuses the certificate, the signing key or its provider token, whatever was sent with it.
    pub(crate) fn refuses_credential(&self) -> bool {
        match self.known_reason() {
            Some(reason) if reason.is_about_token() => true,
            // About the app that one request is for.
            Some(Reason::TopicMismatch) if self.api == Api::Broadcast => false,
            _ => self.status == 403 && self.reaction() == Reaction::FixCredentials,
        }
    }

    /// What becomes of the device token.
    ///
    /// A token is dropped with a time to compare only for 410 with a timestamp. BadDeviceToken is
    /// [`Drop`](TokenVerdict::Drop), once a wrong environment is ruled out. All else, a 410 without a timestamp
    /// included, says too little to lose a user over.
    #[must_use]
    pub fn token_verdict(&self) -> TokenVerdict {
        if self.reaction() != Reaction::DropToken {
            return TokenVerdict::Keep;
        }
        match (self.known_reason(), self.status, self.timestamp) {
            (Some(Reason::BadDeviceToken), _, _) => TokenVerdict::Drop,
            (_, 410, Some(time)) => TokenVerdict::DropIfRegisteredBefore(time),
            _ => TokenVerdict::Keep,
        }
    }

    /// Whether it may be sent again, and when. A time that the service named replaces the usual one.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match (self.facts().retry, self.retry_after) {
            (Retry::After(_), Some(wait)) => Retry::After(wait),
            (usual, _) => usual,
        }
    }
}

impl fmt::Display for ProviderRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, Escaped(self.reason_text().unwrap_or("without a reason")))
    }
}

/// Shows the size of the body only: it can be long.
impl fmt::Debug for ProviderRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderRejection")
            .field("api", &self.api)
            .field("status", &self.status)
            .field("reason", &self.reason_text())
            .field("timestamp", &self.timestamp)
            .field("retry_after", &self.retry_after)
            .field("apns_id", &self.apns_id)
            .field("unique_id", &self.unique_id)
            .field("body", &format_args!("<{} bytes>", self.body.len()))
            .finish()
    }
}
