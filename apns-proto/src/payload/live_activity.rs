//! Live Activities: start, update, end.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::Serialize;

use super::{LiveActivityAlert, Payload, PayloadBuilder, PayloadError, PayloadLimit};
use crate::WallTime;

enum_with_texts! {
    /// What a push does to a Live Activity: the value of `event`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum LiveActivityEvent {
        /// Starts one (iOS 17.2). Sent to a push-to-start token; cannot be broadcast.
        Start = "start",
        /// Changes its state.
        Update = "update",
        /// Ends it.
        End = "end",
    }

    /// The value in the payload.
    fn as_str;
}

impl fmt::Display for LiveActivityEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LiveActivityEvent {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|event| event.as_str() == text);
        known.ok_or(PayloadError::UnknownLiveActivityEvent)
    }
}

/// Marks a [`LiveActivity`] that starts one.
#[derive(Debug, Clone, Copy)]
pub enum Start {}

/// Marks a [`LiveActivity`] that updates one.
#[derive(Debug, Clone, Copy)]
pub enum Update {}

/// Marks a [`LiveActivity`] that ends one.
#[derive(Debug, Clone, Copy)]
pub enum End {}

/// The payload of a push for a Live Activity. What Apple requires for the event is an argument; what it allows is a method.
///
/// `timestamp` is the time of sending; the system ignores a push that is older than the last one it saw. A `Date` inside
/// `content_state` or `attributes` has to be the number of seconds since 2001-01-01, because the system decodes it with
/// Swift's defaults.
///
/// Source: Apple, "Starting and updating Live Activities with ActivityKit push notifications".
///
/// ```
/// use apns_proto::{WallTime, payload::LiveActivity};
///
/// let state = std::collections::BTreeMap::from([("lap", 12)]);
/// let payload = LiveActivity::update(WallTime::from_secs(1_700_000_000), &state)
///     .stale_date(WallTime::from_secs(1_700_000_600))
///     .build()?;
/// assert_eq!(
///     payload.as_bytes(),
///     br#"{"aps":{"timestamp":1700000000,"event":"update","content-state":{"lap":12},"stale-date":1700000600}}"#,
/// );
/// # Ok::<(), apns_proto::PayloadError>(())
/// ```
pub struct LiveActivity<E> {
    builder: PayloadBuilder,
    event: PhantomData<E>,
}

impl<E> LiveActivity<E> {
    fn with(self, change: impl FnOnce(PayloadBuilder) -> PayloadBuilder) -> Self {
        Self { builder: change(self.builder), event: PhantomData }
    }

    fn new(event: LiveActivityEvent, timestamp: WallTime) -> Self {
        Self { builder: Payload::builder().timestamp(timestamp).event(event), event: PhantomData }
    }

    /// A key of the app's own beside `aps`; see [`PayloadBuilder::custom`].
    #[must_use]
    pub fn custom(self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.with(|builder| builder.custom(key, value))
    }

    /// The general builder, for keys that have no method here.
    pub fn into_builder(self) -> PayloadBuilder {
        self.builder
    }

    /// The finished payload.
    ///
    /// # Errors
    ///
    /// The same as those of [`PayloadBuilder::build`].
    pub fn build(&self) -> Result<Payload, PayloadError> {
        self.builder.build()
    }

    /// The finished payload, with the body of the alert shortened if it has to be; see [`PayloadBuilder::fit`].
    ///
    /// # Errors
    ///
    /// The same as those of [`PayloadBuilder::fit`].
    pub fn fit(&self, limit: PayloadLimit) -> Result<Payload, PayloadError> {
        self.builder.fit(limit)
    }

    /// The same, with a mark behind a shortened body; see [`PayloadBuilder::fit_with`].
    ///
    /// # Errors
    ///
    /// The same as those of [`PayloadBuilder::fit`].
    pub fn fit_with(&self, limit: PayloadLimit, ellipsis: &str) -> Result<Payload, PayloadError> {
        self.builder.fit_with(limit, ellipsis)
    }
}

impl LiveActivity<Start> {
    /// Starts an activity: of the `ActivityAttributes` type with the name `attributes_type`, with its static `attributes`
    /// and its first `content_state`. Both have to serialise as JSON objects. The person is told by the `alert`.
    #[must_use]
    pub fn start(
        timestamp: WallTime,
        attributes_type: impl Into<String>,
        attributes: impl Serialize,
        content_state: impl Serialize,
        alert: LiveActivityAlert,
    ) -> Self {
        Self::new(LiveActivityEvent::Start, timestamp).with(|builder| {
            builder
                .attributes_type(attributes_type)
                .attributes(attributes)
                .content_state(content_state)
                .live_activity_alert(alert)
        })
    }

    /// Asks the new activity to report a token for updates (iOS 18). Excludes
    /// [`input_push_channel`](Self::input_push_channel).
    #[must_use]
    pub fn input_push_token(self) -> Self {
        self.with(PayloadBuilder::input_push_token)
    }

    /// Lets the new activity listen to a broadcast channel (iOS 18; older systems do not start it). Excludes
    /// [`input_push_token`](Self::input_push_token).
    #[must_use]
    pub fn input_push_channel(self, channel_id: impl Into<String>) -> Self {
        self.with(|builder| builder.input_push_channel(channel_id))
    }

    /// When the activity counts as out of date.
    #[must_use]
    pub fn stale_date(self, date: WallTime) -> Self {
        self.with(|builder| builder.stale_date(date))
    }

    /// Its rank among the app's activities: any finite number, higher wins.
    #[must_use]
    pub fn relevance_score(self, score: f64) -> Self {
        self.with(|builder| builder.relevance_score(score))
    }
}

impl LiveActivity<Update> {
    /// Gives an activity a new state, which has to serialise as a JSON object.
    #[must_use]
    pub fn update(timestamp: WallTime, content_state: impl Serialize) -> Self {
        Self::new(LiveActivityEvent::Update, timestamp).with(|builder| builder.content_state(content_state))
    }

    /// Tells the person about the update.
    #[must_use]
    pub fn alert(self, alert: LiveActivityAlert) -> Self {
        self.with(|builder| builder.live_activity_alert(alert))
    }

    /// When the activity counts as out of date.
    #[must_use]
    pub fn stale_date(self, date: WallTime) -> Self {
        self.with(|builder| builder.stale_date(date))
    }

    /// Its rank among the app's activities: any finite number, higher wins.
    #[must_use]
    pub fn relevance_score(self, score: f64) -> Self {
        self.with(|builder| builder.relevance_score(score))
    }
}

impl LiveActivity<End> {
    /// Ends an activity. Apple advises to send the final state along.
    #[must_use]
    pub fn end(timestamp: WallTime) -> Self {
        Self::new(LiveActivityEvent::End, timestamp)
    }

    /// The final state, which has to serialise as a JSON object.
    #[must_use]
    pub fn content_state(self, state: impl Serialize) -> Self {
        self.with(|builder| builder.content_state(state))
    }

    /// When it leaves the lock screen. A time in the past means at once; the system takes at most four hours ahead, and
    /// decides itself when there is none.
    #[must_use]
    pub fn dismissal_date(self, date: WallTime) -> Self {
        self.with(|builder| builder.dismissal_date(date))
    }

    /// Tells the person about the end.
    #[must_use]
    pub fn alert(self, alert: LiveActivityAlert) -> Self {
        self.with(|builder| builder.live_activity_alert(alert))
    }
}

impl<E> Clone for LiveActivity<E> {
    fn clone(&self) -> Self {
        Self { builder: self.builder.clone(), event: PhantomData }
    }
}

/// Shows no contents.
impl<E> fmt::Debug for LiveActivity<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveActivity").field(&self.builder).finish()
    }
}
