//! The runtime of every other command, which notes down how far a connection comes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use apns_tokio::{Certificate, Tokio};
use parking_lot::Mutex;

/// What was seen of one connection. Where a proxy is on the way, names and addresses are the proxy's.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The addresses of the name, and how long it took to find them.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) resolved_ms: Option<u64>,
    /// The address that answered, and after how long.
    pub(super) reached: Option<SocketAddr>,
    pub(super) reached_ms: Option<u64>,
    /// How long the last handshake took.
    pub(super) secured_ms: Option<u64>,
    /// What the server showed in it, its own first.
    pub(super) chain: Vec<Certificate>,
}

/// [`Tokio`], with a look at what it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    pub(super) seen: Arc<Mutex<Seen>>,
    tokio: Tokio,
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Clock for Witness {
    fn now(&self) -> Now {
        self.tokio.now()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.tokio.sleep_until(deadline)
    }
}

impl Runtime for Witness {
    type Tcp = <Tokio as Runtime>::Tcp;
    type Tls = <Tokio as Runtime>::Tls;
    type Connector = <Tokio as Runtime>::Connector;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tokio.spawn(task);
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let start = Instant::now();
        let addresses = self.tokio.resolve(host, port).await?;
        let mut seen = self.seen.lock();
        seen.addresses.clone_from(&addresses);
        seen.resolved_ms = Some(since(start));
        Ok(addresses)
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Tcp> {
        let start = Instant::now();
        let tcp = self.tokio.dial(address).await?;
        let mut seen = self.seen.lock();
        seen.reached = Some(address);
        seen.reached_ms = Some(since(start));
        Ok(tcp)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        self.tokio.connector(settings)
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<Self::Tcp>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        let start = Instant::now();
        let secured = self.tokio.secure(connector, wire, host).await?;
        let shown = secured.stream.get_ref().get_ref().1.peer_certificates().unwrap_or_default();
        let mut seen = self.seen.lock();
        seen.chain = shown.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        seen.secured_ms = Some(since(start));
        Ok(secured)
    }

    fn end_of(error: &io::Error) -> End {
        Tokio::end_of(error)
    }
}
