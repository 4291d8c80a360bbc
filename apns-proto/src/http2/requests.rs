//! From notifications to requests.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::{Broadcast, ChannelId};
use super::channels::ChannelCall;
use super::exchange::Parts;
use super::outgoing::{Head, Outgoing};
use super::recent::Recent;
use super::request::{Header, Indexing, Method, Request};
use super::sent_as::{Decision, SentAs, explicit_push_type};
use super::{CertificateTopics, ProviderToken, RequestWarning};
use crate::payload::{PayloadLimit, Signs};
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
/// It keeps what comes back from request to request, so that one costs few allocations.
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
#[derive(Clone)]
pub struct Requests {
    authority: Bytes,
    authentication: Authentication,
    topic: Option<Topic>,
    certificate: Option<Arc<CertificateTopics>>,
    known: Recent<Known>,
    /// Room for the parts of a request that it shares with no other.
    path: String,
    varying: Vec<Header>,
}

/// What was decided about notifications of one kind.
#[derive(Clone)]
struct Known {
    kind: Kind,
    head: Arc<Head>,
    limit: PayloadLimit,
}

/// All of a notification that decides as what it is sent.
#[derive(Clone)]
struct Kind {
    topic: Option<Topic>,
    push_type: Option<PushType>,
    signs: Signs,
    priority: Option<Priority>,
}

impl Kind {
    fn of(notification: &Notification) -> Self {
        Self {
            topic: notification.topic().cloned(),
            push_type: explicit_push_type(notification).cloned(),
            signs: notification.payload().signs(),
            priority: notification.priority(),
        }
    }

    fn is_that_of(&self, notification: &Notification) -> bool {
        self.signs == notification.payload().signs()
            && self.priority == notification.priority()
            && self.push_type.as_ref() == explicit_push_type(notification)
            && self.topic.as_ref() == notification.topic()
    }
}

impl Requests {
    /// For a server under this name, with the port where it is not 443.
    #[must_use]
    pub fn new(authority: impl Into<String>, authentication: Authentication) -> Self {
        Self::of(authority.into().into(), authentication)
    }

    pub(super) const fn of(authority: Bytes, authentication: Authentication) -> Self {
        Self {
            authority,
            authentication,
            topic: None,
            certificate: None,
            known: Recent::new(),
            path: String::new(),
            varying: Vec::new(),
        }
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
        self.known = Recent::new();
        self
    }

    /// Sets what the client certificate says about topics. Default: nothing.
    ///
    /// Its own topic stands in where neither the notification nor [`with_topic`](Self::with_topic) names one, and a list of
    /// topics settles which push type a topic is for.
    #[must_use]
    pub fn with_certificate_topics(mut self, topics: impl Into<Arc<CertificateTopics>>) -> Self {
        self.certificate = Some(topics.into());
        self.known = Recent::new();
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
        self.request(notification, token, now)
    }

    /// The request for a message in parts, with the head that its [`examine`](Parts::examine) gave. Allocates nothing for a
    /// notification that is like one before.
    pub(super) fn outgoing<'a, M: Parts>(
        &'a mut self,
        head: &'a Arc<Head>,
        message: &'a M,
        token: Option<&'a ProviderToken>,
        now: WallTime,
    ) -> Outgoing<'a> {
        self.path.clear();
        message.path(&mut self.path);
        self.varying.clear();
        message.varying(now, &mut self.varying);
        Outgoing {
            head,
            authorization: token.map(ProviderToken::authorization),
            path: self.path.as_bytes(),
            varying: &self.varying,
            body: message.body(),
        }
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

    /// The same, with what its request has in common with others, and what is to be told about it. It is not told again
    /// for the next notification of the same kind.
    pub(super) fn examine(
        &mut self,
        notification: &Notification,
    ) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        if let Some(known) = self.known.find(|known| known.kind.is_that_of(notification)) {
            check_size(notification.payload().size(), known.limit)?;
            notification.expiration().check()?;
            return Ok((Arc::clone(&known.head), Vec::new()));
        }
        let decision = self.decide(notification);
        self.check_as(notification, &decision)?;
        let warnings = RequestWarning::all(notification, &decision, self.authentication);
        let head = Arc::new(head_of(notification, &decision));
        let limit = decision.push_type.payload_limit();
        let known = Known { kind: Kind::of(notification), head: Arc::clone(&head), limit };
        self.known.keep(known, |_| false);
        Ok((head, warnings))
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
        &mut self,
        broadcast: &Broadcast,
        token: Option<&ProviderToken>,
        now: WallTime,
    ) -> Result<Request, InvalidNotification> {
        self.request(broadcast, token, now)
    }

    /// A request to the channel management service. Only the making of a channel has a body.
    #[must_use]
    pub fn channel(&mut self, call: &ChannelCall, token: Option<&ProviderToken>) -> Request {
        let authority = self.authority.clone();
        // Nothing in it has a time.
        self.outgoing(&Arc::new(call.head()), call, token, WallTime::EPOCH).to_request(authority)
    }

    fn request<M: Parts>(
        &mut self,
        message: &M,
        token: Option<&ProviderToken>,
        now: WallTime,
    ) -> Result<Request, InvalidNotification> {
        let (head, _) = message.examine(self)?;
        let authority = self.authority.clone();
        Ok(self.outgoing(&head, message, token, now).to_request(authority))
    }
}

/// Kinds hold topics, and the room beside them secrets.
impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("authority", &self.authority)
            .field("authentication", &self.authentication)
            .field("topic", &self.topic)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// What the requests of all notifications have that are sent like this one.
fn head_of(notification: &Notification, decision: &Decision<'_>) -> Head {
    let mut headers = Vec::with_capacity(3);
    headers.push(Header::new("apns-push-type", push_type_value(&decision.push_type), Indexing::Incremental));
    if let Some(topic) = decision.topic() {
        headers.push(Header::new("apns-topic", topic.into_owned().into(), Indexing::Incremental));
    }
    headers.extend(decision.priority(notification).map(priority));
    Head { method: Method::Post, headers }
}

pub(super) const fn check_size(size: usize, limit: PayloadLimit) -> Result<(), InvalidNotification> {
    let limit = limit.bytes();
    if size > limit { Err(InvalidNotification::PayloadTooLarge { size, limit }) } else { Ok(()) }
}

fn push_type_value(push_type: &PushType) -> Bytes {
    match push_type.text() {
        Ok(known) => Bytes::from_static(known.as_bytes()),
        Err(other) => Bytes::copy_from_slice(other.as_str().as_bytes()),
    }
}

pub(super) fn expiration(expiration: Expiration, now: WallTime) -> Option<Header> {
    let value = match expiration.seconds(now)? {
        0 => Bytes::from_static(b"0"),
        seconds => seconds.to_string().into(),
    };
    Some(Header::new("apns-expiration", value, Indexing::Without))
}

pub(super) const fn priority(priority: Priority) -> Header {
    let text: &[u8] = match priority {
        Priority::NeverWake => b"1",
        Priority::PowerSaving => b"5",
        Priority::Immediate => b"10",
    };
    Header::new("apns-priority", Bytes::from_static(text), Indexing::Incremental)
}

pub(super) fn channel(channel: &ChannelId) -> Header {
    Header::new("apns-channel-id", Bytes::copy_from_slice(channel.as_str().as_bytes()), Indexing::Incremental)
}

pub(super) fn request_id(id: ApnsId) -> Header {
    Header::new("apns-request-id", id.to_string().into(), Indexing::Without)
}
