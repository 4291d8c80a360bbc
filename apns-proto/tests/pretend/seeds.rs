//! Running many seeds, or the one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs `day` with each seed below `default`, or below `APNS_SIM_SEEDS`, or with `APNS_SIM_SEED` alone; `day` prints its
/// transcript when it is told to. The first seed that fails is printed, with the command that replays it.
pub(crate) fn run(test: &str, default: u64, mut day: impl FnMut(u64, bool)) {
    if let Some(seed) = number("APNS_SIM_SEED") {
        println!("seed {seed}");
        return day(seed, true);
    }
    let first = number("APNS_SIM_FIRST").unwrap_or(0);
    let seeds = number("APNS_SIM_SEEDS").unwrap_or(default);
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        if catch_unwind(AssertUnwindSafe(|| day(seed, false))).is_err() {
            failed.push(seed);
            if failed.len() == 5 {
                break;
            }
        }
    }
    let Some(seed) = failed.first() else { return };
    println!("\nseed {seed}:");
    let _ = catch_unwind(AssertUnwindSafe(|| day(*seed, true)));
    panic!(
        "seeds {failed:?} failed; this replays the first:\n\
         APNS_SIM_SEED={seed} cargo test -p apns-proto --all-features --test {test} -- every --nocapture"
    );
}
