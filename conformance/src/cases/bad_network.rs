//! Real sockets and TLS over a network that cuts, delays, splits and stalls: every outcome is held against what the
//! simulator took.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use apns_driver::{Client, Delivery, Endpoint, Runtime};
use apns_proto::{LossPolicy, Notification, Outcome, Payload, Topic};
use apns_sim::Simulator;
use futures_util::{StreamExt, stream};

use super::common::*;
use super::proxy::{Plan, Proxy, Way};

const SEEDS: u64 = 12;
const COUNT: u32 = 150;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }

    fn way(&mut self) -> Way {
        let (piece, delay) = match self.below(4) {
            0 => (1, Duration::ZERO),
            1 => (100, Duration::from_millis(1)),
            2 => (1000, self.millis(10)),
            _ => (usize::MAX, Duration::ZERO),
        };
        Way {
            piece,
            delay,
            // The handshake has some thousand bytes, and so have the notifications.
            cut: self.one_in(2).then(|| self.below(12_000)),
            stall: self.one_in(3).then(|| (self.below(8_000), self.millis(300))),
            half_close: self.one_in(4).then(|| self.below(12_000)),
        }
    }
}

/// The first connections are bad, as the seed has it; then the network recovers.
fn network(service: SocketAddr, seed: u64) -> Proxy {
    Proxy::start(service, move |number| {
        let mut dice = Dice(seed << 32 | number as u64);
        if number < 5 { Plan { up: dice.way(), down: dice.way() } } else { Plan::default() }
    })
}

fn notifications() -> impl Iterator<Item = (u32, Notification)> {
    let payload = Payload::alert("Tea is ready");
    (0..COUNT).map(move |number| {
        let first = if number % 50 == 20 { BAD } else { 0xaa };
        (number, Notification::new(token(first, number), payload.clone()))
    })
}

async fn send<R: Runtime + Default>(client: &Client<R>) -> HashMap<u32, Delivery> {
    let mut run = pin!(client.send_all(stream::iter(notifications())));
    let mut ended = HashMap::new();
    while let Some((number, delivery)) = run.next().await {
        assert!(ended.insert(number, delivery).is_none(), "{number} ended twice");
    }
    ended
}

async fn verify(simulator: &Simulator, seed: u64, policy: LossPolicy, ended: &HashMap<u32, Delivery>) {
    // What is still under way to the simulator arrives before it is asked.
    until(|| {
        let counts = simulator.counts();
        counts.closed == counts.gateway_connections + counts.http2_connections
    })
    .await;
    assert_eq!(ended.len(), COUNT as usize, "seed {seed}: each has an end");
    for (number, notification) in notifications() {
        let delivery = &ended[&number];
        let taken = simulator.inspect(|log| log.accepted_for(notification.token().as_bytes()));
        let told = format!("seed {seed}: {number} was taken {taken} times, told as {delivery:?}");
        match &delivery.outcome {
            Outcome::Accepted { .. } => assert!(taken > 0, "lost: {told}"),
            Outcome::Rejected(_) => assert!(number % 50 == 20 && taken == 0, "{told}"),
            Outcome::NotSent { .. } | Outcome::Expired => assert_eq!(taken, 0, "sent all the same: {told}"),
            Outcome::Unknown { .. } => {}
            other => panic!("{other:?} is new"),
        }
        if policy == LossPolicy::Report {
            assert!(taken <= 1, "twice on the device: {told}");
        }
        assert!(taken <= u64::from(delivery.attempts), "more arrived than were sent: {told}");
    }
}

fn policy(seed: u64) -> LossPolicy {
    if seed.is_multiple_of(2) { LossPolicy::Report } else { LossPolicy::RESEND }
}

fn endpoint(proxy: &Proxy) -> Endpoint {
    Endpoint::new(proxy.address().ip().to_string(), proxy.address().port())
}

pub async fn a_bad_network_to_a_gateway_never_makes_an_outcome_false<R: Runtime + Default>() {
    let mut connections = 0;
    for seed in 0..SEEDS {
        let simulator = playing(script(BAD_TOKENS));
        let proxy = network(simulator.gateway_address(), seed);
        let client = Client::<R>::binary(endpoint(&proxy), identity(&simulator))
            .roots(roots(&simulator))
            .loss_policy(policy(seed))
            .backoff(Duration::from_millis(1), Duration::from_millis(20))
            .start()
            .unwrap();
        let ended = send(&client).await;
        drop(client.close(LIMIT).await);
        verify(&simulator, seed, policy(seed), &ended).await;
        connections += proxy.connections();
    }
    assert!(connections > 3 * SEEDS as usize, "the network was not bad: {connections} connections");
}

pub async fn a_bad_network_to_the_provider_api_never_makes_an_outcome_false<R: Runtime + Default>() {
    let mut connections = 0;
    for seed in 0..SEEDS {
        let simulator = playing(script(BAD_TOKENS));
        let proxy = network(simulator.http2_address(), seed);
        let client = Client::<R>::http2(endpoint(&proxy), identity(&simulator))
            .roots(roots(&simulator))
            .topic(Topic::new("com.example.app").unwrap())
            .loss_policy(policy(seed))
            .request_timeout(Duration::from_secs(5))
            .backoff(Duration::from_millis(1), Duration::from_millis(20))
            .start()
            .unwrap();
        let ended = send(&client).await;
        drop(client.close(LIMIT).await);
        verify(&simulator, seed, policy(seed), &ended).await;
        connections += proxy.connections();
    }
    assert!(connections > 2 * SEEDS as usize, "the network was not bad: {connections} connections");
}
