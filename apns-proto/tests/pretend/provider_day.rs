//! One bad day of the provider API, and what has to be true of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{
    AfterRejection, ClockSkew, Config, Credential, KeyId, ProviderApi, ProviderToken, Reason, TeamId, TokenError,
    TokenSource,
};
use apns_proto::{
    End, Expiration, LossPolicy, Notification, Now, Outcome, Payload, Priority, RefusalPolicy, Rejection, RetryPolicy,
    SessionConfig, Topic, UnknownCause,
};

use super::dice::Dice;
use super::http2_faults::FrameFaults;
use super::laws;
use super::providers::{Book, Providers, Said, Temper, name_of};
use super::timeline::Turn;
use super::trouble::{How, Reasons, Trouble, policy};
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
    trouble_at_most: u64,
    with_tokens: bool,
    policy: LossPolicy,
    refusal: RefusalPolicy,
    retries: u32,
    total: u32,
    request_timeout: Duration,
    kind: Kind,
    trouble: Option<Trouble<Said>>,
    /// When each is wanted.
    wanted: Vec<Duration>,
    /// What there was to stop or pause for, beside what services say.
    reasons: Reasons,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Anything,
    /// Nothing but the credential, which is mended.
    Credential,
    /// Nothing, but connections go away and are slow to go.
    Leaving,
    /// Nothing but the frames of the services, which are odd and break no rule that keeps an answer from its client.
    Frames,
    /// Nothing, but the client's process stands still for longer than any deadline, with answers under way.
    StandingStill,
}

fn day(dice: &mut Dice) -> Day {
    let kind = dice.of(&[
        Kind::Anything,
        Kind::Anything,
        Kind::Anything,
        Kind::Anything,
        Kind::Anything,
        Kind::Credential,
        Kind::Credential,
        Kind::Leaving,
        Kind::StandingStill,
        Kind::Frames,
    ]);
    let calm = kind != Kind::Anything;
    Day {
        fault_in: if calm { u64::MAX } else { dice.of(&[1, 2, 3, 10]) },
        dial_fails_in: if calm { u64::MAX } else { dice.of(&[2, 5, 20, 1000]) },
        trouble_at_most: if calm { 0 } else { dice.below(4) },
        with_tokens: dice.one_in(2),
        policy: dice.of(&[LossPolicy::Report, LossPolicy::Report, LossPolicy::Resend { at_most: 2 }]),
        refusal: policy(dice),
        retries: dice.of(&[0, 0, 3]),
        total: dice.of(&[1, 3, 10, 30, 80]),
        request_timeout: if calm || !dice.one_in(4) { secs(30) } else { secs(dice.within(5, 60)) },
        kind,
        trouble: None,
        wanted: Vec::new(),
        reasons: Reasons::default(),
    }
}

impl Day {
    /// What happened, in words.
    pub(crate) fn happened(&self, world: &World<Providers>) -> Vec<String> {
        laws::happened(world, self.refusal)
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
        let key = SigningKey::read(include_bytes!("../../../apns-credentials/tests/keys/p8.pem")).unwrap();
        let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
        let inner = SigningSource::new(key, key_id, team_id);
        let gap = (
            ms(dice.below(40_000)),
            if day.kind == Kind::Anything && dice.one_in(4) { secs(dice.within(1, 90)) } else { Duration::ZERO },
        );
        Credential::Token(Arc::new(Fitful { inner, gap, first: Mutex::new(None) }))
    } else {
        Credential::Certificate
    };
    let mut config = Config::default().with_request_timeout(day.request_timeout);
    if dice.one_in(4) {
        config = config.with_max_requests(1 + dice.below(20) as u32);
    }
    // A connection that grew old while the process stood still is not used, however well it is.
    if dice.one_in(4) && day.kind != Kind::StandingStill {
        config = config.with_max_age(ms(dice.below(60_000)));
    }
    if dice.one_in(4) {
        config = config.with_max_idle(ms(dice.below(60_000)));
    }
    if dice.one_in(4) {
        config = config.with_max_streams(1 + dice.below(10) as usize);
    }
    if dice.one_in(4) {
        config = config.with_write_timeout(secs(3));
    }
    ProviderApi::new("api.push.apple.com", credential)
        .unwrap()
        .with_config(config)
        .with_topic(Topic::new("com.example.app").unwrap())
}

fn wire(dice: &mut Dice, day: &Day) -> Wire<Temper> {
    let token_refusals = [(403, "ExpiredProviderToken"), (429, "TooManyProviderTokenUpdates")];
    let calm = day.kind != Kind::Anything;
    let odd = match day.kind {
        Kind::Anything => dice.one_in(3),
        Kind::Frames => true,
        Kind::Credential | Kind::Leaving | Kind::StandingStill => false,
    };
    let temper = Temper {
        leaves_always: odd && dice.one_in(6),
        lies: odd && dice.one_in(3),
        changes_settings: odd && dice.one_in(4),
        faults: odd.then(|| FrameFaults::new(dice, calm)),
        trouble: dice.below(day.trouble_at_most + 1),
        stream_limit: dice
            .of(&[None, Some(0), Some(1), Some(3), Some(100), Some(1000)])
            .filter(|limit| !calm || *limit > 0),
        with_tokens: day.with_tokens,
        refuses_all: !calm && dice.one_in(12),
        refuses_token: (!calm && dice.one_in(8)).then(|| dice.of(&token_refusals)),
        leaves_with: (day.kind == Kind::Leaving).then(|| dice.within(1, 3) as u32),
        dice: dice.split(),
    };
    let mut wire = Wire {
        latency: ms(dice.of(&[0, 1, 20, 250])),
        capacity: if calm { 1 << 20 } else { dice.of(&[200, 1_000, 20_000, 1 << 20]) },
        piece: dice.of(&[1, 9, 60, 300, 1_000, 5_000, 100_000, 100_000]),
        notice: ms(dice.below(1_500)),
        end: dice.of(&[End::Clean, End::Cut]),
        reset_destroys: dice.one_in(3) && !calm,
        reads_first: dice.one_in(2),
        script: temper,
        ..Wire::default()
    };
    if calm || !dice.one_in(day.fault_in) {
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
        // These two are no failures that pass.
        12 if dice.one_in(10) => {
            wire.stranger = Some(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            day.reasons.add();
        }
        13 if dice.one_in(10) => {
            wire.turned_away = Some("certificate revoked");
            day.reasons.add();
        }
        _ => wire.cut_up = Some(dice.below(100)),
    }
    wire
}

fn sample(dice: &mut Dice, number: u32, kind: Kind) -> Notification {
    let mut sample = notification(number);
    if kind != Kind::Anything {
        return sample;
    }
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

/// When something is wanted, at most.
fn span(dice: &mut Dice, day: &Day) -> Duration {
    // Now and then long enough for provider tokens to grow old.
    let spans = if day.kind == Kind::Credential { [30, 100, 400, 2_000, 2_000] } else { [0, 1, 30, 30, 8_000] };
    secs(dice.of(&spans)) + ms(1)
}

/// The day that these dice make.
pub(crate) fn build(mut dice: Dice) -> (World<Providers>, Day) {
    let seed = dice.below(1 << 16);
    let mut day = day(&mut dice);
    let session = SessionConfig::default()
        .with_loss_policy(day.policy)
        .with_refusal_policy(day.refusal)
        .with_retry(RetryPolicy::default().with_retries(day.retries))
        .with_links(if day.kind == Kind::Leaving { 2 } else { dice.within(1, 3) as usize })
        .with_patience(secs(if day.kind == Kind::Credential { 60 } else { dice.of(&[5, 60]) }))
        .with_seed(seed);
    let api = api(&mut dice, &day);
    let span = span(&mut dice, &day);
    if day.kind == Kind::Credential || (day.kind == Kind::Anything && dice.one_in(4)) {
        day.trouble = Some(Trouble::new(&mut dice, span, &Said::ALL));
    }
    let dialler = dialler(dice.split(), &day);
    let order = dice.split();
    let mut world = World::<Providers>::of(api, session, dialler).in_any_order(order);
    world.truth.borrow_mut().trouble = day.trouble;
    world.truth.borrow_mut().request_timeout = day.request_timeout;
    if let Some(trouble) = day.trouble {
        trouble.happens_in(&mut world);
    }
    let whole = span.as_millis() as u64;
    for number in 0..day.total {
        // One after the other, so that no more connections go away at once than may be open.
        let at = if day.kind == Kind::Leaving { secs(3) * number } else { ms(dice.below(whole)) };
        day.wanted.push(at);
        world.at(at, Happening::Wanted(number, Box::new(sample(&mut dice, number, day.kind))));
    }
    for _ in 0..if day.kind == Kind::StandingStill { 3 } else { 0 } {
        let at = day.wanted[dice.below(day.wanted.len() as u64) as usize] + ms(dice.below(400));
        world.at(at, Happening::HeldUp(secs(dice.within(31, 200))));
    }
    let often = match day.kind {
        Kind::Anything | Kind::Credential => dice.below(4),
        Kind::Leaving | Kind::StandingStill | Kind::Frames => 0,
    };
    for _ in 0..often {
        let at = ms(dice.below(whole * 2));
        let happening = match dice.below(6) {
            0 => Happening::Prove((day.kind == Kind::Anything && dice.one_in(2)).then(|| ms(dice.below(20_000)))),
            // Patience may end while the process stands still, with nothing to try again.
            1 if day.kind == Kind::Credential => Happening::HeldUp(ms(dice.of(&[10, 1_000, 3_100, 10_000]))),
            1 => Happening::HeldUp(ms(dice.of(&[10, 1_000, 3_100, 10_000, 100_000]))),
            2 => Happening::Behind(ms(dice.of(&[1, 500, 10_000]))),
            _ if day.kind == Kind::Credential => continue,
            3 => Happening::WallJump(dice.of(&[-100_000, -4_000, -60, -1, 1, 30, 4_000, 100_000])),
            4 => Happening::Restart(ms(dice.of(&[0, 100, 5_000, 100_000]))),
            _ => Happening::CredentialChanged,
        };
        world.at(at, happening);
    }
    if day.kind == Kind::Anything && dice.one_in(2) {
        let at = ms(dice.below(whole * 3));
        world.at(at, Happening::Close(dice.one_in(2).then(|| ms(dice.below(30_000)))));
    } else {
        world.at(span + secs(2_000), Happening::Close(None));
    }
    (world, day)
}

fn dialler(mut fate: Dice, day: &Day) -> impl FnMut(usize, Duration) -> Dialled<Temper> + 'static {
    let day = day.clone();
    move |_, at| {
        let span = ms(fate.of(&[0, 1, 50, 2_000]));
        if day.kind == Kind::Anything && fate.one_in(day.dial_fails_in) {
            if fate.one_in(50) {
                day.reasons.add();
                return Dialled::Fatal(span);
            }
            return Dialled::Failed(span);
        }
        let mut wire = wire(&mut fate, &day);
        let Some(trouble) = day.trouble.filter(|trouble| trouble.lasts(at)) else {
            return Dialled::Open(span, Box::new(wire));
        };
        if let How::Said(Said::Http1) = trouble.how {
            wire.stranger = Some(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
        day.reasons.add();
        trouble.dialled(at, span, wire)
    }
}

/// Holds every outcome against what the services really did.
pub(crate) fn verify(world: &World<Providers>, day: &Day) {
    let book = world.truth.borrow();
    let said = book.seen.values().map(|seen| seen.credential as usize).sum::<usize>();
    laws::verify(world, day.refusal, day.reasons.count() + said);
    laws::refusals_cost_few_connections(world, day.with_tokens);
    for (link, stream, since, until) in &book.overdue {
        let latest = world.timeline.at_the_latest(*since + day.request_timeout);
        assert!(*until <= latest, "link {link}, stream {stream} is open from {since:?} to {until:?}");
    }
    let wrongly = book.accused.iter().find(|link| !book.violated.contains(link));
    assert!(wrongly.is_none(), "link {wrongly:?} broke no rule");
    for number in 0..day.total {
        verify_one(world, day, &book, number);
    }
}

fn verify_one(world: &World<Providers>, day: &Day, book: &Book, number: u32) {
    let outcomes = world.outcomes.get(&number).map_or(&[][..], Vec::as_slice);
    let [settled] = outcomes else { panic!("{number} has {} outcomes", outcomes.len()) };
    let seen = book.seen.get(&number).copied().unwrap_or_default();
    let at = world.settled_at[&number];
    let told = format!("{number} is {seen:?}, told as {settled:?} at {at:?}");

    match day.policy {
        LossPolicy::Report => assert_eq!(settled.replays, 0, "{told}"),
        LossPolicy::Resend { at_most } => assert!(settled.replays <= at_most, "{told}"),
        other => panic!("{other:?}"),
    }
    assert!(settled.retries <= day.retries, "{told}");
    assert!(seen.taken <= 1 + settled.replays, "a duplicate that nobody asked for: {told}");
    let arrived = seen.taken + seen.early + seen.refused + seen.credential;
    assert!(arrived <= settled.attempts, "more arrived than were sent: {told}");
    let broken_off = book.broken_off.iter().filter(|stream| book.streams.get(stream) == Some(&number)).count();
    let unknown = u32::from(matches!(settled.outcome, Outcome::Unknown { .. }));
    assert!(broken_off as u32 <= settled.replays + unknown, "sent again though the service had looked at it: {told}");
    match &settled.outcome {
        Outcome::Accepted { apns_id, .. } => {
            assert!(seen.taken + seen.early >= 1, "lost: {told}");
            assert_eq!(*apns_id, Some(name_of(number)), "that is another one: {told}");
        }
        Outcome::Rejected(rejection) => {
            assert!(!rejection.refuses_credential(), "no verdict on a notification: {told}");
            // Without its reason, such a refusal says no more than that there were too many.
            let bare =
                matches!(rejection, Rejection::Provider(said) if said.status() == 429 && said.reason().is_none());
            assert!(seen.refused >= 1 || (bare && seen.credential >= 1), "nobody refused it: {told}");
        }
        Outcome::NotSent { .. } | Outcome::Expired => {
            assert_eq!((seen.taken, settled.replays), (0, 0), "sent all the same: {told}");
        }
        Outcome::Unknown { cause } => {
            assert!(settled.attempts >= 1, "never written: {told}");
            let sent = book.streams.iter().filter(|(_, sent)| **sent == number).map(|(stream, _)| stream);
            // Only where the last attempt is one that the services know of.
            let last = sent.clone().next_back().filter(|_| sent.count() == settled.attempts as usize);
            let came = last.and_then(|stream| book.answers.get(stream));
            let unread = *cause == UnknownCause::NoAnswer && came.is_some_and(|came| *came < at);
            assert!(!unread, "its answer lay in the socket since {came:?}: {told}");
        }
        other => panic!("no such outcome here: {other:?}"),
    }
    if day.kind != Kind::Anything {
        verify_calm(world, day, book, number, settled.outcome.is_accepted(), &told);
    }
}

/// Where next to nothing goes wrong, everything is taken once that is mended.
fn verify_calm(world: &World<Providers>, day: &Day, book: &Book, number: u32, accepted: bool, told: &str) {
    let wanted = world.timeline.at_the_latest(day.wanted[number as usize]);
    assert!(accepted || day.kind == Kind::Credential, "{told}");
    if day.kind == Kind::Leaving {
        let late = book.arrived[&number].saturating_sub(wanted);
        assert!(late < secs(6), "wanted at {wanted:?}, it waited {late:?} for connections that go away: {told}");
    }
    let Some(trouble) = day.trouble else { return };
    let mended = trouble.mended();
    let stopped = world.timeline.turns().iter().any(|(_, turn)| *turn == Turn::Stopped);
    let must = match day.refusal {
        RefusalPolicy::Wait => true,
        RefusalPolicy::Stop => !stopped,
        _ => wanted > world.timeline.at_the_latest(mended) + world.timeline.behind(),
    };
    assert!(accepted || !must, "mended at {mended:?}, wanted at {wanted:?}: {told}");
}
