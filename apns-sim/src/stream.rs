//! A stream on which things go wrong at an exact byte.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::script::{CutHow, Faults};

/// A stream that can be made to end with a reset.
pub(crate) trait Resettable {
    /// Dropping the stream resets the connection from now on.
    fn reset_on_close(&self);
}

impl Resettable for TcpStream {
    fn reset_on_close(&self) {
        // It fails only on a socket that is no longer connected, where there is nothing left to reset.
        let _ = self.set_zero_linger();
    }
}

impl Resettable for TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

impl<S: Resettable> Resettable for FaultyStream<S> {
    fn reset_on_close(&self) {
        if let Some(inner) = &self.inner {
            inner.reset_on_close();
        }
    }
}

/// Plays the byte-level part of [`Faults`].
///
/// It lies above TLS: offsets are those of the protocol's own bytes, and each piece that is written becomes a TLS
/// record. A cut drops the stream below at once, so nothing of TLS (no goodbye) follows.
pub(crate) struct FaultyStream<S> {
    /// `None` once it was cut.
    inner: Option<S>,
    how: CutHow,
    read: ReadSide,
    write: WriteSide,
}

struct ReadSide {
    count: u64,
    cut_at: Option<u64>,
    stall: Option<Stalling>,
}

struct Stalling {
    at: u64,
    length: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct WriteSide {
    count: u64,
    cut_at: Option<u64>,
    pieces: usize,
    delay: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: Resettable> FaultyStream<S> {
    pub(crate) fn new(inner: S, faults: &Faults) -> Self {
        let cut = faults.cut;
        let stall = faults.stall.map(|stall| Stalling {
            at: stall.after_read,
            length: stall.for_ms.map(Duration::from_millis),
            timer: None,
        });
        Self {
            inner: Some(inner),
            how: cut.map(|cut| cut.how).unwrap_or_default(),
            read: ReadSide { count: 0, cut_at: cut.and_then(|cut| cut.after_read), stall },
            write: WriteSide {
                count: 0,
                cut_at: cut.and_then(|cut| cut.after_written),
                pieces: faults.write_pieces.map_or(usize::MAX, std::num::NonZeroUsize::get),
                delay: Duration::from_millis(faults.write_delay_ms),
                timer: None,
            },
        }
    }

    fn cut(&mut self) {
        if let Some(inner) = self.inner.take()
            && self.how == CutHow::Reset
        {
            inner.reset_on_close();
        }
    }
}

impl ReadSide {
    /// Ready once reading may go on.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stall) = self.stall.as_mut().filter(|stall| stall.at <= self.count) {
            // For ever: nothing will wake the reader.
            let Some(length) = stall.length else { return Poll::Pending };
            let timer = stall.timer.get_or_insert_with(|| Box::pin(sleep(length)));
            ready!(timer.as_mut().poll(cx));
            self.stall = None;
        }
        Poll::Ready(())
    }

    /// How many bytes may be read before something happens.
    fn room(&self) -> u64 {
        let stall = self.stall.as_ref().map(|stall| stall.at);
        let next = [stall, self.cut_at].into_iter().flatten().min();
        next.map_or(u64::MAX, |at| at.saturating_sub(self.count))
    }
}

impl WriteSide {
    /// Ready once the next piece may leave.
    fn poll_delay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let delay = self.delay;
        if delay.is_zero() {
            return Poll::Ready(());
        }
        self.timer.get_or_insert_with(|| Box::pin(sleep(delay))).as_mut().poll(cx)
    }

    fn room(&self) -> u64 {
        self.cut_at.map_or(u64::MAX, |at| at.saturating_sub(self.count))
    }
}

fn clamp(bytes: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(bytes, |limit| bytes.min(limit))
}

fn was_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut, as the script wants it")
}

impl<S: AsyncRead + Resettable + Unpin> AsyncRead for FaultyStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.read.poll_stall(cx));
        // A stall that was due is over, so only a cut leaves no room.
        let room = this.read.room();
        if room == 0 {
            this.cut();
        }
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(Err(was_cut())) };
        if room == u64::MAX {
            return Pin::new(inner).poll_read(cx, buffer);
        }
        let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(clamp(buffer.remaining(), room)));
        ready!(Pin::new(inner).poll_read(cx, &mut limited))?;
        let count = limited.filled().len();
        buffer.advance(count);
        this.read.count += count as u64;
        if this.read.cut_at.is_some_and(|at| at <= this.read.count) {
            this.cut();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Resettable + Unpin> AsyncWrite for FaultyStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.write.room() == 0 {
            ready!(Pin::new(&mut *this).poll_flush(cx))?;
        }
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(Err(was_cut())) };
        ready!(this.write.poll_delay(cx));
        let piece = clamp(bytes.len().min(this.write.pieces), this.write.room());
        let count = ready!(Pin::new(inner).poll_write(cx, &bytes[..piece]))?;
        this.write.timer = None;
        this.write.count += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(Err(was_cut())) };
        ready!(Pin::new(inner).poll_flush(cx))?;
        if this.write.room() == 0 {
            this.cut();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.write.room() == 0 {
            // Whether it was cut before or is now, there is no orderly end.
            let _ = ready!(Pin::new(&mut *this).poll_flush(cx));
        }
        match this.inner.as_mut() {
            Some(inner) => Pin::new(inner).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S> fmt::Debug for FaultyStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStream")
            .field("cut", &self.inner.is_none())
            .field("read", &self.read.count)
            .field("written", &self.write.count)
            .finish_non_exhaustive()
    }
}
