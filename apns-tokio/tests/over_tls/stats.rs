//! What a client counts.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apns_sim::{Script, Simulator};
use apns_tokio::proto::http2::{KeyId, SigningKey, SigningSource, TeamId, TokenSource};
use apns_tokio::proto::{Notification, Payload, Topic};
use apns_tokio::{Client, Endpoint};
use futures_util::{StreamExt, stream};

use crate::common::{self, BAD_TOKENS, bad, good};

const LIMIT: Duration = Duration::from_secs(60);

async fn send_all(client: &Client, all: Vec<Notification>) -> usize {
    let mut run = pin!(client.send_all(stream::iter(all.into_iter().map(|notification| ((), notification)))));
    let mut accepted = 0;
    while let Some(((), delivery)) = run.next().await {
        accepted += usize::from(delivery.outcome.is_accepted());
    }
    accepted
}

#[tokio::test]
async fn the_numbers_add_up() {
    let simulator = Simulator::builder().script(Script::from_json(BAD_TOKENS).unwrap()).start().await.unwrap();
    let payload = Payload::alert("Tea is ready");
    let address = simulator.http2_address();
    let source: Arc<dyn TokenSource> = Arc::new(SigningSource::new(
        SigningKey::read(simulator.signing_key_pem().as_bytes()).unwrap(),
        KeyId::new(simulator.key_id()).unwrap(),
        TeamId::new(simulator.team_id()).unwrap(),
    ));
    let client = Client::http2(Endpoint::new(address.ip().to_string(), address.port()), source)
        .roots(common::roots(&simulator))
        .topic(Topic::new("com.example.app").unwrap())
        .start()
        .unwrap();
    let before = client.stats();
    assert_eq!((before.submitted, before.settled(), before.connections, before.token_age), (0, 0, 0, None));

    let all = (0..20).map(|n| if n % 10 == 5 { bad(n, &payload) } else { good(n, &payload) }).collect();
    assert_eq!(send_all(&client, all).await, 18);
    let stats = client.stats();
    let found: Vec<_> = stats.outcomes.iter().map(|o| (o.outcome, &*o.reason, o.count)).collect();
    assert_eq!(found, [("accepted", "confirmed", 18), ("rejected", "BadDeviceToken", 2)]);
    assert_eq!((stats.submitted, stats.queued, stats.in_flight, stats.settled()), (20, 0, 0, 20));
    assert_eq!((stats.connected, stats.dials, stats.connections, stats.dial_failures), (1, 1, 1, 0));
    assert_eq!((stats.latency.count(), stats.written_again, stats.replayed), (20, 0, 0));
    assert!(stats.token_age.is_some_and(|age| age < LIMIT), "{stats:?}");
    assert!(stats.to_string().contains("apns_outcomes_total{outcome=\"rejected\",reason=\"BadDeviceToken\"} 2\n"));
    client.close(LIMIT).await;
}
