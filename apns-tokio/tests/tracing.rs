//! Spans and events without secrets. A process of its own: others that use the same places in the code while they are
//! registered could make this listener miss them.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::fmt::{self, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apns_conformance::common::{self, BAD_TOKENS, LIMIT, bad, good};
use apns_sim::{Script, Simulator};
use apns_tokio::proto::http2::TokenSource;
use apns_tokio::proto::{Notification, Now, Payload, Topic};
use apns_tokio::{Client, Endpoint, Tokio};
use futures_util::{StreamExt, stream};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps all that is said, at every level, whatever says it.
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
    let binary = common::client::<Tokio>(&simulator).start().unwrap();
    assert_eq!(send_all(&binary, both()).await, 2);
    drop(binary.close(LIMIT).await);

    let source = Arc::new(common::source(&simulator));
    let http2 = Client::http2(common::provider(&simulator), Arc::clone(&source) as Arc<dyn TokenSource>)
        .roots(common::roots(&simulator))
        .topic(Topic::new("com.example.app").unwrap())
        .start()
        .unwrap();
    assert_eq!(send_all(&http2, both()).await, 2);
    drop(http2.close(LIMIT).await);

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
