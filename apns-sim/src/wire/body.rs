//! Collects the body of a message up to a limit.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;

/// A body on its way in.
pub(super) struct Collect {
    stream: RecvStream,
    gathered: Gathered,
    limit: usize,
}

/// What has come of a body. One frame, which is the rule, is kept without copying.
enum Gathered {
    Nothing,
    One(Bytes),
    Several(BytesMut),
}

impl Collect {
    pub(super) fn new(stream: RecvStream, limit: usize) -> Self {
        Self { stream, gathered: Gathered::Nothing, limit }
    }

    /// Takes what has come. Ready when the body is over: whether it is whole.
    ///
    /// The window is given back for every byte. A body beyond the limit, or a broken one, is over and not whole;
    /// dropping this then resets the stream.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.stream.is_end_stream() {
            return Poll::Ready(true);
        }
        loop {
            match self.stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(data))) => {
                    // Fails only when more is released than came.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if !self.gather(data) {
                        return Poll::Ready(false);
                    }
                }
            }
        }
    }

    /// What has come so far.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.gathered {
            Gathered::Nothing => Bytes::new(),
            Gathered::One(bytes) => bytes,
            Gathered::Several(bytes) => bytes.freeze(),
        }
    }

    fn gather(&mut self, mut data: Bytes) -> bool {
        let have = match &self.gathered {
            Gathered::Nothing => 0,
            Gathered::One(bytes) => bytes.len(),
            Gathered::Several(bytes) => bytes.len(),
        };
        let fits = data.len() <= self.limit - have;
        data.truncate(self.limit - have);
        match &mut self.gathered {
            Gathered::Nothing => self.gathered = Gathered::One(data),
            Gathered::One(first) => {
                let mut both = BytesMut::with_capacity(first.len() + data.len());
                both.extend_from_slice(first);
                both.extend_from_slice(&data);
                self.gathered = Gathered::Several(both);
            }
            Gathered::Several(bytes) => bytes.extend_from_slice(&data),
        }
        fits
    }
}
