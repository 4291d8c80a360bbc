//! The memory between `h2` and the caller: one queue of bytes in each direction.
//!
//! `h2` owns one end as its "socket", the connection around it keeps the other. Both are used by turns on one
//! thread, so the lock between them is never waited for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{HEAD, Head, kind};

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
        self.0.lock()
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
    /// Writing is over.
    stopped: bool,
    head: [u8; HEAD],
    head_len: usize,
    frame: Option<Head>,
    skip: usize,
    control: usize,
}

impl Outbound {
    fn new(preface: usize) -> Self {
        Self {
            queue: BytesMut::new(),
            stopped: false,
            head: [0; HEAD],
            head_len: 0,
            frame: None,
            skip: preface,
            control: 0,
        }
    }

    /// Appends bytes of the engine, or whole frames of our own between two of the engine's.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.stopped {
            return;
        }
        self.queue.extend_from_slice(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(rest.len());
                rest = &rest[count..];
                self.skip -= count;
                if self.skip == 0 {
                    self.frame_done();
                }
                continue;
            }
            let count = (HEAD - self.head_len).min(rest.len());
            self.head[self.head_len..self.head_len + count].copy_from_slice(&rest[..count]);
            self.head_len += count;
            rest = &rest[count..];
            if self.head_len == HEAD {
                self.head_len = 0;
                self.head_done(Head::parse(self.head));
            }
        }
    }

    /// Appends bytes that need not be frames at all.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        if !self.stopped {
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
        if self.queue.is_empty() {
            self.control = 0;
        }
        count > 0
    }

    /// Writing is over.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.queue = BytesMut::new();
        self.control = 0;
    }

    /// Throws away what is waiting, which must be whole frames.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Bytes of frames other than requests and answers since this was last empty. What a peer can make grow by
    /// talking without reading.
    pub(super) fn control(&self) -> usize {
        self.control
    }

    fn head_done(&mut self, head: Head) {
        self.frame = Some(head);
        self.skip = head.length;
        if self.skip == 0 {
            self.frame_done();
        }
    }

    fn frame_done(&mut self) {
        // There is none after the preface.
        let Some(head) = self.frame.take() else { return };
        if !matches!(head.kind, kind::DATA | kind::HEADERS | kind::CONTINUATION) {
            self.control += HEAD + head.length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{self, flag};
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
    fn frames_that_are_no_messages_are_counted_until_they_are_gone() {
        let mut outbound = outbound(&[(kind::PING, flag::ACK, 0, &[0; 8]), (kind::DATA, 0, 1, b"body")], 3);
        assert_eq!(outbound.control(), 17);
        outbound.hand_out(20, &mut BytesMut::new());
        assert_eq!(outbound.control(), 17);
        outbound.hand_out(20, &mut BytesMut::new());
        assert_eq!(outbound.control(), 0);
    }
}
