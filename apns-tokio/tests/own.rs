//! What only tokio and rustls can show.

use std::time::Duration;

use apns_sim::Simulator;
use apns_tokio::proto::{DeviceToken, NotSentCause, Notification, Outcome, Payload};
use apns_tokio::{Client, ClientEvent, Endpoint, Identity, Roots};

fn endpoint(simulator: &Simulator) -> Endpoint {
    Endpoint::new("localhost", simulator.gateway_address().port())
}

fn identity(simulator: &Simulator) -> Identity {
    let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
    Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).expect("the simulator makes good ones")
}

fn notification(number: u8) -> Notification {
    Notification::new(DeviceToken::from_bytes([number; 32]).expect("32 bytes are a token"), Payload::alert("x"))
}

/// Attempts are counted by the clock of the test, which runs ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn b62_a_refused_connection_is_tried_at_most_five_times_in_ten_seconds() {
    let simulator = Simulator::start().await.unwrap();
    let (endpoint, identity) = (endpoint(&simulator), identity(&simulator));
    simulator.stop().await;
    let client = Client::binary(endpoint, identity).patience(Duration::from_secs(10)).start().unwrap();
    let mut events = client.events();
    // B120: all of them wait for the same attempts.
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(notification(n)).unwrap()).collect();
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
    let client = Client::binary(endpoint(&simulator), identity(&simulator)).roots(roots).start().unwrap();
    let outcome = client.send(notification(1)).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("is not trusted") && why.contains("CN=Pretend Push Certification Authority"), "{why}");
}
