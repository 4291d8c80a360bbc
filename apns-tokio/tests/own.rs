//! What only tokio and rustls can show.

use std::time::Duration;

use apns_conformance::common;
use apns_sim::Simulator;
use apns_tokio::proto::{NotSentCause, Outcome, Payload};
use apns_tokio::{Client, ClientEvent, Roots};

/// Attempts are counted by the clock of the test, which runs ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn b62_a_refused_connection_is_tried_at_most_five_times_in_ten_seconds() {
    let simulator = Simulator::start().await.unwrap();
    let (endpoint, identity) = (common::gateway(&simulator), common::identity(&simulator));
    simulator.stop().await;
    let client = Client::binary(endpoint, identity).patience(Duration::from_secs(10)).start().unwrap();
    let mut events = client.events();
    // B120: all of them wait for the same attempts.
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(common::good(n, &payload)).unwrap()).collect();
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::NoConnection(_) }), "{outcome:?}");
    }
    let attempts =
        std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
    assert!((2..=5).contains(&attempts), "{attempts} attempts in ten seconds");
}

/// rustls shows whom it does not trust.
#[tokio::test]
async fn b85_an_untrusted_server_is_named_by_its_issuer() {
    let (simulator, other) = (Simulator::start().await.unwrap(), Simulator::start().await.unwrap());
    let roots = Roots::only_pem(other.ca_pem().as_bytes()).unwrap();
    let client =
        Client::binary(common::gateway(&simulator), common::identity(&simulator)).roots(roots).start().unwrap();
    let outcome = client.send(common::good(1, &Payload::alert("x"))).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("is not trusted") && why.contains("CN=Pretend Push Certification Authority"), "{why}");
}
