//! A client certificate that expires while the process runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{
    BinaryBuilder, BuildError, Client, ClientEvent, Clock, Events, IdentityError, Runtime, Secured, Wire,
};
use apns_proto::{DialStep, NotSentCause, Now, Outcome, Payload, WallTime};

use super::common::*;

/// A runtime with a calendar of its own.
#[derive(Debug, Clone)]
struct Calendar<R> {
    runtime: R,
    /// What it shows, in seconds since 1970.
    today: Arc<AtomicU64>,
}

const DAY: u64 = 24 * 60 * 60;

impl<R: Runtime> Clock for Calendar<R> {
    fn now(&self) -> Now {
        Now::new(self.runtime.now().instant, WallTime::from_secs(self.today.load(Ordering::Relaxed)))
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.runtime.sleep_until(deadline)
    }
}

impl<R: Runtime> Runtime for Calendar<R> {
    type Tcp = R::Tcp;
    type Tls = R::Tls;
    type Connector = R::Connector;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.runtime.resolve(host, port)
    }

    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send {
        self.runtime.dial(address)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        self.runtime.connector(settings)
    }

    fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<Self::Tcp>,
        host: &str,
    ) -> impl Future<Output = Result<Secured<Self::Tls>, TlsFailure>> + Send {
        self.runtime.secure(connector, wire, host)
    }
}

fn warnings(events: &mut Events) -> Vec<u64> {
    let told = std::iter::from_fn(|| events.try_next());
    let at = told.filter_map(|event| match event {
        ClientEvent::CertificateExpiresSoon { at, .. } => Some(at.as_secs()),
        _ => None,
    });
    at.collect()
}

pub async fn b84_a_certificate_is_judged_at_every_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let certificate = identity(&simulator);
    let end = certificate.not_after().as_secs();
    let today = Arc::new(AtomicU64::new(0));
    let set_today = |day| today.store(day, Ordering::Relaxed);
    let start = || {
        let runtime = Calendar { runtime: R::default(), today: today.clone() };
        BinaryBuilder::on(runtime, gateway(&simulator), certificate.clone()).roots(roots(&simulator)).start()
    };
    let payload = Payload::alert("Tea is ready");
    let send = async |client: &Client<Calendar<R>>, number| {
        let pending = client.submit(good(number, &payload)).await;
        // What proves ends the connection: the next one needs a new one.
        client.prove(Duration::from_secs(20)).await;
        pending.await.outcome
    };

    set_today(end - 31 * DAY);
    let client = start().unwrap();
    let mut events = client.events();
    assert!(send(&client, 1).await.is_accepted());
    assert!(warnings(&mut events).is_empty(), "there is time");

    set_today(end - DAY);
    assert!(send(&client, 2).await.is_accepted());
    assert_eq!(warnings(&mut events), [end], "at the reconnect");
    let another = start().unwrap();
    let mut told = another.events();
    assert!(send(&another, 3).await.is_accepted());
    assert_eq!(warnings(&mut told), [end], "at the first connection");

    set_today(end + DAY);
    let connections = simulator.counts().gateway_connections;
    let Outcome::NotSent { cause: NotSentCause::CredentialRefused(why) } = send(&client, 4).await else {
        panic!("the certificate has expired")
    };
    let why = why.to_string();
    assert!(why.contains("expired at 2049-01-01T00:00:00Z"), "{why}");
    let failures: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            ClientEvent::DialFailed { failure, .. } => Some((failure.step, failure.fatal)),
            _ => None,
        })
        .collect();
    assert_eq!(failures, [(DialStep::Identity, true)]);
    assert_eq!(simulator.counts().gateway_connections, connections, "nobody was bothered with it");
    assert!(matches!(start(), Err(BuildError::Identity(IdentityError::Expired { .. }))));
}
