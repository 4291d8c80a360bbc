//! What is probably wrong with a notification, although it can be sent.

use super::Authentication;
use crate::{Notification, Priority, PushType, Topic};

/// Something in a notification that the service will probably refuse or, worse, take and not deliver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestWarning {
    /// The topic seems to have the team id in front, as an app id prefix.
    #[error("the topic {topic} seems to begin with a team id: the topic is the bundle id without it")]
    TeamPrefix {
        /// The topic.
        topic: Topic,
    },
    /// A background push must have priority 5, and has it now.
    #[error("a background push is sent with priority 5, not with the {asked} that was set")]
    BackgroundPriority {
        /// The priority that was set.
        asked: u8,
    },
    /// The push type needs a signing key; client certificates cannot send it.
    #[error("pushes of type {push_type} need a signing key and cannot be sent with a certificate")]
    NeedsProviderToken {
        /// The push type.
        push_type: PushType,
    },
    /// The push type that was set does not fit what the payload is; the service may then drop it without a word.
    #[error("the push type is {declared}, but the payload is one of type {found}: it may be lost without an error")]
    OtherPayload {
        /// The push type that was set.
        declared: PushType,
        /// What the payload is.
        found: PushType,
    },
}

impl RequestWarning {
    pub(super) fn all(
        notification: &Notification,
        topic: Option<&Topic>,
        push_type: &PushType,
        authentication: Authentication,
    ) -> Vec<Self> {
        let mut warnings = Vec::new();
        if let Some(topic) = topic.filter(|topic| has_team_prefix(topic.as_str())) {
            warnings.push(Self::TeamPrefix { topic: topic.clone() });
        }
        if *push_type == PushType::Background
            && let Some(asked) = notification.priority().filter(|asked| *asked != Priority::PowerSaving)
        {
            warnings.push(Self::BackgroundPriority { asked: asked.number() });
        }
        if authentication == Authentication::Certificate
            && matches!(push_type, PushType::LiveActivity | PushType::Location)
        {
            warnings.push(Self::NeedsProviderToken { push_type: push_type.clone() });
        }
        if let Some(found) = notification.payload().inferred_push_type().filter(|found| differ(push_type, found)) {
            warnings.push(Self::OtherPayload { declared: push_type.clone(), found });
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

/// Alerts and background pushes are told apart by the payload, and these two types hardly carry anything else. Other types
/// may carry what looks like an alert (VoIP, say).
fn differ(declared: &PushType, found: &PushType) -> bool {
    matches!(declared, PushType::Alert | PushType::Background) && declared != found
}
