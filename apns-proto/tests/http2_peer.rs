//! The client against the `h2` crate in memory: random scripts, settings and splits. What the service decided about each
//! notification is what the client tells about it.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use apns_proto::http2::{Client, Config, Credential, ProviderApi, host};
use apns_proto::{
    Connection, ConnectionEvent, DeviceToken, Fate, Machine, Notification, Now, Outcome, Payload, Submission, Topic,
    UnknownCause, WallTime,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict};
use bytes::BytesMut;

/// How many conversations there are; `HTTP2_PEER_SEEDS` sets another number.
const SEEDS: u64 = 100;

/// What the service decides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Accept,
    Refuse(u16, &'static str),
    Reset(u32),
    Disown,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn decision(&mut self) -> Decision {
        match self.roll(10) {
            0 => Decision::Refuse(400, "BadDeviceToken"),
            1 => Decision::Refuse(410, "Unregistered"),
            2 => Decision::Reset([0, 1, 2, 5, 8, 11][self.roll(6) as usize]),
            3 => Decision::Disown,
            _ => Decision::Accept,
        }
    }
}

fn notification(key: u32, text: usize) -> Notification {
    let mut token = [0xaa; 32];
    token[..4].copy_from_slice(&key.to_be_bytes());
    Notification::new(DeviceToken::from_bytes(token).unwrap(), Payload::alert("x".repeat(text)))
}

fn key_of(request: &ProviderRequest) -> u32 {
    u32::from_str_radix(&request.path()["/3/device/".len()..][..8], 16).unwrap()
}

/// What the client told, in the words of the service.
fn told(event: ConnectionEvent<u32>) -> Option<(u32, Decision)> {
    match event {
        ConnectionEvent::Settled(settled) => {
            let decision = match &settled.outcome {
                Outcome::Accepted { .. } => Decision::Accept,
                Outcome::Rejected(rejection) if rejection.reason() == "BadDeviceToken" => {
                    Decision::Refuse(rejection.status(), "BadDeviceToken")
                }
                Outcome::Rejected(rejection) => {
                    assert_eq!(rejection.reason(), "Unregistered");
                    Decision::Refuse(rejection.status(), "Unregistered")
                }
                other => panic!("{other:?}"),
            };
            Some((settled.key, decision))
        }
        ConnectionEvent::Returned(unsettled) => {
            let decision = match unsettled.fate {
                Fate::Discarded => Decision::Disown,
                Fate::Unknown(UnknownCause::BrokenOff { code }) => Decision::Reset(code),
                other => panic!("{other:?}"),
            };
            Some((unsettled.submission.key, decision))
        }
        ConnectionEvent::Closed(closed) => panic!("{closed:?}"),
        _ => None,
    }
}

fn converse(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    let now = Now::new(Instant::now(), WallTime::from_secs(1_700_000_000));
    let count = 1 + dice.roll(60) as u32;
    let decisions: BTreeMap<u32, Decision> = (0..count).map(|key| (key, dice.decision())).collect();
    let sizes: Vec<usize> = (0..count).map(|_| dice.roll(3000) as usize).collect();

    // The window is announced, and raised a while later. The size of the table only ever falls below the first one, to which
    // the crate keeps.
    let table = [0, 60, 200, 4096, 65_536][dice.roll(5) as usize];
    let settings = vec![
        (1, table),
        (3, 1 + dice.roll(40) as u32),
        (4, [0, 1, 100, 65_535][dice.roll(4) as usize]),
        (5, 16_384 + dice.roll(2) as u32 * 1000),
    ];
    let bodies = Rc::new(RefCell::new(BTreeMap::new()));
    let judge = {
        let (decisions, bodies) = (decisions.clone(), Rc::clone(&bodies));
        move |_: Now, request: &ProviderRequest| {
            let key = key_of(request);
            assert!(request.is_complete());
            assert_eq!(bodies.borrow_mut().insert(key, request.body().clone()), None, "{key} came twice");
            match &decisions[&key] {
                Decision::Accept => {
                    Verdict::answer(Answer::accepted(format!("00000000-0000-0000-0000-0000{key:08x}").parse().unwrap()))
                }
                Decision::Refuse(status, reason) => Verdict::answer(Answer::refusal(*status, reason)),
                Decision::Reset(code) => Verdict::default().then(Step::Reset { code: *code }),
                Decision::Disown => Verdict::default().then(Step::Reset { code: 7 }),
            }
        }
    };
    let mut server = ProviderServer::new(judge, &ServerConfig::default().with_settings(settings));
    let api = ProviderApi::new(host::PRODUCTION, Credential::Certificate).unwrap();
    let config = Config::default().with_max_streams(1 + dice.roll(50) as usize);
    let mut client: Client<u32> =
        api.with_topic(Topic::new("com.example.app").unwrap()).with_config(config).connect(now);

    let (mut next, mut outcomes, mut bytes) = (0, BTreeMap::new(), BytesMut::new());
    let mut clock = now;
    for turn in 0.. {
        while client.has_room() && next < count {
            client.submit(clock, Submission::new(next, notification(next, sizes[next as usize]))).unwrap();
            next += 1;
        }
        bytes.clear();
        let _ = client.poll_transmit(clock, &mut bytes);
        pieces(&bytes, &mut dice, |piece| server.handle_input(clock, piece));
        while server.poll_event().is_some() {}
        if turn == 3 || dice.roll(8) == 0 {
            let window = if turn < 3 { dice.roll(2000) as u32 } else { 65_535 };
            let mut table = || dice.roll(u64::from(table) + 1) as u32;
            server.perform(clock, Step::Settings(vec![(4, window), (1, table()), (1, table())]));
        }
        bytes.clear();
        let _ = server.poll_transmit(clock, &mut bytes);
        pieces(&bytes, &mut dice, |piece| client.handle_input(clock, piece));
        while let Some(event) = client.poll_event() {
            if let Some((key, decision)) = told(event) {
                assert_eq!(outcomes.insert(key, decision), None, "{key} is told twice");
            }
        }
        if outcomes.len() == count as usize {
            break;
        }
        // Refused requests make the client wait.
        clock = Now::new(clock.instant + std::time::Duration::from_millis(200), clock.wall);
        client.handle_timeout(clock);
        assert!(turn < 2000, "seed {seed}: {} of {count}", outcomes.len());
    }
    assert_eq!(outcomes, decisions, "seed {seed}");
    for (key, body) in bodies.borrow().iter() {
        let expected = notification(*key, sizes[*key as usize]).payload().to_bytes();
        assert_eq!(body, &expected, "seed {seed}");
    }
}

/// In pieces of any size, or whole.
fn pieces(bytes: &[u8], dice: &mut Dice, mut take: impl FnMut(&[u8])) {
    let size = [1, 2, 9, 100, usize::MAX][dice.roll(5) as usize];
    bytes.chunks(size).for_each(&mut take);
}

#[test]
fn what_the_service_decided_is_what_the_client_tells() {
    let seeds = std::env::var("HTTP2_PEER_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    (1..=seeds).for_each(converse);
}
