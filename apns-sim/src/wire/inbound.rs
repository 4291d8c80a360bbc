//! A tap on the inbound bytes: it follows the frames and holds back the few whose content `h2` keeps to itself.

use bytes::{Bytes, BytesMut};

use super::frame::{HEAD, Head, MAX_PAYLOAD, flag, kind};

/// Follows the frames of the client.
///
/// Frames go through as they come, except SETTINGS, PING and GOAWAY: each of these is gathered and given to the
/// connection, which decides whether `h2` gets it.
#[derive(Debug)]
pub(super) struct Tap {
    head: [u8; HEAD],
    head_len: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Through { left: usize },
    Held { head: Head, bytes: BytesMut, left: usize },
}

impl Tap {
    /// For bytes that begin with `preface` bytes that are no frames.
    pub(super) fn new(preface: usize) -> Self {
        Self { head: [0; HEAD], head_len: 0, state: State::Through { left: preface } }
    }

    /// Follows `input` up to the end of the next frame that is held back, or to its own end.
    pub(super) fn next(&mut self, input: &mut &[u8], through: &mut BytesMut) -> Option<(Head, Bytes)> {
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
                        let held = (*head, std::mem::take(bytes).freeze());
                        self.state = State::Head;
                        return Some(held);
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
                    if let Some(held) = self.head_done(through) {
                        return Some(held);
                    }
                }
            }
        }
        None
    }

    fn head_done(&mut self, through: &mut BytesMut) -> Option<(Head, Bytes)> {
        let head = Head::parse(self.head);
        if matches!(head.kind, kind::SETTINGS | kind::PING | kind::GOAWAY) && head.length <= MAX_PAYLOAD {
            let mut bytes = BytesMut::with_capacity(HEAD + head.length);
            bytes.extend_from_slice(&self.head);
            if head.length == 0 {
                return Some((head, bytes.freeze()));
            }
            self.state = State::Held { head, bytes, left: head.length };
            return None;
        }
        // Empty and not the last: it says nothing, but `h2` ends a connection that brings more than a hundred of them in its
        // whole life, and some proxies put one in front of trailers.
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

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    #[test]
    fn frames_that_matter_are_held_and_the_rest_goes_through() {
        let mut bytes = BytesMut::from(frame::PREFACE);
        frame::write_settings(&mut bytes, &[]);
        frame::write(&mut bytes, kind::DATA, 0, 1, b"body");
        frame::write_go_away(&mut bytes, 1, frame::ErrorCode(0), b"why");
        frame::write(&mut bytes, kind::DATA, 0, 1, b"");
        frame::write(&mut bytes, kind::DATA, flag::END_STREAM, 1, b"");
        for split in [1, 7, 1000] {
            let (mut tap, mut held, mut through) = (Tap::new(frame::PREFACE.len()), Vec::new(), BytesMut::new());
            for mut piece in bytes.chunks(split) {
                while let Some((head, frame)) = tap.next(&mut piece, &mut through) {
                    assert_eq!(frame.len(), HEAD + head.length);
                    held.push(head.kind);
                }
            }
            assert_eq!(held, [kind::SETTINGS, kind::GOAWAY]);
            assert_eq!(&through[frame::PREFACE.len()..], b"\0\0\x04\0\0\0\0\0\x01body\0\0\0\0\x01\0\0\0\x01");
        }
    }
}
