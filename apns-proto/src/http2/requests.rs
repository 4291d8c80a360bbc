//! From notifications to requests.

use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::{Broadcast, BundleId};
use super::channels::ChannelRequest;
use super::request::{Header, Indexing, Method, Request};
use super::sent_as::{Decision, SentAs};
use super::{CertificateTopics, ProviderToken, RequestWarning};
use crate::payload::PayloadLimit;
use crate::{ApnsId, Expiration, InvalidNotification, Notification, Priority, PushType, Topic, WallTime};

/// How a connection proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authentication {
    /// By a client certificate in the TLS handshake. It has a topic of its own.
    Certificate,
    /// By a provider token in each request. Each request must name its topic.
    Token,
}

/// Makes the requests for one server and one credential.
///
/// It keeps what comes back from request to request (the authority, the last topic), so that a request costs few
/// allocations.
///
/// ```
/// use apns_proto::http2::{Authentication, Requests};
/// use apns_proto::{DeviceToken, Notification, Payload, Topic, WallTime};
///
/// let mut requests =
///     Requests::new("api.push.apple.com", Authentication::Certificate).with_topic(Topic::new("com.example.app")?);
/// let notification = Notification::new(DeviceToken::from_bytes([0xab; 4])?, Payload::background());
/// let request = requests.device(&notification, None, WallTime::from_secs(1_700_000_000))?;
/// assert_eq!(request.path, "/3/device/abababab");
/// let headers: Vec<_> = request.headers.iter().map(|header| (header.name, &header.value[..])).collect();
/// assert_eq!(
///     headers,
///     [("apns-push-type", &b"background"[..]), ("apns-topic", b"com.example.app"), ("apns-priority", b"5")]
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Requests {
    authority: Bytes,
    authentication: Authentication,
    topic: Option<Topic>,
    certificate: Option<Arc<CertificateTopics>>,
    last_topic: Option<LastTopic>,
}

/// The topic of the request before, with its suffix.
#[derive(Debug, Clone)]
struct LastTopic {
    topic: Topic,
    push_type: PushType,
    value: Bytes,
}

impl Requests {
    /// For a server under this name, with the port where it is not 443.
    #[must_use]
    pub fn new(authority: impl Into<String>, authentication: Authentication) -> Self {
        Self::of(authority.into().into(), authentication)
    }

    pub(super) const fn of(authority: Bytes, authentication: Authentication) -> Self {
        Self { authority, authentication, topic: None, certificate: None, last_topic: None }
    }

    /// How connections prove who they are.
    #[must_use]
    pub const fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// Sets the topic of notifications that have none of their own. Default: none.
    #[must_use]
    pub fn with_topic(mut self, topic: Topic) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Sets what the client certificate says about topics. Default: nothing.
    ///
    /// Its own topic stands in where neither the notification nor [`with_topic`](Self::with_topic) names one, and a list of
    /// topics settles which push type a topic is for.
    #[must_use]
    pub fn with_certificate_topics(mut self, topics: impl Into<Arc<CertificateTopics>>) -> Self {
        self.certificate = Some(topics.into());
        self
    }

    /// The request for a notification to one device (`POST /3/device/…`).
    ///
    /// `apns-push-type`, `apns-topic` and `apns-priority` are those of [`sent_as`](Self::sent_as).
    ///
    /// With [`Authentication::Token`] give the token; without one the request has no `authorization`. `now` resolves an
    /// expiration that was given as a span.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    pub fn device(
        &mut self,
        notification: &Notification,
        token: Option<&ProviderToken>,
        now: WallTime,
    ) -> Result<Request, InvalidNotification> {
        let decision = Decision::new(notification, self.topic.as_ref(), self.certificate.as_deref());
        self.check_as(notification, &decision)?;

        let mut headers = Vec::with_capacity(8);
        headers.extend(token.map(authorization));
        headers.push(Header::new("apns-push-type", push_type_value(&decision.push_type), Indexing::Incremental));
        let priority = decision.priority(notification);
        if let Some(value) = LastTopic::value(&mut self.last_topic, &decision) {
            headers.push(Header::new("apns-topic", value, Indexing::Incremental));
        }
        if let Some(id) = notification.apns_id() {
            headers.push(Header::new("apns-id", id.to_string().into(), Indexing::Without));
        }
        headers.extend(expiration(notification.expiration(), now));
        headers.extend(priority.map(priority_header));
        if let Some(id) = notification.collapse_id() {
            let value = Bytes::copy_from_slice(id.as_str().as_bytes());
            headers.push(Header::new("apns-collapse-id", value, Indexing::Without));
        }

        const DEVICE: &str = "/3/device/";
        let mut path = String::with_capacity(DEVICE.len() + 2 * notification.token().as_bytes().len());
        path.push_str(DEVICE);
        notification.token().push_hex(&mut path);
        Ok(Request {
            method: Method::Post,
            path: path.into(),
            authority: self.authority.clone(),
            headers,
            body: notification.payload().to_bytes(),
        })
    }

    /// As what a notification is sent.
    ///
    /// The push type is the first of these that says anything:
    ///
    /// 1. the notification's own, or the one that its payload was built for;
    /// 2. the topic: one that the certificate lists for a type, else one with the suffix of a type
    ///    ([`PushType::of_topic`]);
    /// 3. the certificate, where it has no topic for the app itself and one for a single type of it;
    /// 4. the payload, where that leaves no doubt ([`Payload::inferred_push_type`](crate::Payload::inferred_push_type));
    /// 5. a guess, of which a [warning](Self::warnings) tells: `background` for what wakes the app and shows nothing,
    ///    `alert` for all else.
    ///
    /// With the type go the size limit, the suffix of the topic, and the priority where the service takes only one.
    #[must_use]
    pub fn sent_as(&self, notification: &Notification) -> SentAs {
        let decision = self.decide(notification);
        SentAs {
            priority: decision.priority(notification),
            topic: decision.topic().and_then(|topic| Topic::new(topic).ok()),
            push_type: decision.push_type,
            source: decision.source,
        }
    }

    fn decide<'a>(&'a self, notification: &'a Notification) -> Decision<'a> {
        Decision::new(notification, self.topic.as_ref(), self.certificate.as_deref())
    }

    /// Whether the service could take a notification at all.
    ///
    /// # Errors
    ///
    /// * [`PayloadTooLarge`](InvalidNotification::PayloadTooLarge): above the limit of its push type;
    /// * [`Expiration`](InvalidNotification::Expiration): beyond the end of the service's clock;
    /// * [`MissingTopic`](InvalidNotification::MissingTopic): no topic, with [`Authentication::Token`];
    /// * [`PushTypeUndecided`](InvalidNotification::PushTypeUndecided): the payload fits several types, and nothing says
    ///   which;
    /// * [`TopicNotInCertificate`](InvalidNotification::TopicNotInCertificate),
    ///   [`PushTypeNotForTopic`](InvalidNotification::PushTypeNotForTopic): the certificate lists its topics, and not this
    ///   one, or this one for another type;
    /// * [`NeedsProviderToken`](InvalidNotification::NeedsProviderToken): no certificate can send this type.
    pub fn check(&self, notification: &Notification) -> Result<(), InvalidNotification> {
        self.check_as(notification, &self.decide(notification))
    }

    fn check_as(&self, notification: &Notification, decision: &Decision<'_>) -> Result<(), InvalidNotification> {
        check_size(notification.payload().size(), decision.push_type.payload_limit())?;
        notification.expiration().check()?;
        match self.authentication {
            Authentication::Token if decision.given.is_none() => return Err(InvalidNotification::MissingTopic),
            Authentication::Certificate if decision.push_type.needs_provider_token() => {
                return Err(InvalidNotification::NeedsProviderToken { push_type: decision.push_type.clone() });
            }
            Authentication::Token | Authentication::Certificate => {}
        }
        decision.check(notification, self.certificate.as_deref())
    }

    /// The same, and what is to be told about it.
    pub(super) fn examine(&self, notification: &Notification) -> Result<Vec<RequestWarning>, InvalidNotification> {
        let decision = self.decide(notification);
        self.check_as(notification, &decision)?;
        Ok(RequestWarning::all(notification, &decision, self.authentication))
    }

    /// What is probably wrong with a notification, although it can be sent, and what is changed about it.
    #[must_use]
    pub fn warnings(&self, notification: &Notification) -> Vec<RequestWarning> {
        RequestWarning::all(notification, &self.decide(notification), self.authentication)
    }

    /// The request for a broadcast (`POST /4/broadcasts/apps/…`).
    ///
    /// # Errors
    ///
    /// [`PayloadTooLarge`](InvalidNotification::PayloadTooLarge) above 5120 bytes, and
    /// [`Expiration`](InvalidNotification::Expiration).
    pub fn broadcast(
        &self,
        broadcast: &Broadcast,
        token: Option<&ProviderToken>,
        now: WallTime,
    ) -> Result<Request, InvalidNotification> {
        check_size(broadcast.payload().size(), PayloadLimit::BROADCAST)?;
        broadcast.expiration().check()?;
        let mut headers = Vec::with_capacity(6);
        headers.extend(token.map(authorization));
        headers.push(Header::new("apns-channel-id", broadcast.channel().to_bytes(), Indexing::Incremental));
        headers.push(Header::new("apns-push-type", Bytes::from_static(b"liveactivity"), Indexing::Incremental));
        // Both are required here, and a channel without storage takes no expiration but 0.
        let expires = match broadcast.expiration() {
            Expiration::Omitted => Expiration::Immediately,
            set @ (Expiration::Immediately | Expiration::At(_) | Expiration::After(_)) => set,
        };
        headers.extend(expiration(expires, now));
        headers.push(priority_header(broadcast.priority()));
        headers.extend(broadcast.request_id().map(request_id));
        let path = format!("/4/broadcasts/apps/{}", broadcast.bundle_id());
        Ok(self.plain(Method::Post, path, headers, broadcast.payload().to_bytes()))
    }

    /// A request to the channel management service. Only the making of a channel has a body.
    #[must_use]
    pub fn channel(
        &self,
        bundle_id: &BundleId,
        request: &ChannelRequest,
        id: Option<ApnsId>,
        token: Option<&ProviderToken>,
    ) -> Request {
        let mut headers = Vec::with_capacity(3);
        headers.extend(token.map(authorization));
        headers.extend(
            request.channel().map(|channel| Header::new("apns-channel-id", channel.to_bytes(), Indexing::Incremental)),
        );
        headers.extend(id.map(request_id));
        let path = format!("/1/apps/{bundle_id}/{}", request.collection());
        self.plain(request.method(), path, headers, request.body())
    }

    fn plain(&self, method: Method, path: String, headers: Vec<Header>, body: Bytes) -> Request {
        Request { method, path: path.into(), authority: self.authority.clone(), headers, body }
    }
}

impl LastTopic {
    /// The topic with its suffix, made anew only if it is another than before.
    fn value(last: &mut Option<Self>, decision: &Decision<'_>) -> Option<Bytes> {
        let topic = decision.given?;
        if let Some(last) = last.as_ref().filter(|last| last.topic == *topic && last.push_type == decision.push_type) {
            return Some(last.value.clone());
        }
        let value = Bytes::from(decision.topic()?.into_owned());
        *last = Some(Self { topic: topic.clone(), push_type: decision.push_type.clone(), value: value.clone() });
        Some(value)
    }
}

const fn check_size(size: usize, limit: PayloadLimit) -> Result<(), InvalidNotification> {
    let limit = limit.bytes();
    if size > limit { Err(InvalidNotification::PayloadTooLarge { size, limit }) } else { Ok(()) }
}

fn authorization(token: &ProviderToken) -> Header {
    Header::new("authorization", token.authorization().clone(), Indexing::Never)
}

fn push_type_value(push_type: &PushType) -> Bytes {
    match push_type.text() {
        Ok(known) => Bytes::from_static(known.as_bytes()),
        Err(other) => Bytes::copy_from_slice(other.as_str().as_bytes()),
    }
}

fn expiration(expiration: Expiration, now: WallTime) -> Option<Header> {
    let value = match expiration.seconds(now)? {
        0 => Bytes::from_static(b"0"),
        seconds => seconds.to_string().into(),
    };
    Some(Header::new("apns-expiration", value, Indexing::Without))
}

const fn priority_header(priority: Priority) -> Header {
    let text: &[u8] = match priority {
        Priority::NeverWake => b"1",
        Priority::PowerSaving => b"5",
        Priority::Immediate => b"10",
    };
    Header::new("apns-priority", Bytes::from_static(text), Indexing::Incremental)
}

fn request_id(id: ApnsId) -> Header {
    Header::new("apns-request-id", id.to_string().into(), Indexing::Without)
}
