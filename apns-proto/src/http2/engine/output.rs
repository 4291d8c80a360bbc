//! The bytes for the peer.

use bytes::BytesMut;

use super::frame::{self, ErrorCode, HEAD, Head, PREFACE, flag, kind};
use crate::machine::CHUNK;

/// Whole frames that wait to be handed out, and how many bytes ever were.
///
/// Only whole frames are handed out. So what waits can be taken back at any time, and a GOAWAY put in its place.
#[derive(Debug)]
pub(super) struct Output {
    waiting: Vec<u8>,
    /// Bytes that are with the transport, or were.
    handed: u64,
    /// How many of them were handed out last.
    last: u64,
    /// Bytes of frames among those that wait which the peer asked for.
    control: usize,
    /// The size of the preface and our first SETTINGS while they wait. They are sent whatever happens.
    start: usize,
    stopped: bool,
}

impl Output {
    /// With the preface and these settings waiting.
    pub(super) fn new(settings: &[(u16, u32)]) -> Self {
        let mut waiting = PREFACE.to_vec();
        frame::write_settings(&mut waiting, settings);
        Self { start: waiting.len(), waiting, handed: 0, last: 0, control: 0, stopped: false }
    }

    /// Appends at most a chunk and tells whether there was anything.
    pub(super) fn hand_out(&mut self, out: &mut BytesMut) -> bool {
        self.last = 0;
        if self.waiting.is_empty() {
            return false;
        }
        let count = if self.waiting.len() <= CHUNK { self.waiting.len() } else { self.whole_frames(CHUNK) };
        out.extend_from_slice(&self.waiting[..count]);
        if count == self.waiting.len() {
            self.waiting.clear();
        } else {
            self.waiting.drain(..count);
        }
        self.start = 0;
        self.last = count as u64;
        self.handed += self.last;
        self.control = self.control.min(self.waiting.len());
        true
    }

    /// The bytes of as many frames as fit, at least one.
    fn whole_frames(&self, room: usize) -> usize {
        let mut end = 0;
        for (at, head) in self.frames() {
            let next = at + HEAD + head.length;
            if end > 0 && next > room {
                break;
            }
            end = next;
        }
        end.min(self.waiting.len())
    }

    /// The frames that wait, and where.
    fn frames(&self) -> impl Iterator<Item = (usize, Head)> + '_ {
        let mut at = if self.start > 0 { PREFACE.len() } else { 0 };
        std::iter::from_fn(move || {
            let head = Head::parse(*self.waiting.get(at..)?.first_chunk::<HEAD>()?);
            let place = at;
            at += HEAD + head.length;
            Some((place, head))
        })
    }

    /// The transport takes nothing more, and did not take the last `unsent` bytes.
    pub(super) fn stop(&mut self, unsent: usize) {
        self.stopped = true;
        self.handed = self.handed.saturating_sub(unsent as u64);
        self.waiting.clear();
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many bytes of frames wait that the peer asked for.
    pub(super) const fn control(&self) -> usize {
        self.control
    }

    /// Where the next frame begins, counted from the start of the connection.
    pub(super) fn position(&self) -> u64 {
        self.handed + self.waiting.len() as u64
    }

    /// Whether the transport got everything before this position.
    pub(super) const fn has_left(&self, position: u64) -> bool {
        position <= self.handed
    }

    /// Whether what ends at this position ended among the bytes that were handed out last.
    pub(super) const fn ended_last(&self, position: u64) -> bool {
        position <= self.handed && position > self.handed.saturating_sub(self.last)
    }

    /// Where frames are written. What is appended must be whole frames.
    pub(super) const fn frames_mut(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Appends a frame of our own accord.
    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if !self.stopped {
            frame::write(&mut self.waiting, kind, flags, stream, payload);
        }
    }

    /// Appends a frame that the peer asked for, in one way or another.
    pub(super) fn answer(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.control += HEAD + payload.len();
        self.frame(kind, flags, stream, payload);
    }

    /// Appends GOAWAY.
    pub(super) fn go_away(&mut self, code: ErrorCode) {
        if !self.stopped {
            frame::write_go_away(&mut self.waiting, 0, code, &[]);
        }
    }

    /// Drops what waits, except the start.
    pub(super) fn clear(&mut self) {
        self.waiting.truncate(self.start);
        self.control = 0;
    }

    /// Sees to it that the request of this stream does not end with the bytes that wait, so that it never is whole. Says
    /// whether its beginning is among them.
    ///
    /// The frames stay: a header block may have put something in the table that a later one names.
    pub(super) fn withdraw(&mut self, stream: u32) -> bool {
        let mut begins = false;
        let mut of_stream = Vec::new();
        for (at, head) in self.frames() {
            if head.stream == stream && matches!(head.kind, kind::HEADERS | kind::DATA) {
                begins |= head.kind == kind::HEADERS;
                of_stream.push(at);
            }
        }
        for at in of_stream {
            self.waiting[at + 4] &= !flag::END_STREAM;
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_are_handed_out() {
        let mut output = Output::new(&[]);
        let mut out = BytesMut::new();
        output.frame(kind::PING, 0, 0, &[0; 8]);
        output.clear();
        assert!(output.hand_out(&mut out));
        assert_eq!(&out[..], [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat());
        for _ in 0..4 {
            output.frame(kind::DATA, 0, 1, &vec![b'x'; CHUNK / 2]);
        }
        output.frame(kind::PING, 0, 0, &[0; 8]);
        let mut pieces = Vec::new();
        loop {
            out.clear();
            if !output.hand_out(&mut out) {
                break;
            }
            pieces.push(out.len());
        }
        let frame = HEAD + CHUNK / 2;
        assert_eq!(pieces, [frame, frame, frame, frame + HEAD + 8]);
        assert_eq!(output.position(), (PREFACE.len() + HEAD + pieces.iter().sum::<usize>()) as u64);
    }

    #[test]
    fn what_the_transport_did_not_take_has_not_left() {
        let mut output = Output::new(&[]);
        output.hand_out(&mut BytesMut::new());
        output.frame(kind::PING, 0, 0, &[0; 8]);
        let end = output.position();
        assert!(!output.has_left(end));
        output.hand_out(&mut BytesMut::new());
        assert!(output.has_left(end));
        output.stop(1);
        assert!(!output.has_left(end) && output.has_left(end - 1));
        output.frame(kind::PING, 0, 0, &[0; 8]);
        output.go_away(ErrorCode::NO_ERROR);
        assert!(!output.hand_out(&mut BytesMut::new()), "nothing can be written any more");
    }

    #[test]
    fn a_request_that_is_withdrawn_does_not_end() {
        let mut output = Output::new(&[]);
        output.frame(kind::HEADERS, flag::END_HEADERS, 1, b"abc");
        output.frame(kind::DATA, flag::END_STREAM, 1, b"body");
        output.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, b"abc");
        assert!(output.withdraw(1));
        assert!(!output.withdraw(5));
        let ends: Vec<_> = output.frames().filter(|(_, head)| head.has(flag::END_STREAM)).collect();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0].1.stream, 3);
    }
}
