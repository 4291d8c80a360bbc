//! What is true of a session on any day, whatever the protocol.

use std::time::Duration;

use apns_proto::{NotSentCause, Outcome, RefusalPolicy};

use super::secs;
use super::timeline::Turn;
use super::world::{Service, World};

/// Everything has ended, each deadline was kept, and what was paused or stopped had a reason and followed the policy.
/// `reasons` is how often the credential was refused, or the server was another one than is meant.
pub(crate) fn verify<S: Service>(world: &World<S>, policy: RefusalPolicy, reasons: usize) {
    assert!(world.session.is_finished(), "it is closed and has not finished");
    assert_eq!(world.session.unsettled(), 0);
    assert_eq!(world.session.poll_timeout(), None);
    assert_eq!(times(world, |turn| matches!(turn, Turn::Finished)), 1);
    deadlines_are_kept(world);
    pauses_have_reasons(world, policy, reasons);
    attempts_follow_the_backoff(world);
    what_is_not_sent_follows_the_policy(world, policy);
}

/// In words, what of all that can happen has happened, so that a test can tell whether it ever does.
pub(crate) fn happened<S: Service>(world: &World<S>, policy: RefusalPolicy) -> Vec<String> {
    let turns = world.timeline.turns();
    let paused = turns.iter().position(|(_, turn)| matches!(turn, Turn::Paused(wait) if !wait.is_zero()));
    let mended = paused.is_some_and(|paused| turns[paused..].iter().any(|(_, turn)| *turn == Turn::Resumed));
    let stopped = turns.iter().any(|(_, turn)| *turn == Turn::Stopped);
    let set = turns.iter().any(|(_, turn)| matches!(turn, Turn::ClockSet(seconds) if seconds.abs() > 60));
    let all = [
        (mended, format!("refused and mended: {policy:?}")),
        (stopped, format!("refused for good: {policy:?}")),
        (world.most_lines >= 5, "five connections at once".to_owned()),
        (world.read_late[0] > 0, "read late: writes first".to_owned()),
        (world.read_late[1] > 0, "read late: reads first".to_owned()),
        (set, "wall clock set".to_owned()),
    ];
    all.into_iter().filter_map(|(happened, words)| happened.then_some(words)).collect()
}

fn times<S: Service>(world: &World<S>, what: impl Fn(&Turn) -> bool) -> usize {
    world.timeline.turns().iter().filter(|(_, turn)| what(turn)).count()
}

/// A proof, and the end, come by their deadline whatever the other side does.
fn deadlines_are_kept<S: Service>(world: &World<S>) {
    let turns = world.timeline.turns();
    let proofs = turns.iter().filter_map(|(at, turn)| match turn {
        Turn::Proving(span) => Some((*at, *span)),
        _ => None,
    });
    let proven = turns.iter().filter(|(_, turn)| *turn == Turn::Proven).map(|(at, _)| *at);
    assert_eq!(proofs.clone().count(), proven.clone().count(), "each proof is told once");
    for ((asked, span), told) in proofs.zip(proven) {
        let latest = span.map(|span| world.timeline.at_the_latest(asked + span));
        assert!(latest.is_none_or(|latest| told <= latest), "a proof of {asked:?} within {span:?} came at {told:?}");
    }
    let finished = turns.iter().find(|(_, turn)| *turn == Turn::Finished).map(|(at, _)| *at);
    for (asked, turn) in turns.iter() {
        if let (Turn::Closing(Some(span)), Some(finished)) = (turn, finished) {
            let latest = world.timeline.at_the_latest(*asked + *span);
            assert!(finished <= latest, "the end asked for at {asked:?} within {span:?} came at {finished:?}");
        }
    }
}

fn pauses_have_reasons<S: Service>(world: &World<S>, policy: RefusalPolicy, reasons: usize) {
    let paused = times(world, |turn| matches!(turn, Turn::Paused(wait) if !wait.is_zero()));
    let stopped = times(world, |turn| matches!(turn, Turn::Stopped));
    assert!(paused + stopped <= reasons, "{paused} pauses for {reasons} reasons");
    assert_eq!(stopped, usize::from(world.session.stopped().is_some()), "it stops once, and says so");
    match policy {
        RefusalPolicy::Stop => {
            assert_eq!(paused, 0, "there is nothing to wait for");
            let turns = world.timeline.turns();
            let after = turns.iter().skip_while(|(_, turn)| *turn != Turn::Stopped);
            let sent = after.filter(|(_, turn)| matches!(turn, Turn::Dial(_) | Turn::Requested(_))).count();
            assert_eq!(sent, 0, "nothing leaves after it has stopped");
        }
        _ => assert_eq!(stopped, 0, "it was to go on"),
    }
}

/// The pauses that the session tells of double, and it keeps them.
fn attempts_follow_the_backoff<S: Service>(world: &World<S>) {
    let slack = world.timeline.behind();
    let (mut failures, mut woken, mut earliest) = (0, false, Duration::ZERO);
    for (at, turn) in world.timeline.turns().iter() {
        match turn {
            Turn::CredentialChanged | Turn::ClockSet(_) => woken = true,
            Turn::Paused(Duration::ZERO) => {
                assert!(woken, "it tries earlier for no reason at {at:?}");
                (failures, earliest) = (0, *at);
            }
            Turn::Paused(wait) => {
                let whole = secs(1 << failures.min(9)).min(secs(300));
                assert!(whole * 8 / 10 <= *wait && *wait <= whole * 12 / 10, "{wait:?} after {failures} failures");
                failures += 1;
                (woken, earliest) = (false, *at + *wait);
            }
            Turn::Resumed => (failures, earliest) = (0, Duration::ZERO),
            Turn::Dial(link) => {
                assert!(*at + slack >= earliest, "it dials {link} at {at:?}, and was to wait until {earliest:?}");
            }
            _ => {}
        }
    }
}

/// The same by what the services said, whatever the session tells: never a connection for each notification. With
/// `renewals`, a token that is refused is replaced once without a pause.
pub(crate) fn refusals_cost_few_connections<S: Service>(world: &World<S>, renewals: bool) {
    let slack = world.timeline.behind();
    let (mut refusals, mut earliest) = (0_u32, Duration::ZERO);
    let (mut known, mut last) = (None, None);
    for (at, turn) in world.timeline.turns().iter() {
        match turn {
            // What an older connection says about the credential is no news.
            Turn::CredentialRefused(link) if known.is_none_or(|known| *link > known) => {
                known = last;
                let doublings = refusals.checked_sub(u32::from(renewals));
                let wait = doublings.map_or(Duration::ZERO, |doublings| secs(1 << doublings.min(9)).min(secs(300)));
                earliest = *at + wait * 8 / 10;
                refusals += 1;
            }
            Turn::CredentialTaken(link) if known.is_none_or(|known| *link > known) => {
                (refusals, earliest) = (0, Duration::ZERO);
            }
            Turn::CredentialChanged | Turn::ClockSet(_) => {
                // What was asked for before says nothing about another credential.
                (refusals, earliest, known) = (0, Duration::ZERO, last);
            }
            Turn::Dial(link) => {
                last = Some(*link);
                assert!(*at + slack >= earliest, "{link} is dialled at {at:?} after {refusals} refusals in a row");
            }
            _ => {}
        }
    }
}

/// What ends for the credential's sake ends while that is refused, and as the policy has it.
fn what_is_not_sent_follows_the_policy<S: Service>(world: &World<S>, policy: RefusalPolicy) {
    let slack = world.timeline.behind();
    for settled in world.outcomes.values().flatten() {
        let Outcome::NotSent { cause: NotSentCause::CredentialRefused(_) | NotSentCause::Stopped(_) } = settled.outcome
        else {
            continue;
        };
        let at = world.settled_at[&settled.key];
        let (mut refused, mut closing) = (None, false);
        for (time, turn) in world.timeline.turns().iter().filter(|(time, _)| *time <= at) {
            match turn {
                Turn::Paused(wait) => refused = Some(*time + *wait),
                Turn::Stopped => refused = Some(Duration::MAX),
                // At the same time, what was refused before may have ended before.
                Turn::Resumed if *time < at => refused = None,
                Turn::Closing(_) => closing = true,
                _ => {}
            }
        }
        let until = refused.unwrap_or_else(|| panic!("nothing was refused: {settled:?}"));
        let latest = world.timeline.at_the_latest(until).saturating_add(slack);
        assert!(at <= latest, "it could have been tried since {until:?}: {settled:?} at {at:?}");
        assert!(policy != RefusalPolicy::Wait || closing, "it was to wait: {settled:?} at {at:?}");
    }
}
