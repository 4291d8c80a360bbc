//! What is sent, and when it stops being worth sending.

use std::time::Duration;

use crate::{ApnsId, CollapseId, DeviceToken, InvalidNotification, NotSeconds, Payload, PushType, Topic, WallTime};

/// One push to one device.
///
/// The payload is shared: cloning it costs nothing, so a million notifications can carry one.
///
/// The binary protocol sends the token, the payload and, where its command has a field for them, expiration and
/// priority. Topic, push type, collapse id and apns id are for the HTTP/2 provider API; the binary side ignores them,
/// so an application can move between the two without changing its notifications.
///
/// ```
/// use std::time::Duration;
/// use apns_proto::{DeviceToken, Expiration, Notification, Payload, Priority};
///
/// let token: DeviceToken = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".parse()?;
/// let notification = Notification::new(token, Payload::alert("Tea is ready"))
///     .with_expiration(Expiration::After(Duration::from_secs(600)))
///     .with_priority(Priority::Immediate);
/// assert_eq!(notification.priority(), Some(Priority::Immediate));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    token: DeviceToken,
    payload: Payload,
    expiration: Expiration,
    priority: Option<Priority>,
    /// Behind a pointer, for the binary protocol has none of it, and few HTTP/2 notifications have any.
    headers: Option<Box<Headers>>,
}

/// What only HTTP/2 has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Headers {
    topic: Option<Topic>,
    push_type: Option<PushType>,
    collapse_id: Option<CollapseId>,
    apns_id: Option<ApnsId>,
}

impl Notification {
    /// A notification with nothing but the two things that it must have.
    #[must_use]
    pub const fn new(token: DeviceToken, payload: Payload) -> Self {
        Self { token, payload, expiration: Expiration::Omitted, priority: None, headers: None }
    }

    /// Sets when the service may stop trying. Default: omitted.
    #[must_use]
    pub const fn with_expiration(mut self, expiration: Expiration) -> Self {
        self.expiration = expiration;
        self
    }

    /// Sets the priority. Default: none, which the service takes as [`Priority::Immediate`].
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the topic (HTTP/2 only).
    #[must_use]
    pub fn with_topic(mut self, topic: Topic) -> Self {
        self.headers.get_or_insert_default().topic = Some(topic);
        self
    }

    /// Sets the push type (HTTP/2 only). Default: what the payload decides.
    #[must_use]
    pub fn with_push_type(mut self, push_type: PushType) -> Self {
        self.headers.get_or_insert_default().push_type = Some(push_type);
        self
    }

    /// Sets the collapse id (HTTP/2 only).
    #[must_use]
    pub fn with_collapse_id(mut self, collapse_id: CollapseId) -> Self {
        self.headers.get_or_insert_default().collapse_id = Some(collapse_id);
        self
    }

    /// Sets the apns id (HTTP/2 only). Default: the service makes one.
    #[must_use]
    pub fn with_apns_id(mut self, apns_id: ApnsId) -> Self {
        self.headers.get_or_insert_default().apns_id = Some(apns_id);
        self
    }

    pub(crate) const fn set_expiration(&mut self, expiration: Expiration) {
        self.expiration = expiration;
    }

    /// Turns an [`Expiration::After`] into a time. Say it where the notification is handed over: neither waiting nor
    /// sending again may prolong it.
    pub fn resolve_expiration(&mut self, now: WallTime) {
        self.expiration = self.expiration.resolve(now);
    }

    /// Says that it is handed over now; see [`Expiration::handed_over`].
    pub fn hand_over(&mut self, now: WallTime) {
        self.expiration = self.expiration.handed_over(now);
    }

    /// The device it goes to.
    #[must_use]
    pub const fn token(&self) -> &DeviceToken {
        &self.token
    }

    /// What it carries.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// When the service may stop trying.
    #[must_use]
    pub const fn expiration(&self) -> Expiration {
        self.expiration
    }

    /// The priority, if one was set.
    #[must_use]
    pub const fn priority(&self) -> Option<Priority> {
        self.priority
    }

    /// The topic, if one was set.
    #[must_use]
    pub fn topic(&self) -> Option<&Topic> {
        self.headers.as_ref()?.topic.as_ref()
    }

    /// The push type, if one was set.
    #[must_use]
    pub fn push_type(&self) -> Option<&PushType> {
        self.headers.as_ref()?.push_type.as_ref()
    }

    /// The collapse id, if one was set.
    #[must_use]
    pub fn collapse_id(&self) -> Option<&CollapseId> {
        self.headers.as_ref()?.collapse_id.as_ref()
    }

    /// The apns id, if one was set.
    #[must_use]
    pub fn apns_id(&self) -> Option<ApnsId> {
        self.headers.as_ref()?.apns_id
    }
}

/// When the service may stop trying to deliver, and when this side stops sending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiration {
    /// Nothing is said: the service applies its own storage policy.
    #[default]
    Omitted,
    /// One attempt, no storage: zero on the wire.
    Immediately,
    /// Stored and tried again until this time, in whole seconds.
    At(WallTime),
    /// As [`At`](Expiration::At), counted from the moment the notification is handed over to be sent. The time that it
    /// waits in a queue counts.
    After(Duration),
}

impl Expiration {
    /// From a number as it stands on the wire: seconds since 1970, where 0 asks for one attempt.
    ///
    /// # Errors
    ///
    /// As for [`WallTime::from_unix`].
    pub fn from_unix(seconds: u64) -> Result<Self, NotSeconds> {
        if seconds == 0 { Ok(Self::Immediately) } else { WallTime::from_unix(seconds).map(Self::At) }
    }

    /// Refuses a time that cannot be sent as it is.
    pub(crate) const fn check(self) -> Result<(), InvalidNotification> {
        match self {
            Self::At(time) => match time.checked() {
                Ok(_) => Ok(()),
                Err(error) => Err(InvalidNotification::Expiration(error)),
            },
            Self::Omitted | Self::Immediately | Self::After(_) => Ok(()),
        }
    }

    /// Turns a span into a time, so that sending again later does not prolong it.
    #[must_use]
    pub fn resolve(self, now: WallTime) -> Self {
        match self {
            // Whatever lies beyond the end of the protocol's clock is as good as its end.
            Self::After(span) => Self::At(now.saturating_add(span).min(WallTime::from_secs(u32::MAX.into()))),
            Self::Omitted | Self::Immediately | Self::At(_) => self,
        }
    }

    /// What it is at the moment when a notification is handed over: a span becomes a time, and a time that has passed
    /// already asks for one attempt, as [`Immediately`](Self::Immediately) does.
    ///
    /// Source: Apple, "Sending notification requests to APNs": a notification is tried at least once, whatever its
    /// expiration. Callers give spans where times are meant, or have a wrong clock.
    #[must_use]
    pub fn handed_over(self, now: WallTime) -> Self {
        let resolved = self.resolve(now);
        if resolved.has_passed(now) { Self::Immediately } else { resolved }
    }

    /// Whether the time has passed. A span that was not resolved yet never has.
    #[must_use]
    pub fn has_passed(self, now: WallTime) -> bool {
        match self {
            Self::At(time) => time <= now,
            Self::Omitted | Self::Immediately | Self::After(_) => false,
        }
    }

    /// The value on the wire in seconds since 1970; `None` where nothing is sent.
    ///
    /// A time at or before 1970 becomes 1, for 0 has a meaning of its own; one beyond the unsigned 32 bits of the binary
    /// protocol (the year 2106) becomes their end. `now` resolves a span.
    #[must_use]
    pub fn seconds(self, now: WallTime) -> Option<u32> {
        match self.resolve(now) {
            Self::Immediately => Some(0),
            Self::At(time) => Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)),
            Self::Omitted | Self::After(_) => None,
        }
    }
}

/// How much the service may save the device's power at the cost of delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// 1: power above all, never wakes the device. HTTP/2 only.
    NeverWake,
    /// 5: when it suits the device's power state. Required for background pushes.
    PowerSaving,
    /// 10: at once. What the service assumes when nothing is said.
    Immediate,
}

impl Priority {
    /// The number on the wire: 1, 5 or 10.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::NeverWake => 1,
            Self::PowerSaving => 5,
            Self::Immediate => 10,
        }
    }

    /// From the number on the wire; `None` for anything but 1, 5 and 10.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::NeverWake),
            5 => Some(Self::PowerSaving),
            10 => Some(Self::Immediate),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b20_a_span_becomes_an_absolute_time() {
        let now = WallTime::from_secs(1_000_000);
        assert_eq!(Expiration::After(Duration::from_secs(60)).seconds(now), Some(1_000_060));
        let resolved = Expiration::After(Duration::from_secs(60)).resolve(now);
        assert_eq!(resolved.seconds(now.saturating_add(Duration::from_secs(30))), Some(1_000_060));
        assert_eq!(Expiration::Omitted.seconds(now), None);
    }

    #[test]
    fn b98_now_or_never_can_be_asked() {
        let now = WallTime::from_secs(1_000_000);
        assert_eq!(Expiration::Omitted.seconds(now), None);
        assert_eq!(Expiration::Immediately.seconds(now), Some(0));
        assert_eq!(Expiration::At(WallTime::from_secs(1_700_000_000)).seconds(now), Some(1_700_000_000));
        assert_eq!(Expiration::At(WallTime::EPOCH).seconds(now), Some(1));
        assert_eq!(Expiration::At(WallTime::from_secs(u64::MAX)).seconds(now), Some(u32::MAX));
    }

    #[test]
    fn an_expiration_in_the_past_is_one_attempt() {
        let now = WallTime::from_secs(1_700_000_000);
        let past = |expiration: Expiration| expiration.handed_over(now);
        assert_eq!(past(Expiration::At(WallTime::from_secs(3600))), Expiration::Immediately);
        assert_eq!(past(Expiration::At(now)), Expiration::Immediately);
        assert_eq!(past(Expiration::After(Duration::ZERO)), Expiration::Immediately);
        let later = Expiration::At(WallTime::from_secs(1_700_000_001));
        assert_eq!(past(later), later);
        assert_eq!(past(Expiration::After(Duration::from_secs(1))), later);
        assert_eq!(past(Expiration::Omitted), Expiration::Omitted);
    }

    #[test]
    fn only_a_time_can_pass() {
        let now = WallTime::from_secs(100);
        assert!(Expiration::At(WallTime::from_secs(100)).has_passed(now));
        assert!(!Expiration::At(WallTime::from_secs(101)).has_passed(now));
        assert!(!Expiration::Immediately.has_passed(now));
        assert!(!Expiration::Omitted.has_passed(now));
    }
}
