//! The HTTP/2 provider API.

use std::time::Duration;

use apns_driver::apns_credentials::{SigningKey, SigningSource};
use apns_driver::{Client, ClientEvent, Runtime};
use apns_proto::http2::{KeyId, TeamId};
use apns_proto::{
    ApnsId, DeviceToken, NotSentCause, Notification, Outcome, Payload, Rejection, RetryPolicy, TokenVerdict, Topic,
    UnknownCause,
};
use apns_sim::{Keep, Simulator, TlsVersion};

use super::common::*;

fn notification(first: u8, number: u32) -> Notification {
    Notification::new(token(first, number), Payload::alert("Tea is ready"))
}

pub async fn both_credentials_are_taken<R: Runtime + Default>() {
    let simulator = simulator();
    for client in [with_token::<R>(&simulator).start().unwrap(), with_certificate::<R>(&simulator).start().unwrap()] {
        let outcome = client.send(notification(0xaa, 1)).await;
        assert!(answered(&outcome), "{outcome:?}");
        drop(client.close(LIMIT).await);
    }
    let requests = simulator.requests();
    assert_eq!(requests.len(), 2);
}

pub async fn twenty_thousand_with_one_bad_in_a_hundred_agree_with_the_service<R: Runtime + Default>() {
    const COUNT: u32 = 20_000;
    let simulator = start(Simulator::builder().script(script(BAD_TOKENS)).keep(Keep::TokenCounts));
    let client = with_token::<R>(&simulator).start().unwrap();
    let is_bad = |number: u32| number % 100 == 50;
    let all = (0..COUNT).map(|n| notification(if is_bad(n) { BAD } else { 0xaa }, n));
    let deliveries = settle_all(&client, all).await;
    for (number, delivery) in (0..COUNT).zip(&deliveries) {
        match &delivery.outcome {
            Outcome::Rejected(rejection) if is_bad(number) => {
                assert_eq!((rejection.status(), rejection.reason()), (400, "BadDeviceToken"));
            }
            outcome => assert!(!is_bad(number) && answered(outcome), "{number}: {outcome:?}"),
        }
    }
    simulator.inspect(|log| {
        let taken: Vec<u64> = log.accepted_by_token().map(|(_, count)| count).collect();
        assert_eq!(taken.len() as u32, COUNT * 99 / 100);
        assert!(taken.iter().all(|count| *count == 1), "each good one once");
    });
}

pub async fn an_unregistered_token_comes_with_its_time<R: Runtime + Default>() {
    let json = r#"{"http2": {"unregistered": [{"token": "aa*", "timestamp_ms": 1527206400000}]}}"#;
    let simulator = playing(script(json));
    let client = with_token::<R>(&simulator).start().unwrap();
    let Outcome::Rejected(rejection) = client.send(notification(0xaa, 1)).await else { panic!("it is refused") };
    assert_eq!((rejection.status(), rejection.reason()), (410, "Unregistered"));
    let TokenVerdict::DropIfRegisteredBefore(time) = rejection.token_verdict() else { panic!("{rejection:?}") };
    assert_eq!(time.as_secs(), 1_527_206_400);
}

pub async fn b60_a_refusal_for_the_time_being_is_sent_again_where_asked<R: Runtime + Default>() {
    let json = r#"{"http2": {"rules": [{"when": {"arrival": 1}, "then": [{"answer_with": {"status": 429, "reason": "TooManyRequests", "retry_after": "1"}}]}]}}"#;
    let simulator = playing(script(json));
    let patient = with_token::<R>(&simulator).retry(RetryPolicy::default().with_retries(1)).start().unwrap();
    let delivery = patient.submit(notification(0xaa, 1)).await.await;
    assert!(answered(&delivery.outcome), "{delivery:?}");
    assert_eq!(delivery.attempts, 2);

    simulator.forget();
    simulator.set_script(script(json));
    let client = with_token::<R>(&simulator).start().unwrap();
    assert!(
        matches!(client.send(notification(0xaa, 1)).await, Outcome::Rejected(rejection) if rejection.status() == 429)
    );
}

pub async fn a_goaway_in_the_middle_loses_nothing<R: Runtime + Default>() {
    let json =
        r#"{"http2": {"rules": [{"when": {"every": 50}, "then": ["answer", {"go_away": {"reason": "Shutdown"}}]}]}}"#;
    let simulator = start(Simulator::builder().script(script(json)).keep(Keep::TokenCounts));
    let client = with_token::<R>(&simulator).start().unwrap();
    let deliveries = settle_all(&client, (0..500).map(|n| notification(0xaa, n))).await;
    assert!(deliveries.iter().all(|one| answered(&one.outcome)));
    simulator.inspect(|log| {
        assert_eq!(log.accepted_by_token().filter(|(_, count)| *count == 1).count(), 500, "each once");
    });
}

pub async fn b58_no_answer_is_unknown_after_its_time<R: Runtime + Default>() {
    let json = r#"{"http2": {"rules": [{"when": {"token": "cc*"}, "then": []}]}}"#;
    let simulator = playing(script(json));
    let client = with_certificate::<R>(&simulator).request_timeout(Duration::from_millis(100)).start().unwrap();
    let silent = client.submit(notification(0xcc, 1)).await;
    assert!(answered(&client.send(notification(0xaa, 2)).await));
    assert_eq!(silent.await.outcome, Outcome::Unknown { cause: UnknownCause::NoAnswer });
}

pub async fn b47_credentials_for_the_other_environment_are_named<R: Runtime + Default>() {
    let json = r#"{"http2": {"sessions": [{"steps": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": {"at": 0}}}]}]}}"#;
    let simulator = playing(script(json));
    let client = with_certificate::<R>(&simulator).start().unwrap();
    let outcome = client.send(notification(0xaa, 1)).await;
    let Outcome::NotSent { cause: NotSentCause::CredentialRefused(refusal) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.reason(), Some("BadCertificateEnvironment"));
}

pub async fn b87_two_credentials_never_share_a_connection<R: Runtime + Default>() {
    let json = r#"{"http2": {"keys": [{"key_id": "OTHERKEY02", "team_id": "OTHERTEAM2"}]}}"#;
    let simulator = playing(script(json));
    let key = SigningKey::read(simulator.signing_key_pem().as_bytes()).unwrap();
    let other_team = SigningSource::new(key, KeyId::new("OTHERKEY02").unwrap(), TeamId::new("OTHERTEAM2").unwrap());
    let topic = Topic::new("com.example.app").unwrap();
    let other_team = Client::<R>::http2(provider(&simulator), other_team).roots(roots(&simulator)).topic(topic);
    let clients = [with_token::<R>(&simulator), other_team, with_certificate::<R>(&simulator)];
    let clients = clients.map(|client| client.start().unwrap());
    for round in 0..3 {
        for (number, client) in (0..).zip(&clients) {
            let outcome = client.send(notification(0xaa, 10 * number + round)).await;
            assert!(answered(&outcome), "{outcome:?}");
        }
    }
    assert_eq!(simulator.counts().http2_connections, 3, "each has its own, and no more");
}

pub async fn b108_two_with_the_same_apns_id_at_once_are_told_apart<R: Runtime + Default>() {
    let json = r#"{"invalid_tokens": ["bb*"], "http2": {"rules": [{"when": {"token": "aa*"}, "then": [{"wait_ms": 50}, "answer"]}]}}"#;
    let simulator = playing(script(json));
    let client = with_certificate::<R>(&simulator).start().unwrap();
    let id: ApnsId = "27CFDC15-0AB4-4D6F-9CF1-24D5D3D1D0A1".parse().unwrap();
    let good = client.submit(notification(0xaa, 1).with_apns_id(id)).await;
    let bad = client.submit(notification(BAD, 2).with_apns_id(id)).await;
    let Outcome::Rejected(Rejection::Provider(rejection)) = bad.await.outcome else { panic!("it is refused") };
    assert_eq!((rejection.reason_text(), rejection.apns_id()), (Some("BadDeviceToken"), Some(id)));
    let Outcome::Accepted { apns_id, .. } = good.await.outcome else { panic!("it is taken") };
    assert_eq!(apns_id, Some(id));
    assert_eq!(simulator.counts().http2_connections, 1, "both on one connection");
}

pub async fn b92_only_hexadecimal_digits_reach_the_path<R: Runtime + Default>() {
    for text in ["../x", "//host/x", "a?b", "a%2fb", "aa\r\nbb"] {
        assert!(DeviceToken::from_hex(text).is_err(), "{text:?}");
    }
    let simulator = simulator();
    let client = with_token::<R>(&simulator).start().unwrap();
    let mut events = client.events();
    let token = DeviceToken::from_hex("<AABB ccdd>").unwrap();
    let outcome = client.send(Notification::new(token, Payload::alert("x"))).await;
    assert!(answered(&outcome), "{outcome:?}");
    assert_eq!(simulator.requests()[0].token_hex(), "aabbccdd");
    assert!(matches!(events.try_next(), Some(ClientEvent::Dialling { .. })));
}

pub async fn a_cut_connection_ends_what_was_under_way_and_a_new_one_follows<R: Runtime + Default>() {
    let json = r#"{"http2": {"rules": [{"when": {"token": "cc*"}, "then": []}]}}"#;
    let simulator = playing(script(json));
    let client = with_certificate::<R>(&simulator).start().unwrap();
    let silent = client.submit(notification(0xcc, 1)).await;
    simulator.wait_for(|log| log.requests().count() == 1).await;
    simulator.cut_connections();
    let outcome = silent.await.outcome;
    assert!(matches!(outcome, Outcome::Unknown { cause: UnknownCause::ConnectionLost(_) }), "{outcome:?}");
    assert!(answered(&client.send(notification(0xaa, 2)).await));
    assert_eq!(simulator.counts().http2_connections, 2);
}

pub async fn tls_1_2_works_as_well<R: Runtime + Default>() {
    let simulator = start(Simulator::builder().highest_tls(TlsVersion::V1_2));
    for client in [with_token::<R>(&simulator).start().unwrap(), with_certificate::<R>(&simulator).start().unwrap()] {
        assert!(answered(&client.send(notification(0xaa, 1)).await));
    }
}

pub async fn closing_waits_for_what_is_under_way<R: Runtime + Default>() {
    let simulator = simulator();
    let client = with_certificate::<R>(&simulator).start().unwrap();
    let pendings: Vec<_> = (0..200).map(|n| client.try_send(notification(0xaa, n)).unwrap()).collect();
    assert_eq!(client.close(LIMIT).await.unsettled, []);
    for pending in pendings {
        assert!(answered(&pending.await.outcome));
    }
}
