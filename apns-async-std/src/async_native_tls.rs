//! The TLS of async-native-tls, made by the application.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Alpn, Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use async_native_tls::TlsConnector;
use async_std::net::TcpStream;
use futures_io::{AsyncRead, AsyncWrite};
use native_tls::TlsConnectorBuilder;

use crate::AsyncStd;
use crate::tls::{self, Connector, Handshakes};

type Make = dyn Fn(TlsConnectorBuilder) -> TlsConnector + Send + Sync;

/// async-std with a [`TlsConnector`] of async-native-tls that the application makes.
///
/// [`AsyncStd`] suits most applications. Use this if your application has settings of TLS that this crate does not
/// have, for example TLS 1.2 as the newest version. The builders of this crate are for [`AsyncStd`]: add `apns-driver`
/// to your dependencies, and pass the runtime to its [`BinaryBuilder::on`](apns_driver::BinaryBuilder::on),
/// `Http2Builder::on` or [`feedback::Fetch::on`](apns_driver::feedback::Fetch::on).
///
/// async-native-tls does not report which protocol ALPN selected. So a server that does not speak HTTP/2 is found by
/// what it sends, and the error does not mention ALPN.
///
/// ```
/// use apns_async_std::AsyncNativeTls;
/// use apns_driver::{BinaryBuilder, BuildError, Client, Endpoint, Identity};
/// use async_native_tls::{Protocol, TlsConnector};
///
/// fn client(identity: Identity) -> Result<Client<AsyncNativeTls>, BuildError> {
///     let runtime = AsyncNativeTls::new(|prepared| {
///         TlsConnector::from(prepared).max_protocol_version(Some(Protocol::Tlsv12))
///     });
///     BinaryBuilder::on(runtime, Endpoint::new("gateway.example.com", 2195), identity).start()
/// }
/// ```
#[derive(Clone)]
pub struct AsyncNativeTls {
    make: Arc<Make>,
}

impl AsyncNativeTls {
    /// Makes the connector of each client with this function. It receives what the settings of the client ask for: roots,
    /// client certificate, protocols of ALPN, and TLS 1.2 as the oldest version. A function that ignores it provides these
    /// itself: a connector without the client's roots trusts other servers than the client was told to trust.
    #[must_use]
    pub fn new(make: impl Fn(TlsConnectorBuilder) -> TlsConnector + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make) }
    }
}

/// With a connector that has the client's settings and no others.
impl Default for AsyncNativeTls {
    fn default() -> Self {
        Self::new(TlsConnector::from)
    }
}

impl fmt::Debug for AsyncNativeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncNativeTls").finish_non_exhaustive()
    }
}

impl Clock for AsyncNativeTls {
    fn now(&self) -> Now {
        AsyncStd.now()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        AsyncStd.sleep_until(deadline)
    }
}

impl Runtime for AsyncNativeTls {
    type Tcp = TcpStream;
    type Tls = AsyncTlsStream<Wire<TcpStream>>;
    type Connector = Connector<Arc<TlsConnector>>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        AsyncStd.spawn(task);
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        AsyncStd.resolve(host, port)
    }

    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        AsyncStd.dial(address)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        Connector::new(settings, |builder| {
            // A connector of async-native-tls is completed at each connection, where a refusal would come again and again.
            builder.build().map_err(|error| tls::refused(&error.to_string()))?;
            Ok(Arc::new((self.make)(builder)))
        })
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<TcpStream>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        Ok(Secured { stream: connector.connect(host, wire).await?, alpn: Alpn::Untold })
    }

    fn second_look(connector: &Self::Connector, failure: &TlsFailure) -> Option<Self::Connector> {
        connector.second_look(failure)
    }

    fn end_of(error: &io::Error) -> End {
        tls::end_of(error)
    }
}

/// A stream of async-native-tls that also closes the stream beneath it.
#[derive(Debug)]
pub struct AsyncTlsStream<S> {
    tls: async_native_tls::TlsStream<S>,
    /// The goodbye of TLS was said.
    said_goodbye: bool,
}

impl Handshakes for Arc<TlsConnector> {
    type Stream<S> = AsyncTlsStream<S>;

    async fn handshake<S>(&self, host: &str, stream: S) -> Result<AsyncTlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let tls = self.connect(host, stream).await.map_err(|error| error.to_string())?;
        Ok(AsyncTlsStream { tls, said_goodbye: false })
    }

    fn peer_certificate<S>(stream: &AsyncTlsStream<S>) -> Option<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.tls.peer_certificate().ok()??.to_der().ok()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for AsyncTlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AsyncTlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    /// Says goodbye, and closes the write half beneath.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            // OpenSSL takes a second call for the wish to wait for the peer's goodbye.
            let _said = ready!(Pin::new(&mut self.tls).poll_close(cx));
            self.said_goodbye = true;
        }
        Pin::new(self.tls.get_mut()).poll_close(cx)
    }
}
