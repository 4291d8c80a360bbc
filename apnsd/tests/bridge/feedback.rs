//! The feedback service.

use apns_proto::WallTime;
use apnsd::outbox::Cursor;

use crate::client::{Manners, Old, frame, payload};
use crate::support::{shop, token};
use crate::world::{Bridged, GONE_SINCE, bad, gone};

async fn records(bridged: &Bridged) -> Vec<(Vec<u8>, u64)> {
    let old = Old::connect_as(bridged, bridged.feedback(), &Manners::usual(bridged)).await.unwrap();
    let records = old.records().await;
    records.into_iter().map(|record| (record.token.to_vec(), record.timestamp.as_secs())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b28_who_is_gone_is_told_once_with_the_true_time_and_the_api_keeps_a_copy() {
    let bridged = Bridged::new().await;
    assert_eq!(records(&bridged).await, [], "an empty list is a list");
    let mut old = bridged.connect().await;
    // As many as are read at once, so that there is an end to be found.
    let all: Vec<u8> = (0..1000).flat_map(|place| frame(place, &gone(place), &payload(place))).collect();
    old.write(&all).await;
    old.write(&frame(1000, &token(1), &payload(1))).await;
    bridged.settled(1001).await;
    assert_eq!(bridged.accepted().len(), 1, "nobody who is gone is an error");
    let mut told = records(&bridged).await;
    told.sort();
    let expected: Vec<_> = (0..1000).map(|place| (gone(place).as_bytes().to_vec(), GONE_SINCE / 1000)).collect();
    assert!(told == expected, "{} records, {:?} first", told.len(), told.first());
    assert_eq!(records(&bridged).await.len(), 0, "reading clears the list");

    let service = bridged.daemon.service();
    let page = service.invalid_tokens(&shop(), &Cursor::default(), WallTime::EPOCH, 2000).await.unwrap();
    assert_eq!(page.tokens.len(), 1000, "the JSON API has them still");
    assert_eq!(page.tokens[0].since, Some(WallTime::from_millis(GONE_SINCE)));
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_read_to_the_end_is_told_again() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    old.write(&frame(1, &gone(1), &payload(1))).await;
    bridged.settled(1).await;
    // Connects, and neither reads nor closes. The next one waits until this one is given up.
    let idle = Old::connect_as(&bridged, bridged.feedback(), &Manners::usual(&bridged)).await.unwrap();
    assert_eq!(records(&bridged).await.len(), 1);
    assert_eq!(records(&bridged).await.len(), 0, "this one read it");
    drop(idle);
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_no_feedback_unless_that_is_asked_for() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    old.write(&frame(1, &bad(1), &payload(1))).await;
    assert_eq!(old.response().await.identifier, 1);
    assert_eq!(records(&bridged).await, []);
    bridged.daemon.stop().await;
}
