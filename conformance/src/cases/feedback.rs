//! The feedback service.

use std::time::Duration;

use apns_driver::Runtime;
use apns_driver::feedback::{FeedbackFailure, fetch};
use apns_proto::binary::FeedbackEnd;
use apns_proto::{DialFailure, DialStep, WallTime};
use apns_sim::{Faults, FeedbackScript, HandshakeFault, Script, Simulator, TlsVersion};
use futures_util::StreamExt;

use super::common::*;

async fn read<R: Runtime + Default + Unpin>(
    simulator: &Simulator,
    idle: Duration,
) -> (Vec<(u64, Vec<u8>)>, Option<FeedbackFailure>) {
    let mut stream = fetch::<R>(feedback(simulator), identity(simulator))
        .roots(roots(simulator))
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

pub async fn records_are_read_once_and_then_gone<R: Runtime + Default + Unpin>() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1700000000}, {"token": "00", "timestamp": 1}]}}"#;
    let simulator = playing(script(json));
    let (records, failure) = read::<R>(&simulator, LONG).await;
    assert_eq!(records, [(1_700_000_000, vec![0xde, 0xad, 0xbe, 0xef]), (1, vec![0])]);
    assert_eq!(failure, None);
    assert_eq!(read::<R>(&simulator, LONG).await, (vec![], None));
}

pub async fn p11_the_end_inside_a_record_keeps_the_whole_ones_and_says_truncated<R: Runtime + Default + Unpin>() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}], "tail": "0000000200"}}"#;
    let simulator = playing(script(json));
    let (records, failure) = read::<R>(&simulator, LONG).await;
    assert_eq!(records.len(), 1);
    assert!(matches!(failure, Some(FeedbackFailure::Incomplete(FeedbackEnd::Truncated(_)))), "{failure:?}");
}

pub async fn b25_a_service_that_never_closes_ends_after_the_idle_time<R: Runtime + Default + Unpin>() {
    let json = r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}], "ending": "stay_open"}}"#;
    let simulator = playing(script(json));
    let (records, failure) = read::<R>(&simulator, Duration::from_millis(100)).await;
    assert_eq!((records.len(), failure), (1, None));
}

pub async fn no_connection_is_an_error_that_says_which_step_failed<R: Runtime + Default + Unpin>() {
    let simulator = simulator();
    let stream = fetch::<R>(feedback(&simulator), identity(&simulator)).roots(roots(&simulator));
    simulator.stop().await;
    let items: Vec<_> = stream.start().unwrap().collect().await;
    let [Err(FeedbackFailure::Dial(failure))] = &items[..] else { panic!("{items:?}") };
    assert_eq!((failure.step, failure.tls), (DialStep::Connect, None));
    assert!(failure.to_string().starts_with("cannot connect"), "{failure}");
}

pub async fn ten_thousand_records_are_all_read<R: Runtime + Default + Unpin>() {
    const COUNT: u64 = 10_000;
    let simulator = simulator();
    for number in 0..COUNT {
        simulator.push_feedback(number.to_be_bytes().repeat(4), WallTime::from_secs(number));
    }
    let (records, failure) = read::<R>(&simulator, LONG).await;
    assert_eq!(failure, None);
    assert_eq!(records.len() as u64, COUNT);
    assert!((0..COUNT).zip(&records).all(|(n, (time, token))| *time == n && *token == n.to_be_bytes().repeat(4)));
}

pub async fn a_refused_client_certificate_is_said<R: Runtime + Default + Unpin>() {
    for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let faults = Faults::default().handshake(HandshakeFault::RefuseRevoked);
        let script = Script::default().feedback(FeedbackScript::default().faults(faults));
        let simulator = start(Simulator::builder().script(script).highest_tls(tls));
        let (records, failure) = read::<R>(&simulator, LONG).await;
        assert_eq!(records, []);
        match failure {
            Some(FeedbackFailure::Dial(DialFailure { step: DialStep::Certificate, message, .. })) => {
                assert!(message.contains("was revoked"), "{message}");
            }
            Some(FeedbackFailure::Incomplete(FeedbackEnd::Refused(why))) => {
                assert!(why.contains("was revoked"), "{why}");
            }
            other => panic!("{tls:?}: {other:?}"),
        }
    }
}
