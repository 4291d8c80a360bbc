//! The client's side of a connection: what is asked of it, and what it says.

mod ending;
mod receive;
mod send;

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::answer::Assembly;
use super::budget::Budget;
use super::frame::{ErrorCode, MAX_STREAM, kind, setting};
use super::hpack::{Decoder, Encoder, TABLE_SIZE};
pub(crate) use super::message::{Event, Failure, Fate, Reset, Response, SendError, Settings};
use super::output::Output;
use super::template::Templates;
use super::{CloseReason, GoAway, MAX_HEADER_LIST, WINDOW};
use crate::http2::streams::Streams;

/// How a [`Connection`] is set up.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    authority: Bytes,
    max_streams: usize,
    max_body: usize,
    last_stream: u32,
    first_stream: u32,
}

impl Config {
    /// For a server of this name, which becomes the `:authority` of every request.
    pub(crate) fn new(authority: impl Into<Bytes>) -> Self {
        Self {
            authority: authority.into(),
            max_streams: 1000,
            max_body: 64 * 1024,
            last_stream: MAX_STREAM,
            first_stream: 1,
        }
    }

    /// The most requests open at once, whatever the peer allows. Default 1000. Each open request costs about 300 bytes
    /// beside its body, which is shared.
    pub(crate) const fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// The most bytes kept of an answer's body, up to 2^31 - 1; the stream of a longer one is reset. It is sent as
    /// SETTINGS_INITIAL_WINDOW_SIZE, so that no stream has to be given a window. Default 64 KiB.
    pub(crate) fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes.min(WINDOW as usize);
        self
    }

    /// The last stream identifier used. Default 2^31 - 1, the end of the range (RFC 9113 section 5.1.1); a lower one
    /// limits how many requests a connection carries.
    pub(crate) const fn last_stream(mut self, stream: u32) -> Self {
        self.last_stream = stream;
        self
    }

    #[cfg(test)]
    pub(crate) const fn first_stream(mut self, stream: u32) -> Self {
        self.first_stream = stream;
        self
    }
}

/// One HTTP/2 connection, client side. See the [module](super) for the contract.
pub(crate) struct Connection {
    config: Config,
    pub(super) output: Output,
    encoder: Encoder,
    templates: Templates,
    decoder: Decoder,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The peer's first frame was SETTINGS.
    greeted: bool,
    /// The header block under way, in CONTINUATION frames.
    block: Option<Block>,
    streams: Streams<Stream>,
    next_stream: u32,
    /// What the peer lets us send of bodies on the connection, and on a new stream.
    window: i64,
    stream_window: i64,
    /// Streams with a body that waits for a window, in order.
    waiting: VecDeque<u32>,
    /// A window grew since it was looked which of them may go on.
    windows_moved: bool,
    /// Bytes of DATA frames that came and whose window was not given back.
    received: usize,
    /// Streams that we reset a while ago: what still comes of them is passed over.
    resets: VecDeque<u32>,
    settings: Option<Settings>,
    /// Our SETTINGS were acknowledged.
    acknowledged: bool,
    budget: Budget,
    events: VecDeque<Event>,
    /// What all GOAWAY frames together say.
    go_away: Option<GoAway>,
    /// The last GOAWAY frame.
    said: Option<GoAway>,
    last_stream: u32,
    pings: VecDeque<[u8; 8]>,
    finishing: bool,
    closed: bool,
}

/// A request that is open.
#[derive(Debug)]
struct Stream {
    /// Where its last byte ends among all bytes for the peer; the end of the range until it was written.
    end: u64,
    /// What the peer lets us send of its body.
    window: i64,
    /// What waits for a window.
    unsent: Bytes,
    answer: Assembly,
}

/// A header block in several frames.
#[derive(Debug)]
struct Block {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// So many streams that were reset are remembered.
const RESETS: usize = 1024;

impl Connection {
    /// A connection whose transport is ready. The preface and our SETTINGS are waiting to be handed out.
    pub(crate) fn new(config: Config) -> Self {
        let output = Output::new(&[
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, config.max_body as u32),
            (setting::MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST as u32),
        ]);
        Self {
            output,
            encoder: Encoder::new(),
            templates: Templates::new(),
            decoder: Decoder::new(TABLE_SIZE),
            partial: Vec::new(),
            greeted: false,
            block: None,
            streams: Streams::new(),
            next_stream: config.first_stream,
            window: super::INITIAL_WINDOW as i64,
            stream_window: super::INITIAL_WINDOW as i64,
            waiting: VecDeque::new(),
            windows_moved: false,
            received: 0,
            resets: VecDeque::new(),
            settings: None,
            acknowledged: false,
            budget: Budget::new(),
            events: VecDeque::new(),
            go_away: None,
            said: None,
            last_stream: MAX_STREAM,
            pings: VecDeque::new(),
            finishing: false,
            closed: false,
            config,
        }
    }

    /// Gives up a request: the stream is reset with CANCEL and its place is free.
    ///
    /// `None` if the stream is not open any more; then its event is waiting or was given.
    pub(crate) fn reset(&mut self, stream: u32) -> Option<Reset> {
        let open = self.take(stream)?;
        let fate = self.fate(&open);
        self.output.withdraw(stream);
        self.send_reset(stream, ErrorCode::CANCEL);
        self.close_if_done();
        Some(open.answer.into_response(false).map_or(Reset::Unanswered(fate), Reset::Answered))
    }

    /// Sends a PING; [`Event::Pong`] brings the same eight bytes back.
    pub(crate) fn ping(&mut self, opaque: [u8; 8]) {
        if !self.closed {
            self.output.frame(kind::PING, 0, 0, &opaque);
            self.pings.push_back(opaque);
        }
    }

    /// Takes no more requests; when the last one is settled, a GOAWAY is sent and the connection closes.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.close_if_done();
    }

    /// Ends the connection at once: GOAWAY with this code, every open request fails.
    pub(crate) fn abandon(&mut self, code: ErrorCode) {
        self.close(CloseReason::Abandoned, Some(code));
    }

    /// Takes bytes from the peer, which came at this time.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.budget.pass(now);
        if let Err(fault) = self.input(bytes) {
            self.close(fault.reason, fault.code);
        }
        self.close_if_done();
    }

    /// The peer will send nothing more. Every open request fails, and the connection closes.
    ///
    /// If the transport took only a part of the bytes handed out last, say so before with
    /// [`write_failed`](Self::write_failed); otherwise all of them count as taken.
    pub(crate) fn receive_end(&mut self) {
        self.output.stop(0);
        let reason = match self.unfinished_start() {
            Some(received) => CloseReason::NotHttp2 { received },
            None => CloseReason::Ended,
        };
        self.close(reason, None);
    }

    /// Appends at most [`CHUNK`](crate::machine::CHUNK) bytes for the peer and tells whether there were any.
    ///
    /// A call says that the transport took all bytes handed out before.
    pub(crate) fn transmit(&mut self, out: &mut BytesMut) -> bool {
        self.resume();
        self.output.hand_out(out)
    }

    /// The open streams whose requests ended among the bytes that were handed out last.
    pub(crate) fn just_sent(&self) -> impl Iterator<Item = u32> + '_ {
        self.streams.iter().filter(|(_, open)| self.output.ended_last(open.end)).map(|(stream, _)| stream)
    }

    /// The transport takes nothing more; the last `unsent` bytes handed out were never taken.
    ///
    /// Answers still come in. What never wholly left fails as not processed when the connection ends.
    pub(crate) fn write_failed(&mut self, unsent: usize) {
        self.output.stop(unsent);
    }

    /// The next event.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Requests that are not settled.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
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
    pub(crate) const fn settings(&self) -> Option<Settings> {
        self.settings
    }

    /// Whether a GOAWAY came, and what it said: the first one that came with debug data, or else the first. Its last
    /// stream is the lowest of all GOAWAY frames.
    #[cfg(test)]
    pub(crate) const fn go_away(&self) -> Option<&GoAway> {
        self.go_away.as_ref()
    }

    /// The lowest last stream of all GOAWAY frames; the end of the range until there is one.
    #[cfg(test)]
    pub(crate) const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether [`Event::Closed`] was put in the queue. There may still be bytes to hand out.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
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
