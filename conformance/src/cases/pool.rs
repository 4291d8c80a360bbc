//! Several connections that share one queue.

use std::collections::BTreeMap;
use std::pin::pin;

use apns_driver::{Client, ClientEvent, Runtime};
use apns_proto::binary::Config;
use apns_proto::{Notification, Outcome, Payload, Proof, RefusalPolicy, Topic};
use apns_sim::{Keep, Simulator};
use futures_util::{StreamExt, stream};

use super::common::*;

/// Nothing is presumed within the time that a test may take.
fn config(window: usize) -> Config {
    Config::default().with_window_count(window).with_quiet_time(10 * LIMIT)
}

async fn all_confirmed<R: Runtime + Default>(
    client: &Client<R>,
    notifications: impl Iterator<Item = Notification>,
) -> usize {
    let mut run = pin!(client.send_all(stream::iter(notifications.enumerate())));
    let mut confirmed = 0;
    while let Some((number, delivery)) = run.next().await {
        assert_eq!(delivery.outcome, Outcome::accepted(Proof::Confirmed), "{number}");
        confirmed += 1;
    }
    confirmed
}

/// How many notifications came over each connection.
fn shares(simulator: &Simulator) -> BTreeMap<u64, usize> {
    let mut shares = BTreeMap::new();
    for record in simulator.received() {
        *shares.entry(record.connection).or_default() += 1;
    }
    shares
}

/// However large the windows are: a run has as much under way as fills them all, or they would wait for the quiet time.
pub async fn the_windows_of_all_connections_become_full_and_are_proven<R: Runtime + Default>() {
    const COUNT: u32 = 20_000;
    let simulator = simulator();
    let client = client::<R>(&simulator).config(config(1000)).queue(100).connections(4).start().unwrap();
    let payload = Payload::alert("Tea is ready");
    let confirmed = all_confirmed(&client, (0..COUNT).map(|n| good(n, &payload))).await;
    assert_eq!(confirmed, COUNT as usize);
    let shares = shares(&simulator);
    assert_eq!(shares.values().sum::<usize>(), COUNT as usize, "each once");
    assert!(shares.values().all(|share| *share <= 1000), "{shares:?}");
    drop(client.close(LIMIT).await);
}

/// Sessions that share a credential try it one after the other: a refusal of it counts for all of them.
pub async fn one_session_tries_a_refused_credential_for_all<R: Runtime + Default>() {
    const COUNT: u32 = 2000;
    let refused = |connection: u32| {
        format!(
            r#"{{"when": {{"connection": {connection}}}, "then": [{{"answer_with": {{"status": 403, "reason": "InvalidProviderToken"}}}}]}}"#
        )
    };
    // Each session may be refused once, and then one of them again and again.
    let rules: Vec<_> = (1..=5).map(refused).collect();
    let simulator = playing(script(&format!(r#"{{"http2": {{"rules": [{}]}}}}"#, rules.join(", "))));
    let client = Client::<R>::http2(provider(&simulator), identity(&simulator)).roots(roots(&simulator));
    let client = client.refusal_policy(RefusalPolicy::Wait).connections(3).start().unwrap();
    let mut events = client.events();
    let topic = Topic::new("com.example.app").unwrap();
    let notification = |n| Notification::new(token(0xaa, n), Payload::alert("Tea is ready")).with_topic(topic.clone());
    {
        let mut run = pin!(client.send_all(stream::iter((0..COUNT).map(|n| (n, notification(n))))));
        while let Some((number, delivery)) = run.next().await {
            assert!(delivery.outcome.is_accepted(), "{number}: {delivery:?}");
        }
    }
    let mut refusals = BTreeMap::<_, u32>::new();
    while let Some(event) = events.try_next() {
        if let ClientEvent::Paused { session, retry_in, .. } = event
            && !retry_in.is_zero()
        {
            *refusals.entry(session).or_default() += 1;
        }
    }
    let repeated = refusals.values().filter(|times| **times > 1).count();
    assert!(refusals.values().sum::<u32>() == 5 && repeated == 1, "{refusals:?}");
    assert_eq!(client.pause(), None);
    drop(client.close(LIMIT).await);
}

/// Where one connection is open and work piles up, the others are opened too.
pub async fn idle_sessions_join_when_there_is_work_for_more<R: Runtime + Default>() {
    let simulator = start(Simulator::builder().keep(Keep::Counts));
    let client = client::<R>(&simulator).config(config(100)).connections(3).start().unwrap();
    let payload = Payload::alert("Tea is ready");
    let mut events = client.events();
    let mut sessions = BTreeMap::new();
    let first = client.submit(good(0, &payload)).await;
    while sessions.is_empty() {
        if let Some(ClientEvent::Connected { session, .. }) = events.next().await {
            sessions.insert(session, ());
        }
    }
    assert_eq!(all_confirmed(&client, (1..5000).map(|n| good(n, &payload))).await, 4999);
    assert!(first.await.outcome.is_accepted());
    while let Some(event) = events.try_next() {
        if let ClientEvent::Connected { session, .. } = event {
            sessions.insert(session, ());
        }
    }
    assert_eq!(sessions.into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    drop(client.close(LIMIT).await);
}
