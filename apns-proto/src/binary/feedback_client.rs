//! The client's side of the feedback service.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{FeedbackDecoder, FeedbackError, FeedbackRecord};
use crate::{End, Machine, Now, Transmit};

/// How the reading of the feedback service ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackEnd {
    /// The service closed behind a record, or without any: the list is complete.
    #[error("the list is complete")]
    Complete,
    /// The service stayed silent behind a record for the idle time. Taken as a complete list.
    #[error("the service sent nothing more and did not close; the list counts as complete")]
    Idle,
    /// The end came inside a record: what came before is whole, this one is lost.
    #[error("the list is truncated: {0}")]
    Truncated(FeedbackError),
    /// The service stayed silent inside a record for the idle time.
    #[error("the service went silent inside a record")]
    Stalled,
    /// What came is not a record.
    #[error("the list is malformed: {0}")]
    Malformed(FeedbackError),
    /// The service refused us, in its own words.
    #[error("the service refused this client: {0}")]
    Refused(String),
    /// This side closed.
    #[error("closed by this side")]
    ClosedHere,
}

impl FeedbackEnd {
    /// Whether everything that the service had to say was read. Reading clears the list at the service, so what an
    /// incomplete reading missed is gone.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete | Self::Idle)
    }
}

/// What a [`FeedbackClient`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedbackEvent {
    /// A device on which the app is gone.
    Record(FeedbackRecord),
    /// The end. Nothing follows.
    End(FeedbackEnd),
}

/// Reads the feedback service: sends nothing, and takes one record after another until the service closes.
///
/// The service clears its list by this reading (*Binary Provider API*, "The Feedback Service"), so store each record
/// before anything else.
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use apns_proto::binary::{FeedbackClient, FeedbackEnd, FeedbackEvent};
/// use apns_proto::{End, Machine, Now};
///
/// let now = Now::new(Instant::now(), SystemTime::now().into());
/// let mut client = FeedbackClient::new(now);
/// client.handle_input(now, b"\x65\x53\xf1\x00\x00\x04\xde\xad\xbe\xef");
/// client.handle_end(now, End::Clean);
///
/// let Some(FeedbackEvent::Record(record)) = client.poll_event() else { panic!() };
/// assert_eq!((record.timestamp.as_secs(), &record.token[..]), (1_700_000_000, &b"\xde\xad\xbe\xef"[..]));
/// assert_eq!(client.poll_event(), Some(FeedbackEvent::End(FeedbackEnd::Complete)));
/// ```
#[derive(Debug)]
pub struct FeedbackClient {
    decoder: FeedbackDecoder,
    events: VecDeque<FeedbackEvent>,
    idle_time: Duration,
    heard: Instant,
    ended: bool,
}

impl FeedbackClient {
    /// How long the service may stay silent by default.
    pub const IDLE_TIME: Duration = Duration::from_secs(30);

    /// A connection that was just opened.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            decoder: FeedbackDecoder::default(),
            events: VecDeque::new(),
            idle_time: Self::IDLE_TIME,
            heard: now.instant,
            ended: false,
        }
    }

    /// How long the service may stay silent; silence behind a record ends the list as complete. Default: 30 s.
    #[must_use]
    pub const fn with_idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Ends the reading here.
    pub fn close(&mut self) {
        self.end(FeedbackEnd::ClosedHere);
    }

    /// Whether the end was produced; it may still be waiting in [`Machine::poll_event`].
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, end: FeedbackEnd) {
        if !self.ended {
            self.ended = true;
            self.events.push_back(FeedbackEvent::End(end));
        }
    }
}

impl Machine for FeedbackClient {
    type Event = FeedbackEvent;

    fn handle_input(&mut self, now: Now, mut bytes: &[u8]) {
        self.heard = self.heard.max(now.instant);
        while !self.ended {
            match self.decoder.decode(&mut bytes) {
                Ok(Some(record)) => self.events.push_back(FeedbackEvent::Record(record)),
                Ok(None) => return,
                Err(error) => self.end(FeedbackEnd::Malformed(error)),
            }
        }
    }

    fn handle_end(&mut self, _now: Now, end: End) {
        let end = match (self.decoder.finish(), end) {
            (_, End::Refused(words)) => FeedbackEnd::Refused(words),
            (Err(error), End::Clean | End::Cut) => FeedbackEnd::Truncated(error),
            // Old services close without the goodbye of TLS, so a cut behind a record is an end like any other.
            (Ok(()), End::Clean | End::Cut) => FeedbackEnd::Complete,
        };
        self.end(end);
    }

    fn handle_write_failure(&mut self, _now: Now, _unsent: usize) {}

    fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_some_and(|due| due <= now.instant) {
            let end = if self.decoder.finish().is_ok() { FeedbackEnd::Idle } else { FeedbackEnd::Stalled };
            self.end(end);
        }
    }

    fn poll_transmit(&mut self, _now: Now, _out: &mut BytesMut) -> Transmit {
        if self.ended { Transmit::Shutdown } else { Transmit::Idle }
    }

    fn poll_event(&mut self) -> Option<FeedbackEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.heard.checked_add(self.idle_time).filter(|_| !self.ended)
    }
}
