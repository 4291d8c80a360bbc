//! The system's TLS over a stream that is not blocking.
//!
//! native-tls wants a stream that blocks, or says `WouldBlock`. So the stream beneath is polled with the waker of the task
//! that polls the stream above, and pending is `WouldBlock`.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use apns_driver::Alpn;
use futures_io::{AsyncRead, AsyncWrite};
use native_tls::{HandshakeError, TlsConnector};

use crate::tls::Handshakes;

/// A TLS stream over another stream, for one task.
pub struct TlsStream<S> {
    tls: native_tls::TlsStream<Polled<S>>,
    /// The goodbye of TLS was said.
    said_goodbye: bool,
}

impl Handshakes for TlsConnector {
    type Stream<S> = TlsStream<S>;

    async fn handshake<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (mut stream, mut begun) = (Some(stream), None);
        let tls = poll_fn(|cx| {
            let attempt = match (stream.take(), begun.take()) {
                (Some(inner), _) => self.connect(host, Polled { inner, waker: cx.waker().clone() }),
                (None, Some(begun)) => resume(cx, begun),
                (None, None) => unreachable!("a future that is done is not polled again"),
            };
            match attempt {
                Ok(tls) => Poll::Ready(Ok(tls)),
                Err(HandshakeError::Failure(error)) => Poll::Ready(Err(error.to_string())),
                Err(HandshakeError::WouldBlock(waiting)) => {
                    begun = Some(waiting);
                    Poll::Pending
                }
            }
        });
        Ok(TlsStream { tls: tls.await?, said_goodbye: false })
    }

    fn peer_certificate<S>(stream: &TlsStream<S>) -> Option<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.tls.peer_certificate().ok()??.to_der().ok()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// The protocol that the server chose.
    pub(crate) fn alpn(&self) -> Alpn {
        match self.tls.negotiated_alpn() {
            Ok(chosen) => chosen.map_or(Alpn::None, Alpn::Chosen),
            Err(_) => Alpn::Untold,
        }
    }

    fn with<T>(
        &mut self,
        cx: &Context<'_>,
        act: impl FnOnce(&mut native_tls::TlsStream<Polled<S>>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.tls.get_mut().waker.clone_from(cx.waker());
        match act(&mut self.tls) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            done => Poll::Ready(done),
        }
    }
}

type Attempt<S> = Result<native_tls::TlsStream<Polled<S>>, HandshakeError<Polled<S>>>;

fn resume<S>(cx: &Context<'_>, mut begun: native_tls::MidHandshakeTlsStream<Polled<S>>) -> Attempt<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    begun.get_mut().waker.clone_from(cx.waker());
    begun.handshake()
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("said_goodbye", &self.said_goodbye).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(cx, |tls| tls.read(buffer))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.with(cx, |tls| tls.write(buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(cx, Write::flush)
    }

    /// Says goodbye, and closes the write half beneath.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            // OpenSSL takes a second call for the wish to wait for the peer's goodbye.
            match self.with(cx, native_tls::TlsStream::shutdown) {
                Poll::Ready(_) => self.said_goodbye = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.tls.get_mut().inner).poll_close(cx)
    }
}

/// A stream that says `WouldBlock` where it would be pending.
#[derive(Debug)]
pub(crate) struct Polled<S> {
    inner: S,
    waker: Waker,
}

impl<S: Unpin> Polled<S> {
    fn poll<T>(&mut self, act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
        match act(Pin::new(&mut self.inner), &mut Context::from_waker(&self.waker)) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Polled<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.poll(|stream, cx| stream.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.poll(|stream, cx| stream.poll_write(cx, buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.poll(|stream, cx| stream.poll_flush(cx))
    }
}
