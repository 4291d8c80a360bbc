//! Deadlines over the provider API, and every configured span at its ends, over both protocols.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod world;

use std::time::Duration;

use apns_proto::http2::{Client, Config, Credential, ProviderApi};
use apns_proto::{
    Backoff, CloseReason, Connection, ConnectionEvent, DialFailure, DialStep, Machine, NotSentCause, Notification, Now,
    Outcome, Payload, RetryPolicy, Session, SessionConfig, SessionEvent, Submission, Transmit, UnknownCause, WallTime,
    binary,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict};
use bytes::{Bytes, BytesMut};
use world::{World, accept, api, key_of, notification, seconds, service, service_with, start};

fn later(now: Now, span: Duration) -> Now {
    Now::new(now.instant + span, now.wall.saturating_add(span))
}

fn two_seconds() -> Config {
    Config::default().with_request_timeout(seconds(2))
}

// ---- windows that never open ------------------------------------------------------------------------------------

/// SETTINGS_INITIAL_WINDOW_SIZE of RFC 9113 section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;

#[test]
fn a_stream_window_that_never_opens_ends_the_request_in_its_time() {
    let mut world = World::new(api().with_config(two_seconds()), |_| {
        let shut = ServerConfig::default().with_settings(vec![(INITIAL_WINDOW_SIZE, 0)]);
        service_with(shut, |_, request| accept(request))
    });
    world.submit(1..=3);
    world.pass(seconds(2));
    let out_of_time = Outcome::NotSent { cause: NotSentCause::OutOfTime };
    // One at a time, until the service has taken the credential once.
    assert_eq!((world.outcome(1), world.settled.len()), (&out_of_time, 1), "{:?}", world.settled);
    // Each of the others goes to another connection, and ends in its time too.
    world.pass(seconds(30));
    assert!((1..=3).all(|key| *world.outcome(key) == out_of_time), "{:?}", world.settled);
    assert!(world.settled.values().all(|settled| settled.attempts == 1), "{:?}", world.settled);
    assert_eq!((world.dials.len(), world.session.unsettled()), (3, 0));
}

#[test]
fn what_waited_while_the_process_stood_still_is_sent_once_the_greeting_is_read() {
    for reads_first in [true, false] {
        let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap().with_config(two_seconds());
        let begun = start();
        let mut client: Client<u32> = api.connect(begun);
        let mut out = BytesMut::new();
        assert!(client.submit(begun, Submission::new(1, notification(1))).is_ok());
        let _ = client.poll_transmit(begun, &mut out);
        // Its SETTINGS came in time and lay in the socket; so nobody knows how long this one could have waited.
        let now = later(begun, seconds(100));
        out.clear();
        if !reads_first {
            assert_eq!(client.poll_transmit(now, &mut out), Transmit::Idle);
        }
        client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready);
        client.handle_timeout(now);
        assert_eq!((client.unsettled(), client.is_closed()), (1, false), "reads first: {reads_first}");
        let mut peer = Frames::new();
        peer.begun = true;
        peer.take(&out);
        assert_eq!(peer.headers, 1);
    }
}

/// A peer that takes frames, answers PINGs and does nothing else.
struct Frames {
    headers: usize,
    resets: usize,
    answers: Vec<u8>,
    rest: Vec<u8>,
    begun: bool,
}

impl Frames {
    const fn new() -> Self {
        Self { headers: 0, resets: 0, answers: Vec::new(), rest: Vec::new(), begun: false }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        if !self.begun && self.rest.len() >= 24 {
            // The preface.
            self.rest.drain(..24);
            self.begun = true;
        }
        while self.begun && self.rest.len() >= 9 {
            let length = usize::from(self.rest[0]) << 16 | usize::from(self.rest[1]) << 8 | usize::from(self.rest[2]);
            if self.rest.len() < 9 + length {
                return;
            }
            let frame: Vec<u8> = self.rest.drain(..9 + length).collect();
            match frame[3] {
                1 => self.headers += 1,
                3 => self.resets += 1,
                6 if frame[4] == 0 => {
                    self.answers.extend_from_slice(&[0, 0, 8, 6, 1, 0, 0, 0, 0]);
                    self.answers.extend_from_slice(&frame[9..]);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_connection_window_that_never_opens_ends_the_requests_in_their_time() {
    let config = two_seconds().with_ping_when_silent(seconds(1));
    let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap().with_config(config);
    let mut now = start();
    let mut client: Client<u32> = api.connect(now);
    let mut peer = Frames::new();
    // Streams may have all they want, the connection only what every connection has: 65 535 bytes.
    client.handle_input(now, b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff");
    let large = Payload::alert("x".repeat(4000));
    let mut ended = Vec::new();
    let mut closed = None;
    let (mut submitted, mut answered) = (0, false);
    let mut out = BytesMut::new();
    for _ in 0..100 {
        while submitted < 30 && client.has_room() {
            let one = Notification::new(notification(submitted).token().clone(), large.clone());
            assert!(client.submit(now, Submission::new(submitted, one)).is_ok());
            submitted += 1;
        }
        loop {
            out.clear();
            let transmit = client.poll_transmit(now, &mut out);
            peer.take(&out);
            if transmit != Transmit::Ready {
                break;
            }
        }
        let mut answers = std::mem::take(&mut peer.answers);
        if !std::mem::replace(&mut answered, true) {
            // `:status: 200` on the first stream, so that more than one may be open.
            answers.extend_from_slice(b"\0\0\x01\x01\x05\0\0\0\x01\x88");
        }
        if !answers.is_empty() {
            client.handle_input(now, &answers);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event() {
            match event {
                ConnectionEvent::Settled(settled) => ended.push((settled.key, settled.outcome)),
                ConnectionEvent::Returned(back) => {
                    ended.push((back.submission.key, Outcome::Unknown { cause: UnknownCause::NoAnswer }));
                }
                ConnectionEvent::Closed(end) => {
                    ended.extend(
                        end.unsettled
                            .into_iter()
                            .map(|one| (one.submission.key, Outcome::Unknown { cause: UnknownCause::Closed })),
                    );
                    closed = Some(end.reason);
                }
                _ => {}
            }
        }
        if closed.is_some() {
            break;
        }
        now = later(now, Duration::from_millis(100));
    }
    out.clear();
    assert_eq!(client.poll_transmit(now, &mut out), Transmit::Shutdown);
    peer.take(&out);
    assert_eq!(closed, Some(CloseReason::NoAnswer), "{ended:?}");
    assert_eq!(ended.len(), submitted as usize);
    let unsent = ended.iter().filter(|(_, outcome)| *outcome == Outcome::NotSent { cause: NotSentCause::OutOfTime });
    assert!(unsent.count() >= 1, "{ended:?}");
    assert!(peer.headers <= submitted as usize && peer.resets > 0, "{} heads, {} resets", peer.headers, peer.resets);
}

// ---- reading before judging -------------------------------------------------------------------------------------

#[test]
fn answers_that_lie_in_the_socket_count_however_long_the_process_stood_still() {
    for (stopped, writes_first) in [(31, false), (40, true), (3600, false)] {
        let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap();
        let mut server_side = service_peer();
        let mut now = start();
        let mut client: Client<u32> = api.connect(now);
        let mut out = BytesMut::new();
        exchange(&mut client, &mut server_side, now, &mut out);
        // The first one proves the credential, and then a hundred are open at a time.
        for key in 0..=100 {
            assert!(client.submit(now, Submission::new(key, notification(key))).is_ok(), "{key}");
            if key == 0 {
                exchange(&mut client, &mut server_side, now, &mut out);
            }
        }
        while client.poll_event().is_some() {}
        out.clear();
        while client.poll_transmit(now, &mut out) == Transmit::Ready {}
        server_side.handle_input(now, &out);
        let mut answers = BytesMut::new();
        while server_side.poll_transmit(now, &mut answers) == Transmit::Ready {}

        now = later(now, seconds(stopped));
        if writes_first {
            out.clear();
            let _ = client.poll_transmit(now, &mut out);
        }
        client.handle_input(now, &answers);
        client.handle_timeout(now);
        let mut accepted = 0;
        while let Some(event) = client.poll_event() {
            let ConnectionEvent::Settled(settled) = event else { continue };
            assert!(settled.outcome.is_accepted(), "after {stopped} s: {:?}", settled.outcome);
            accepted += 1;
        }
        assert_eq!((accepted, client.is_closed()), (100, false));
    }
}

type Judge = fn(Now, &ProviderRequest) -> Verdict;

fn service_peer() -> ProviderServer<Judge> {
    ProviderServer::new(|_, request| accept(request), &ServerConfig::default())
}

/// Both sides say all they have.
fn exchange(client: &mut Client<u32>, server: &mut ProviderServer<Judge>, now: Now, out: &mut BytesMut) {
    loop {
        out.clear();
        while client.poll_transmit(now, out) == Transmit::Ready {}
        let sent = !out.is_empty();
        server.handle_input(now, out);
        out.clear();
        while server.poll_transmit(now, out) == Transmit::Ready {}
        if !sent && out.is_empty() {
            return;
        }
        client.handle_input(now, out);
    }
}

// ---- one caller and the others ----------------------------------------------------------------------------------

#[test]
fn a_proof_stops_nobody_and_ends_what_it_covers_alone() {
    let mut world = World::new(api(), |_| {
        service(|_, request| if key_of(request) < 10 { Verdict::silence() } else { accept(request) })
    });
    world.submit([10]);
    world.submit([1, 2]);
    world.session.prove(world.now, Some(world.now.instant + seconds(5)));
    world.submit([3, 11]);
    assert_eq!(world.word(11), "accepted", "while the proof is open");
    assert!(world.session.can_submit());
    world.pass(seconds(5));
    assert_eq!([1, 2].map(|key| world.word(key)), ["unknown"; 2]);
    assert_eq!(world.word(3), "open", "it came later");
    assert_eq!((world.dials.len(), world.reports.len()), (1, 0), "the connection goes on");
    world.submit([12]);
    assert_eq!(world.word(12), "accepted");
}

#[test]
fn what_had_not_left_by_the_deadline_of_a_proof_is_not_sent() {
    let mut world =
        World::new(api(), |_| service_with(ServerConfig::default().with_stream_limit(1), |_, _| Verdict::silence()));
    world.submit(1..=5);
    world.session.prove(world.now, Some(world.now.instant + seconds(1)));
    world.pass(seconds(1));
    assert_eq!(world.words(), [("not_sent", 4), ("unknown", 1)].into());
    assert_eq!(*world.outcome(5), Outcome::NotSent { cause: NotSentCause::OutOfTime });
}

#[test]
fn held_retries_are_no_part_of_a_proof_and_keep_nobody_waiting() {
    let config = SessionConfig::default().with_retry(RetryPolicy::default().with_retries(3));
    let busy = || Verdict::answer(Answer::refusal(429, "TooManyRequests").with_header("retry-after", "40"));
    let mut world = World::with(api(), config, move |_| {
        service(move |_, request| if key_of(request) == 1 { busy() } else { accept(request) })
    });
    world.submit([1, 2]);
    assert_eq!((world.word(1), world.word(2)), ("open", "accepted"));
    world.session.prove(world.now, None);
    let mut proven = 0;
    while let Some(event) = world.session.poll_event() {
        proven += usize::from(event == SessionEvent::Proven);
    }
    assert_eq!(proven, 1, "the held one is no part of it");
    world.submit([3]);
    assert_eq!(world.word(3), "accepted");
}

#[test]
fn slow_streams_on_connections_that_go_away_hold_up_nobody() {
    let mut world = World::new(api(), |_| {
        service(|_, request| if key_of(request) < 100 { accept(request).after(seconds(25)) } else { accept(request) })
    });
    for key in 0..5 {
        world.submit([100 + key]);
        world.submit([key]);
        world.perform(Step::GoAway { last_stream: Some(3), code: 0, debug: Bytes::new() });
    }
    world.submit([200]);
    assert_eq!(world.word(200), "accepted", "{:?}", world.session);
    assert_eq!((world.dials.len(), world.session.unsettled()), (6, 5));
    world.pass(seconds(26));
    assert_eq!(world.words(), [("accepted", 11)].into());
}

// ---- every span at its ends -------------------------------------------------------------------------------------

const ENDS: [Duration; 2] = [Duration::ZERO, Duration::MAX];

/// Every setter of a span of the provider API's connections.
const SPANS: [fn(Config, Duration) -> Config; 8] = [
    Config::with_request_timeout,
    Config::with_greeting_timeout,
    Config::with_write_timeout,
    Config::with_ping_when_silent,
    Config::with_ping_before_use,
    Config::with_ping_when_idle,
    Config::with_ping_timeout,
    |config, span| config.with_max_idle(span).with_max_age(span),
];

/// Every setter of a span of the gateway's connections.
const GATEWAY_SPANS: [fn(binary::Config, Duration) -> binary::Config; 3] =
    [binary::Config::with_quiet_time, binary::Config::with_answer_timeout, binary::Config::with_write_timeout];

/// Every setter of a span of a session.
const SESSION_SPANS: [fn(SessionConfig, Duration) -> SessionConfig; 4] = [
    SessionConfig::with_patience,
    |config, span| config.with_backoff(span, span),
    |config, span| config.with_retry(RetryPolicy::default().with_retries(3).with_budget(span)),
    |config, span| config.with_retry(RetryPolicy::default().with_retries(3).with_longest_wait(span)),
];

/// Ten minutes of a service that answers the even ones, and what it cost. `pass` fails where it goes in circles.
fn ten_minutes(config: Config, session: SessionConfig) {
    let name = format!("{config:?}, {session:?}");
    let mut world = World::with(api().with_config(config), session, |attempt| match attempt {
        2 => world::Dialled::Refused { fatal: false },
        _ => service(|_, request| match key_of(request) {
            key if key % 4 == 1 => Verdict::silence(),
            key if key % 4 == 3 => Verdict::answer(Answer::refusal(503, "ServiceUnavailable")),
            _ => accept(request),
        }),
    });
    world.name = name;
    for key in 0..20 {
        world.submit([key]);
        world.pass(seconds(30));
    }
    assert!(world.dials.len() <= 200, "{} connections: {}", world.dials.len(), world.name);
    world.session.prove(world.now, world.now.instant.checked_add(Duration::MAX));
    world.session.close(world.now, Some(world.now.instant + seconds(1)));
    world.pass(seconds(2));
    assert!(world.finished && world.settled.len() == 20, "{:?}", world.session);
}

#[test]
fn no_span_of_the_provider_api_panics_floods_or_spins() {
    for end in ENDS {
        for set in SPANS {
            ten_minutes(set(Config::default(), end), SessionConfig::default());
        }
        ten_minutes(SPANS.iter().fold(Config::default(), |config, set| set(config, end)), SessionConfig::default());
    }
}

#[test]
fn no_span_of_a_session_panics_floods_or_spins() {
    for end in ENDS {
        for set in SESSION_SPANS {
            ten_minutes(Config::default(), set(SessionConfig::default(), end));
            gateway_hour(&binary::Config::default(), set(SessionConfig::default(), end));
        }
    }
}

#[test]
fn no_span_of_a_gateway_panics_or_spins() {
    for end in ENDS {
        for set in GATEWAY_SPANS {
            gateway_hour(&set(binary::Config::default(), end), SessionConfig::default());
        }
        let all = GATEWAY_SPANS.iter().fold(binary::Config::default(), |config, set| set(config, end));
        gateway_hour(&all, SessionConfig::default());
    }
}

/// A gateway that takes everything and never says anything, not even to a probe; every third attempt to connect fails.
fn gateway_hour(config: &binary::Config, session: SessionConfig) {
    let mut session: Session<binary::BinaryApi, u32> = Session::new(binary::BinaryApi::new(config.clone()), session);
    let begin = start();
    let mut now = begin;
    let (mut links, mut dials, mut settled) = (Vec::new(), 0, 0);
    let mut next = 0;
    let mut finished = false;
    for round in 0..200_000 {
        let hours = now.instant - begin.instant;
        if next < 20 && hours >= seconds(60 * u64::from(next)) {
            session.submit(now, next, notification(next));
            if next % 5 == 4 {
                session.prove(now, now.instant.checked_add(Duration::MAX));
            }
            next += 1;
        }
        if next == 20 && !session.is_closing() && hours >= seconds(3600) {
            session.close(now, Some(now.instant + seconds(1)));
        }
        links.retain(|link| session.poll_transmit(now, *link, &mut BytesMut::new()) != Transmit::Shutdown);
        if session.poll_timeout().is_some_and(|due| due <= now.instant) {
            session.handle_timeout(now);
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Settled(_) => settled += 1,
                SessionEvent::Dial { link } => {
                    dials += 1;
                    if dials % 3 == 0 {
                        let refused = DialFailure::passing(DialStep::Connect, "refused");
                        session.dial_failed(now, link, refused);
                    } else if session.connected(now, link) {
                        links.push(link);
                    }
                }
                SessionEvent::Finished => finished = true,
                _ => {}
            }
        }
        if finished {
            break;
        }
        assert!(round < 199_999, "it spins: {config:?}, {session:?}");
        let orders = begin.instant + if next < 20 { seconds(60 * u64::from(next)) } else { seconds(3600) };
        let orders = orders.max(now.instant + Duration::from_millis(if orders <= now.instant { 1 } else { 0 }));
        let due = session.poll_timeout().map_or(orders, |due| due.min(orders)).max(now.instant);
        now = later(now, due - now.instant);
    }
    assert!(finished && settled == 20, "{settled} settled: {config:?}");
    assert!(dials <= 200, "{dials} connections: {config:?}");
}

#[test]
fn a_ping_comes_at_most_once_a_second() {
    let config = Config::default().with_ping_when_silent(Duration::ZERO).with_ping_timeout(seconds(30));
    let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap().with_config(config);
    let mut now = start();
    let mut client: Client<u32> = api.connect(now);
    let mut peer = Frames::new();
    client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
    assert!(client.submit(now, Submission::new(1, notification(1))).is_ok());
    let mut pings = 0;
    let mut out = BytesMut::new();
    for _ in 0..10_000 {
        out.clear();
        while client.poll_transmit(now, &mut out) == Transmit::Ready {}
        peer.take(&out);
        let answers = std::mem::take(&mut peer.answers);
        pings += answers.len() / 17;
        if !answers.is_empty() {
            client.handle_input(now, &answers);
        }
        client.handle_timeout(now);
        now = later(now, Duration::from_millis(1));
    }
    assert!((9..=10).contains(&pings), "{pings} in ten seconds");
}

#[test]
fn waits_between_attempts_are_never_nothing_and_never_overflow() {
    for (first, limit) in
        [(Duration::ZERO, Duration::ZERO), (Duration::ZERO, Duration::MAX), (Duration::MAX, Duration::MAX)]
    {
        let mut backoff = Backoff::new(first, limit, 7);
        for _ in 0..100 {
            assert!(backoff.failed() >= Duration::from_millis(10));
        }
    }
    assert_eq!(WallTime::EPOCH.saturating_add(Duration::MAX), WallTime::from_millis(u64::MAX));
}
