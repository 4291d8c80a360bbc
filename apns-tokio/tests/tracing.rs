//! Spans and events without secrets. A process of its own: others that use the same places in the code while they are
//! registered could make this listener miss them.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::fmt::{self, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apns_sim::{Script, Simulator};
use apns_tokio::proto::http2::{KeyId, SigningKey, SigningSource, TeamId, TokenSource};
use apns_tokio::proto::{Notification, Now, Payload, Topic};
use apns_tokio::{Client, Endpoint};
use futures_util::{StreamExt, stream};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use common::{BAD_TOKENS, bad, good};

/// A simulator's client and its notifications.
mod common {
    use apns_driver::BinaryBuilder;
    use apns_sim::Simulator;
    use apns_tokio::proto::{DeviceToken, Notification, Payload};
    use apns_tokio::{Client, Endpoint, Identity, Roots, Tokio};

    /// Where the simulator's gateway is, by a name that its certificate is good for.
    pub(crate) fn gateway(simulator: &Simulator) -> Endpoint {
        let address = simulator.gateway_address();
        Endpoint::new(address.ip().to_string(), address.port())
    }

    pub(crate) fn identity(simulator: &Simulator) -> Identity {
        let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
        Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).expect("the simulator makes good ones")
    }

    pub(crate) fn roots(simulator: &Simulator) -> Roots {
        Roots::only_pem(simulator.ca_pem().as_bytes()).expect("the simulator makes good ones")
    }

    pub(crate) fn client(simulator: &Simulator) -> BinaryBuilder<Tokio> {
        Client::binary(gateway(simulator), identity(simulator)).roots(roots(simulator))
    }

    /// The first byte of every token that the script [`BAD_TOKENS`] refuses.
    pub(crate) const BAD: u8 = 0xbb;

    pub(crate) const BAD_TOKENS: &str = r#"{"invalid_tokens": ["bb*"]}"#;

    pub(crate) fn token(first: u8, number: u32) -> DeviceToken {
        let mut bytes = [first; 32];
        bytes[1..5].copy_from_slice(&number.to_be_bytes());
        DeviceToken::from_bytes(bytes).expect("32 bytes are a token")
    }

    pub(crate) fn good(number: u32, payload: &Payload) -> Notification {
        Notification::new(token(0xaa, number), payload.clone())
    }

    pub(crate) fn bad(number: u32, payload: &Payload) -> Notification {
        Notification::new(token(BAD, number), payload.clone())
    }
}

const LIMIT: Duration = Duration::from_secs(60);

/// Keeps all that is said, at every level, whoever says it.
#[derive(Clone, Default)]
struct Listener {
    said: Arc<Mutex<String>>,
    spans: Arc<AtomicU64>,
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Listener {
    fn note(&self, what: &Metadata<'_>, fields: impl FnOnce(&mut Line<'_>)) {
        let mut said = self.said.lock().unwrap();
        write!(said, "{} {} {}", what.level(), what.target(), what.name()).unwrap();
        fields(&mut Line(&mut said));
        said.push('\n');
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.note(span.metadata(), |line| span.record(line));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.said.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.note(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn source(simulator: &Simulator) -> Arc<SigningSource> {
    Arc::new(SigningSource::new(
        SigningKey::read(simulator.signing_key_pem().as_bytes()).unwrap(),
        KeyId::new(simulator.key_id()).unwrap(),
        TeamId::new(simulator.team_id()).unwrap(),
    ))
}

async fn send_all(client: &Client, all: Vec<Notification>) -> usize {
    let mut run = pin!(client.send_all(stream::iter(all.into_iter().map(|notification| ((), notification)))));
    let mut accepted = 0;
    while let Some(((), delivery)) = run.next().await {
        accepted += usize::from(delivery.outcome.is_accepted());
    }
    accepted
}

/// One thread, so that the listener of this thread hears everything.
#[tokio::test]
async fn nothing_that_tracing_says_holds_a_secret() {
    let listener = Listener::default();
    let _heard = tracing::subscriber::set_default(listener.clone());

    let simulator = Simulator::builder().script(Script::from_json(BAD_TOKENS).unwrap()).start().await.unwrap();
    let payload = Payload::alert("meet me at midnight");
    let both = || vec![good(1, &payload), bad(2, &payload), good(3, &payload)];
    let binary = common::client(&simulator).start().unwrap();
    assert_eq!(send_all(&binary, both()).await, 2);
    binary.close(LIMIT).await;

    let address = simulator.http2_address();
    let source = source(&simulator);
    let http2 = Client::http2(
        Endpoint::new(address.ip().to_string(), address.port()),
        Arc::clone(&source) as Arc<dyn TokenSource>,
    )
    .roots(common::roots(&simulator))
    .topic(Topic::new("com.example.app").unwrap())
    .start()
    .unwrap();
    assert_eq!(send_all(&http2, both()).await, 2);
    http2.close(LIMIT).await;

    // Nobody speaks TLS there.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = deaf.local_addr().unwrap().port();
    drop(deaf);
    let nowhere = Client::binary(Endpoint::new("127.0.0.1", port), common::identity(&simulator))
        .roots(common::roots(&simulator))
        .patience(Duration::from_millis(50))
        .start()
        .unwrap();
    assert_eq!(send_all(&nowhere, vec![good(4, &payload)]).await, 0);

    let said = listener.said.lock().unwrap();
    for words in [
        "apns.session session=0 host=\"127.0.0.1\"",
        "apns.dial link=",
        " message=connected link=",
        " message=closed link=",
        " message=no connection failure=",
        " message=gave up what waited why=",
        " message=settled outcome=\"rejected\" reason=\"BadDeviceToken\" attempts=1",
        " message=settled outcome=\"accepted\"",
    ] {
        assert!(said.contains(words), "{words:?} was not said in\n{said}");
    }
    let now = Now::new(std::time::Instant::now(), std::time::SystemTime::now().into());
    let jwt = source.token(now).unwrap();
    let (signed, signature) = jwt.jwt().rsplit_once('.').unwrap();
    let key = simulator.signing_key_pem().lines().nth(1).unwrap().to_owned();
    let tokens = [common::token(0xaa, 1), common::token(common::BAD, 2)].map(|token| token.hex().to_string());
    let secrets =
        [signed, signature, &key, "midnight", "BEGIN PRIVATE", "[170, 0, 0, 0, 1", &tokens[0], &tokens[1][..16]];
    for secret in secrets {
        assert!(!said.contains(secret), "{secret:?} was said in\n{said}");
    }
}
