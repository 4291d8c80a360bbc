//! What a client sends again after an error response is not delivered twice, and nothing is delivered less than once.

use apns_proto::DeviceToken;
use apns_proto::binary::{ErrorResponse, Status};

use crate::client::{Manners, Old, frame, payload};
use crate::support::{shop, token, until};
use crate::world::{Bridged, bad, gone};

/// Sends all, and after each error response again what followed, under other identifiers. Gives the places that were
/// named.
async fn send_and_resend(
    bridged: &Bridged,
    manners: &Manners,
    wanted: &[(DeviceToken, String)],
) -> Vec<(usize, Status)> {
    let mut named = Vec::new();
    let mut first = 0;
    // A probe at the end says that nothing more is wrong: it is refused in any case, and for another reason.
    while first <= wanted.len() {
        let base = 1000 * u32::try_from(named.len() + 1).unwrap();
        let mut bytes = Vec::new();
        for (number, (token, payload)) in (base..).zip(&wanted[first..]) {
            bytes.extend(frame(number, token, payload));
        }
        let mut probe = bytes::BytesMut::new();
        apns_proto::binary::encode_probe(u32::MAX, &mut probe);
        bytes.extend_from_slice(&probe);
        let mut old = Old::connect_as(bridged, bridged.gateway(), manners).await.unwrap();
        old.try_write(&bytes).await;
        let ErrorResponse { status, identifier } = old.response().await;
        if identifier == u32::MAX {
            assert_eq!(status, Status::MISSING_DEVICE_TOKEN);
            return named;
        }
        let place = first + usize::try_from(identifier - base).unwrap();
        named.push((place, status));
        first = place + 1;
    }
    named
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_again_has_each_delivered_once_twins_included() {
    let bridged = Bridged::new().await;
    // Twins, triplets, bad ones at both ends and beside each other, the same bad one twice, and unregistered ones.
    let wanted: Vec<(DeviceToken, String)> = (0..400_u32)
        .map(|place| match place {
            0 | 399 => (bad(0), payload(0)),
            place if place % 31 < 2 => (bad(place), payload(place)),
            place if place % 10 == 3 => (gone(place), payload(place)),
            place => (token(place % 40), payload(place % 3)),
        })
        .collect();
    let is_bad = |place: u32| place == 0 || place == 399 || place % 31 < 2;
    let named = send_and_resend(&bridged, &Manners::usual(&bridged), &wanted).await;
    let expected: Vec<(usize, Status)> = (0..400)
        .filter(|place| is_bad(*place))
        .map(|place| (usize::try_from(place).unwrap(), Status::INVALID_TOKEN))
        .collect();
    assert_eq!(named, expected, "each bad one is named, in order, and nothing else");
    let mut counts = std::collections::BTreeMap::new();
    for (place, (token, _)) in (0..400_u32).zip(&wanted) {
        if !is_bad(place) && place % 10 != 3 {
            *counts.entry(token.as_bytes().to_vec()).or_insert(0_u64) += 1;
        }
    }
    // The last probe was answered when everything before it was settled.
    assert_eq!(bridged.accepted(), counts);
    bridged.daemon.stop().await;
}

/// Takes one good one behind a bad one, and waits until it is delivered.
async fn one_behind_a_bad_one(bridged: &Bridged, manners: &Manners) {
    let mut old = Old::connect_as(bridged, bridged.gateway(), manners).await.unwrap();
    let both = [frame(1, &bad(1), &payload(1)), frame(2, &token(1), &payload(1))].concat();
    // In one piece, so that both are taken before the answer to the first one.
    old.write(&both).await;
    assert_eq!(old.response().await, ErrorResponse { status: Status::INVALID_TOKEN, identifier: 1 });
    until("the one behind it arrives", || async { bridged.accepted().get(token(1).as_bytes()) == Some(&1) }).await;
}

async fn send(bridged: &Bridged, manners: &Manners, bytes: &[u8]) {
    let mut old = Old::connect_as(bridged, bridged.gateway(), manners).await.unwrap();
    old.write(bytes).await;
    old.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_again_is_recognised_once_and_its_twin_is_new() {
    let bridged = Bridged::new().await;
    let manners = Manners::usual(&bridged);
    one_behind_a_bad_one(&bridged, &manners).await;
    let again = frame(77, &token(1), &payload(1));
    let marker = |number| frame(number, &token(number), &payload(number));
    send(&bridged, &manners, &[again.clone(), marker(2)].concat()).await;
    until("what came with it arrives", || async { bridged.accepted().contains_key(token(2).as_bytes()) }).await;
    assert_eq!(bridged.accepted()[token(1).as_bytes()], 1, "it was delivered already");
    let figures = bridged.daemon.service().snapshot(&shop()).unwrap().bridge;
    assert_eq!((figures.recognised, figures.responses.get(&8)), (1, Some(&1)));
    send(&bridged, &manners, &[again, marker(3)].concat()).await;
    until("a new one arrives", || async { bridged.accepted()[token(1).as_bytes()] == 2 }).await;
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_in_anything_is_new() {
    let bridged = Bridged::new().await;
    let manners = Manners::usual(&bridged);
    one_behind_a_bad_one(&bridged, &manners).await;
    let expiration = crate::client::frame_as(Default::default(), 5, &token(1), &payload(1), Some(2_000_000_001));
    send(&bridged, &manners, &[frame(4, &token(1), &payload(2)), expiration].concat()).await;
    until("both arrive", || async { bridged.accepted()[token(1).as_bytes()] == 3 }).await;
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_error_response_nothing_is_recognised() {
    let bridged = Bridged::new().await;
    let manners = Manners::usual(&bridged);
    for count in 1..=3 {
        send(&bridged, &manners, &frame(1, &token(1), &payload(1))).await;
        until("it arrives", || async { bridged.accepted().get(token(1).as_bytes()) == Some(&count) }).await;
    }
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_of_the_same_app_is_another_client() {
    let bridged = Bridged::new().await;
    one_behind_a_bad_one(&bridged, &Manners::usual(&bridged)).await;
    let (certificate, key) = crate::door::certificate("com.example.app", |_| {});
    send(&bridged, &Manners::with(&certificate, &key), &frame(2, &token(1), &payload(1))).await;
    until("it arrives", || async { bridged.accepted()[token(1).as_bytes()] == 2 }).await;
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_send_again_loses_nothing() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    let all: Vec<u8> = (0..50).flat_map(|place| frame(2 + place, &token(place), &payload(place))).collect();
    old.write(&[frame(1, &bad(1), &payload(1)), all].concat()).await;
    assert_eq!(old.response().await.identifier, 1);
    until("all that was taken arrives", || async { bridged.accepted().len() == 50 }).await;
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_one_among_those_behind_is_named_when_it_comes_again() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    let behind = |base: u32| {
        [
            frame(base, &token(1), &payload(1)),
            frame(base + 1, &bad(2), &payload(2)),
            frame(base + 2, &token(3), &payload(3)),
        ]
        .concat()
    };
    old.write(&[frame(1, &bad(1), &payload(1)), behind(2)].concat()).await;
    assert_eq!(old.response().await.identifier, 1);
    bridged.settled(4).await;
    let asked = bridged.requests().len();
    let mut old = bridged.connect().await;
    old.write(&behind(100)).await;
    assert_eq!(old.response().await, ErrorResponse { status: Status::INVALID_TOKEN, identifier: 101 });
    assert_eq!(bridged.requests().len(), asked, "nobody was asked again");
    let mut old = bridged.connect().await;
    old.write(&[frame(200, &token(3), &payload(3)), frame(201, &token(4), &payload(4))].concat()).await;
    until("the new one arrives", || async { bridged.accepted().contains_key(token(4).as_bytes()) }).await;
    let counts: Vec<u64> = bridged.accepted().into_values().collect();
    assert_eq!(counts, [1, 1, 1]);
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_errors_as_feedback_no_bad_token_ends_a_connection() {
    let bridged = Bridged::with("", "errors = \"feedback\"\n").await;
    let mut old = bridged.connect().await;
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for place in 0..30 {
        let device = if place % 3 == 0 { bad(place) } else { token(place) };
        old.write(&frame(place, &device, &payload(place))).await;
    }
    bridged.settled(30).await;
    assert_eq!(bridged.accepted().len(), 20);
    let feedback = Old::connect_as(&bridged, bridged.feedback(), &Manners::usual(&bridged)).await.unwrap();
    let mut told = feedback.records().await;
    told.sort_by(|one, other| one.token.cmp(&other.token));
    let expected: Vec<DeviceToken> = (0..30).filter(|place| place % 3 == 0).map(bad).collect();
    assert_eq!(told.len(), expected.len());
    for (record, device) in told.iter().zip(&expected) {
        assert_eq!(&record.token[..], device.as_bytes());
        assert!(record.timestamp.as_secs() >= before, "since it was found out");
    }
    // What is no notification ends it all the same.
    old.write(&[9]).await;
    assert_eq!(old.response().await.status, Status::PROTOCOL_ERROR);
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_of_one_client_have_each_delivered_once() {
    let bridged = std::sync::Arc::new(Bridged::new().await);
    // All of them send to the same few devices, so that each one's resends look like the others' notifications.
    let list = |number: u32| -> Vec<(DeviceToken, String)> {
        (0..120)
            .map(|place| match place % 17 {
                5 => (bad(number * 120 + place), payload(place)),
                _ => (token(place % 7), payload(place % 2)),
            })
            .collect()
    };
    let senders: Vec<_> = (0..6)
        .map(|number| {
            let (bridged, wanted) = (bridged.clone(), list(number));
            tokio::spawn(async move { send_and_resend(&bridged, &Manners::usual(&bridged), &wanted).await })
        })
        .collect();
    let mut counts = std::collections::BTreeMap::new();
    for (number, sender) in (0..).zip(senders) {
        let wanted = list(number);
        let expected: Vec<usize> = (0..120).filter(|place| place % 17 == 5).collect();
        let named: Vec<usize> = sender.await.unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(named, expected);
        for (place, (token, _)) in wanted.iter().enumerate() {
            if place % 17 != 5 {
                *counts.entry(token.as_bytes().to_vec()).or_insert(0_u64) += 1;
            }
        }
    }
    until("as many as were sent arrive", || async {
        bridged.accepted().values().sum::<u64>() >= counts.values().sum::<u64>()
    })
    .await;
    bridged.idle().await;
    assert_eq!(bridged.accepted(), counts);
}
