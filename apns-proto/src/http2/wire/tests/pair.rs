//! Client and server of our own, and what the server can do beside answering.

use http::{HeaderMap, StatusCode};

use super::*;
use crate::http2::wire::client::Reset;
use crate::http2::wire::server::{self, RespondError};
use crate::http2::wire::{CloseReason, GoAway};

/// A client and a server with nothing but memory between them.
struct Pair {
    client: Connection,
    server: server::Connection,
    split: usize,
    heard: Vec<Event>,
    served: Vec<server::Event>,
}

impl Pair {
    fn new(config: Config, server: server::Config, split: usize) -> Self {
        let mut pair = Self {
            client: Connection::new(config),
            server: server::Connection::new(server),
            split,
            heard: Vec::new(),
            served: Vec::new(),
        };
        pair.run();
        pair
    }

    /// Carries bytes until neither side has any.
    fn run(&mut self) {
        let mut bytes = BytesMut::new();
        loop {
            while let Some(event) = self.client.poll() {
                self.heard.push(event);
            }
            while let Some(event) = self.server.poll() {
                self.served.push(event);
            }
            if self.client.transmit(&mut bytes) {
                bytes.split().chunks(self.split).for_each(|piece| self.server.receive(piece));
            } else if self.server.transmit(&mut bytes) {
                bytes.split().chunks(self.split).for_each(|piece| self.client.receive(piece));
            } else {
                break;
            }
        }
    }

    fn heard(&mut self) -> Vec<Event> {
        self.run();
        std::mem::take(&mut self.heard)
    }

    fn requests(&mut self) -> Vec<server::Request> {
        self.run();
        let requests = |event| match event {
            server::Event::Request(request) => Some(request),
            _ => None,
        };
        std::mem::take(&mut self.served).into_iter().filter_map(requests).collect()
    }

    fn answer(&mut self, stream: u32, status: u16, body: &'static str) {
        let status = StatusCode::from_u16(status).unwrap();
        self.server.respond(stream, status, HeaderMap::new(), Bytes::from_static(body.as_bytes())).unwrap();
    }
}

#[test]
fn requests_and_answers_arrive_as_they_were_sent() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        let long = push(Box::leak("x".repeat(5000).into_boxed_str()));
        assert_eq!(pair.client.send_request(long), Ok(1));
        assert_eq!(pair.client.send_request(request(Method::Get, "/1/apps/com.example.app/channels", "")), Ok(3));
        let mut requests = pair.requests();
        assert_eq!(requests.len(), 2);
        // The one without a body may be whole first.
        requests.sort_by_key(|request| request.stream);
        assert_eq!((&requests[0].method, &requests[0].path[..]), (&http::Method::POST, "/3/device/00fc13adff785122"));
        assert_eq!(requests[0].authority.as_deref(), Some("api.push.apple.com"));
        assert_eq!(requests[0].headers["apns-topic"], "com.example.app");
        assert_eq!((requests[0].body.len(), requests[0].complete), (5000, true));
        assert_eq!((&requests[1].method, requests[1].body.len()), (&http::Method::GET, 0));
        pair.answer(3, 200, "");
        pair.answer(1, 410, "{\"reason\":\"Unregistered\"}");
        assert_eq!(
            settled(&pair.heard()),
            [(1, answered(410, "{\"reason\":\"Unregistered\"}")), (3, answered(200, ""))]
        );
        let twice = pair.server.respond(1, StatusCode::OK, HeaderMap::new(), Bytes::new());
        assert_eq!(twice, Err(RespondError::NotWaiting(1)));
        assert_eq!(pair.server.open_streams(), 0);
    }
}

#[test]
fn an_answer_without_a_body_ends_on_headers() {
    let mut pair = Pair::new(config(), server::Config::default(), usize::MAX);
    pair.client.send_request(push("{}")).unwrap();
    pair.run();
    pair.answer(1, 200, "");
    let mut out = BytesMut::new();
    assert!(pair.server.transmit(&mut out));
    let head = Head::parse(out[..HEAD].try_into().unwrap());
    assert_eq!((head.kind, head.flags), (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM));
    assert_eq!(out.len(), HEAD + head.length);
}

#[test]
fn the_servers_first_frame_is_its_settings_word_for_word() {
    let settings = [(3, 1), (4, 0), (0xabcd, 7)];
    let mut server = server::Connection::new(server::Config::default().settings(settings));
    let (mut out, mut expected) = (BytesMut::new(), BytesMut::new());
    assert!(server.transmit(&mut out));
    frame::write_settings(&mut expected, &settings);
    assert_eq!(out, expected);
}

#[test]
fn ten_thousand_requests_are_settled_once_each() {
    for split in [7, usize::MAX] {
        let mut pair = Pair::new(config(), server::Config::default().settings([(3, 100)]), split);
        let (mut sent, mut settled_count) = (0, 0);
        while settled_count < 10_000 {
            while sent < 10_000 && pair.client.refusal().is_none() {
                pair.client.send_request(push("{\"aps\":{\"alert\":\"hello\"}}")).unwrap();
                sent += 1;
            }
            for request in pair.requests() {
                pair.answer(request.stream, if request.stream % 7 == 0 { 400 } else { 200 }, "");
            }
            settled_count += settled(&pair.heard()).len();
        }
        assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
    }
}

#[test]
fn the_server_changes_the_stream_limit_and_keeps_to_it() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default().settings([(3, 1)]), split);
        assert_eq!(pair.client.stream_limit(), 1);
        pair.server.settings(&[(3, 500)]);
        pair.server.settings(&[(3, 3)]);
        pair.run();
        assert_eq!(pair.client.stream_limit(), 3);
        (0..3).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        // The limit falls while they are under way.
        pair.server.settings(&[(3, 1)]);
        assert_eq!(pair.requests().len(), 1);
        let refused = Settled::Failed(Failure::Refused, Fate::NotProcessed);
        assert_eq!(settled(&pair.heard()), [(3, refused.clone()), (5, refused)]);
        assert_eq!(pair.client.stream_limit(), 1);
        pair.answer(1, 200, "");
        pair.server.settings(&[(3, 2)]);
        assert_eq!(settled(&pair.heard()), [(1, answered(200, ""))]);
        assert_eq!(pair.client.stream_limit(), 2);
        assert!(!pair.client.is_closed() && !pair.server.is_closed());
    }
}

#[test]
fn the_server_says_go_away_twice_with_a_last_stream_of_its_choice() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        (0..3).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        assert_eq!(pair.requests().len(), 3);
        pair.server.go_away(frame::MAX_STREAM, ErrorCode::NO_ERROR, b"");
        pair.run();
        pair.server.go_away(3, ErrorCode::NO_ERROR, b"{\"reason\":\"Shutdown\"}");
        let events = pair.heard();
        let above = Settled::Failed(Failure::AboveLastStream, Fate::NotProcessed);
        assert_eq!(settled(&events), [(5, above)]);
        assert_eq!(events.iter().filter(|event| matches!(event, Event::GoAway(_))).count(), 2);
        assert_eq!(&pair.client.go_away().unwrap().debug[..], b"{\"reason\":\"Shutdown\"}");
        pair.answer(3, 200, "");
        pair.answer(1, 200, "");
        let events = pair.heard();
        assert_eq!(settled(&events), [(1, answered(200, "")), (3, answered(200, ""))]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::GoneAway)));
        assert!(pair.served.contains(&server::Event::GoAway(GoAway {
            last_stream: 0,
            code: ErrorCode::NO_ERROR,
            debug: Bytes::new()
        })));
    }
}

#[test]
fn a_request_above_the_servers_last_stream_never_reaches_it() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        (0..2).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        pair.server.go_away(1, ErrorCode::NO_ERROR, b"");
        let requests = pair.requests();
        assert_eq!(requests.iter().map(|request| request.stream).collect::<Vec<_>>(), [1]);
        pair.answer(1, 200, "");
        let above = Settled::Failed(Failure::AboveLastStream, Fate::NotProcessed);
        let events = pair.heard();
        // Whether the refusal or the GOAWAY is heard first, it is safe to send again.
        assert_eq!(settled(&events)[0], (1, answered(200, "")));
        assert!([above, Settled::Failed(Failure::Refused, Fate::NotProcessed)].contains(&settled(&events)[1].1));
    }
}

#[test]
fn the_server_resets_streams_before_and_after_the_answer() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        (0..3).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        assert_eq!(pair.requests().len(), 3);
        pair.server.reset(1, ErrorCode(2));
        pair.server.reset(3, ErrorCode::REFUSED_STREAM);
        pair.answer(5, 200, "");
        pair.server.reset(5, ErrorCode(2));
        pair.server.reset(5, ErrorCode(2));
        assert_eq!(
            settled(&pair.heard()),
            [
                (1, Settled::Failed(Failure::Reset(ErrorCode(2)), Fate::Unknown)),
                (3, Settled::Failed(Failure::Refused, Fate::NotProcessed)),
                (5, answered(200, ""))
            ]
        );
        assert!(!pair.client.is_closed() && !pair.server.is_closed());
    }
}

#[test]
fn b58_giving_up_a_request_frees_its_place_on_both_sides() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default().settings([(3, 3)]), split);
        (0..3).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        assert_eq!(pair.requests().len(), 3);
        pair.answer(1, 200, "");
        pair.answer(5, 200, "");
        assert_eq!(settled(&pair.heard()).len(), 2);
        assert_eq!(pair.client.reset(3), Some(Reset::Unanswered(Fate::Unknown)));
        pair.run();
        let cancelled = server::Event::Cancelled { stream: 3, code: Some(ErrorCode::CANCEL) };
        assert_eq!(std::mem::take(&mut pair.served), [cancelled]);
        (0..3).for_each(|_| _ = pair.client.send_request(push("{}")).unwrap());
        assert_eq!(pair.requests().len(), 3);
    }
}

#[test]
fn malformed_bytes_of_the_servers_choice_reach_the_client() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        pair.client.send_request(push("{}")).unwrap();
        pair.client.ping([7; 8]);
        pair.run();
        pair.answer(1, 200, "");
        pair.server.inject(b"\0\0\x01\x08\0\0\0\0\0\0");
        let events = pair.heard();
        assert_eq!(settled(&events), [(1, answered(200, ""))]);
        assert!(events.contains(&Event::Pong([7; 8])));
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Violation { code: ErrorCode::PROTOCOL_ERROR })));
        let served = std::mem::take(&mut pair.served);
        let [.., server::Event::GoAway(said), server::Event::Closed(_)] = &served[..] else { panic!("{served:?}") };
        assert_eq!(said.code, ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_window_smaller_than_a_body_is_filled_piece_by_piece() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default().settings([(4, 0)]), split);
        pair.client.send_request(push("0123456789")).unwrap();
        assert_eq!(pair.requests(), []);
        for _ in 0..4 {
            let mut update = BytesMut::new();
            frame::write(&mut update, 8, 0, 1, &3_u32.to_be_bytes());
            pair.server.inject(&update);
            pair.run();
        }
        assert_eq!(&pair.requests()[0].body[..], b"0123456789");
    }
}

#[test]
fn bodies_of_more_than_all_windows_together_arrive() {
    for split in [7, usize::MAX] {
        let max_body = 1 << 20;
        let mut pair = Pair::new(config().max_body(max_body), server::Config::default().max_body(max_body), split);
        let body: &'static str = Box::leak("x".repeat(300_000).into_boxed_str());
        pair.client.send_request(push(body)).unwrap();
        let requests = pair.requests();
        assert_eq!((requests[0].body.len(), requests[0].complete), (300_000, true));
        pair.answer(1, 400, body);
        assert_eq!(settled(&pair.heard()), [(1, answered(400, body))]);
    }
}

#[test]
fn a_request_that_is_too_long_is_cut_and_can_be_answered() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default().max_body(5000), split);
        pair.client.send_request(push(Box::leak("x".repeat(6000).into_boxed_str()))).unwrap();
        let requests = pair.requests();
        assert_eq!((requests[0].body.len(), requests[0].complete), (5000, false));
        pair.answer(1, 413, "{\"reason\":\"PayloadTooLarge\"}");
        assert_eq!(settled(&pair.heard()), [(1, answered(413, "{\"reason\":\"PayloadTooLarge\"}"))]);
    }
}

#[test]
fn the_client_finishes_and_the_server_hears_it() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        pair.client.send_request(push("{}")).unwrap();
        pair.client.finish();
        assert_eq!(pair.requests().len(), 1);
        pair.answer(1, 200, "");
        let events = pair.heard();
        assert_eq!(settled(&events), [(1, answered(200, ""))]);
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Finished)));
        pair.server.receive_end();
        pair.run();
        assert!(matches!(pair.served.last(), Some(server::Event::Closed(_))), "{:?}", pair.served);
    }
}

#[test]
fn the_servers_pings_come_back() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        pair.server.ping(*b"are you?");
        pair.run();
        assert_eq!(pair.served, [server::Event::Pong(*b"are you?")]);
    }
}

#[test]
fn a_client_that_is_none_is_told_apart() {
    for split in SPLITS {
        let mut server = server::Connection::new(server::Config::default());
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".chunks(split).for_each(|piece| server.receive(piece));
        let code = ErrorCode::PROTOCOL_ERROR;
        assert_eq!(server.poll(), Some(server::Event::Closed(CloseReason::Violation { code })));
        assert_eq!(server.poll(), None);
    }
}

#[test]
fn when_the_client_is_gone_what_waits_is_cancelled() {
    for split in SPLITS {
        let mut pair = Pair::new(config(), server::Config::default(), split);
        pair.client.send_request(push("{}")).unwrap();
        assert_eq!(pair.requests().len(), 1);
        pair.server.receive_end();
        let cancelled = server::Event::Cancelled { stream: 1, code: None };
        assert_eq!(pair.server.poll(), Some(cancelled));
        assert_eq!(pair.server.poll(), Some(server::Event::Closed(CloseReason::Ended)));
    }
}

#[test]
fn random_bytes_of_a_client_never_panic_the_server() {
    let mut random = random();
    for round in 0..2000 {
        let mut server = server::Connection::new(server::Config::default().settings([(3, 2)]));
        let mut bytes = BytesMut::from(PREFACE);
        frame::write_settings(&mut bytes, &[]);
        for stream in [1, 3] {
            // POST, https, /, authority "a".
            headers(&mut bytes, stream, stream == 3, b"\x83\x87\x84\x01\x01a");
        }
        noise(&mut bytes, &mut random);
        bytes.chunks(SPLITS[round % 3]).for_each(|piece| server.receive(piece));
        server.transmit(&mut BytesMut::new());
        server.receive_end();
        let events: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
        let closes = events.iter().filter(|event| matches!(event, server::Event::Closed(_))).count();
        assert_eq!(closes, 1, "{events:?}");
        assert!(matches!(events.last(), Some(server::Event::Closed(_))), "{events:?}");
        assert_eq!(server.open_streams(), 0);
    }
}

#[test]
fn the_servers_own_limits_hold_without_being_announced() {
    let mut pair = Pair::new(config(), server::Config::default(), usize::MAX);
    let large = with(push("{}"), "apns-collapse-id", "x".repeat(70_000), Indexing::Never);
    pair.client.send_request(large).unwrap();
    pair.run();
    pair.client.send_request(push("{}")).unwrap();
    assert_eq!(pair.requests().iter().map(|request| request.stream).collect::<Vec<_>>(), [3]);
    assert_eq!(settled(&pair.heard()), [(1, answered(431, ""))]);
}

#[test]
fn a_server_that_cannot_write_still_hears() {
    let mut pair = Pair::new(config(), server::Config::default(), usize::MAX);
    pair.server.write_failed(0);
    pair.client.send_request(push("{}")).unwrap();
    assert_eq!(pair.requests().len(), 1);
    pair.answer(1, 200, "");
    assert_eq!(pair.heard().iter().filter(|event| !matches!(event, Event::Settings(_))).count(), 0);
    pair.client.receive_end();
    let unknown = Settled::Failed(Failure::ConnectionEnded, Fate::Unknown);
    assert_eq!(settled(&pair.heard()), [(1, unknown)]);
}

#[test]
fn a_request_does_not_print_what_is_in_it() {
    let mut pair = Pair::new(config(), server::Config::default(), usize::MAX);
    let request = with(push("{\"aps\":{\"alert\":\"private\"}}"), "authorization", "bearer sesame", Indexing::Never);
    pair.client.send_request(request).unwrap();
    pair.run();
    let printed = format!("{:?} {:?}", pair.served, pair.server);
    for secret in ["sesame", "private", "00fc13adff785122"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
