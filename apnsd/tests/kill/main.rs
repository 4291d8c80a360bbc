//! Kills the daemon again and again while callers hand in notifications, and then counts.
//!
//! Two apps send, one that reports what may have been lost and one that sends it again. Ten callers hand in, each asks
//! again with the same idempotency keys when the daemon dies before it answers. At the end, for each notification that was
//! accepted there is one outcome; none that counts as accepted is missing at the pretend Apple; and there are copies only
//! of those whose outcome says that there may be.
//!
//! ```sh
//! APNSD_KILL_NOTIFICATIONS=200000 APNSD_KILLS=20 cargo test -p apnsd --release --test kill
//! ```
//!
//! Called with `daemon FILE` this program is the daemon that is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although it brings its own main")]

mod doubt;
#[cfg(unix)]
mod stop;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use apnsd::config::Config;
use apnsd::{Daemon, Signals};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const CALLERS: u64 = 10;
const APPS: [&str; 2] = ["reports", "resends"];
/// Nothing here takes longer by itself.
const LIMIT: Duration = Duration::from_secs(300);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [_, word, file] = &arguments[..]
        && word == "daemon"
    {
        runtime.block_on(be_the_daemon(Path::new(file)));
        return;
    }
    // A test runner asks what there is to run.
    if arguments.iter().any(|argument| argument == "--list") {
        // Among the tests that are left out by default there is none.
        if !arguments.iter().any(|argument| argument == "--ignored") {
            TESTS.iter().for_each(|name| println!("{name}: test"));
        }
        return;
    }
    let filter = arguments.get(1).filter(|argument| !argument.starts_with('-'));
    let (notifications, kills) = (number("APNSD_KILL_NOTIFICATIONS", 6000), number("APNSD_KILLS", 5));
    let seed = number("APNSD_KILL_SEED", u64::from(std::process::id()));
    for name in TESTS.iter().filter(|name| filter.is_none_or(|filter| name.contains(filter.as_str()))) {
        println!("{name}: {notifications} notifications, {kills} kills, seed {seed}");
        match *name {
            LOSS => runtime.block_on(nothing_is_lost_when_the_daemon_is_killed(notifications, kills, seed)),
            FULL => runtime.block_on(doubt::only_what_left_is_in_doubt_with_a_silent_peer(kills)),
            BUSY => runtime.block_on(doubt::no_more_is_in_doubt_than_the_peer_has_streams(kills, seed)),
            #[cfg(unix)]
            SECOND => runtime.block_on(stop::a_second_signal_ends_at_once()),
            _ => runtime.block_on(doubt::nothing_is_in_doubt_without_a_provider(kills)),
        }
    }
}

const LOSS: &str = "nothing_is_lost_when_the_daemon_is_killed";
const FULL: &str = "only_what_left_is_in_doubt_with_a_silent_peer";
const BUSY: &str = "no_more_is_in_doubt_than_the_peer_has_streams";
const ALONE: &str = "nothing_is_in_doubt_without_a_provider";
#[cfg(unix)]
const SECOND: &str = "a_second_signal_ends_at_once";
#[cfg(unix)]
const TESTS: [&str; 5] = [LOSS, FULL, BUSY, ALONE, SECOND];
#[cfg(not(unix))]
const TESTS: [&str; 4] = [LOSS, FULL, BUSY, ALONE];

async fn be_the_daemon(file: &Path) {
    let signals = Signals::listen().unwrap();
    let daemon = Daemon::start(Config::load(file).unwrap()).await.unwrap();
    daemon.run(None, signals).await;
}

/// A child that does not outlive the test.
struct Victim(Child);

impl Victim {
    fn start(config: &Path) -> Self {
        Self(Command::new(std::env::current_exe().unwrap()).arg("daemon").arg(config).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Splitmix: numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The token of a notification names it.
fn token(number: u64) -> String {
    format!("{:048x}{number:016x}", 0xab)
}

async fn nothing_is_lost_when_the_daemon_is_killed(notifications: u64, kills: u64, seed: u64) {
    let simulator = Simulator::start().await.unwrap();
    let folder = Folder(std::env::temp_dir().join(format!("apnsd-kill-{}", std::process::id())));
    simulator.write_certificates(&folder.0).unwrap();
    let config = folder.0.join("apnsd.toml");
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

/// A port that was free a moment ago, and stays the same from one daemon to the next.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn app_of(number: u64) -> &'static str {
    APPS[usize::try_from(number % 2).unwrap()]
}

fn config_text(simulator: &Simulator, api: SocketAddr) -> String {
    config_text_to(simulator, simulator.http2_address().port(), api)
}

fn config_text_to(simulator: &Simulator, port: u16, api: SocketAddr) -> String {
    let mut text = format!("data = \"data\"\n[api]\nlisten = \"{api}\"\n[pyapns]\nenabled = false\n");
    for app in APPS {
        text.push_str(&format!(
            "[apps.{app}]\nenvironment = \"sandbox\"\nsigning_key = \"AuthKey_SIMULATOR.p8\"\nkey_id = \"{}\"\n\
             team_id = \"{}\"\ntopic = \"com.example.app\"\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\n",
            simulator.key_id(),
            simulator.team_id(),
        ));
        if app == "resends" {
            text.push_str("loss = \"resend\"\nresend_at_most = 1000\n");
        }
    }
    text
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

/// One request over a connection that is kept; `None` when the connection is lost before the answer is whole.
async fn post(connection: &mut Option<TcpStream>, api: SocketAddr, path: &str, body: &str) -> Option<(u16, String)> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(TcpStream::connect(api).await.ok()?),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some((status, String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// All outcomes of an app, from the very first on, until there are so many.
async fn read_outcomes(api: SocketAddr, app: &str, expected: usize) -> Vec<Value> {
    let mut stream = loop {
        match TcpStream::connect(api).await {
            Ok(stream) => break stream,
            // It is being started.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let head = format!("GET /v1/apps/{app}/outcomes?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut outcomes = Vec::with_capacity(expected);
    let mut bytes = Vec::new();
    while outcomes.len() < expected {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the stream goes on");
        let mut done = 0;
        // Each event is a chunk of its own, so its lines are whole.
        while let Some(end) = bytes[done..].iter().position(|byte| *byte == b'\n') {
            if let Some(data) = bytes[done..done + end].strip_prefix(b"data: ") {
                outcomes.push(serde_json::from_slice(data).unwrap());
            }
            done += end + 1;
        }
        bytes.drain(..done);
    }
    outcomes
}
