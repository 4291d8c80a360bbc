//! The same notifications over both transports and both protocols: equal outcomes, and the time of each.
//!
//! ```text
//! cargo run --release -p apns-conformance --example compare -- [NOTIFICATIONS]
//! ```
//!
//! One token in a thousand is bad. It fails when the transports differ in any outcome.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed comparison")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use apns_async_std::AsyncStd;
use apns_driver::apns_credentials::{SigningKey, SigningSource};
use apns_driver::{Client, Endpoint, Identity, Roots, Runtime};
use apns_proto::http2::{KeyId, TeamId};
use apns_proto::{DeviceToken, Notification, Payload, Topic};
use apns_sim::{Keep, Script, Simulator};
use apns_tokio::Tokio;
use futures_util::{StreamExt, stream};

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Binary,
    Http2,
}

/// The outcome of each notification, by its number.
type Outcomes = BTreeMap<u32, String>;

fn main() {
    let count = std::env::args().nth(1).map_or(100_000, |count| count.parse().expect("a number of notifications"));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{count} notifications, one in a thousand to a bad token, one connection, loopback");
    println!("| protocol | tokio, rustls | async-std, native-tls | outcomes |\n|---|---|---|---|");
    for protocol in [Protocol::Binary, Protocol::Http2] {
        let (one, tokio_time) = tokio.block_on(run::<Tokio>(protocol, count));
        let (other, async_std_time) = async_std::task::block_on(run::<AsyncStd>(protocol, count));
        assert_eq!(one.len(), count as usize, "each has an outcome");
        assert_eq!(one, other, "the transports differ");
        let mut words: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in one.values() {
            *words.entry(outcome).or_default() += 1;
        }
        println!("| {protocol:?} | {tokio_time:.2?} | {async_std_time:.2?} | {words:?} |");
    }
}

fn notification(number: u32, payload: &Payload) -> Notification {
    let mut bytes = [if number % 1000 == 500 { 0xbb } else { 0xaa }; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    Notification::new(DeviceToken::from_bytes(bytes).unwrap(), payload.clone())
}

async fn run<R: Runtime + Default>(protocol: Protocol, count: u32) -> (Outcomes, Duration) {
    let script = Script::from_json(r#"{"invalid_tokens": ["bb*"]}"#).unwrap();
    let simulator = Simulator::builder().script(script).keep(Keep::Counts).start_on_thread().unwrap();
    let roots = Roots::only_pem(simulator.ca_pem().as_bytes()).unwrap();
    let client: Client<R> = match protocol {
        Protocol::Binary => {
            let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
            let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).unwrap();
            let endpoint = Endpoint::new("localhost", simulator.gateway_address().port());
            Client::binary(endpoint, identity).roots(roots).start().unwrap()
        }
        Protocol::Http2 => {
            let key = SigningKey::read(simulator.signing_key_pem().as_bytes()).unwrap();
            let (id, team) = (KeyId::new(simulator.key_id()).unwrap(), TeamId::new(simulator.team_id()).unwrap());
            let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
            let client = Client::http2(endpoint, SigningSource::new(key, id, team)).roots(roots);
            client.topic(Topic::new("com.example.app").unwrap()).start().unwrap()
        }
    };
    let payload = Payload::alert("Tea is ready");
    let begin = Instant::now();
    let source = stream::iter((0..count).map(|number| (number, notification(number, &payload))));
    let mut deliveries = pin!(client.send_all(source));
    let mut outcomes = Outcomes::new();
    while let Some((number, delivery)) = deliveries.next().await {
        let reason = match &delivery.outcome {
            apns_proto::Outcome::Rejected(rejection) => format!("rejected: {}", rejection.reason()),
            outcome => outcome.word().to_owned(),
        };
        assert!(outcomes.insert(number, reason).is_none(), "{number} ended twice");
    }
    let time = begin.elapsed();
    drop(client.close(Duration::from_secs(10)).await);
    (outcomes, time)
}
