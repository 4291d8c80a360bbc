//! Conversations in memory. Each runs with one-byte, seven-byte and whole pieces and must come out the same.

mod answers;
mod closing;
mod early;
mod floods;
mod hostile;
mod requests;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::client::{Config, Connection, Event, Failure, Fate, SendError};
use super::frame::{self, ErrorCode, HEAD, Head, PREFACE, flag, kind};
use crate::http2::request::Header;
use crate::http2::{Indexing, Method, Request};
use crate::testing::start;

/// How the bytes are split.
const SPLITS: [usize; 3] = [1, 7, usize::MAX];

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Bytes,
}

impl Frame {
    fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }

    /// The 32-bit number at an offset of the payload.
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client and, at the other end, frames by hand.
struct Hand {
    client: Connection,
    now: Instant,
    split: usize,
    heard: BytesMut,
    preface: bool,
    seen: Vec<Event>,
}

impl Hand {
    /// A client that has heard nothing.
    fn silent(config: Config, split: usize) -> Self {
        let now = start().instant;
        Self { client: Connection::new(config), now, split, heard: BytesMut::new(), preface: false, seen: Vec::new() }
    }

    /// A client that has the peer's SETTINGS, and whose own were read.
    fn greeted(settings: &[(u16, u32)], split: usize) -> Self {
        let mut hand = Self::silent(config(), split);
        hand.say(|out| frame::write_settings(out, settings));
        hand.hear();
        hand.events();
        hand
    }

    /// Speaks to the client, in pieces.
    fn say(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        for piece in bytes.chunks(self.split) {
            self.client.receive(self.now, piece);
            while let Some(event) = self.client.poll() {
                self.seen.push(event);
            }
        }
    }

    /// Takes all bytes from the client and gives the frames in them.
    fn hear(&mut self) -> Vec<Frame> {
        while self.client.transmit(&mut self.heard) {}
        if !self.preface && !self.heard.is_empty() {
            assert_eq!(&self.heard.split_to(PREFACE.len())[..], PREFACE);
            self.preface = true;
        }
        let mut frames = Vec::new();
        while !self.heard.is_empty() {
            let head = Head::parse(self.heard.split_to(HEAD)[..].try_into().unwrap());
            let payload = self.heard.split_to(head.length).freeze();
            frames.push(Frame { kind: head.kind, flags: head.flags, stream: head.stream, payload });
        }
        frames
    }

    /// The events since this was asked before.
    fn events(&mut self) -> Vec<Event> {
        while let Some(event) = self.client.poll() {
            self.seen.push(event);
        }
        std::mem::take(&mut self.seen)
    }

    /// Sends a request with a body, and hands it out.
    fn send(&mut self) -> u32 {
        let stream = self.client.send_request(&push("{}")).unwrap();
        self.hear();
        stream
    }
}

fn config() -> Config {
    Config::new("api.push.apple.com")
}

fn request(method: Method, path: impl Into<Bytes>, body: &'static str) -> Request {
    Request {
        method,
        path: path.into(),
        authority: "api.push.apple.com".into(),
        headers: Vec::new(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

/// The same request with one more field.
fn with(mut request: Request, name: &'static str, value: impl Into<Bytes>, indexing: Indexing) -> Request {
    request.headers.push(Header::new(name, value.into(), indexing));
    request
}

fn push(body: &'static str) -> Request {
    with(
        request(Method::Post, "/3/device/00fc13adff785122", body),
        "apns-topic",
        "com.example.app",
        Indexing::Incremental,
    )
}

/// Writes HEADERS with a header block that was compressed by hand.
fn headers(out: &mut BytesMut, stream: u32, end: bool, block: &[u8]) {
    let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
    frame::write(out, kind::HEADERS, flags, stream, block);
}

fn data(out: &mut BytesMut, stream: u32, end: bool, payload: &[u8]) {
    frame::write(out, kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, payload);
}

/// `:status` 200, from the static table (RFC 7541 appendix A).
const OK: &[u8] = &[0x88];

/// `:status` 400, from the static table.
const BAD_REQUEST: &[u8] = &[0x8c];

/// A `:status` as a literal that is not indexed.
fn status(code: &str) -> Vec<u8> {
    let mut block = vec![0x08, 3];
    block.extend_from_slice(code.as_bytes());
    block
}

/// What became of a stream, without what may differ between splits.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Settled {
    Answered(u16, Bytes, bool),
    Failed(Failure, Fate),
}

/// What became of each stream, in the order of the streams. Each is settled once, and nothing follows the close.
fn settled(events: &[Event]) -> Vec<(u32, Settled)> {
    let mut settled = std::collections::BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let (stream, what) = match event {
            Event::Response { stream, response } => {
                let what = Settled::Answered(response.status, response.body.clone(), response.complete);
                (*stream, what)
            }
            Event::Failed { stream, failure, fate } => (*stream, Settled::Failed(*failure, *fate)),
            Event::Closed(_) => {
                assert_eq!(index + 1, events.len(), "something follows the close: {events:?}");
                continue;
            }
            Event::Settings(_) | Event::GoAway(_) | Event::Pong(_) => continue,
        };
        assert_eq!(settled.insert(stream, what), None, "stream {stream} is settled twice: {events:?}");
    }
    settled.into_iter().collect()
}

fn answered(status: u16, body: &'static str) -> Settled {
    Settled::Answered(status, Bytes::from_static(body.as_bytes()), true)
}

/// The same numbers in each run.
fn random() -> impl FnMut() -> u64 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// A few frames with anything in them.
fn noise(out: &mut BytesMut, random: &mut impl FnMut() -> u64) {
    for _ in 0..1 + random() % 8 {
        let payload: Vec<u8> = (0..random() % 40).map(|_| random().to_be_bytes()[0]).collect();
        let stream = [0, 1, 3, 5, 7][(random() % 5) as usize];
        frame::write(out, (random() % 11) as u8, random().to_be_bytes()[3], stream, &payload);
    }
}
