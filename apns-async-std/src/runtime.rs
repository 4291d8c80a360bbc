//! Clocks, timers, tasks and sockets of async-std.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use async_std::net::{TcpStream, ToSocketAddrs};
use async_std::task;
use native_tls::TlsConnector;

use crate::stream::TlsStream;
use crate::tls::{self, Connector};

/// async-std with the TLS of the operating system. Works in the tasks of any runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsyncStd;

impl Clock for AsyncStd {
    fn now(&self) -> Now {
        Now::new(Instant::now(), SystemTime::now().into())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        task::sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Runtime for AsyncStd {
    type Tcp = TcpStream;
    type Tls = TlsStream<Wire<TcpStream>>;
    type Connector = Connector<TlsConnector>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task::spawn(task));
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs().await?.collect())
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        Connector::new(settings, |builder| builder.build().map_err(|error| tls::refused(&error.to_string())))
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<TcpStream>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        let stream = connector.connect(host, wire).await?;
        let alpn = stream.alpn();
        Ok(Secured { stream, alpn })
    }

    fn second_look(connector: &Self::Connector, failure: &TlsFailure) -> Option<Self::Connector> {
        connector.second_look(failure)
    }

    fn end_of(error: &io::Error) -> End {
        tls::end_of(error)
    }
}
