//! As what a notification is sent: its push type, and the topic, priority and limit that go with it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::certificate_topics::{CertificateTopics, TopicKind};
use crate::{InvalidNotification, Notification, Priority, PushType, Topic};

/// What a push type follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushTypeSource {
    /// It was set on the notification, or its payload was built for it.
    Explicit,
    /// The topic is one of this type.
    Topic,
    /// The certificate has a topic of this app for this type and no other.
    Certificate,
    /// The payload leaves no doubt.
    Payload,
    /// Nothing says it; it is the type that the payload probably means.
    Guess,
}

/// As what a notification is sent; see [`Requests::sent_as`](super::Requests::sent_as).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentAs {
    /// The value of `apns-push-type`.
    pub push_type: PushType,
    /// What it follows from.
    pub source: PushTypeSource,
    /// The value of `apns-topic`; `None` where no topic is known.
    pub topic: Option<Topic>,
    /// The value of `apns-priority`; `None` where nothing was set.
    pub priority: Option<Priority>,
}

/// What was decided about one notification.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) push_type: PushType,
    pub(super) source: PushTypeSource,
    /// The topic as it was given.
    pub(super) given: Option<&'a Topic>,
    /// What the topic says of the type, where it says anything.
    pub(super) topic_type: Option<PushType>,
    /// The certificate says that the topic is a bundle id, whatever it ends in.
    is_bundle_id: bool,
}

/// The push type that the caller chose.
pub(super) fn explicit_push_type(notification: &Notification) -> Option<&PushType> {
    notification.push_type().or_else(|| notification.payload().declared_push_type())
}

impl<'a> Decision<'a> {
    pub(super) fn new(
        notification: &'a Notification,
        default: Option<&'a Topic>,
        certificate: Option<&'a CertificateTopics>,
    ) -> Self {
        let own = certificate.and_then(CertificateTopics::default_topic);
        let given = notification.topic().or(default).or(own);
        let kind = given.zip(certificate).and_then(|(topic, certificate)| certificate.kind(topic.as_str()));
        let is_bundle_id = kind == Some(TopicKind::App);
        let topic_type = match kind {
            Some(TopicKind::App) => None,
            Some(TopicKind::Type(listed)) => Some(listed),
            Some(TopicKind::Unsaid) | None => given.and_then(|topic| PushType::of_topic(topic.as_str())),
        };
        let payload = notification.payload();
        let explicit = explicit_push_type(notification);
        let (push_type, source) = if let Some(explicit) = explicit {
            (explicit.clone(), PushTypeSource::Explicit)
        } else if let Some(by_topic) = &topic_type {
            (by_topic.clone(), PushTypeSource::Topic)
        } else {
            let content = payload.content_push_type();
            let of_app =
                given.zip(certificate).and_then(|(topic, certificate)| certificate.type_of_app(topic.as_str()));
            match (of_app, content) {
                (Some(only), _) => (only, PushTypeSource::Certificate),
                (_, Some(content)) => (content, PushTypeSource::Payload),
                (_, None) if payload.is_silent() => (PushType::Background, PushTypeSource::Guess),
                (_, None) => (PushType::Alert, PushTypeSource::Guess),
            }
        };
        Self { push_type, source, given, topic_type, is_bundle_id }
    }

    /// The value of `apns-topic`.
    pub(super) fn topic(&self) -> Option<Cow<'a, str>> {
        let given = self.given?.as_str();
        let suffix = self.push_type.topic_suffix();
        // A bundle id that happens to end like a suffix still wants it.
        if self.is_bundle_id && !suffix.is_empty() {
            return Some(format!("{given}{suffix}").into());
        }
        Some(self.push_type.topic(given))
    }

    pub(super) fn priority(&self, notification: &Notification) -> Option<Priority> {
        self.push_type.forced_priority().or_else(|| notification.priority())
    }

    /// Refuses what the service is certain to refuse.
    pub(super) fn check(
        &self,
        notification: &Notification,
        certificate: Option<&CertificateTopics>,
    ) -> Result<(), InvalidNotification> {
        if self.source == PushTypeSource::Guess && notification.payload().missing_key(&PushType::Widgets).is_none() {
            return Err(InvalidNotification::PushTypeUndecided);
        }
        let Some(certificate) = certificate.filter(|certificate| certificate.has_list()) else { return Ok(()) };
        let Some(topic) = self.topic() else { return Ok(()) };
        match certificate.kind(&topic) {
            None if certificate.covers(&topic) => Ok(()),
            None => {
                Err(InvalidNotification::TopicNotInCertificate { topic: topic.into(), listed: listed(certificate) })
            }
            Some(TopicKind::Type(listed)) if listed != self.push_type => {
                Err(InvalidNotification::PushTypeNotForTopic {
                    push_type: Box::new(self.push_type.clone()),
                    topic: topic.into(),
                    topic_type: Box::new(listed),
                })
            }
            Some(_) => Ok(()),
        }
    }
}

/// The topics of a certificate for a message, without end where there are hundreds.
fn listed(certificate: &CertificateTopics) -> Box<str> {
    const SHOWN: usize = 5;
    let shown: Vec<_> = certificate.listed().take(SHOWN).map(Topic::as_str).collect();
    let mut text = shown.join(", ");
    if let Some(more) = certificate.listed().len().checked_sub(SHOWN + 1) {
        let _written = write!(text, " and {} more", more + 1);
    }
    text.into()
}
