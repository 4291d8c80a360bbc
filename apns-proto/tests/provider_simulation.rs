//! Thousands of pretend days, each from a seed: services that answer, refuse, go away, fall silent and break, under a
//! session that has to tell the truth about each notification.
//!
//! `APNS_SIM_SEEDS` says how many seeds are run (default 2000), `APNS_SIM_SEED` runs just one and tells what happens.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]
#![allow(clippy::print_stdout, reason = "one seed that is asked for tells what happens")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::http2::server::{Answer, ServerConfig, Step, Verdict};
use apns_proto::http2::{Config, Credential, KeyId, ProviderApi, SigningKey, SigningSource, TeamId};
use apns_proto::{End, LossPolicy, Outcome, SessionConfig};
use bytes::Bytes;
use world::*;

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// What the services did with a notification, all connections together.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// Taken and answered with 200, or taken without an answer.
    taken: u32,
    /// Answered with 200; the answer may have been lost.
    accepted: u32,
    /// Answered with a refusal.
    refused: u32,
}

type Book = Shared<BTreeMap<u32, Seen>>;

/// One service: each connection has its own temper.
fn temperamental(mut random: Random, book: Book, with_tokens: bool) -> Dialled {
    let limit = match random.below(6) {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => 100,
    };
    let config = if random.one_in(8) {
        ServerConfig::default().with_settings(Vec::new())
    } else {
        ServerConfig::default().with_stream_limit(limit)
    };
    let trouble = random.below(4);
    let refuses_token = with_tokens && random.one_in(4);
    service_with(config, move |_, request| {
        let mut book = book.borrow_mut();
        let seen = book.entry(key_of(request)).or_default();
        let slow = if random.one_in(3) { random.millis(3000) } else { Duration::ZERO };
        if refuses_token {
            let reason =
                if random.one_in(2) { (403, "ExpiredProviderToken") } else { (429, "TooManyProviderTokenUpdates") };
            seen.refused += 1;
            return refuse(reason.0, reason.1).after(slow);
        }
        let whim = if trouble == 0 { 100 } else { random.below(30 * trouble) };
        match whim {
            0 | 1 => {
                seen.refused += 1;
                refuse(400, "BadDeviceToken").after(slow)
            }
            2 => {
                seen.refused += 1;
                refuse(503, "Shutdown").after(slow)
            }
            3 => Verdict::reset(7).after(slow),
            4 => {
                seen.taken += 1;
                Verdict::reset(2).after(slow)
            }
            5 => {
                seen.taken += 1;
                Verdict::silence()
            }
            6 => {
                seen.taken += 1;
                Verdict::close().after(slow)
            }
            7 => {
                seen.taken += 1;
                seen.accepted += 1;
                let debug =
                    if random.one_in(2) { Bytes::new() } else { Bytes::from_static(b"{\"reason\":\"Shutdown\"}") };
                // Requests come in order, so what comes later has a higher stream and was not looked at.
                accept(request).then(Step::GoAway { last_stream: None, code: 0, debug })
            }
            8 => {
                seen.taken += 1;
                seen.accepted += 1;
                let limit = random.below(5) as u32 * 20;
                accept(request).then(Step::StreamLimit(limit)).then(Step::StreamLimit(100)).after(random.millis(20_000))
            }
            9 => {
                seen.taken += 1;
                seen.accepted += 1;
                accept(request).after(Duration::from_secs(29) + random.millis(2000))
            }
            10 => {
                seen.taken += 1;
                Verdict::answer(Answer::new(200)).then(Step::Inject(Bytes::from_static(b"\0\0\x05\x04\0\0\0\0\0oops!")))
            }
            _ => {
                seen.taken += 1;
                seen.accepted += 1;
                accept(request).after(slow)
            }
        }
    })
}

fn api(random: &mut Random, with_tokens: bool) -> ProviderApi {
    let credential = if with_tokens {
        let key = SigningKey::read(include_bytes!("keys/p8.pem")).unwrap();
        let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
        Credential::Token(Arc::new(SigningSource::new(key, key_id, team_id)))
    } else {
        Credential::Certificate
    };
    let mut config = Config::default();
    if random.one_in(4) {
        config = config.with_max_requests(1 + random.below(20) as u32);
    }
    if random.one_in(4) {
        config = config.with_max_age(random.millis(60_000));
    }
    if random.one_in(4) {
        config = config.with_max_idle(random.millis(60_000));
    }
    if random.one_in(4) {
        config = config.with_max_streams(1 + random.below(10) as usize);
    }
    ProviderApi::new("api.push.apple.com", credential).unwrap().with_config(config)
}

fn day(seed: u64, tell: bool) {
    let mut random = Random(seed);
    let with_tokens = random.one_in(2);
    let policy = if random.one_in(3) { LossPolicy::Resend { at_most: 2 } } else { LossPolicy::Report };
    let links = 1 + random.below(3) as usize;
    let book = Book::default();
    let mut world = {
        let book = book.clone();
        let mut random = Random(seed ^ 0x5eed);
        let config = SessionConfig::default().with_loss_policy(policy).with_links(links).with_seed(seed);
        let api = api(&mut random, with_tokens);
        World::with(api, config, move |_| match random.below(8) {
            0 => Dialled::Refused { fatal: false },
            1 if random.one_in(4) => Dialled::Stranger(b""),
            _ => temperamental(Random(random.next()), book.clone(), with_tokens),
        })
    }
    .split([1, 7, 100, usize::MAX][random.below(4) as usize]);

    let count = 1 + random.below(150) as u32;
    world.name = format!("seed {seed}");
    let mut next = 0;
    while next < count {
        let more = (random.below(40) as u32).min(count - next);
        world.submit(next..next + more);
        next += more;
        match random.below(12) {
            0 if !world.peers.is_empty() => world.cut(if random.one_in(2) { End::Clean } else { End::Cut }),
            1 if !world.peers.is_empty() => world.last().network = Network::Black,
            2 if !world.peers.is_empty() => world.last().breaks_after = Some(random.below(2000) as usize),
            3 => world.pass(Duration::from_secs(400)),
            4 => world.session.prove(world.now, Some(world.now.instant + random.millis(40_000))),
            5 if !world.peers.is_empty() && world.last().server.is_some() => {
                let limit = random.below(4) as u32;
                world.perform(Step::StreamLimit(limit));
            }
            _ => world.pass(random.millis(5000)),
        }
    }
    let allowed = random.millis(200_000);
    world.session.close(world.now, Some(world.now.instant + allowed));
    world.pass(allowed);

    if tell {
        println!("{:?}\n{:?}\n{:?}", world.words(), world.reports, world.warnings);
    }
    assert!(world.finished, "seed {seed}: it never ends");
    assert_eq!(world.settled.len(), count as usize, "seed {seed}: each has an outcome");
    assert_eq!(world.session.unsettled(), 0, "seed {seed}");
    assert!(world.stopped.is_none(), "seed {seed}: nothing here is a matter of credentials");
    let book = book.borrow();
    for (key, settled) in &world.settled {
        let seen = book.get(key).copied().unwrap_or_default();
        let told = || format!("seed {seed}, key {key}: {settled:?}, but {seen:?}");
        let replays = settled.replays;
        match &settled.outcome {
            Outcome::Accepted { .. } => assert!(seen.taken >= 1, "{}", told()),
            Outcome::Rejected(_) => assert!(seen.refused >= 1, "{}", told()),
            Outcome::NotSent { .. } | Outcome::Expired => assert_eq!((seen.taken, replays), (0, 0), "{}", told()),
            Outcome::Unknown { .. } => assert!(settled.attempts >= 1, "{}", told()),
            other => panic!("{other:?} is new"),
        }
        assert!(seen.taken <= 1 + replays, "{}: a duplicate that was not asked for", told());
        match policy {
            LossPolicy::Report => assert_eq!(replays, 0, "{}", told()),
            LossPolicy::Resend { at_most } => assert!(replays <= at_most, "{}", told()),
        }
        assert!(seen.taken + seen.refused <= settled.attempts, "{}: more arrived than was sent", told());
    }
    // Attempts to connect are bounded: by the back-off, and by what connections that answered had to do.
    assert!(world.dials.len() <= 60 + 2 * count as usize, "seed {seed}: {} connections", world.dials.len());
}

#[test]
fn every_day_ends_with_the_truth() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("APNS_SIM_SEED") {
        return day(seed, true);
    }
    for seed in 0..number("APNS_SIM_SEEDS").unwrap_or(2000) {
        day(seed, false);
    }
}
