//! The client's side of a connection.

use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::uri::Authority;

use super::exchange::Exchange;
use super::frame::{self, ErrorCode, HEAD, Head, MAX_STREAM, PREFACE, flag, kind, setting};
use super::head::Heads;
use super::inbound::{Seen, Tap};
pub(crate) use super::message::{Event, Failure, Fate, Reset, Response, SendError, Settings};
use super::pipe::{EndFrame, Io};
use super::wake::{Flag, ReadyList};
use super::{CloseReason, GoAway, MAX_CONTROL, UNLIMITED_FRAMES, violation};
use crate::http2::Request;
use crate::http2::streams::Streams;
use crate::machine::CHUNK;

/// How a [`Connection`] is set up.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    authority: Authority,
    max_streams: usize,
    max_body: usize,
    max_header_list: u32,
    last_stream: u32,
    #[cfg(test)]
    first_stream: u32,
}

impl Config {
    /// For a server of this name, which becomes the `:authority` of every request.
    pub(crate) fn new(authority: Authority) -> Self {
        Self {
            authority,
            max_streams: 1000,
            max_body: 64 * 1024,
            max_header_list: 16 * 1024,
            last_stream: MAX_STREAM,
            #[cfg(test)]
            first_stream: 1,
        }
    }

    /// The most requests open at once, whatever the peer allows. Default 1000. Each open request costs the memory of
    /// its headers and body and about a kilobyte.
    pub(crate) fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// The most bytes kept of an answer's body; the stream of a longer one is reset. Default 64 KiB.
    pub(crate) fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The largest header list taken in an answer, sent as SETTINGS_MAX_HEADER_LIST_SIZE. Default 16 KiB.
    pub(crate) fn max_header_list(mut self, bytes: u32) -> Self {
        self.max_header_list = bytes;
        self
    }

    /// The last stream identifier used. Default 2^31 - 1, the end of the range (RFC 9113 section 5.1.1); a lower one
    /// limits how many requests a connection carries.
    pub(crate) fn last_stream(mut self, stream: u32) -> Self {
        self.last_stream = stream;
        self
    }

    #[cfg(test)]
    pub(crate) fn first_stream(mut self, stream: u32) -> Self {
        self.first_stream = stream;
        self
    }
}

/// One HTTP/2 connection, client side. See the [module](super) for the contract.
pub(crate) struct Connection {
    config: Config,
    heads: Heads,
    io: Io,
    tap: Tap,
    engine: Option<h2::client::Connection<Io, Bytes>>,
    sender: Option<SendRequest<Bytes>>,
    flag: Arc<Flag>,
    ready: Arc<ReadyList<usize>>,
    exchanges: Streams<Exchange>,
    /// A waker for each place of an exchange, made once.
    wakers: Vec<Waker>,
    events: VecDeque<Event>,
    next_stream: u32,
    /// Bytes of requests given to the engine and not yet written by it, about.
    unwritten: usize,
    /// The engine was given something and not polled since.
    dirty: bool,
    settings: Option<Settings>,
    /// What all GOAWAY frames together say.
    go_away: Option<GoAway>,
    /// The last GOAWAY frame.
    said: Option<GoAway>,
    last_stream: u32,
    /// A GOAWAY waits for the engine.
    leaving: bool,
    pings: VecDeque<[u8; 8]>,
    finishing: bool,
    closed: bool,
}

impl Connection {
    /// A connection whose transport is ready. The preface and our SETTINGS are waiting to be handed out.
    pub(crate) fn new(config: Config) -> Self {
        let io = Io::new(PREFACE.len());
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_header_list_size(config.max_header_list)
            // The engine's own limits end a connection for what happens to an honest peer over days: late bodies of
            // requests that were given up, small frames. What a peer can make grow is bounded here instead.
            .data_frame_budget(UNLIMITED_FRAMES)
            .max_local_error_reset_streams(None)
            // Late frames of this many streams that were given up are passed over in silence for a second.
            .max_concurrent_reset_streams(config.max_streams)
            // The connection asks the peer's limit before each request.
            .initial_max_send_streams(usize::MAX);
        #[cfg(test)]
        builder.initial_stream_id(config.first_stream);
        let flag = Arc::new(Flag::default());
        let handshake = pin!(builder.handshake(io.clone()));
        let waker = Waker::from(Arc::clone(&flag));
        let (sender, engine) = match handshake.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok((sender, engine))) => (Some(sender), Some(engine)),
            // The handshake only writes, and a write into memory neither fails nor waits.
            Poll::Ready(Err(_)) | Poll::Pending => (None, None),
        };
        let mut connection = Self {
            heads: Heads::new(config.authority.clone()),
            tap: Tap::of_server(),
            io,
            engine,
            sender,
            flag,
            ready: Arc::default(),
            exchanges: Streams::new(),
            wakers: Vec::new(),
            events: VecDeque::new(),
            #[cfg(test)]
            next_stream: config.first_stream,
            #[cfg(not(test))]
            next_stream: 1,
            unwritten: 0,
            dirty: true,
            settings: None,
            go_away: None,
            said: None,
            last_stream: MAX_STREAM,
            leaving: false,
            pings: VecDeque::new(),
            finishing: false,
            closed: false,
            config,
        };
        connection.flush();
        connection
    }

    /// Sends a request, or says why it cannot be sent now.
    ///
    /// Gives the stream, which stands for the request from now on: exactly one [`Event::Response`] or
    /// [`Event::Failed`] will name it, unless [`reset`](Self::reset) settles it before.
    ///
    /// # Errors
    ///
    /// Any [`SendError`]; nothing was sent then.
    pub(crate) fn send_request(&mut self, request: Request) -> Result<u32, SendError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let size = request.header_list_size();
        if let Some(limit) = self.settings.and_then(|settings| settings.max_header_list_size)
            && size > limit as usize
        {
            return Err(SendError::HeadersTooLarge { size, limit });
        }
        // A clone, because a sender remembers a stream it had to queue, and a remembered stream cannot be cancelled.
        let Some(mut sender) = self.sender.clone() else { return Err(SendError::Closed) };
        let head = self.heads.of(&request)?;
        let body = request.body;
        self.dirty = true;
        let sent = sender.send_request(head, body.is_empty());
        // The engine takes an identifier even for a request that it then refuses.
        let expected = self.next_stream;
        self.next_stream = expected.saturating_add(2);
        let Ok((response, mut stream)) = sent else { return Err(SendError::Malformed) };
        let id = response.stream_id().as_u32();
        debug_assert_eq!(id, expected, "the engine counts streams as we do");
        self.unwritten += size + body.len();
        if !body.is_empty() {
            // Fails only on a stream that is over, and then the answer's place is taken by that error.
            let _ = stream.send_data(body, true);
        }
        let place = self.exchanges.insert(id, Exchange::new(id, response));
        while self.wakers.len() <= place {
            self.wakers.push(self.ready.waker(self.wakers.len()));
        }
        self.ready.push(place);
        Ok(id)
    }

    /// Gives up a request: the stream is reset with CANCEL and its place is free.
    ///
    /// `None` if the stream is not open any more; then its event is waiting or was given.
    pub(crate) fn reset(&mut self, stream: u32) -> Option<Reset> {
        self.flush();
        let exchange = self.exchanges.remove(stream)?;
        let fate = self.fate(exchange.end);
        let reset = exchange.into_response(false).map_or(Reset::Unanswered(fate), Reset::Answered);
        self.drive();
        Some(reset)
    }

    /// Sends a PING; [`Event::Pong`] brings the same eight bytes back.
    pub(crate) fn ping(&mut self, opaque: [u8; 8]) {
        if self.closed {
            return;
        }
        self.flush();
        let mut frame = BytesMut::new();
        frame::write_ping(&mut frame, opaque);
        self.io.lock().outbound.push(&frame);
        self.pings.push_back(opaque);
    }

    /// Takes no more requests; when the last one is settled, a GOAWAY is sent and the connection closes.
    pub(crate) fn finish(&mut self) {
        if self.closed {
            return;
        }
        self.finishing = true;
        self.sender = None;
        self.drive();
    }

    /// Ends the connection at once: GOAWAY with this code, every open request fails.
    pub(crate) fn abandon(&mut self, code: ErrorCode) {
        if self.closed {
            return;
        }
        self.flush();
        if !self.closed {
            self.say_go_away(code);
            self.end(CloseReason::Abandoned);
        }
    }

    /// Takes bytes from the peer.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.flush();
        self.tap.opened(self.next_stream);
        let mut input = bytes;
        while !self.closed {
            let seen = self.tap.next(&mut input, &mut self.io.lock().inbound);
            match seen {
                None => break,
                Some(Seen::Foreign(received)) => self.end(CloseReason::NotHttp2 { received }),
                Some(Seen::Frame(head, frame)) => self.held(head, &frame),
                Some(Seen::Idle) => {
                    // What came before is told before.
                    self.drive();
                    self.violated(ErrorCode::PROTOCOL_ERROR);
                }
            }
        }
        self.drive();
    }

    /// The peer will send nothing more. Every open request fails, and the connection closes.
    ///
    /// If the transport took only a part of the bytes handed out last, say so before with
    /// [`write_failed`](Self::write_failed); otherwise all of them count as taken.
    pub(crate) fn receive_end(&mut self) {
        if self.closed {
            return;
        }
        self.flush();
        {
            let mut pipe = self.io.lock();
            pipe.ended = true;
            pipe.outbound.stop(0);
        }
        if let Some(received) = self.tap.unfinished_start() {
            self.end(CloseReason::NotHttp2 { received });
        }
        self.drive();
        // The engine ends with its input; should it ever wait for more, the connection does not.
        self.end(CloseReason::Ended);
    }

    /// Appends at most [`CHUNK`] bytes for the peer and tells whether there were any.
    ///
    /// A call says that the transport took all bytes handed out before.
    pub(crate) fn transmit(&mut self, out: &mut BytesMut) -> bool {
        self.flush();
        self.io.lock().outbound.hand_out(CHUNK, out)
    }

    /// The transport takes nothing more; the last `unsent` bytes handed out were never taken.
    ///
    /// Answers still come in. What never wholly left fails as not processed when the connection ends.
    pub(crate) fn write_failed(&mut self, unsent: usize) {
        self.flush();
        self.io.lock().outbound.stop(unsent);
    }

    /// The next event.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.flush();
        }
        self.events.pop_front()
    }

    /// Why [`send_request`](Self::send_request) would refuse any request now; `None` when there is room for one.
    pub(crate) fn refusal(&self) -> Option<SendError> {
        if self.closed {
            return Some(SendError::Closed);
        }
        if self.finishing || self.go_away.is_some() {
            return Some(SendError::GoingAway);
        }
        let pipe = self.io.lock();
        if pipe.outbound.is_stopped() {
            return Some(SendError::WriteEnded);
        }
        if self.next_stream > self.config.last_stream {
            return Some(SendError::StreamsExhausted);
        }
        if self.settings.is_none() {
            return Some(SendError::AwaitingSettings);
        }
        let (open, limit) = (self.exchanges.len(), self.stream_limit());
        if open >= limit {
            return Some(SendError::Full { open, limit });
        }
        (pipe.outbound.len() + self.unwritten >= CHUNK).then_some(SendError::Backlog)
    }

    /// Has the engine write what it was given, where only a guess of its size stood in the way of one more request.
    /// Says whether there is room now.
    pub(crate) fn make_room(&mut self) -> bool {
        if !self.dirty {
            return false;
        }
        self.drive();
        self.refusal().is_none()
    }

    /// Requests that are not settled.
    pub(crate) fn open_streams(&self) -> usize {
        self.exchanges.len()
    }

    /// The most requests open at once: the peer's limit as it is now, or our own if that is lower. 0 until the
    /// peer's first SETTINGS.
    pub(crate) fn stream_limit(&self) -> usize {
        self.settings.map_or(0, |settings| {
            let peer = settings.max_concurrent_streams.map_or(usize::MAX, |limit| limit as usize);
            peer.min(self.config.max_streams)
        })
    }

    /// What the peer's SETTINGS say; `None` until the first came.
    pub(crate) fn settings(&self) -> Option<Settings> {
        self.settings
    }

    /// Whether a GOAWAY came, and what it said: the first one that came with debug data, or else the first. Its last
    /// stream is the lowest of all GOAWAY frames.
    pub(crate) fn go_away(&self) -> Option<&GoAway> {
        self.go_away.as_ref()
    }

    /// The lowest last stream of all GOAWAY frames; the end of the range until there is one.
    pub(crate) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether [`Event::Closed`] was put in the queue. There may still be bytes to hand out.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A frame the tap held back: take note of it, and pass it on to the engine where that is right.
    fn held(&mut self, head: Head, frame: &[u8]) {
        let payload = frame.get(HEAD..).unwrap_or_default();
        match head.kind {
            kind::SETTINGS if !head.has(flag::ACK) && head.stream == 0 && payload.len().is_multiple_of(6) => {
                self.pass(frame);
                if self.closed {
                    return;
                }
                let known = self.settings.get_or_insert_default();
                for (name, value) in frame::settings(payload) {
                    match name {
                        setting::HEADER_TABLE_SIZE => known.header_table_size = Some(value),
                        setting::MAX_CONCURRENT_STREAMS => known.max_concurrent_streams = Some(value),
                        setting::INITIAL_WINDOW_SIZE => known.initial_window_size = Some(value),
                        setting::MAX_HEADER_LIST_SIZE => known.max_header_list_size = Some(value),
                        // Unknown settings are ignored (RFC 9113 section 6.5.2).
                        _ => {}
                    }
                }
                self.events.push_back(Event::Settings(*known));
            }
            kind::PING if head.has(flag::ACK) && head.stream == 0 => match <[u8; 8]>::try_from(payload) {
                // Our pings do not go through the engine, so their answers do not either.
                Ok(opaque) => {
                    if let Some(index) = self.pings.iter().position(|&sent| sent == opaque) {
                        self.pings.remove(index);
                        // What came before the answer is told before it.
                        self.drive();
                        if !self.closed {
                            self.events.push_back(Event::Pong(opaque));
                        }
                    }
                }
                Err(_) => self.pass(frame),
            },
            kind::GOAWAY if head.stream == 0 => match GoAway::parse(payload) {
                Some(go_away) => self.going_away(go_away, frame),
                None => self.pass(frame),
            },
            _ => self.pass(frame),
        }
    }

    fn going_away(&mut self, said: GoAway, frame: &[u8]) {
        // What came before is told before. But where another GOAWAY came just before, the engine has not seen it yet,
        // and must not: with nothing open it would close, and the one that says why may be this one.
        if !self.leaving {
            self.drive();
        }
        if self.closed {
            return;
        }
        let news = self.go_away.is_none() || said.last_stream < self.last_stream;
        self.last_stream = self.last_stream.min(said.last_stream);
        let repeated = self.said.as_ref() == Some(&said);
        match &mut self.go_away {
            None => self.go_away = Some(said.clone()),
            Some(kept) => {
                if kept.debug.is_empty() && !said.debug.is_empty() {
                    *kept = said.clone();
                }
                kept.last_stream = self.last_stream;
            }
        }
        if !repeated {
            self.events.push_back(Event::GoAway(said.clone()));
            self.said = Some(said);
        }
        // One that lowers nothing has nothing to tell the engine, which would end the connection over one that names
        // a higher stream than the one before (RFC 9113 section 6.8 forbids it, and it does no harm).
        if news {
            self.io.lock().inbound.extend_from_slice(frame);
            self.leaving = true;
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

    /// Polls the engine and what is ready, until nothing more happens.
    fn drive(&mut self) {
        self.dirty = false;
        self.leaving = false;
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut cx = Context::from_waker(&waker);
        while !self.closed {
            self.flag.take();
            let over = self.engine.as_mut().map(|engine| Pin::new(engine).poll(&mut cx));
            self.unwritten = 0;
            let (ends, control) = {
                let mut pipe = self.io.lock();
                (pipe.outbound.take_ends(), pipe.outbound.control())
            };
            for end in ends {
                if let Some(exchange) = self.exchanges.get_mut(end.stream) {
                    exchange.end = Some(end);
                }
            }
            while let Some(place) = self.ready.pop() {
                self.poll_exchange(place);
            }
            match over {
                Some(Poll::Ready(result)) => {
                    let reason = self.close_reason(result.err().as_ref());
                    self.end(reason);
                }
                Some(Poll::Pending) if control > MAX_CONTROL => {
                    self.say_go_away(ErrorCode::ENHANCE_YOUR_CALM);
                    self.end(CloseReason::Flooded);
                }
                Some(Poll::Pending) => {}
                None => self.end(CloseReason::Ended),
            }
            if !self.flag.take() {
                break;
            }
        }
    }

    /// Polls what has this place now, which may be another one than asked for it; that does no harm.
    fn poll_exchange(&mut self, place: usize) {
        let (Some(exchange), Some(waker)) = (self.exchanges.at_mut(place), self.wakers.get(place)) else { return };
        let stream = exchange.stream;
        let Poll::Ready(result) = exchange.poll(waker, self.config.max_body) else { return };
        let Some(exchange) = self.exchanges.remove(stream) else { return };
        match result {
            Ok(complete) => {
                let response = exchange.into_response(complete).expect("an exchange is ready when its status came");
                self.events.push_back(Event::Response { stream, response });
            }
            Err(error) => self.fail(stream, exchange.end, &error),
        }
        // Dropping what is left of the exchange may have given the engine something to do.
        self.flag.set();
    }

    fn fail(&mut self, stream: u32, end: Option<EndFrame>, error: &h2::Error) {
        let code = error.reason().map_or(ErrorCode::NO_ERROR, |reason| ErrorCode(reason.into()));
        let failure = match () {
            () if error.is_reset() && error.is_remote() && code == ErrorCode::REFUSED_STREAM => Failure::Refused,
            () if error.is_reset() && error.is_remote() => Failure::Reset(code),
            () if error.is_reset() => Failure::Violation(code),
            () if stream > self.last_stream => Failure::AboveLastStream,
            () => Failure::ConnectionEnded,
        };
        let fate = match failure {
            Failure::Refused | Failure::AboveLastStream => Fate::NotProcessed,
            Failure::Reset(_) | Failure::Violation(_) | Failure::ConnectionEnded => self.fate(end),
        };
        self.events.push_back(Event::Failed { stream, failure, fate });
    }

    /// What is known about a request from how far its bytes got. What has not left will not leave after this.
    fn fate(&mut self, end: Option<EndFrame>) -> Fate {
        if self.io.lock().outbound.may_have_left(end) { Fate::Unknown } else { Fate::NotProcessed }
    }

    fn close_reason(&self, error: Option<&h2::Error>) -> CloseReason {
        if let Some(code) = error.and_then(violation) {
            return CloseReason::Violation { code };
        }
        match (self.io.lock().ended, self.go_away.is_some(), self.finishing) {
            (true, _, _) => CloseReason::Ended,
            (false, true, _) => CloseReason::GoneAway,
            (false, false, true) => CloseReason::Finished,
            (false, false, false) => CloseReason::Ended,
        }
    }

    fn say_go_away(&mut self, code: ErrorCode) {
        let mut frame = BytesMut::new();
        frame::write_go_away(&mut frame, 0, code, &[]);
        self.io.lock().outbound.push(&frame);
    }

    fn violated(&mut self, code: ErrorCode) {
        if !self.closed {
            self.say_go_away(code);
            self.end(CloseReason::Violation { code });
        }
    }

    /// Settles what is open, in order, and closes for good.
    fn end(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        self.closed = true;
        while let Some((stream, exchange)) = self.exchanges.pop_first() {
            let end = exchange.end;
            if let Some(response) = exchange.into_response(false) {
                self.events.push_back(Event::Response { stream, response });
                continue;
            }
            let (failure, fate) = if stream > self.last_stream {
                (Failure::AboveLastStream, Fate::NotProcessed)
            } else {
                (Failure::ConnectionEnded, self.fate(end))
            };
            self.events.push_back(Event::Failed { stream, failure, fate });
        }
        self.sender = None;
        self.engine = None;
        self.pings.clear();
        self.events.push_back(Event::Closed(reason));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("open_streams", &self.open_streams())
            .field("stream_limit", &self.stream_limit())
            .field("next_stream", &self.next_stream)
            .field("events", &self.events.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
