//! A clock that is wrong and then set costs nothing but time: nothing is lost, sent twice or sent in circles.
//!
//! The daemon's clock is moved by libfaketime; where that is not installed, this is said and nothing is tried. The pretend
//! Apple has the right time, and refuses provider tokens that are more than an hour from it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::doubt::Scene;
use crate::victim::{Victim, call, read_outcomes, token, until};

const PLACES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// How far the clock is off at the start, and what it is set to one after another. The last is right.
const COURSES: [(&str, &[&str]); 4] =
    [("-7200", &["+0"]), ("+7200", &["+0"]), ("+0", &["+7200", "+0", "-7200", "+0"]), ("+315360000", &["+0"])];

/// What is delivered with each reading of the clock.
const COUNT: u64 = 50;

pub(crate) async fn a_clock_that_is_set_costs_nothing_but_time() {
    let Some(library) = PLACES.into_iter().find(|place| Path::new(place).exists()) else {
        println!("not tried: libfaketime is not installed");
        return;
    };
    futures_util::future::join_all(COURSES.map(|(start, steps)| one_course(library, start, steps))).await;
}

/// Writes it at once: half an offset is another one.
fn set(clock: &Path, offset: &str) {
    let next = clock.with_extension("next");
    std::fs::write(&next, format!("{offset}\n")).unwrap();
    std::fs::rename(next, clock).unwrap();
}

async fn hand_in(scene: &Scene, first: u64) {
    let batch: Vec<Value> = (first..first + COUNT)
        .map(|number| json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}))
        .collect();
    let body = serde_json::to_string(&batch).unwrap();
    let path = "/v1/apps/reports/notifications";
    let (status, answer) = until("it answers", async || call(scene.api, "POST", path, &body).await).await;
    assert_eq!(status, 202, "{answer}");
}

async fn one_course(library: &str, start: &str, steps: &[&str]) {
    let scene = Scene::new("{}").await;
    let clock: PathBuf = scene.config().with_extension("clock");
    set(&clock, start);
    let path = clock.to_str().unwrap().to_owned();
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &path),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let victim = Victim::start_with(&scene.config(), &variables);
    hand_in(&scene, 0).await;
    let accepted = async || scene.simulator.counts().requests_accepted;
    let mut handed_in = COUNT;
    let mut right_since = Instant::now();
    let mut before = start;
    for offset in steps {
        // With the right time everything is delivered; with a wrong one some attempts are made, or what a connection has
        // proved before goes on to be taken.
        if before == "+0" {
            until("it is delivered", async || (accepted().await == handed_in).then_some(())).await;
        } else {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        set(&clock, offset);
        // The next connection has to prove itself by the clock as it is then.
        scene.simulator.cut_connections();
        right_since = Instant::now();
        hand_in(&scene, handed_in).await;
        handed_in += COUNT;
        before = offset;
    }
    until("all of it is delivered", async || (accepted().await == handed_in).then_some(())).await;
    let within = right_since.elapsed();
    let outcomes = read_outcomes(scene.api, "reports", usize::try_from(handed_in).unwrap()).await;
    let counts = scene.simulator.counts();
    println!(
        "begun at {start}, set to {steps:?}: {} of {handed_in} accepted, all within {within:.1?} of the right time, {} refused \
         attempts, {} connections",
        counts.requests_accepted, counts.requests_refused, counts.http2_connections
    );
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{outcomes:?}");
    assert_eq!(counts.requests_accepted, handed_in, "each of them once");
    assert!(within < Duration::from_secs(10), "{within:?}");
    assert!(counts.requests_refused <= 6 * (1 + steps.len() as u64), "{counts:?}");
    assert!(counts.http2_connections <= 6 * (1 + steps.len() as u64), "{counts:?}");
    drop(victim);
}
