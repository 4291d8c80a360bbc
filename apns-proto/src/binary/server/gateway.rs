//! The gateway's side of one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::binary::{
    DecodedNotification, ErrorResponse, Limits, NotificationDecoder, NotificationError, NotificationErrorKind, Status,
};
use crate::{End, Machine, Now, Transmit};

/// Decides what happens to each notification, in the order of arrival.
pub trait Judge {
    /// A notification arrived.
    fn judge(&mut self, now: Now, notification: &DecodedNotification) -> Verdict;

    /// Something arrived that is not a notification. By default it is refused with the status that fits.
    fn judge_malformed(&mut self, now: Now, error: &NotificationError) -> Verdict {
        let _ = now;
        Verdict::refuse(error.gateway_status_hint().unwrap_or(Status::PROTOCOL_ERROR))
    }
}

/// What a gateway does with a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Take it, and say nothing.
    Accept,
    /// Answer with an error response and close. What follows is thrown away unread.
    Refuse {
        /// Why.
        status: Status,
        /// The identifier in the answer; `None` for the notification's own, or 0 where it has none.
        identifier: Option<u32>,
        /// How long the answer takes.
        after: Duration,
    },
    /// Take it, then answer with status 10 that names it, and close.
    AcceptAndShutDown {
        /// How long the answer takes.
        after: Duration,
    },
    /// Close without a word; the notification is not taken.
    Close,
    /// Take it, then close without a word.
    AcceptAndClose,
    /// Take neither this nor anything that follows, and never say so.
    FallSilent,
}

impl Verdict {
    /// An error response at once, with the notification's own identifier.
    #[must_use]
    pub const fn refuse(status: Status) -> Self {
        Self::Refuse { status, identifier: None, after: Duration::ZERO }
    }

    /// Whether the notification is taken.
    #[must_use]
    pub const fn accepts(&self) -> bool {
        matches!(self, Self::Accept | Self::AcceptAndShutDown { .. } | Self::AcceptAndClose)
    }
}

/// What a [`GatewayServer`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayEvent {
    /// A notification arrived and was judged.
    Received {
        /// The notification.
        notification: DecodedNotification,
        /// What was decided.
        verdict: Verdict,
    },
    /// Something else arrived and was judged.
    Malformed {
        /// What was wrong with it.
        error: NotificationError,
        /// What was decided.
        verdict: Verdict,
    },
    /// The end. Nothing follows.
    Closed(GatewayEnd),
}

/// How a gateway's connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayEnd {
    /// The client closed between notifications.
    #[error("the client closed")]
    ClientClosed,
    /// The client's stream ended inside a notification.
    #[error("the client's stream ended inside a notification: {0}")]
    Truncated(NotificationError),
    /// The client's stream broke between notifications.
    #[error("the client's stream broke")]
    Cut,
    /// An error response was handed out.
    #[error("an error response with status {} was sent for identifier {}", .response.status.raw(), .response.identifier)]
    Responded {
        /// The response.
        response: ErrorResponse,
        /// How many bytes were thrown away: those behind the culprit, and where that could not be read, those from the
        /// fault in it on.
        discarded: u64,
    },
    /// Closed on purpose, without a word.
    #[error("closed without a word")]
    Silent,
}

/// The gateway's side of one connection: decodes, asks the [`Judge`], answers, closes.
#[derive(Debug)]
pub struct GatewayServer<J> {
    judge: J,
    decoder: NotificationDecoder,
    events: VecDeque<GatewayEvent>,
    state: State,
    received: u64,
    discarded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// An error response is due at this time; what comes meanwhile is thrown away.
    Answering {
        response: ErrorResponse,
        at: Instant,
    },
    /// Reads, takes nothing, says nothing.
    Silent,
    Closing,
    Closed,
}

impl<J: Judge> GatewayServer<J> {
    /// A connection that was just accepted. `limits` is what the gateway takes.
    #[must_use]
    pub fn new(judge: J, limits: Limits) -> Self {
        Self {
            judge,
            decoder: NotificationDecoder::new(limits),
            events: VecDeque::new(),
            state: State::Reading,
            received: 0,
            discarded: 0,
        }
    }

    /// Tells the client that the gateway closes, naming the last notification that it took.
    pub fn shut_down(&mut self, now: Now, last: u32) {
        if self.state == State::Reading {
            let response = ErrorResponse { status: Status::SHUTDOWN, identifier: last };
            self.state = State::Answering { response, at: now.instant };
        }
    }

    /// Closes without a word.
    pub fn close(&mut self) {
        if !matches!(self.state, State::Closing | State::Closed) {
            self.state = State::Closing;
        }
    }

    /// Whether the terminal event was produced; it may still be waiting in [`Machine::poll_event`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn apply(&mut self, now: Now, verdict: Verdict, own: Option<u32>) {
        let own = own.unwrap_or(0);
        self.state = match verdict {
            Verdict::Accept => State::Reading,
            Verdict::Refuse { status, identifier, after } => {
                let response = ErrorResponse { status, identifier: identifier.unwrap_or(own) };
                State::Answering { response, at: now.instant + after }
            }
            Verdict::AcceptAndShutDown { after } => {
                let response = ErrorResponse { status: Status::SHUTDOWN, identifier: own };
                State::Answering { response, at: now.instant + after }
            }
            Verdict::Close | Verdict::AcceptAndClose => State::Closing,
            Verdict::FallSilent => State::Silent,
        };
    }

    fn end(&mut self, end: GatewayEnd) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.events.push_back(GatewayEvent::Closed(end));
        }
    }
}

impl<J: Judge> Machine for GatewayServer<J> {
    type Event = GatewayEvent;

    fn handle_input(&mut self, now: Now, mut bytes: &[u8]) {
        self.received += bytes.len() as u64;
        while self.state == State::Reading {
            match self.decoder.decode(&mut bytes) {
                Ok(Some(notification)) => {
                    let verdict = self.judge.judge(now, &notification);
                    self.apply(now, verdict, notification.identifier);
                    self.events.push_back(GatewayEvent::Received { notification, verdict });
                }
                Ok(None) => return,
                Err(error) => {
                    let verdict = self.judge.judge_malformed(now, &error);
                    self.discarded = self.received.saturating_sub(error.offset);
                    self.apply(now, verdict, error.identifier);
                    if self.state == State::Reading {
                        // What follows cannot be told apart any more.
                        self.state = State::Silent;
                    }
                    self.events.push_back(GatewayEvent::Malformed { error, verdict });
                }
            }
        }
        self.discarded += bytes.len() as u64;
    }

    fn handle_end(&mut self, _now: Now, end: End) {
        if self.state != State::Reading {
            // The client may close its half first and still read our answer.
            if self.state == State::Silent {
                self.end(GatewayEnd::Silent);
            }
            return;
        }
        let end = match (self.decoder.finish(), end) {
            (Err(error), _) => GatewayEnd::Truncated(error),
            (Ok(()), End::Clean) => GatewayEnd::ClientClosed,
            (Ok(()), End::Cut | End::Refused(_)) => GatewayEnd::Cut,
        };
        self.end(end);
    }

    fn handle_write_failure(&mut self, _now: Now, _unsent: usize) {
        self.end(GatewayEnd::Cut);
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        match self.state {
            State::Answering { response, at } if at <= now.instant => {
                response.emit(out);
                self.end(GatewayEnd::Responded { response, discarded: self.discarded });
                Transmit::Shutdown
            }
            State::Closing => {
                self.end(GatewayEnd::Silent);
                Transmit::Shutdown
            }
            State::Closed => Transmit::Shutdown,
            State::Reading | State::Silent | State::Answering { .. } => Transmit::Idle,
        }
    }

    fn poll_event(&mut self) -> Option<GatewayEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Answering { at, .. } => Some(at),
            State::Reading | State::Silent | State::Closing | State::Closed => None,
        }
    }
}

/// Whether this is the frame that clients send to have everything before it proven: readable, but with an empty token.
#[must_use]
pub fn is_probe(error: &NotificationError) -> bool {
    error.kind == NotificationErrorKind::ZeroLengthToken
}
