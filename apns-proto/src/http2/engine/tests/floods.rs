//! What a peer may make this side do without bringing an answer.

use super::*;
use crate::http2::engine::{CloseReason, MAX_CONTROL};
use crate::machine::CHUNK;

type Write = fn(&mut BytesMut, usize);

/// Frames that settle nothing, by their number.
const FLOODS: [(&str, Write); 12] = [
    ("PING", |out, _| frame::write(out, kind::PING, 0, 0, &[0; 8])),
    ("answers to no PING", |out, _| frame::write(out, kind::PING, flag::ACK, 0, &[0; 8])),
    ("SETTINGS", |out, _| frame::write_settings(out, &[])),
    ("windows up and down", |out, index| frame::write_settings(out, &[(4, index as u32 % 2)])),
    ("PRIORITY", |out, _| frame::write(out, kind::PRIORITY, 0, 1, &[0; 5])),
    ("unknown frames", |out, _| frame::write(out, 99, 0, 1, &[])),
    ("WINDOW_UPDATE", |out, _| frame::write(out, 8, 0, 1, &1_u32.to_be_bytes())),
    ("RST_STREAM of a stream that is over", |out, _| frame::write_reset(out, 1, ErrorCode::CANCEL)),
    ("interim answers", |out, _| headers(out, 3, false, b"\x08\x03103")),
    ("empty DATA", |out, index| if index == 0 { headers(out, 3, false, OK) } else { data(out, 3, false, b"") }),
    ("header blocks of a stream that is over", |out, _| headers(out, 1, false, OK)),
    ("GOAWAY, each another one", |out, index| {
        frame::write_go_away(out, 99, ErrorCode::NO_ERROR, &index.to_be_bytes());
    }),
];

#[test]
fn every_flood_ends_and_none_piles_up() {
    for (name, write) in FLOODS {
        for reads in [true, false] {
            let mut hand = Hand::greeted(&[], usize::MAX);
            (0..2).for_each(|_| _ = hand.send());
            hand.say(|out| headers(out, 1, true, OK));
            let mut index = 0;
            let (mut told, mut waiting) = (Vec::new(), 0);
            while !hand.client.is_closed() {
                hand.say(|out| {
                    for _ in 0..100 {
                        write(out, index);
                        index += 1;
                    }
                });
                told.append(&mut hand.events());
                if reads {
                    hand.hear();
                } else {
                    waiting = waiting.max(hand.client.output.len());
                }
                assert!(index < 20_000, "{name} for ever");
            }
            assert!(waiting < MAX_CONTROL + CHUNK, "{name}: {waiting} bytes wait");
            assert_eq!(told.last(), Some(&Event::Closed(CloseReason::Flooded)), "{name}");
            assert!(told.len() < 150, "{name}: {} events", told.len());
            assert_eq!(settled(&told).len(), 2, "{name}");
        }
    }
}

#[test]
fn a_peer_that_does_each_of_these_now_and_then_lives_for_weeks() {
    for (name, write) in FLOODS {
        // Each GOAWAY ends what may be sent, so there are only a few in an honest life.
        let days = if name.starts_with("GOAWAY") { 0 } else { 14 };
        let mut hand = Hand::greeted(&[], usize::MAX);
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| headers(out, 1, true, OK));
        for minute in 0..days * 24 * 60 {
            hand.now += Duration::from_secs(60);
            hand.say(|out| (0..20).for_each(|index| write(out, usize::from(minute > 0) + index)));
            hand.hear();
            hand.events();
        }
        assert!(!hand.client.is_closed(), "{name}");
    }
}

#[test]
fn padding_is_counted_and_given_back() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let (mut connection, mut stream_window) = (65_535_i64, 64 * 1024_i64);
    let mut padded = vec![255];
    padded.extend_from_slice(&[0; 255]);
    let stream = hand.send();
    hand.say(|out| headers(out, stream, false, BAD_REQUEST));
    // Frames with nothing in them but padding, far more than a window of them.
    for round in 0..1000 {
        hand.now += Duration::from_millis(100);
        hand.say(|out| frame::write(out, kind::DATA, flag::PADDED, stream, &padded));
        connection -= 256;
        stream_window -= 256;
        for frame in hand.hear().iter().filter(|frame| frame.kind == 8) {
            let window = if frame.stream == 0 { &mut connection } else { &mut stream_window };
            *window += i64::from(frame.number(0));
        }
        assert!(connection > 0 && stream_window > 0, "round {round}");
    }
    let mut last = vec![3];
    last.extend_from_slice(b"{}\0\0\0");
    hand.say(|out| frame::write(out, kind::DATA, flag::PADDED | flag::END_STREAM, stream, &last));
    assert_eq!(settled(&hand.events()), [(stream, answered(400, "{}"))]);
    assert!(!hand.client.is_closed());
}

#[test]
fn padding_that_is_longer_than_its_frame_is_a_violation() {
    for kind in [kind::DATA, kind::HEADERS] {
        for payload in [&b""[..], b"\x01", b"\x05abcd"] {
            let mut hand = Hand::greeted(&[], usize::MAX);
            hand.send();
            hand.say(|out| frame::write(out, kind, flag::PADDED | flag::END_HEADERS, 1, payload));
            let code = ErrorCode::PROTOCOL_ERROR;
            assert_eq!(hand.events().last(), Some(&Event::Closed(CloseReason::Violation { code })));
        }
    }
}

#[test]
fn header_blocks_of_streams_that_are_over_keep_the_tables_alike() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        (0..3).for_each(|_| _ = hand.send());
        hand.client.reset(1);
        hand.say(|out| {
            headers(out, 3, true, OK);
            // Both put something in the table: one was given up, the other is answered.
            headers(out, 1, true, b"\x48\x03429");
            headers(out, 3, true, b"\x48\x03410");
            headers(out, 5, true, &[0xbf]);
        });
        assert_eq!(settled(&hand.events()), [(3, answered(200, "")), (5, answered(429, ""))]);
        let frames = hand.hear();
        let resets: Vec<_> = frames.iter().filter(|frame| frame.kind == kind::RST_STREAM).collect();
        let said: Vec<_> = resets.iter().map(|frame| (frame.stream, frame.number(0))).collect();
        assert_eq!(said, [(1, 8), (3, 5)], "our own reset crossed the first; the second is wrong");
    }
}
