//! One push that is kept, whatever protocol it came over.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use apns_proto::binary::server::Verdict;
use apns_proto::http2::{Api, Reason};
use apns_proto::{Explanation, PayloadLimit, PushType, WallTime};
use apns_sim::{AuthenticatedBy, Record, RequestKind, RequestRecord, Service, Unreadable};
use bytes::Bytes;

use crate::content::Content;
use crate::rules::{Judgement, judge};

/// The longest headline, in characters.
const LONGEST_HEADLINE: usize = 120;

/// A push as it came, with the place that the inbox gave it.
pub(crate) struct Push {
    /// Place among all that came, from 1; never given twice.
    pub(crate) seq: u64,
    /// When it came.
    pub(crate) at: WallTime,
    pub(crate) source: Source,
    /// None where the connection is not known, which happens when the inbox was there after it.
    pub(crate) connection: Option<Arc<Connection>>,
    /// The app that the client certificate is for: what a push without a topic is for.
    pub(crate) default_topic: Arc<str>,
    looked_at: AtomicBool,
    // Boxed, as most pushes are never looked at.
    content: OnceLock<Box<Content>>,
    judgement: OnceLock<Box<Judgement>>,
}

/// What the simulator says of it.
pub(crate) enum Source {
    /// A request to the provider API.
    Request(Arc<RequestRecord>),
    /// A frame of the binary protocol.
    Frame(Record),
    /// Something at the binary gateway that is no notification.
    Unreadable(Unreadable),
}

/// A connection that pushes came over.
pub(crate) struct Connection {
    pub(crate) service: Service,
    pub(crate) number: u64,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) tls: &'static str,
    pub(crate) since: WallTime,
    pub(crate) pushes: AtomicU64,
    /// When and how it ended.
    pub(crate) closed: OnceLock<(WallTime, String)>,
}

/// What the service said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// Taken, and the client was told so.
    Accepted(u16),
    /// Taken; the binary protocol says so by saying nothing.
    Silent,
    /// Refused with this status, and perhaps a reason.
    Refused(u16, Option<&'a str>),
    /// There was no answer: the stream or the connection ended.
    None,
}

impl Push {
    pub(crate) fn new(seq: u64, source: Source, connection: Option<Arc<Connection>>, default_topic: Arc<str>) -> Self {
        let at = match &source {
            Source::Request(request) => request.at,
            Source::Frame(record) => record.at,
            Source::Unreadable(unreadable) => unreadable.at,
        };
        Self {
            seq,
            at,
            source,
            connection,
            default_topic,
            looked_at: AtomicBool::new(false),
            content: OnceLock::new(),
            judgement: OnceLock::new(),
        }
    }

    pub(crate) fn request(&self) -> Option<&RequestRecord> {
        match &self.source {
            Source::Request(request) => Some(request),
            Source::Frame(_) | Source::Unreadable(_) => None,
        }
    }

    pub(crate) fn protocol(&self) -> &'static str {
        if self.request().is_some() { "http2" } else { "binary" }
    }

    pub(crate) fn is_broadcast(&self) -> bool {
        self.request().is_some_and(|request| request.kind == RequestKind::Broadcast)
    }

    /// The device token; none for broadcasts and for what names none.
    pub(crate) fn token(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Request(request) => request.token.as_ref(),
            Source::Frame(record) => Some(&record.token),
            Source::Unreadable(_) => None,
        }
    }

    pub(crate) fn device(&self) -> Option<String> {
        self.token().map(|token| apns_proto::internal::to_hex(token))
    }

    /// The payload, byte for byte.
    pub(crate) fn payload(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        match &self.source {
            Source::Request(request) => &request.payload,
            Source::Frame(record) => &record.payload,
            Source::Unreadable(_) => &NOTHING,
        }
    }

    /// The topic, the one that the certificate implies included.
    pub(crate) fn topic(&self) -> &str {
        let named = self.request().and_then(|request| request.topic.as_deref());
        named.unwrap_or(&self.default_topic)
    }

    /// The app: its bundle id, without what push types add.
    pub(crate) fn app(&self) -> &str {
        app_of(self.topic())
    }

    /// The push type as it was sent.
    pub(crate) fn said_type(&self) -> Option<&str> {
        self.request().and_then(|request| request.push_type.as_deref())
    }

    /// The push type that it is taken for: the header, else what the topic is for, else what the payload holds.
    pub(crate) fn push_type(&self) -> PushType {
        if self.is_broadcast() {
            return PushType::LiveActivity;
        }
        if let Some(text) = self.said_type() {
            let known = PushType::from_known(text).ok();
            if let Some(known) = known.or_else(|| text.parse().ok()) {
                return known;
            }
        }
        if let Some(named) = PushType::of_topic(self.topic()) {
            return named;
        }
        if self.content().is_background() { PushType::Background } else { PushType::Alert }
    }

    /// Where the payload has to end.
    pub(crate) fn payload_limit(&self) -> PayloadLimit {
        match &self.source {
            Source::Request(_) if self.is_broadcast() => PayloadLimit::BROADCAST,
            Source::Request(_) => self.push_type().payload_limit(),
            Source::Frame(_) | Source::Unreadable(_) => PayloadLimit::BINARY_2014,
        }
    }

    pub(crate) fn collapse_id(&self) -> Option<&str> {
        self.request().and_then(|request| request.collapse_id.as_deref())
    }

    pub(crate) fn channel(&self) -> Option<&str> {
        self.request().filter(|_| self.is_broadcast()).and_then(|request| request.channel_id.as_deref())
    }

    /// Seconds since 1970.
    pub(crate) fn expiration(&self) -> Option<u64> {
        match &self.source {
            Source::Request(request) => request.expiration,
            Source::Frame(record) => record.expiration.map(u64::from),
            Source::Unreadable(_) => None,
        }
    }

    pub(crate) fn priority(&self) -> Option<u8> {
        match &self.source {
            Source::Request(request) => request.priority,
            Source::Frame(record) => record.priority,
            Source::Unreadable(_) => None,
        }
    }

    /// Whether it was decided by hand.
    pub(crate) fn armed(&self) -> bool {
        match &self.source {
            Source::Request(request) => request.armed,
            Source::Frame(record) => record.armed,
            Source::Unreadable(_) => false,
        }
    }

    pub(crate) fn answer(&self) -> Answer<'_> {
        match &self.source {
            Source::Request(request) => match request.status {
                Some(status) if request.accepted() => Answer::Accepted(status),
                Some(status) => Answer::Refused(status, request.reason.as_deref()),
                None => Answer::None,
            },
            Source::Frame(record) if record.accepted() => Answer::Silent,
            Source::Frame(Record { verdict, .. }) | Source::Unreadable(Unreadable { verdict, .. }) => match verdict {
                Verdict::Refuse { status, .. } => Answer::Refused(status.raw().into(), status.name()),
                _ => Answer::None,
            },
        }
    }

    pub(crate) fn accepted(&self) -> bool {
        matches!(self.answer(), Answer::Accepted(_) | Answer::Silent)
    }

    /// What the answer means and what to do about it, for a refusal that is known.
    pub(crate) fn explanation(&self) -> Option<Explanation> {
        let Answer::Refused(status, reason) = self.answer() else { return None };
        match &self.source {
            Source::Request(request) => {
                let api = if request.kind == RequestKind::Push { Api::Device } else { Api::Broadcast };
                let rejection = apns_proto::http2::ProviderRejection::new(api, status);
                let known = reason.map(Reason::from).and_then(|reason| reason.explain(api));
                Some(known.unwrap_or_else(|| rejection.explain()))
            }
            Source::Frame(_) | Source::Unreadable(_) => {
                let status = apns_proto::binary::Status::from_raw(u8::try_from(status).ok()?);
                Some(apns_proto::Rejection::Gateway(status).explain())
            }
        }
    }

    pub(crate) fn credential(&self) -> Option<&AuthenticatedBy> {
        self.request().map(|request| &request.authenticated_by)
    }

    /// The name in the answer.
    pub(crate) fn apns_id(&self) -> Option<&str> {
        self.request().map(|request| request.apns_id.as_str())
    }

    /// What the payload says; read once, when it is asked for.
    pub(crate) fn content(&self) -> &Content {
        self.content.get_or_init(|| Box::new(Content::read(self.payload())))
    }

    /// The rules that it keeps and breaks; judged once, when it is asked for.
    pub(crate) fn judgement(&self) -> &Judgement {
        self.judgement.get_or_init(|| Box::new(judge(self)))
    }

    /// In a few words what it says, for lists and headings.
    pub(crate) fn headline(&self) -> String {
        let words = self.words();
        match words.char_indices().nth(LONGEST_HEADLINE) {
            Some((end, _)) => format!("{}…", words[..end].trim_end()),
            None => words,
        }
    }

    fn words(&self) -> String {
        if let Source::Unreadable(unreadable) = &self.source {
            return unreadable.error.clone();
        }
        let content = self.content();
        let alert = content.alert.as_ref().and_then(|alert| alert.title.as_ref().or(alert.body.as_ref()));
        if let Some(text) = alert {
            return text.to_string();
        }
        if let Some(live) = &content.live {
            return format!("{} {}", live.event.as_deref().unwrap_or("no event"), live.summary());
        }
        format!("{}, {}", self.push_type().as_str(), self.app())
    }

    pub(crate) fn looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// Says whether this was the first time.
    pub(crate) fn look_at(&self) -> bool {
        !self.looked_at.swap(true, Ordering::Relaxed)
    }
}

/// The app of a topic: without the suffix of a push type.
pub(crate) fn app_of(topic: &str) -> &str {
    let suffix = PushType::of_topic(topic).map_or("", |push_type| push_type.topic_suffix());
    topic.strip_suffix(suffix).unwrap_or(topic)
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("seq", &self.seq).field("answer", &self.answer()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, number, .. } = self;
        f.debug_struct("Connection").field("service", service).field("number", number).finish_non_exhaustive()
    }
}
