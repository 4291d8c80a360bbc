//! The feedback service.

use std::time::Duration;

use apns_sim::{Script, Simulator};
use apns_tokio::feedback::{FeedbackFailure, fetch};
use apns_tokio::proto::binary::FeedbackEnd;
use futures_util::StreamExt;

use crate::common;

async fn read(simulator: &Simulator, idle: Duration) -> (Vec<(u64, Vec<u8>)>, Option<FeedbackFailure>) {
    let mut stream = fetch(common::feedback(simulator), common::identity(simulator))
        .roots(common::roots(simulator))
        .idle_time(idle)
        .start()
        .expect("the settings are good");
    let (mut records, mut failure) = (Vec::new(), None);
    while let Some(item) = stream.next().await {
        match item {
            Ok(record) => records.push((record.timestamp.as_secs(), record.token.to_vec())),
            Err(error) => failure = Some(error),
        }
    }
    (records, failure)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn records_are_read_once_and_then_gone() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1700000000}, {"token": "00", "timestamp": 1}]}}"#;
    let simulator = Simulator::builder().script(Script::from_json(json).unwrap()).start().await.unwrap();
    let (records, failure) = read(&simulator, LONG).await;
    assert_eq!(records, [(1_700_000_000, vec![0xde, 0xad, 0xbe, 0xef]), (1, vec![0])]);
    assert_eq!(failure, None);
    assert_eq!(read(&simulator, LONG).await, (vec![], None));
}

#[tokio::test]
async fn p11_the_end_inside_a_record_keeps_the_whole_ones_and_says_truncated() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}], "tail": "0000000200"}}"#;
    let simulator = Simulator::builder().script(Script::from_json(json).unwrap()).start().await.unwrap();
    let (records, failure) = read(&simulator, LONG).await;
    assert_eq!(records.len(), 1);
    assert!(matches!(failure, Some(FeedbackFailure::Incomplete(FeedbackEnd::Truncated(_)))), "{failure:?}");
}

#[tokio::test]
async fn b25_a_service_that_never_closes_ends_after_the_idle_time() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}], "ending": "stay_open"}}"#;
    let simulator = Simulator::builder().script(Script::from_json(json).unwrap()).start().await.unwrap();
    let (records, failure) = read(&simulator, Duration::from_millis(100)).await;
    assert_eq!((records.len(), failure), (1, None));
}

#[tokio::test]
async fn no_connection_is_an_error_that_says_which_step_failed() {
    let simulator = Simulator::start().await.unwrap();
    let stream = fetch(common::feedback(&simulator), common::identity(&simulator)).roots(common::roots(&simulator));
    simulator.stop().await;
    let items: Vec<_> = stream.start().unwrap().collect().await;
    let [Err(FeedbackFailure::Dial(failure))] = &items[..] else { panic!("{items:?}") };
    assert!(failure.to_string().starts_with("cannot connect"), "{failure}");
}
