//! What a client counts, for those who watch it.

#[cfg(feature = "metrics")]
mod facade;
mod figures;
mod prometheus;

pub use prometheus::Families;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_proto::{Message, NotSentCause, Outcome, Proof, UnknownCause, WallTime};
use parking_lot::Mutex;

use crate::queue::Levels;
use crate::reply::Delivery;
use crate::{ClientEvent, trace};

/// Everything that a client counts, at one moment; from [`Client::stats`](crate::Client::stats).
///
/// Counters begin at 0 with the client and never fall. [`Display`](std::fmt::Display) writes the text format of Prometheus,
/// with the names of the table in `docs/observability.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Notifications that were taken, ever.
    pub submitted: u64,
    /// Notifications that wait for a connection with room, now.
    pub queued: u64,
    /// Notifications that a session has and that have no outcome, now. On the binary protocol these are the window, and
    /// what waits to be written.
    pub in_flight: u64,
    /// Sessions whose connection is open and takes notifications, now.
    pub connected: u64,
    /// How notifications ended.
    pub outcomes: Vec<OutcomeCount>,
    /// From when a session took a notification until its outcome.
    pub latency: LatencyHistogram,
    /// How often something was written again because it was thrown away, refused for the time being, or lost.
    pub written_again: u64,
    /// Those of `written_again` that may have made a duplicate.
    pub replayed: u64,
    /// Attempts to connect, ever.
    pub dials: u64,
    /// Attempts to connect that failed, ever.
    pub dial_failures: u64,
    /// Connections that were opened, ever. All but the first of each session are reconnects.
    pub connections: u64,
    /// When the provider token that was handed out last was issued; none without one.
    pub token_issued: Option<WallTime>,
    /// How old that token is.
    pub token_age: Option<Duration>,
}

/// How many notifications ended in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeCount {
    /// The outcome, as [`Outcome::word`] says it.
    pub outcome: &'static str,
    /// The proof of an acceptance, the reason of a rejection, the kind of cause otherwise. A service that makes up more
    /// than 64 reasons has the rest counted as `other`.
    pub reason: Cow<'static, str>,
    /// How many.
    pub count: u64,
}

/// The upper ends of the buckets of a [`LatencyHistogram`], in milliseconds.
pub const LATENCY_BUCKETS_MS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000];

/// How long notifications took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyHistogram {
    /// How many took at most as long as the element of [`LATENCY_BUCKETS_MS`] at the same place says, and longer than the
    /// one before; at the end, how many took longer than the last.
    pub buckets: [u64; LATENCY_BUCKETS_MS.len() + 1],
    /// All times together.
    pub sum: Duration,
}

impl LatencyHistogram {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Stats {
    /// How many notifications ended, whatever the outcome.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.count).sum()
    }
}

/// The most reasons that are counted apart.
const REASONS: usize = 64;

/// Counts, wherever it happens.
#[derive(Debug)]
pub(crate) struct Meter {
    confirmed: AtomicU64,
    presumed: AtomicU64,
    others: Mutex<BTreeMap<(&'static str, Cow<'static, str>), u64>>,
    latency: [AtomicU64; LATENCY_BUCKETS_MS.len() + 1],
    latency_micros: AtomicU64,
    written_again: AtomicU64,
    replayed: AtomicU64,
    dials: AtomicU64,
    dial_failures: AtomicU64,
    connections: AtomicU64,
    token: TokenAge,
}

/// When the provider token that was handed out last was issued.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenAge(Arc<AtomicU64>);

impl TokenAge {
    #[cfg(feature = "http2")]
    pub(crate) fn note(&self, issued: WallTime) {
        // Seconds since 1970; nothing was issued in the first of them.
        self.0.store(issued.as_secs(), Ordering::Relaxed);
    }

    fn issued(&self) -> Option<WallTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds > 0).then(|| WallTime::from_secs(seconds))
    }
}

impl Meter {
    pub(crate) fn new(token: TokenAge) -> Self {
        Self {
            confirmed: AtomicU64::default(),
            presumed: AtomicU64::default(),
            others: Mutex::default(),
            latency: Default::default(),
            latency_micros: AtomicU64::default(),
            written_again: AtomicU64::default(),
            replayed: AtomicU64::default(),
            dials: AtomicU64::default(),
            dial_failures: AtomicU64::default(),
            connections: AtomicU64::default(),
            token,
        }
    }

    pub(crate) fn note_settled<M: Message>(&self, delivery: &Delivery<M>) {
        if delivery.attempts > 1 {
            add(&self.written_again, u64::from(delivery.attempts - 1));
            add(&self.replayed, u64::from(delivery.replays));
        }
        let outcome = &delivery.outcome;
        let reason: Cow<'static, str> = match outcome {
            Outcome::Accepted { proof: Proof::Confirmed, .. } => return add(&self.confirmed, 1),
            Outcome::Accepted { proof: Proof::Presumed, .. } => return add(&self.presumed, 1),
            Outcome::Rejected(rejection) => rejection.reason().to_owned().into(),
            Outcome::Expired => "expired".into(),
            Outcome::Unknown { cause } => unknown(cause).into(),
            Outcome::NotSent { cause } => not_sent(cause).into(),
            _ => "other".into(),
        };
        let mut others = self.others.lock();
        let full = others.len() >= REASONS;
        let mut key = (outcome.word(), reason);
        if full && !others.contains_key(&key) {
            key.1 = "other".into();
        }
        *others.entry(key).or_default() += 1;
    }

    /// Adds what was counted elsewhere, and sets that to nothing.
    pub(crate) fn add(&self, tally: &mut Tally) {
        if tally.is_empty {
            return;
        }
        let Tally { confirmed, presumed, latency, latency_micros, .. } = std::mem::take(tally);
        add(&self.confirmed, confirmed);
        add(&self.presumed, presumed);
        for (bucket, count) in self.latency.iter().zip(latency).filter(|(_, count)| *count > 0) {
            add(bucket, count);
        }
        add(&self.latency_micros, latency_micros);
    }

    pub(crate) fn note_event(&self, event: &ClientEvent) {
        match event {
            ClientEvent::Dialling { .. } => add(&self.dials, 1),
            ClientEvent::Connected { .. } => add(&self.connections, 1),
            ClientEvent::DialFailed { .. } => add(&self.dial_failures, 1),
            ClientEvent::Closed { .. }
            | ClientEvent::Warning { .. }
            | ClientEvent::CertificateExpiresSoon { .. }
            | ClientEvent::TokenWanted { .. }
            | ClientEvent::GaveUp { .. }
            | ClientEvent::Paused { .. }
            | ClientEvent::Resumed { .. }
            | ClientEvent::Stopped { .. }
            | ClientEvent::Missed { .. } => {}
        }
    }

    /// Numbers that change meanwhile may not fit together to the last one.
    pub(crate) fn read(&self, now: WallTime, levels: Levels) -> Stats {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let accepted = [("confirmed", &self.confirmed), ("presumed", &self.presumed)]
            .map(|(reason, count)| OutcomeCount { outcome: "accepted", reason: reason.into(), count: get(count) });
        let others = self.others.lock();
        let others =
            others.iter().map(|((outcome, reason), &count)| OutcomeCount { outcome, reason: reason.clone(), count });
        let outcomes: Vec<_> = accepted.into_iter().filter(|outcome| outcome.count > 0).chain(others).collect();
        let settled: u64 = outcomes.iter().map(|outcome| outcome.count).sum();
        let issued = self.token.issued();
        Stats {
            submitted: levels.pushed,
            queued: levels.queued,
            in_flight: levels.popped.saturating_sub(settled),
            connected: levels.connected,
            outcomes,
            latency: LatencyHistogram {
                buckets: self.latency.each_ref().map(get),
                sum: Duration::from_micros(get(&self.latency_micros)),
            },
            written_again: get(&self.written_again),
            replayed: get(&self.replayed),
            dials: get(&self.dials),
            dial_failures: get(&self.dial_failures),
            connections: get(&self.connections),
            token_issued: issued,
            token_age: issued.map(|issued| now.saturating_since(issued)),
        }
    }
}

/// What a session counts of the usual ends before it adds them to what all count together, many at a time.
#[derive(Debug)]
pub(crate) struct Tally {
    is_empty: bool,
    confirmed: u64,
    presumed: u64,
    latency: [u64; LATENCY_BUCKETS_MS.len() + 1],
    latency_micros: u64,
    /// The last span that was looked at: from when, until when, its bucket and its length. Notifications that were taken
    /// together end together.
    span: Option<(Instant, Instant, usize, u64)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { is_empty: true, confirmed: 0, presumed: 0, latency: Default::default(), latency_micros: 0, span: None }
    }
}

impl Tally {
    /// How many ends are counted in here.
    pub(crate) const fn settled(&self) -> u64 {
        self.confirmed + self.presumed
    }

    /// Counts an acceptance at the first attempt. Says whether it was one.
    pub(crate) fn counts<M: Message>(&mut self, delivery: &Delivery<M>) -> bool {
        let count = match &delivery.outcome {
            Outcome::Accepted { proof: Proof::Confirmed, .. } if delivery.attempts <= 1 => &mut self.confirmed,
            Outcome::Accepted { proof: Proof::Presumed, .. } if delivery.attempts <= 1 => &mut self.presumed,
            _ => return false,
        };
        *count += 1;
        self.is_empty = false;
        trace::settled(&delivery.outcome, delivery.attempts);
        true
    }

    /// Counts how long a notification took.
    pub(crate) fn took(&mut self, now: Instant, since: Instant) {
        let (bucket, micros) = match self.span {
            Some((from, until, bucket, micros)) if (from, until) == (since, now) => (bucket, micros),
            _ => {
                let took = now.saturating_duration_since(since);
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                let bucket = LATENCY_BUCKETS_MS.partition_point(|end| end * 1000 < micros);
                self.span = Some((since, now, bucket, micros));
                (bucket, micros)
            }
        };
        self.latency[bucket] += 1;
        self.latency_micros = self.latency_micros.wrapping_add(micros);
        self.is_empty = false;
    }
}

fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}

/// A word for the kind of cause: never the text, of which there may be any number.
const fn unknown(cause: &UnknownCause) -> &'static str {
    match cause {
        UnknownCause::ConnectionLost(_) => "connection_lost",
        UnknownCause::NoAnswer => "no_answer",
        UnknownCause::BrokenOff { .. } => "broken_off",
        UnknownCause::Suspected { .. } => "suspected",
        UnknownCause::NamedWithoutError => "named_without_error",
        UnknownCause::ReplaysExhausted { .. } => "replays_exhausted",
        UnknownCause::Closed => "closed",
        _ => "other",
    }
}

const fn not_sent(cause: &NotSentCause) -> &'static str {
    match cause {
        NotSentCause::NoConnection(_) => "no_connection",
        NotSentCause::CredentialRefused(_) => "credential_refused",
        NotSentCause::Stopped(_) => "stopped",
        NotSentCause::OutOfTime => "out_of_time",
        NotSentCause::Closed => "closed",
        NotSentCause::Invalid(_) => "invalid",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(outcome: Outcome, attempts: u32, replays: u32) -> Delivery {
        Delivery { outcome, answer: (), attempts, replays, returned: None }
    }

    fn meter() -> Meter {
        Meter::new(TokenAge::default())
    }

    const LEVELS: Levels = Levels { queued: 2, pushed: 9, popped: 7, connected: 1 };

    #[test]
    fn outcomes_are_counted_by_reason() {
        let meter = meter();
        meter.note_settled(&delivery(Outcome::accepted(Proof::Confirmed), 1, 0));
        meter.note_settled(&delivery(Outcome::accepted(Proof::Confirmed), 3, 1));
        meter.note_settled(&delivery(Outcome::Expired, 0, 0));
        let lost = |why: &str| Outcome::Unknown { cause: UnknownCause::ConnectionLost(why.into()) };
        meter.note_settled(&delivery(lost("one reason"), 1, 0));
        meter.note_settled(&delivery(lost("another"), 1, 0));
        let stats = meter.read(WallTime::EPOCH, LEVELS);
        let found: Vec<_> = stats.outcomes.iter().map(|o| (o.outcome, &*o.reason, o.count)).collect();
        let expected = [("accepted", "confirmed", 2), ("expired", "expired", 1), ("unknown", "connection_lost", 2)];
        assert_eq!(found, expected);
        assert_eq!((stats.settled(), stats.in_flight, stats.queued, stats.submitted), (5, 2, 2, 9));
        assert_eq!((stats.written_again, stats.replayed), (2, 1));
        assert_eq!((stats.token_issued, stats.token_age), (None, None));
    }

    #[test]
    fn what_is_counted_apart_adds_up() {
        let (meter, mut tally) = (meter(), Tally::default());
        let confirmed = Outcome::accepted(Proof::Confirmed);
        assert!(tally.counts(&delivery(confirmed.clone(), 1, 0)));
        assert!(tally.counts(&delivery(Outcome::accepted(Proof::Presumed), 1, 0)));
        assert!(!tally.counts(&delivery(confirmed, 2, 1)), "what was written again is counted otherwise");
        assert!(!tally.counts(&delivery(Outcome::Expired, 0, 0)));
        assert_eq!(tally.settled(), 2);
        meter.add(&mut tally);
        meter.add(&mut tally);
        assert_eq!((tally.settled(), meter.read(WallTime::EPOCH, LEVELS).settled()), (0, 2));
    }

    #[test]
    fn a_service_that_makes_up_reasons_does_not_fill_the_memory() {
        use apns_proto::Rejection;
        use apns_proto::binary::Status;

        let meter = meter();
        {
            let mut others = meter.others.lock();
            others.extend((0..REASONS).map(|n| (("rejected", Cow::from(n.to_string())), 1)));
        }
        for _ in 0..2 {
            let rejected = Outcome::Rejected(Rejection::Gateway(Status::INVALID_TOKEN));
            meter.note_settled(&delivery(rejected, 1, 0));
        }
        let stats = meter.read(WallTime::EPOCH, LEVELS);
        assert_eq!(stats.outcomes.len(), REASONS + 1);
        assert_eq!(stats.outcomes.last().map(|o| (&*o.reason, o.count)), Some(("other", 2)));
    }

    #[test]
    fn times_fall_into_the_bucket_that_ends_at_them_or_above() {
        let (meter, start) = (meter(), Instant::now());
        let mut tally = Tally::default();
        for micros in [0, 1000, 1001, 30_000_000, 30_000_001] {
            tally.took(start + Duration::from_micros(micros), start);
        }
        meter.add(&mut tally);
        meter.add(&mut tally);
        let latency = meter.read(WallTime::EPOCH, LEVELS).latency;
        let filled: Vec<_> = latency.buckets.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(filled, [(0, &2), (1, &1), (13, &1), (14, &1)]);
        assert_eq!((latency.count(), latency.sum), (5, Duration::from_micros(60_002_002)));
    }
}
