//! Clocks, timers, tasks and sockets of smol.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use apns_driver::tls::rustls::client::{self, Base};
use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::ClientConfig;
use futures_rustls::rustls::crypto::CryptoProvider;
use smol::Timer;
use smol::net::TcpStream;

/// smol with rustls. Its tasks run on smol's global executor, whose threads start when they are needed, so it works in the tasks of
/// any runtime.
///
/// The default uses the cryptography of ring. A client with another value is built with `on`:
///
/// ```
/// use std::sync::Arc;
///
/// use apns_smol::proto::Environment;
/// use apns_smol::rustls::crypto::CryptoProvider;
/// use apns_smol::{BuildError, Client, Endpoint, Http2Builder, Identity, Smol};
///
/// fn start(identity: Identity, provider: Arc<CryptoProvider>) -> Result<Client, BuildError> {
///     let runtime = Smol::with_crypto_provider(provider);
///     Http2Builder::on(runtime, Endpoint::provider_api(Environment::Production), identity).start()
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Smol {
    tls: Base,
}

impl Smol {
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

impl Clock for Smol {
    fn now(&self) -> Now {
        Now::new(Instant::now(), SystemTime::now().into())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let timer = Timer::at(deadline);
        async { _ = timer.await }
    }
}

impl Runtime for Smol {
    type Tcp = TcpStream;
    type Tls = TlsStream<Wire<TcpStream>>;
    type Connector = Arc<ClientConfig>;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((host, port)).await
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        self.tls.config(settings)
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<TcpStream>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        let handshake = TlsConnector::from(connector.clone()).connect(client::server_name(host)?, wire);
        let stream = handshake.await.map_err(|error| client::failure(host, &error))?;
        let alpn = client::alpn(stream.get_ref().1);
        Ok(Secured { stream, alpn })
    }

    fn end_of(error: &io::Error) -> End {
        client::end_of(error)
    }
}
