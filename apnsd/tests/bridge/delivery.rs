//! From a frame to the service, and from an answer to an error response.

use std::time::Duration;

use apns_proto::binary::{ErrorResponse, Format, Status, encode_probe};
use apns_proto::{LossPolicy, Notification, Outcome, Payload, Rejection};
use apns_tokio::{Client, Endpoint, Identity, Roots};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};

use crate::client::{Manners, Old, frame, frame_as, payload};
use crate::support::{shop, token, until};
use crate::world::{Bridged, GONE_SINCE, bad, gone};

fn refused(status: Status, identifier: u32) -> ErrorResponse {
    ErrorResponse { status, identifier }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_good_is_delivered_and_a_bad_token_is_an_error_response() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    old.write(&frame(7, &token(1), &payload(1))).await;
    old.write(&frame(8, &bad(1), &payload(2))).await;
    assert_eq!(old.response().await, refused(Status::INVALID_TOKEN, 8));
    assert_eq!(bridged.accepted().into_iter().collect::<Vec<_>>(), [(token(1).as_bytes().to_vec(), 1)]);
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_b98_each_command_arrives_as_it_was_meant() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    old.write(&frame_as(Format::Simple, 0, &token(0), &payload(0), None)).await;
    old.write(&frame_as(Format::Enhanced, 1, &token(1), &payload(1), Some(2_000_000_000))).await;
    old.write(&frame_as(Format::Enhanced, 2, &token(2), &payload(2), Some(0))).await;
    old.write(&frame_as(Format::Items, 3, &token(3), r#"{"aps":{"content-available":1}}"#, None)).await;
    until("all four arrive", || async { bridged.accepted().len() == 4 }).await;
    let mut requests = bridged.requests();
    requests.sort_by(|one, other| one.token.cmp(&other.token));
    let told: Vec<_> = requests
        .iter()
        .map(|request| (request.expiration, request.priority, request.push_type.as_deref(), request.topic.as_deref()))
        .collect();
    let topic = Some("com.example.app");
    assert_eq!(
        told,
        [
            // The service's own policy, as the command had it; priority 10 is what both take where none is given.
            (None, None, Some("alert"), topic),
            (Some(2_000_000_000), None, Some("alert"), topic),
            (Some(0), None, Some("alert"), topic),
            (None, Some(5), Some("background"), topic),
        ]
    );
    assert_eq!(requests[1].payload, payload(1), "byte for byte");
    // Command 0 has no identifier, so the answer names none.
    old.write(&frame_as(Format::Simple, 0, &bad(0), &payload(0), None)).await;
    assert_eq!(old.response().await, refused(Status::INVALID_TOKEN, 0));
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_notification_has_its_status_behind_everything_before_it() {
    let bridged = Bridged::new().await;
    let item = |id: u8, data: &[u8]| [&[id], &u16::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat();
    let items = |items: &[Vec<u8>]| {
        let all = items.concat();
        [&[2], &u32::try_from(all.len()).unwrap().to_be_bytes()[..], &all].concat()
    };
    let identifier = item(3, &9_u32.to_be_bytes());
    let (good, body) = (item(1, &[7; 32]), item(2, b"{}"));
    let mut probe = BytesMut::new();
    encode_probe(9, &mut probe);
    let cases: [(&str, Vec<u8>, Status, u32); 13] = [
        ("probe", probe.to_vec(), Status::MISSING_DEVICE_TOKEN, 9),
        ("no token", items(&[identifier.clone(), body.clone()]), Status::MISSING_DEVICE_TOKEN, 9),
        ("long token", items(&[identifier.clone(), item(1, &[7; 101])]), Status::INVALID_TOKEN_SIZE, 9),
        ("no payload", items(&[identifier.clone(), good.clone()]), Status::MISSING_PAYLOAD, 9),
        ("empty payload", items(&[identifier.clone(), good.clone(), item(2, b"")]), Status::MISSING_PAYLOAD, 9),
        (
            "long payload",
            items(&[identifier.clone(), good.clone(), item(2, payload(0).replace('N', &"N".repeat(2048)).as_bytes())]),
            Status::INVALID_PAYLOAD_SIZE,
            9,
        ),
        ("no JSON", items(&[identifier.clone(), good.clone(), item(2, b"{\"aps\":")]), Status::PROTOCOL_ERROR, 9),
        ("no object", items(&[identifier.clone(), good.clone(), item(2, b"[1]")]), Status::PROTOCOL_ERROR, 9),
        ("no item", items(&[identifier.clone(), good.clone(), item(6, b"x")]), Status::PROTOCOL_ERROR, 9),
        ("no priority", items(&[identifier.clone(), good, body, item(5, &[7])]), Status::PROTOCOL_ERROR, 9),
        ("no command", vec![3, 0, 0], Status::PROTOCOL_ERROR, 0),
        ("endless frame", vec![2, 0xff, 0xff, 0xff, 0xff], Status::PROTOCOL_ERROR, 0),
        ("command 1", [&[1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0][..]].concat(), Status::MISSING_DEVICE_TOKEN, 9),
    ];
    for (place, (what, bytes, status, identifier)) in (0..).zip(cases) {
        let mut old = bridged.connect().await;
        // What stands behind it is thrown away.
        let all =
            [&frame(1, &token(place), &payload(place))[..], &bytes, &frame(10, &token(999), &payload(1))].concat();
        old.write(&all).await;
        let response = old.response().await;
        assert_eq!((response.status, response.identifier), (status, identifier), "{what}");
        assert_eq!(bridged.accepted().get(token(place).as_bytes()), Some(&1), "{what}: good before it");
        assert_eq!(bridged.accepted().get(token(999).as_bytes()), None, "{what}: not taken behind it");
    }
    bridged.daemon.stop().await;
}

/// Old clients give spans, or have a wrong clock.
#[tokio::test(flavor = "multi_thread")]
async fn an_expiration_in_the_past_is_one_attempt() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    for (number, format) in [(1, Format::Enhanced), (2, Format::Items)] {
        old.write(&frame_as(format, number, &token(number), &payload(number), Some(3600))).await;
    }
    until("both arrive", || async { bridged.accepted().len() == 2 }).await;
    assert!(bridged.requests().iter().all(|request| request.expiration == Some(0)));
    assert!(bridged.accepted().values().all(|copies| *copies == 1), "each once");
    bridged.daemon.stop().await;
}

/// The bridge names what is wrong, whatever the order of the items; most clients have the identifier behind the payload.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_status_and_its_identifier_in_every_order_of_the_items() {
    let bridged = Bridged::new().await;
    let item = |id: u8, data: &[u8]| [&[id], &u16::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat();
    let (good, body) = (item(1, &[7; 32]), item(2, br#"{"aps":{}}"#));
    let cases = [
        ("empty token", item(1, b""), body.clone(), Status::MISSING_DEVICE_TOKEN),
        ("long token", item(1, &[7; 101]), body.clone(), Status::INVALID_TOKEN_SIZE),
        ("longest token", item(1, &[7; 60_000]), body.clone(), Status::INVALID_TOKEN_SIZE),
        ("empty payload", good.clone(), item(2, b""), Status::MISSING_PAYLOAD),
        ("long payload", good.clone(), item(2, &[b' '; 5121]), Status::INVALID_PAYLOAD_SIZE),
        ("longest payload", good.clone(), item(2, &[b' '; 65_535]), Status::INVALID_PAYLOAD_SIZE),
        ("no JSON", good.clone(), item(2, b"{"), Status::PROTOCOL_ERROR),
        ("no token", Vec::new(), body.clone(), Status::MISSING_DEVICE_TOKEN),
        ("no payload", good.clone(), Vec::new(), Status::MISSING_PAYLOAD),
    ];
    let mut number = 0;
    for (what, token, payload, status) in cases {
        let identifier = item(3, &9_u32.to_be_bytes());
        for order in [
            [&token, &payload, &identifier],
            [&payload, &token, &identifier],
            [&identifier, &token, &payload],
            [&token, &identifier, &payload],
        ] {
            number += 1;
            let all = [order[0], order[1], order[2], &item(4, &[0; 4]), &item(5, &[10])].map(Vec::as_slice).concat();
            let mut old = bridged.connect().await;
            let good = frame(1, &crate::support::token(number), &crate::client::payload(number));
            old.write(&[&good[..], &[2], &u32::try_from(all.len()).unwrap().to_be_bytes(), &all].concat()).await;
            let response = old.response().await;
            assert_eq!((response.status, response.identifier), (status, 9), "{what}");
        }
    }
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_closest_status() {
    let answers = [
        (400, "BadDeviceToken", Some(Status::INVALID_TOKEN)),
        (400, "DeviceTokenNotForTopic", Some(Status::INVALID_TOKEN)),
        (400, "MissingDeviceToken", Some(Status::MISSING_DEVICE_TOKEN)),
        (413, "PayloadTooLarge", Some(Status::INVALID_PAYLOAD_SIZE)),
        (400, "PayloadEmpty", Some(Status::MISSING_PAYLOAD)),
        (400, "MissingTopic", Some(Status::MISSING_TOPIC)),
        (400, "TopicDisallowed", Some(Status::INVALID_TOPIC_SIZE)),
        (400, "BadExpirationDate", Some(Status::PROTOCOL_ERROR)),
        (400, "SomethingNew", Some(Status::UNKNOWN)),
        (410, "Unregistered", None),
        (410, "ExpiredToken", None),
    ];
    let rule = |place: usize, status: u16, reason: &str| {
        let token = token(u32::try_from(place).unwrap()).to_hex();
        format!(
            "{{\"when\": {{\"token\": \"{token}\"}}, \"then\": [{{\"answer_with\": {{\"status\": {status}, \"reason\": \"{reason}\"}}}}]}}"
        )
    };
    let rules: Vec<String> =
        answers.iter().enumerate().map(|(place, (status, reason, _))| rule(place, *status, reason)).collect();
    let script = format!("{{\"http2\": {{\"rules\": [{}]}}}}", rules.join(","));
    let bridged = Bridged::with_script(&script, "", "").await;
    for (place, (_, reason, expected)) in (0..).zip(answers) {
        let mut old = bridged.connect().await;
        old.write(&frame(5, &token(place), &payload(place))).await;
        match expected {
            Some(status) => assert_eq!(old.response().await, refused(status, 5), "{reason}"),
            None => {
                // Silence: the probe is answered, and proves that nothing was refused before it.
                let mut probe = BytesMut::new();
                encode_probe(6, &mut probe);
                old.write(&probe).await;
                assert_eq!(old.response().await, refused(Status::MISSING_DEVICE_TOKEN, 6), "{reason}");
            }
        }
    }
    bridged.daemon.stop().await;
}

/// The promise of it all, seen from a client that counts: of many notifications each good one is delivered exactly once,
/// each bad one is named with its status, and who is unregistered is in the feedback list.
async fn our_own_binary_client_through_the_bridge(policy: LossPolicy) {
    let bridged = Bridged::new().await;
    let simulator = &bridged.world.simulator;
    let identity = Identity::from_pem(
        simulator.client_certificate_pem().as_bytes(),
        Some(simulator.client_key_pem().as_bytes()),
        None,
    )
    .unwrap();
    let client = Client::binary(Endpoint::new("localhost", bridged.gateway().port()), identity)
        .roots(Roots::only_pem(bridged.ca().as_bytes()).unwrap())
        .loss_policy(policy)
        .start()
        .unwrap();
    const COUNT: u32 = 2000;
    // Neighbours, the first and the last among them.
    let is_bad = |place: u32| place % 97 < 2 || place == COUNT - 1;
    let is_gone = |place: u32| place % 50 == 7;
    let device = |place: u32| match place {
        place if is_bad(place) => bad(place % 1000),
        place if is_gone(place) => gone(place / 50),
        place => token(place),
    };
    let notifications = (0..COUNT).map(|place| {
        let payload = Payload::from_json(payload(place)).unwrap();
        (place, Notification::new(device(place), payload))
    });
    let mut outcomes = client.send_all(stream::iter(notifications));
    let mut seen = 0;
    while let Some((place, delivery)) = outcomes.next().await {
        seen += 1;
        match delivery.outcome {
            Outcome::Accepted { .. } => assert!(!is_bad(place), "{place}"),
            Outcome::Rejected(Rejection::Gateway(Status::INVALID_TOKEN)) => assert!(is_bad(place), "{place}"),
            other => panic!("{place}: {other:?}"),
        }
    }
    assert_eq!(seen, COUNT);
    bridged.idle().await;
    let good = (0..COUNT).filter(|place| !is_bad(*place) && !is_gone(*place));
    let expected = good.map(|place| (token(place).as_bytes().to_vec(), 1)).collect();
    assert_eq!(bridged.accepted(), expected, "each good one exactly once");

    let old = Old::connect_as(&bridged, bridged.feedback(), &Manners::usual(&bridged)).await.unwrap();
    let mut told: Vec<_> =
        old.records().await.into_iter().map(|record| (record.token.to_vec(), record.timestamp.as_secs())).collect();
    told.sort();
    let mut expected: Vec<_> = (0..COUNT)
        .filter(|place| is_gone(*place) && !is_bad(*place))
        .map(|place| (gone(place / 50).as_bytes().to_vec(), GONE_SINCE / 1000))
        .collect();
    expected.sort();
    assert_eq!(told, expected);
    drop(client.close(Duration::from_secs(1)).await);
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_binary_client_gets_each_one_delivered_once_under_report() {
    our_own_binary_client_through_the_bridge(LossPolicy::Report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_binary_client_gets_each_one_delivered_once_under_resend() {
    our_own_binary_client_through_the_bridge(LossPolicy::RESEND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_the_error_response_arrives_although_the_client_goes_on_writing() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    old.write(&frame(1, &bad(1), &payload(1))).await;
    // Far more than all buffers on the way hold: somebody has to read it, and not into memory.
    let more: Vec<u8> = (0..20_000).flat_map(|place| frame(2 + place, &token(place), &payload(place))).collect();
    old.try_write(&more).await;
    assert_eq!(old.response().await, refused(Status::INVALID_TOKEN, 1));
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_at_once_leaves_nothing_behind() {
    let bridged = Bridged::new().await;
    for place in 0..20 {
        let mut old = bridged.connect().await;
        old.write(&frame(1, &token(place), &payload(place))).await;
        old.write(&frame(2, &bad(place), &payload(place))).await;
        // Half of one that never comes.
        old.write(&frame(3, &token(99), &payload(99))[..30]).await;
        old.close().await;
    }
    until("all good ones arrive", || async { bridged.accepted().len() == 20 }).await;
    bridged.settled(40).await;
    let outcomes = bridged.daemon.service().snapshot(&shop()).unwrap();
    assert_eq!(outcomes.ended.get("BadDeviceToken"), Some(&20), "in the outcomes, where nobody hears of it");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_holds_the_client_back_and_loses_nothing() {
    let room = "[outbox]\nmax_notifications = 40\nmax_per_app = 40\n";
    let bridged =
        Bridged::with_script("{\"http2\": {\"rules\": [{\"then\": [{\"wait_ms\": 20}, \"answer\"]}]}}", "", room).await;
    let mut old = bridged.connect().await;
    let all: Vec<u8> = (0..500).flat_map(|place| frame(place, &token(place), &payload(place))).collect();
    old.write(&all).await;
    until("all arrive", || async { bridged.accepted().len() == 500 }).await;
    assert!(bridged.accepted().values().all(|count| *count == 1));
    bridged.daemon.stop().await;
}
