//! What the behaviours share, and the tests of one transport alone use too.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use apns_driver::apns_credentials::{SigningKey, SigningSource};
use apns_driver::{
    BinaryBuilder, Client, ClientEvent, Delivery, Endpoint, Events, Http2Builder, Identity, Roots, Runtime,
};
use apns_proto::http2::{KeyId, TeamId};
use apns_proto::{DeviceToken, DialFailure, Notification, Outcome, Payload, Proof, Topic};
use apns_sim::{Builder, Faults, Script, Simulator};
use futures_util::{StreamExt, stream};

/// How long a client may take to close.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A simulator on a thread of its own.
///
/// # Panics
///
/// Where loopback has no port left.
pub fn start(builder: Builder) -> Simulator {
    builder.start_on_thread().expect("loopback has free ports")
}

/// One that takes everything.
pub fn simulator() -> Simulator {
    start(Simulator::builder())
}

/// One that does what the script says.
pub fn playing(script: Script) -> Simulator {
    start(Simulator::builder().script(script))
}

/// One whose gateway has faults.
pub fn with_gateway_faults(faults: Faults) -> Simulator {
    playing(Script::default().gateway_faults(faults))
}

/// A script in its JSON form.
///
/// # Panics
///
/// Where it is none.
pub fn script(json: &str) -> Script {
    Script::from_json(json).expect("a script of these tests")
}

/// Where the simulator's gateway is, by a name that its certificate is good for.
pub fn gateway(simulator: &Simulator) -> Endpoint {
    let address = simulator.gateway_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

/// Where the simulator's feedback service is.
pub fn feedback(simulator: &Simulator) -> Endpoint {
    let address = simulator.feedback_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

/// Where the simulator's provider API is.
pub fn provider(simulator: &Simulator) -> Endpoint {
    let address = simulator.http2_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

/// The client certificate that the simulator made.
pub fn identity(simulator: &Simulator) -> Identity {
    let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
    Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).expect("the simulator makes good ones")
}

/// The simulator's own authority, and no other.
pub fn roots(simulator: &Simulator) -> Roots {
    Roots::only_pem(simulator.ca_pem().as_bytes()).expect("the simulator makes good ones")
}

/// A client of the gateway, to be started.
pub fn client<R: Runtime + Default>(simulator: &Simulator) -> BinaryBuilder<R> {
    Client::binary(gateway(simulator), identity(simulator)).roots(roots(simulator))
}

/// Provider tokens, signed with the simulator's key.
pub fn source(simulator: &Simulator) -> SigningSource {
    SigningSource::new(
        SigningKey::read(simulator.signing_key_pem().as_bytes()).expect("the simulator makes good ones"),
        KeyId::new(simulator.key_id()).expect("ten characters"),
        TeamId::new(simulator.team_id()).expect("ten characters"),
    )
}

/// A client of the provider API that proves itself by provider token, to be started.
pub fn with_token<R: Runtime + Default>(simulator: &Simulator) -> Http2Builder<R> {
    let topic = Topic::new("com.example.app").expect("a topic");
    Client::http2(provider(simulator), source(simulator)).roots(roots(simulator)).topic(topic)
}

/// A client of the provider API that proves itself by certificate, to be started.
pub fn with_certificate<R: Runtime + Default>(simulator: &Simulator) -> Http2Builder<R> {
    Client::http2(provider(simulator), identity(simulator)).roots(roots(simulator))
}

/// The first byte of every token that the script [`BAD_TOKENS`] refuses.
pub const BAD: u8 = 0xbb;

/// A script that refuses every token whose first byte is [`BAD`].
pub const BAD_TOKENS: &str = r#"{"invalid_tokens": ["bb*"]}"#;

/// A token with this first byte; no other number has the same.
pub fn token(first: u8, number: u32) -> DeviceToken {
    let mut bytes = [first; 32];
    bytes[1..5].copy_from_slice(&number.to_be_bytes());
    DeviceToken::from_bytes(bytes).expect("32 bytes are a token")
}

/// A notification that is accepted.
pub fn good(number: u32, payload: &Payload) -> Notification {
    Notification::new(token(0xaa, number), payload.clone())
}

/// A notification that the script [`BAD_TOKENS`] refuses.
pub fn bad(number: u32, payload: &Payload) -> Notification {
    Notification::new(token(BAD, number), payload.clone())
}

/// By the answer of the service, which has an id.
pub fn answered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(_), .. })
}

/// Sends all, and gives each its end in the order of submission.
pub async fn settle_all<R: Runtime + Default>(
    client: &Client<R>,
    notifications: impl Iterator<Item = Notification>,
) -> Vec<Delivery> {
    let mut run = pin!(client.send_all(stream::iter(notifications.enumerate())));
    let mut found: HashMap<usize, Delivery> = HashMap::new();
    while let Some((key, delivery)) = run.next().await {
        assert!(found.insert(key, delivery).is_none(), "{key} ended twice");
    }
    (0..found.len()).map(|key| found.remove(&key).expect("each has an end")).collect()
}

/// Everything that was told so far.
pub fn told(events: &mut Events) -> Vec<ClientEvent> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// Waits for the first attempt that fails.
pub async fn dial_failure(events: &mut Events) -> DialFailure {
    while let Some(event) = events.next().await {
        if let ClientEvent::DialFailed { failure, .. } = event {
            return failure;
        }
    }
    panic!("no attempt failed");
}

/// Lets others go on until this holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    poll_fn(|cx| {
        if holds() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the future gives, and how long it took.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begin = std::time::Instant::now();
    let value = future.await;
    (value, begin.elapsed())
}
