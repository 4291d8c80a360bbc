//! Answers that come before their request has wholly left, and streams that the peer ends before that.

use super::*;
use crate::http2::engine::CloseReason;

/// A client whose peer opens no window, with requests that sent their HEADERS alone.
fn held_back(settings: &[(u16, u32)], requests: usize, split: usize) -> Hand {
    let mut hand = Hand::greeted(&[settings, &[(4, 0)]].concat(), split);
    for _ in 0..requests {
        hand.send();
    }
    hand
}

fn reset_of(frames: &[Frame], stream: u32) -> Option<u32> {
    let reset = frames.iter().find(|frame| frame.kind == kind::RST_STREAM && frame.stream == stream);
    reset.map(|frame| frame.number(0))
}

#[test]
fn an_early_answer_settles_its_request_and_frees_its_place() {
    for split in SPLITS {
        let mut hand = held_back(&[(3, 1)], 1, split);
        for round in 0..5_u32 {
            let stream = 1 + 2 * round;
            assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 1, limit: 1 }));
            hand.say(|out| headers(out, stream, true, OK));
            assert_eq!(settled(&hand.events()), [(stream, answered(200, ""))]);
            let frames = hand.hear();
            assert_eq!(reset_of(&frames, stream), Some(0), "what is left of the stream is not wanted: {frames:?}");
            // The next one leaves. Late frames of the one before do no harm.
            hand.say(|out| {
                frame::write(out, 8, 0, stream, &100_u32.to_be_bytes());
                frame::write_reset(out, stream, ErrorCode::NO_ERROR);
            });
            assert_eq!(hand.send(), stream + 2);
            assert!(hand.hear().iter().all(|frame| frame.kind != kind::DATA));
        }
        assert!(!hand.client.is_closed());
    }
}

#[test]
fn an_early_answer_with_a_reset_behind_it_is_an_answer() {
    for split in SPLITS {
        let mut hand = held_back(&[], 2, split);
        hand.say(|out| {
            headers(out, 1, false, BAD_REQUEST);
            data(out, 1, true, b"{}");
            frame::write_reset(out, 1, ErrorCode::NO_ERROR);
            // And one that the reset cuts.
            headers(out, 3, false, BAD_REQUEST);
            frame::write_reset(out, 3, ErrorCode::NO_ERROR);
        });
        let cut = Settled::Answered(400, Bytes::new(), false);
        assert_eq!(settled(&hand.events()), [(1, answered(400, "{}")), (3, cut)]);
        assert_eq!(hand.client.open_streams(), 0);
    }
}

#[test]
fn an_early_answer_lets_a_connection_that_is_going_away_close() {
    for split in SPLITS {
        for said in [true, false] {
            let mut hand = held_back(&[], 2, split);
            if said {
                hand.say(|out| frame::write_go_away(out, 3, ErrorCode::NO_ERROR, b""));
            } else {
                hand.client.finish();
            }
            hand.say(|out| [1, 3].iter().for_each(|&stream| headers(out, stream, true, OK)));
            let events = hand.events();
            assert_eq!(settled(&events), [(1, answered(200, "")), (3, answered(200, ""))]);
            let reason = if said { CloseReason::GoneAway } else { CloseReason::Finished };
            assert_eq!(events.last(), Some(&Event::Closed(reason)));
            let last = hand.hear().pop().unwrap();
            assert_eq!((last.kind, last.number(4)), (kind::GOAWAY, 0));
        }
    }
}

/// Only REFUSED_STREAM says that a request was not looked at (RFC 9113 section 8.7). A request that was reset in another
/// way is not sent again automatically, although its body never left: it would be reset again, for ever.
#[test]
fn a_reset_before_the_body_left_is_safe_only_where_it_says_so() {
    for code in (0..16).chain([0xffff_ffff]).map(ErrorCode) {
        let mut hand = held_back(&[], 1, usize::MAX);
        hand.say(|out| frame::write_reset(out, 1, code));
        let expected = match code {
            ErrorCode::REFUSED_STREAM => Settled::Failed(Failure::Refused, Fate::NotProcessed),
            other => Settled::Failed(Failure::Reset(other), Fate::Unknown),
        };
        assert_eq!(settled(&hand.events()), [(1, expected)]);
        hand.say(|out| frame::write_settings(out, &[(4, 1000)]));
        assert!(hand.hear().iter().all(|frame| frame.kind != kind::DATA), "nothing more is sent on it");
    }
}

#[test]
fn windows_that_move_in_mid_flight_let_every_body_out_whole() {
    let mut random = random();
    for round in 0..300 {
        let mut hand = Hand::greeted(&[(4, (random() % 50) as u32)], SPLITS[round % 3]);
        let bodies: Vec<String> = (0..10).map(|_| "x".repeat(1 + (random() % 300) as usize)).collect();
        let (mut sent, mut came, mut ended) = (0, [(); 10].map(|()| String::new()), [false; 10]);
        for step in 0.. {
            if sent < 10 && random().is_multiple_of(3) {
                let body: &'static str = Box::leak(bodies[sent].clone().into_boxed_str());
                hand.client.send_request(&push(body)).unwrap();
                sent += 1;
            }
            // Up and down; in the end up.
            let window = if step > 60 { 1000 } else { (random() % 200) as u32 };
            hand.say(|out| frame::write_settings(out, &[(4, window)]));
            for frame in hand.hear().iter().filter(|frame| frame.kind == kind::DATA) {
                let index = (frame.stream as usize - 1) / 2;
                came[index].push_str(str::from_utf8(&frame.payload).unwrap());
                ended[index] |= frame.ends_stream();
                assert!(came[index].len() <= 1000);
            }
            if sent == 10 && ended == [true; 10] {
                break;
            }
            assert!(step < 500, "{came:?}");
        }
        assert_eq!(came[..], bodies[..]);
    }
}

#[test]
fn a_closed_connection_window_holds_requests_back() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let long: &'static str = Box::leak("x".repeat(65_000).into_boxed_str());
    hand.client.send_request(&push(long)).unwrap();
    hand.hear();
    let body: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    hand.client.send_request(&push(body)).unwrap();
    assert_eq!(hand.client.refusal(), Some(SendError::Window));
    hand.say(|out| frame::write(out, 8, 0, 0, &1000_u32.to_be_bytes()));
    assert_eq!(hand.client.refusal(), None);
    // What waits goes first.
    hand.client.send_request(&push("{}")).unwrap();
    let frames = hand.hear();
    let ends: Vec<_> = frames.iter().filter(|frame| frame.ends_stream()).map(|frame| frame.stream).collect();
    assert_eq!(ends, [3, 5]);
}
