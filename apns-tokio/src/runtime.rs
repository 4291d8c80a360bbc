//! Clocks, timers, tasks and sockets of tokio.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use apns_driver::tls::rustls::client;
use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::stream::{FuturesIo, TokioIo};

/// tokio with rustls. Everything that starts something has to be called inside a tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokio;

impl Clock for Tokio {
    fn now(&self) -> Now {
        Now::new(tokio::time::Instant::now().into_std(), SystemTime::now().into())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(deadline.into())
    }
}

impl Runtime for Tokio {
    type Tcp = FuturesIo<TcpStream>;
    type Tls = FuturesIo<TlsStream<TokioIo<Wire<Self::Tcp>>>>;
    type Connector = Arc<ClientConfig>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Tcp> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(FuturesIo(tcp))
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        client::config(settings)
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<Self::Tcp>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        let handshake = TlsConnector::from(connector.clone()).connect(client::server_name(host)?, TokioIo(wire));
        let stream = handshake.await.map_err(|error| client::failure(host, &error))?;
        let alpn = client::alpn(stream.get_ref().1);
        Ok(Secured { stream: FuturesIo(stream), alpn })
    }

    fn end_of(error: &io::Error) -> End {
        client::end_of(error)
    }
}
