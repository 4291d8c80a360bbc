//! A client certificate that expires while the process runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{BuildError, Client, ClientEvent, Clock, Events, IdentityError, Runtime, Secured};
use apns_proto::{DialStep, NotSentCause, Now, Outcome, Payload, WallTime};

use super::common::*;

/// A runtime with a calendar of its own.
#[derive(Debug, Clone, Default)]
struct Calendar<R>(R);

/// The seconds since 1970 that every [`Calendar`] shows.
static TODAY: AtomicU64 = AtomicU64::new(0);

const DAY: u64 = 24 * 60 * 60;

impl<R: Runtime> Clock for Calendar<R> {
    fn now(&self) -> Now {
        Now::new(self.0.now().instant, WallTime::from_secs(TODAY.load(Ordering::Relaxed)))
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep_until(deadline)
    }
}

impl<R: Runtime> Runtime for Calendar<R> {
    type Tcp = R::Tcp;
    type Tls = R::Tls;
    type Connector = R::Connector;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.0.resolve(host, port)
    }

    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send {
        self.0.dial(address)
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        self.0.connector(settings)
    }

    fn secure(
        &self,
        connector: &Self::Connector,
        tcp: Self::Tcp,
        host: &str,
    ) -> impl Future<Output = Result<Secured<Self::Tls>, TlsFailure>> + Send {
        self.0.secure(connector, tcp, host)
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

pub async fn b84_a_certificate_is_judged_at_every_connection<R: Runtime>() {
    let simulator = simulator();
    let certificate = identity(&simulator);
    let end = certificate.not_after().as_secs();
    let start = || {
        let client = Client::<Calendar<R>>::binary(gateway(&simulator), certificate.clone());
        client.roots(roots(&simulator)).start()
    };
    let payload = Payload::alert("Tea is ready");
    let send = async |client: &Client<Calendar<R>>, number| {
        let pending = client.submit(good(number, &payload)).await;
        // What proves ends the connection: the next one needs a new one.
        client.prove(Duration::from_secs(20)).await;
        pending.await.outcome
    };

    TODAY.store(end - 31 * DAY, Ordering::Relaxed);
    let client = start().unwrap();
    let mut events = client.events();
    assert!(send(&client, 1).await.is_accepted());
    assert!(warnings(&mut events).is_empty(), "there is time");

    TODAY.store(end - DAY, Ordering::Relaxed);
    assert!(send(&client, 2).await.is_accepted());
    assert_eq!(warnings(&mut events), [end], "at the reconnect");
    let another = start().unwrap();
    let mut told = another.events();
    assert!(send(&another, 3).await.is_accepted());
    assert_eq!(warnings(&mut told), [end], "at the first connection");

    TODAY.store(end + DAY, Ordering::Relaxed);
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
