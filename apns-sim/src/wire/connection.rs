//! One connection, with more freedom than a decent server takes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use apns_proto::machine::CHUNK;
use bytes::{Bytes, BytesMut};
use h2::server::{Builder, Handshake, SendResponse};
use http::{HeaderMap, Method, StatusCode};

use super::body::Collect;
use super::frame::{self, ErrorCode, HEAD, Head, MAX_STREAM, PREFACE, flag, kind, setting};
use super::inbound::Tap;
use super::pipe::Io;
use super::wake::{Flag, ReadyList};
use super::{CloseReason, GoAway, MAX_CONTROL, UNLIMITED_FRAMES, violation};

/// The window of a stream and of the connection unless SETTINGS say otherwise (RFC 9113 section 6.9.2).
const DEFAULT_WINDOW: u32 = 65_535;

/// The most streams without an answer when no SETTINGS_MAX_CONCURRENT_STREAMS was announced.
const MAX_STREAMS: usize = 10_000;

/// The largest header list taken when no SETTINGS_MAX_HEADER_LIST_SIZE was announced.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// How a [`Connection`] is set up.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(super) settings: Vec<(u16, u32)>,
    /// The most bytes kept of a request's body. Default: 64 KiB.
    pub(super) max_body: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { settings: Vec::new(), max_body: 64 * 1024 }
    }
}

impl Config {
    /// The first SETTINGS frame, word for word. Default empty: no limits and the values of RFC 9113 section 6.5.2.
    ///
    /// SETTINGS_MAX_CONCURRENT_STREAMS is enforced, 10 000 if not given: streams beyond it are refused. So is
    /// SETTINGS_MAX_HEADER_LIST_SIZE, 64 KiB if not given: a larger request is answered with 431. A window below the default is
    /// announced only; what a client sends beyond it is not noticed. To let more in, write WINDOW_UPDATE frames with
    /// [`inject`](Connection::inject).
    pub(crate) fn settings(mut self, settings: impl Into<Vec<(u16, u32)>>) -> Self {
        self.settings = settings.into();
        self
    }

    fn last(&self, name: u16) -> Option<u32> {
        self.settings.iter().rev().find(|setting| setting.0 == name).map(|setting| setting.1)
    }
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The stream.
    pub(crate) stream: u32,
    /// The method.
    pub(crate) method: Method,
    /// The `:path`.
    pub(crate) path: String,
    /// The `:authority`, if there is one.
    pub(crate) authority: Option<String>,
    /// The header fields; trailers are left out.
    pub(crate) headers: HeaderMap,
    /// The body, up to `Config::max_body`.
    pub(crate) body: Bytes,
    /// Whether the body is whole.
    pub(crate) complete: bool,
}

// The path holds a device token, the headers a provider token, the body a payload.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("stream", &self.stream)
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("body_len", &self.body.len())
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

/// What a [`Connection`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request, whole or as far as it is kept. Answer it with [`Connection::respond`].
    Request(Request),
    /// The client reset a stream, or the connection ended, before the stream was answered.
    Cancelled {
        /// The stream.
        stream: u32,
        /// The client's code; none if the connection ended.
        code: Option<ErrorCode>,
    },
    /// A stream beyond the limit, or beyond our GOAWAY, was refused with REFUSED_STREAM.
    Refused {
        /// The stream.
        stream: u32,
        /// How many may be open; none where it came behind a GOAWAY.
        limit: Option<u32>,
    },
    /// A GOAWAY frame.
    GoAway(GoAway),
    /// The answer to [`Connection::ping`].
    Pong([u8; 8]),
    /// The connection is over, and nothing follows.
    Closed(CloseReason),
}

/// Why an answer was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RespondError {
    /// The stream is not waiting for an answer: it has one, was reset, or never was.
    #[error("stream {0} waits for no answer")]
    NotWaiting(u32),
    /// A header field that HTTP/2 forbids (RFC 9113 section 8.2.2).
    #[error("a header field is not allowed in HTTP/2")]
    Malformed,
}

enum Engine {
    Greeting(Handshake<Io, Bytes>),
    Running(h2::server::Connection<Io, Bytes>),
    Over,
}

/// A stream without an answer.
struct Exchange {
    waker: Waker,
    respond: SendResponse<Bytes>,
    /// There until the body is over.
    request: Option<(http::request::Parts, Collect)>,
}

/// One HTTP/2 connection, server side.
///
/// Used like the [client's](super::client::Connection): bytes in, bytes out, events until `None`. What the engine below
/// cannot say is written as frames between its own: [`go_away`](Self::go_away), [`settings`](Self::settings),
/// [`reset`](Self::reset) of an answered stream, and anything at all with [`inject`](Self::inject).
pub(crate) struct Connection {
    config: Config,
    io: Io,
    tap: Tap,
    engine: Engine,
    flag: Arc<Flag>,
    ready: Arc<ReadyList<u32>>,
    exchanges: BTreeMap<u32, Exchange>,
    events: VecDeque<Event>,
    pings: VecDeque<[u8; 8]>,
    /// SETTINGS frames of ours that the client has not acknowledged.
    unacknowledged: usize,
    first_acknowledged: bool,
    max_streams: Option<u32>,
    last_stream: u32,
    dirty: bool,
    closed: bool,
}

impl Connection {
    /// A connection whose transport is ready. Our SETTINGS are waiting to be handed out.
    pub(crate) fn new(config: Config) -> Self {
        let io = Io::new(0);
        let mut builder = Builder::new();
        builder
            // A window may be announced smaller than it is, so that a test can play with it.
            .initial_window_size(
                config.last(setting::INITIAL_WINDOW_SIZE).unwrap_or(DEFAULT_WINDOW).max(DEFAULT_WINDOW),
            )
            .max_header_list_size(config.last(setting::MAX_HEADER_LIST_SIZE).unwrap_or(MAX_HEADER_LIST))
            .data_frame_budget(UNLIMITED_FRAMES)
            .max_local_error_reset_streams(None)
            .max_pending_accept_reset_streams(usize::MAX);
        if let Some(size) = config.last(setting::HEADER_TABLE_SIZE) {
            builder.header_table_size(size);
        }
        if let Some(size) = config.last(setting::MAX_FRAME_SIZE)
            && (16_384..=0xff_ffff).contains(&size)
        {
            builder.max_frame_size(size);
        }
        let engine = Engine::Greeting(builder.handshake(io.clone()));
        let mut connection = Self {
            max_streams: config.last(setting::MAX_CONCURRENT_STREAMS),
            tap: Tap::new(PREFACE.len()),
            io,
            engine,
            flag: Arc::default(),
            ready: Arc::default(),
            exchanges: BTreeMap::new(),
            events: VecDeque::new(),
            pings: VecDeque::new(),
            unacknowledged: 0,
            first_acknowledged: false,
            last_stream: MAX_STREAM,
            dirty: false,
            closed: false,
            config,
        };
        // The engine writes its SETTINGS, and nothing else, before it reads. Ours stand in their place.
        connection.drive();
        let mut settings = BytesMut::new();
        frame::write_settings(&mut settings, &connection.config.settings);
        {
            let mut pipe = connection.io.lock();
            pipe.outbound.clear();
            pipe.outbound.push(&settings);
        }
        connection
    }

    /// Answers a request: HEADERS, and one DATA frame with the body. With an empty body the stream ends on HEADERS.
    ///
    /// # Errors
    ///
    /// [`RespondError`]; nothing was sent then.
    pub(crate) fn respond(
        &mut self,
        stream: u32,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), RespondError> {
        let mut exchange = self.exchanges.remove(&stream).ok_or(RespondError::NotWaiting(stream))?;
        self.dirty = true;
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let Ok(mut send) = exchange.respond.send_response(response, body.is_empty()) else {
            // The engine looks at the fields first and takes no note of an answer it refuses.
            self.exchanges.insert(stream, exchange);
            return Err(RespondError::Malformed);
        };
        if !body.is_empty() {
            // Fails only when the client reset the stream meanwhile.
            let _ = send.send_data(body, true);
        }
        Ok(())
    }

    /// Resets a stream, answered or not.
    pub(crate) fn reset(&mut self, stream: u32, code: ErrorCode) {
        self.flush();
        match self.exchanges.remove(&stream) {
            Some(mut exchange) => {
                exchange.respond.send_reset(code.0.into());
                self.drive();
            }
            None => {
                let mut frame = BytesMut::new();
                frame::write_reset(&mut frame, stream, code);
                self.between(&frame);
            }
        }
    }

    /// Says GOAWAY, as often as wanted. Streams above `last_stream` are refused from now on; the rest goes on.
    pub(crate) fn go_away(&mut self, last_stream: u32, code: ErrorCode, debug: &[u8]) {
        self.last_stream = self.last_stream.min(last_stream);
        let mut frame = BytesMut::new();
        frame::write_go_away(&mut frame, last_stream, code, debug);
        self.between(&frame);
    }

    /// Sends another SETTINGS frame. A new SETTINGS_MAX_CONCURRENT_STREAMS is enforced at once, as APNs does.
    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let limit = settings.iter().rev().find(|setting| setting.0 == setting::MAX_CONCURRENT_STREAMS);
        if let Some(&(_, limit)) = limit {
            self.max_streams = Some(limit);
        }
        let mut frame = BytesMut::new();
        frame::write_settings(&mut frame, settings);
        self.between(&frame);
        self.unacknowledged += 1;
    }

    /// Sends a PING; [`Event::Pong`] brings the same eight bytes back.
    pub(crate) fn ping(&mut self, opaque: [u8; 8]) {
        let mut frame = BytesMut::new();
        frame::write_ping(&mut frame, opaque);
        self.between(&frame);
        self.pings.push_back(opaque);
    }

    /// Writes any bytes between two frames. They need not be frames; the engine knows nothing of them.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        self.flush();
        self.io.lock().outbound.push_raw(bytes);
    }

    /// Takes bytes from the client.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.flush();
        let mut input = bytes;
        while !self.closed {
            let seen = self.tap.next(&mut input, &mut self.io.lock().inbound);
            match seen {
                None => break,
                Some((head, frame)) => self.held(head, &frame),
            }
        }
        self.drive();
    }

    /// The client will send nothing more. What has no answer is cancelled, and the connection closes.
    pub(crate) fn receive_end(&mut self) {
        if self.closed {
            return;
        }
        self.flush();
        self.io.lock().ended = true;
        self.drive();
        self.end(CloseReason::Ended);
    }

    /// Appends at most [`CHUNK`] bytes for the client and tells whether there were any.
    pub(crate) fn transmit(&mut self, out: &mut BytesMut) -> bool {
        self.flush();
        self.io.lock().outbound.hand_out(CHUNK, out)
    }

    /// The transport takes nothing more.
    pub(crate) fn write_failed(&mut self) {
        self.flush();
        self.io.lock().outbound.stop();
    }

    /// The next event.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.flush();
        }
        self.events.pop_front()
    }

    /// Streams without an answer, those whose body is still on its way among them.
    pub(crate) fn open_streams(&self) -> usize {
        self.exchanges.len()
    }

    fn between(&mut self, frame: &[u8]) {
        self.flush();
        self.io.lock().outbound.push(frame);
    }

    fn held(&mut self, head: Head, frame: &[u8]) {
        let payload = frame.get(HEAD..).unwrap_or_default();
        match head.kind {
            // The first acknowledgement is for the SETTINGS that the engine believes it sent; it knows of no other.
            kind::SETTINGS if head.has(flag::ACK) && payload.is_empty() && head.stream == 0 => {
                if self.first_acknowledged && self.unacknowledged > 0 {
                    self.unacknowledged -= 1;
                } else {
                    self.first_acknowledged = true;
                    self.pass(frame);
                }
            }
            kind::PING if head.has(flag::ACK) && head.stream == 0 => match <[u8; 8]>::try_from(payload) {
                Ok(opaque) => {
                    if let Some(index) = self.pings.iter().position(|&sent| sent == opaque) {
                        self.pings.remove(index);
                        self.drive();
                        if !self.closed {
                            self.events.push_back(Event::Pong(opaque));
                        }
                    }
                }
                Err(_) => self.pass(frame),
            },
            kind::GOAWAY if head.stream == 0 => {
                self.drive();
                if let Some(go_away) = GoAway::parse(payload)
                    && !self.closed
                {
                    self.events.push_back(Event::GoAway(go_away));
                }
                self.pass(frame);
            }
            _ => self.pass(frame),
        }
    }

    fn pass(&mut self, frame: &[u8]) {
        self.io.lock().inbound.extend_from_slice(frame);
        self.drive();
    }

    fn flush(&mut self) {
        if self.dirty {
            self.drive();
        }
    }

    fn drive(&mut self) {
        self.dirty = false;
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut cx = Context::from_waker(&waker);
        while !self.closed {
            self.flag.take();
            let over = self.poll_engine(&mut cx);
            self.poll_exchanges();
            let control = {
                let pipe = self.io.lock();
                pipe.outbound.control()
            };
            if let Some(reason) = over {
                self.end(reason);
            } else if control > MAX_CONTROL {
                let mut frame = BytesMut::new();
                frame::write_go_away(&mut frame, self.last_stream, ErrorCode::ENHANCE_YOUR_CALM, &[]);
                self.io.lock().outbound.push(&frame);
                self.end(CloseReason::Flooded);
            }
            if !self.flag.take() {
                break;
            }
        }
    }

    /// Polls the engine until it waits. Gives the reason when it is over.
    fn poll_engine(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        loop {
            match &mut self.engine {
                Engine::Over => return Some(CloseReason::Ended),
                Engine::Greeting(handshake) => match Pin::new(handshake).poll(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Ok(engine)) => self.engine = Engine::Running(engine),
                    Poll::Ready(Err(error)) => {
                        self.engine = Engine::Over;
                        return Some(self.close_reason(Some(&error)));
                    }
                },
                Engine::Running(engine) => match engine.poll_accept(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                    Poll::Ready(Some(Err(error))) => return Some(self.close_reason(Some(&error))),
                    Poll::Ready(None) => return Some(self.close_reason(None)),
                },
            }
        }
    }

    fn accept(&mut self, request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        let stream = respond.stream_id().as_u32();
        // What the client gave up before takes no room any more, also when both arrived at once.
        self.poll_exchanges();
        let full = self.exchanges.len() >= self.max_streams.map_or(MAX_STREAMS, |limit| limit as usize);
        if full || stream > self.last_stream {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            let limit = self.max_streams.unwrap_or(u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX));
            self.events.push_back(Event::Refused { stream, limit: full.then_some(limit) });
            self.flag.set();
            return;
        }
        let (head, body) = request.into_parts();
        let exchange = Exchange {
            waker: self.ready.waker(stream),
            respond,
            request: Some((head, Collect::new(body, self.config.max_body))),
        };
        self.exchanges.insert(stream, exchange);
        self.ready.push(stream);
    }

    /// Looks at the exchanges that something happened to.
    fn poll_exchanges(&mut self) {
        while let Some(stream) = self.ready.pop() {
            self.poll_exchange(stream);
        }
    }

    fn poll_exchange(&mut self, stream: u32) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        let waker = exchange.waker.clone();
        let mut cx = Context::from_waker(&waker);
        // A reset ends the body as well, so it is asked for first.
        if let Poll::Ready(reset) = exchange.respond.poll_reset(&mut cx) {
            let code = reset.ok().map(|reason| ErrorCode(reason.into()));
            self.exchanges.remove(&stream);
            self.events.push_back(Event::Cancelled { stream, code });
            self.flag.set();
            return;
        }
        let Some((_, body)) = &mut exchange.request else { return };
        let Poll::Ready(complete) = body.poll(&mut cx) else { return };
        let Some((head, body)) = exchange.request.take() else { return };
        let body = body.into_bytes();
        self.events.push_back(Event::Request(Request {
            stream,
            method: head.method,
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            authority: head.uri.authority().map(ToString::to_string),
            headers: head.headers,
            body,
            complete,
        }));
        self.flag.set();
    }

    fn close_reason(&self, error: Option<&h2::Error>) -> CloseReason {
        if let Some(code) = error.and_then(violation) {
            return CloseReason::Violation { code };
        }
        if self.io.lock().ended { CloseReason::Ended } else { CloseReason::GoneAway }
    }

    fn end(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        self.closed = true;
        for (stream, _) in std::mem::take(&mut self.exchanges) {
            self.events.push_back(Event::Cancelled { stream, code: None });
        }
        self.engine = Engine::Over;
        self.events.push_back(Event::Closed(reason));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("open_streams", &self.open_streams())
            .field("events", &self.events.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
