//! Watches a client of HTTP/2 from where its bytes leave and arrive: what it may do is counted here a second time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use apns_proto::LinkId;

use super::providers::Book;
use super::timeline::{Timeline, Turn};
use super::world::Watch;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

/// The code of a reset that says that nothing was looked at (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;

/// END_STREAM, and ACK on SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// `:status: 100`, as a literal that goes into no table (RFC 7541 section 6.2.2): what an interim answer is here.
pub(crate) const INTERIM: &[u8] = b"\x08\x03100";

pub(crate) const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// A frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn number(&self) -> u32 {
        self.payload.first_chunk::<4>().map_or(0, |number| u32::from_be_bytes(*number) & 0x7fff_ffff)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// Puts frames together from pieces.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    skip: usize,
    bytes: Vec<u8>,
}

impl Frames {
    /// Of a client, whose preface comes first.
    pub(crate) fn of_client() -> Self {
        Self { skip: PREFACE, bytes: Vec::new() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = *self.bytes.first_chunk::<9>()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = self.bytes.get(9..9 + length)?.to_vec();
        self.bytes.drain(..9 + length);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// The state of one connection as its frames tell it.
#[derive(Debug)]
pub(crate) struct Http2Watch {
    link: LinkId,
    book: Rc<RefCell<Book>>,
    timeline: Timeline,
    up: Frames,
    down: Frames,
    open: BTreeMap<u32, Open>,
    /// Streams that the client reset.
    reset: BTreeSet<u32>,
    /// Streams that were answered before the client had sent their body.
    half_closed: BTreeSet<u32>,
    last_stream: u32,
    /// SETTINGS that the client has read and not acknowledged.
    settings: VecDeque<Vec<(u16, u32)>>,
    greeted: bool,
    stream_limit: u32,
    initial_window: i64,
    window: i64,
    /// An answer that is no refusal of the credential was read.
    taken: bool,
    refused: bool,
    /// The client said GOAWAY.
    gone: bool,
    over: bool,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    window: i64,
    answered: bool,
    /// The body, or a part of it, has not left.
    unsent: bool,
}

impl Http2Watch {
    pub(crate) fn new(link: LinkId, book: Rc<RefCell<Book>>, timeline: Timeline) -> Self {
        Self {
            link,
            book,
            timeline,
            up: Frames::of_client(),
            down: Frames::default(),
            open: BTreeMap::new(),
            reset: BTreeSet::new(),
            half_closed: BTreeSet::new(),
            last_stream: 0,
            settings: VecDeque::new(),
            greeted: false,
            stream_limit: u32::MAX,
            initial_window: 65_535,
            window: 65_535,
            taken: false,
            refused: false,
            gone: false,
            over: false,
        }
    }

    fn sends(&mut self, now: Instant, frame: &Frame) {
        let Frame { stream, .. } = *frame;
        let told = || format!("link {}, stream {stream}", self.link);
        assert!(!self.gone, "something follows GOAWAY: {}", told());
        assert!(stream == 0 || !self.reset.contains(&stream), "something follows RST_STREAM: {}", told());
        match frame.kind {
            kind::HEADERS => {
                assert!(self.greeted, "a request before SETTINGS: {}", told());
                assert!(stream % 2 == 1 && stream > self.last_stream, "not a new stream: {}", told());
                assert!(self.taken || self.open.is_empty(), "two before the credential was taken: {}", told());
                assert!(!self.refused, "a request behind a refusal of the credential: {}", told());
                assert!(self.open.len() < self.stream_limit as usize, "more streams than allowed: {}", told());
                self.last_stream = stream;
                let unsent = !frame.has(END_STREAM);
                self.open.insert(stream, Open { since: now, window: self.initial_window, answered: false, unsent });
                self.timeline.push(now, Turn::Requested(self.link));
            }
            kind::DATA => {
                if frame.has(END_STREAM) {
                    self.half_closed.remove(&stream);
                }
                let size = frame.payload.len() as i64;
                self.window -= size;
                assert!(self.window >= 0, "more than the connection's window: {}", told());
                if let Some(open) = self.open.get_mut(&stream) {
                    open.window -= size;
                    assert!(open.window >= 0 || size == 0, "more than the stream's window: link {}", self.link);
                    open.unsent = !frame.has(END_STREAM);
                    if open.unsent && open.window == 0 {
                        self.book.borrow_mut().happens("a body stops at a window");
                    }
                }
            }
            kind::RST_STREAM => {
                assert!(stream <= self.last_stream, "a reset of a stream that never was: {}", told());
                if self.open.get(&stream).is_some_and(|open| open.unsent && open.window <= 0) {
                    self.book.borrow_mut().happens("a window that never opened");
                }
                self.reset.insert(stream);
                self.half_closed.remove(&stream);
                self.close(now, stream);
            }
            kind::SETTINGS if frame.has(END_STREAM) => self.apply_settings(),
            kind::WINDOW_UPDATE => assert!(frame.number() > 0, "an update by nothing: {}", told()),
            kind::GOAWAY => {
                self.gone = true;
                if frame.payload.get(4..8).is_some_and(|code| code != [0; 4]) {
                    self.book.borrow_mut().accused.push(self.link);
                }
            }
            _ => {}
        }
    }

    fn apply_settings(&mut self) {
        let settings = self.settings.pop_front().expect("what is acknowledged was said");
        for (name, value) in settings {
            match name {
                3 => self.stream_limit = value,
                4 => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window += change;
                    self.open.values_mut().for_each(|open| open.window += change);
                }
                _ => {}
            }
        }
    }

    fn reads(&mut self, now: Instant, arrived: Instant, frame: &Frame) {
        let Frame { stream, .. } = *frame;
        if frame.has(PADDED) && matches!(frame.kind, kind::HEADERS | kind::DATA) {
            let whole = frame.payload.first().is_some_and(|padding| frame.payload.len() == usize::from(*padding) + 1);
            self.book.borrow_mut().happens(if whole { "padding and nothing else" } else { "padding" });
        }
        match frame.kind {
            kind::HEADERS if frame.payload.ends_with(INTERIM) => self.book.borrow_mut().happens("an interim answer"),
            kind::HEADERS => {
                match self.open.get_mut(&stream) {
                    Some(open) => open.answered = true,
                    None if self.reset.contains(&stream) => {
                        self.book.borrow_mut().happens("header block of a dead stream");
                    }
                    None => {}
                }
                self.ends(now, arrived, frame);
            }
            kind::DATA => self.ends(now, arrived, frame),
            kind::RST_STREAM => {
                self.half_closed.remove(&stream);
                let refused = frame.number() == REFUSED_STREAM;
                if !refused && self.open.get(&stream).is_some_and(|open| !open.answered) {
                    self.book.borrow_mut().broken_off.push((self.link, stream));
                }
                self.close(now, stream);
            }
            kind::SETTINGS if !frame.has(END_STREAM) => {
                self.greeted = true;
                let setting = |bytes: &[u8]| {
                    let [a, b, c, d, e, f] = *bytes else { return (0, 0) };
                    (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
                };
                self.settings.push_back(frame.payload.chunks(6).map(setting).collect());
                if !self.open.is_empty() {
                    self.book.borrow_mut().happens("settings in mid-flight");
                }
            }
            kind::WINDOW_UPDATE if stream == 0 => self.window += i64::from(frame.number()),
            kind::WINDOW_UPDATE => {
                if let Some(open) = self.open.get_mut(&stream) {
                    open.window += i64::from(frame.number());
                }
            }
            kind::GOAWAY => {
                for stream in self.open.keys().copied().filter(|open| *open > frame.number()).collect::<Vec<_>>() {
                    self.close(now, stream);
                }
            }
            _ => {}
        }
    }

    /// A frame of an answer, perhaps the last.
    fn ends(&mut self, now: Instant, arrived: Instant, frame: &Frame) {
        if frame.has(END_STREAM) {
            if self.open.get(&frame.stream).is_none_or(|open| open.answered) {
                let arrived = self.timeline.since_begin(arrived);
                self.book.borrow_mut().answers.entry((self.link, frame.stream)).or_insert(arrived);
            }
            if self.open.get(&frame.stream).is_some_and(|open| open.unsent) {
                self.half_closed.insert(frame.stream);
            }
            self.close(now, frame.stream);
        }
    }

    /// A stream is over for the client, in one way or another.
    fn close(&mut self, now: Instant, stream: u32) {
        let Some(open) = self.open.remove(&stream) else { return };
        let book = self.book.borrow_mut();
        if !open.answered {
            return;
        }
        // A 429 whose reason was cut off may be about anything.
        let whole = book.answers.contains_key(&(self.link, stream));
        if book.refusing.get(&(self.link, stream)).is_some_and(|status| *status == 403 || whole) {
            self.refused = true;
            self.timeline.push(now, Turn::CredentialRefused(self.link));
        } else {
            self.taken = true;
            self.timeline.push(now, Turn::CredentialTaken(self.link));
        }
    }
}

impl Watch for Http2Watch {
    fn handed(&mut self, now: Instant, bytes: &[u8]) {
        self.up.push(bytes);
        while let Some(frame) = self.up.next() {
            self.sends(now, &frame);
        }
        // What the client gave up meanwhile, it has said now.
        if bytes.is_empty() && !self.over {
            assert!(self.half_closed.is_empty(), "what nobody wants is not reset: {:?}", self.half_closed);
            let mut book = self.book.borrow_mut();
            for (stream, open) in &self.open {
                let (since, until) = (self.timeline.since_begin(open.since), self.timeline.since_begin(now));
                if until - since > book.request_timeout {
                    book.overdue.push((self.link, *stream, since, until));
                }
            }
        }
    }

    fn read(&mut self, now: Instant, arrived: Instant, bytes: &[u8]) {
        if self.over {
            return;
        }
        self.down.push(bytes);
        while let Some(frame) = self.down.next() {
            self.reads(now, arrived, &frame);
        }
    }

    fn over(&mut self, now: Instant) {
        self.over = true;
        for stream in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(now, stream);
        }
    }
}
