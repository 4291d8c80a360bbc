//! Answers of all shapes, and the header compression they come in.

use super::*;
use crate::http2::engine::Field;
use crate::http2::engine::client::{Reset, Response};

#[test]
fn b39_a_status_outside_the_static_table_is_decoded() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        // Literal with incremental indexing, name 8.
        hand.say(|out| headers(out, stream, true, b"\x48\x03429"));
        assert_eq!(settled(&hand.events()), [(1, answered(429, ""))]);
    }
}

#[test]
fn b40_a_changed_table_size_is_announced_in_the_next_header_block() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        hand.send();
        hand.say(|out| {
            frame::write_settings(out, &[(1, 0)]);
            frame::write_settings(out, &[(1, 4096)]);
        });
        let frames = hand.hear();
        assert_eq!(frames.iter().filter(|frame| frame.kind == kind::SETTINGS && frame.flags == flag::ACK).count(), 2);
        hand.client.send_request(&push("{}")).unwrap();
        let frames = hand.hear();
        assert_eq!(frames[0].kind, kind::HEADERS);
        assert_eq!(frames[0].payload[..4], [0x20, 0x3f, 0xe1, 0x1f]);
    }
}

#[test]
fn b41_an_entry_larger_than_the_table_empties_it_and_is_delivered() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let (first, second) = (hand.send(), hand.send());
        let mut block = vec![0x3f, 33]; // table size 64 (RFC 7541 section 6.3)
        block.extend_from_slice(b"\x48\x03429"); // fits: 42 bytes
        block.extend_from_slice(b"\x40\x04date\x7f\x49"); // "date" with 200 bytes, incremental indexing
        block.extend_from_slice(&[b'x'; 200]);
        hand.say(|out| headers(out, first, true, &block));
        // Index 62 is empty now: a compression error, which ends the connection (RFC 7541 section 2.3.3).
        hand.say(|out| headers(out, second, true, &[0xbe]));
        let events = hand.events();
        let [Event::Response { response, .. }, ..] = &events[..] else { panic!("{events:?}") };
        assert_eq!(response.status, 429);
        assert_eq!(response.fields.get(Field::Date).map(<[u8]>::len), Some(200));
        assert_eq!(settled(&events)[1].1, Settled::Failed(Failure::ConnectionEnded, Fate::Unknown));
    }
}

#[test]
fn b42_the_newest_entry_of_the_table_is_62() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let (first, second) = (hand.send(), hand.send());
        hand.say(|out| {
            headers(out, first, true, b"\x88\x40\x04date\x011\x40\x0bretry-after\x012");
            headers(out, second, true, b"\x88\xbe");
        });
        let events = hand.events();
        let [_, Event::Response { response, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(response.fields.get(Field::RetryAfter), Some(&b"2"[..]));
        assert_eq!(response.fields.get(Field::Date), None);
    }
}

#[test]
fn b45_a_body_in_several_frames_is_put_together() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.say(|out| {
            headers(out, stream, false, BAD_REQUEST);
            data(out, stream, false, b"{\"rea");
        });
        assert_eq!(settled(&hand.events()), []);
        hand.say(|out| data(out, stream, true, b"son\":\"BadDeviceToken\"}"));
        assert_eq!(settled(&hand.events()), [(1, answered(400, "{\"reason\":\"BadDeviceToken\"}"))]);
    }
}

#[test]
fn b46_the_status_is_delivered_whatever_the_body_is() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let streams = [hand.send(), hand.send(), hand.send(), hand.send()];
        hand.say(|out| {
            headers(out, streams[0], false, &status("503"));
            data(out, streams[0], true, b"");
            headers(out, streams[1], false, &status("502"));
            data(out, streams[1], true, b"<html>");
            headers(out, streams[2], false, &status("403"));
            data(out, streams[2], true, b"{}");
            headers(out, streams[3], true, &status("503"));
        });
        let expected = [(1, answered(503, "")), (3, answered(502, "<html>")), (5, answered(403, "{}"))];
        let settled = settled(&hand.events());
        assert_eq!(settled[..3], expected);
        assert_eq!(settled[3], (7, answered(503, "")));
    }
}

#[test]
fn b46_a_status_is_delivered_when_the_body_breaks() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let (reset, ended) = (hand.send(), hand.send());
        hand.say(|out| {
            for stream in [reset, ended] {
                headers(out, stream, false, BAD_REQUEST);
                data(out, stream, false, b"{\"rea");
            }
            frame::write_reset(out, reset, ErrorCode(2));
        });
        hand.client.receive_end();
        let half = Settled::Answered(400, Bytes::from_static(b"{\"rea"), false);
        assert_eq!(settled(&hand.events()), [(1, half.clone()), (3, half)]);
    }
}

#[test]
fn b46_giving_up_a_half_read_answer_keeps_its_status() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.say(|out| headers(out, stream, false, &status("410")));
        let Some(Reset::Answered(Response { status, complete, .. })) = hand.client.reset(stream) else { panic!() };
        assert_eq!((status, complete), (410, false));
        let frames = hand.hear();
        assert_eq!((frames[0].kind, frames[0].number(0)), (kind::RST_STREAM, ErrorCode::CANCEL.0));
        assert_eq!(hand.client.open_streams(), 0);
    }
}

#[test]
fn s2_the_reason_is_delivered_and_trailers_are_ignored() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.say(|out| {
            headers(out, stream, false, BAD_REQUEST);
            data(out, stream, false, b"{\"reason\":\"BadTopic\"}");
            headers(out, stream, true, b"\x40\x04date\x011");
        });
        let events = hand.events();
        let [Event::Response { response, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(response.fields.get(Field::Date), None);
        assert_eq!(settled(&events), [(1, answered(400, "{\"reason\":\"BadTopic\"}"))]);
    }
}

#[test]
fn interim_answers_are_skipped() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.say(|out| {
            headers(out, stream, false, &status("103"));
            headers(out, stream, false, &status("103"));
            headers(out, stream, true, OK);
        });
        assert_eq!(settled(&hand.events()), [(1, answered(200, ""))]);
    }
}

#[test]
fn empty_frames_before_the_end_do_not_wear_the_connection_out() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    for _ in 0..300 {
        let stream = hand.send();
        hand.say(|out| {
            headers(out, stream, false, OK);
            data(out, stream, false, b"");
            data(out, stream, true, b"");
        });
    }
    assert_eq!(settled(&hand.events()).len(), 300);
    assert!(!hand.client.is_closed());
}

#[test]
fn s15_a_body_without_end_is_cut_and_its_window_given_back() {
    for split in [1000, usize::MAX] {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.say(|out| headers(out, stream, false, BAD_REQUEST));
        let (mut window, mut sent, mut resets) = (65_535_i64, 0_usize, 0);
        // A rude peer: 10 MB, and it takes note of nothing but the connection's window.
        while sent < 10_000_000 {
            hand.say(|out| data(out, stream, false, &[b'x'; 10_000]));
            sent += 10_000;
            window -= 10_000;
            for frame in hand.hear() {
                match (frame.kind, frame.stream) {
                    (8, 0) => window += i64::from(frame.number(0)),
                    (kind::RST_STREAM, 1) => resets += 1,
                    _ => {}
                }
            }
            assert!(window > 10_000, "the window runs dry after {sent} bytes");
        }
        let events = hand.events();
        let [Event::Response { response, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((response.status, response.body.len(), response.complete), (400, 64 * 1024, false));
        assert_eq!(resets, 1);
        let next = hand.send();
        hand.say(|out| headers(out, next, true, OK));
        assert_eq!(settled(&hand.events()), [(3, answered(200, ""))]);
    }
}

#[test]
fn s15_a_body_of_just_the_limit_is_whole() {
    for split in SPLITS {
        let mut hand = Hand::silent(config().max_body(10), split);
        hand.say(|out| frame::write_settings(out, &[]));
        (0..2).for_each(|_| _ = hand.send());
        hand.say(|out| {
            for (stream, rest) in [(1, "56789"), (3, "56789a")] {
                headers(out, stream, false, BAD_REQUEST);
                data(out, stream, false, b"01234");
                data(out, stream, true, rest.as_bytes());
            }
        });
        let cut = Settled::Answered(400, Bytes::from_static(b"0123456789"), false);
        assert_eq!(settled(&hand.events()), [(1, answered(400, "0123456789")), (3, cut)]);
    }
}

#[test]
fn b36_the_window_comes_back_for_every_byte_of_every_stream() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let mut window = 65_535_i64;
        for round in 0..700 {
            let stream = hand.send();
            // Every third one was given up before its answer came.
            let forgotten = round % 3 == 0;
            if forgotten {
                hand.client.reset(stream);
            }
            hand.say(|out| {
                headers(out, stream, false, BAD_REQUEST);
                data(out, stream, true, &[b'x'; 100]);
            });
            window -= 100;
            assert_eq!(settled(&hand.events()).len(), usize::from(!forgotten));
            let updates = hand.hear().into_iter().filter(|frame| frame.kind == 8 && frame.stream == 0);
            window += updates.map(|frame| i64::from(frame.number(0))).sum::<i64>();
            assert!(window > 0);
        }
        assert!(window > 32_000, "{window} of 65535 are left");
        assert!(!hand.client.is_closed());
    }
}
