//! Batches with results: killed at any moment and resumed.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sim::{Process, client};
use crate::support::{Folder, Run, apns, finish, run, run_with_stdin, signal};

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

/// A simulator in a process of its own, and a batch for it.
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

    fn journal(&self) -> String {
        self.folder.path("results.journal")
    }

    /// `apns send` of the batch with results and with these options.
    fn send(&self, options: &[&str]) -> Vec<String> {
        let (batch, results) = (self.folder.path("batch"), self.results());
        let mut all = vec!["--batch", &batch, "--results", &results, "--body", "x"];
        let (command, port) = match self.protocol {
            Protocol::Binary => (["send", "--binary"].as_slice(), &self.apple.gateway),
            Protocol::Http2 => {
                all.extend(["--topic", "com.example.app"]);
                (["send"].as_slice(), &self.apple.http2)
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

    /// What the simulator saw; it ends with that.
    fn log(self) -> Vec<Value> {
        let (status, _, _) = self.apple.stop("TERM");
        assert_eq!(status, 0);
        let log = BufReader::new(fs::File::open(self.folder.path("log")).unwrap());
        log.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }

    /// How often each line's notification was taken; the simulator ends with it.
    fn taken(self) -> HashMap<u32, u32> {
        taken(self.protocol, &self.log())
    }
}

fn taken(protocol: Protocol, log: &[Value]) -> HashMap<u32, u32> {
    let mut taken = HashMap::new();
    for entry in log {
        let accepted = match protocol {
            Protocol::Binary => entry["accepted"] == true,
            Protocol::Http2 => entry["status"] == 200,
        };
        if accepted {
            *taken.entry(line_of(entry["token"].as_str().unwrap())).or_default() += 1;
        }
    }
    taken
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
    std::env::var("APNS_TEST_BATCH_LINES").map_or(20_000, |text| text.parse().unwrap())
}

/// The batch is killed three times at random and resumed; then everything adds up.
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
    // Nothing is left to do but to sum up.
    let again = run(scene.send(&options[..3])).expect(1);
    assert_eq!(scene.rows().len(), rows.len(), "{last:?} {again:?}");
    let sum: u32 = again
        .stderr
        .lines()
        .filter(|line| line.starts_with(' ') && !line.ends_with("after a break"))
        .map(|line| line.split_whitespace().next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(sum, scene.count, "{}", again.stderr);

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
    let warned = again.stderr.contains(&format!("{resumed} of these may have been sent twice"));
    assert_eq!(warned, resumed > 0, "{}", again.stderr);
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

/// Waits until there are results, and asks the process to stop.
fn interrupt_with_rows(scene: &Scene, mut child: Child, rows: u64) -> Run {
    wait_until("there are rows", || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        size(scene.results()) > rows * 200
    });
    signal(&child, "INT");
    finish(child)
}

#[test]
fn an_interruption_leaves_the_rest_for_another_run() {
    for protocol in [Protocol::Binary, Protocol::Http2] {
        let scene = Scene::new(protocol, 6000);
        let child = apns(scene.send(&["--rate", "3000", "--drop-tokens", &scene.folder.path("drop")])).spawn().unwrap();
        let run = interrupt_with_rows(&scene, child, 100).expect(1);
        assert!(run.stderr.contains("interrupted; the same command with --resume goes on from here"), "{}", run.stderr);
        assert_eq!(run.stdout, "");
        let settled = scene.rows().len();
        assert!(settled < 6000);
        let rest = self::run(scene.send(&["--resume", "--drop-tokens", &scene.folder.path("drop")])).expect(1);
        assert!(rest.stderr.contains(&format!("going on; {settled} lines have a row")), "{}", rest.stderr);
        assert!(rest.stderr.contains("6000 notifications: 5970 accepted, 30 rejected"), "{}", rest.stderr);
        let reason = match protocol {
            Protocol::Binary => "30 rejected 8 invalid_token",
            Protocol::Http2 => "30 rejected 400 BadDeviceToken",
        };
        assert!(rest.stderr.contains(reason), "{}", rest.stderr);
        assert_eq!(scene.rows().len(), 6000);
        // The bad ones of both runs, each once.
        let expected: Vec<_> = (1..=6000).filter(|n| is_bad(*n)).map(token).collect();
        let drop = fs::read_to_string(scene.folder.path("drop")).unwrap();
        assert_eq!(drop.lines().collect::<Vec<_>>(), expected);
        // Nothing was in doubt: each good one was sent once.
        let taken = scene.taken();
        assert!((1..=6000).all(|n| taken.get(&n).copied().unwrap_or_default() == u32::from(!is_bad(n))));
    }
}

#[test]
fn what_is_all_settled_is_summed_up_without_a_connection() {
    let scene = Scene::new(Protocol::Binary, 3);
    // To begin with --resume is no mistake: a supervisor starts it the same way each time.
    run(scene.send(&["--resume"])).expect(0);
    let rows = fs::read(scene.results()).unwrap();
    let again = run(scene.send(&["--resume"])).expect(0);
    assert!(again.stderr.contains("3 notifications: 3 accepted"), "{}", again.stderr);
    assert_eq!(fs::read(scene.results()).unwrap(), rows);
    let quiet = run(scene.send(&["--resume", "--quiet"])).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let taken = scene.taken();
    assert_eq!((taken.len(), taken.values().sum::<u32>()), (3, 3));
}

#[test]
fn without_a_connection_lines_stay_for_another_run() {
    let scene = Scene::new(Protocol::Binary, 500);
    // Nobody listens there any more.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut nowhere = scene.send(&["--timeout", "500ms"]);
    let port = nowhere.iter().position(|argument| argument == "--port").unwrap() + 1;
    nowhere[port] = dead;
    let run = run(nowhere).expect(3);
    assert!(run.stderr.contains("no connection to"), "{}", run.stderr);
    assert!(run.stderr.contains("the same command with --resume goes on"), "{}", run.stderr);
    assert_eq!(scene.rows().len(), 0);
    self::run(scene.send(&["--resume"])).expect(1);
    assert!(scene.rows().values().all(|row| row["outcome"] == "accepted" || row["outcome"] == "rejected"));
    let taken = scene.taken();
    assert_eq!((taken.len(), taken.values().sum::<u32>()), (498, 498));
}

/// The service takes the credential from the second connection on.
fn refused_once(protocol: Protocol, count: u32, script: &str) {
    let scene = Scene::with(protocol, count, script);
    let refused = run(scene.send(&[])).expect(3);
    assert!(refused.stderr.contains("stopped; the same command with --resume goes on"), "{script}: {}", refused.stderr);
    assert_eq!(scene.rows().len(), 0, "{script}: none of them was judged");
    run(scene.send(&["--resume"])).expect(0);
    let rows = scene.rows();
    assert_eq!(rows.len(), count as usize);
    assert!(rows.values().all(|row| row["outcome"] == "accepted"));
    let log = scene.log();
    let refused = log.iter().filter(|entry| entry["status"] == 403).count();
    assert!(refused <= 1, "{script}: {refused} requests were refused on one connection");
    let taken = taken(protocol, &log);
    assert_eq!((taken.len(), taken.values().sum::<u32>()), (count as usize, count), "{script}: each once");
}

#[test]
fn a_refused_credential_is_no_verdict_on_a_line() {
    let reasons = [
        (20_000, "InvalidProviderToken"),
        (20_000, "BadCertificate"),
        (200, "BadCertificateEnvironment"),
        (200, "BadEnvironmentKeyIdInToken"),
        (200, "ExpiredProviderToken"),
        (200, "Forbidden"),
        (200, "MissingProviderToken"),
        (200, "NobodyHasHeardOfIt"),
    ];
    for (count, reason) in reasons {
        let then = format!(r#"[{{"answer_with": {{"status": 403, "reason": "{reason}"}}}}]"#);
        refused_once(
            Protocol::Http2,
            count,
            &format!(r#"{{"http2": {{"rules": [{{"when": {{"connection": 1}}, "then": {then}}}]}}}}"#),
        );
    }
}

#[test]
fn a_certificate_that_is_refused_by_tls_or_as_the_connection_closes_is_no_verdict_on_a_line() {
    let go_away = r#"{"http2": {"rules": [
        {"when": {"connection": 1}, "then": [{"go_away": {"reason": "BadCertificate", "last_stream": "before"}}]}
    ]}}"#;
    refused_once(Protocol::Http2, 200, go_away);
    for fault in ["refuse_revoked", "refuse_expired", "refuse_unknown_authority"] {
        let http2 = format!(r#"{{"http2": {{"connections": [{{"connection": 1, "handshake": "{fault}"}}]}}}}"#);
        refused_once(Protocol::Http2, if fault == "refuse_revoked" { 20_000 } else { 200 }, &http2);
        let gateway = format!(r#"{{"gateway": {{"connections": [{{"connection": 1, "handshake": "{fault}"}}]}}}}"#);
        refused_once(Protocol::Binary, if fault == "refuse_revoked" { 20_000 } else { 200 }, &gateway);
    }
    // The topic of the certificate, on the binary protocol.
    refused_once(
        Protocol::Binary,
        200,
        r#"{"gateway": {"rules": [{"when": {"connection": 1}, "then": {"refuse": {"status": 3}}}]}}"#,
    );
}

#[test]
fn files_that_are_torn_or_changed_are_noticed() {
    let scene = Scene::new(Protocol::Http2, 400);
    let child = apns(scene.send(&["--rate", "400"])).spawn().unwrap();
    interrupt_with_rows(&scene, child, 20).expect(1);
    let (results, journal) = (fs::read(scene.results()).unwrap(), fs::read(scene.journal()).unwrap());
    let resume = scene.send(&["--resume"]);
    let refused = |words: &str| {
        let run = run(&resume).expect(2);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    };

    fs::write(scene.journal(), &journal[..5000]).unwrap();
    refused("results.journal is damaged");
    fs::remove_file(scene.journal()).unwrap();
    refused("its journal");
    fs::write(scene.journal(), &journal).unwrap();
    fs::write(scene.results(), &results[..results.len() - 10]).unwrap();
    refused("results was changed since it was written");
    fs::remove_file(scene.results()).unwrap();
    refused("the results that belong to it are missing");
    fs::write(scene.results(), &results).unwrap();

    let batch = fs::read(scene.folder.path("batch")).unwrap();
    scene.folder.write("batch", [&batch, &b"{}\n"[..]].concat());
    refused("the batch is not the one that");
    scene.folder.write("batch", &batch);
    let other = run(scene.send(&["--resume", "--on-loss", "resend"])).expect(2);
    assert!(other.stderr.contains("--on-loss report, and this is resend"), "{}", other.stderr);
    let fresh = run(scene.send(&[])).expect(2);
    assert!(fresh.stderr.contains("is there already: go on with --resume"), "{}", fresh.stderr);
    assert_eq!(fs::read(scene.results()).unwrap(), results);

    // A row that was broken off in the middle of a write is taken away.
    fs::write(scene.results(), [&results, &br#"{"n":399,"id":399,"tok"#[..]].concat()).unwrap();
    let last = run(&resume).expect(1);
    assert!(last.stderr.contains("was broken off, and is taken away"), "{}", last.stderr);
    assert_eq!(scene.rows().len(), 400);
}

#[test]
fn two_processes_do_not_share_results() {
    let scene = Scene::new(Protocol::Binary, 1000);
    let child = apns(scene.send(&["--rate", "10"])).spawn().unwrap();
    wait_until("it has begun", || size(scene.journal()) > 0);
    let second = run(scene.send(&["--resume"])).expect(2);
    assert!(second.stderr.contains("is being written by another process"), "{}", second.stderr);
    kill(child);
    // The lock went with the process.
    run(scene.send(&["--resume"])).expect(1);
    assert_eq!(scene.rows().len(), 1000);
}

#[test]
fn a_batch_that_can_be_read_once_only_cannot_be_resumed() {
    let scene = Scene::new(Protocol::Binary, 2);
    let mut arguments = scene.send(&["--resume"]);
    let batch = arguments.iter().position(|argument| argument == "--batch").unwrap() + 1;
    arguments[batch] = "-".to_owned();
    let run = run(&arguments).expect(2);
    assert!(run.stderr.contains("standard input cannot: write it to a file first"), "{}", run.stderr);
    assert!(!Path::new(&scene.results()).exists());
    arguments.pop();
    let lines = fs::read(scene.folder.path("batch")).unwrap();
    run_with_stdin(&arguments, &lines).expect(0);
    assert_eq!((scene.rows().len(), Path::new(&scene.journal()).exists()), (2, false));
}

/// The shell's limit on the size of files takes the place of a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_it_and_loses_nothing() {
    let scene = Scene::new(Protocol::Binary, 3000);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$@""#, "sh", env!("CARGO_BIN_EXE_apns")]);
    limited.args(scene.send(&[])).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = finish(limited.spawn().unwrap()).expect(2);
    assert!(run.stderr.contains("results cannot be written"), "{}", run.stderr);
    assert!(run.stderr.contains("the same command with --resume goes on"), "{}", run.stderr);
    self::run(scene.send(&["--resume"])).expect(1);
    let rows = scene.rows();
    assert_eq!(rows.len(), 3000);
    let taken = scene.taken();
    for (n, row) in rows {
        let times = taken.get(&n).copied().unwrap_or_default();
        assert!(times <= 1, "{row}");
        assert!(times == 1 || row["outcome"] == "unknown" || row["outcome"] == "rejected", "{row}");
    }
}

#[test]
fn a_rate_and_several_connections_are_kept() {
    let scene = Scene::new(Protocol::Http2, 60);
    let begun = Instant::now();
    let options = ["--rate", "100", "--connections", "3"];
    run(scene.send(&options)).expect(0);
    // The first goes at once; 20 ms may be caught up with.
    assert!(begun.elapsed() >= Duration::from_millis(590 - 20), "{:?}", begun.elapsed());
    assert_eq!(scene.taken().len(), 60);

    let scene = Scene::new(Protocol::Http2, 20_000);
    run(scene.send(&["--connections", "4", "--quiet"])).expect(1);
    assert_eq!(scene.rows().len(), 20_000);
    let log = fs::read_to_string(scene.folder.path("log")).unwrap();
    let connections: HashSet<_> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["connection"].as_u64().unwrap()).collect();
    assert!(connections.len() > 1, "{connections:?}");
}

#[test]
fn b110_a_token_that_was_registered_again_is_not_to_be_dropped() {
    let script = r#"{"http2": {"unregistered": [{"token": "bad0*", "timestamp_ms": 1700000000000}]}}"#;
    let scene = Scene::with(Protocol::Http2, 1, script);
    let (old, new) = (token(200), token(400));
    let lines = [
        format!(r#"{{"token":"{}"}}"#, token(1)),
        format!(r#"{{"token":"{old}","registered":1600000000}}"#),
        format!(r#"{{"token":"{new}","registered":1800000000}}"#),
    ];
    let batch = scene.folder.write("batch", lines.join("\n"));
    let drop = scene.folder.path("drop");
    let run = run(scene.send(&["--drop-tokens", &drop])).expect(1);
    assert_eq!(fs::read_to_string(&drop).unwrap(), format!("{old}\n"), "{run:?}");
    let clash = self::run(scene.send(&["--resume", "--drop-tokens", &batch])).expect(2);
    assert!(clash.stderr.contains("--drop-tokens would overwrite"), "{}", clash.stderr);
}
