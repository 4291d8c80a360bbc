//! One bad day of the binary protocol, and what has to be true of it.

use std::time::Duration;

use apns_proto::binary::server::Verdict;
use apns_proto::binary::{Config, Format, Status};
use apns_proto::{
    End, Expiration, LossPolicy, Notification, Outcome, Priority, Proof, RefusalPolicy, Rejection, SessionConfig,
    WallTime,
};

use super::dice::Dice;
use super::gateways::Script;
use super::laws;
use super::timeline::Turn;
use super::trouble::{How, Reasons, Trouble, policy};
use super::world::{Dialled, Happening, Wire, World};
use super::{WALL, ms, notification, secs};

/// How bad the day is.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// Delays beyond the quiet time and gateways that say nothing happen: silence may be taken for a yes wrongly.
    slow: bool,
    /// A connection in so many has a fault.
    fault_in: u64,
    /// A dial in so many fails.
    dial_fails_in: u64,
    /// How large a bad day's share of bad tokens is, in a hundred.
    bad: u64,
    policy: LossPolicy,
    refusal: RefusalPolicy,
    total: u32,
    /// Nothing goes wrong but the credential, which is mended.
    calm: bool,
    trouble: Option<Trouble<u8>>,
    /// When each is wanted.
    wanted: Vec<Duration>,
    /// What there was to stop or pause for, beside what gateways say.
    reasons: Reasons,
}

fn day(dice: &mut Dice) -> Day {
    let policies = [
        LossPolicy::Report,
        LossPolicy::Report,
        LossPolicy::RESEND,
        LossPolicy::Resend { at_most: dice.below(6) as u32 },
    ];
    let calm = dice.one_in(5);
    Day {
        slow: !calm && dice.one_in(4),
        fault_in: if calm { u64::MAX } else { dice.of(&[1, 1, 2, 3, 10]) },
        dial_fails_in: if calm { u64::MAX } else { dice.of(&[2, 5, 20, 1000]) },
        bad: if calm { 0 } else { dice.of(&[0, 1, 5, 20, 60]) },
        policy: dice.of(&policies),
        refusal: policy(dice),
        total: dice.of(&[1, 3, 10, 30, 80]),
        calm,
        trouble: None,
        wanted: Vec::new(),
        reasons: Reasons::default(),
    }
}

impl Day {
    /// What happened, in words.
    pub(crate) fn happened(&self, world: &World) -> Vec<String> {
        laws::happened(world, self.refusal)
    }
}

/// The quiet time on all days.
const QUIET: Duration = Duration::from_secs(3);

/// What a notification may be refused with.
fn refusal(dice: &mut Dice) -> u8 {
    loop {
        let status = if dice.one_in(3) { dice.below(256) as u8 } else { dice.of(&[1, 4, 5, 7, 8, 8, 8, 128, 255, 0]) };
        // A refused topic pauses or stops the session: that day is rare. Status 2 is for an empty token, which only the
        // probe has.
        if !matches!(status, 2 | 10) && (!matches!(status, 3 | 6) || dice.one_in(20)) {
            return status;
        }
    }
}

fn deed(dice: &mut Dice, day: &Day, after: Duration) -> Verdict {
    let status = Status::from_raw(refusal(dice));
    match dice.below(if day.slow { 9 } else { 8 }) {
        0 => Verdict::Close,
        1 => Verdict::AcceptAndClose,
        2 | 3 => Verdict::AcceptAndShutDown { after },
        // Refused, and the name is lost, or was never heard of.
        4 => Verdict::Refuse { status, identifier: Some(0), after },
        5 => Verdict::Refuse { status, identifier: Some(dice.within(1_000_000, u64::from(u32::MAX)) as u32), after },
        6 | 7 => Verdict::Refuse { status, identifier: None, after },
        _ => Verdict::FallSilent,
    }
}

fn wire(dice: &mut Dice, day: &Day) -> Wire {
    let latency = ms(dice.of(&[0, 1, 20, 250]));
    let after = ms(dice.of(&[0, 5, 200, 800]));
    let ends = [End::Clean, End::Cut];
    let mut wire = Wire {
        latency,
        capacity: if day.calm { 1 << 20 } else { usize::try_from(dice.of(&[64, 300, 5_000, 1 << 20])).unwrap() },
        piece: usize::try_from(dice.of(&[1, 7, 60, 100_000])).unwrap(),
        notice: ms(dice.below(1_500)),
        end: ends[usize::try_from(dice.below(2)).unwrap()].clone(),
        reset_destroys: dice.one_in(3) && !day.calm,
        reads_first: dice.one_in(2),
        script: Script { after, ..Script::default() },
        ..Wire::default()
    };
    if day.calm || !dice.one_in(day.fault_in) {
        return wire;
    }
    let place = dice.within(0, u64::from(day.total) * 120);
    match dice.below(if day.slow { 17 } else { 12 }) {
        0 => wire.cut_up = Some(place),
        1 => wire.cut_down = Some(dice.below(6)),
        2 => wire.fails_at = Some(place),
        3 => {
            wire.fails_at = Some(place);
            wire.unsure = usize::try_from(dice.within(0, 300)).unwrap();
        }
        4 => wire.half_close_at = Some(place),
        5 | 6 => wire.script.deed = Some((dice.within(1, u64::from(day.total.min(20))) as u32, deed(dice, day, after))),
        // The name of the probe is lost, or the gateway closes at the sight of it.
        7 => {
            let identifier = Some(0);
            wire.script.probe = Some(Verdict::Refuse { status: Status::MISSING_DEVICE_TOKEN, identifier, after });
        }
        8 => {
            let status = Status::from_raw(refusal(dice));
            let choices = [
                Verdict::Close,
                Verdict::Refuse { status, identifier: None, after },
                Verdict::Refuse { status: Status::SHUTDOWN, identifier: None, after },
                Verdict::Refuse { status: Status::INVALID_TOKEN, identifier: Some(0), after },
            ];
            wire.script.probe = Some(dice.of(&choices));
        }
        // Half an answer, or one to a question that nobody asked.
        9 => wire.stranger = Some(dice.of(&[&b"\x08"[..], b"\x08\x08\0\0", b"\x08\x08\0\0\0\0", b""])),
        // These two are no failures that pass.
        10 if dice.one_in(10) => {
            wire.stranger = Some(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            day.reasons.add();
        }
        10 if dice.one_in(10) => {
            wire.turned_away = Some("certificate revoked");
            day.reasons.add();
        }
        10 => wire.cut_up = Some(dice.below(8)),
        11 => wire.stops_reading = Some((place, ms(dice.below(1_000)))),
        12 => wire.stops_reading = Some((place, secs(dice.of(&[1, 4, 40, 1_000_000])))),
        13 => wire.stall = Some((ms(dice.below(5_000)), secs(dice.within(1, 100)))),
        14 => wire.delay = secs(dice.within(1, 60)),
        15 => wire.script.probe = Some(Verdict::FallSilent),
        _ => {
            wire.cut_up = Some(place);
            wire.notice = secs(dice.within(1, 100));
        }
    }
    wire
}

fn sample(dice: &mut Dice, number: u32, calm: bool) -> Notification {
    let mut sample = notification(number);
    if calm {
        return sample;
    }
    if dice.one_in(4) {
        let expiration = match dice.below(4) {
            0 => Expiration::Immediately,
            1 => Expiration::After(ms(dice.below(20_000))),
            2 => Expiration::After(secs(dice.within(60, 10_000))),
            _ => Expiration::At(WallTime::from_secs(WALL + dice.below(30))),
        };
        sample = sample.with_expiration(expiration);
    }
    if dice.one_in(4) {
        sample = sample.with_priority(dice.of(&[Priority::PowerSaving, Priority::Immediate]));
    }
    sample
}

/// The day that these dice make.
pub(crate) fn build(mut dice: Dice) -> (World, Day) {
    let seed = dice.below(1 << 16);
    let mut day = day(&mut dice);
    // The simplest format has no names: what is refused cannot be told apart from what was taken.
    let simplest = if day.calm { Format::Items } else { Format::Simple };
    let config = Config::default()
        .with_format(dice.of(&[simplest, Format::Enhanced, Format::Items, Format::Items]))
        .with_window_count(usize::try_from(dice.of(&[1, 2, 5, 20, 100_000])).unwrap())
        .with_window_bytes(usize::try_from(dice.of(&[0, 500, 1 << 24])).unwrap())
        .with_quiet_time(QUIET)
        .with_answer_timeout(secs(dice.of(&[5, 30])))
        .with_write_timeout(secs(dice.of(&[5, 30])));
    let session = SessionConfig::default()
        .with_loss_policy(day.policy)
        .with_refusal_policy(day.refusal)
        .with_links(usize::try_from(dice.within(1, 3)).unwrap())
        .with_patience(secs(dice.of(&[5, 60])))
        .with_seed(seed);
    let span = secs(dice.of(&if day.calm { [30, 400, 1_000] } else { [0, 1, 30] })) + ms(1);
    if day.calm || dice.one_in(5) {
        day.trouble = Some(Trouble::new(&mut dice, span, &[3, 6]));
    }
    let dialler = dialler(dice.split(), &day);
    let order = dice.split();
    let mut world = World::new(config, session, dialler).in_any_order(order);
    world.truth.borrow_mut().trouble = day.trouble;
    if let Some(trouble) = day.trouble {
        trouble.happens_in(&mut world);
    }
    let whole = span.as_millis() as u64;
    for number in 0..day.total {
        let at = ms(dice.below(whole));
        day.wanted.push(at);
        world.at(at, Happening::Wanted(number, Box::new(sample(&mut dice, number, day.calm))));
        if dice.below(100) < day.bad {
            let status = refusal(&mut dice);
            world.is_bad(number, status);
        }
    }
    for _ in 0..dice.below(4) {
        let at = ms(dice.below(whole * 2));
        let happening = match dice.below(6) {
            0 => Happening::Prove((!day.calm && dice.one_in(2)).then(|| ms(dice.below(20_000)))),
            1 => Happening::HeldUp(ms(dice.of(&[10, 1_000, 3_100, 10_000, 100_000]))),
            // A clock that leaps further ahead than the gateway is quick looks like a gateway that is slow.
            2 => Happening::Behind(ms(dice.of(if day.slow { &[1, 500, 10_000] } else { &[1, 500] }))),
            _ if day.calm => continue,
            3 => Happening::WallJump(dice.of(&[-100_000, -60, -1, 1, 30, 100_000])),
            4 => Happening::Restart(ms(dice.of(&[0, 100, 5_000, 100_000]))),
            _ => Happening::CredentialChanged,
        };
        world.at(at, happening);
    }
    if !day.calm && dice.one_in(2) {
        let at = ms(dice.below(whole * 3));
        world.at(at, Happening::Close(dice.one_in(2).then(|| ms(dice.below(30_000)))));
    } else {
        world.at(span + secs(2_000), Happening::Close(None));
    }
    (world, day)
}

fn dialler(mut fate: Dice, day: &Day) -> impl FnMut(usize, Duration) -> Dialled + 'static {
    let day = day.clone();
    move |_, at| {
        let span = ms(fate.of(&[0, 1, 50, 2_000]));
        if !day.calm && fate.one_in(day.dial_fails_in) {
            if fate.one_in(50) {
                day.reasons.add();
                return Dialled::Fatal(span);
            }
            return Dialled::Failed(span);
        }
        let wire = wire(&mut fate, &day);
        let Some(trouble) = day.trouble.filter(|trouble| trouble.lasts(at)) else {
            return Dialled::Open(span, Box::new(wire));
        };
        if !matches!(trouble.how, How::Said(_)) {
            day.reasons.add();
        }
        trouble.dialled(at, span, wire)
    }
}

/// Holds every outcome against what the gateways really did.
pub(crate) fn verify(world: &World, day: &Day) {
    let truth = world.truth.borrow();
    laws::verify(world, day.refusal, day.reasons.count() + truth.credential_refused);
    let stopped = world.timeline.turns().iter().any(|(_, turn)| *turn == Turn::Stopped);
    for number in 0..day.total {
        let outcomes = world.outcomes.get(&number).map_or(&[][..], Vec::as_slice);
        let [settled] = outcomes else { panic!("{number} has {} outcomes", outcomes.len()) };
        let accepted = truth.accepted.get(&number).copied().unwrap_or(0);
        let refused = truth.refused.get(&number).map_or(&[][..], Vec::as_slice);
        let told = format!("{number} accepted {accepted} times, refused with {refused:?}, told as {settled:?}");

        if day.policy == LossPolicy::Report {
            assert!(accepted <= 1, "twice on the device: {told}");
            assert_eq!(settled.replays, 0, "{told}");
        }
        if let LossPolicy::Resend { at_most } = day.policy {
            assert!(settled.replays <= at_most, "{told}");
        }
        assert!(accepted <= settled.replays + 1, "too often on the device: {told}");
        assert!(settled.attempts >= accepted, "more arrived than were sent: {told}");
        match &settled.outcome {
            Outcome::Accepted { proof: Proof::Confirmed, .. } => assert!(accepted > 0, "lost: {told}"),
            Outcome::Accepted { proof: Proof::Presumed, .. } => {
                // Only where silence was made to last longer than the quiet time may it be wrong.
                let written = world.written.get(&number).map_or(&[][..], Vec::as_slice);
                let slow = |link| world.silence[link].is_none_or(|silence| silence >= QUIET);
                assert!(accepted > 0 || written.iter().any(slow), "lost, and no gateway was slow: {told}");
            }
            Outcome::Rejected(Rejection::Gateway(status)) => {
                assert!(!matches!(status.raw(), 3 | 6), "no verdict on a notification: {told}");
                assert!(refused.contains(&status.raw()), "nobody refused it: {told}");
            }
            Outcome::Expired | Outcome::NotSent { .. } => assert_eq!(accepted, 0, "sent all the same: {told}"),
            Outcome::Unknown { .. } => assert!(settled.attempts > 0, "never written: {told}"),
            other => panic!("no such outcome here: {other:?}"),
        }
        if day.calm {
            // Once the credential is mended all are taken that were not given up before.
            let wanted = world.timeline.at_the_latest(day.wanted[number as usize]);
            let must = match day.refusal {
                RefusalPolicy::Wait => true,
                RefusalPolicy::Stop => !stopped,
                _ => day.trouble.is_none_or(|trouble| {
                    let mended = world.timeline.at_the_latest(trouble.mended());
                    wanted > mended + world.timeline.behind()
                }),
            };
            assert!(settled.outcome.is_accepted() || !must, "wanted at {wanted:?}: {told}");
        }
    }
}
