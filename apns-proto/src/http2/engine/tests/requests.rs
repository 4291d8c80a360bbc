//! What is written for a request, when, and what is known about it if no answer comes.

use super::*;
use crate::http2::engine::client::Reset;
use crate::machine::CHUNK;

#[test]
fn nothing_is_sent_before_the_peers_settings() {
    for split in SPLITS {
        let mut hand = Hand::silent(config(), split);
        assert_eq!(hand.client.send_request(&push("{}")), Err(SendError::AwaitingSettings));
        assert_eq!(hand.client.settings(), None);
        let frames = hand.hear();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].kind, kind::SETTINGS);
        let ours: Vec<_> = frame::settings(&frames[0].payload).collect();
        assert_eq!(ours, [(2, 0), (4, 64 * 1024), (6, 16 * 1024)], "no push, room for a body, a limit for headers");
        hand.say(|out| frame::write_settings(out, &[(3, 1), (6, 8000)]));
        assert_eq!(hand.hear()[0].flags, flag::ACK);
        let events = hand.events();
        let [Event::Settings(settings)] = events[..] else { panic!("{events:?}") };
        assert_eq!((settings.max_concurrent_streams, settings.max_header_list_size), (Some(1), Some(8000)));
        assert_eq!(hand.client.refusal(), None);
    }
}

#[test]
fn a_request_is_headers_and_one_data_frame() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        assert_eq!(hand.client.send_request(&push("{\"aps\":{}}")), Ok(1));
        let frames = hand.hear();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].kind, frames[0].flags, frames[0].stream), (kind::HEADERS, flag::END_HEADERS, 1));
        assert_eq!((frames[1].kind, frames[1].flags, frames[1].stream), (kind::DATA, flag::END_STREAM, 1));
        assert_eq!(&frames[1].payload[..], b"{\"aps\":{}}");
    }
}

#[test]
fn b103_a_request_without_a_body_ends_on_headers() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    hand.client.send_request(&request(Method::Get, "/1/apps/com.example.app/channels", "")).unwrap();
    let frames = hand.hear();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].flags, flag::END_HEADERS | flag::END_STREAM);
}

#[test]
fn values_of_one_request_stay_out_of_the_table_and_secrets_are_never_indexed() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let mut blocks = Vec::new();
    for id in ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"] {
        let request =
            with(with(push("{}"), "authorization", "bearer x", Indexing::Never), "apns-id", id, Indexing::Without);
        hand.client.send_request(&request).unwrap();
        blocks.push(hand.hear()[0].payload.clone());
    }
    let authorization = |block: &Bytes| block.windows(2).any(|pair| pair == [0x1f, 23 - 15]);
    assert!(blocks.iter().all(authorization), "never indexed, name 23: {blocks:02x?}");
    // The path: without indexing, name 4 (RFC 7541 section 6.2.2).
    assert!(blocks.iter().all(|block| block.contains(&0x04)), "{blocks:02x?}");
    // The topic is in the table the second time, and the id's value is not though its name is.
    assert!(blocks[1].len() < blocks[0].len() - 15, "{blocks:02x?}");
    let again = with(
        with(push("{}"), "authorization", "bearer x", Indexing::Never),
        "apns-id",
        "00000000-0000-0000-0000-00000000000b",
        Indexing::Without,
    );
    hand.client.send_request(&again).unwrap();
    assert_eq!(hand.hear()[0].payload, blocks[1], "nothing was added to the table");
}

#[test]
fn s13_headers_beyond_the_peers_limit_are_refused_with_the_size() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(6, 8000)], split);
        let long = request(Method::Post, format!("/3/device/{}", "a".repeat(8000)), "{}");
        let Err(SendError::HeadersTooLarge { size, limit }) = hand.client.send_request(&long) else { panic!() };
        assert_eq!((size, limit), (8000 + 10 + 5 + 32 + 7 + 4 + 32 + 7 + 5 + 32 + 10 + 18 + 32, 8000));
        assert_eq!(hand.hear(), []);
        assert_eq!(hand.client.send_request(&push("{}")), Ok(1));
    }
}

#[test]
fn a_field_of_the_connection_is_refused() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let bad = with(push("{}"), "connection", "close", Indexing::Incremental);
    assert_eq!(hand.client.send_request(&bad), Err(SendError::Malformed));
    assert_eq!(hand.hear(), []);
    assert_eq!(hand.client.open_streams(), 0);
    let stream = hand.send();
    hand.say(|out| headers(out, stream, true, OK));
    assert_eq!(settled(&hand.events()), [(stream, answered(200, ""))]);
}

#[test]
fn b30_the_stream_limit_is_live() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(3, 500)], split);
        let streams: Vec<_> = (0..200).map(|_| hand.send()).collect();
        assert_eq!((hand.client.open_streams(), hand.client.stream_limit()), (200, 500));
        hand.say(|out| frame::write_settings(out, &[(3, 1)]));
        assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 200, limit: 1 }));
        for (index, &stream) in streams.iter().enumerate() {
            assert_eq!(hand.client.send_request(&push("{}")), Err(SendError::Full { open: 200 - index, limit: 1 }));
            hand.say(|out| headers(out, stream, true, OK));
        }
        assert_eq!(settled(&hand.events()).len(), 200);
        // One at a time.
        for _ in 0..3 {
            let stream = hand.send();
            assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 1, limit: 1 }));
            hand.say(|out| headers(out, stream, true, OK));
        }
        hand.say(|out| frame::write_settings(out, &[(3, 500)]));
        let frames: usize = (0..500)
            .map(|_| {
                hand.client.send_request(&push("{}")).unwrap();
                hand.hear().iter().filter(|frame| frame.ends_stream()).count()
            })
            .sum();
        assert_eq!(frames, 500);
        assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 500, limit: 500 }));
        hand.say(|out| frame::write_settings(out, &[(3, 0)]));
        assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 500, limit: 0 }));
    }
}

#[test]
fn b33_no_limit_is_unlimited_up_to_our_own() {
    for split in SPLITS {
        let mut hand = Hand::silent(config().max_streams(1200), split);
        hand.say(|out| frame::write_settings(out, &[]));
        assert_eq!(hand.client.stream_limit(), 1200);
        for _ in 0..1200 {
            hand.send();
        }
        assert_eq!(hand.client.refusal(), Some(SendError::Full { open: 1200, limit: 1200 }));
    }
}

#[test]
fn b29_a_refused_stream_fails_once_and_what_follows_is_ignored() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(3, 100)], split);
        hand.send();
        hand.send();
        let stream = hand.send();
        hand.say(|out| {
            frame::write_settings(out, &[(3, 1)]);
            frame::write_reset(out, stream, ErrorCode::REFUSED_STREAM);
            frame::write_reset(out, stream, ErrorCode::STREAM_CLOSED);
        });
        assert_eq!(settled(&hand.events()), [(5, Settled::Failed(Failure::Refused, Fate::NotProcessed))]);
        hand.say(|out| {
            headers(out, 1, true, OK);
            headers(out, 3, true, OK);
        });
        assert_eq!(settled(&hand.events()).len(), 2);
        let again = hand.send();
        assert_eq!(again, 7);
        hand.say(|out| headers(out, again, true, OK));
        assert_eq!(settled(&hand.events()), [(7, answered(200, ""))]);
    }
}

#[test]
fn b37_a_thousand_requests_given_up_leave_no_stream_open() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(3, 1000)], split);
        for _ in 0..2 {
            let mut streams = Vec::new();
            for _ in 0..1000 {
                streams.push(hand.client.send_request(&push("{}")).unwrap());
                // None is held back.
                assert!(hand.hear().iter().any(Frame::ends_stream));
            }
            for stream in streams {
                assert_eq!(hand.client.reset(stream), Some(Reset::Unanswered(Fate::Unknown)));
                assert_eq!(hand.client.reset(stream), None);
                let frames = hand.hear();
                assert_eq!((frames[0].kind, frames[0].stream), (kind::RST_STREAM, stream));
                assert_eq!(frames[0].number(0), ErrorCode::CANCEL.0);
            }
            assert_eq!(hand.client.open_streams(), 0);
        }
        assert_eq!(hand.events(), []);
    }
}

#[test]
fn b38_stream_identifiers_run_out_and_say_so() {
    for split in SPLITS {
        let mut hand = Hand::silent(config().first_stream(2_147_483_645), split);
        hand.say(|out| frame::write_settings(out, &[]));
        assert_eq!(hand.client.send_request(&push("{}")), Ok(2_147_483_645));
        assert_eq!(hand.client.send_request(&push("{}")), Ok(2_147_483_647));
        assert_eq!(hand.client.refusal(), Some(SendError::StreamsExhausted));
        assert_eq!(hand.client.send_request(&push("{}")), Err(SendError::StreamsExhausted));
        hand.hear();
        hand.say(|out| {
            headers(out, 2_147_483_645, true, OK);
            headers(out, 2_147_483_647, true, OK);
        });
        assert_eq!(settled(&hand.events()).len(), 2);
        assert!(!hand.client.is_closed());
        let mut next = Hand::greeted(&[], split);
        assert_eq!(next.send(), 1);
    }
}

#[test]
fn a_connection_may_be_limited_to_a_number_of_requests() {
    let mut hand = Hand::silent(config().last_stream(3), usize::MAX);
    hand.say(|out| frame::write_settings(out, &[]));
    assert_eq!((hand.send(), hand.send()), (1, 3));
    assert_eq!(hand.client.refusal(), Some(SendError::StreamsExhausted));
}

#[test]
fn requests_are_taken_up_to_a_chunk() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let body: &'static str = Box::leak("x".repeat(4096).into_boxed_str());
    let mut sent = 0;
    while hand.client.refusal().is_none() {
        hand.client.send_request(&push(body)).unwrap();
        sent += 1;
    }
    assert_eq!(hand.client.refusal(), Some(SendError::Backlog));
    assert!((7..=8).contains(&sent), "{sent}");
    let mut out = BytesMut::new();
    assert!(hand.client.transmit(&mut out));
    assert!(out.len() <= CHUNK);
    assert_eq!(hand.client.refusal(), None);
    // What the transport has not taken holds the next ones back.
    hand.client.ping([1; 8]);
    assert!(hand.client.transmit(&mut out));
    assert!(!hand.client.transmit(&mut out));
}

#[test]
fn a_chunk_is_filled() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let mut sent = 0;
    while hand.client.refusal().is_none() {
        hand.client.send_request(&push("{}")).unwrap();
        sent += 1;
    }
    assert!(sent > 300, "{sent}");
    let mut out = BytesMut::new();
    assert!(hand.client.transmit(&mut out));
    assert!(out.len() > CHUNK * 9 / 10, "{sent} requests, {} bytes", out.len());
}

#[test]
fn bodies_beyond_the_peers_window_wait_for_it_and_are_never_lost() {
    for split in SPLITS {
        for window in [0, 10] {
            let mut hand = Hand::greeted(&[(4, window)], split);
            let body = "0123456789abcdefghij0123456789ABCDEFGHIJ";
            let streams = [1, 3, 5];
            for stream in streams {
                assert_eq!(hand.client.send_request(&push(body)), Ok(stream));
            }
            let mut bodies = [(); 3].map(|()| BytesMut::new());
            let mut ended = [false; 3];
            for round in 0..60 {
                for frame in hand.hear().iter().filter(|frame| frame.kind == kind::DATA) {
                    let index = (frame.stream as usize - 1) / 2;
                    bodies[index].extend_from_slice(&frame.payload);
                    ended[index] |= frame.ends_stream();
                }
                let stream = streams[round % 3];
                hand.say(|out| frame::write(out, 8, 0, stream, &3_u32.to_be_bytes()));
            }
            assert_eq!(ended, [true; 3]);
            assert!(bodies.iter().all(|sent| sent == body), "{bodies:?}");
            hand.say(|out| streams.iter().for_each(|&stream| headers(out, stream, true, OK)));
            assert_eq!(settled(&hand.events()).len(), 3);
        }
    }
}

#[test]
fn a_request_is_told_once_when_its_last_byte_is_handed_out() {
    let mut hand = Hand::greeted(&[(4, 5)], usize::MAX);
    let (long, short) = (1, 3);
    hand.client.send_request(&push("0123456789")).unwrap();
    hand.client.send_request(&push("01234")).unwrap();
    let hand_out = |hand: &mut Hand| {
        let mut told: Vec<Vec<u32>> = Vec::new();
        while hand.client.transmit(&mut BytesMut::new()) {
            told.push(hand.client.just_sent().collect());
        }
        assert_eq!(hand.client.just_sent().count(), 0, "nothing was handed out");
        told
    };
    assert_eq!(hand_out(&mut hand), [[short]], "half of the other waits for its window");
    hand.client.ping([0; 8]);
    assert_eq!(hand_out(&mut hand), [[0_u32; 0]]);
    hand.say(|out| frame::write(out, 8, 0, long, &5_u32.to_be_bytes()));
    assert_eq!(hand_out(&mut hand), [[long]]);
}

#[test]
fn a_window_opened_by_settings_lets_waiting_bodies_out() {
    let mut hand = Hand::greeted(&[(4, 0)], usize::MAX);
    hand.client.send_request(&push("{\"aps\":{}}")).unwrap();
    assert_eq!(hand.hear().len(), 1);
    hand.say(|out| frame::write_settings(out, &[(4, 65_535)]));
    let frames = hand.hear();
    assert_eq!(&frames[1].payload[..], b"{\"aps\":{}}");
    assert!(frames[1].ends_stream());
}

#[test]
fn a_body_that_waits_for_the_window_when_the_connection_ends_was_not_processed() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[(4, 5)], split);
        let (given_up, reset, rest) = (1, 3, 5);
        for _ in 0..3 {
            hand.client.send_request(&push("0123456789")).unwrap();
        }
        hand.hear();
        assert_eq!(hand.client.reset(given_up), Some(Reset::Unanswered(Fate::NotProcessed)));
        hand.say(|out| {
            frame::write_reset(out, reset, ErrorCode(2));
            // Too late: it must not let the rest of the first out.
            frame::write(out, 8, 0, given_up, &100_u32.to_be_bytes());
        });
        hand.client.receive_end();
        assert_eq!(
            settled(&hand.events()),
            [
                // The peer saw it and decided. Sent again on this connection, it would be reset again, for ever.
                (reset, Settled::Failed(Failure::Reset(ErrorCode(2)), Fate::Unknown)),
                (rest, Settled::Failed(Failure::ConnectionEnded, Fate::NotProcessed))
            ]
        );
        assert!(hand.hear().iter().all(|frame| frame.kind != kind::DATA));
    }
}

#[test]
fn a_request_given_up_before_it_left_never_leaves() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let with_body = hand.client.send_request(&push("{}")).unwrap();
    let without = hand.client.send_request(&request(Method::Get, "/", "")).unwrap();
    let kept = hand.client.send_request(&push("{}")).unwrap();
    for stream in [with_body, without] {
        assert_eq!(hand.client.reset(stream), Some(Reset::Unanswered(Fate::NotProcessed)));
    }
    let frames = hand.hear();
    let ended: Vec<_> = frames.iter().filter(|frame| frame.ends_stream()).map(|frame| frame.stream).collect();
    assert_eq!(ended, [kept], "{frames:?}");
    let reset: Vec<_> =
        frames.iter().filter(|frame| frame.kind == kind::RST_STREAM).map(|frame| frame.stream).collect();
    assert_eq!(reset, [with_body, without]);
}

#[test]
fn pings_come_back() {
    for split in SPLITS {
        let mut hand = Hand::greeted(&[], split);
        let stream = hand.send();
        hand.client.ping(*b"12345678");
        assert_eq!(&hand.hear()[0].payload[..], b"12345678");
        hand.say(|out| {
            frame::write(out, kind::PING, flag::ACK, 0, b"87654321");
            headers(out, stream, true, OK);
            frame::write(out, kind::PING, flag::ACK, 0, b"12345678");
            frame::write(out, kind::PING, flag::ACK, 0, b"12345678");
            frame::write(out, kind::PING, 0, 0, b"question");
        });
        let events = hand.events();
        let [Event::Response { .. }, Event::Pong(pong)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(pong, b"12345678");
        let frames = hand.hear();
        assert_eq!(
            (frames[0].kind, frames[0].flags, &frames[0].payload[..]),
            (kind::PING, flag::ACK, &b"question"[..])
        );
    }
}

#[test]
fn nothing_that_prints_shows_a_token_or_a_payload() {
    let mut hand = Hand::greeted(&[], usize::MAX);
    let request = with(push("{\"aps\":{\"alert\":\"private\"}}"), "authorization", "bearer sesame", Indexing::Never);
    let mut printed = format!("{request:?}");
    hand.client.send_request(&request).unwrap();
    printed.push_str(&format!("{:?} {:?}", hand.client, config()));
    hand.say(|out| {
        headers(out, 1, false, b"\x8c\x40\x01a\x06sesame");
        data(out, 1, true, b"private 00fc13adff785122");
    });
    printed.push_str(&format!("{:?}", hand.events()));
    for secret in ["sesame", "private", "00fc13adff785122"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn a_connection_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}
