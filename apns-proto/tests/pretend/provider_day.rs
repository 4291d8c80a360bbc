//! One bad day of the provider API, and what has to be true of it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apns_proto::http2::{
    AfterRejection, ClockSkew, Config, Credential, KeyId, ProviderApi, ProviderToken, Reason, SigningKey,
    SigningSource, TeamId, TokenError, TokenSource,
};
use apns_proto::{
    End, Expiration, LossPolicy, Notification, Now, Outcome, Payload, Priority, RetryPolicy, SessionConfig, Topic,
};

use super::dice::Dice;
use super::providers::{Providers, Temper};
use super::world::{Dialled, Happening, Wire, World};
use super::{ms, notification, secs};

/// How bad the day is.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// A connection in so many has a fault of its network.
    fault_in: u64,
    /// A dial in so many fails.
    dial_fails_in: u64,
    /// How bad the services' tempers are, at most.
    trouble: u64,
    with_tokens: bool,
    policy: LossPolicy,
    retries: u32,
    total: u32,
    /// Something happened that stops a session.
    stops: Rc<Cell<bool>>,
}

fn day(dice: &mut Dice) -> Day {
    Day {
        fault_in: dice.of(&[1, 2, 3, 10]),
        dial_fails_in: dice.of(&[2, 5, 20, 1000]),
        trouble: dice.below(4),
        with_tokens: dice.one_in(2),
        policy: dice.of(&[LossPolicy::Report, LossPolicy::Report, LossPolicy::Resend { at_most: 2 }]),
        retries: dice.of(&[0, 0, 3]),
        total: dice.of(&[1, 3, 10, 30, 80]),
        stops: Rc::default(),
    }
}

/// Signs, but not always: for a while there is no token.
#[derive(Debug)]
struct Fitful {
    inner: SigningSource,
    /// From when, and for how long, counted from the first time somebody asked.
    gap: (Duration, Duration),
    first: Mutex<Option<Instant>>,
}

impl TokenSource for Fitful {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        let first = *self.first.lock().unwrap().get_or_insert(now.instant);
        let age = now.instant.saturating_duration_since(first);
        if self.gap.0 <= age && age < self.gap.0 + self.gap.1 {
            return Err(TokenError::Unavailable("the vault is shut".into()));
        }
        self.inner.token(now)
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        self.inner.rejected(now, token, reason, skew)
    }
}

fn api(dice: &mut Dice, day: &Day) -> ProviderApi {
    let credential = if day.with_tokens {
        let key = SigningKey::read(include_bytes!("../keys/p8.pem")).unwrap();
        let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
        let inner = SigningSource::new(key, key_id, team_id);
        let gap = (ms(dice.below(40_000)), if dice.one_in(4) { secs(dice.within(1, 90)) } else { Duration::ZERO });
        Credential::Token(Arc::new(Fitful { inner, gap, first: Mutex::new(None) }))
    } else {
        Credential::Certificate
    };
    let mut config = Config::default();
    if dice.one_in(4) {
        config = config.with_max_requests(1 + dice.below(20) as u32);
    }
    if dice.one_in(4) {
        config = config.with_max_age(ms(dice.below(60_000)));
    }
    if dice.one_in(4) {
        config = config.with_max_idle(ms(dice.below(60_000)));
    }
    if dice.one_in(4) {
        config = config.with_max_streams(1 + dice.below(10) as usize);
    }
    if dice.one_in(4) {
        config = config.with_write_timeout(secs(3)).with_request_timeout(secs(dice.within(5, 60)));
    }
    ProviderApi::new("api.push.apple.com", credential)
        .unwrap()
        .with_config(config)
        .with_topic(Topic::new("com.example.app").unwrap())
}

fn wire(dice: &mut Dice, day: &Day) -> Wire<Temper> {
    let token_refusals = [(403, "ExpiredProviderToken"), (429, "TooManyProviderTokenUpdates")];
    let temper = Temper {
        trouble: dice.below(day.trouble + 1),
        stream_limit: dice.of(&[None, Some(0), Some(1), Some(3), Some(100), Some(1000)]),
        with_tokens: day.with_tokens,
        refuses_all: dice.one_in(12),
        refuses_token: dice.one_in(8).then(|| dice.of(&token_refusals)),
        dice: dice.split(),
    };
    let mut wire = Wire {
        latency: ms(dice.of(&[0, 1, 20, 250])),
        capacity: dice.of(&[200, 1_000, 20_000, 1 << 20]),
        piece: dice.of(&[1, 9, 60, 300, 1_000, 5_000, 100_000, 100_000]),
        notice: ms(dice.below(1_500)),
        end: dice.of(&[End::Clean, End::Cut]),
        reset_destroys: dice.one_in(3),
        reads_first: dice.one_in(2),
        script: temper,
        ..Wire::default()
    };
    if !dice.one_in(day.fault_in) {
        return wire;
    }
    let place = dice.within(0, u64::from(day.total) * 150 + 200);
    match dice.below(14) {
        0 | 1 => wire.cut_up = Some(place),
        2 => wire.cut_down = Some(dice.below(400)),
        3 => wire.fails_at = Some(place),
        4 => {
            wire.fails_at = Some(place);
            wire.unsure = dice.within(0, 300) as usize;
        }
        5 => wire.half_close_at = Some(place),
        6 => wire.stall = Some((ms(dice.below(5_000)), secs(dice.within(1, 100)))),
        7 => wire.delay = secs(dice.within(1, 60)),
        8 => {
            wire.cut_up = Some(place);
            wire.notice = secs(dice.within(1, 100));
        }
        9 => wire.stops_reading = Some((place, ms(dice.below(1_000)))),
        10 => wire.stops_reading = Some((place, secs(dice.of(&[1, 4, 40, 1_000_000])))),
        11 => wire.stranger = Some(dice.of(&[&b""[..], b"\0\0", b"\0\0\0\x04\0\0\0\0\0"])),
        // These two stop the session.
        12 if dice.one_in(10) => {
            wire.stranger = Some(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            day.stops.set(true);
        }
        13 if dice.one_in(10) => {
            wire.turned_away = Some("certificate revoked");
            day.stops.set(true);
        }
        _ => wire.cut_up = Some(dice.below(100)),
    }
    wire
}

fn sample(dice: &mut Dice, number: u32) -> Notification {
    let mut sample = notification(number);
    if dice.one_in(8) {
        let payload = Payload::alert("y".repeat(dice.of(&[500, 4_000])));
        sample = Notification::new(sample.token().clone(), payload);
    }
    if dice.one_in(4) {
        sample = sample.with_expiration(match dice.below(3) {
            0 => Expiration::Immediately,
            1 => Expiration::After(ms(dice.below(20_000))),
            _ => Expiration::After(secs(dice.within(60, 10_000))),
        });
    }
    if dice.one_in(4) {
        sample = sample.with_priority(dice.of(&[Priority::PowerSaving, Priority::Immediate, Priority::NeverWake]));
    }
    sample
}

/// The day that these dice make.
pub(crate) fn build(mut dice: Dice) -> (World<Providers>, Day) {
    let seed = dice.below(1 << 16);
    let day = day(&mut dice);
    let session = SessionConfig::default()
        .with_loss_policy(day.policy)
        .with_retry(RetryPolicy::default().with_retries(day.retries))
        .with_links(dice.within(1, 3) as usize)
        .with_patience(secs(dice.of(&[5, 60])))
        .with_seed(seed);
    let api = api(&mut dice, &day);
    let mut fate = dice.split();
    let dialler = {
        let day = day.clone();
        move |_, _| {
            let span = ms(fate.of(&[0, 1, 50, 2_000]));
            if fate.one_in(day.dial_fails_in) {
                if fate.one_in(50) {
                    day.stops.set(true);
                    return Dialled::Fatal(span);
                }
                return Dialled::Failed(span);
            }
            Dialled::Open(span, Box::new(wire(&mut fate, &day)))
        }
    };
    let order = dice.split();
    let mut world = World::of(api, session, dialler).in_any_order(order);
    // Now and then long enough for provider tokens to grow old.
    let span = dice.of(&[1, 1_000, 30_000, 30_000, 8_000_000]);
    for number in 0..day.total {
        let at = ms(dice.below(span));
        world.at(at, Happening::Wanted(number, Box::new(sample(&mut dice, number))));
    }
    for _ in 0..dice.below(4) {
        let at = ms(dice.below(span * 2));
        let happening = match dice.below(5) {
            0 => Happening::Prove(dice.one_in(2).then(|| ms(dice.below(20_000)))),
            1 => Happening::WallJump(dice.of(&[-100_000, -4_000, -60, -1, 1, 30, 4_000, 100_000])),
            2 => Happening::HeldUp(ms(dice.of(&[10, 1_000, 3_100, 10_000, 100_000]))),
            3 => Happening::Restart(ms(dice.of(&[0, 100, 5_000, 100_000]))),
            _ => Happening::Behind(ms(dice.of(&[1, 500, 10_000]))),
        };
        world.at(at, happening);
    }
    if dice.one_in(2) {
        let at = ms(dice.below(span * 3));
        world.at(at, Happening::Close(dice.one_in(2).then(|| ms(dice.below(30_000)))));
    } else {
        world.at(ms(span) + secs(2_000), Happening::Close(None));
    }
    (world, day)
}

/// Holds every outcome against what the services really did.
pub(crate) fn verify(world: &World<Providers>, day: &Day) {
    assert!(world.session.is_finished(), "it is closed and has not finished");
    assert_eq!(world.session.unsettled(), 0);
    assert_eq!(world.session.poll_timeout(), None);
    assert_eq!(world.transcript.iter().filter(|line| *line == "finished").count(), 1);
    if let Some(why) = world.session.stopped() {
        assert!(day.stops.get(), "it stopped for no reason: {why}");
    }
    let book = world.truth.borrow();
    for number in 0..day.total {
        let outcomes = world.outcomes.get(&number).map_or(&[][..], Vec::as_slice);
        let [settled] = outcomes else { panic!("{number} has {} outcomes", outcomes.len()) };
        let seen = book.seen.get(&number).copied().unwrap_or_default();
        let told = format!("{number} is {seen:?}, told as {settled:?}");

        match day.policy {
            LossPolicy::Report => assert_eq!(settled.replays, 0, "{told}"),
            LossPolicy::Resend { at_most } => assert!(settled.replays <= at_most, "{told}"),
            other => panic!("{other:?}"),
        }
        assert!(settled.retries <= day.retries, "{told}");
        assert!(seen.taken <= 1 + settled.replays, "a duplicate that nobody asked for: {told}");
        assert!(seen.taken + seen.refused <= settled.attempts, "more arrived than were sent: {told}");
        match &settled.outcome {
            Outcome::Accepted { .. } => assert!(seen.taken >= 1, "lost: {told}"),
            Outcome::Rejected(_) => assert!(seen.refused >= 1, "nobody refused it: {told}"),
            Outcome::NotSent { .. } | Outcome::Expired => {
                assert_eq!((seen.taken, settled.replays), (0, 0), "sent all the same: {told}");
            }
            Outcome::Unknown { .. } => assert!(settled.attempts >= 1, "never written: {told}"),
            other => panic!("no such outcome here: {other:?}"),
        }
    }
}
