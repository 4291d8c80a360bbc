//! A client of frames by hand, and what the service's side can do beside answering. Each conversation runs with one-byte,
//! seven-byte and whole pieces.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::connection::RespondError;
use super::frame::{self, ErrorCode, HEAD, Head, PREFACE, flag, kind};
use super::{CloseReason, Config, Connection, Event, GoAway, Request};

/// How the bytes are split.
const SPLITS: [usize; 3] = [1, 7, usize::MAX];

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Bytes,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// POST, https, the path of a token, an authority; a topic that is not indexed.
const HEAD_BLOCK: &[u8] = b"\x83\x87\x04\x1a/3/device/00fc13adff785122\x01\x03a.b\x00\x0aapns-topic\x05topic";

/// `:status` 200 and 400, from the static table (RFC 7541 appendix A).
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

struct Hand {
    server: Connection,
    split: usize,
    heard: BytesMut,
    events: Vec<Event>,
}

impl Hand {
    /// A client that said its preface and read the server's.
    fn new(config: Config, split: usize) -> Self {
        let mut hand = Self { server: Connection::new(config), split, heard: BytesMut::new(), events: Vec::new() };
        hand.say(|out| {
            out.extend_from_slice(PREFACE);
            frame::write_settings(out, &[]);
        });
        assert!(hand.hear().iter().all(|frame| frame.kind == kind::SETTINGS));
        hand
    }

    fn say(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        bytes.chunks(self.split).for_each(|piece| self.server.receive(piece));
        while let Some(event) = self.server.poll() {
            self.events.push(event);
        }
    }

    fn send(&mut self, stream: u32, body: &[u8]) {
        self.say(|out| {
            let end = if body.is_empty() { flag::END_STREAM } else { 0 };
            frame::write(out, kind::HEADERS, flag::END_HEADERS | end, stream, HEAD_BLOCK);
            if !body.is_empty() {
                frame::write(out, kind::DATA, flag::END_STREAM, stream, body);
            }
        });
    }

    /// Takes all bytes of the server and gives the frames in them.
    fn hear(&mut self) -> Vec<Frame> {
        while self.server.transmit(&mut self.heard) {}
        let mut frames = Vec::new();
        while !self.heard.is_empty() {
            let head = Head::parse(self.heard.split_to(HEAD)[..].try_into().unwrap());
            let payload = self.heard.split_to(head.length).freeze();
            frames.push(Frame { kind: head.kind, flags: head.flags, stream: head.stream, payload });
        }
        frames
    }

    fn events(&mut self) -> Vec<Event> {
        while let Some(event) = self.server.poll() {
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    fn requests(&mut self) -> Vec<Request> {
        let requests = |event| match event {
            Event::Request(request) => Some(request),
            _ => None,
        };
        self.events().into_iter().filter_map(requests).collect()
    }

    fn answer(&mut self, stream: u32, status: u16, body: &'static str) {
        let status = StatusCode::from_u16(status).unwrap();
        self.server.respond(stream, status, HeaderMap::new(), Bytes::from_static(body.as_bytes())).unwrap();
    }
}

#[test]
fn requests_and_answers_arrive_as_they_were_sent() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        let body = vec![b'x'; 5000];
        hand.send(1, &body);
        hand.send(3, b"");
        let requests = hand.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!((&requests[0].method, &requests[0].path[..]), (&http::Method::POST, "/3/device/00fc13adff785122"));
        assert_eq!(requests[0].authority.as_deref(), Some("a.b"));
        assert_eq!(requests[0].headers["apns-topic"], "topic");
        assert_eq!((&requests[0].body[..], requests[0].complete), (&body[..], true));
        assert_eq!((requests[1].stream, requests[1].body.len()), (3, 0));
        hand.answer(3, 200, "");
        hand.answer(1, 400, "{\"reason\":\"BadTopic\"}");
        let frames = hand.hear();
        let of = |stream| frames.iter().filter(move |frame| frame.stream == stream).collect::<Vec<_>>();
        // Without a body it ends on HEADERS.
        assert_eq!(of(3).len(), 1);
        assert_eq!((of(3)[0].flags, of(3)[0].payload[0]), (flag::END_HEADERS | flag::END_STREAM, OK));
        assert_eq!((of(1)[0].kind, of(1)[0].payload[0]), (kind::HEADERS, BAD_REQUEST));
        assert_eq!((&of(1)[1].payload[..], of(1)[1].flags), (&b"{\"reason\":\"BadTopic\"}"[..], flag::END_STREAM));
        let twice = hand.server.respond(1, StatusCode::OK, HeaderMap::new(), Bytes::new());
        assert_eq!(twice, Err(RespondError::NotWaiting(1)));
        assert_eq!(hand.server.open_streams(), 0);
    }
}

#[test]
fn the_first_frame_is_the_settings_word_for_word() {
    let settings = [(3, 1), (4, 0), (0xabcd, 7)];
    let mut server = Connection::new(Config::default().settings(settings));
    let (mut out, mut expected) = (BytesMut::new(), BytesMut::new());
    assert!(server.transmit(&mut out));
    frame::write_settings(&mut expected, &settings);
    assert_eq!(out, expected);
}

#[test]
fn ten_thousand_requests_are_answered_once_each() {
    for split in [7, usize::MAX] {
        let mut hand = Hand::new(Config::default().settings([(3, 100)]), split);
        let mut answered = std::collections::BTreeSet::new();
        for round in 0..100 {
            let streams = (0..100).map(|index| 1 + 2 * (100 * round + index));
            streams.for_each(|stream| hand.send(stream, b"{}"));
            for request in hand.requests() {
                hand.answer(request.stream, if request.stream % 7 == 0 { 400 } else { 200 }, "");
            }
            for frame in hand.hear().iter().filter(|frame| frame.kind == kind::HEADERS) {
                assert!(answered.insert(frame.stream), "{} is answered twice", frame.stream);
                let expected = if frame.stream % 7 == 0 { BAD_REQUEST } else { OK };
                assert_eq!(frame.payload[0], expected);
            }
        }
        assert_eq!((answered.len(), hand.server.open_streams()), (10_000, 0));
    }
}

#[test]
fn the_stream_limit_changes_and_is_kept() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default().settings([(3, 1)]), split);
        hand.server.settings(&[(3, 500)]);
        hand.server.settings(&[(3, 3)]);
        let said: Vec<_> = hand.hear().into_iter().map(|frame| (frame.kind, frame.number(2))).collect();
        assert_eq!(said, [(kind::SETTINGS, 500), (kind::SETTINGS, 3)]);
        // The limit falls while they are under way.
        hand.server.settings(&[(3, 1)]);
        (0..3).for_each(|index| hand.send(1 + 2 * index, b"{}"));
        assert_eq!(hand.requests().len(), 1);
        let resets: Vec<_> = hand.hear().into_iter().filter(|frame| frame.kind == kind::RST_STREAM).collect();
        let refused = ErrorCode::REFUSED_STREAM.0;
        assert_eq!(
            resets.iter().map(|frame| (frame.stream, frame.number(0))).collect::<Vec<_>>(),
            [(3, refused), (5, refused)]
        );
        hand.answer(1, 200, "");
        hand.say(|out| (0..4).for_each(|_| frame::write(out, kind::SETTINGS, flag::ACK, 0, &[])));
        hand.send(7, b"{}");
        assert_eq!(hand.requests().len(), 1);
    }
}

#[test]
fn go_away_is_said_twice_with_a_last_stream_of_ones_choice() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        (0..3).for_each(|index| hand.send(1 + 2 * index, b"{}"));
        assert_eq!(hand.requests().len(), 3);
        hand.server.go_away(frame::MAX_STREAM, ErrorCode(0), b"");
        hand.server.go_away(3, ErrorCode(0), b"{\"reason\":\"Shutdown\"}");
        let said = hand.hear();
        assert_eq!(said.iter().map(|frame| frame.number(0)).collect::<Vec<_>>(), [frame::MAX_STREAM, 3]);
        assert_eq!(&said[1].payload[8..], b"{\"reason\":\"Shutdown\"}");
        hand.answer(3, 200, "");
        hand.answer(1, 200, "");
        assert_eq!(hand.hear().iter().filter(|frame| frame.kind == kind::HEADERS).count(), 2);
        hand.say(|out| frame::write_go_away(out, 0, ErrorCode(0), b""));
        let go_away = GoAway { last_stream: 0, code: ErrorCode(0), debug: Bytes::new() };
        assert!(hand.events().contains(&Event::GoAway(go_away)));
    }
}

#[test]
fn a_request_above_the_last_stream_is_refused() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        hand.server.go_away(1, ErrorCode(0), b"");
        hand.send(1, b"{}");
        hand.send(3, b"{}");
        assert_eq!(hand.requests().iter().map(|request| request.stream).collect::<Vec<_>>(), [1]);
        let resets: Vec<_> = hand.hear().into_iter().filter(|frame| frame.kind == kind::RST_STREAM).collect();
        assert_eq!((resets[0].stream, resets[0].number(0)), (3, ErrorCode::REFUSED_STREAM.0));
    }
}

#[test]
fn streams_are_reset_before_and_after_the_answer() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        (0..3).for_each(|index| hand.send(1 + 2 * index, b"{}"));
        assert_eq!(hand.requests().len(), 3);
        hand.server.reset(1, ErrorCode(2));
        hand.server.reset(3, ErrorCode::REFUSED_STREAM);
        hand.answer(5, 200, "");
        hand.server.reset(5, ErrorCode(2));
        hand.server.reset(5, ErrorCode(2));
        let resets: Vec<_> = hand.hear().into_iter().filter(|frame| frame.kind == kind::RST_STREAM).collect();
        let said: Vec<_> = resets.iter().map(|frame| (frame.stream, frame.number(0))).collect();
        assert_eq!(said, [(1, 2), (3, 7), (5, 2), (5, 2)]);
        hand.send(7, b"{}");
        assert_eq!(hand.requests().len(), 1);
    }
}

#[test]
fn b58_a_request_that_was_given_up_frees_its_place() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default().settings([(3, 1)]), split);
        hand.send(1, b"{}");
        assert_eq!(hand.requests().len(), 1);
        hand.say(|out| frame::write_reset(out, 1, ErrorCode(8)));
        assert_eq!(hand.events(), [Event::Cancelled { stream: 1, code: Some(ErrorCode(8)) }]);
        hand.send(3, b"{}");
        assert_eq!(hand.requests().len(), 1);
    }
}

#[test]
fn bytes_of_ones_choice_come_between_frames() {
    let mut hand = Hand::new(Config::default(), usize::MAX);
    hand.send(1, b"{}");
    hand.answer(1, 200, "");
    hand.server.inject(b"\0\0\x01\x08\0\0\0\0\0\0");
    let frames = hand.hear();
    assert_eq!((frames[0].kind, frames[0].stream), (kind::HEADERS, 1));
    assert_eq!((frames[1].kind, frames[1].payload.len()), (8, 1));
}

#[test]
fn a_body_in_pieces_beyond_a_window_that_was_only_announced_arrives() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default().settings([(4, 0)]), split);
        hand.say(|out| frame::write(out, kind::HEADERS, flag::END_HEADERS, 1, HEAD_BLOCK));
        assert_eq!(hand.requests(), []);
        for (piece, end) in [("0123", 0), ("4567", 0), ("89", flag::END_STREAM)] {
            hand.say(|out| frame::write(out, kind::DATA, end, 1, piece.as_bytes()));
        }
        assert_eq!(&hand.requests()[0].body[..], b"0123456789");
    }
}

#[test]
fn bodies_of_more_than_all_windows_together_arrive() {
    for split in [7, usize::MAX] {
        let mut hand = Hand::new(Config { max_body: 1 << 20, ..Config::default() }, split);
        hand.say(|out| frame::write(out, kind::HEADERS, flag::END_HEADERS, 1, HEAD_BLOCK));
        let (mut window, mut sent) = (65_535_i64, 0);
        while sent < 300_000 {
            hand.say(|out| frame::write(out, kind::DATA, 0, 1, &[b'x'; 10_000]));
            sent += 10_000;
            window -= 10_000;
            let updates = hand.hear().into_iter().filter(|frame| frame.kind == 8 && frame.stream == 0);
            window += updates.map(|frame| i64::from(frame.number(0))).sum::<i64>();
            assert!(window > 10_000);
        }
        hand.say(|out| frame::write(out, kind::DATA, flag::END_STREAM, 1, b""));
        let requests = hand.requests();
        assert_eq!((requests[0].body.len(), requests[0].complete), (300_000, true));
        // And back.
        let body: &'static str = Box::leak("x".repeat(300_000).into_boxed_str());
        hand.answer(1, 400, body);
        let mut came = 0;
        while came < 300_000 {
            let now: usize =
                hand.hear().iter().filter(|frame| frame.kind == kind::DATA).map(|frame| frame.payload.len()).sum();
            assert!(now > 0, "{came} bytes came");
            came += now;
            hand.say(|out| {
                for stream in [0, 1] {
                    frame::write(out, 8, 0, stream, &(now as u32).to_be_bytes());
                }
            });
        }
    }
}

#[test]
fn a_request_that_is_too_long_is_cut_and_can_be_answered() {
    for split in SPLITS {
        let mut hand = Hand::new(Config { max_body: 5000, ..Config::default() }, split);
        hand.send(1, &[b'x'; 6000]);
        let requests = hand.requests();
        assert_eq!((requests[0].body.len(), requests[0].complete), (5000, false));
        hand.answer(1, 400, "");
        assert!(hand.hear().iter().any(|frame| frame.kind == kind::HEADERS && frame.payload[0] == BAD_REQUEST));
    }
}

#[test]
fn the_client_finishes_and_it_is_heard() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        hand.send(1, b"{}");
        hand.say(|out| frame::write_go_away(out, 0, ErrorCode(0), b""));
        assert_eq!(hand.requests().len(), 1);
        hand.answer(1, 200, "");
        assert!(hand.hear().iter().any(|frame| frame.kind == kind::HEADERS));
        hand.server.receive_end();
        assert!(matches!(hand.events().last(), Some(Event::Closed(_))));
    }
}

#[test]
fn pings_come_back() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        hand.server.ping(*b"are you?");
        assert_eq!(&hand.hear()[0].payload[..], b"are you?");
        hand.say(|out| {
            frame::write(out, kind::PING, flag::ACK, 0, b"are you?");
            frame::write(out, kind::PING, 0, 0, b"you are?");
        });
        assert_eq!(hand.events(), [Event::Pong(*b"are you?")]);
        let answer = hand.hear().pop().unwrap();
        assert_eq!((answer.flags, &answer.payload[..]), (flag::ACK, &b"you are?"[..]));
    }
}

#[test]
fn a_client_that_is_none_is_told_apart() {
    for split in SPLITS {
        let mut server = Connection::new(Config::default());
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".chunks(split).for_each(|piece| server.receive(piece));
        let code = ErrorCode::PROTOCOL_ERROR;
        assert_eq!(server.poll(), Some(Event::Closed(CloseReason::Violation { code })));
        assert_eq!(server.poll(), None);
    }
}

#[test]
fn when_the_client_is_gone_what_waits_is_cancelled() {
    for split in SPLITS {
        let mut hand = Hand::new(Config::default(), split);
        hand.send(1, b"{}");
        assert_eq!(hand.requests().len(), 1);
        hand.server.receive_end();
        assert_eq!(hand.events(), [Event::Cancelled { stream: 1, code: None }, Event::Closed(CloseReason::Ended)]);
    }
}

#[test]
fn random_bytes_of_a_client_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2000 {
        let mut server = Connection::new(Config::default().settings([(3, 2)]));
        let mut bytes = BytesMut::from(PREFACE);
        frame::write_settings(&mut bytes, &[]);
        frame::write(&mut bytes, kind::HEADERS, flag::END_HEADERS, 1, HEAD_BLOCK);
        frame::write(&mut bytes, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, HEAD_BLOCK);
        for _ in 0..1 + random() % 8 {
            let payload: Vec<u8> = (0..random() % 40).map(|_| random().to_be_bytes()[0]).collect();
            let stream = [0, 1, 3, 5, 7][(random() % 5) as usize];
            frame::write(&mut bytes, (random() % 11) as u8, random().to_be_bytes()[3], stream, &payload);
        }
        bytes.chunks(SPLITS[round % 3]).for_each(|piece| server.receive(piece));
        server.transmit(&mut BytesMut::new());
        server.receive_end();
        let events: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
        let closes = events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        assert_eq!(closes, 1, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Closed(_))), "{events:?}");
        assert_eq!(server.open_streams(), 0);
    }
}

#[test]
fn its_own_limits_hold_without_being_announced() {
    let mut hand = Hand::new(Config::default(), usize::MAX);
    // A field of 70 000 bytes, in five frames. 0x7f and three more bytes: 127 + 69 873.
    let mut block = HEAD_BLOCK.to_vec();
    block.extend_from_slice(b"\x00\x01x\x7f\xf1\xa1\x04");
    block.extend(std::iter::repeat_n(b'x', 70_000));
    hand.say(|out| {
        let mut pieces = block.chunks(16_384).peekable();
        let (mut kind, mut flags) = (kind::HEADERS, flag::END_STREAM);
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            frame::write(out, kind, flags, 1, piece);
            (kind, flags) = (kind::CONTINUATION, 0);
        }
    });
    hand.send(3, b"{}");
    assert_eq!(hand.requests().iter().map(|request| request.stream).collect::<Vec<_>>(), [3]);
    // 431, which is not in the static table: in the Huffman code.
    let answers: Vec<_> = hand.hear().into_iter().filter(|frame| frame.kind == kind::HEADERS).collect();
    assert_eq!((answers.len(), answers[0].stream), (1, 1));
    assert_eq!(answers[0].payload[..2], [0x48, 0x83]);
}

#[test]
fn a_server_that_cannot_write_still_hears() {
    let mut hand = Hand::new(Config::default(), usize::MAX);
    hand.server.write_failed();
    hand.send(1, b"{}");
    assert_eq!(hand.requests().len(), 1);
    hand.answer(1, 200, "");
    assert_eq!(hand.hear(), []);
}

#[test]
fn a_request_does_not_print_what_is_in_it() {
    let mut hand = Hand::new(Config::default(), usize::MAX);
    hand.send(1, b"{\"aps\":{\"alert\":\"private\"}}");
    let printed = format!("{:?} {:?}", hand.events(), hand.server);
    for secret in ["topic", "private", "00fc13adff785122"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
