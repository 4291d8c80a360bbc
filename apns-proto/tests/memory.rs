//! How much memory is held, by an allocator that counts: flat under a million notifications, bounded against a peer that
//! wants to make it grow.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use std::alloc::System;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use apns_proto::binary::server::{GatewayServer, Judge, Verdict as GatewayVerdict, is_probe};
use apns_proto::binary::{
    BinaryApi, Client as BinaryClient, Config, DecodedNotification, FeedbackClient, Limits, NotificationDecoder,
    NotificationError, Status,
};
use apns_proto::http2::{Client as Http2Client, Credential, ProviderApi};
use apns_proto::{
    Connection, ConnectionEvent, Machine, Notification, Now, Outcome, Payload, Proof, Session, SessionConfig,
    SessionEvent, Submission, Topic, Transmit,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use pretend::{after, notification, start};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The allocator counts for the whole process, so one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Bytes that are held.
fn held() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// The least of three runs: the test harness's own threads may allocate while one counts.
fn undisturbed(run: impl Fn() -> usize) -> usize {
    run().min(run()).min(run())
}

/// How much more is held than at the start, at most.
struct Growth {
    start: usize,
    most: usize,
}

impl Growth {
    fn new() -> Self {
        Self { start: held(), most: 0 }
    }

    fn look(&mut self) {
        self.most = self.most.max(held().saturating_sub(self.start));
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Takes everything, and answers probes.
struct Taker {
    taken: Rc<RefCell<u32>>,
}

impl Judge for Taker {
    fn judge(&mut self, _now: Now, _notification: &DecodedNotification) -> GatewayVerdict {
        *self.taken.borrow_mut() += 1;
        GatewayVerdict::Accept
    }

    fn judge_malformed(&mut self, _now: Now, error: &NotificationError) -> GatewayVerdict {
        if is_probe(error) { GatewayVerdict::refuse(Status::MISSING_DEVICE_TOKEN) } else { GatewayVerdict::FallSilent }
    }
}

#[test]
fn a_million_through_a_window_of_ten_thousand_leave_memory_flat() {
    let _alone = alone();
    const COUNT: u32 = 1_000_000;
    const WINDOW: usize = 10_000;
    let now = start();
    let taken = Rc::new(RefCell::new(0));
    let gateway = BinaryApi::new(Config::default().with_window_count(WINDOW));
    let mut session: Session<BinaryApi, u32> = Session::new(gateway, SessionConfig::default());
    let mut open: Vec<(apns_proto::LinkId, GatewayServer<Taker>)> = Vec::new();
    let mut out = BytesMut::new();
    let (mut next, mut confirmed) = (0, 0);
    // What is held when everything is as large as it gets.
    let mut warm = Growth::new();
    let mut later = 0;
    let payload = Payload::alert("Tea is ready");
    while confirmed < COUNT {
        while next < COUNT && session.can_submit() {
            let token = notification(next).token().clone();
            session.submit(now, next, Notification::new(token, payload.clone()));
            next += 1;
        }
        if next == COUNT {
            session.prove(now, None);
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Settled(settled) => {
                    assert_eq!(settled.outcome, Outcome::accepted(Proof::Confirmed), "{}", settled.key);
                    confirmed += 1;
                }
                SessionEvent::Dial { link } => {
                    assert!(session.connected(now, link));
                    open.push((link, GatewayServer::new(Taker { taken: taken.clone() }, Limits::default())));
                }
                _ => {}
            }
        }
        open.retain_mut(|(link, server)| {
            out.clear();
            let ends = session.poll_transmit(now, *link, &mut out) == Transmit::Shutdown;
            server.handle_input(now, &out);
            out.clear();
            let _ = server.poll_transmit(now, &mut out);
            while server.poll_event().is_some() {}
            session.handle_input(now, *link, &out);
            !ends
        });
        if confirmed < COUNT / 5 {
            warm.look();
        } else {
            later = later.max(held().saturating_sub(warm.start));
        }
    }
    assert_eq!(*taken.borrow(), COUNT, "each once");
    // Two windows at about 250 bytes for each place, of which there are 2^14, and buffers.
    assert!(warm.most < 2 * WINDOW.next_power_of_two() * 280 + MIB, "{} bytes were held", warm.most);
    assert!(later <= warm.most + 64 * KIB, "{later} bytes at the end, {} at first", warm.most);
}

fn answered(_now: Now, _request: &ProviderRequest) -> Verdict {
    Verdict::answer(Answer::new(200))
}

#[test]
fn two_hundred_thousand_requests_on_one_connection_leave_memory_flat() {
    let _alone = alone();
    const COUNT: u32 = 200_000;
    let now = start();
    let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap();
    let mut client: Http2Client<u32> = api.connect(now);
    let mut server = ProviderServer::new(answered, &ServerConfig::default());
    let payload = Payload::alert("Tea is ready");
    let mut out = BytesMut::new();
    let (mut next, mut settled) = (0, 0);
    let mut warm = Growth::new();
    let mut later = 0;
    while settled < COUNT {
        while next < COUNT && client.has_room() {
            let made = Notification::new(notification(next).token().clone(), payload.clone());
            client.submit(now, Submission::new(next, made)).unwrap();
            next += 1;
        }
        out.clear();
        let _ = client.poll_transmit(now, &mut out);
        server.handle_input(now, &out);
        while server.poll_event().is_some() {}
        out.clear();
        let _ = server.poll_transmit(now, &mut out);
        client.handle_input(now, &out);
        while let Some(event) = client.poll_event() {
            match event {
                ConnectionEvent::Settled(one) => {
                    assert!(one.outcome.is_accepted(), "{one:?}");
                    settled += 1;
                }
                ConnectionEvent::Answered => {}
                other => panic!("{other:?}"),
            }
        }
        if settled < COUNT / 5 {
            warm.look();
        } else {
            later = later.max(held().saturating_sub(warm.start));
        }
    }
    // A thousand streams at about two kilobytes on either side.
    assert!(warm.most < 8 * MIB, "{} bytes were held", warm.most);
    assert!(later <= warm.most + 256 * KIB, "{later} bytes at the end, {} at first", warm.most);
}

/// Feeds a machine the same bytes again and again, 2 MiB in all, and reads what it has to say. Gives the most that was
/// held over what was held before.
fn flood<M: Machine>(machine: &mut M, bytes: &[u8], reads: bool) -> usize {
    let now = start();
    let mut growth = Growth::new();
    let mut out = BytesMut::with_capacity(64 * KIB);
    growth.start = held();
    for _ in 0..(2 * MIB).div_ceil(bytes.len()) {
        machine.handle_input(now, bytes);
        while machine.poll_event().is_some() {}
        if reads {
            out.clear();
            if machine.poll_transmit(now, &mut out) == Transmit::Shutdown {
                break;
            }
        }
        growth.look();
    }
    growth.most
}

#[test]
fn a_hostile_gateway_makes_nothing_grow() {
    let _alone = alone();
    for said in [&b"\x08"[..], b"\x08\x08", b"\x08\x08\0\0\0\x09", b"HTTP/1.1 400", &[0xff; 16_000]] {
        let mut client: BinaryClient<u32> = BinaryClient::new(Config::default(), start());
        let grown = flood(&mut client, said, true);
        assert!(grown < 8 * KIB, "{said:02x?}: {grown} bytes");
    }
}

#[test]
fn a_hostile_feedback_service_makes_nothing_grow() {
    let _alone = alone();
    let mut record = b"\x65\x53\xf1\x00\0\x20".to_vec();
    record.extend_from_slice(&[0xab; 32]);
    let records = record.repeat(400);
    for said in [&records[..], &record[..7], b"\0\0\0\0\0\0", &[0xff; 16_000]] {
        let mut client = FeedbackClient::new(start());
        let grown = flood(&mut client, said, false);
        // The records of one piece wait to be read; behind them at most one is kept.
        assert!(grown < 128 * KIB, "{} bytes a piece: {grown} bytes", said.len());
    }
}

#[test]
fn a_hostile_client_of_a_gateway_makes_nothing_grow() {
    let _alone = alone();
    let huge = b"\x02\xff\xff\xff\xff";
    let slow = b"\x02\0\0\x08\x00\x02\x08\x00";
    let simple = b"\0\0\x64";
    for said in [&huge[..], slow, simple, &[0; 16_000], &[0xff; 16_000]] {
        let grown = undisturbed(|| {
            let mut decoder = NotificationDecoder::new(Limits::default());
            let mut growth = Growth::new();
            for _ in 0..MIB.div_ceil(said.len()) {
                let mut rest = said;
                while let Ok(Some(_)) = decoder.decode(&mut rest) {}
                growth.look();
            }
            growth.most
        });
        assert!(grown <= 2 * Limits::default().message_max(), "{:02x?}: {grown} bytes", &said[..3]);

        let mut server = GatewayServer::new(Taker { taken: Rc::default() }, Limits::default());
        let grown = flood(&mut server, said, true);
        assert!(grown < 64 * KIB, "{grown} bytes");
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A client with three requests under way.
fn http2_client() -> Http2Client<u32> {
    let now = start();
    let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap();
    let mut client: Http2Client<u32> = api.with_topic(Topic::new("com.example.app").unwrap()).connect(now);
    let mut out = BytesMut::new();
    let _ = client.poll_transmit(now, &mut out);
    client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0");
    // The first answer takes the credential.
    client.submit(now, Submission::new(3, notification(3))).unwrap();
    let _ = client.poll_transmit(now, &mut out);
    client.handle_input(now, b"\0\0\x01\x01\x05\0\0\0\x01\x88");
    for number in 0..3 {
        client.submit(now, Submission::new(number, notification(number))).unwrap();
    }
    let _ = client.poll_transmit(now, &mut out);
    while client.poll_event().is_some() {}
    assert_eq!(client.unsettled(), 3);
    client
}

/// What a service may hold open: 256 KiB of control frames, a chunk, a body of 64 KiB for each request, and what the
/// engine keeps for frames and headers.
const HTTP2_BOUND: usize = 2 * MIB;

#[test]
fn a_hostile_provider_api_makes_nothing_grow_beyond_its_bound() {
    let _alone = alone();
    let mut status_with_field = b"\x88\x00\x01a\x7f\x91\x1b".to_vec();
    status_with_field.extend_from_slice(&[b'x'; 3600]);
    let again = |one: &[u8], times: usize| one.repeat(times);
    let floods: Vec<(&str, Vec<u8>)> = vec![
        ("pings", again(&frame(6, 0, 0, &[7; 8]), 500)),
        ("pongs nobody asked for", again(&frame(6, 1, 0, &[7; 8]), 500)),
        ("settings", again(&frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]), 500)),
        ("settings with many values", frame(4, 0, 0, &[0, 0x99, 0, 0, 0, 9].repeat(2_000))),
        ("go away with long words", frame(7, 0, 0, &[0x7f; 10_000])),
        ("go away with words that differ", {
            (0..500_u32)
                .flat_map(|n| frame(7, 0, 0, &[&[0, 0, 0, 9, 0, 0, 0, 0], &n.to_be_bytes()[..]].concat()))
                .collect()
        }),
        ("windows", again(&frame(8, 0, 0, &[0, 0, 0, 1]), 500)),
        ("a body without end", frame(0, 0, 1, &[b'x'; 16_000])),
        ("an answer and a body without end", [frame(1, 4, 1, b"\x88"), frame(0, 0, 1, &[b'x'; 16_000])].concat()),
        ("answers that say wait", again(&frame(1, 4, 1, b"\x08\x03100"), 500)),
        ("headers without end", [frame(1, 0, 1, b"\x88"), again(&frame(9, 0, 1, &[0; 0]), 500)].concat()),
        ("long headers", frame(1, 4, 1, &status_with_field)),
        ("trailers", [frame(1, 4, 1, b"\x88"), frame(1, 4, 1, b"\x00\x01a\x011")].concat()),
        ("resets", again(&frame(3, 0, 1, &[0, 0, 0, 8]), 500)),
        ("empty bodies", again(&frame(0, 0, 1, b""), 500)),
        ("frames that nobody knows", again(&frame(0xfa, 0, 1, &[0; 100]), 100)),
        ("priorities", again(&frame(2, 0, 1, &[0; 5]), 500)),
        (
            "priorities of streams that never were",
            (0..500_u32).flat_map(|n| frame(2, 0, 2 * n + 101, &[0; 5])).collect(),
        ),
        ("promises", frame(5, 4, 1, b"\0\0\0\x02\x88")),
        ("a frame too long", frame(0, 0, 1, &[0; 200_000])),
        ("noise", (0..16_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
    ];
    for (what, bytes) in &floods {
        for reads in [false, true] {
            let grown = flood(&mut http2_client(), bytes, reads);
            assert!(grown < HTTP2_BOUND, "{what}: {grown} bytes");
        }
    }
}

#[test]
fn a_hostile_client_of_the_provider_api_makes_nothing_grow_beyond_its_bound() {
    let _alone = alone();
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let head = b"\x83\x87\x84\x41\x04host";
    let floods: Vec<(&str, Vec<u8>)> = vec![
        ("pings", frame(6, 0, 0, &[7; 8]).repeat(500)),
        ("settings", frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(500)),
        ("a body without end", [frame(1, 4, 1, head), frame(0, 0, 1, &[b'x'; 16_000])].concat()),
        ("headers without end", [frame(1, 0, 1, head), frame(9, 0, 1, &[0; 0]).repeat(500)].concat()),
        ("requests opened and reset", {
            let one = |n: u32| [frame(1, 4, 2 * n + 1, head), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat();
            (0..500).flat_map(one).collect()
        }),
        ("requests opened and left", (0..500_u32).flat_map(|n| frame(1, 4, 2 * n + 1, head)).collect()),
    ];
    for (what, bytes) in &floods {
        for reads in [false, true] {
            let mut server = ProviderServer::new(answered, &ServerConfig::default());
            server.handle_input(start(), opening);
            let grown = flood(&mut server, bytes, reads);
            assert!(grown < 2 * HTTP2_BOUND, "{what}: {grown} bytes");
        }
    }
}

#[test]
fn a_connection_that_lives_for_hours_leaves_memory_flat() {
    let _alone = alone();
    let mut now = start();
    let mut quiet: BinaryClient<u32> = BinaryClient::new(Config::default().with_window_count(100), now);
    let mut out = BytesMut::with_capacity(64 * KIB);
    let mut growth = Growth::new();
    // Settled at the quiet time, one a second for five hours and a half.
    for number in 0..20_000 {
        if quiet.has_room() {
            quiet.submit(now, Submission::new(number, notification(number))).unwrap();
        }
        out.clear();
        let _ = quiet.poll_transmit(now, &mut out);
        now = after(now, Duration::from_secs(1));
        quiet.handle_timeout(now);
        while quiet.poll_event().is_some() {}
        growth.look();
    }
    assert!(growth.most < 256 * KIB, "{} bytes", growth.most);
}
