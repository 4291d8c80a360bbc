//! What is probably wrong with a notification, although it can be sent, and what is changed about it.

use super::Authentication;
use super::sent_as::{Decision, PushTypeSource};
use crate::{Notification, PushType, Topic};

/// Something in a notification that the service will probably refuse or, worse, take and not deliver, or that is sent
/// otherwise than it was given.
///
/// A connection tells each kind once, as [`Warning::Request`](crate::Warning::Request).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestWarning {
    /// The topic seems to have the team id in front, as an app id prefix.
    #[error("the topic {topic} seems to begin with a team id: the topic is the bundle id without it")]
    TeamPrefix {
        /// The topic.
        topic: Topic,
    },
    /// The service takes only one priority for this push type, and that is sent.
    #[error(
        "a {push_type} push is sent with priority {sent}, not with the {asked} that was set: the service takes no other"
    )]
    PriorityChanged {
        /// The push type.
        push_type: PushType,
        /// The priority that was set.
        asked: u8,
        /// The one that is sent.
        sent: u8,
    },
    /// The push type probably needs a signing key.
    #[error("pushes of type {push_type} probably need a signing key and cannot be sent with a certificate")]
    NeedsProviderToken {
        /// The push type.
        push_type: PushType,
    },
    /// The push type that was set is not the one that the topic is for.
    #[error("the push type is {declared}, but the topic {topic} is one of type {found}: {declared} is sent")]
    OtherTopic {
        /// The push type that was set.
        declared: PushType,
        /// The topic as it was given.
        topic: Topic,
        /// What the topic is for.
        found: PushType,
    },
    /// The push type does not fit what the payload is; the service may then drop it without a word.
    #[error("the push type is {declared}, but the payload is one of type {found}: it may be lost without an error")]
    OtherPayload {
        /// The push type that is sent.
        declared: PushType,
        /// What the payload is.
        found: PushType,
    },
    /// The payload lacks a key without which a push of this type means nothing to the device.
    #[error(
        "a push of type {push_type} needs the key {key} in its payload, which is not there: it may be lost without an error"
    )]
    MissingKey {
        /// The push type that is sent.
        push_type: PushType,
        /// The key, with `aps.` before one that belongs there.
        key: &'static str,
    },
    /// Neither an explicit choice nor the topic nor the payload says what the push type is.
    #[error("nothing says for certain what the push type is, and {sent} is sent: set the push type")]
    GuessedPushType {
        /// The push type that is sent.
        sent: PushType,
    },
    /// The certificate has no topic for the app itself, and the one that it has is used.
    #[error(
        "the certificate is not for the topic {given} but for {sent}: it is sent there, with push type {push_type}"
    )]
    CertificateTopic {
        /// The topic as it was given.
        given: Topic,
        /// The topic that is sent.
        sent: Box<str>,
        /// The push type that is sent.
        push_type: PushType,
    },
}

impl RequestWarning {
    /// A number for each kind, below 32.
    pub(super) const fn kind(&self) -> u32 {
        match self {
            Self::TeamPrefix { .. } => 0,
            Self::PriorityChanged { .. } => 1,
            Self::NeedsProviderToken { .. } => 2,
            Self::OtherTopic { .. } => 3,
            Self::OtherPayload { .. } => 4,
            Self::MissingKey { .. } => 5,
            Self::GuessedPushType { .. } => 6,
            Self::CertificateTopic { .. } => 7,
        }
    }

    /// Allocates nothing where there is nothing to say.
    pub(super) fn all(
        notification: &Notification,
        decision: &Decision<'_>,
        authentication: Authentication,
    ) -> Vec<Self> {
        let mut warnings = Vec::new();
        let push_type = &decision.push_type;
        let given = decision.given;
        if let Some(topic) = given.filter(|topic| has_team_prefix(topic.as_str())) {
            warnings.push(Self::TeamPrefix { topic: topic.clone() });
        }
        if let (Some(asked), Some(sent)) = (notification.priority(), push_type.forced_priority())
            && asked != sent
        {
            let (asked, sent) = (asked.number(), sent.number());
            warnings.push(Self::PriorityChanged { push_type: push_type.clone(), asked, sent });
        }
        // Other libraries say so; Apple's page says it of `location` alone.
        if authentication == Authentication::Certificate && *push_type == PushType::LiveActivity {
            warnings.push(Self::NeedsProviderToken { push_type: push_type.clone() });
        }
        match decision.source {
            PushTypeSource::Guess => warnings.push(Self::GuessedPushType { sent: push_type.clone() }),
            PushTypeSource::Certificate => {
                if let (Some(given), Some(sent)) = (given, decision.topic()) {
                    let (given, sent) = (given.clone(), sent.into());
                    warnings.push(Self::CertificateTopic { given, sent, push_type: push_type.clone() });
                }
            }
            PushTypeSource::Explicit => {
                if let (Some(found), Some(topic)) = (&decision.topic_type, given)
                    && !fits(push_type, found)
                {
                    let (declared, found) = (push_type.clone(), found.clone());
                    warnings.push(Self::OtherTopic { declared, topic: topic.clone(), found });
                }
            }
            PushTypeSource::Topic | PushTypeSource::Payload => {}
        }
        let content = notification.payload().content_push_type();
        if let Some(found) = content.filter(|found| differ(push_type, found)) {
            warnings.push(Self::OtherPayload { declared: push_type.clone(), found });
        } else if let Some(key) = notification.payload().missing_key(push_type) {
            warnings.push(Self::MissingKey { push_type: push_type.clone(), key });
        }
        warnings
    }
}

/// Ten capitals and digits before the first dot. A bundle id may begin like that, but hardly any does.
fn has_team_prefix(topic: &str) -> bool {
    topic.split_once('.').is_some_and(|(first, _)| {
        first.len() == 10 && first.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// Whether a type may be sent to a topic of that type. A website or a pass has one topic for all that it shows.
fn fits(push_type: &PushType, topic_type: &PushType) -> bool {
    push_type == topic_type || (*topic_type == PushType::Alert && *push_type == PushType::Background)
}

/// Whether a payload of the one type is hardly one of the other. VoIP, say, may carry what looks like an alert.
fn differ(sent: &PushType, found: &PushType) -> bool {
    let particular = |push_type: &PushType| {
        matches!(push_type, PushType::Alert | PushType::Background | PushType::LiveActivity | PushType::Mdm)
    };
    sent != found && (particular(sent) || (*found == PushType::Mdm))
}
