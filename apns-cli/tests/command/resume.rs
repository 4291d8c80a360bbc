//! Batches with results: killed at any moment and gone on with.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sim::{Process, client};
use crate::support::{Folder, apns, run};

/// One in so many tokens is bad: half a percent.
const BAD: u32 = 200;

fn is_bad(n: u32) -> bool {
    n.is_multiple_of(BAD)
}

fn token(n: u32) -> String {
    let kind = if is_bad(n) { "bad0" } else { "00fc" };
    format!("{kind}13adff785122b4ad28809a3420982341241421348097878e577c{n:08x}")
}

fn line_of(token: &str) -> u32 {
    u32::from_str_radix(&token[56..], 16).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Binary,
    Http2,
}

/// A pretend Apple in a process of its own, and a batch for it.
struct Scene {
    folder: Folder,
    apple: Process,
    protocol: Protocol,
    count: u32,
}

impl Scene {
    fn new(protocol: Protocol, count: u32) -> Self {
        Self::with(protocol, count, r#"{"invalid_tokens": ["bad0*"]}"#)
    }

    fn with(protocol: Protocol, count: u32, script: &str) -> Self {
        let folder = Folder::new();
        let mut batch = String::new();
        for n in 1..=count {
            writeln!(batch, r#"{{"token":"{}","id":{n}}}"#, token(n)).unwrap();
        }
        folder.write("batch", batch);
        let script = folder.write("script.json", script);
        let log = folder.path("log");
        let apple = Process::start(&folder, &["--http2", "127.0.0.1:0", "--script", &script, "--log", &log]);
        Self { folder, apple, protocol, count }
    }

    fn results(&self) -> String {
        self.folder.path("results")
    }

    /// `apns send` of the batch with results and with these options.
    fn send(&self, options: &[&str]) -> Vec<String> {
        let (batch, results) = (self.folder.path("batch"), self.results());
        let mut all = vec!["--batch", &batch, "--results", &results, "--body", "x"];
        let (command, port) = match self.protocol {
            Protocol::Binary => (["send", "--binary"].as_slice(), &self.apple.gateway),
            Protocol::Http2 => {
                all.extend(["--topic", "com.example.app"]);
                (["send"].as_slice(), self.apple.http2.as_ref().unwrap())
            }
        };
        all.extend(options);
        client(command, &self.folder, port, &all)
    }

    /// The rows, each line of the batch at most once.
    fn rows(&self) -> HashMap<u32, Value> {
        let mut rows = HashMap::new();
        for line in fs::read_to_string(self.results()).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let n = u32::try_from(row["n"].as_u64().unwrap()).unwrap();
            assert_eq!((row["id"].as_u64(), row["token"].as_str()), (Some(n.into()), Some(token(n).as_str())));
            assert!(rows.insert(n, row).is_none(), "two rows for line {n}");
        }
        rows
    }

    /// How often each line's notification was taken; the simulator ends with it.
    fn taken(self) -> HashMap<u32, u32> {
        let (status, _, _) = self.apple.stop("TERM");
        assert_eq!(status, 0);
        let mut taken = HashMap::new();
        for line in BufReader::new(fs::File::open(self.folder.path("log")).unwrap()).lines() {
            let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let accepted = match self.protocol {
                Protocol::Binary => entry["accepted"] == true,
                Protocol::Http2 => entry["status"] == 200,
            };
            if accepted {
                *taken.entry(line_of(entry["token"].as_str().unwrap())).or_default() += 1;
            }
        }
        taken
    }
}

fn size(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Waits for something of another process.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::yield_now();
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many lines the batches of the tests below have that kill the process.
fn count() -> u32 {
    std::env::var("APNS_TEST_BATCH_LINES").map_or(30_000, |text| text.parse().unwrap())
}

/// The batch is killed three times at random and gone on with; then everything adds up.
fn killed_three_times(protocol: Protocol, on_loss: &str) {
    let scene = Scene::new(protocol, count());
    let options = ["--on-loss", on_loss, "--resume", "--quiet"];
    let seed = RandomState::new();
    // About so many bytes of rows are written in the end.
    let whole = u64::from(scene.count) * 270;
    let mut killed = 0;
    for kills in 0..3_u64 {
        let mut child = apns(scene.send(&options)).spawn().unwrap();
        // Somewhere in the next third, often in the middle of a row, and sometimes before the first one.
        let moment = size(scene.results()) + seed.hash_one(kills) % (whole / 3);
        let mut ended = false;
        wait_until("the results grow", || {
            ended = child.try_wait().unwrap().is_some();
            ended || size(scene.results()) >= moment
        });
        killed += u32::from(!ended);
        kill(child);
    }
    assert!(killed > 0, "the batch ended before the first moment");
    let last = run(scene.send(&options)).expect(1);
    let rows = scene.rows();
    assert_eq!(rows.len(), scene.count as usize);
    let again = run(scene.send(&options)).expect(1);
    assert_eq!(scene.rows().len(), rows.len(), "{last:?} {again:?}");

    let count = scene.count;
    let taken = scene.taken();
    let (mut unknown, mut resumed, mut doubled) = (0, 0, 0);
    for n in 1..=count {
        let row = &rows[&n];
        let times = taken.get(&n).copied().unwrap_or_default();
        let is_resumed = row["resumed"] == true;
        let outcome = row["outcome"].as_str().unwrap();
        match outcome {
            "accepted" => assert!(times >= 1 && !is_bad(n), "{row}"),
            "rejected" => assert!(times == 0 && is_bad(n), "{row}"),
            "unknown" => assert_eq!(on_loss, "report", "{row}"),
            _ => panic!("{row}"),
        }
        assert!(times <= 1 || is_resumed, "sent {times} times: {row}");
        assert!(!is_resumed || on_loss == "resend", "{row}");
        unknown += u32::from(outcome == "unknown");
        resumed += u32::from(is_resumed);
        doubled += u32::from(times > 1);
    }
    // What may have left is bounded by what can be under way.
    let most = 3 * match protocol {
        Protocol::Binary => 1024 + 16_384 * 6 / 5 + 4096 + 512,
        Protocol::Http2 => 1024 + 1000 * 6 / 5 + 4096 + 512,
    };
    assert!(unknown <= most && resumed <= most, "{unknown} unknown, {resumed} resumed");
    if std::env::var_os("APNS_TEST_BATCH_LINES").is_some() {
        writeln!(
            std::io::stderr().lock(),
            "{protocol:?} {on_loss}: {unknown} unknown, {resumed} resumed, {doubled} sent twice"
        )
        .unwrap();
    }
}

#[test]
fn a_killed_batch_over_binary_is_reported_exactly() {
    killed_three_times(Protocol::Binary, "report");
}

#[test]
fn a_killed_batch_over_binary_is_sent_again_and_marked() {
    killed_three_times(Protocol::Binary, "resend");
}

#[test]
fn a_killed_batch_over_http2_is_reported_exactly() {
    killed_three_times(Protocol::Http2, "report");
}

#[test]
fn a_killed_batch_over_http2_is_sent_again_and_marked() {
    killed_three_times(Protocol::Http2, "resend");
}
