//! The HTTP/2 provider API.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use apns_sim::{Keep, Script, Simulator};
use apns_tokio::proto::http2::{KeyId, SigningKey, SigningSource, TeamId};
use apns_tokio::proto::{
    DeviceToken, NotSentCause, Notification, Outcome, Payload, Proof, RetryPolicy, TokenVerdict, Topic, UnknownCause,
};
use apns_tokio::{Client, ClientEvent, Delivery, Endpoint, Http2Builder};
use futures_util::{StreamExt, stream};

use crate::common::{self, BAD_TOKENS};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn endpoint(simulator: &Simulator) -> Endpoint {
    let address = simulator.http2_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

pub(crate) fn source(simulator: &Simulator) -> SigningSource {
    SigningSource::new(
        SigningKey::read(simulator.signing_key_pem().as_bytes()).expect("the simulator makes good ones"),
        KeyId::new(simulator.key_id()).expect("ten characters"),
        TeamId::new(simulator.team_id()).expect("ten characters"),
    )
}

fn topic() -> Topic {
    Topic::new("com.example.app").expect("a topic")
}

fn with_token(simulator: &Simulator) -> Http2Builder {
    Client::http2(endpoint(simulator), source(simulator)).roots(common::roots(simulator)).topic(topic())
}

fn with_certificate(simulator: &Simulator) -> Http2Builder {
    Client::http2(endpoint(simulator), common::identity(simulator)).roots(common::roots(simulator))
}

fn script(json: &str) -> Script {
    Script::from_json(json).expect("a script of these tests")
}

fn notification(first: u8, number: u32) -> Notification {
    Notification::new(common::token(first, number), Payload::alert("Tea is ready"))
}

async fn settle_all(client: &Client, notifications: impl Iterator<Item = Notification>) -> Vec<Delivery> {
    let mut run = pin!(client.send_all(stream::iter(notifications.enumerate())));
    let mut found: HashMap<usize, Delivery> = HashMap::new();
    while let Some((key, delivery)) = run.next().await {
        assert!(found.insert(key, delivery).is_none(), "{key} ended twice");
    }
    (0..found.len()).map(|key| found.remove(&key).expect("each has an end")).collect()
}

fn confirmed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(_), .. })
}

#[tokio::test]
async fn both_credentials_are_taken() {
    let simulator = Simulator::start().await.unwrap();
    for client in [with_token(&simulator).start().unwrap(), with_certificate(&simulator).start().unwrap()] {
        let outcome = client.send(notification(0xaa, 1)).await;
        assert!(confirmed(&outcome), "{outcome:?}");
        client.close(LIMIT).await;
    }
    let requests = simulator.requests();
    assert_eq!(requests.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_with_one_bad_in_a_hundred_agree_with_the_service() {
    const COUNT: u32 = 20_000;
    let simulator = Simulator::builder().script(script(BAD_TOKENS)).keep(Keep::TokenCounts).start().await.unwrap();
    let client = with_token(&simulator).start().unwrap();
    let is_bad = |number: u32| number % 100 == 50;
    let all = (0..COUNT).map(|n| notification(if is_bad(n) { common::BAD } else { 0xaa }, n));
    let deliveries = settle_all(&client, all).await;
    for (number, delivery) in (0..COUNT).zip(&deliveries) {
        match &delivery.outcome {
            Outcome::Rejected(rejection) if is_bad(number) => {
                assert_eq!((rejection.status(), rejection.reason()), (400, "BadDeviceToken"));
            }
            outcome => assert!(!is_bad(number) && confirmed(outcome), "{number}: {outcome:?}"),
        }
    }
    simulator.inspect(|log| {
        let taken: Vec<u64> = log.accepted_by_token().map(|(_, count)| count).collect();
        assert_eq!(taken.len() as u32, COUNT * 99 / 100);
        assert!(taken.iter().all(|count| *count == 1), "each good one once");
    });
}

#[tokio::test]
async fn an_unregistered_token_comes_with_its_time() {
    let json = r#"{"http2": {"unregistered": [{"token": "aa*", "timestamp_ms": 1527206400000}]}}"#;
    let simulator = Simulator::builder().script(script(json)).start().await.unwrap();
    let client = with_token(&simulator).start().unwrap();
    let Outcome::Rejected(rejection) = client.send(notification(0xaa, 1)).await else { panic!("it is refused") };
    assert_eq!((rejection.status(), rejection.reason()), (410, "Unregistered"));
    let TokenVerdict::DropIfRegisteredBefore(time) = rejection.token_verdict() else { panic!("{rejection:?}") };
    assert_eq!(time.as_secs(), 1_527_206_400);
}

#[tokio::test]
async fn b60_a_refusal_for_the_time_being_is_sent_again_where_asked() {
    let json = r#"{"http2": {"rules": [{"when": {"arrival": 1}, "then": [{"answer_with": {"status": 429, "reason": "TooManyRequests", "retry_after": "1"}}]}]}}"#;
    let simulator = Simulator::builder().script(script(json)).start().await.unwrap();
    let patient = with_token(&simulator).retry(RetryPolicy::default().with_retries(1)).start().unwrap();
    let delivery = patient.submit(notification(0xaa, 1)).await.await;
    assert!(confirmed(&delivery.outcome), "{delivery:?}");
    assert_eq!(delivery.attempts, 2);

    simulator.forget();
    simulator.set_script(script(json));
    let client = with_token(&simulator).start().unwrap();
    assert!(
        matches!(client.send(notification(0xaa, 1)).await, Outcome::Rejected(rejection) if rejection.status() == 429)
    );
}

#[tokio::test]
async fn a_goaway_in_the_middle_loses_nothing() {
    let json =
        r#"{"http2": {"rules": [{"when": {"every": 50}, "then": ["answer", {"go_away": {"reason": "Shutdown"}}]}]}}"#;
    let simulator = Simulator::builder().script(script(json)).keep(Keep::TokenCounts).start().await.unwrap();
    let client = with_token(&simulator).start().unwrap();
    let deliveries = settle_all(&client, (0..500).map(|n| notification(0xaa, n))).await;
    assert!(deliveries.iter().all(|one| confirmed(&one.outcome)));
    simulator.inspect(|log| {
        assert_eq!(log.accepted_by_token().filter(|(_, count)| *count == 1).count(), 500, "each once");
    });
}

#[tokio::test]
async fn b58_no_answer_is_unknown_after_its_time() {
    let json = r#"{"http2": {"rules": [{"when": {"token": "cc*"}, "then": []}]}}"#;
    let simulator = Simulator::builder().script(script(json)).start().await.unwrap();
    let client = with_certificate(&simulator).request_timeout(Duration::from_millis(100)).start().unwrap();
    let silent = client.submit(notification(0xcc, 1)).await;
    let answered = client.submit(notification(0xaa, 2)).await;
    assert!(confirmed(&answered.await.outcome));
    assert_eq!(silent.await.outcome, Outcome::Unknown { cause: UnknownCause::NoAnswer });
}

#[tokio::test]
async fn b47_credentials_for_the_other_environment_stop_the_client_and_are_named() {
    let json = r#"{"http2": {"sessions": [{"steps": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": {"at": 0}}}]}]}}"#;
    let simulator = Simulator::builder().script(script(json)).start().await.unwrap();
    let client = with_certificate(&simulator).start().unwrap();
    let outcome = client.send(notification(0xaa, 1)).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("BadCertificateEnvironment"), "{why}");
}

#[tokio::test]
async fn b115_a_server_without_h2_is_named() {
    let simulator = Simulator::start().await.unwrap();
    // The binary gateway of the same simulator chooses nothing.
    let client = Client::http2(common::gateway(&simulator), common::identity(&simulator))
        .roots(common::roots(&simulator))
        .start()
        .unwrap();
    let outcome = client.send(notification(0xaa, 1)).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("\"h2\"") && why.contains("ALPN"), "{why}");
}

#[tokio::test]
async fn b87_two_credentials_never_share_a_connection() {
    let simulator = Simulator::start().await.unwrap();
    let (one, other) = (with_token(&simulator).start().unwrap(), with_certificate(&simulator).start().unwrap());
    for number in 0..3 {
        assert!(confirmed(&one.send(notification(0xaa, number)).await));
        assert!(confirmed(&other.send(notification(0xaa, 10 + number)).await));
    }
    assert_eq!(simulator.counts().http2_connections, 2);
}

#[tokio::test]
async fn b92_only_hexadecimal_digits_reach_the_path() {
    for text in ["../x", "//host/x", "a?b", "a%2fb", "aa\r\nbb"] {
        assert!(DeviceToken::from_hex(text).is_err(), "{text:?}");
    }
    let simulator = Simulator::start().await.unwrap();
    let client = with_token(&simulator).start().unwrap();
    let mut events = client.events();
    let token = DeviceToken::from_hex("<AABB ccdd>").unwrap();
    let outcome = client.send(Notification::new(token, Payload::alert("x"))).await;
    assert!(confirmed(&outcome), "{outcome:?}");
    assert_eq!(simulator.requests()[0].token_hex(), "aabbccdd");
    assert!(matches!(events.try_next(), Some(ClientEvent::Dialling { .. })));
}
