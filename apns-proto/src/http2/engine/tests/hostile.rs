//! Peers that break the protocol, on purpose or not.

use super::*;
use crate::http2::engine::CloseReason;

/// Says something to a client with two requests open, of which the first was answered.
///
/// The connection must end over it with this code, and the second request must be settled.
fn is_violation(code: ErrorCode, say: impl Fn(&mut BytesMut)) {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.send();
        hand.client.send_request(&push("{}")).unwrap();
        hand.say(|out| {
            headers(out, 1, true, OK);
            say(out);
        });
        let events = hand.events();
        assert_eq!(
            settled(&events),
            [
                (1, answered(200, "")),
                (3, Settled::Failed(Failure::ConnectionEnded, Fate::Unknown)),
                (5, Settled::Failed(Failure::ConnectionEnded, Fate::NotProcessed))
            ]
        );
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Violation { code })));
        let frames = hand.hear();
        assert!(frames.iter().all(|frame| !frame.ends_stream()), "{frames:?}");
        let last = frames.last().unwrap();
        assert_eq!((last.kind, last.number(4)), (kind::GOAWAY, code.0), "{frames:?}");
    }
}

#[test]
fn s4_a_push_promise_is_a_violation() {
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| {
        frame::write(out, 5, flag::END_HEADERS, 3, b"\0\0\0\x02\x82\x87\x84");
    });
}

#[test]
fn s5_a_header_block_in_many_frames_is_bounded() {
    let block = |out: &mut BytesMut, continuations: usize| {
        frame::write(out, kind::HEADERS, flag::END_STREAM, 3, OK);
        for index in 1..=continuations {
            let flags = if index == continuations { flag::END_HEADERS } else { 0 };
            frame::write(out, kind::CONTINUATION, flags, 3, b"\x00\x01a\x01b");
        }
    };
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| block(out, 4));
        assert_eq!(settled(&hand.events()), [(3, answered(200, ""))]);
    }
    is_violation(ErrorCode::ENHANCE_YOUR_CALM, |out| block(out, 40));
    is_violation(ErrorCode::ENHANCE_YOUR_CALM, |out| {
        frame::write(out, kind::HEADERS, flag::END_STREAM, 3, OK);
        (0..10_000).for_each(|_| frame::write(out, kind::CONTINUATION, 0, 3, b""));
    });
}

/// A small block that stands for a large list: it is not decoded beyond the limit, and what came before counts.
#[test]
fn s5_an_answer_with_too_many_headers_is_bounded() {
    let bomb = |each: &[u8], count: usize| {
        // A name of 1000 bytes, put in the table.
        let mut block = b"\x88\x40\x7f\xe9\x06".to_vec();
        block.extend_from_slice(&[b'a'; 1000]);
        block.push(0);
        (0..count).for_each(|_| block.extend_from_slice(each));
        block
    };
    // The entry as a whole; its name in a literal, kept and not kept.
    for each in [&[0xbe][..], &[0x0f, 47, 0], &[0x7e, 0]] {
        for split in SPLITS {
            let mut hand = Hand::greeted(&[], split);
            hand.send();
            hand.send();
            let block = bomb(each, 60);
            assert!(block.len() < 1300);
            hand.say(|out| {
                headers(out, 1, true, &block);
                headers(out, 3, true, OK);
            });
            let events = hand.events();
            let half = Settled::Answered(200, Bytes::new(), false);
            assert_eq!(settled(&events), [(1, half), (3, Settled::Failed(Failure::ConnectionEnded, Fate::Unknown))]);
            let code = ErrorCode::ENHANCE_YOUR_CALM;
            assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Violation { code })));
            assert_eq!(hand.hear().last().map(|frame| (frame.kind, frame.number(4))), Some((kind::GOAWAY, code.0)));
        }
    }
}

#[test]
fn s7_unknown_frames_and_settings_and_the_reserved_bit_are_ignored() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(0xabcd, 7)], split);
        hand.send();
        hand.say(|out| {
            frame::write(out, 0xfa, 0xff, 1, b"what?");
            frame::write_settings(out, &[(0x7777, 1)]);
            headers(out, 0x8000_0001, true, OK);
        });
        assert_eq!(settled(&hand.events()), [(1, answered(200, ""))]);
        assert!(!hand.client.is_closed());
    }
}

#[test]
fn s8_a_window_update_of_zero_is_a_violation() {
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| frame::write(out, 8, 0, 0, &[0; 4]));
    // On a stream it ends the stream alone (RFC 9113 section 6.9).
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| {
            frame::write(out, 8, 0, 3, &[0; 4]);
            headers(out, 1, true, OK);
        });
        let violation = Settled::Failed(Failure::Violation(ErrorCode::PROTOCOL_ERROR), Fate::Unknown);
        assert_eq!(settled(&hand.events()), [(1, answered(200, "")), (3, violation)]);
    }
}

#[test]
fn s8_a_connection_window_beyond_the_range_is_a_violation() {
    is_violation(ErrorCode::FLOW_CONTROL_ERROR, |out| frame::write(out, 8, 0, 0, &0x7fff_ffff_u32.to_be_bytes()));
}

#[test]
fn s8_a_stream_window_beyond_the_range_ends_the_stream() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        // The first body takes all of the connection's window, so that the second one waits with its own untouched.
        let long: &'static str = Box::leak("x".repeat(65_535).into_boxed_str());
        assert_eq!(hand.client.send_request(&push(long)), Ok(1));
        hand.hear();
        assert_eq!(hand.client.send_request(&push("{}")), Ok(3));
        hand.hear();
        hand.say(|out| {
            frame::write(out, 8, 0, 3, &0x7fff_ffff_u32.to_be_bytes());
            headers(out, 1, true, OK);
        });
        let violation = Settled::Failed(Failure::Violation(ErrorCode::FLOW_CONTROL_ERROR), Fate::Unknown);
        assert_eq!(settled(&hand.events()), [(1, answered(200, "")), (3, violation)]);
        let frames = hand.hear();
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!((frames[0].kind, frames[0].stream), (kind::RST_STREAM, 3));
        assert_eq!(frames[0].number(0), ErrorCode::FLOW_CONTROL_ERROR.0);
        assert!(!hand.client.is_closed());
    }
}

/// Each answer breaks a rule (RFC 9113 section 8.1.1) and says all the same what became of the request.
#[test]
fn s12_a_malformed_answer_keeps_what_came() {
    let length = |digits: &str| [&[0x0f, 0x0d, digits.len() as u8], digits.as_bytes()].concat();
    let gone = [b"\x08\x03410", &length("7")[..]].concat();
    let body = "{\"reason\":\"Unregistered\"}";
    type Say = Box<dyn Fn(&mut BytesMut)>;
    let answers: Vec<(&str, Say, Settled)> = vec![
        ("a name in upper case", Box::new(|out| headers(out, 3, true, b"\x88\x00\x01A\x011")), answered(200, "")),
        ("a field of the connection", Box::new(|out| headers(out, 3, true, b"\x88\xb9")), answered(200, "")),
        ("a second status", Box::new(|out| headers(out, 3, true, b"\x88\x8c")), answered(200, "")),
        ("a status after a field", Box::new(|out| headers(out, 3, true, b"\x00\x01a\x011\x88")), answered(200, "")),
        ("a line break in a value", Box::new(|out| headers(out, 3, true, b"\x88\x00\x01a\x01\n")), answered(200, "")),
        (
            "a length and no body",
            Box::new(move |out| headers(out, 3, true, &[OK, &length("7")].concat())),
            answered(200, ""),
        ),
        (
            "a body longer than its length",
            Box::new(move |out| {
                headers(out, 3, false, &gone);
                data(out, 3, true, body.as_bytes());
            }),
            answered(410, body),
        ),
        (
            "a body shorter than its length",
            Box::new(move |out| {
                headers(out, 3, false, b"\x08\x03410\x0f\x0d\x0299");
                data(out, 3, true, body.as_bytes());
            }),
            answered(410, body),
        ),
        (
            "a body where none may be",
            Box::new(|out| {
                headers(out, 3, false, b"\x89");
                data(out, 3, true, b"{}");
            }),
            answered(204, "{}"),
        ),
    ];
    for split in SPLITS {
        for (name, say, expected) in &answers {
            let mut hand = Hand::greeted(&[], split);
            (0..2).for_each(|_| _ = hand.send());
            hand.say(|out| {
                say(out);
                headers(out, 1, true, OK);
            });
            let events = hand.events();
            assert_eq!(settled(&events), [(1, answered(200, "")), (3, expected.clone())], "{name}");
            let malformed =
                events.iter().filter(|event| matches!(event, Event::Response { response, .. } if response.malformed));
            assert_eq!(malformed.count(), 1, "{name}");
            let reset = hand.hear().pop().unwrap();
            assert_eq!(
                (reset.kind, reset.stream, reset.number(0)),
                (kind::RST_STREAM, 3, 1),
                "{name}: the peer is told"
            );
        }
    }
}

#[test]
fn an_answer_without_a_status_fails_alone() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| {
            headers(out, 1, true, b"\x00\x01a\x011");
            headers(out, 3, true, OK);
        });
        let malformed = Settled::Failed(Failure::Violation(ErrorCode::PROTOCOL_ERROR), Fate::Unknown);
        assert_eq!(settled(&hand.events()), [(1, malformed), (3, answered(200, ""))]);
    }
}

#[test]
fn frames_of_impossible_sizes_are_violations() {
    is_violation(ErrorCode::FRAME_SIZE_ERROR, |out| data(out, 3, false, &[0; 20_000]));
    for (kind, payload) in [(kind::SETTINGS, &[0; 5][..]), (kind::PING, &[0; 7]), (kind::GOAWAY, &[0; 7])] {
        is_violation(ErrorCode::FRAME_SIZE_ERROR, |out| frame::write(out, kind, 0, 0, payload));
    }
    is_violation(ErrorCode::FRAME_SIZE_ERROR, |out| frame::write(out, kind::PING, flag::ACK, 0, &[0; 7]));
    // The client sent SETTINGS once, and these are two acknowledgements.
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| {
        (0..2).for_each(|_| frame::write(out, kind::SETTINGS, flag::ACK, 0, &[]));
    });
    is_violation(ErrorCode::FLOW_CONTROL_ERROR, |out| frame::write_settings(out, &[(4, 0x8000_0000)]));
}

#[test]
fn frames_of_streams_that_never_were_are_violations() {
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| headers(out, 99, true, OK));
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| frame::write_reset(out, 99, ErrorCode::CANCEL));
    is_violation(ErrorCode::PROTOCOL_ERROR, |out| headers(out, 2, true, OK));
}

#[test]
fn a_peer_that_asks_and_does_not_listen_is_cut_off() {
    for split in [7, usize::MAX] {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        let mut rounds = 0;
        while !hand.client.is_closed() {
            hand.say(|out| (0..100).for_each(|_| frame::write(out, kind::PING, 0, 0, &[0; 8])));
            rounds += 1;
            assert!(rounds < 200, "answers pile up without end");
        }
        let events = hand.events();
        assert_eq!(settled(&events), [(1, Settled::Failed(Failure::ConnectionEnded, Fate::Unknown))]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Flooded)));
        let last = hand.hear().pop().unwrap();
        assert_eq!((last.kind, last.number(4)), (kind::GOAWAY, ErrorCode::ENHANCE_YOUR_CALM.0));
    }
}

#[test]
fn a_peer_that_asks_and_listens_is_answered_for_ever() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    for _ in 0..400 {
        hand.now += Duration::from_secs(1);
        hand.say(|out| (0..100).for_each(|_| frame::write(out, kind::PING, 0, 0, &[0; 8])));
        assert_eq!(hand.hear().len(), 100);
    }
    assert!(!hand.client.is_closed());
}

#[test]
fn random_bytes_after_the_greeting_never_panic_and_always_settle() {
    let mut random = random();
    for round in 0..2000 {
        let mut hand = Hand::greeted(&[], SPLITS[round % 3]);
        (0..3).for_each(|_| _ = hand.send());
        hand.say(|out| noise(out, &mut random));
        hand.hear();
        hand.client.receive_end();
        let events = hand.events();
        assert_eq!(settled(&events).len(), 3, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Closed(_))));
    }
}

#[test]
fn a_malformed_answer_on_a_stream_that_never_was_does_not_use_up_identifiers() {
    for stream in [5, 7, 0x7fff_ffff] {
        is_violation_before_more(stream, b"\x00\x01a\x011");
        is_violation_before_more(stream, OK);
    }
}

fn is_violation_before_more(stream: u32, block: &[u8]) {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.send();
        hand.say(|out| {
            headers(out, 1, true, OK);
            headers(out, stream, true, block);
            headers(out, 3, true, OK);
        });
        let events = hand.events();
        assert_eq!(
            settled(&events),
            [(1, answered(200, "")), (3, Settled::Failed(Failure::ConnectionEnded, Fate::Unknown))]
        );
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Violation { code: ErrorCode::PROTOCOL_ERROR })));
        assert_eq!(hand.client.send_request(&push("{}")), Err(SendError::Closed));
    }
}
