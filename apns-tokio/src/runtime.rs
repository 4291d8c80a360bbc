//! Clocks, timers, tasks and sockets of tokio.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use apns_driver::tls::rustls::client::{self, Base};
use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;

use crate::stream::{FuturesIo, TokioIo};

/// tokio with rustls. Everything that starts something has to be called inside a tokio runtime.
///
/// The default uses the cryptography of ring. A client with another value is built with `on`:
///
/// ```
/// use std::sync::Arc;
///
/// use apns_tokio::proto::Environment;
/// use apns_tokio::rustls::crypto::CryptoProvider;
/// use apns_tokio::{BuildError, Client, Endpoint, Http2Builder, Identity, Tokio};
///
/// fn start(identity: Identity, provider: Arc<CryptoProvider>) -> Result<Client, BuildError> {
///     let runtime = Tokio::with_crypto_provider(provider);
///     Http2Builder::on(runtime, Endpoint::provider_api(Environment::Production), identity).start()
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tokio {
    tls: Base,
}

impl Tokio {
    /// With the cryptography of another provider of rustls, such as aws-lc or one that is validated for FIPS 140.
    #[must_use]
    pub fn with_crypto_provider(provider: Arc<CryptoProvider>) -> Self {
        Self { tls: Base::Provider(provider) }
    }

    /// With a configuration of the application's own. It decides whom to trust, and a builder's `roots` have no effect; the
    /// builder's identity takes the place of its client certificate, and the protocols for ALPN are set by the client.
    #[must_use]
    pub fn with_client_config(config: Arc<ClientConfig>) -> Self {
        Self { tls: Base::Config(config) }
    }
}

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
        self.tls.config(settings)
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
