//! Sessions over pretend networks: dialling, backing off, sending again, rotating, proving, closing, stopping.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use std::time::Duration;

use apns_proto::binary::server::Verdict;
use apns_proto::binary::{BinaryApi, Config, Format, Status};
use apns_proto::{
    DialFailure, DialStep, End, Expiration, LinkId, LossPolicy, Priority, RefusalPolicy, RetryPolicy, Session,
    SessionConfig, SessionEvent, Transmit, WallTime,
};
use bytes::BytesMut;
use pretend::gateways::Script;
use pretend::world::{Dialled, Happening, Wire, World};
use pretend::{WALL, after, ms, notification, secs, session_line, start};

/// Every attempt succeeds after 20 ms, and every gateway is a good one.
fn good() -> impl FnMut(usize, Duration) -> Dialled {
    wires(|_| Wire::default())
}

/// Every attempt succeeds after 20 ms, with this wire.
fn wires(mut wire: impl FnMut(usize) -> Wire + 'static) -> impl FnMut(usize, Duration) -> Dialled {
    move |attempt, _| Dialled::Open(ms(20), Box::new(wire(attempt)))
}

/// A gateway that does this with its notification of that number.
fn deed(at: u32, verdict: Verdict) -> Wire {
    Wire { script: Script { deed: Some((at, verdict)), ..Script::default() }, ..Wire::default() }
}

fn world(dialler: impl FnMut(usize, Duration) -> Dialled + 'static) -> World {
    World::new(Config::default(), SessionConfig::default(), dialler)
}

fn resending(dialler: impl FnMut(usize, Duration) -> Dialled + 'static) -> World {
    World::new(Config::default(), SessionConfig::default().with_loss_policy(LossPolicy::RESEND), dialler)
}

fn gateway_session(config: SessionConfig) -> Session<BinaryApi, u32> {
    Session::new(BinaryApi::new(Config::default()), config)
}

fn events(session: &mut Session<BinaryApi, u32>) -> Vec<String> {
    std::iter::from_fn(|| session.poll_event()).map(|event| session_line(&event)).collect()
}

/// Asks for a connection and says which it is.
fn dialled(session: &mut Session<BinaryApi, u32>) -> LinkId {
    match session.poll_event() {
        Some(SessionEvent::Dial { link }) => link,
        other => panic!("not a dial: {other:?}"),
    }
}

fn failure(fatal: bool) -> DialFailure {
    DialFailure { fatal, ..DialFailure::passing(DialStep::Connect, "refused") }
}

/// The waits between attempts, in seconds.
fn waits(world: &World) -> Vec<f64> {
    world.dials_at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

#[track_caller]
fn assert_backing_off(waits: &[f64]) {
    for (number, wait) in waits.iter().enumerate() {
        let whole = f64::from(1 << number.min(6)).min(60.0);
        // 100 ms are for connecting and learning of the failure.
        assert!(*wait >= whole * 0.8 && *wait <= whole * 1.2 + 0.1, "wait {number} is {wait} s: {waits:?}");
    }
}

// ---- dialling ---------------------------------------------------------------------------------------------------

#[test]
fn it_dials_on_demand_only() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    session.handle_timeout(now);
    assert_eq!((session.poll_event(), session.poll_timeout()), (None, None));
    assert!(session.can_submit());
    session.submit(now, 1, notification(1));
    assert_eq!(events(&mut session), ["dial 1"]);
    assert!(!session.can_submit(), "one waits already");
}

#[test]
fn p10_many_that_wait_for_the_first_connection_are_served_by_it() {
    let mut world = world(good());
    let now = world.now;
    for number in 1..=500 {
        world.session.submit(now, number, notification(number));
    }
    world.run();
    assert_eq!(world.dials_at.len(), 1);
    assert_eq!(world.total_judged(), 500);
    assert_eq!(world.outcomes_in_words(), [("presumed".to_string(), 500)].into());
}

#[test]
fn b120_one_attempt_serves_all_who_wait() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    for number in 1..=100 {
        session.submit(now, number, notification(number));
    }
    let link = dialled(&mut session);
    assert_eq!(session.poll_event(), None, "one attempt at a time");
    session.dial_failed(now, link, failure(false));
    assert_eq!(events(&mut session), ["dial 1 failed: cannot connect: refused"], "all wait for the next attempt");
    assert_eq!(session.unsettled(), 100);
    session.close(now, Some(now.instant));
    let told = events(&mut session);
    assert_eq!(told.len(), 101);
    assert!(told[..100].iter().all(|line| line.contains("not sent")), "{told:?}");
    assert_eq!(told[100], "finished");
}

#[test]
fn b62_refused_connections_are_retried_ever_more_slowly() {
    let mut world = world(|_, _| Dialled::Failed(ms(1)));
    world.want_all(1..=3);
    world.run_for(secs(10));
    assert!(world.dials_at.len() <= 5, "{:?}", world.dials_at);
    assert_backing_off(&waits(&world));
}

#[test]
fn the_back_off_reaches_its_limit_and_stays_there() {
    let config = SessionConfig::default().with_patience(secs(3600));
    let mut world = World::new(Config::default(), config, |_, _| Dialled::Failed(ms(1)));
    world.want_all([1]);
    world.run_for(secs(1000));
    let waits = waits(&world);
    assert!(waits.len() > 12);
    assert_backing_off(&waits);
    assert!(waits[8..].windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.1), "the jitter moves: {waits:?}");
}

#[test]
fn b61_a_server_that_closes_after_the_handshake_counts_as_failed() {
    for end in [End::Clean, End::Cut] {
        let end = move |_| Wire { end: end.clone(), half_close_at: Some(0), ..deed(1, Verdict::Close) };
        let mut world = world(wires(end));
        for second in 0..60 {
            world.at(secs(second), Happening::Wanted(second as u32, Box::new(notification(second as u32))));
        }
        world.run_for(secs(60));
        assert!(world.dials_at.len() <= 7, "{:?}", world.dials_at);
        // A notification may come only a second after the wait is over.
        for (number, wait) in waits(&world).iter().enumerate() {
            assert!(*wait >= f64::from(1 << number) * 0.8, "{:?}", waits(&world));
        }
    }
}

#[test]
fn an_error_response_is_an_answer_and_the_next_connection_comes_at_once() {
    let mut world = world(wires(|_| Wire::default()));
    for number in 1..=20 {
        world.is_bad(number * 2, 8);
    }
    world.want_all(1..=41);
    world.run();
    assert_eq!(world.dials_at.len(), 21);
    assert!(waits(&world).iter().all(|wait| *wait < 0.2), "{:?}", waits(&world));
    let words = world.outcomes_in_words();
    assert_eq!(words, [("confirmed".to_string(), 20), ("presumed".into(), 1), ("rejected 8".into(), 20)].into());
}

#[test]
fn a_life_longer_than_the_quiet_time_is_an_answer() {
    // Each connection is closed without a word with its second notification.
    let run = |life: u64| {
        let mut world = world(wires(|_| deed(2, Verdict::AcceptAndClose)));
        for number in 0..10_u32 {
            let at = ms(u64::from(number) * life);
            world.at(at, Happening::Wanted(number, Box::new(notification(number))));
        }
        world.run();
        let failures = waits(&world).iter().filter(|wait| **wait > life as f64 / 1000.0 * 2.0 + 0.2).count();
        (world.dials_at.len(), failures)
    };
    assert_eq!(run(4_000), (5, 0), "five pairs, five lives, no wait");
    assert!(run(500).1 > 0, "short lives are failures");
}

#[test]
fn a_response_that_cannot_be_placed_is_no_answer() {
    for identifier in [0, 4_000_000_000] {
        let refuse = Verdict::Refuse { status: Status::INVALID_TOKEN, identifier: Some(identifier), after: ms(0) };
        let mut world = world(wires(move |_| deed(1, refuse)));
        let now = world.now;
        world.session.submit(now, 0, notification(0));
        for number in 1..=200 {
            world.at(ms(u64::from(number) * 100), Happening::Wanted(number, Box::new(notification(number))));
        }
        world.run_for(secs(20));
        assert!(world.dials_at.len() <= 6, "{:?}", world.dials_at);
    }
}

#[test]
fn b6_a_gateway_that_refuses_everything_by_no_name_gets_each_once() {
    for policy in [LossPolicy::Report, LossPolicy::RESEND, LossPolicy::Resend { at_most: u32::MAX }] {
        let refuse = Verdict::Refuse { status: Status::INVALID_TOKEN, identifier: Some(0), after: ms(10) };
        let config = SessionConfig::default().with_loss_policy(policy).with_patience(secs(10_000));
        let mut world = World::new(Config::default(), config, wires(move |_| deed(1, refuse)));
        world.want_all(1..=100);
        world.run();
        assert_eq!(world.outcomes.len(), 100);
        for number in 1..=100 {
            assert_eq!(world.outcome(number), "unknown, status 8 for 0");
            let settled = &world.outcomes[&number][0];
            assert_eq!((settled.attempts, settled.replays), (1, 0), "{policy:?}");
        }
    }
}

#[test]
fn b1_five_in_flight_when_something_unnamed_is_refused_are_sent_once() {
    let refuse = Verdict::Refuse { status: Status::MISSING_DEVICE_TOKEN, identifier: Some(0), after: ms(50) };
    let mut world = resending(wires(move |attempt| if attempt == 0 { deed(3, refuse) } else { Wire::default() }));
    world.want_all(1..=5);
    world.run();
    assert_eq!(world.total_judged(), 3);
    assert!((1..=5).all(|number| world.outcome(number) == "unknown, status 2 for 0"));
}

// ---- stopping ---------------------------------------------------------------------------------------------------

/// The refusal policies, and how many connections each makes for one notification now and one after 100 s.
#[test]
fn after_a_fatal_failure_it_tries_again_later_unless_it_is_to_stop() {
    for (policy, dials) in [(RefusalPolicy::Report, 2), (RefusalPolicy::Stop, 1)] {
        let config = SessionConfig::default().with_refusal_policy(policy);
        let mut world = World::new(Config::default(), config, |_, _| Dialled::Fatal(ms(5)));
        world.want_all(1..=3);
        world.at(secs(100), Happening::Wanted(4, Box::new(notification(4))));
        world.run();
        for number in 1..=4 {
            assert_eq!(world.outcome(number), "not sent: sending has stopped: cannot connect: refused");
        }
        assert_eq!(world.dials_at.len(), dials, "{policy:?}");
        assert_eq!(world.session.stopped().is_some(), policy == RefusalPolicy::Stop);
        assert_eq!(world.session.pause().is_some(), policy == RefusalPolicy::Report);
        assert!(world.session.poll_timeout().is_none());
    }
}

#[test]
fn a_refusal_of_the_certificate_is_no_verdict_on_a_notification() {
    let refused = || Wire { end: End::Refused("certificate revoked".into()), ..deed(1, Verdict::Close) };
    let mut early = world(wires(move |_| refused()));
    early.want_all(1..=2);
    early.run();
    assert_eq!((early.times("paused"), early.dials_at.len()), (1, 1));
    // Who is not let in was not read.
    assert_eq!(
        early.outcome(1),
        "not sent: the credential is refused: the server refused the client certificate: certificate revoked"
    );

    // Behind an answer too: what was under way is unknown, and the next is tried.
    let mut late = world(wires(move |attempt| if attempt == 0 { Wire { ..refused_later() } } else { Wire::default() }));
    late.want_all([1]);
    late.at(secs(10), Happening::Wanted(2, Box::new(notification(2))));
    late.at(secs(20), Happening::Wanted(3, Box::new(notification(3))));
    late.run();
    assert_eq!((late.times("paused"), late.times("resumed")), (1, 1));
    assert_eq!((late.outcome(2), late.outcome(3)), ("unknown, lost".into(), "presumed".into()));
}

fn refused_later() -> Wire {
    Wire { end: End::Refused("internal error".into()), ..deed(2, Verdict::Close) }
}

#[test]
fn a_connection_that_opens_after_the_refusal_is_not_wanted() {
    let mut session =
        Session::new(BinaryApi::new(Config::default().with_window_count(1)), SessionConfig::default().with_links(2));
    let now = start();
    session.submit(now, 1, notification(1));
    let first = dialled(&mut session);
    assert!(session.connected(now, first));
    session.submit(now, 2, notification(2));
    assert_eq!(events(&mut session), ["connected 1", "dial 2"]);
    session.handle_end(now, first, End::Refused("certificate revoked".into()));
    let told = events(&mut session);
    assert!(told.iter().any(|line| line.starts_with("paused")), "{told:?}");
    assert!(
        told.iter().any(|line| line
            == "2 not sent: the credential is refused: the server refused the client certificate: certificate revoked"),
        "{told:?}"
    );
    let second = LinkIds::second(&session, first);
    assert!(!session.connected(now, second));
    assert_eq!(session.poll_transmit(now, second, &mut BytesMut::new()), Transmit::Shutdown);
    assert_eq!(events(&mut session), [""; 0]);
}

/// Link names can only be learnt from events; this asks a twin.
struct LinkIds;

impl LinkIds {
    fn second(_: &Session<BinaryApi, u32>, first: LinkId) -> LinkId {
        let mut twin = gateway_session(SessionConfig::default());
        let now = start();
        twin.submit(now, 1, notification(1));
        assert_eq!(dialled(&mut twin), first);
        twin.dial_failed(now, first, failure(false));
        assert!(twin.poll_event().is_some());
        twin.handle_timeout(after(now, secs(2)));
        dialled(&mut twin)
    }
}

/// Refuses the topic of the certificate with whatever comes first.
fn refuses_topic(status: u8) -> Wire {
    deed(1, Verdict::Refuse { status: Status::from_raw(status), identifier: None, after: Duration::ZERO })
}

#[test]
fn a_refusal_of_the_certificates_topic_is_no_verdict_on_a_notification() {
    for status in [3, 6] {
        let mut world = world(wires(move |_| refuses_topic(status)));
        world.want_all(1..=10);
        world.run();
        assert_eq!((world.dials_at.len(), world.times("paused")), (1, 1));
        let refused = format!("not sent: the credential is refused: {status} ");
        assert!((1..=10).all(|number| world.outcome(number).starts_with(&refused)));
    }
}

#[test]
fn a_refusal_of_the_certificates_topic_that_names_nothing_pauses_too() {
    for status in [3, 6] {
        // Without names nobody knows what was taken before it, but nothing more is sent into it.
        let config = SessionConfig::default().with_refusal_policy(RefusalPolicy::Wait);
        let simple = Config::default().with_format(Format::Simple).with_window_count(3);
        let mut world = World::new(simple, config, wires(move |_| refuses_topic(status)));
        world.want_all(1..=100);
        world.run_for(secs(100));
        // The first was full, and a second one was opened at once.
        assert_eq!((world.times("paused"), world.dials_at.len()), (7, 8));
        let in_doubt = world.outcomes_in_words().values().sum::<usize>();
        assert_eq!(in_doubt, 3 + 3 + 6, "one for each attempt behind those");
    }
}

#[test]
fn what_waits_for_a_mended_certificate_is_sent_then() {
    let config = SessionConfig::default().with_refusal_policy(RefusalPolicy::Wait);
    let wire = |attempt| match attempt {
        0 => refuses_topic(3),
        1 => Wire { end: End::Refused("certificate expired".into()), ..deed(1, Verdict::Close) },
        2..8 => refuses_topic(6),
        _ => Wire::default(),
    };
    let mut world = World::new(Config::default(), config, wires(wire));
    world.want_all(1..=200);
    world.run();
    assert_eq!(world.outcomes_in_words().values().sum::<usize>(), 200);
    let words = world.outcomes_in_words();
    assert!(words.keys().all(|word| ["confirmed", "presumed"].contains(&&**word)), "{words:?}");
    assert_eq!((world.times("paused"), world.times("resumed")), (8, 1));
    let waits: Vec<_> = world.dials_at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (wait, whole) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]) {
        // By up to a fifth more or less, and what the connection took.
        assert!((whole * 0.8..=whole * 1.2 + 0.1).contains(wait), "{waits:?}");
    }
    // Until it was taken, the tries were made with one.
    let written = |link: usize| world.written.values().filter(|links| links.len() > link).count();
    assert!(written(2) <= 8, "{} were written three times", written(2));
}

#[test]
fn a_clock_that_is_set_and_a_credential_that_was_changed_are_tried_at_once() {
    for (at, happening) in [
        (secs(100), Happening::WallJump(7200)),
        (secs(100), Happening::WallJump(-7200)),
        (secs(100), Happening::CredentialChanged),
    ] {
        let config = SessionConfig::default().with_refusal_policy(RefusalPolicy::Wait);
        let mended = at;
        let dialler = move |_, now| {
            let wire = if now < mended { refuses_topic(3) } else { Wire::default() };
            Dialled::Open(ms(20), Box::new(wire))
        };
        let told = format!("{happening:?}");
        let mut world = World::new(Config::default(), config, dialler);
        world.want_all(1..=5);
        world.at(at, happening);
        world.run();
        assert!((1..=5).all(|number| world.outcomes[&number][0].outcome.is_accepted()));
        let last = *world.dials_at.last().unwrap();
        assert!(last >= at && last <= at + secs(6), "tried at {last:?} after {told}");
    }
}

#[test]
fn what_a_connection_says_that_was_asked_for_before_the_credential_changed_is_no_news() {
    for policy in [RefusalPolicy::Report, RefusalPolicy::Wait, RefusalPolicy::Stop] {
        let config = SessionConfig::default().with_refusal_policy(policy);
        let mut world = World::new(Config::default(), config, |attempt, _| match attempt {
            // Still under way with the old certificate when the new one is there.
            0 => Dialled::Refused(secs(2), DialStep::Certificate),
            _ => Dialled::Open(ms(20), Box::new(Wire::default())),
        });
        world.want_all(1..=5);
        world.at(secs(1), Happening::CredentialChanged);
        world.run();
        assert!((1..=5).all(|number| world.outcomes[&number][0].outcome.is_accepted()), "{policy:?}");
        assert_eq!((world.times("paused"), world.times("stopped"), world.dials_at.len()), (0, 0, 2), "{policy:?}");
    }
}

#[test]
fn what_a_proxy_refuses_is_no_refusal_of_the_credential() {
    for step in [DialStep::Proxy, DialStep::ProxyTls] {
        let sends = |policy| {
            let config = SessionConfig::default().with_refusal_policy(policy);
            let mut world = World::new(Config::default(), config, move |attempt, _| match attempt {
                0 => Dialled::Refused(ms(1), step),
                _ => Dialled::Open(ms(20), Box::new(Wire::default())),
            });
            world.want_all(1..=5);
            world.run();
            world
        };
        let reports = sends(RefusalPolicy::Report);
        let words = format!("not sent: sending has stopped: {step}: ");
        assert!(reports.outcome(1).starts_with(&words), "{}", reports.outcome(1));
        // Nothing is lost for it where the owner wants to wait until somebody has mended it.
        let waits = sends(RefusalPolicy::Wait);
        assert!((1..=5).all(|number| waits.outcomes[&number][0].outcome.is_accepted()));
        assert_eq!((waits.times("paused"), waits.times("resumed")), (1, 1));
    }
}

#[test]
fn b63_patience_ends_and_everything_is_told_once() {
    let mut world = world(|_, _| Dialled::Failed(ms(1)));
    world.want_all([1]);
    world.run_for(ms(59_999));
    assert_eq!(world.outcome(1), "none");
    world.run_for(ms(1));
    assert_eq!(world.outcome(1), "not sent: no connection in time: cannot connect: refused");
    assert_eq!(world.times("gave up"), 1);
    // It goes on when there is something new, with the patience of the new one.
    world.want_all([2]);
    world.run_for(ms(59_999));
    assert_eq!(world.outcome(2), "none");
    world.run();
    assert_eq!(world.outcome(2), "not sent: no connection in time: cannot connect: refused");
}

#[test]
fn patience_covers_connections_that_take_nothing() {
    // They open, and are gone before anything was written.
    let gone = Wire { fails_at: Some(0), ..Wire::default() };
    let mut world = world(wires(move |_| gone.clone()));
    world.want_all([1]);
    world.run();
    assert!(world.outcome(1).starts_with("not sent: no connection in time"), "{}", world.outcome(1));
    assert!(world.elapsed() >= secs(60) && world.elapsed() < secs(70), "{:?}", world.elapsed());
    assert!(world.dials_at.len() <= 8);
    assert_eq!(world.outcomes[&1][0].attempts, 0, "not one byte ever left");
}

// ---- what was lost ----------------------------------------------------------------------------------------------

#[test]
fn b125_what_is_lost_is_reported_by_default() {
    let mut world =
        world(wires(|attempt| if attempt == 0 { deed(2, Verdict::AcceptAndClose) } else { Wire::default() }));
    world.want_all(1..=4);
    world.run();
    assert!((1..=4).all(|number| world.outcome(number) == "unknown, lost"));
    assert_eq!(world.total_judged(), 2);
}

#[test]
fn what_is_lost_is_sent_again_when_asked_for() {
    let mut world =
        resending(wires(|attempt| if attempt == 0 { deed(2, Verdict::AcceptAndClose) } else { Wire::default() }));
    world.want_all(1..=4);
    world.run();
    for number in 1..=4 {
        assert_eq!(world.outcome(number), "presumed");
        let settled = &world.outcomes[&number][0];
        assert_eq!((settled.attempts, settled.replays), (2, 1));
        assert_eq!(world.accepted(number), if number <= 2 { 2 } else { 1 });
    }
    let order: Vec<u32> = world.truth.borrow().arrivals.iter().map(|arrival| arrival.number).collect();
    assert_eq!(order, [1, 2, 1, 2, 3, 4], "in the order of submission");
}

#[test]
fn replays_are_capped() {
    for at_most in 0..4 {
        let config = SessionConfig::default().with_loss_policy(LossPolicy::Resend { at_most });
        let mut world = World::new(Config::default(), config, wires(|_| deed(1, Verdict::AcceptAndClose)));
        world.want_all([1]);
        world.run();
        let expected =
            if at_most == 0 { "unknown, lost".into() } else { format!("unknown, lost {} times", at_most + 1) };
        assert_eq!(world.outcome(1), expected);
        assert_eq!(world.accepted(1), at_most + 1);
        assert_eq!(world.outcomes[&1][0].replays, at_most);
    }
}

#[test]
fn what_is_proven_discarded_is_sent_again_without_counting() {
    let mut world = world(good());
    (1..=50).for_each(|number| world.is_bad(number, 8));
    world.want_all(1..=51);
    world.run();
    assert_eq!(world.outcome(51), "presumed");
    let last = &world.outcomes[&51][0];
    assert_eq!((last.attempts, last.replays), (51, 0));
    assert_eq!(world.accepted(51), 1);
}

#[test]
fn what_was_lost_once_does_not_end_as_not_sent_or_expired() {
    // Sent again, but there is no second connection.
    let lost = || wires(|_| deed(1, Verdict::AcceptAndClose));
    let mut open = lost();
    let mut world = resending(move |attempt, at| if attempt == 0 { open(attempt, at) } else { Dialled::Failed(ms(1)) });
    world.want_all([1]);
    world.run();
    assert_eq!((world.outcome(1), world.accepted(1)), ("unknown, lost".into(), 1));

    // Sent again, but too late, which is noticed when the connection is there …
    let short = notification(1).with_expiration(Expiration::After(ms(500)));
    let mut world = resending(lost());
    world.want(1, short.clone());
    world.run();
    assert_eq!((world.outcome(1), world.accepted(1)), ("unknown, lost".into(), 1));
    assert_eq!(world.outcomes[&1][0].attempts, 1);

    // … or at once.
    let late = Wire { delay: secs(1), ..deed(1, Verdict::AcceptAndClose) };
    let mut world = resending(wires(move |_| late.clone()));
    world.want(1, short);
    world.run();
    assert_eq!((world.outcome(1), world.accepted(1)), ("unknown, lost".into(), 1));
    assert_eq!(world.outcomes[&1][0].replays, 0, "it was never put up to be sent again");

    // Stopped meanwhile.
    let mut open = lost();
    let mut world = resending(move |attempt, at| if attempt == 0 { open(attempt, at) } else { Dialled::Fatal(ms(1)) });
    world.want_all([1]);
    world.run();
    assert_eq!((world.outcome(1), world.accepted(1)), ("unknown, lost".into(), 1));
}

#[test]
fn b18_the_word_of_an_old_connection_is_not_heard() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    session.submit(now, 1, notification(1));
    let old = dialled(&mut session);
    session.connected(now, old);
    let mut out = BytesMut::new();
    assert_eq!(session.poll_transmit(now, old, &mut out), Transmit::Ready);
    session.handle_input(now, old, b"\x08\x08\0\0\0\x01");
    session.submit(now, 2, notification(2));
    let told = events(&mut session);
    assert_eq!(told, ["connected 1", "1 rejected 8", "closed 1: status 8 for 1; 0 sent again, 0 unknown", "dial 2"]);
    let new = LinkIds::second(&session, old);
    session.connected(now, new);
    assert_eq!(session.poll_transmit(now, new, &mut out), Transmit::Ready);
    // Both connections count from 1.
    for _ in 0..2 {
        session.handle_input(now, old, b"\x08\x08\0\0\0\x01");
        session.handle_end(now, old, End::Cut);
        session.handle_write_failure(now, old, 10);
        session.dial_failed(now, old, failure(true));
        assert_eq!(session.poll_transmit(now, old, &mut out), Transmit::Shutdown);
    }
    assert_eq!(events(&mut session), ["connected 2"]);
    session.handle_input(now, new, b"\x08\x08\0\0\0\x01");
    assert_eq!(events(&mut session)[0], "2 rejected 8");
}

#[test]
fn a_failed_dial_is_not_believed_of_an_open_connection() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    session.submit(now, 1, notification(1));
    let link = dialled(&mut session);
    session.connected(now, link);
    session.dial_failed(now, link, failure(false));
    assert_eq!(session.unsettled(), 1);
    assert_eq!(events(&mut session), ["connected 1"]);
}

#[test]
fn p13_what_is_sent_again_is_the_same() {
    for format in [Format::Enhanced, Format::Items] {
        let mut world = World::new(Config::default().with_format(format), SessionConfig::default(), good());
        world.is_bad(1, 8);
        world.want_all([1]);
        world.want(
            2,
            notification(2).with_priority(Priority::PowerSaving).with_expiration(Expiration::After(secs(600))),
        );
        world.want(3, notification(3).with_expiration(Expiration::At(WallTime::from_secs(WALL))));
        world.run();
        let truth = world.truth.borrow();
        let two: Vec<_> = truth.arrivals.iter().filter(|arrival| arrival.number == 2).collect();
        // The first copy was thrown away unread, so only the second was judged.
        let [arrival] = two[..] else { panic!("{two:?}") };
        assert_eq!((arrival.format, arrival.expiration), (format, Some(WALL as u32 + 600)));
        assert_eq!(arrival.priority, (format == Format::Items).then_some(5));
        drop(truth);
        assert_eq!(world.outcomes[&2][0].attempts, 2);
        assert_eq!(world.outcome(3), "expired");
        assert_eq!(world.outcomes[&3][0].attempts, 0);
    }
}

#[test]
fn p13_what_expires_between_two_connections_is_not_sent_again() {
    let mut open = wires(|_| Wire::default());
    let mut world = world(move |attempt, at| match open(attempt, at) {
        Dialled::Open(_, wire) if attempt == 1 => Dialled::Open(secs(5), wire),
        other => other,
    });
    world.is_bad(1, 8);
    world.want_all([1]);
    world.want(2, notification(2).with_expiration(Expiration::After(secs(4))));
    world.want(3, notification(3).with_expiration(Expiration::After(secs(40))));
    world.run();
    assert_eq!((world.outcome(2), world.outcome(3)), ("expired".into(), "presumed".into()));
    assert_eq!(world.accepted(2), 0);
}

#[test]
fn a_wall_clock_that_jumps_decides_expirations_and_nothing_else() {
    let mut world = world(good());
    world.want(1, notification(1).with_expiration(Expiration::After(secs(60))));
    world.at(ms(10), Happening::WallJump(3600));
    world.at(secs(5), Happening::WallJump(-7200));
    world.at(secs(6), Happening::Wanted(2, Box::new(notification(2).with_expiration(Expiration::After(secs(60))))));
    world.run();
    assert_eq!((world.outcome(1), world.outcome(2)), ("expired".into(), "presumed".into()));
    assert!(world.elapsed() < secs(10));
}

// ---- rotation and budget ----------------------------------------------------------------------------------------

#[test]
fn a_full_window_is_proven_while_the_next_connection_sends() {
    let config = Config::default().with_window_count(1000);
    let mut world = World::new(config, SessionConfig::default(), good());
    world.want_all(1..=20_500);
    world.run();
    let words = world.outcomes_in_words();
    assert_eq!(words, [("confirmed".to_string(), 20_000), ("presumed".into(), 500)].into());
    assert_eq!((world.dials_at.len(), world.most_lines), (21, 2));
    assert!(world.most_unsettled <= 2 * 1000 + 1, "{}", world.most_unsettled);
    // All but the last window took 21 connections of a few round trips each, and not one quiet time.
    assert!(world.elapsed() < secs(3) + ms(21 * 100), "{:?}", world.elapsed());
}

#[test]
fn a_full_window_is_proven_with_one_connection_as_well() {
    let config = Config::default().with_window_count(100);
    let mut world = World::new(config, SessionConfig::default().with_links(1), good());
    world.want_all(1..=1000);
    world.run();
    assert_eq!((world.dials_at.len(), world.most_lines), (10, 1));
    assert_eq!(world.outcomes_in_words(), [("confirmed".to_string(), 900), ("presumed".into(), 100)].into());
    assert!(world.elapsed() < secs(5), "{:?}", world.elapsed());
}

#[test]
fn b12_no_more_is_taken_than_the_windows_hold() {
    // Gateways that read and never say anything, not even to a probe.
    let silent =
        || Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let config = Config::default().with_window_count(100);
    let mut world = World::new(config, SessionConfig::default(), wires(move |_| silent()));
    world.want_all(1..=1000);
    world.run_for(secs(29));
    assert!(!world.session.can_submit());
    assert!(world.most_unsettled <= 201, "{}", world.most_unsettled);
    world.run();
    assert_eq!(world.outcomes.len(), 1000);
}

#[test]
fn a_connection_that_has_ended_stays_until_all_that_it_proved_is_told() {
    const COUNT: u32 = 20_000;
    const NAMED: u32 = 15_000;
    let (mut session, now) = (gateway_session(SessionConfig::default()), start());
    (0..COUNT).for_each(|key| session.submit(now, key, notification(key)));
    let link = dialled(&mut session);
    assert!(session.connected(now, link));
    let mut out = BytesMut::new();
    while session.poll_transmit(now, link, &mut out) == Transmit::Ready {}
    assert_eq!(events(&mut session), ["connected 1"]);
    let response = [&[8, 8], &NAMED.to_be_bytes()[..]].concat();
    session.handle_input(now, link, &response);
    assert_eq!(session.poll_transmit(now, link, &mut out), Transmit::Idle, "not all of it was told");
    assert!(session.unsettled() > COUNT as usize / 2, "the rest waits in its window");

    let (mut next, mut ended) = (0, None);
    while let Some(event) = session.poll_event() {
        match event {
            SessionEvent::Settled(settled) => {
                let outcome = if settled.key == NAMED - 1 { "rejected" } else { "accepted" };
                assert_eq!((settled.key, settled.outcome.word()), (next, outcome));
                next += 1;
            }
            SessionEvent::Closed(report) => ended = Some((next, report.sent_again)),
            _ => {}
        }
    }
    assert_eq!(ended, Some((NAMED, (COUNT - NAMED) as usize)), "everything before the end, in order");
    assert_eq!(session.poll_transmit(now, link, &mut out), Transmit::Shutdown);
}

#[test]
fn p7_peers_that_stop_reading_cost_bounded_memory_and_everything_is_told() {
    let stuck = || Wire { capacity: 500, stall: Some((ms(0), secs(1_000_000))), ..Wire::default() };
    let config = Config::default().with_window_count(100);
    let mut world = World::new(config, SessionConfig::default(), wires(move |_| stuck()));
    world.want_all(1..=1000);
    world.at(secs(100), Happening::Close(Some(secs(10))));
    world.run_for(secs(120));
    assert!(world.most_unsettled <= 201, "{}", world.most_unsettled);
    assert_eq!(world.outcomes.len(), 1000);
    assert!((1..=100).all(|number| world.outcome(number) == "unknown, lost"), "{:?}", world.outcomes_in_words());
    assert!(world.session.is_finished());
}

#[test]
fn one_bad_token_in_a_hundred_costs_less_than_five_writes_each() {
    for latency in [ms(1), ms(100)] {
        let wire = Wire { latency, ..Wire::default() };
        let mut world = World::new(Config::default(), SessionConfig::default(), wires(move |_| wire.clone()));
        let total = 30_000;
        (0..total / 100).for_each(|number| world.is_bad(number * 100 + number * 37 % 100 + 1, 8));
        world.want_all(1..=total);
        world.at(secs(1), Happening::Close(None));
        world.run();
        let writes: u64 = world.outcomes.values().map(|settled| u64::from(settled[0].attempts)).sum();
        let words = world.outcomes_in_words();
        assert_eq!(words["rejected 8"], 300);
        assert_eq!(words.values().sum::<usize>(), 30_000);
        assert!((1..=total).all(|number| world.accepted(number) <= 1));
        let average = writes as f64 / f64::from(total);
        assert!(average < 5.0, "{average} writes for each");
    }
}

// ---- proving and closing ----------------------------------------------------------------------------------------

#[test]
fn p15_to_prove_takes_a_round_trip() {
    let mut world = world(good());
    world.want_all(1..=3);
    world.at(ms(40), Happening::Prove(None));
    world.run();
    assert!((1..=3).all(|number| world.outcome(number) == "confirmed"));
    assert_eq!(world.times("proven"), 1);
    assert!(world.elapsed() < ms(150), "{:?}", world.elapsed());
    // It goes on afterwards, over a new connection.
    world.want_all([4]);
    world.run();
    assert_eq!((world.outcome(4), world.dials_at.len()), ("presumed".into(), 2));
}

#[test]
fn to_prove_nothing_is_done_at_once_and_keeps_the_connection() {
    let mut world = world(good());
    world.at(ms(0), Happening::Prove(None));
    world.want_all([]);
    world.run();
    assert_eq!(world.told(), ["proven"]);
    world.want_all([1]);
    world.run();
    let at = world.elapsed();
    world.at(at, Happening::Prove(None));
    world.want_all([2]);
    world.run();
    assert_eq!((world.dials_at.len(), world.times("proven")), (1, 2));
}

#[test]
fn to_prove_resends_what_an_error_response_threw_away() {
    let mut world = world(good());
    world.is_bad(2, 8);
    world.want_all(1..=5);
    world.at(ms(40), Happening::Prove(None));
    world.run();
    assert_eq!(world.outcome(2), "rejected 8");
    assert!([1, 3, 4, 5].iter().all(|number| world.outcome(*number) == "confirmed"));
    let proven = world.transcript.iter().position(|line| line == "proven").unwrap();
    let last = world.transcript.iter().rposition(|line| line.contains("confirmed")).unwrap();
    assert!(proven > last, "it is said when it is so");
}

#[test]
fn to_prove_ends_at_its_deadline() {
    let silent = Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let mut world = world(wires(move |_| silent.clone()));
    world.want_all(1..=2);
    world.at(ms(40), Happening::Prove(Some(secs(5))));
    world.at(ms(41), Happening::Prove(None));
    world.at(ms(42), Happening::Prove(Some(secs(50))));
    world.run_for(secs(6));
    assert!((1..=2).all(|number| world.outcome(number) == "unknown, no answer"), "{:?}", world.transcript);
    assert_eq!(world.times("proven"), 3, "what the later ones wait for has ended with the first");
    assert!(world.session.can_submit());
}

#[test]
fn what_is_submitted_after_a_proof_goes_on_and_is_no_part_of_it() {
    let silent =
        |_: usize| Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let mut world = world(wires(move |attempt| if attempt == 0 { silent(attempt) } else { Wire::default() }));
    world.want_all(1..=3);
    world.at(ms(40), Happening::Prove(Some(secs(5))));
    world.at(ms(41), Happening::Wanted(4, Box::new(notification(4))));
    world.run_for(secs(4));
    assert_eq!((world.outcome(4), world.dials_at.len()), ("presumed".into(), 2), "it does not wait for the proof");
    assert_eq!(world.times("proven"), 0);
    world.run_for(secs(2));
    assert_eq!(world.times("proven"), 1);
    assert!((1..=3).all(|number| world.outcome(number) == "unknown, no answer"), "{:?}", world.transcript);
    assert_eq!(world.times("closed"), 1, "the other connection goes on");
}

#[test]
fn a_proof_does_not_wait_for_what_is_held_to_be_sent_again() {
    let session = SessionConfig::default().with_retry(RetryPolicy::default().with_retries(3));
    let mut world = World::new(Config::default(), session, good());
    // A processing error, which is tried again after a while.
    world.is_bad(1, 1);
    world.want_all(1..=2);
    world.at(ms(40), Happening::Prove(None));
    world.run_for(ms(500));
    assert_eq!((world.times("proven"), world.outcome(1)), (1, "none".into()), "{:?}", world.transcript);
    world.want_all([3]);
    world.run();
    assert_eq!((world.outcome(3), world.times("proven")), ("confirmed".into(), 1));
}

#[test]
fn two_connections_that_go_away_do_not_hold_up_a_third() {
    // Gateways that answer no probe: each connection that proves its window is under way for long.
    let silent =
        || Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let mut world = world(wires(move |attempt| if attempt < 5 { silent() } else { Wire::default() }));
    for number in 1..=6 {
        let at = u64::from(number) * 1000;
        world.at(ms(at), Happening::Wanted(number, Box::new(notification(number))));
        if number < 6 {
            world.at(ms(at + 200), Happening::Prove(None));
        }
    }
    world.run_for(ms(6_500));
    assert_eq!((world.dials_at.len(), world.most_lines), (6, 6));
    assert_eq!(world.written.len(), 6, "each was written at once: {:?}", world.transcript);
    world.run();
    assert_eq!(world.outcome(6), "presumed");
}

#[test]
fn to_prove_without_a_connection_ends_at_its_deadline() {
    let mut world = world(|_, _| Dialled::Failed(ms(1)));
    world.want_all(1..=1);
    world.at(ms(1), Happening::Prove(Some(secs(5))));
    world.run_for(ms(5_001));
    assert_eq!(world.outcome(1), "not sent: no connection in time: cannot connect: refused");
    assert_eq!(world.times("proven"), 1);
}

#[test]
fn b122_a_close_settles_everything_and_leaves_nothing_behind() {
    let mut world = world(good());
    world.is_bad(3, 8);
    world.want_all(1..=10);
    world.at(ms(50), Happening::Close(None));
    world.at(secs(100), Happening::Wanted(11, Box::new(notification(11))));
    world.run_for(secs(1));
    let words = world.outcomes_in_words();
    assert_eq!(words, [("confirmed".to_string(), 9), ("rejected 8".into(), 1)].into());
    assert!(world.session.is_finished() && world.session.is_closing());
    assert_eq!((world.session.poll_timeout(), world.session.unsettled()), (None, 0));
    assert_eq!(world.transcript.last().unwrap(), "finished");
    world.run();
    assert_eq!(world.outcome(11), "not sent: this side closed before its turn came");
    assert_eq!(world.times("finished"), 1);
}

#[test]
fn b3_a_close_ends_at_its_deadline() {
    let silent = Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let mut world = world(wires(move |_| silent.clone()));
    world.want_all(1..=2);
    world.at(ms(100), Happening::Close(Some(secs(5))));
    world.run_for(ms(5_099));
    assert!(!world.session.is_finished());
    world.run_for(ms(1));
    assert!(world.session.is_finished());
    assert!((1..=2).all(|number| world.outcome(number) == "unknown, no answer"), "{:?}", world.transcript);
}

#[test]
fn b63_a_close_without_a_connection_tells_everything_once() {
    for deadline in [Some(ms(0)), Some(secs(2)), None] {
        let mut world = world(|_, _| Dialled::Failed(secs(1)));
        let now = world.now;
        for number in 1..=5 {
            world.session.submit(now, number, notification(number));
        }
        world.at(ms(10), Happening::Close(deadline));
        world.run();
        assert_eq!(world.outcomes.len(), 5, "{deadline:?}");
        assert!((1..=5).all(|number| world.outcome(number).starts_with("not sent: ")));
        assert!(world.session.is_finished());
        assert!(world.elapsed() <= deadline.unwrap_or(secs(60)) + secs(2), "{:?}", world.elapsed());
    }
}

#[test]
fn a_close_with_nothing_to_do_is_done_at_once() {
    let mut session = gateway_session(SessionConfig::default());
    session.close(start(), None);
    assert_eq!(events(&mut session), ["finished"]);
    session.close(start(), None);
    assert_eq!(events(&mut session), [""; 0]);
}

#[test]
fn a_second_close_only_brings_the_deadline_nearer() {
    let silent = Wire { script: Script { probe: Some(Verdict::FallSilent), ..Script::default() }, ..Wire::default() };
    let mut world = world(wires(move |_| silent.clone()));
    world.want_all([1]);
    world.at(ms(100), Happening::Close(Some(secs(5))));
    world.at(ms(200), Happening::Close(None));
    world.at(ms(300), Happening::Close(Some(secs(2))));
    world.at(ms(400), Happening::Close(Some(secs(20))));
    world.run_for(ms(2_300));
    assert!(world.session.is_finished());
}

#[test]
fn a_connection_that_comes_after_the_close_is_not_wanted() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    session.submit(now, 1, notification(1));
    let link = dialled(&mut session);
    session.close(now, Some(now.instant));
    assert_eq!(events(&mut session), ["1 not sent: this side closed before its turn came", "finished"]);
    assert!(!session.connected(now, link));
    session.dial_failed(now, link, failure(true));
    assert_eq!(events(&mut session), [""; 0]);
}

// ---- whole conversations over bad networks ----------------------------------------------------------------------

#[test]
fn b14_the_response_is_used_after_a_failed_write() {
    // The gateway refuses the second and is gone; the client learns of it by a failing write.
    let wire = Wire { delay: ms(300), ..Wire::default() };
    let mut world = world(wires(move |_| wire.clone()));
    world.is_bad(2, 8);
    for number in 1..=40 {
        world.at(ms(u64::from(number) * 10), Happening::Wanted(number, Box::new(notification(number))));
    }
    world.run();
    assert_eq!(world.outcome(2), "rejected 8");
    assert!((1..=40).filter(|number| *number != 2).all(|number| world.accepted(number) == 1));
    assert_eq!(world.outcomes_in_words().get("unknown, lost"), None);
}

#[test]
fn a_response_that_a_reset_destroyed_leaves_all_unknown() {
    let wire = Wire { delay: ms(300), reset_destroys: true, ..Wire::default() };
    let mut world = world(wires(move |attempt| if attempt == 0 { wire.clone() } else { Wire::default() }));
    world.is_bad(2, 8);
    for number in 1..=40 {
        world.at(ms(u64::from(number) * 10), Happening::Wanted(number, Box::new(notification(number))));
    }
    world.run();
    assert_eq!(world.outcome(2), "unknown, lost");
    assert_eq!(world.outcomes.len(), 40);
}

#[test]
fn b15_a_write_that_fails_resends_what_did_not_leave_whole() {
    let mut world = world(wires(|attempt| match attempt {
        0 => Wire { fails_at: Some(110), ..Wire::default() }, // one notification and a half
        _ => Wire::default(),
    }));
    world.want_all(1..=3);
    world.run();
    assert_eq!((world.outcome(1), world.accepted(1)), ("unknown, lost".into(), 1));
    assert_eq!((world.outcome(2), world.accepted(2)), ("presumed".into(), 1));
    assert_eq!((world.outcome(3), world.accepted(3)), ("presumed".into(), 1));
}

#[test]
fn p2_a_late_response_blames_the_right_one_in_a_stream() {
    let wire = Wire { latency: ms(150), ..Wire::default() };
    let mut world = world(wires(move |_| wire.clone()));
    world.is_bad(10, 8);
    for number in 1..=100 {
        world.at(ms(u64::from(number) * 10), Happening::Wanted(number, Box::new(notification(number))));
    }
    world.run();
    assert_eq!(world.outcome(10), "rejected 8");
    assert!((1..=100).filter(|number| *number != 10).all(|number| world.accepted(number) == 1));
}

#[test]
fn b121_a_session_takes_one_more_than_fits_and_no_second() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    let mut taken = 0;
    while session.can_submit() {
        session.submit(now, taken, notification(taken));
        taken += 1;
    }
    assert_eq!(taken, 1, "without a connection");
    let link = dialled(&mut session);
    session.connected(now, link);
    assert!(session.can_submit() && session.is_connected());
}

#[test]
fn time_that_goes_backwards_is_ignored_by_new_connections_too() {
    let slow = Wire { latency: ms(250), ..Wire::default() };
    let mut world = world(wires(move |_| slow.clone()));
    world.is_bad(1, 8);
    world.want_all([1]);
    // The connection is opened and written to with a clock that is far behind, and for this moment only.
    world.at(ms(20), Happening::Behind(secs(50)));
    world.run();
    assert_eq!(world.outcome(1), "rejected 8");
}

// ---- order, patience and growth ---------------------------------------------------------------------------------

#[test]
fn what_comes_back_goes_in_front_of_what_waits() {
    let config = Config::default().with_window_count(3);
    let mut world = World::new(config, SessionConfig::default().with_links(1), good());
    world.is_bad(1, 8);
    world.want_all(1..=6);
    world.run();
    let order: Vec<u32> = world.truth.borrow().arrivals.iter().map(|arrival| arrival.number).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_answer_starts_the_back_off_from_the_beginning() {
    let mut open = wires(|_| Wire::default());
    let mut world = world(move |attempt, at| if attempt == 3 { open(attempt, at) } else { Dialled::Failed(ms(1)) });
    world.is_bad(1, 8);
    world.want_all(1..=2);
    world.run();
    let waits = waits(&world);
    assert!(waits[2] > 3.0, "{waits:?}");
    assert!(waits[3] < 0.2, "at once after the error response: {waits:?}");
    assert!(waits[4] < 1.3, "from the beginning: {waits:?}");
}

#[test]
fn an_answer_on_one_connection_ends_the_wait_for_another() {
    let mut session = Session::new(BinaryApi::new(Config::default().with_window_count(1)), SessionConfig::default());
    let now = start();
    session.submit(now, 1, notification(1));
    let first = dialled(&mut session);
    session.connected(now, first);
    session.submit(now, 2, notification(2));
    let second = LinkIds::second(&session, first);
    session.dial_failed(now, second, failure(false));
    let told = events(&mut session);
    assert_eq!(told, ["connected 1", "dial 2", "dial 2 failed: cannot connect: refused"]);
    assert_eq!(session.poll_transmit(now, first, &mut BytesMut::new()), Transmit::Ready);
    session.handle_input(now, first, b"\x08\x08\0\0\0\x01");
    let told = events(&mut session);
    assert_eq!(told, ["1 rejected 8", "closed 1: status 8 for 1; 0 sent again, 0 unknown", "dial 3"]);
}

#[test]
fn a_dial_that_outlives_the_proof_is_not_wanted() {
    let mut session = gateway_session(SessionConfig::default());
    let now = start();
    session.submit(now, 1, notification(1));
    let link = dialled(&mut session);
    session.prove(now, Some(now.instant + secs(1)));
    session.handle_timeout(after(now, secs(1)));
    let told = events(&mut session);
    assert_eq!(told, ["1 not sent: the time allowed for it was over before it could be sent whole", "proven"]);
    assert!(!session.connected(after(now, secs(2)), link));
    assert!(session.can_submit());
}

#[test]
fn a_dial_that_nothing_waits_for_does_not_hold_up_the_close() {
    let mut session = gateway_session(SessionConfig::default().with_patience(secs(5)));
    let now = start();
    session.submit(now, 1, notification(1));
    let link = dialled(&mut session);
    session.handle_timeout(after(now, secs(5)));
    assert_eq!(events(&mut session).last().unwrap(), "gave up: no attempt has succeeded yet");
    session.close(after(now, secs(6)), None);
    assert_eq!(events(&mut session), ["finished"]);
    assert!(!session.connected(after(now, secs(7)), link));
}

#[test]
fn patience_is_not_for_those_who_wait_behind_an_open_connection() {
    let slow = Wire { delay: secs(2), ..Wire::default() };
    let config = Config::default().with_window_count(1);
    let session = SessionConfig::default().with_links(1).with_patience(secs(1));
    let mut world = World::new(config, session, wires(move |_| slow.clone()));
    world.want_all(1..=3);
    world.run();
    assert_eq!(world.times("gave up"), 0);
    assert_eq!(world.outcomes_in_words(), [("confirmed".to_string(), 2), ("presumed".into(), 1)].into());
}

#[test]
fn the_budget_grows_again_when_the_bad_tokens_are_behind() {
    let mut world = World::new(Config::default(), SessionConfig::default(), good());
    world.is_bad(1, 8);
    world.want_all(1..=20_000);
    world.run();
    // 256, 512, 1024, … and not 256 each time.
    assert!(world.dials_at.len() <= 16, "{}", world.dials_at.len());
}
