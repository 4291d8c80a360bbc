//! Kills the daemon again and again while callers hand in notifications, and then counts.
//!
//! Two apps send, one that reports what may have been lost and one that sends it again. Ten callers hand in, each asks
//! again with the same idempotency keys when the daemon dies before it answers. At the end, for each notification that was
//! accepted there is one outcome; none that counts as accepted is missing at the simulator; and there are copies only
//! of those whose outcome says that there may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::victim::{APPS, LIMIT, Random, Victim, config_text, free_port, post, read_outcomes, token};

const CALLERS: u64 = 10;

pub(crate) async fn nothing_is_lost_when_the_daemon_is_killed(notifications: u64, kills: u64, seed: u64) {
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    let config = folder.path().join("apnsd.toml");
    let api = free_port();
    std::fs::write(&config, config_text(&simulator, api)).unwrap();

    let began = Instant::now();
    let mut victim = Victim::start(&config);
    let (progress, mut watched) = watch::channel(0_u64);
    let progress = Arc::new(progress);
    let next = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let random = Random(seed ^ (caller << 40));
            tokio::spawn(call_for_all(api, next.clone(), notifications, random, progress.clone()))
        })
        .collect();

    // At places in the run that nobody knows before.
    let mut random = Random(seed);
    let mut places: Vec<u64> = (0..kills).map(|_| 1 + random.below(notifications * 9 / 10)).collect();
    places.sort_unstable();
    for place in places {
        watched.wait_for(|accepted| *accepted >= place).await.unwrap();
        // Let some of it get on its way, or not.
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        victim.kill();
        victim = Victim::start(&config);
    }
    let mut ids = BTreeMap::new();
    for caller in callers {
        for (number, id) in caller.await.unwrap() {
            assert!(ids.insert(id, number).is_none(), "an id names one notification");
        }
    }
    assert_eq!(ids.len() as u64, notifications);
    let handed_in = began.elapsed();

    let mut outcomes: BTreeMap<u64, Value> = BTreeMap::new();
    for app in APPS {
        let expected = ids.values().filter(|number| app_of(**number) == app).count();
        let told = tokio::time::timeout(LIMIT, read_outcomes(api, app, expected)).await;
        for outcome in told.expect("every notification ends") {
            let id = outcome["id"].as_str().unwrap();
            let number = *ids.get(id).unwrap_or_else(|| panic!("nobody handed in {outcome}"));
            assert_eq!(app_of(number), app);
            assert!(outcomes.insert(number, outcome).is_none(), "one outcome each");
        }
    }
    victim.kill();

    let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
    simulator.inspect(|log| {
        for request in log.requests() {
            let digits = request.token_hex();
            *arrived.entry(u64::from_str_radix(&digits[48..], 16).unwrap()).or_default() += 1;
        }
    });
    let (mut unknown, mut replayed, mut copies) = (0, 0, 0);
    for (number, outcome) in &outcomes {
        let count = arrived.get(number).copied().unwrap_or_default();
        let replays = outcome["replays"].as_u64().unwrap();
        copies += count.saturating_sub(1);
        replayed += u64::from(replays > 0);
        match outcome["outcome"].as_str().unwrap() {
            "accepted" => assert!(count >= 1, "missing at the service: {outcome}"),
            "unknown" => {
                unknown += 1;
                assert_eq!(app_of(*number), "reports", "{outcome}");
            }
            _ => panic!("nobody refuses anything here: {outcome}"),
        }
        assert!(count <= 1 + replays, "{count} copies, and the outcome knows of {replays}: {outcome}");
        if app_of(*number) == "reports" {
            assert_eq!(replays, 0, "{outcome}");
        }
    }
    assert!(arrived.keys().all(|number| outcomes.contains_key(number)), "nothing was sent that nobody handed in");
    println!(
        "handed in within {handed_in:.1?}, all ended within {:.1?}: {unknown} reported as unknown, {replayed} sent again \
         and marked, {copies} copies arrived",
        began.elapsed()
    );
}

fn app_of(number: u64) -> &'static str {
    APPS[usize::try_from(number % 2).unwrap()]
}

/// Takes numbers and hands in their notifications, single ones and batches, until all are accepted. Gives number and id.
async fn call_for_all(
    api: SocketAddr,
    next: Arc<AtomicU64>,
    notifications: u64,
    mut random: Random,
    progress: Arc<watch::Sender<u64>>,
) -> Vec<(u64, String)> {
    let mut accepted = Vec::new();
    let mut connection = None;
    loop {
        let size = if random.below(4) == 0 { 1 } else { 2 + random.below(200) };
        let first = next.fetch_add(size, Ordering::Relaxed);
        if first >= notifications {
            return accepted;
        }
        for app in APPS {
            let numbers: Vec<u64> =
                (first..notifications.min(first + size)).filter(|number| app_of(*number) == app).collect();
            if numbers.is_empty() {
                continue;
            }
            let batch: Vec<Value> = numbers
                .iter()
                .map(|number| {
                    json!({"token": token(*number), "payload": {"aps": {"alert": "Tea is ready"}},
                           "idempotency_key": format!("number-{number}")})
                })
                .collect();
            let body = serde_json::to_string(&batch).unwrap();
            let path = format!("/v1/apps/{app}/notifications");
            let deadline = Instant::now() + LIMIT;
            let receipts = loop {
                assert!(Instant::now() < deadline, "the daemon came back");
                match post(&mut connection, api, &path, &body).await {
                    Some((202, answer)) => break answer,
                    Some((status, answer)) => panic!("{status}: {answer}"),
                    // Killed, perhaps after it has stored them. The same keys make that harmless.
                    None => connection = None,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            let receipts: Vec<Value> = serde_json::from_str(&receipts).unwrap();
            assert_eq!(receipts.len(), numbers.len());
            progress.send_modify(|count| *count += numbers.len() as u64);
            let ids = receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned());
            accepted.extend(numbers.into_iter().zip(ids));
        }
    }
}
