//! A stream whose orderly end can be turned into a cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::script::CutHow;
use crate::stream::Resettable;

/// Says whether the next end is a cut.
#[derive(Debug, Default)]
pub(super) struct CutSwitch(Mutex<Option<CutHow>>);

impl CutSwitch {
    pub(super) fn turn(&self, how: CutHow) {
        *self.0.lock() = Some(how);
    }

    fn turned(&self) -> Option<CutHow> {
        *self.0.lock()
    }
}

/// Ends as the switch says: everything that was written before leaves, nothing of TLS follows.
pub(super) struct Severable<S> {
    /// `None` once it was cut.
    inner: Option<S>,
    switch: Arc<CutSwitch>,
}

impl<S> Severable<S> {
    pub(super) const fn new(inner: S, switch: Arc<CutSwitch>) -> Self {
        Self { inner: Some(inner), switch }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut, as the script wants it")
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().inner.as_mut() {
            Some(inner) => Pin::new(inner).poll_read(cx, buffer),
            None => Poll::Ready(Err(gone())),
        }
    }
}

impl<S: AsyncWrite + Resettable + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut().inner.as_mut() {
            Some(inner) => Pin::new(inner).poll_write(cx, bytes),
            None => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().inner.as_mut() {
            Some(inner) => Pin::new(inner).poll_flush(cx),
            None => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(Ok(())) };
        let Some(how) = this.switch.turned() else { return Pin::new(inner).poll_shutdown(cx) };
        // Whether it leaves or not, this is the end.
        let _ = ready!(Pin::new(&mut *inner).poll_flush(cx));
        if how == CutHow::Reset {
            inner.reset_on_close();
        }
        this.inner = None;
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for Severable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Severable").field("cut", &self.inner.is_none()).finish_non_exhaustive()
    }
}
