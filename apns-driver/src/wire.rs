//! What TLS is spoken over.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

/// A connection to the service, or a tunnel to it through a proxy, on which TLS is still to be begun. `T` is the runtime's
/// TCP stream.
pub struct Wire<T> {
    way: Way<T>,
    /// What came in the same read as a proxy's answer.
    early: Bytes,
}

enum Way<T> {
    Tcp(T),
    /// With TLS to the proxy.
    Tls(Box<dyn Duplex>),
}

/// A stream whose type is not known.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

impl<T> Wire<T> {
    pub(crate) const fn tcp(stream: T) -> Self {
        Self { way: Way::Tcp(stream), early: Bytes::new() }
    }

    /// Over the TLS stream to a proxy.
    pub(crate) fn tls(stream: impl Duplex + 'static) -> Self {
        Self { way: Way::Tls(Box::new(stream)), early: Bytes::new() }
    }

    /// Has these bytes read first.
    pub(crate) fn put_back(&mut self, early: Bytes) {
        self.early = early;
    }
}

impl<T> fmt::Debug for Wire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::Tcp(_) => "Wire(TCP)",
            Way::Tls(_) => "Wire(TLS to a proxy)",
        })
    }
}

/// What a TLS library says of the connection to the proxy must not be taken for something that the service said: an alert
/// of the proxy is no refusal of the client certificate. So only the kind of an error is passed on.
fn of_the_proxy<V>(polled: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
    polled.map_err(|error| io::Error::new(error.kind(), "the TLS connection to the proxy broke"))
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buffer.len());
            self.early.copy_to_slice(&mut buffer[..count]);
            return Poll::Ready(Ok(count));
        }
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Way::Tls(stream) => of_the_proxy(Pin::new(stream).poll_read(cx, buffer)),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Way::Tls(stream) => of_the_proxy(Pin::new(stream).poll_write(cx, bytes)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Way::Tls(stream) => of_the_proxy(Pin::new(stream).poll_write_vectored(cx, pieces)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Way::Tls(stream) => of_the_proxy(Pin::new(stream).poll_flush(cx)),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_close(cx),
            Way::Tls(stream) => of_the_proxy(Pin::new(stream).poll_close(cx)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{AsyncReadExt, FutureExt};

    use super::*;

    #[test]
    fn what_came_early_is_read_first_and_once() {
        let mut wire = Wire::tcp(futures_util::io::Cursor::new(b"later".to_vec()));
        wire.put_back(Bytes::from_static(b"early "));
        let mut read = Vec::new();
        wire.read_to_end(&mut read).now_or_never().expect("a cursor never waits").unwrap();
        assert_eq!(read, b"early later");
    }

    /// A stream that ends with an error.
    struct Alert;

    impl AsyncRead for Alert {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "SSL alert number 42")))
        }
    }

    impl AsyncWrite for Alert {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "SSL alert number 42")))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn an_alert_of_the_proxy_is_none_of_the_service() {
        let mut wire = Wire::<Alert>::tls(Alert);
        let error = wire.read(&mut [0; 8]).now_or_never().expect("it never waits").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "the TLS connection to the proxy broke");
        assert!(std::error::Error::source(&error).is_none());
    }
}
