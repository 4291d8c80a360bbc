//! GOAWAY, the end of the bytes, failed writes: what is told about each request.

use super::*;
use crate::http2::engine::{CloseReason, GoAway};

const UNKNOWN: Settled = Settled::Failed(Failure::ConnectionEnded, Fate::Unknown);
const NOT_SENT: Settled = Settled::Failed(Failure::ConnectionEnded, Fate::NotProcessed);
const ABOVE: Settled = Settled::Failed(Failure::AboveLastStream, Fate::NotProcessed);

fn go_away(last_stream: u32, debug: &'static str) -> GoAway {
    GoAway { last_stream, code: ErrorCode::NO_ERROR, debug: Bytes::from_static(debug.as_bytes()) }
}

fn say_go_away(out: &mut BytesMut, said: &GoAway) {
    frame::write_go_away(out, said.last_stream, said.code, &said.debug);
}

#[test]
fn b47_the_reason_in_the_debug_data_is_kept() {
    let why = go_away(0, r#"{"reason":"BadCertificateEnvironment"}"#);
    for split in SPLITS {
        for open in [0, 2] {
            let mut hand = Hand::greeted(&[], split);
            (0..open).for_each(|_| _ = hand.send());
            hand.say(|out| {
                say_go_away(out, &why);
                say_go_away(out, &go_away(0, ""));
            });
            hand.client.receive_end();
            let events = hand.events();
            assert_eq!(events[0], Event::GoAway(why.clone()));
            assert_eq!(hand.client.go_away(), Some(&why));
            assert_eq!(events.last(), Some(&Event::Closed(CloseReason::GoneAway)));
            assert_eq!(settled(&events), [(1, ABOVE), (3, ABOVE)][..open]);
        }
    }
}

#[test]
fn b47_the_reason_may_come_second() {
    let why = go_away(0, r#"{"reason":"Shutdown"}"#);
    let mut hand = Hand::greeted(&[], usize::MAX);
    hand.say(|out| {
        say_go_away(out, &go_away(0, ""));
        say_go_away(out, &why);
    });
    assert_eq!(hand.client.go_away(), Some(&why));
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.say(|out| {
            say_go_away(out, &go_away(1, ""));
            say_go_away(out, &GoAway { last_stream: 1, ..why.clone() });
        });
        assert_eq!(hand.client.go_away().map(|said| &said.debug), Some(&why.debug));
    }
}

#[test]
fn b48_the_lowest_last_stream_counts() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..5).for_each(|_| _ = hand.send());
        hand.say(|out| {
            headers(out, 1, true, OK);
            headers(out, 3, true, OK);
            say_go_away(out, &go_away(frame::MAX_STREAM, ""));
        });
        assert_eq!(hand.client.refusal(), Some(SendError::GoingAway));
        assert_eq!(settled(&hand.events()).len(), 2);
        hand.say(|out| say_go_away(out, &go_away(5, "")));
        assert_eq!(settled(&hand.events()), [(7, ABOVE), (9, ABOVE)]);
        // A higher one afterwards is forbidden and harmless (RFC 9113 section 6.8).
        hand.say(|out| say_go_away(out, &go_away(9, "")));
        assert_eq!(hand.client.last_stream(), 5);
        hand.say(|out| headers(out, 5, true, OK));
        let events = hand.events();
        assert_eq!(settled(&events), [(5, answered(200, ""))]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::GoneAway)));
    }
}

#[test]
fn b53_not_processed_and_unknown_are_told_apart() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| {
            say_go_away(out, &go_away(1, ""));
            headers(out, 1, true, OK);
        });
        assert_eq!(settled(&hand.events()), [(1, answered(200, "")), (3, ABOVE)]);

        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| say_go_away(out, &go_away(1, "")));
        hand.client.receive_end();
        assert_eq!(settled(&hand.events()), [(1, UNKNOWN), (3, ABOVE)]);
    }
}

#[test]
fn a_go_away_with_an_error_lets_the_streams_below_finish() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| {
            frame::write_go_away(out, 1, ErrorCode(2), b"{}");
            headers(out, 1, true, OK);
        });
        let events = hand.events();
        assert_eq!(settled(&events), [(1, answered(200, "")), (3, ABOVE)]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::GoneAway)));
    }
}

#[test]
fn b55_a_thousand_go_aways_do_nothing() {
    for split in SPLITS {
        for open in [0, 1] {
            let mut hand = Hand::greeted(&[], split);
            (0..open).for_each(|_| _ = hand.send());
            let last_stream = if open == 0 { 0 } else { 1 };
            for _ in 0..1000 {
                hand.say(|out| say_go_away(out, &go_away(last_stream, "{}")));
            }
            let told = hand.events().iter().filter(|event| matches!(event, Event::GoAway(_))).count();
            assert_eq!(told, 1);
            assert_eq!(hand.client.is_closed(), open == 0);
            let written = hand.hear();
            assert_eq!(written.len(), usize::from(open == 0), "our own GOAWAY at most: {written:?}");
            if open == 1 {
                hand.say(|out| headers(out, 1, true, OK));
                assert_eq!(settled(&hand.events()), [(1, answered(200, ""))]);
            }
            assert!(hand.client.is_closed());
            hand.hear();
            hand.say(|out| (0..1000).for_each(|_| say_go_away(out, &go_away(0, "{}"))));
            hand.client.receive_end();
            hand.client.ping([0; 8]);
            hand.client.finish();
            hand.client.abandon(ErrorCode::NO_ERROR);
            assert_eq!((hand.events(), hand.hear()), (vec![], vec![]));
            assert_eq!(hand.client.send_request(&push("{}")), Err(SendError::Closed));
        }
    }
}

#[test]
fn what_was_handed_out_is_unknown_and_what_was_not_was_not_sent() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    hand.send();
    hand.client.send_request(&push("{}")).unwrap();
    hand.client.receive_end();
    let events = hand.events();
    assert_eq!(settled(&events), [(1, UNKNOWN), (3, NOT_SENT)]);
    assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Ended)));
    assert_eq!(hand.hear(), [], "what was not sent stays so");
}

#[test]
fn b14_an_answer_after_a_failed_write_is_heard() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        let mut taken = BytesMut::new();
        for _ in 0..3 {
            hand.client.send_request(&push("{}")).unwrap();
        }
        hand.client.transmit(&mut taken);
        // The transport took all but the last two bytes of the third, and so nothing of what follows.
        hand.client.write_failed(2);
        assert_eq!(hand.client.refusal(), Some(SendError::WriteEnded));
        assert!(!hand.client.transmit(&mut taken));
        hand.say(|out| {
            headers(out, 1, true, OK);
            // A question that cannot be answered any more does not keep the rest from being heard.
            frame::write(out, kind::PING, 0, 0, &[0; 8]);
            headers(out, 3, true, OK);
        });
        assert_eq!(settled(&hand.events()), [(1, answered(200, "")), (3, answered(200, ""))]);
        hand.client.receive_end();
        assert_eq!(settled(&hand.events()), [(5, UNKNOWN), (7, NOT_SENT)]);
    }
}

#[test]
fn b115_a_peer_without_http2_is_told_and_nothing_was_sent() {
    let told = |received: &[u8]| CloseReason::NotHttp2 { received: received.to_vec() };
    for split in SPLITS {
        let mut hand = Hand::silent(config(), split);
        hand.say(|out| out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        assert_eq!(hand.events(), [Event::Closed(told(b"HTTP/1.1 "))]);
        // A lone alert, then the end.
        let mut hand = Hand::silent(config(), split);
        hand.say(|out| out.extend_from_slice(b"\x15\x03\x01\x00\x02\x02\x28"));
        hand.client.receive_end();
        assert_eq!(hand.events(), [Event::Closed(told(b"\x15\x03\x01\x00\x02\x02\x28"))]);
        // Frames, but not SETTINGS first.
        let mut hand = Hand::silent(config(), split);
        hand.say(|out| say_go_away(out, &go_away(0, "")));
        assert_eq!(hand.events(), [Event::Closed(told(b"\0\0\x08\x07\0\0\0\0\0"))]);
        // Nothing at all.
        let mut hand = Hand::silent(config(), split);
        hand.client.receive_end();
        assert_eq!(hand.events(), [Event::Closed(CloseReason::Ended)]);
    }
}

#[test]
fn finishing_waits_for_what_is_open() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.client.finish();
        assert_eq!(hand.client.refusal(), Some(SendError::GoingAway));
        assert_eq!((hand.events(), hand.hear()), (vec![], vec![]));
        hand.say(|out| headers(out, 1, true, OK));
        let events = hand.events();
        assert_eq!(settled(&events), [(1, answered(200, ""))]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Finished)));
        let frames = hand.hear();
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].kind, frames[0].number(4)), (kind::GOAWAY, 0));
    }
}

#[test]
fn breaking_off_settles_everything_at_once() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    hand.send();
    hand.client.send_request(&push("{}")).unwrap();
    hand.client.abandon(ErrorCode::CANCEL);
    let events = hand.events();
    assert_eq!(settled(&events), [(1, UNKNOWN), (3, NOT_SENT)]);
    assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Abandoned)));
    let frames = hand.hear();
    assert!(frames.iter().all(|frame| !frame.ends_stream()), "{frames:?}");
    let last = frames.last().unwrap();
    assert_eq!((last.kind, last.number(4)), (kind::GOAWAY, ErrorCode::CANCEL.0));
}

#[test]
fn an_end_inside_a_frame_is_an_end() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.say(|out| {
            headers(out, 1, true, OK);
            out.truncate(out.len() - 1);
        });
        hand.client.receive_end();
        let events = hand.events();
        assert_eq!(settled(&events), [(1, UNKNOWN)]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Ended)));
    }
}
