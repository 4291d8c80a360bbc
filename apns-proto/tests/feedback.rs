//! Reading the feedback service, in conversations with one-byte, odd and whole chunks.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use apns_proto::binary::{FeedbackClient, FeedbackEnd, FeedbackErrorKind, FeedbackEvent, FeedbackRecord};
use apns_proto::{End, Machine, Now, TokenVerdict, Transmit, WallTime};
use bytes::{Bytes, BytesMut};
use pretend::{after, ms, secs, start};

fn record(seconds: u64, token: &'static [u8]) -> FeedbackRecord {
    FeedbackRecord { timestamp: WallTime::from_secs(seconds), token: Bytes::from_static(token) }
}

fn bytes(records: &[FeedbackRecord]) -> Vec<u8> {
    let mut out = BytesMut::new();
    records.iter().for_each(|record| record.emit(&mut out).unwrap());
    out.to_vec()
}

fn events(client: &mut FeedbackClient) -> Vec<FeedbackEvent> {
    std::iter::from_fn(|| client.poll_event()).collect()
}

/// What a client says of this stream and this end, the same for every split.
fn told(stream: &[u8], finish: impl Fn(&mut FeedbackClient, Now)) -> Vec<FeedbackEvent> {
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let now = start();
        let mut client = FeedbackClient::new(now);
        pieces.for_each(|piece| client.handle_input(now, piece));
        finish(&mut client, now);
        let told = events(&mut client);
        // The end is the end.
        assert!(client.is_ended());
        client.handle_input(now, stream);
        client.handle_end(now, End::Cut);
        client.handle_timeout(after(now, secs(1000)));
        client.handle_write_failure(now, 1);
        client.close();
        assert_eq!((client.poll_event(), client.poll_timeout()), (None, None));
        assert_eq!(client.poll_transmit(now, &mut BytesMut::new()), Transmit::Shutdown);
        told
    };
    let whole = run(&mut std::iter::once(stream));
    for size in [1, 7, 38] {
        assert_eq!(run(&mut stream.chunks(size)), whole, "chunks of {size}");
    }
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(run(&mut [head, tail].into_iter()), whole, "cut at {cut}");
    }
    whole
}

fn ended_with(end: End) -> impl Fn(&mut FeedbackClient, Now) {
    move |client, now| client.handle_end(now, end.clone())
}

#[test]
fn b23_records_survive_any_split() {
    let records = [record(1_386_604_500, &[7; 32]), record(4_294_967_295, &[8; 32])];
    let stream = bytes(&records);
    assert_eq!(stream.len(), 76);
    let expected = [
        FeedbackEvent::Record(records[0].clone()),
        FeedbackEvent::Record(records[1].clone()),
        FeedbackEvent::End(FeedbackEnd::Complete),
    ];
    for end in [End::Clean, End::Cut] {
        assert_eq!(told(&stream, ended_with(end)), expected);
    }
}

#[test]
fn b23_an_end_inside_a_record_is_one_error_and_no_record() {
    let stream = bytes(&[record(1_386_604_500, &[7; 32])]);
    for present in 1..stream.len() {
        for end in [End::Clean, End::Cut] {
            let told = told(&stream[..present], ended_with(end));
            let [FeedbackEvent::End(end @ FeedbackEnd::Truncated(error))] = &told[..] else { panic!("{told:?}") };
            assert!(matches!(error.kind, FeedbackErrorKind::Truncated { .. }));
            assert_eq!(error.offset, present as u64);
            assert!(!end.is_complete());
        }
    }
}

#[test]
fn p11_tokens_of_any_length_are_read_and_what_is_whole_is_delivered() {
    let records = [record(1, &[1; 4]), record(2, &[2; 32]), record(3, &[3; 100])];
    let mut stream = bytes(&records);
    stream.extend_from_slice(&[0, 0, 0, 4, 0, 32, 9, 9]);
    let told = told(&stream, ended_with(End::Clean));
    let expected: Vec<_> = records.into_iter().map(FeedbackEvent::Record).collect();
    assert_eq!(told[..3], expected);
    assert!(matches!(told[3..], [FeedbackEvent::End(FeedbackEnd::Truncated(_))]));
}

#[test]
fn b25_silence_behind_a_record_is_an_end_and_inside_one_is_not() {
    let one = record(1, &[7; 32]);
    let stream = bytes(std::slice::from_ref(&one));
    let idle = |client: &mut FeedbackClient, now| {
        let due = client.poll_timeout().unwrap();
        assert_eq!(due, after(now, FeedbackClient::IDLE_TIME).instant);
        client.handle_timeout(after(now, FeedbackClient::IDLE_TIME - ms(1)));
        assert!(!client.is_ended());
        client.handle_timeout(after(now, FeedbackClient::IDLE_TIME));
    };
    let expected = [FeedbackEvent::Record(one), FeedbackEvent::End(FeedbackEnd::Idle)];
    assert_eq!(told(&stream, idle), expected);
    assert!(FeedbackEnd::Idle.is_complete());
    assert_eq!(told(&[], idle), [FeedbackEvent::End(FeedbackEnd::Idle)]);
    let inside = [stream.as_slice(), &[0]].concat();
    assert_eq!(told(&inside, idle)[1..], [FeedbackEvent::End(FeedbackEnd::Stalled)]);
    assert!(!FeedbackEnd::Stalled.is_complete());
}

#[test]
fn b25_the_idle_time_starts_again_with_each_byte() {
    let begun = start();
    let mut client = FeedbackClient::new(begun).with_idle_time(secs(10));
    let mut now = begun;
    for byte in bytes(&[record(1, &[7; 4])]) {
        now = after(now, secs(9));
        client.handle_timeout(now);
        client.handle_input(now, &[byte]);
    }
    assert_eq!(client.poll_timeout(), Some(after(now, secs(10)).instant));
    client.handle_input(begun, &[]);
    client.handle_timeout(after(now, ms(9_999)));
    assert_eq!(events(&mut client), [FeedbackEvent::Record(record(1, &[7; 4]))]);
}

#[test]
fn b25_records_that_lie_in_the_socket_count_however_late_they_are_read() {
    // The process stood still for an hour, and records came meanwhile. They are read before the silence is judged.
    let begun = start();
    let late = after(begun, secs(3600));
    let mut client = FeedbackClient::new(begun);
    client.handle_input(late, &bytes(&[record(1, &[7; 4])]));
    client.handle_timeout(late);
    assert_eq!(events(&mut client), [FeedbackEvent::Record(record(1, &[7; 4]))]);
    assert_eq!(client.poll_timeout(), Some(after(late, FeedbackClient::IDLE_TIME).instant));

    client.handle_timeout(after(late, secs(3600)));
    assert_eq!(events(&mut client), [FeedbackEvent::End(FeedbackEnd::Idle)]);
}

#[test]
fn an_empty_list_is_complete() {
    assert_eq!(told(&[], ended_with(End::Clean)), [FeedbackEvent::End(FeedbackEnd::Complete)]);
    let refused = told(&[], ended_with(End::Refused("bad certificate".into())));
    assert_eq!(refused, [FeedbackEvent::End(FeedbackEnd::Refused("bad certificate".into()))]);
    assert_eq!(told(&[], |client, _| client.close()), [FeedbackEvent::End(FeedbackEnd::ClosedHere)]);
}

#[test]
fn s18_a_token_of_no_bytes_or_too_many_is_an_error() {
    for length in [0_u16, 101, 65_535] {
        let mut stream = bytes(&[record(1, &[7; 4])]);
        stream.extend_from_slice(&[0, 0, 0, 2]);
        stream.extend_from_slice(&length.to_be_bytes());
        stream.extend_from_slice(&[1; 50]);
        let told = told(&stream, |_, _| {});
        assert_eq!(told[0], FeedbackEvent::Record(record(1, &[7; 4])));
        assert!(matches!(told[1..], [FeedbackEvent::End(FeedbackEnd::Malformed(_))]), "{told:?}");
    }
}

#[test]
fn b28_a_token_that_was_registered_later_is_kept() {
    let registered = WallTime::from_secs(200);
    let drops = |seconds| TokenVerdict::DropIfRegisteredBefore(WallTime::from_secs(seconds)).drops(registered);
    assert!(!drops(100));
    assert!(!drops(200));
    assert!(drops(300));
    assert!(TokenVerdict::Drop.drops(registered) && !TokenVerdict::Keep.drops(registered));
}

#[test]
fn a_token_is_not_shown() {
    let told = told(&bytes(&[record(1, &[0xab; 32])]), ended_with(End::Clean));
    let debug = format!("{told:?}");
    assert!(!debug.contains("\\xab") && !debug.contains("abab") && !debug.contains("171, 171"), "{debug}");
}

#[test]
fn nothing_is_read_behind_the_end() {
    use apns_proto::binary::{FeedbackDecoder, FeedbackErrorKind};

    let mut decoder = FeedbackDecoder::default();
    let record = [0, 0, 0, 1, 0, 2, 0xaa, 0xbb];
    assert!(decoder.decode(&mut &record[..]).unwrap().is_some());
    assert_eq!(decoder.finish(), Ok(()));
    assert_eq!(decoder.decode(&mut &[][..]), Ok(None), "there is nothing to refuse");
    for _ in 0..2 {
        let error = decoder.decode(&mut &record[..]).unwrap_err();
        assert_eq!((error.kind, error.offset), (FeedbackErrorKind::BehindEnd, 8));
    }
}
