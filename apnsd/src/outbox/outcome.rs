//! The end of a notification as it is kept and told.

use apns_proto::{ApnsId, Environment, NotSentCause, Outcome, Rejection, UnknownCause, WallTime};
use serde::{Deserialize, Serialize};

use super::{Tries, Withdrawal};
use crate::{AppName, NotificationId, Tag};

/// How a notification ended, as it is kept in the store and told to callers.
///
/// Times are in milliseconds since 1970. Members that say nothing are left out of the JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutcomeRecord {
    /// The notification.
    pub id: NotificationId,
    /// Whose it is.
    pub app: AppName,
    /// `accepted`, `rejected`, `expired`, `unknown`, `not_sent` or `invalid`; see [`Outcome::word`].
    pub outcome: String,
    /// `confirmed` or `presumed`, where it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The service's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apns_id: Option<String>,
    /// The name under which the push console lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<String>,
    /// The status of a refusal: of HTTP, or of the binary protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The service's word for a refusal; `cancelled` or `purged` for what was taken back before it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about a refusal; see [`apns_proto::Reaction::word`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<String>,
    /// What becomes of the device token: `keep`, `drop` or `drop_if_registered_before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Since when the app is gone from the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<u64>,
    /// What happened, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The caller's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The environment that answered, or that had it in hand when the answer was lost: `production` or `sandbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The caller's word for those that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// How often it was written, sent again in doubt, and sent again after a refusal.
    #[serde(flatten)]
    pub tries: Tries,
    /// When it was accepted by this side.
    pub accepted_at: u64,
    /// The time before which it was not to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<u64>,
    /// When it ended.
    pub settled_at: u64,
}

impl OutcomeRecord {
    /// The record of an outcome.
    #[must_use]
    pub fn new(
        id: NotificationId,
        app: AppName,
        outcome: &Outcome,
        accepted_at: WallTime,
        settled_at: WallTime,
    ) -> Self {
        let mut record = Self {
            id,
            app,
            outcome: outcome.word().to_owned(),
            proof: None,
            apns_id: None,
            unique_id: None,
            status: None,
            reason: None,
            reaction: None,
            token: None,
            gone_since: None,
            detail: None,
            idempotency_key: None,
            environment: None,
            tag: None,
            tries: Tries::default(),
            accepted_at: accepted_at.as_millis(),
            send_at: None,
            settled_at: settled_at.as_millis(),
        };
        match outcome {
            Outcome::Accepted { proof, apns_id, unique_id } => {
                record.proof = Some(proof.word().to_owned());
                record.apns_id = apns_id.map(|id| id.to_string());
                record.unique_id = unique_id.as_deref().map(str::to_owned);
            }
            Outcome::Rejected(rejection) => record.note_rejection(rejection),
            Outcome::Unknown { cause } => record.detail = Some(cause.to_string()),
            Outcome::NotSent { cause } => record.detail = Some(cause.to_string()),
            // An outcome of a later kind has its word, and nothing more that could be said.
            _ => {}
        }
        record
    }

    /// With what it took.
    #[must_use]
    pub fn with_tries(mut self, tries: Tries) -> Self {
        self.tries = tries;
        self
    }

    /// With the time before which it was not to be sent.
    #[must_use]
    pub fn with_send_at(mut self, send_at: Option<WallTime>) -> Self {
        self.send_at = send_at.map(WallTime::as_millis);
        self
    }

    /// With the environment that answered.
    #[must_use]
    pub fn with_environment(mut self, environment: Option<Environment>) -> Self {
        self.environment = environment.map(|environment| environment.word().to_owned());
        self
    }

    /// With another text for a person.
    #[must_use]
    pub(crate) fn with_detail(mut self, detail: &str) -> Self {
        self.detail = Some(detail.to_owned());
        self
    }

    /// With the caller's own name for it.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: Option<&str>) -> Self {
        self.idempotency_key = key.map(str::to_owned);
        self
    }

    /// With the caller's word for those that it belongs to.
    #[must_use]
    pub fn with_tag(mut self, tag: Option<Tag>) -> Self {
        self.tag = tag;
        self
    }

    /// Whether the service took it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.outcome == "accepted"
    }

    /// Whether it says that the device token is not valid any more, or was not at some time.
    #[must_use]
    pub fn drops_token(&self) -> bool {
        matches!(self.token.as_deref(), Some("drop" | "drop_if_registered_before"))
    }

    /// With the word for why it was taken back, where nothing of it has left.
    #[must_use]
    pub(crate) fn with_withdrawal(mut self, why: Withdrawal) -> Self {
        if self.outcome == "not_sent" {
            self.reason = Some(why.word().to_owned());
        }
        self
    }

    /// A word for counting: the reason of a refusal, otherwise the outcome.
    #[must_use]
    pub fn counted_as(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.outcome)
    }

    fn note_rejection(&mut self, rejection: &Rejection) {
        self.status = Some(rejection.status());
        self.reason = Some(rejection.reason().to_owned());
        self.reaction = Some(rejection.reaction().word().to_owned());
        let verdict = rejection.token_verdict();
        self.token = Some(verdict.word().to_owned());
        self.gone_since = verdict.gone_since().map(WallTime::as_millis);
        self.detail = Some(rejection.explain().to_do.to_owned());
        if let Rejection::Provider(rejection) = rejection {
            self.apns_id = rejection.apns_id().as_ref().map(ApnsId::to_string);
            self.unique_id = rejection.unique_id().map(str::to_owned);
        }
    }
}

/// How a notification ends whose app went away before its turn came.
pub(crate) fn abandoned(why: &str) -> Outcome {
    Outcome::NotSent { cause: NotSentCause::Stopped(why.into()) }
}

/// How a notification ends whose time is over and of which a copy may have arrived.
pub(crate) fn too_late() -> Outcome {
    let why = "its expiration passed before it could be sent again".into();
    Outcome::Unknown { cause: UnknownCause::ConnectionLost(why) }
}
