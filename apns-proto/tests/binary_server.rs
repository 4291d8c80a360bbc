//! The gateway's and the feedback service's side of a connection, in conversations.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use apns_proto::binary::server::{FeedbackServer, GatewayEnd, GatewayEvent, GatewayServer, Judge, Verdict, is_probe};
use apns_proto::binary::{
    DecodedNotification, ErrorResponse, FeedbackDecoder, FeedbackRecord, Format, Frame, Limits, NotificationErrorKind,
    Status, encode, encode_probe,
};
use apns_proto::{End, Machine, Now, Transmit, WallTime};
use bytes::{Bytes, BytesMut};
use pretend::{after, ms, number_of, start};

/// Does something with one of them, and takes all others.
#[derive(Debug, Clone, Copy)]
struct But(u32, Verdict);

impl Judge for But {
    fn judge(&mut self, _now: Now, notification: &DecodedNotification) -> Verdict {
        if number_of(&notification.token) == self.0 { self.1 } else { Verdict::Accept }
    }
}

fn stream(format: Format, numbers: impl IntoIterator<Item = u32>) -> BytesMut {
    let mut out = BytesMut::new();
    for number in numbers {
        let token = number.to_be_bytes();
        let frame =
            Frame { format, identifier: number, expiration: None, priority: None, token: &token, payload: b"{}" };
        encode(&frame, &mut out).unwrap();
    }
    out
}

fn line(event: &GatewayEvent) -> String {
    match event {
        GatewayEvent::Received { notification, verdict } => {
            let word = if verdict.accepts() { "takes" } else { "does not take" };
            format!("{word} {}", number_of(&notification.token))
        }
        GatewayEvent::Malformed { error, .. } if is_probe(error) => "probe".into(),
        GatewayEvent::Malformed { .. } => "malformed".into(),
        GatewayEvent::Closed(GatewayEnd::Responded { response, discarded }) => {
            format!("status {} for {}, {discarded} bytes thrown away", response.status.raw(), response.identifier)
        }
        GatewayEvent::Closed(end) => format!("closed: {end:?}"),
        other => format!("{other:?}"),
    }
}

/// What it says to the stream, what it answers, and after how long, the same for every split.
fn told(but: But, input: &[u8], end: Option<&End>) -> (Vec<String>, Vec<u8>) {
    let run = |size: usize| {
        let mut now = start();
        let mut server = GatewayServer::new(but, Limits::default());
        let mut out = BytesMut::new();
        assert_eq!(server.poll_transmit(now, &mut out), Transmit::Idle);
        input.chunks(size).for_each(|piece| server.handle_input(now, piece));
        if let Some(end) = end {
            server.handle_end(now, end.clone());
        }
        while let Some(due) = server.poll_timeout().filter(|due| *due > now.instant) {
            assert_eq!(server.poll_transmit(now, &mut out), Transmit::Idle, "not before its time");
            now = after(now, due - now.instant);
            server.handle_timeout(now);
        }
        let transmit = server.poll_transmit(now, &mut out);
        assert_eq!(transmit == Transmit::Shutdown, server.is_closed());
        let mut told: Vec<String> = std::iter::from_fn(|| server.poll_event()).map(|event| line(&event)).collect();
        if server.is_closed() {
            let answer = out.clone();
            server.handle_input(now, input);
            server.handle_end(now, End::Cut);
            server.handle_write_failure(now, 3);
            server.close();
            server.shut_down(now, 9);
            assert_eq!(server.poll_transmit(now, &mut out), Transmit::Shutdown);
            assert_eq!((server.poll_event(), server.poll_timeout(), &out), (None, None, &answer));
        } else {
            told.push("open".into());
        }
        (told, out.to_vec())
    };
    let whole = run(input.len().max(1));
    for size in [1, 7] {
        assert_eq!(run(size), whole, "chunks of {size}");
    }
    whole
}

fn response(status: u8, identifier: u32) -> Vec<u8> {
    let mut out = BytesMut::new();
    ErrorResponse { status: Status::from_raw(status), identifier }.emit(&mut out);
    out.to_vec()
}

#[test]
fn what_it_takes_it_takes_in_silence() {
    for format in [Format::Simple, Format::Enhanced, Format::Items] {
        let (told, answer) = told(But(0, Verdict::Close), &stream(format, 1..=2), None);
        assert_eq!(told, ["takes 1", "takes 2", "open"]);
        assert!(answer.is_empty());
    }
}

#[test]
fn it_refuses_one_and_throws_away_what_follows() {
    for format in [Format::Enhanced, Format::Items] {
        let input = stream(format, 1..=4);
        let behind = input.len() / 2;
        for after in [ms(0), ms(200)] {
            let verdict = Verdict::Refuse { status: Status::INVALID_TOKEN, identifier: None, after };
            let (told, answer) = told(But(2, verdict), &input, None);
            assert_eq!(told, ["takes 1", "does not take 2", &format!("status 8 for 2, {behind} bytes thrown away")]);
            assert_eq!(answer, response(8, 2));
        }
    }
}

#[test]
fn it_can_lose_the_name_and_never_had_one_in_command_0() {
    let unnamed = Verdict::Refuse { status: Status::INVALID_TOKEN, identifier: Some(0), after: ms(0) };
    assert_eq!(told(But(1, unnamed), &stream(Format::Items, [1]), None).1, response(8, 0));
    assert_eq!(told(But(1, Verdict::refuse(Status::UNKNOWN)), &stream(Format::Simple, [1]), None).1, response(255, 0));
}

#[test]
fn it_shuts_down_naming_the_last_one_taken() {
    let verdict = Verdict::AcceptAndShutDown { after: ms(10) };
    let (told, answer) = told(But(2, verdict), &stream(Format::Items, 1..=2), Some(&End::Clean));
    assert_eq!(told, ["takes 1", "takes 2", "status 10 for 2, 0 bytes thrown away"]);
    assert_eq!(answer, response(10, 2));

    let now = start();
    let mut server = GatewayServer::new(But(0, Verdict::Accept), Limits::default());
    server.handle_input(now, &stream(Format::Items, 1..=2));
    server.shut_down(now, 1);
    server.handle_input(now, &stream(Format::Items, [3]));
    let mut out = BytesMut::new();
    assert_eq!(server.poll_transmit(now, &mut out), Transmit::Shutdown);
    assert_eq!(out, response(10, 1));
}

#[test]
fn it_closes_without_a_word_or_falls_silent() {
    let input = stream(Format::Items, 1..=3);
    for (verdict, word) in [(Verdict::Close, "does not take 2"), (Verdict::AcceptAndClose, "takes 2")] {
        let (told, answer) = told(But(2, verdict), &input, None);
        assert_eq!(told, ["takes 1", word, "closed: Silent"]);
        assert!(answer.is_empty());
    }
    let silent = But(2, Verdict::FallSilent);
    assert_eq!(told(silent, &input, None).0, ["takes 1", "does not take 2", "open"]);
    assert_eq!(told(silent, &input, Some(&End::Clean)).0, ["takes 1", "does not take 2", "closed: Silent"]);
}

#[test]
fn a_probe_is_refused_by_its_name() {
    let mut input = stream(Format::Items, [1]);
    encode_probe(2, &mut input);
    input.extend_from_slice(&stream(Format::Items, [3]));
    let (told, answer) = told(But(0, Verdict::Accept), &input, None);
    assert_eq!(told[..2], ["takes 1", "probe"]);
    assert_eq!(answer, response(2, 2));
}

#[test]
fn what_is_no_notification_is_refused_and_nothing_behind_it_is_read() {
    let mut input = stream(Format::Items, [1]);
    input.extend_from_slice(b"GET / HTTP/1.1\r\n");
    input.extend_from_slice(&stream(Format::Items, [2]));
    let (told, answer) = told(But(0, Verdict::Accept), &input, None);
    assert_eq!(told[..2], ["takes 1", "malformed"]);
    assert_eq!(answer.len(), ErrorResponse::LEN);
}

#[test]
fn a_judge_cannot_wave_through_what_cannot_be_read() {
    #[derive(Debug)]
    struct Lax;
    impl Judge for Lax {
        fn judge(&mut self, _: Now, _: &DecodedNotification) -> Verdict {
            Verdict::Accept
        }
        fn judge_malformed(&mut self, _: Now, error: &apns_proto::binary::NotificationError) -> Verdict {
            assert!(matches!(error.kind, NotificationErrorKind::UnknownCommand { .. }));
            Verdict::Accept
        }
    }
    let now = start();
    let mut server = GatewayServer::new(Lax, Limits::default());
    server.handle_input(now, &[9]);
    server.handle_input(now, &stream(Format::Items, [1]));
    let told: Vec<String> = std::iter::from_fn(|| server.poll_event()).map(|event| line(&event)).collect();
    assert_eq!(told, ["malformed"]);
    assert_eq!(server.poll_transmit(now, &mut BytesMut::new()), Transmit::Idle);
}

#[test]
fn it_tells_how_the_client_left() {
    let input = stream(Format::Items, [1]);
    let left = |cut: usize, end| told(But(0, Verdict::Accept), &input[..cut], Some(&end)).0.pop().unwrap();
    assert_eq!(left(input.len(), End::Clean), "closed: ClientClosed");
    assert_eq!(left(input.len(), End::Cut), "closed: Cut");
    for cut in 1..input.len() {
        assert!(left(cut, End::Clean).starts_with("closed: Truncated"));
    }
    let now = start();
    let mut server = GatewayServer::new(But(0, Verdict::Accept), Limits::default());
    server.handle_write_failure(now, 0);
    assert_eq!(server.poll_event(), Some(GatewayEvent::Closed(GatewayEnd::Cut)));
}

#[test]
fn a_feedback_service_writes_and_closes() {
    let records: Vec<FeedbackRecord> = (0..5_000_u32)
        .map(|number| FeedbackRecord {
            timestamp: WallTime::from_secs(u64::from(number)),
            token: Bytes::from(number.to_be_bytes().repeat(8)),
        })
        .collect();
    let now = start();
    let mut server = FeedbackServer::new(records.clone());
    let (mut calls, mut got) = (0, Vec::new());
    let mut decoder = FeedbackDecoder::default();
    loop {
        let mut out = BytesMut::new();
        let transmit = server.poll_transmit(now, &mut out);
        assert!(out.len() <= apns_proto::machine::CHUNK + 38);
        let mut rest = &out[..];
        while let Some(record) = decoder.decode(&mut rest).unwrap() {
            got.push(record);
        }
        calls += 1;
        assert_eq!(server.is_done(), transmit == Transmit::Shutdown);
        if transmit == Transmit::Shutdown {
            break;
        }
    }
    assert_eq!((got, calls), (records.clone(), 7));

    let mut out = BytesMut::new();
    let mut open = FeedbackServer::new(records[..1].to_vec()).with_tail(vec![1, 2, 3]).staying_open();
    assert_eq!(open.poll_transmit(now, &mut out), Transmit::Ready);
    assert_eq!(out.len(), 38 + 3);
    assert_eq!(open.poll_transmit(now, &mut out), Transmit::Idle);
    assert!(open.is_done());
    open.handle_end(now, End::Clean);
    assert_eq!(open.poll_transmit(now, &mut out), Transmit::Shutdown);
}
