//! One seed, one bad day: a session of the provider API, and services and a network that go wrong in every way that is
//! known.
//!
//! The services write down what they really did, and every outcome is held against that. `APNS_SIM_SEEDS=n` runs so
//! many seeds (2000 by default), `APNS_SIM_SEED=n` runs that one and prints what happens.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]
#![allow(clippy::print_stdout, reason = "a failed run is replayed and printed")]

mod pretend;
#[path = "pretend/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;

use pretend::dice::Dice;
use pretend::provider_day::{build, verify};

#[test]
fn every_seed_ends_and_tells_the_truth() {
    seeds::run("provider_simulation", 2_000, |seed, prints| {
        let (mut world, day) = build(Dice::new(seed));
        world.prints = prints;
        if prints {
            println!("{day:?}");
        }
        world.run();
        verify(&world, &day);
    });
}

/// What happened on all these days, so that the simulation cannot quietly stop covering something.
#[test]
fn the_days_are_bad_enough() {
    let mut seen = BTreeMap::<String, usize>::new();
    for seed in 0..1_000 {
        let (mut world, day) = build(Dice::new(seed));
        world.run();
        for happened in day.happened(&world) {
            *seen.entry(happened).or_default() += 1;
        }
        for line in &world.transcript {
            let words = line.split(|c: char| c.is_ascii_digit()).map(str::trim).collect::<Vec<_>>().join("#");
            *seen.entry(words).or_default() += 1;
        }
        for (whim, count) in &world.truth.borrow().whims {
            *seen.entry(format!("whim: {whim}")).or_default() += count;
        }
        for settled in world.outcomes.values().flatten() {
            *seen.entry(format!("attempts: {}", settled.attempts.min(4))).or_default() += 1;
            *seen.entry(format!("replays: {}", settled.replays)).or_default() += 1;
            *seen.entry(format!("retries: {}", settled.retries)).or_default() += 1;
        }
    }
    let count = |part: &str| seen.iter().filter(|(line, _)| line.contains(part)).map(|(_, count)| count).sum::<usize>();
    let parts = [
        "confirmed",
        "rejected",
        "expired",
        "unknown",
        "not sent: no connection in time",
        "not sent: this side closed",
        "not sent: sending has stopped",
        "going away",
        "peer closed",
        "broke the protocol",
        "cut;",
        "no answer;",
        "write stalled",
        "closed here",
        "does not speak HTTP",
        "refused: certificate revoked",
        "refuses the credential",
        "takes no requests",
        "no provider token in time",
        "TokenWanted",
        "gave up",
        "proven",
        "failed: ",
        "finished",
        "whim: bad token",
        "whim: unregistered",
        "whim: shutdown",
        "whim: too many",
        "whim: internal error",
        "whim: refused unread",
        "whim: reset after it was taken",
        "whim: silent",
        "whim: close",
        "whim: go away",
        "whim: go away twice",
        "whim: disowned",
        "whim: limit",
        "whim: window",
        "whim: just in time",
        "whim: violation",
        "whim: reset after the answer",
        "whim: ping",
        "whim: a body nobody wants",
        "whim: no word behind the answer",
        "whim: ExpiredProviderToken",
        "whim: TooManyProviderTokenUpdates",
        "whim: InvalidProviderToken",
        "whim: MissingProviderToken",
        "whim: BadCertificate",
        "whim: BadEnvironmentKeyIdInToken",
        "whim: Forbidden",
        "whim: SomethingNew",
        "whim: BadCertificateEnvironment",
        "whim: leaves slowly",
        "whim: goes away behind the answer",
        "whim: a length that lies",
        "whim: settings",
        "whim: settings in mid-flight",
        "whim: padding",
        "whim: padding and nothing else",
        "whim: an interim answer",
        "whim: header block of a dead stream",
        "whim: a body stops at a window",
        "whim: a window that never opened",
        "whim: early answer",
        "whim: early answer and a reset",
        "whim: early refusal",
        "whim: early refusal and a reset",
        "whim: silence before the body",
        "whim: close before the body",
        "not sent: the time allowed for it was over",
        "unknown, the answer was broken off",
        "going away: BadCertificateEnvironment",
        "failed: the server refused the client certificate",
        "failed: the client certificate cannot be used",
        "refused: unknown certificate",
        "refused and mended: Report",
        "refused and mended: Wait",
        "refused for good: Stop",
        "five connections at once",
        "read late: writes first",
        "read late: reads first",
        "wall clock set",
        "paused: ",
        "resumed",
        "stopped: ",
        "not sent: the credential is refused",
        "attempts: 3",
        "replays: 2",
        "retries: 1",
    ];
    let codes = (0..16).map(|code| format!("whim: early reset {code}"));
    let unheard: Vec<_> = codes.filter(|code| !seen.contains_key(code)).collect();
    assert!(unheard.is_empty(), "{unheard:?} never happened");
    let never: Vec<_> = parts.into_iter().filter(|part| count(part) == 0).collect();
    assert!(never.is_empty(), "{never:?} never happened in {seen:#?}");
}
