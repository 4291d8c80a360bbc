//! A disk that is full, and has room again, under ten callers: the daemon says so at once, goes on at once, and has all that
//! it acknowledged.
//!
//! The disk is a tmpfs that is mounted where this run alone sees it. Where that is not allowed, this is said and nothing is
//! tried.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::{Value, json};

use crate::victim::{APPS, Victim, call, config_text, free_port, get, read_outcomes, token, until};

const CALLERS: u64 = 10;
/// How soon it is known.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// How long the disk is full, and what comes before and after that.
const LASTS: Duration = Duration::from_secs(3);
/// The word with which this program is called in a place of its own.
pub(crate) const INSIDE: &str = "full-disk";

/// Mounts the disk, and calls this program again there.
pub(crate) async fn a_full_disk_is_known_at_once_and_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mount = "mount -t tmpfs -o size=24m tmpfs \"$1\"";
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(folder.path());
        command.stdin(Stdio::null());
        command
    };
    let may = inside(mount).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("not tried: a disk of its own cannot be mounted here");
        return;
    }
    let mut run = inside(&format!("{mount} && exec \"$2\" {INSIDE} \"$1\""));
    let status = run.arg(std::env::current_exe().unwrap()).status().unwrap();
    assert!(status.success(), "{status}");
}

/// What callers were told.
#[derive(Default)]
struct Told {
    next: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

/// Hands in one notification after another, and gives the ids of those that were acknowledged.
async fn caller(api: SocketAddr, told: Arc<Told>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !told.over.load(Ordering::Relaxed) {
        let number = told.next.fetch_add(1, Ordering::Relaxed);
        let body = json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}).to_string();
        let path = format!("/v1/apps/{}/notifications", APPS[0]);
        match call(api, "POST", &path, &body).await {
            Some((202, answer)) => {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                acknowledged.push(answer["id"].as_str().unwrap().to_owned());
            }
            Some((503, answer)) => {
                assert!(answer.contains("#outbox-failed"), "{answer}");
                told.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some((status, answer)) => panic!("{status}: {answer}"),
            // It is being started.
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

/// Waits until readiness, figures, page and log have it, and says how long that took.
async fn until_known(api: SocketAddr, victim: &Victim, full: bool, logged_before: usize) {
    let since = Instant::now();
    let line = if full { "nothing can be stored" } else { "the outbox stores again" };
    let mut known: [Option<Duration>; 4] = [None; 4];
    until("it is known everywhere", async || {
        let ready = call(api, "GET", "/readyz", "").await;
        let seen = [
            ready.is_some_and(
                |(status, body)| {
                    if full { status == 503 && body.contains("full") } else { status == 200 }
                },
            ),
            get(api, "/metrics").await.contains(if full { "apnsd_outbox_ready 0\n" } else { "apnsd_outbox_ready 1\n" }),
            Some(get(api, "/").await).is_some_and(|page| !page.is_empty() && page.contains("id=\"outbox\"") == full),
            victim.log().matches(line).count() > logged_before,
        ];
        for (known, seen) in known.iter_mut().zip(seen) {
            if seen {
                known.get_or_insert_with(|| since.elapsed());
            }
        }
        known.iter().all(Option::is_some).then_some(())
    })
    .await;
    let [ready, metric, page, log] = known.map(Option::unwrap);
    println!(
        "{}: readyz {ready:.1?}, metric {metric:.1?}, page {page:.1?}, log {log:.1?}",
        if full { "full" } else { "freed" }
    );
    assert!([ready, metric, page, log].into_iter().all(|span| span < KNOWN_WITHIN));
}

/// With the disk in this directory.
pub(crate) async fn inside(disk: &Path) {
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    let config = folder.path().join("apnsd.toml");
    let api = free_port();
    let data = format!("data = {}\n", json!(disk.join("data")));
    std::fs::write(&config, config_text(&simulator, api).replace("data = \"data\"\n", &data)).unwrap();
    let victim = Victim::start(&config);
    let told = Arc::new(Told::default());
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(caller(api, told.clone()))).collect();
    until("it takes some", async || (simulator.counts().requests_accepted > 100).then_some(())).await;

    // Twice: what it says is not said once and for all.
    for round in 0..2 {
        let filler = disk.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
        drop(file);
        let refused = told.refused.load(Ordering::Relaxed);
        until_known(api, &victim, true, round).await;
        tokio::time::sleep(LASTS).await;
        println!("{} calls refused meanwhile", told.refused.load(Ordering::Relaxed) - refused);
        std::fs::remove_file(&filler).unwrap();
        until_known(api, &victim, false, round).await;
        let accepted = simulator.counts().requests_accepted;
        until("it goes on", async || (simulator.counts().requests_accepted > accepted + 100).then_some(())).await;
    }

    told.over.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for caller in callers {
        acknowledged.extend(caller.await.unwrap());
    }
    // What was not acknowledged may have been stored all the same; of what was, nothing is missing.
    let taken = until("figures", async || {
        let line = format!("apnsd_taken_total{{app=\"{}\"}} ", APPS[0]);
        get(api, "/metrics").await.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
    })
    .await;
    let outcomes = read_outcomes(api, APPS[0], taken).await;
    let accepted: BTreeSet<String> = outcomes
        .iter()
        .filter(|outcome| outcome["outcome"] == "accepted")
        .map(|outcome| outcome["id"].as_str().unwrap().to_owned())
        .collect();
    println!("{} acknowledged, {} accepted by the service", acknowledged.len(), accepted.len());
    assert_eq!(acknowledged.difference(&accepted).count(), 0);
    drop(victim);
}
