//! The topics that a client certificate is for.

use crate::{PushType, Topic};

/// What a client certificate says about topics.
///
/// Source: Apple, "Sending notification requests to APNs", `apns-topic`: the subject's UID is the topic of a certificate
/// without a list; the extensions 1.2.840.113635.100.6.3.6 and 6.3.4 list all topics, each with its kind.
///
/// ```
/// use apns_proto::Topic;
/// use apns_proto::http2::{CertificateTopics, TopicKind};
///
/// let topics = CertificateTopics::new(Some(Topic::new("com.example.app")?))
///     .with_listed(Topic::new("com.example.app")?, TopicKind::App)
///     .with_listed(Topic::new("com.example.app.voip")?, TopicKind::of_word("voip"));
/// assert!(topics.covers("com.example.app.voip"));
/// assert!(!topics.covers("com.example.app.complication"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateTopics {
    default: Option<Topic>,
    listed: Vec<(Topic, TopicKind)>,
}

/// What kind of topic a certificate lists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicKind {
    /// A bundle id, whatever it ends in.
    App,
    /// The topic of one push type.
    Type(PushType),
    /// It does not say; the suffix does.
    Unsaid,
}

impl TopicKind {
    /// The kind by the word that stands in the certificate: `app`, `voip`, `complication`.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "app" => Self::App,
            _ => PushType::from_known(word).map_or(Self::Unsaid, Self::Type),
        }
    }
}

impl CertificateTopics {
    /// With the topic of the subject, and no list.
    #[must_use]
    pub const fn new(default: Option<Topic>) -> Self {
        Self { default, listed: Vec::new() }
    }

    /// Adds a topic to the list.
    #[must_use]
    pub fn with_listed(mut self, topic: Topic, kind: TopicKind) -> Self {
        self.listed.push((topic, kind));
        self
    }

    /// The topic that is meant when a notification names none.
    #[must_use]
    pub const fn default_topic(&self) -> Option<&Topic> {
        self.default.as_ref()
    }

    /// The topics of its list.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = &Topic> {
        self.listed.iter().map(|(topic, _)| topic)
    }

    /// Whether it has a list: then it is for these topics and no others.
    #[must_use]
    pub(crate) const fn has_list(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Whether this is one of its topics.
    #[must_use]
    pub fn covers(&self, topic: &str) -> bool {
        let mut all = self.listed.iter().map(|(topic, _)| topic).chain(&self.default);
        all.any(|one| one.as_str() == topic)
    }

    /// What its list says of a topic; `None` where it is not in the list.
    pub(super) fn kind(&self, topic: &str) -> Option<TopicKind> {
        let (_, kind) = self.listed.iter().find(|(one, _)| one.as_str() == topic)?;
        Some(match kind {
            TopicKind::Unsaid => PushType::of_topic(topic).map_or(TopicKind::App, TopicKind::Type),
            said => said.clone(),
        })
    }

    /// The one type for which it has a topic of this app, where it has none for the app itself.
    pub(super) fn type_of_app(&self, bundle_id: &str) -> Option<PushType> {
        if self.covers(bundle_id) {
            return None;
        }
        let all = self.listed.iter().map(|(topic, _)| topic).chain(&self.default).map(Topic::as_str);
        let mut found = None;
        for topic in all {
            let Some(push_type) = PushType::of_topic(topic) else { continue };
            if topic.strip_suffix(push_type.topic_suffix()) != Some(bundle_id) {
                continue;
            }
            if found.as_ref().is_some_and(|earlier| *earlier != push_type) {
                return None;
            }
            found = Some(push_type);
        }
        found
    }
}
