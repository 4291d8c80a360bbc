//! The feedback service, judged by the bytes that a client sees.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use apns_proto::WallTime;
use apns_proto::binary::{FeedbackDecoder, FeedbackErrorKind};
use apns_sim::{Cut, CutHow, Faults, FeedbackEnding, FeedbackScript, Script, Simulator};
use support::{feedback, seen, token};

fn decode(mut bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, Option<FeedbackErrorKind>) {
    let mut decoder = FeedbackDecoder::default();
    let mut records = Vec::new();
    while let Some(record) = decoder.decode(&mut bytes).unwrap() {
        records.push((record.timestamp.as_secs(), record.token.to_vec()));
    }
    (records, decoder.finish().err().map(|error| error.kind))
}

async fn with(script: FeedbackScript) -> Simulator {
    Simulator::builder().script(Script::default().feedback(script)).start().await.unwrap()
}

#[tokio::test]
async fn reading_clears_the_list() {
    let simulator = with(FeedbackScript::default().record(token(1), 1_700_000_000).record([7; 20], u32::MAX)).await;
    let (records, trouble) = decode(&feedback(&simulator).await.read_all().await);
    assert_eq!(records, [(1_700_000_000, token(1)), (u64::from(u32::MAX), vec![7; 20])]);
    assert_eq!(trouble, None);

    assert_eq!(feedback(&simulator).await.read_all().await, b"", "an empty list is an orderly end at once");

    simulator.push_feedback([9; 32], WallTime::from_secs(5));
    assert_eq!(decode(&feedback(&simulator).await.read_all().await).0, [(5, vec![9; 32])]);
    seen(&simulator, |log| log.counts().closed == 3).await;
    let counts = simulator.counts();
    assert_eq!((counts.feedback_connections, counts.feedback_records), (3, 3));

    // The script from its beginning has its records again; a change elsewhere brings none back.
    simulator.set_script(simulator.script());
    assert_eq!(decode(&feedback(&simulator).await.read_all().await).0.len(), 2);
    simulator.change_script(|script| script.seed(1));
    assert_eq!(feedback(&simulator).await.read_all().await, b"");
}

#[tokio::test]
async fn it_may_stay_open() {
    let simulator = with(FeedbackScript::default().record(token(1), 1).ending(FeedbackEnding::StayOpen)).await;
    let mut client = feedback(&simulator).await;
    let bytes = client.read_exact(38).await;
    assert_eq!(decode(&bytes).0, [(1, token(1))]);
    let more = tokio::time::timeout(std::time::Duration::from_millis(200), client.read_to_end()).await;
    assert!(more.is_err(), "no end, and not a byte");
    drop(client);
    seen(&simulator, |log| log.counts().closed == 1).await;
}

#[tokio::test]
async fn it_may_end_inside_a_record() {
    // By bytes behind the records, with an orderly end.
    let simulator = with(FeedbackScript::default().record(token(1), 1).tail([0, 0, 0, 2, 0, 32, 1])).await;
    let (records, trouble) = decode(&feedback(&simulator).await.read_all().await);
    assert_eq!(records.len(), 1);
    assert!(matches!(trouble, Some(FeedbackErrorKind::Truncated { .. })), "{trouble:?}");

    // By a cut, without one.
    let script = FeedbackScript::default().record(token(1), 1).record(token(2), 2);
    let simulator = with(script.faults(Faults::default().cut(Cut::after_written(50).how(CutHow::End)))).await;
    let (bytes, end) = feedback(&simulator).await.read_to_end().await;
    assert_eq!(bytes.len(), 50);
    assert!(end.is_err());
    assert_eq!(decode(&bytes).0.len(), 1);
    seen(&simulator, |log| log.counts().closed == 1).await;
}

#[tokio::test]
async fn many_records_pass() {
    let script = (0..50_000).fold(FeedbackScript::default(), |script, number| script.record(token(number), number));
    let simulator = with(script).await;
    let (records, trouble) = decode(&feedback(&simulator).await.read_all().await);
    assert_eq!((records.len(), trouble), (50_000, None));
    assert!(records.iter().enumerate().all(|(place, (time, _))| place as u64 == *time));
}
