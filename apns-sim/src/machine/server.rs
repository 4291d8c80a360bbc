//! The service's side of one connection.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use apns_proto::{End, Machine, Now, Transmit};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Answer, Judge, ProviderRequest, Step, Verdict};
use crate::wire::frame::{ErrorCode, MAX_STREAM, setting};
use crate::wire::{CloseReason as WireClose, Config as WireConfig, Connection as Wire, Event};

/// Settings of a [`ProviderServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    settings: Vec<(u16, u32)>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            settings: vec![
                (setting::HEADER_TABLE_SIZE, 4096),
                (setting::MAX_CONCURRENT_STREAMS, 1000),
                (setting::INITIAL_WINDOW_SIZE, 65_535),
                (setting::MAX_FRAME_SIZE, 16_384),
                (setting::MAX_HEADER_LIST_SIZE, 8000),
            ],
        }
    }
}

impl ServerConfig {
    /// The first SETTINGS frame, word for word. Default: what Apple's servers have been seen to send, 1000 streams and 8000
    /// bytes of headers among it.
    #[must_use]
    pub fn with_settings(mut self, settings: Vec<(u16, u32)>) -> Self {
        self.settings = settings;
        self
    }

    /// How many streams may be open at first. Default: 1000.
    #[must_use]
    pub fn with_stream_limit(mut self, limit: u32) -> Self {
        self.settings.retain(|(name, _)| *name != setting::MAX_CONCURRENT_STREAMS);
        self.settings.push((setting::MAX_CONCURRENT_STREAMS, limit));
        self
    }
}

/// What a [`ProviderServer`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderEvent {
    /// A request arrived and was judged.
    Received {
        /// The request.
        request: ProviderRequest,
        /// What was decided.
        verdict: Verdict,
    },
    /// The client gave up a request before it was answered, or the connection ended.
    Cancelled {
        /// The stream.
        stream: u32,
        /// The client's code (RFC 9113 section 7); none if the connection ended.
        code: Option<u32>,
    },
    /// A stream was refused with REFUSED_STREAM, and its request not looked at.
    Refused {
        /// The stream.
        stream: u32,
        /// How many streams may be open; none where it came behind a GOAWAY frame of ours.
        limit: Option<u32>,
    },
    /// The client said GOAWAY.
    GoAway {
        /// The code.
        code: u32,
    },
    /// The client answered a PING.
    Pong([u8; 8]),
    /// The end. Nothing follows.
    Closed(ProviderEnd),
}

/// How the service's connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderEnd {
    /// The client closed, in good order or after a GOAWAY frame.
    #[error("the client closed")]
    ClientClosed,
    /// The client's stream broke.
    #[error("the client's stream broke")]
    Cut,
    /// The client broke the rules of HTTP/2, and was told so.
    #[error("the client broke the protocol (HTTP/2 error code {code})")]
    Violation {
        /// The error code.
        code: u32,
    },
    /// Closed on purpose.
    #[error("closed on purpose")]
    Closed,
}

/// The service's side of one connection: reads requests, asks the [`Judge`], does what it says.
///
/// It is no part of a simulator's rules: what a good request is, the judge decides.
pub struct ProviderServer<J> {
    judge: J,
    wire: Wire,
    /// Steps that are not due yet, by time and order.
    planned: BTreeMap<(Instant, u64), (u32, Step)>,
    steps: u64,
    events: VecDeque<ProviderEvent>,
    state: State,
    /// The lowest last stream of all GOAWAY frames that were sent.
    last_stream: u32,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What is written is handed out, then the transport closes.
    Closing,
    /// The terminal event was produced.
    Closed,
}

impl<J: Judge> ProviderServer<J> {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(judge: J, config: &ServerConfig) -> Self {
        let wire = WireConfig::default().settings(config.settings.clone());
        Self {
            judge,
            wire: Wire::new(wire),
            planned: BTreeMap::new(),
            steps: 0,
            events: VecDeque::new(),
            state: State::Open,
            last_stream: MAX_STREAM,
            end: None,
        }
    }

    /// Does something that belongs to no request.
    pub fn perform(&mut self, now: Now, step: Step) {
        self.step(0, step);
        self.pump(now);
    }

    /// Closes without a word, once what was written is handed out.
    pub fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
            self.planned.clear();
        }
    }

    /// The judge.
    pub const fn judge(&mut self) -> &mut J {
        &mut self.judge
    }

    /// Requests without an answer.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.wire.open_streams()
    }

    /// Whether the terminal event was produced; it may still be waiting in [`Machine::poll_event`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn pump(&mut self, now: Now) {
        while self.state == State::Open {
            let Some(event) = self.wire.poll() else { return };
            match event {
                // Arrived before the GOAWAY frame was written, and disowned by it.
                Event::Request(request) if request.stream > self.last_stream => {
                    self.wire.reset(request.stream, ErrorCode::REFUSED_STREAM);
                    self.events.push_back(ProviderEvent::Refused { stream: request.stream, limit: None });
                }
                Event::Request(request) => {
                    let request = ProviderRequest::from_wire(request);
                    let verdict = self.judge.judge(now, &request);
                    self.plan(now, request.stream(), &verdict);
                    self.events.push_back(ProviderEvent::Received { request, verdict });
                    self.perform_due(now);
                }
                Event::Cancelled { stream, code } => {
                    self.events.push_back(ProviderEvent::Cancelled { stream, code: code.map(|code| code.0) });
                }
                Event::Refused { stream, limit } => self.events.push_back(ProviderEvent::Refused { stream, limit }),
                Event::GoAway(said) => self.events.push_back(ProviderEvent::GoAway { code: said.code.0 }),
                Event::Pong(opaque) => self.events.push_back(ProviderEvent::Pong(opaque)),
                Event::Closed(reason) => {
                    let end = match (reason, &self.end) {
                        (WireClose::Violation { code }, _) => ProviderEnd::Violation { code: code.0 },
                        (WireClose::Flooded, _) => ProviderEnd::Violation { code: ErrorCode::ENHANCE_YOUR_CALM.0 },
                        (_, Some(End::Cut | End::Refused(_))) => ProviderEnd::Cut,
                        (_, Some(_) | None) => ProviderEnd::ClientClosed,
                    };
                    self.finish(end);
                }
            }
        }
    }

    fn plan(&mut self, now: Now, stream: u32, verdict: &Verdict) {
        for (wait, step) in &verdict.steps {
            // A step beyond the end of time never comes.
            if let Some(at) = now.instant.checked_add(*wait) {
                self.planned.insert((at, self.steps), (stream, step.clone()));
                self.steps += 1;
            }
        }
    }

    fn perform_due(&mut self, now: Now) {
        while self.state == State::Open
            && let Some(first) = self.planned.first_entry()
            && first.key().0 <= now.instant
        {
            let (stream, step) = first.remove();
            self.step(stream, step);
        }
    }

    fn step(&mut self, stream: u32, step: Step) {
        match step {
            Step::Answer(answer) => self.answer(stream, &answer),
            Step::Reset { code } => self.wire.reset(stream, ErrorCode(code)),
            Step::GoAway { last_stream, code, debug } => {
                let own = if stream == 0 { MAX_STREAM } else { stream };
                let last = last_stream.unwrap_or(own);
                self.last_stream = self.last_stream.min(last);
                self.wire.go_away(last, ErrorCode(code), &debug);
            }
            Step::Settings(settings) => self.wire.settings(&settings),
            Step::StreamLimit(limit) => self.wire.settings(&[(setting::MAX_CONCURRENT_STREAMS, limit)]),
            Step::Ping(opaque) => self.wire.ping(opaque),
            Step::Inject(bytes) => self.wire.inject(&bytes),
            Step::Close => self.close(),
        }
    }

    fn answer(&mut self, stream: u32, answer: &Answer) {
        let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        for (name, value) in answer.headers() {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(value.clone())) {
                headers.append(name, value);
            }
        }
        if self.wire.respond(stream, status, headers, answer.body().clone()).is_err() {
            // Given up by the client meanwhile, or answered before. An answer with a field that HTTP/2 forbids goes
            // without its fields.
            let _ = self.wire.respond(stream, status, HeaderMap::new(), Bytes::clone(answer.body()));
        }
    }

    fn finish(&mut self, end: ProviderEnd) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.planned.clear();
            self.events.push_back(ProviderEvent::Closed(end));
        }
    }
}

impl<J: Judge> Machine for ProviderServer<J> {
    type Event = ProviderEvent;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if self.state == State::Open {
            self.wire.receive(bytes);
            self.pump(now);
        }
    }

    fn handle_end(&mut self, now: Now, end: End) {
        if self.state == State::Open {
            self.end.get_or_insert(end);
            self.wire.receive_end();
            self.pump(now);
        }
    }

    fn handle_write_failure(&mut self, now: Now, _unsent: usize) {
        if self.state != State::Closed {
            self.wire.write_failed();
            self.pump(now);
            self.finish(ProviderEnd::Cut);
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.perform_due(now);
        self.pump(now);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        let mut more = self.wire.transmit(out);
        self.pump(now);
        if self.state == State::Open {
            return if more { Transmit::Ready } else { Transmit::Idle };
        }
        while more {
            more = self.wire.transmit(out);
        }
        self.finish(ProviderEnd::Closed);
        Transmit::Shutdown
    }

    fn poll_event(&mut self) -> Option<ProviderEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.planned.first_key_value().map(|((at, _), _)| *at)
    }
}

impl<J> fmt::Debug for ProviderServer<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderServer")
            .field("wire", &self.wire)
            .field("planned", &self.planned.len())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
