//! What a client counts.

use apns_driver::Runtime;
use apns_proto::Payload;

use super::common::*;

pub async fn the_numbers_add_up<R: Runtime + Default>() {
    let simulator = playing(script(BAD_TOKENS));
    let payload = Payload::alert("Tea is ready");
    let client = with_token::<R>(&simulator).start().unwrap();
    let before = client.stats();
    assert_eq!((before.submitted, before.settled(), before.connections, before.token_age), (0, 0, 0, None));

    let all = (0..20).map(|n| if n % 10 == 5 { bad(n, &payload) } else { good(n, &payload) });
    let deliveries = settle_all(&client, all).await;
    assert_eq!(deliveries.iter().filter(|delivery| delivery.outcome.is_accepted()).count(), 18);
    let stats = client.stats();
    let found: Vec<_> = stats.outcomes.iter().map(|o| (o.outcome, &*o.reason, o.count)).collect();
    assert_eq!(found, [("accepted", "confirmed", 18), ("rejected", "BadDeviceToken", 2)]);
    assert_eq!((stats.submitted, stats.queued, stats.in_flight, stats.settled()), (20, 0, 0, 20));
    assert_eq!((stats.connected, stats.dials, stats.connections, stats.dial_failures), (1, 1, 1, 0));
    assert_eq!((stats.latency.count(), stats.written_again, stats.replayed), (20, 0, 0));
    assert!(stats.token_age.is_some_and(|age| age < LIMIT), "{stats:?}");
    assert!(stats.to_string().contains("apns_outcomes_total{outcome=\"rejected\",reason=\"BadDeviceToken\"} 2\n"));
    drop(client.close(LIMIT).await);
}
