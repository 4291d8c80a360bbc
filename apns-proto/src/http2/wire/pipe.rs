//! The memory between the engine and the caller: one queue of bytes in each direction.
//!
//! The engine owns one end as its "socket", the connection around it keeps the other. Both are used by turns on one
//! thread, so the lock between them is never waited for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{HEAD, Head, flag, kind};

/// Both queues.
#[derive(Debug)]
pub(super) struct Pipe {
    /// From the peer, not yet read by the engine.
    pub(super) inbound: BytesMut,
    /// The peer will send nothing more.
    pub(super) ended: bool,
    /// For the peer.
    pub(super) outbound: Outbound,
}

/// One end of the pipe.
#[derive(Debug, Clone)]
pub(super) struct Io(Arc<Mutex<Pipe>>);

impl Io {
    /// A pipe whose outbound side begins with `preface` bytes that are no frames.
    pub(super) fn new(preface: usize) -> Self {
        Self(Arc::new(Mutex::new(Pipe { inbound: BytesMut::new(), ended: false, outbound: Outbound::new(preface) })))
    }

    /// The pipe itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, Pipe> {
        // Nothing under this lock panics half way through a change, so what a poisoned lock holds is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Neither side keeps a waker: the engine is polled whenever bytes were put in, and a write never waits.

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.lock();
        let count = pipe.inbound.len().min(buf.remaining());
        if count == 0 {
            return if pipe.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        buf.put_slice(&pipe.inbound[..count]);
        pipe.inbound.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().outbound.push(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The bytes for the peer, and what is known about how far they got.
///
/// A write into it never waits, so after each poll the engine holds nothing back but what flow control holds back, and
/// the queue ends at the edge of a frame. What keeps it short is that the connection takes new requests only while
/// there is less than a chunk in it.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: BytesMut,
    /// Bytes handed out since the beginning. The queue's first byte has this position.
    handed: u64,
    /// Set when writing is over: how many bytes the transport took since the beginning.
    stopped: Option<u64>,
    head: [u8; HEAD],
    head_len: usize,
    frame: Option<Head>,
    skip: usize,
    /// A header block with END_STREAM that goes on in CONTINUATION frames: stream and position of the flags.
    block: Option<(u32, u64)>,
    ends: Vec<EndFrame>,
    control: usize,
}

/// Where in the outbound bytes a stream's last frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndFrame {
    pub(super) stream: u32,
    flags_at: u64,
    end: u64,
}

impl Outbound {
    fn new(preface: usize) -> Self {
        Self {
            queue: BytesMut::new(),
            handed: 0,
            stopped: None,
            head: [0; HEAD],
            head_len: 0,
            frame: None,
            skip: preface,
            block: None,
            ends: Vec::new(),
            control: 0,
        }
    }

    /// Appends bytes of the engine, or whole frames of our own between two of the engine's.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.stopped.is_some() {
            return;
        }
        let mut at = self.handed + self.queue.len() as u64;
        self.queue.extend_from_slice(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(rest.len());
                rest = &rest[count..];
                at += count as u64;
                self.skip -= count;
                if self.skip == 0 {
                    self.frame_done(at);
                }
                continue;
            }
            let count = (HEAD - self.head_len).min(rest.len());
            self.head[self.head_len..self.head_len + count].copy_from_slice(&rest[..count]);
            self.head_len += count;
            rest = &rest[count..];
            at += count as u64;
            if self.head_len == HEAD {
                self.head_len = 0;
                self.head_done(Head::parse(self.head), at);
            }
        }
    }

    /// Appends bytes that need not be frames at all.
    #[cfg(feature = "server")]
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        if self.stopped.is_none() {
            self.queue.extend_from_slice(bytes);
        }
    }

    /// Moves at most `most` bytes to `out`.
    pub(super) fn hand_out(&mut self, most: usize, out: &mut BytesMut) -> bool {
        let count = self.queue.len().min(most);
        if out.is_empty() && count == self.queue.len() {
            // All of it, into a buffer that goes to and fro: nothing is copied.
            std::mem::swap(out, &mut self.queue);
        } else {
            out.extend_from_slice(&self.queue[..count]);
            self.queue.advance(count);
        }
        self.handed += count as u64;
        if self.queue.is_empty() {
            self.control = 0;
        }
        count > 0
    }

    /// Writing is over; the last `unsent` of the bytes handed out were never taken.
    pub(super) fn stop(&mut self, unsent: usize) {
        if self.stopped.is_none() {
            self.stopped = Some(self.handed.saturating_sub(unsent as u64));
            self.queue = BytesMut::new();
            self.control = 0;
        }
    }

    /// Whether a stream's last frame may have reached the peer, or still will.
    ///
    /// A frame still here is made harmless by taking its END_STREAM flag away: the request is never complete then,
    /// whatever becomes of the stream. Compression state is not touched by that.
    pub(super) fn may_have_left(&mut self, frame: Option<EndFrame>) -> bool {
        let Some(frame) = frame else { return false };
        if let Some(taken) = self.stopped {
            return frame.end <= taken;
        }
        let Some(index) = frame.flags_at.checked_sub(self.handed) else { return true };
        let flags = usize::try_from(index).ok().and_then(|index| self.queue.get_mut(index));
        if let Some(flags) = flags {
            *flags &= !flag::END_STREAM;
        }
        false
    }

    /// The last frames of streams that were written since this was asked before.
    pub(super) fn take_ends(&mut self) -> Vec<EndFrame> {
        std::mem::take(&mut self.ends)
    }

    /// Bytes waiting here.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Throws away what is waiting, which must be whole frames.
    #[cfg(feature = "server")]
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Bytes of frames other than requests and answers since this was last empty. What a peer can make grow by
    /// talking without reading.
    pub(super) fn control(&self) -> usize {
        self.control
    }

    /// Whether writing is over.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    fn head_done(&mut self, head: Head, at: u64) {
        let flags_at = at - HEAD as u64 + 4;
        if head.has(flag::END_STREAM) && matches!(head.kind, kind::DATA | kind::HEADERS) {
            self.block = Some((head.stream, flags_at));
        }
        self.frame = Some(head);
        self.skip = head.length;
        if self.skip == 0 {
            self.frame_done(at);
        }
    }

    fn frame_done(&mut self, end: u64) {
        // There is none after the preface.
        let Some(head) = self.frame.take() else { return };
        let whole = match head.kind {
            kind::DATA => true,
            kind::HEADERS | kind::CONTINUATION => head.has(flag::END_HEADERS),
            _ => {
                self.control += HEAD + head.length;
                return;
            }
        };
        if whole && let Some((stream, flags_at)) = self.block.take() {
            self.ends.push(EndFrame { stream, flags_at, end });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    fn outbound(frames: &[(u8, u8, u32, &[u8])], split: usize) -> Outbound {
        let mut bytes = BytesMut::new();
        for &(kind, flags, stream, payload) in frames {
            frame::write(&mut bytes, kind, flags, stream, payload);
        }
        let mut outbound = Outbound::new(0);
        for piece in bytes.chunks(split) {
            outbound.push(piece);
        }
        outbound
    }

    #[test]
    fn the_last_frame_of_each_stream_is_found_however_the_bytes_come() {
        let frames: &[(u8, u8, u32, &[u8])] = &[
            (kind::HEADERS, flag::END_HEADERS, 1, b"head"),
            (kind::HEADERS, flag::END_STREAM, 3, b"head of a request without a body"),
            (kind::CONTINUATION, flag::END_HEADERS, 3, b"more"),
            (kind::DATA, 0, 1, b"first"),
            (kind::DATA, flag::END_STREAM, 1, b""),
        ];
        for split in [1, 7, 1000] {
            let mut outbound = outbound(frames, split);
            let streams: Vec<_> = outbound.take_ends().iter().map(|end| (end.stream, end.end)).collect();
            assert_eq!(streams, [(3, 13 + 41 + 13), (1, 13 + 41 + 13 + 14 + 9)]);
        }
    }

    #[test]
    fn a_frame_still_here_is_made_harmless() {
        let mut outbound = outbound(&[(kind::DATA, flag::END_STREAM, 1, b"body")], 100);
        let end = outbound.take_ends().pop();
        let mut out = BytesMut::new();
        outbound.hand_out(4, &mut out);
        assert!(!outbound.may_have_left(end), "the flags are still here");
        outbound.hand_out(100, &mut out);
        assert_eq!(&out[..], b"\0\0\x04\0\0\0\0\0\x01body");
    }

    #[test]
    fn a_frame_whose_flags_are_gone_counts_as_sent() {
        let mut outbound = outbound(&[(kind::DATA, flag::END_STREAM, 1, b"body")], 100);
        let end = outbound.take_ends().pop();
        outbound.hand_out(5, &mut BytesMut::new());
        assert!(outbound.may_have_left(end));
    }

    #[test]
    fn b15_after_a_failed_write_only_what_was_wholly_taken_counts() {
        let frames: &[(u8, u8, u32, &[u8])] =
            &[(kind::DATA, flag::END_STREAM, 1, b"body"), (kind::DATA, flag::END_STREAM, 3, b"body")];
        for (unsent, third) in [(0, true), (1, false), (13, false)] {
            let mut outbound = outbound(frames, 100);
            let ends = outbound.take_ends();
            outbound.hand_out(100, &mut BytesMut::new());
            outbound.stop(unsent);
            assert!(outbound.may_have_left(Some(ends[0])));
            assert_eq!(outbound.may_have_left(Some(ends[1])), third, "{unsent} unsent");
        }
    }

    #[test]
    fn frames_that_are_no_messages_are_counted_until_they_are_gone() {
        let mut outbound = outbound(&[(kind::PING, flag::ACK, 0, &[0; 8]), (kind::DATA, 0, 1, b"body")], 3);
        assert_eq!(outbound.control(), 17);
        outbound.hand_out(20, &mut BytesMut::new());
        assert_eq!(outbound.control(), 17);
        outbound.hand_out(20, &mut BytesMut::new());
        assert_eq!(outbound.control(), 0);
    }
}
