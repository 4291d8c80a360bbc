//! What a service may do to its frames that a decent HTTP/2 library does not: it stands between the service and the network.

use std::collections::BTreeSet;
use std::time::Instant;

use apns_proto::{End, Machine, Now, Transmit};
use bytes::BytesMut;

use super::dice::Dice;
use super::http2_watch::{END_HEADERS, END_STREAM, Frame, Frames, INTERIM, PADDED, PREFACE, kind};

/// What is done to the frames of one connection.
#[derive(Debug, Clone)]
pub(crate) struct FrameFaults {
    pub(crate) dice: Dice,
    /// Frames are padded, and some are nothing but padding.
    pub(crate) pads: bool,
    /// An interim answer comes before some.
    pub(crate) interim: bool,
    /// Header blocks come on streams that are over.
    pub(crate) dead_blocks: bool,
    /// The first window of each stream.
    pub(crate) window: Option<u32>,
    /// No window is ever opened further; otherwise by as much as came.
    pub(crate) shut: bool,
    /// Each request is looked at before its body came, and the body is thrown away.
    pub(crate) early: bool,
}

impl FrameFaults {
    /// With `harmless`, only what keeps nobody from answering everything.
    pub(crate) fn new(dice: &mut Dice, harmless: bool) -> Self {
        let window = dice.one_in(2).then(|| dice.of(&[0, 0, 1, 30, 400]));
        let early = window.is_some() && dice.one_in(2);
        Self {
            pads: dice.one_in(2),
            interim: dice.one_in(4),
            dead_blocks: dice.one_in(3),
            window,
            shut: window.is_some() && (early || !harmless) && dice.one_in(2),
            early,
            dice: dice.split(),
        }
    }
}

/// A service, and what is done to its frames.
#[derive(Debug)]
pub(crate) struct Faulty<M> {
    service: M,
    faults: Option<FrameFaults>,
    preface: usize,
    up: Frames,
    down: Frames,
    /// Streams whose body is thrown away.
    early: BTreeSet<u32>,
    /// What the service's library knows nothing of.
    extra: Vec<Frame>,
}

impl<M> Faulty<M> {
    pub(crate) fn new(service: M, faults: Option<FrameFaults>) -> Self {
        Self {
            service,
            faults,
            preface: PREFACE,
            up: Frames::default(),
            down: Frames::default(),
            early: BTreeSet::new(),
            extra: Vec::new(),
        }
    }
}

impl FrameFaults {
    /// A frame of the client. Gives what the service gets to see.
    fn of_client(&mut self, frame: Frame, early: &mut BTreeSet<u32>, extra: &mut Vec<Frame>) -> Vec<Frame> {
        let Frame { kind, stream, .. } = frame;
        let opens = |stream, by: usize| Frame::new(kind::WINDOW_UPDATE, 0, stream, &(by as u32).to_be_bytes());
        match kind {
            kind::HEADERS if !frame.has(END_STREAM) => {
                if self.early {
                    early.insert(stream);
                    return vec![frame, Frame::new(kind::DATA, END_STREAM, stream, b"")];
                }
                if !self.shut && self.window.is_some() {
                    extra.push(opens(stream, 7));
                }
            }
            kind::DATA => {
                let size = frame.payload.len();
                if early.contains(&stream) {
                    if !self.shut && size > 0 {
                        extra.push(opens(0, size));
                    }
                    return Vec::new();
                }
                if !self.shut && self.window.is_some() && size > 0 && !frame.has(END_STREAM) {
                    extra.push(opens(stream, size));
                }
            }
            kind::RST_STREAM if self.dead_blocks => self.block(stream, extra),
            _ => {}
        }
        vec![frame]
    }

    /// A frame of the service. Gives what the client gets to see.
    fn of_service(&mut self, frame: Frame, extra: &mut Vec<Frame>) -> Vec<Frame> {
        let mut frames = Vec::new();
        match frame.kind {
            kind::WINDOW_UPDATE if self.shut => return frames,
            kind::HEADERS if self.interim && self.dice.one_in(2) => {
                frames.push(Frame::new(kind::HEADERS, END_HEADERS, frame.stream, INTERIM));
            }
            kind::DATA if self.pads && frame.payload.len() < 200 => {
                for _ in 0..self.dice.below(3) {
                    frames.push(padded(Frame::new(kind::DATA, 0, frame.stream, b""), self.dice.below(256) as u8));
                }
            }
            _ => {}
        }
        if self.dead_blocks && frame.has(END_STREAM) && matches!(frame.kind, kind::HEADERS | kind::DATA) {
            self.block(frame.stream, extra);
        }
        // Long ones would not fit into the windows with it.
        let pads = self.pads && frame.payload.len() < 200 && matches!(frame.kind, kind::HEADERS | kind::DATA);
        frames.push(if pads { padded(frame, self.dice.below(256) as u8) } else { frame });
        frames
    }

    /// A header block, of a kind that changes no table, for a stream that is over.
    fn block(&mut self, stream: u32, extra: &mut Vec<Frame>) {
        if self.dice.one_in(2) {
            let end = if self.dice.one_in(2) { END_STREAM } else { 0 };
            // `:status: 200`, from the static table.
            extra.push(Frame::new(kind::HEADERS, END_HEADERS | end, stream, b"\x88"));
        }
    }
}

fn padded(frame: Frame, count: u8) -> Frame {
    let mut payload = vec![count];
    payload.extend(frame.payload);
    payload.extend(vec![0; count.into()]);
    Frame { flags: frame.flags | PADDED, payload, ..frame }
}

impl<M: Machine> Machine for Faulty<M> {
    type Event = M::Event;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        let Some(faults) = &mut self.faults else { return self.service.handle_input(now, bytes) };
        let (preface, frames) = bytes.split_at(self.preface.min(bytes.len()));
        self.preface -= preface.len();
        if !preface.is_empty() {
            self.service.handle_input(now, preface);
        }
        self.up.push(frames);
        while let Some(frame) = self.up.next() {
            for frame in faults.of_client(frame, &mut self.early, &mut self.extra) {
                self.service.handle_input(now, &frame.bytes());
            }
        }
    }

    fn handle_end(&mut self, now: Now, end: End) {
        self.service.handle_end(now, end);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        self.service.handle_write_failure(now, unsent);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.service.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        let Some(faults) = &mut self.faults else { return self.service.poll_transmit(now, out) };
        let before = out.len();
        let mut plain = BytesMut::new();
        let mut transmit = self.service.poll_transmit(now, &mut plain);
        self.down.push(&plain);
        while let Some(frame) = self.down.next() {
            for frame in faults.of_service(frame, &mut self.extra) {
                out.extend_from_slice(&frame.bytes());
            }
        }
        for frame in self.extra.drain(..) {
            out.extend_from_slice(&frame.bytes());
        }
        if transmit == Transmit::Idle && out.len() > before {
            transmit = Transmit::Ready;
        }
        transmit
    }

    fn poll_event(&mut self) -> Option<M::Event> {
        self.service.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.service.poll_timeout()
    }
}
