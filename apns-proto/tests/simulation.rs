//! One seed, one bad day: a session, gateways and a network that go wrong in every way that is known.
//!
//! The gateways write down what they really did, and every outcome is held against that. `APNS_SIM_SEEDS=n` runs so
//! many seeds (4000 by default), `APNS_SIM_SEED=n` runs that one and prints what happens.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]
#![allow(clippy::print_stdout, reason = "a failed run is replayed and printed")]

mod pretend;
#[path = "pretend/seeds.rs"]
mod seeds;

use pretend::dice::Dice;
use pretend::gateway_day::{build, verify};

#[test]
fn every_seed_ends_and_tells_the_truth() {
    seeds::run("simulation", 4_000, |seed, prints| {
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
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..2_000 {
        let (mut world, day) = build(Dice::new(seed));
        world.run();
        for happened in day.happened(&world) {
            *seen.entry(happened).or_default() += 1;
        }
        for line in &world.transcript {
            let words = line.split(|c: char| c.is_ascii_digit()).map(str::trim).collect::<Vec<_>>().join("#");
            *seen.entry(words).or_default() += 1;
        }
    }
    let count = |part: &str| seen.iter().filter(|(line, _)| line.contains(part)).map(|(_, count)| count).sum::<usize>();
    let parts = [
        "confirmed",
        "presumed",
        "rejected",
        "expired",
        "unknown, lost",
        "unknown, no answer",
        "unknown, closed",
        "unknown, status",
        "named without error",
        "not sent: no connection in time",
        "not sent: this side closed",
        "not sent: sending has stopped",
        "probe answered",
        "peer closed",
        "truncated after",
        "first byte",
        "refused: certificate revoked",
        "cut;",
        "no answer;",
        "write stalled",
        "closed here",
        "gave up",
        "proven",
        "answered late",
        "which was never sent here",
        "failed: the server refused the client certificate",
        "failed: the client certificate cannot be used",
        "refused: unknown certificate",
        "refused:#missing_topic",
        "refused:#invalid_topic_size",
        "refused and mended: Report",
        "refused and mended: Wait",
        "refused for good: Stop",
        "read late: writes first",
        "read late: reads first",
        "wall clock set",
        "paused: ",
        "resumed",
        "stopped: ",
        "not sent: the credential is refused",
        "failed: ",
        "finished",
    ];
    let never: Vec<_> = parts.into_iter().filter(|part| count(part) == 0).collect();
    assert!(never.is_empty(), "{never:?} never happened in {seen:#?}");
}
