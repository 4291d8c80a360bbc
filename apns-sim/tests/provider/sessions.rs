//! Connections: how many streams there may be, how they end, and what goes wrong on them.

use std::io::ErrorKind;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, Instant};

use apns_sim::{
    Cut, CutHow, Entry, Faults, Http2Condition, Http2GoAway, Http2Rule, Http2Script, Http2Session, Http2Step, Junk,
    LastStream, Script, Simulator, Stall, TokenPattern,
};
use h2::Reason;
use tokio::time::timeout;

use crate::client::{Client, Request, TOKEN, bearer, finish};
use crate::raw::{self, DATA, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS};
use crate::support::{Identity, PATIENCE, seen, tls_offering};

/// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
const STREAMS: u16 = 3;
const HIGHEST_STREAM: u32 = 0x7fff_ffff;

async fn with(http2: Http2Script) -> Simulator {
    Simulator::builder().script(Script::default().http2(http2)).start().await.unwrap()
}

async fn with_faults(faults: Faults) -> Simulator {
    with(Http2Script::default().faults(faults)).await
}

fn rule(when: Http2Condition, then: impl IntoIterator<Item = Http2Step>) -> Http2Script {
    Http2Script::default().rule(Http2Rule::new(when, then))
}

fn always(then: impl IntoIterator<Item = Http2Step>) -> Http2Script {
    rule(Http2Condition::default(), then)
}

fn to(token: &str) -> Http2Condition {
    Http2Condition::default().token(token.parse::<TokenPattern>().unwrap())
}

fn closed(simulator: &Simulator) -> String {
    simulator.inspect(|log| {
        let ends = log.entries().iter().filter_map(|entry| match entry {
            Entry::Closed { end, .. } => Some(end.clone()),
            _ => None,
        });
        ends.collect::<Vec<_>>().join(", ")
    })
}

#[tokio::test]
async fn there_is_one_stream_until_a_good_token_was_answered() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    for bad in [Request::bare(TOKEN), Request::bare(TOKEN).with("authorization", bearer(&simulator, 3700))] {
        assert_eq!(client.send(&bad).await.status, 403);
        assert_eq!(client.limit(), 1);
    }
    // A notification that is refused has a good token all the same.
    assert_eq!(client.send(&Request::push(&simulator, "nothex")).await.status, 400);
    client.wait_for_limit(1000).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 403);
    assert_eq!(client.limit(), 1000, "it does not fall again");
}

#[tokio::test]
async fn the_limit_rises_behind_the_answer() {
    let simulator = with(Http2Script::default().stream_limit(7)).await;
    let mut raw = Raw::silent_without_certificate(&simulator).await;
    raw.write(&raw::greeting()).await;
    let first = raw.until(SETTINGS).await;
    assert_eq!(first.setting(STREAMS), Some(1));
    raw.send(1, &Request::push(&simulator, TOKEN)).await;
    let mut kinds = Vec::new();
    loop {
        let frame = raw.next().await;
        let limit = if frame.kind == SETTINGS { frame.setting(STREAMS) } else { None };
        if frame.kind == HEADERS || limit.is_some() {
            kinds.push((frame.kind, limit));
        }
        if limit.is_some() {
            break;
        }
    }
    assert_eq!(kinds, [(HEADERS, None), (SETTINGS, Some(7))]);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_refused() {
    // The first is never answered, so the limit stays where it is.
    let simulator = with(rule(Http2Condition::default().arrival(1), [])).await;
    let mut client = Client::hasty(&simulator).await;
    let push = Request::push(&simulator, TOKEN);
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(client.begin(&push).await.unwrap());
    }
    for answer in begun.drain(1..) {
        let error = finish(answer).await.err().unwrap();
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    }
    assert_eq!(simulator.counts().requests, 1, "what is refused was not looked at");
    assert_eq!(simulator.counts().streams_refused, 2);
    let refused: Vec<_> = simulator.inspect(|log| log.entries().iter().map(Entry::to_json).collect());
    let refused: Vec<_> = refused.iter().filter(|line| line.contains(r#""event":"stream_refused""#)).collect();
    assert!(refused.len() == 2 && refused.iter().all(|line| line.contains(r#""connection":1"#)), "{refused:?}");
    assert!(refused.iter().all(|line| line.contains(r#""limit":1"#)), "{refused:?}");
}

#[tokio::test]
async fn the_first_limit_can_be_left_out() {
    let simulator = with(Http2Script::default().without_token_start_limit().stream_limit(9)).await;
    Client::new(&simulator).await.wait_for_limit(9).await;
    let simulator = with(Http2Script::default().stream_limit(9)).await;
    Client::certified(&simulator).await.wait_for_limit(9).await;
}

#[tokio::test]
async fn the_limit_changes_while_the_connection_lives() {
    let http2 = rule(to("aa"), [Http2Step::Answer, Http2Step::StreamLimit(3)])
        .rule(Http2Rule::new(to("bb"), [Http2Step::StreamLimit(1), Http2Step::Answer]))
        .rule(Http2Rule::new(to("cc"), []));
    let simulator = with(http2).await;
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare("aa")).await.status, 200);
    client.wait_for_limit(3).await;
    let silent = client.begin(&Request::bare("cc")).await.unwrap();
    assert_eq!(client.send(&Request::bare("bb")).await.status, 200, "beside one that is open");
    client.wait_for_limit(1).await;
    // The open one fills the limit; there is room again once it is given up.
    drop(silent);
    assert_eq!(client.send(&Request::bare("aa")).await.status, 200);
    client.wait_for_limit(3).await;
}

#[tokio::test]
async fn a_lowered_limit_refuses_what_is_beyond_it() {
    let http2 = rule(to("bb"), [Http2Step::StreamLimit(2), Http2Step::Answer]).rule(Http2Rule::new(to("cc"), []));
    let simulator = with(http2).await;
    let mut raw = Raw::new(&simulator).await;
    for (stream, token) in [(1, "cc"), (3, "bb"), (5, "cc")] {
        raw.send(stream, &Request::bare(token)).await;
    }
    assert_eq!(raw.until(HEADERS).await.stream, 3);
    raw.send(7, &Request::bare("aa")).await;
    let refused = raw.until(RST_STREAM).await;
    assert_eq!((refused.stream, refused.number(0)), (7, 7), "two are open");
    assert_eq!(simulator.counts().requests, 3);
}

#[tokio::test]
async fn a_stream_that_is_given_up_makes_room_at_once() {
    let simulator = with(rule(to("cc"), []).stream_limit(1)).await;
    let mut raw = Raw::new(&simulator).await;
    raw.send(1, &Request::bare("cc")).await;
    seen(&simulator, |log| log.counts().requests == 1).await;
    let given_up = raw::frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    raw.write(&[given_up, raw::request(3, &Request::bare("aa"))].concat()).await;
    loop {
        let frame = raw.next().await;
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == HEADERS {
            assert_eq!(frame.stream, 3);
            break;
        }
    }
    assert_eq!(simulator.counts().requests_cancelled, 1);
}

#[tokio::test]
async fn the_first_settings_can_be_any() {
    let session = Http2Session::default().connection(1).settings([(STREAMS, 5), (0xf000, 1)]);
    let simulator = with(Http2Script::default().session(session)).await;
    let mut raw = Raw::silent_without_certificate(&simulator).await;
    raw.write(&raw::greeting()).await;
    let settings = raw.next().await;
    assert_eq!((settings.kind, &settings.payload[..]), (SETTINGS, &[0, 3, 0, 0, 0, 5, 0xf0, 0, 0, 0, 0, 1][..]));
    raw.send(1, &Request::push(&simulator, TOKEN)).await;
    raw.until(HEADERS).await;
    raw.write(&raw::frame(PING, 0, 0, &[1; 8])).await;
    loop {
        let frame = raw.next().await;
        assert!(frame.kind != SETTINGS || frame.flags == 1, "the limit does not rise unasked: {frame:?}");
        if frame.kind == PING {
            break;
        }
    }
    Client::certified(&simulator).await.wait_for_limit(1000).await;
}

#[tokio::test]
async fn b115_a_client_of_another_protocol_is_not_let_in() {
    let simulator = Simulator::start().await.unwrap();
    let push = Request::push(&simulator, TOKEN);
    let mut client = Client::with(&simulator, Identity::None, &[]).await;
    assert_eq!(client.send(&push).await.status, 200, "without ALPN, as some clients do");
    let address = simulator.http2_address();
    let refused = tls_offering(&simulator, address, Identity::None, &[b"http/1.1"]).await.err().unwrap();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[tokio::test]
async fn a_client_that_does_not_speak_http2_is_told() {
    let simulator = Simulator::start().await.unwrap();
    let mut raw = Raw::silent(&simulator).await;
    raw.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.read_to_end().await.1.unwrap();
    seen(&simulator, |log| log.counts().closed == 1).await;
    assert_eq!(closed(&simulator), "the client broke the protocol (HTTP/2 error code 1)");
}

#[tokio::test]
async fn a_goaway_says_why_and_finishes_what_is_open() {
    let shutdown = Http2Step::GoAway(Http2GoAway::new("Shutdown"));
    let simulator = with(always([shutdown, Http2Step::WaitMs(20), Http2Step::Answer])).await;
    let mut raw = Raw::new(&simulator).await;
    raw.send(1, &Request::bare(TOKEN)).await;
    assert_eq!(raw.until(GOAWAY).await.go_away(), (1, 0, r#"{"reason":"Shutdown"}"#));
    raw.send(3, &Request::bare(TOKEN)).await;
    let refused = raw.until(RST_STREAM).await;
    assert_eq!((refused.stream, refused.number(0)), (3, 7));
    assert_eq!(raw.until(HEADERS).await.stream, 1);
    assert_eq!(simulator.counts().requests, 1);

    // The same for a client that knows what GOAWAY means.
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    timeout(PATIENCE, &mut client.connection).await.unwrap().unwrap().unwrap();
    assert!(client.try_send(&Request::bare(TOKEN)).await.is_err());
    assert_eq!(simulator.counts().requests, 2);
}

#[tokio::test]
async fn a_goaway_may_come_twice() {
    let soon = Http2GoAway::new("IdleTimeout").last_stream(LastStream::At(HIGHEST_STREAM));
    let now = Http2GoAway::default().code(11).debug("calm down");
    let arrival = |number| Http2Condition::default().arrival(number);
    let http2 = rule(arrival(1), [Http2Step::GoAway(soon), Http2Step::Answer])
        .rule(Http2Rule::new(arrival(2), [Http2Step::Answer, Http2Step::GoAway(now)]));
    let simulator = with(http2).await;
    let mut raw = Raw::new(&simulator).await;
    raw.send(1, &Request::bare(TOKEN)).await;
    assert_eq!(raw.until(GOAWAY).await.go_away(), (HIGHEST_STREAM, 0, r#"{"reason":"IdleTimeout"}"#));
    assert_eq!(raw.until(HEADERS).await.stream, 1);
    raw.send(3, &Request::bare(TOKEN)).await;
    assert_eq!(raw.until(HEADERS).await.stream, 3, "the first disowned nothing");
    assert_eq!(raw.until(GOAWAY).await.go_away(), (3, 11, "calm down"));
    raw.send(5, &Request::bare(TOKEN)).await;
    assert_eq!(raw.until(RST_STREAM).await.stream, 5);
}

#[tokio::test]
async fn a_goaway_can_disown_the_request_it_answers() {
    let before = Http2GoAway::new("ServiceUnavailable").last_stream(LastStream::Before);
    let http2 = rule(Http2Condition::default().arrival(2), [Http2Step::GoAway(before)]);
    let simulator = with(http2).await;
    let mut raw = Raw::new(&simulator).await;
    raw.send(1, &Request::bare(TOKEN)).await;
    raw.send(3, &Request::bare(TOKEN)).await;
    assert_eq!(raw.until(GOAWAY).await.go_away(), (1, 0, r#"{"reason":"ServiceUnavailable"}"#));
    assert_eq!(simulator.requests()[1].status, None);
}

#[tokio::test]
async fn a_session_acts_without_a_request() {
    let session = Http2Session::default()
        .step(Http2Step::Ping)
        .step(Http2Step::StreamLimit(4))
        .step(Http2Step::Settings(vec![(4, 70_000)]))
        .step(Http2Step::Inject(raw::frame(0xee, 0, 0, b"unknown").into()))
        .step(Http2Step::WaitMs(10))
        .step(Http2Step::GoAway(Http2GoAway::default()))
        .step(Http2Step::Close);
    let simulator = with(Http2Script::default().session(session)).await;
    let mut raw = Raw::silent(&simulator).await;
    assert_eq!(raw.next().await.setting(STREAMS), Some(1000));
    assert_eq!(raw.next().await.payload, b"apns-sim");
    assert_eq!(raw.next().await.setting(STREAMS), Some(4));
    assert_eq!(raw.next().await.setting(4), Some(70_000));
    let unknown = raw.next().await;
    assert_eq!((unknown.kind, &unknown.payload[..]), (0xee, &b"unknown"[..]));
    assert_eq!(raw.next().await.go_away(), (HIGHEST_STREAM, 0, ""));
    let (rest, end) = raw.read_to_end().await;
    assert_eq!(rest, b"");
    end.unwrap();
    assert_eq!(closed(&simulator), "closed on purpose");
}

#[tokio::test]
async fn a_session_without_a_request_has_none_to_answer() {
    let answer = apns_sim::Http2Answer::accepted();
    let session = Http2Session::default()
        .step(Http2Step::Answer)
        .step(answer.into())
        .step(Http2Step::Reset(8))
        .step(Http2Step::Ping);
    let simulator = with(Http2Script::default().session(session)).await;
    let mut raw = Raw::silent(&simulator).await;
    assert_eq!(raw.next().await.kind, SETTINGS);
    // A frame about stream 0 would end the connection (RFC 9113 section 6.4).
    assert_eq!(raw.next().await.kind, PING);
    assert_eq!(Client::certified(&simulator).await.send(&Request::bare(TOKEN)).await.status, 200);
}

#[tokio::test]
async fn b58_a_stream_can_stay_silent_while_others_are_answered() {
    let simulator = with(rule(Http2Condition::default().arrival(2), [])).await;
    let mut client = Client::certified(&simulator).await;
    let push = Request::bare(TOKEN);
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(client.begin(&push).await.unwrap());
    }
    let third = begun.pop().unwrap();
    let second = begun.pop().unwrap();
    assert_eq!(finish(begun.pop().unwrap()).await.unwrap().status, 200);
    assert_eq!(finish(third).await.unwrap().status, 200);
    let silent = simulator.requests()[1].clone();
    assert_eq!((silent.status, silent.accepted()), (None, false));
    drop(second);
    seen(&simulator, |log| log.counts().requests_cancelled == 1).await;
    let cancelled = simulator.inspect(|log| {
        log.entries().iter().find_map(|entry| match entry {
            Entry::Cancelled { connection, stream, code, .. } => Some((*connection, *stream, *code)),
            _ => None,
        })
    });
    assert_eq!(cancelled, Some((1, silent.stream, 8)));
    let counts = simulator.counts();
    assert_eq!((counts.requests, counts.requests_accepted, counts.requests_refused), (3, 2, 0));
}

#[tokio::test]
async fn an_answer_can_be_late() {
    let simulator = with(rule(to("aa"), [Http2Step::WaitMs(150), Http2Step::Answer])).await;
    let mut client = Client::certified(&simulator).await;
    let begun = Instant::now();
    let slow = client.begin(&Request::bare("aa")).await.unwrap();
    assert_eq!(client.send(&Request::bare("bb")).await.status, 200);
    assert_eq!(finish(slow).await.unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_stream_is_reset_and_nothing_else() {
    let http2 =
        rule(to("aa"), [Http2Step::Reset(7)]).rule(Http2Rule::new(to("bb"), [Http2Step::Reset(11), Http2Step::Answer]));
    let simulator = with(http2).await;
    let mut client = Client::certified(&simulator).await;
    for (token, reason) in [("aa", Reason::REFUSED_STREAM), ("bb", Reason::ENHANCE_YOUR_CALM)] {
        let error = client.try_send(&Request::bare(token)).await.err().unwrap();
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(reason));
    }
    assert_eq!(client.send(&Request::bare("cc")).await.status, 200);
    let told: Vec<_> = simulator.requests().iter().map(|request| request.status).collect();
    assert_eq!(told, [None, None, Some(200)], "an answer behind a reset never leaves");
    assert_eq!(simulator.counts().requests_accepted, 1);
}

#[tokio::test]
async fn an_answered_stream_can_be_reset_as_well() {
    let simulator = with(always([Http2Step::Answer, Http2Step::Reset(0)])).await;
    let mut raw = Raw::new(&simulator).await;
    raw.send(1, &Request::bare("nothex")).await;
    assert_eq!(raw.until(HEADERS).await.stream, 1);
    let body = raw.next().await;
    assert_eq!((body.kind, body.stream, body.flags), (DATA, 1, 1));
    let reset = raw.next().await;
    assert_eq!((reset.kind, reset.stream, reset.number(0)), (RST_STREAM, 1, 0));
}

#[tokio::test]
async fn the_connection_closes_with_or_without_an_answer() {
    for (steps, status) in [
        (vec![Http2Step::Answer, Http2Step::Close], Some(200)),
        (vec![Http2Step::Close, Http2Step::Answer], None),
        (vec![Http2Step::Cut(CutHow::End), Http2Step::Answer], None),
    ] {
        let simulator = with(always(steps)).await;
        let mut client = Client::certified(&simulator).await;
        let answer = client.try_send(&Request::bare(TOKEN)).await.ok();
        assert_eq!(answer.map(|answer| answer.status), status);
        seen(&simulator, |log| log.counts().closed == 1).await;
        assert_eq!(simulator.requests()[0].status, status);
        assert_eq!(simulator.counts().requests_accepted, u64::from(status.is_some()));
    }
}

#[tokio::test]
async fn a_close_is_orderly_and_a_cut_is_not() {
    let answered_and = |end| always([Http2Step::Answer, end]);
    for (end, expected) in [
        (Http2Step::Close, None),
        (Http2Step::Cut(CutHow::End), Some(ErrorKind::UnexpectedEof)),
        (Http2Step::Cut(CutHow::Reset), Some(ErrorKind::ConnectionReset)),
    ] {
        let simulator = with(answered_and(end.clone())).await;
        let mut raw = Raw::new(&simulator).await;
        raw.send(1, &Request::bare(TOKEN)).await;
        if end != Http2Step::Cut(CutHow::Reset) {
            assert_eq!(raw.until(HEADERS).await.stream, 1, "everything before is written");
        }
        let (_, ended) = raw.read_to_end().await;
        assert_eq!(ended.err().map(|error| error.kind()), expected, "{end:?}");
    }
}

#[tokio::test]
async fn the_connection_closes_after_so_many() {
    let simulator = with_faults(Faults::default().connection(1).close_after(2)).await;
    let mut client = Client::certified(&simulator).await;
    for _ in 0..2 {
        assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    }
    assert!(client.try_send(&Request::bare(TOKEN)).await.is_err());
    assert_eq!(simulator.counts().requests, 2);
    let mut client = Client::certified(&simulator).await;
    for _ in 0..3 {
        assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    }
}

#[tokio::test]
async fn b61_the_connection_closes_before_it_answered_anything() {
    let simulator = with_faults(Faults::default().close_after(0)).await;
    let mut raw = Raw::silent(&simulator).await;
    assert_eq!(raw.next().await.kind, SETTINGS);
    let (rest, end) = raw.read_to_end().await;
    assert_eq!(rest, b"");
    end.unwrap();
    assert_eq!(simulator.counts().requests, 0);
}

#[tokio::test]
async fn a_cut_falls_on_the_byte_that_was_written() {
    for count in [0, 1, 9, 20, 60] {
        let simulator = with_faults(Faults::default().cut(Cut::after_written(count))).await;
        let mut raw = Raw::silent(&simulator).await;
        let push = Request::bare("nothex");
        raw.write(&[raw::greeting(), raw::request(1, &push)].concat()).await;
        let (heard, end) = raw.read_to_end().await;
        assert_eq!(heard.len() as u64, count);
        assert!(end.is_err(), "TLS had no goodbye");
    }
}

#[tokio::test]
async fn a_cut_falls_on_the_byte_that_was_read() {
    let bytes = [raw::greeting(), raw::request(1, &Request::bare(TOKEN))].concat();
    for (missing, whole) in [(1, 0), (0, 1)] {
        let cut = Cut::after_read(bytes.len() as u64 - missing).how(CutHow::End);
        let simulator = with_faults(Faults::default().cut(cut)).await;
        let mut raw = Raw::silent(&simulator).await;
        raw.write(&bytes).await;
        assert!(raw.read_to_end().await.1.is_err());
        seen(&simulator, |log| log.counts().closed == 1).await;
        assert_eq!(simulator.counts().requests, whole);
    }
}

#[tokio::test]
async fn everything_can_come_in_slow_pieces() {
    let pieces = NonZeroUsize::new(3).unwrap();
    let simulator = with_faults(Faults::default().write_pieces(pieces).write_delay_ms(1)).await;
    let mut client = Client::certified(&simulator).await;
    let begun = Instant::now();
    assert_eq!(client.send(&Request::bare("nothex")).await.told(), (400, "BadDeviceToken".to_owned()));
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(20), "a body of 27 bytes is 9 pieces alone");
}

#[tokio::test]
async fn reading_can_stop_and_go_on() {
    let greeting = raw::greeting();
    let stall = Stall::after_read(greeting.len() as u64).for_ms(150);
    let simulator = with_faults(Faults::default().stall(stall)).await;
    let mut raw = Raw::new(&simulator).await;
    let begun = Instant::now();
    raw.send(1, &Request::bare(TOKEN)).await;
    raw.until(HEADERS).await;
    assert!(begun.elapsed() >= Duration::from_millis(140), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn junk_comes_in_the_place_of_frames() {
    let junk = Faults::default().connection(1).junk(Junk::Bytes(NonZeroU64::new(1000).unwrap()));
    let chosen = Faults::default().connection(2).junk(Junk::Hex("0000".parse().unwrap()));
    let simulator = with(Http2Script::default().faults(junk).faults(chosen)).await;
    assert_eq!(Raw::silent(&simulator).await.read_to_end().await.0.len(), 1000);
    assert_eq!(Raw::silent(&simulator).await.read_to_end().await.0, [0, 0]);
    assert_eq!(Client::certified(&simulator).await.send(&Request::bare(TOKEN)).await.status, 200);
    assert_eq!(simulator.counts().requests, 1);
}

#[tokio::test]
async fn connections_can_be_cut_from_outside() {
    let simulator = with(rule(to("aa"), [])).await;
    let mut client = Client::certified(&simulator).await;
    let open = client.begin(&Request::bare("aa")).await.unwrap();
    seen(&simulator, |log| log.counts().requests == 1).await;
    simulator.cut_connections();
    assert!(finish(open).await.is_err());
    assert_eq!(Client::certified(&simulator).await.send(&Request::bare(TOKEN)).await.status, 200);
}
