//! A tap on the inbound bytes: it follows the frames and holds back the few whose content the engine keeps to itself.

use bytes::{Bytes, BytesMut};

use super::frame::{HEAD, Head, MAX_PAYLOAD, flag, kind};

/// Follows the frames of the peer.
///
/// Frames go through as they come, except SETTINGS, PING and GOAWAY: each of these is gathered and given to the
/// connection, which decides whether the engine gets it.
#[derive(Debug)]
pub(super) struct Tap {
    head: [u8; HEAD],
    head_len: usize,
    state: State,
    /// The first frame must be SETTINGS (RFC 9113 section 3.4), and has not come yet.
    first: bool,
    /// The first of our own streams that was not opened yet.
    idle: u32,
}

#[derive(Debug)]
enum State {
    Head,
    Through { left: usize },
    Held { head: Head, bytes: BytesMut, left: usize },
}

/// What the tap found.
#[derive(Debug)]
pub(super) enum Seen {
    /// The peer's first bytes are not a SETTINGS frame.
    Foreign(Vec<u8>),
    /// A frame that was held back, whole.
    Frame(Head, Bytes),
    /// A frame on a stream of ours that was never opened. The engine would be led to skip identifiers by some of them, up to
    /// the last.
    Idle,
}

impl Tap {
    /// For bytes of a server.
    pub(super) fn of_server() -> Self {
        Self { head: [0; HEAD], head_len: 0, state: State::Head, first: true, idle: 1 }
    }

    /// For bytes of a client, which begin with `preface` bytes that are no frames.
    #[cfg(feature = "server")]
    pub(super) fn of_client(preface: usize) -> Self {
        // A server opens none: what is a stream of its own, the engine judges.
        let idle = super::frame::MAX_STREAM + 1;
        Self { head: [0; HEAD], head_len: 0, state: State::Through { left: preface }, first: false, idle }
    }

    /// All of our streams below this one were opened.
    pub(super) const fn opened(&mut self, next: u32) {
        self.idle = next;
    }

    /// Follows `input` up to the end of the next frame that matters, or to its own end.
    pub(super) fn next(&mut self, input: &mut &[u8], through: &mut BytesMut) -> Option<Seen> {
        while !input.is_empty() {
            match &mut self.state {
                State::Through { left } => {
                    let (now, later) = input.split_at((*left).min(input.len()));
                    through.extend_from_slice(now);
                    *input = later;
                    *left -= now.len();
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Held { head, bytes, left } => {
                    let (now, later) = input.split_at((*left).min(input.len()));
                    bytes.extend_from_slice(now);
                    *input = later;
                    *left -= now.len();
                    if *left == 0 {
                        let seen = Seen::Frame(*head, std::mem::take(bytes).freeze());
                        self.state = State::Head;
                        return Some(seen);
                    }
                }
                State::Head => {
                    let count = (HEAD - self.head_len).min(input.len());
                    let (now, later) = input.split_at(count);
                    self.head[self.head_len..self.head_len + count].copy_from_slice(now);
                    self.head_len += count;
                    *input = later;
                    if self.head_len < HEAD {
                        break;
                    }
                    self.head_len = 0;
                    if let Some(seen) = self.head_done(through) {
                        return Some(seen);
                    }
                }
            }
        }
        None
    }

    /// The peer's first bytes, when it ended within them and they are not how a SETTINGS frame begins. A connection that
    /// breaks inside that frame says nothing about what the peer speaks.
    pub(super) fn unfinished_start(&self) -> Option<Vec<u8>> {
        let came = &self.head[..self.head_len];
        // What did not come is as it should be.
        let mut head = [0, 0, 0, kind::SETTINGS, 0, 0, 0, 0, 0];
        head[..self.head_len].copy_from_slice(came);
        let whole_length = self.head_len >= 3;
        let possible = Head::parse(head);
        (self.first && !came.is_empty() && !is_greeting(possible, whole_length)).then(|| came.to_vec())
    }

    fn head_done(&mut self, through: &mut BytesMut) -> Option<Seen> {
        let head = Head::parse(self.head);
        if self.first {
            if !is_greeting(head, true) {
                return Some(Seen::Foreign(self.head.to_vec()));
            }
            self.first = false;
        }
        if matches!(head.kind, kind::SETTINGS | kind::PING | kind::GOAWAY) && head.length <= MAX_PAYLOAD {
            let mut bytes = BytesMut::with_capacity(HEAD + head.length);
            bytes.extend_from_slice(&self.head);
            if head.length == 0 {
                return Some(Seen::Frame(head, bytes.freeze()));
            }
            self.state = State::Held { head, bytes, left: head.length };
            return None;
        }
        // RFC 9113 section 5.1, "idle". What is a priority may come there.
        let on_stream = matches!(
            head.kind,
            kind::DATA | kind::HEADERS | kind::RST_STREAM | kind::WINDOW_UPDATE | kind::CONTINUATION
        );
        if on_stream && head.stream % 2 == 1 && head.stream >= self.idle {
            return Some(Seen::Idle);
        }
        // Empty and not the last: it says nothing, but the engine ends a connection that brings more than a hundred of
        // them in its whole life, and some proxies put one in front of trailers.
        if head.kind == kind::DATA && head.length == 0 && !head.has(flag::END_STREAM) && head.stream != 0 {
            return None;
        }
        through.extend_from_slice(&self.head);
        if head.length > 0 {
            self.state = State::Through { left: head.length };
        }
        None
    }
}

/// Whether a frame with this header may be a server's first (RFC 9113 section 3.4).
fn is_greeting(head: Head, whole_length: bool) -> bool {
    head.kind == kind::SETTINGS
        && head.flags & flag::ACK == 0
        && head.stream == 0
        && (!whole_length || head.length.is_multiple_of(6))
        && head.length <= MAX_PAYLOAD
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    fn follow(bytes: &[u8], split: usize) -> (Vec<Head>, BytesMut, Option<Vec<u8>>) {
        let mut tap = Tap::of_server();
        tap.opened(3);
        let (mut seen, mut through, mut foreign) = (Vec::new(), BytesMut::new(), None);
        'all: for mut piece in bytes.chunks(split) {
            while let Some(found) = tap.next(&mut piece, &mut through) {
                match found {
                    Seen::Frame(head, bytes) => {
                        assert_eq!(bytes.len(), HEAD + head.length);
                        seen.push(head);
                    }
                    Seen::Foreign(bytes) => {
                        foreign = Some(bytes);
                        break 'all;
                    }
                    Seen::Idle => panic!("stream 1 was opened"),
                }
            }
        }
        (seen, through, foreign)
    }

    #[test]
    fn frames_that_matter_are_held_and_the_rest_goes_through() {
        let mut bytes = BytesMut::new();
        frame::write_settings(&mut bytes, &[]);
        frame::write(&mut bytes, kind::DATA, 0, 1, b"body");
        frame::write_go_away(&mut bytes, 1, frame::ErrorCode::NO_ERROR, b"why");
        frame::write(&mut bytes, kind::DATA, 0, 1, b"");
        frame::write(&mut bytes, kind::DATA, flag::END_STREAM, 1, b"");
        for split in [1, 7, 1000] {
            let (seen, through, foreign) = follow(&bytes, split);
            assert_eq!(seen.iter().map(|head| head.kind).collect::<Vec<_>>(), [kind::SETTINGS, kind::GOAWAY]);
            assert_eq!(&through[..], b"\0\0\x04\0\0\0\0\0\x01body\0\0\0\0\x01\0\0\0\x01");
            assert_eq!(foreign, None);
        }
    }

    #[test]
    fn b115_other_first_bytes_are_told() {
        for split in [1, 7, 1000] {
            let (_, through, foreign) = follow(b"HTTP/1.1 400 Bad Request\r\n\r\n", split);
            assert_eq!(foreign.as_deref(), Some(&b"HTTP/1.1 "[..]));
            assert!(through.is_empty());
        }
    }
    #[test]
    fn an_end_inside_the_first_frame_says_nothing_about_what_the_peer_speaks() {
        let ended_with = |bytes: &[u8]| {
            let mut tap = Tap::of_server();
            assert!(tap.next(&mut &*bytes, &mut BytesMut::new()).is_none());
            tap.unfinished_start()
        };
        let mut greeting = BytesMut::new();
        frame::write_settings(&mut greeting, &[(3, 100)]);
        for end in 0..HEAD {
            assert_eq!(ended_with(&greeting[..end]), None, "{end} bytes");
        }
        for foreign in [&b"H"[..], b"HTTP/1.1", b"\x15\x03", b"\0\0\0\0", b"\0\0\x05\x04", b"\0\x41", b"\0\0\0\x04\x01"]
        {
            assert_eq!(ended_with(foreign).as_deref(), Some(foreign));
        }
    }
}
