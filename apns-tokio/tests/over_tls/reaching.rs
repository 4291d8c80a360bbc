//! Finding the service: addresses, environments.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured};
use apns_sim::Simulator;
use apns_tokio::Tokio;
use apns_tokio::proto::{End, Now, Outcome, Payload, Proof};

use crate::common::{self, good};

const LIMIT: Duration = Duration::from_secs(60);

/// tokio, but for a name service that says what the test wants.
#[derive(Debug, Clone, Copy, Default)]
struct OtherNames;

static ADDRESSES: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
static ASKED: AtomicUsize = AtomicUsize::new(0);

impl Clock for OtherNames {
    fn now(&self) -> Now {
        Tokio.now()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        Tokio.sleep_until(deadline)
    }
}

impl Runtime for OtherNames {
    type Tcp = <Tokio as Runtime>::Tcp;
    type Tls = <Tokio as Runtime>::Tls;
    type Connector = <Tokio as Runtime>::Connector;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Tokio.spawn(task);
    }

    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Ok(ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Tcp> {
        Tokio.dial(address).await
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        Tokio.connector(settings)
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        tcp: Self::Tcp,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        Tokio.secure(connector, tcp, host).await
    }

    fn end_of(error: &io::Error) -> End {
        Tokio::end_of(error)
    }
}

#[tokio::test]
async fn b114_every_address_is_tried_and_found_afresh_for_each_connection() {
    let simulator = Simulator::start().await.unwrap();
    // Port 1 of loopback: nobody listens there.
    let dead: SocketAddr = "127.0.0.1:1".parse().unwrap();
    *ADDRESSES.lock().unwrap() = vec![dead, simulator.gateway_address()];
    let client = apns_driver::Client::<OtherNames>::binary(
        apns_tokio::Endpoint::new("localhost", 2195),
        common::identity(&simulator),
    )
    .roots(common::roots(&simulator))
    .start()
    .unwrap();
    for number in 1..=3 {
        let pending = client.submit(good(number, &Payload::alert("x"))).await;
        client.prove(LIMIT).await;
        assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
        // Each proof costs the connection, so each round needs a new one.
        assert_eq!(ASKED.load(Ordering::Relaxed), number as usize);
    }
}

#[tokio::test]
async fn b118_two_environments_never_mix() {
    let (production, sandbox) = (Simulator::start().await.unwrap(), Simulator::start().await.unwrap());
    let clients = [common::client(&production).start().unwrap(), common::client(&sandbox).start().unwrap()];
    let payload = Payload::alert("x");
    for number in 0..20 {
        clients[number as usize % 2].try_send(good(number, &payload)).unwrap();
    }
    for client in clients {
        client.close(LIMIT).await;
    }
    for (place, simulator) in [production, sandbox].iter().enumerate() {
        let mut tokens: Vec<_> = simulator.received().iter().map(|record| record.token.clone()).collect();
        tokens.sort();
        let expected: Vec<_> = (0..20).filter(|number| number % 2 == place as u32).collect();
        assert_eq!(tokens, expected.iter().map(|n| common::token(0xaa, *n).as_bytes().to_vec()).collect::<Vec<_>>());
    }
}
