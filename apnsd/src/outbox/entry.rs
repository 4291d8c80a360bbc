//! What goes in and out of a store.

use std::fmt;
use std::sync::Arc;

use apns_lint::Finding;
use apns_proto::{CollapseId, DeviceToken, Notification, PushType, Topic, WallTime};
use serde::{Deserialize, Serialize};

use super::{OutcomeRecord, Route, Routes};
use crate::{AppName, NotificationId, Tag};

/// A notification to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What to send. Its expiration must not be a span any more: see [`apns_proto::Expiration::resolve`].
    pub notification: Notification,
    /// The caller's own name for it; the same name is not queued twice within a day.
    pub idempotency_key: Option<Arc<str>>,
    /// What tells it from another notification under the same idempotency key, where it has one; see
    /// [`digest`](super::digest).
    pub digest: Option<[u8; 32]>,
    /// The caller's word for those that it belongs to.
    pub tag: Option<Tag>,
    /// When it came.
    pub at: WallTime,
    /// It is not sent before this time. What is counted from when a notification came is counted from then.
    pub send_at: Option<WallTime>,
    /// Which environment it is for.
    pub route: Route,
}

/// A notification that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub id: NotificationId,
    /// Whether its idempotency key was known, and the name is that of the earlier one.
    pub duplicate: bool,
    /// What is wrong with its payload, where the app wants to know. An outbox leaves it empty.
    pub findings: Vec<Finding>,
}

/// What [`claim`](super::Lane::claim) hands out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Oldest first.
    pub entries: Vec<Claimed>,
    /// When the next one's time comes, of those on the same routes that were not handed out; in the past where a limit held
    /// some back.
    pub next_due: Option<WallTime>,
    /// On which of these routes something waits that was not handed out, whether its time has come or not.
    pub waits: Routes,
}

/// A notification that is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its name.
    pub id: NotificationId,
    /// What to send.
    pub notification: Notification,
    /// The caller's own name for it.
    pub idempotency_key: Option<Arc<str>>,
    /// The caller's word for those that it belongs to.
    pub tag: Option<Tag>,
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// The time before which it was not to be sent.
    pub send_at: Option<WallTime>,
    /// The route on which it waited.
    pub route: Route,
    /// How far it came before.
    pub tries: Tries,
    /// Which claim this is.
    pub claim: ClaimNumber,
}

/// What tells a claim of a notification from other claims of the same one. Only the store reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimNumber(i64);

impl ClaimNumber {
    /// From the store's own number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The store's own number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl Claimed {
    /// When its time began: when it was to be sent, or when it was accepted.
    #[must_use]
    pub fn begun(&self) -> WallTime {
        self.send_at.unwrap_or(self.accepted_at)
    }
}

/// How often something was done with a notification so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tries {
    /// How often it was written.
    pub attempts: u32,
    /// How often it was sent again although an earlier copy may have arrived.
    pub replays: u32,
    /// How often it was sent again because the service refused it for the time being.
    pub retries: u32,
}

/// What becomes of a notification that was in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It ended.
    Settle(Box<Settlement>),
    /// It is tried again.
    Postpone(Postponement),
}

impl Change {
    /// The notification.
    #[must_use]
    pub const fn id(&self) -> NotificationId {
        match self {
            Self::Settle(settlement) => settlement.record.id,
            Self::Postpone(postponement) => postponement.id,
        }
    }

    /// The claim that it is about.
    #[must_use]
    pub const fn claim(&self) -> ClaimNumber {
        match self {
            Self::Settle(settlement) => settlement.claim,
            Self::Postpone(postponement) => postponement.claim,
        }
    }
}

/// The end of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// How it ended.
    pub record: OutcomeRecord,
    /// The device token, where the outcome says that the app is gone from it.
    pub gone: Option<GoneToken>,
    /// The claim that ends with it.
    pub claim: ClaimNumber,
}

/// A notification that waits again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postponement {
    /// Its name.
    pub id: NotificationId,
    /// Not before this time.
    pub due: WallTime,
    /// On this route.
    pub route: Route,
    /// How far it came.
    pub tries: Tries,
    /// The claim that ends with it.
    pub claim: ClaimNumber,
}

/// What [`recover`](super::Lane::recover) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// How many are sent again.
    pub resent: u64,
    /// What was reported as unknown.
    pub reported: Vec<(Cursor, OutcomeRecord)>,
}

/// Where a notification stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its name.
    pub id: NotificationId,
    /// Whose it is.
    pub app: AppName,
    /// The caller's word for those that it belongs to.
    pub tag: Option<Tag>,
    /// Where it stands.
    pub state: State,
}

impl Tracked {
    /// One that ended like this.
    #[must_use]
    pub fn settled(record: OutcomeRecord) -> Self {
        let (id, app, tag) = (record.id, record.app.clone(), record.tag.clone());
        Self { id, app, tag, state: State::Settled(Box::new(record)) }
    }
}

/// Where a notification stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It waits for its turn.
    Waiting {
        /// When it was accepted.
        accepted_at: WallTime,
        /// Not before this time.
        due: WallTime,
        /// How far it came before.
        tries: Tries,
    },
    /// It is with the client, and may have left.
    InFlight {
        /// When it was accepted.
        accepted_at: WallTime,
        /// How far it came before.
        tries: Tries,
    },
    /// It ended.
    Settled(Box<OutcomeRecord>),
}

/// A place in a sequence that only the store can read. The default is the very beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cursor(Arc<str>);

impl Cursor {
    /// From the text that the store made of it, or that a caller gave; a store refuses what it did not make.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text; empty for the very beginning.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device token on which the app is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneToken {
    /// The token.
    pub token: DeviceToken,
    /// The topic that it is gone for, where that is known.
    pub topic: Option<Arc<str>>,
    /// Since when, in the service's own words; `None` where the service does not know the token at all.
    pub since: Option<WallTime>,
    /// When this side heard of it.
    pub found_at: WallTime,
    /// The service's word for it.
    pub reason: Arc<str>,
}

/// Some of the device tokens on which an app is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedbackPage {
    /// Oldest first.
    pub tokens: Vec<GoneToken>,
    /// The place behind the last of these, or the place that was asked from.
    pub next: Cursor,
}

/// Somebody ordered that nothing of an app is sent for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPause {
    /// Since when.
    pub since: WallTime,
    /// Why, in the words of who ordered it.
    pub reason: Option<Arc<str>>,
}

/// Which of the notifications that wait are meant: those for which every condition that is set holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// One of these.
    pub ids: Option<Vec<NotificationId>>,
    /// Accepted before this time.
    pub accepted_before: Option<WallTime>,
    /// To this device.
    pub token: Option<DeviceToken>,
    /// With this topic; those that have the app's own name none.
    pub topic: Option<Topic>,
    /// Of this push type, as the caller named it or the payload says it.
    pub push_type: Option<PushType>,
    /// With this collapse id.
    pub collapse_id: Option<CollapseId>,
    /// With this tag.
    pub tag: Option<Tag>,
}

impl Selection {
    /// Whether it has to be looked into a notification to know.
    pub(crate) const fn looks_inside(&self) -> bool {
        self.token.is_some() || self.topic.is_some() || self.push_type.is_some() || self.collapse_id.is_some()
    }

    /// Whether the conditions hold that need no look into the notification.
    pub(crate) fn takes_outside(&self, accepted_at: WallTime, tag: Option<&str>) -> bool {
        self.accepted_before.is_none_or(|before| accepted_at < before)
            && self.tag.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == tag)
    }

    /// Whether the conditions on a notification's content hold.
    pub(crate) fn takes(&self, notification: &Notification) -> bool {
        let push_type = || notification.push_type().cloned().or_else(|| notification.payload().inferred_push_type());
        self.token.as_ref().is_none_or(|token| token == notification.token())
            && self.topic.as_ref().is_none_or(|topic| Some(topic) == notification.topic())
            && self.collapse_id.as_ref().is_none_or(|id| Some(id) == notification.collapse_id())
            && self.push_type.as_ref().is_none_or(|wanted| Some(wanted) == push_type().as_ref())
    }
}

/// Why a notification that waited was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withdrawal {
    /// Its caller asked for it.
    Cancelled,
    /// It was one of many that waited.
    Purged,
}

impl Withdrawal {
    /// The word for it, which is the reason in the outcome.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Purged => "purged",
        }
    }
}

/// What [`withdraw`](super::Outbox::withdraw) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Withdrawn {
    /// What ended.
    pub settled: Vec<(Cursor, OutcomeRecord)>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Notifications that wait.
    pub waiting: u64,
    /// Notifications that may have left.
    pub in_flight: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// How much room there is where a store is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Disk {
    /// Bytes that are free; `None` where the system does not say.
    pub free: Option<u64>,
    /// Bytes that the store takes up.
    pub used: u64,
}

/// The definition of an app that was provisioned while running.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredApp {
    /// The app's name.
    pub name: AppName,
    /// Its definition, as the service wrote it; it may hold keys.
    pub definition: Arc<str>,
}

/// Shows nothing of the definition.
impl fmt::Debug for StoredApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredApp").field("name", &self.name).finish_non_exhaustive()
    }
}
