//! A webhook, while its receiver and the daemon are killed again and again: each outcome is told once at least, in the order of
//! each app, and none is missing.
//!
//! ```sh
//! APNSD_WEBHOOK_OUTCOMES=200000 APNSD_WEBHOOK_KILLS=5 cargo test -p apnsd --release --test process webhook
//! ```

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::account::Callers;
#[cfg(feature = "postgres")]
use crate::postgres::Server;
use crate::receiver::{Mode, SECRET, State, Taken, serve};
use crate::victim::{APPS, LIMIT, Random, Victim, call, config_text, free_port, get, read_outcomes, until};

/// Called with this word, an address and a file, this program is a receiver that notes there what it takes.
pub(crate) const RECEIVER: &str = "receiver";

pub(crate) async fn be_the_receiver(address: &str, file: &Path) {
    // The one before was killed, and its port may not be free at this moment.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    let file = Arc::new(Mutex::new(file));
    // A line that was cut by a kill is by itself.
    file.lock().write_all(b"\n").unwrap();
    let state = State { mode: Mutex::new(Mode::Take), taken: Mutex::default(), connections: 0.into(), asked: 0.into() };
    // What was written survives a kill. A line is one batch, in one call of the system.
    let keep = move |taken: &Taken| file.lock().write_all(format!("{}\n", taken.event).as_bytes()).unwrap();
    serve(listener, None, Arc::new(state), keep).await;
}

/// A receiver in a process of its own.
struct Receiver {
    address: SocketAddr,
    file: PathBuf,
    child: Child,
}

impl Receiver {
    fn start(address: SocketAddr, file: PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([RECEIVER, &address.to_string()]).arg(&file).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        Self { address, file, child }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Another one in the place of one that was killed.
    fn again(&mut self) {
        *self = Self::start(self.address, self.file.clone());
    }

    /// The batches that it took. A line that was cut by a kill was not answered.
    fn batches(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn table(receiver: &Receiver) -> String {
    format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"http://{}/\"\nsecret_files = [\"crm.secret\"]\n\
         allow = [\"127.0.0.0/8\"]\nwait = \"20ms\"\nfrom = \"beginning\"\n",
        receiver.address
    )
}

/// Compares what was told with the outcomes that there are, app by app, and says in a line how it went.
fn settle(batches: &[Value], outcomes: &BTreeMap<&str, Vec<String>>) -> String {
    let (mut told, mut again) = (0_u64, 0_u64);
    for (app, expected) in outcomes {
        let place: BTreeMap<&str, usize> = expected.iter().map(String::as_str).zip(0..).collect();
        // The place up to which everything was told.
        let mut upto = 0;
        for batch in batches.iter().filter(|batch| batch["data"]["app"] == **app) {
            assert!(batch["data"].get("forgotten_up_to").is_none(), "nothing was forgotten: {batch}");
            let mut before = None;
            for outcome in batch["data"]["outcomes"].as_array().unwrap() {
                let at = place[outcome["id"].as_str().unwrap()];
                assert!(at <= upto, "{app}: {upto} was left out, and {at} was told");
                assert!(before.is_none_or(|before| at == before + 1), "{app}: {at} after {before:?} in one batch");
                told += 1;
                again += u64::from(at < upto);
                upto = upto.max(at + 1);
                before = Some(at);
            }
        }
        assert_eq!(upto, expected.len(), "{app}: the rest is missing");
    }
    format!("{} batches with {told} outcomes, {again} of them told before", batches.len())
}

/// Waits until the webhook has told everything, and reads what there was to tell.
async fn all_outcomes(api: SocketAddr, ids: &BTreeMap<String, u64>) -> BTreeMap<&'static str, Vec<String>> {
    let mut outcomes = BTreeMap::new();
    for (app, nth) in APPS.into_iter().zip(0..) {
        let expected = ids.values().filter(|number| **number % 2 == nth).count();
        let read =
            tokio::time::timeout(LIMIT, read_outcomes(api, app, expected)).await.expect("every notification ends");
        outcomes.insert(app, read.iter().map(|outcome| outcome["id"].as_str().unwrap().to_owned()).collect());
    }
    outcomes
}

async fn all_told(api: SocketAddr) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let shown: Value = serde_json::from_str(&get(api, "/v1/webhooks").await).unwrap_or_default();
        let apps = shown[0]["apps"].as_array().cloned().unwrap_or_default();
        if apps.len() == APPS.len() && apps.iter().all(|told| told["behind"] == 0) {
            return;
        }
        assert!(Instant::now() < deadline, "not all is told: {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A receiver that failed is waited for ever longer. A test event says that it is back.
async fn say_that_it_is_back(api: SocketAddr) {
    until("the receiver takes a test", async || {
        let answer = call(api, "POST", "/v1/webhooks/crm/test", "{}").await?;
        answer.1.contains("\"delivered\":true").then_some(())
    })
    .await;
}

pub(crate) async fn each_outcome_is_told_whoever_is_killed(count: u64, kills: u64, seed: u64) {
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    std::fs::write(folder.path().join("crm.secret"), SECRET).unwrap();
    let mut receiver = Receiver::start(free_port(), folder.path().join("told.jsonl"));
    let api = free_port();
    let config = folder.path().join("apnsd.toml");
    std::fs::write(&config, config_text(&simulator, api) + &table(&receiver)).unwrap();
    let mut victim = Victim::start(&config);
    let (began, mut random) = (Instant::now(), Random(seed));
    let mut callers = Callers::start(&[api], count, seed);
    // By turns, in the middle of everything.
    for nth in 0..kills * 2 {
        callers.have_handed_in((nth + 1) * count * 9 / 10 / (kills * 2 + 1)).await;
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        if nth % 2 == 0 {
            receiver.kill();
            tokio::time::sleep(Duration::from_millis(random.below(400))).await;
            receiver.again();
            say_that_it_is_back(api).await;
        } else {
            victim.kill();
            victim = Victim::start(&config);
        }
    }
    let ids = callers.finish().await;
    let outcomes = all_outcomes(api, &ids).await;
    let ended = began.elapsed();
    say_that_it_is_back(api).await;
    all_told(api).await;
    let told = began.elapsed();
    victim.kill();
    let account = settle(&receiver.batches(), &outcomes);
    println!("{count} outcomes within {ended:.1?}, all told within {told:.1?}: {account}");
}

/// The node that tells is killed, and another one goes on where it was.
#[cfg(feature = "postgres")]
pub(crate) async fn another_node_tells_when_one_is_killed(count: u64, kills: u64, seed: u64) {
    let Some(server) = Server::alone() else { return };
    let url = server.database().await;
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    std::fs::write(folder.path().join("crm.secret"), SECRET).unwrap();
    let mut receiver = Receiver::start(free_port(), folder.path().join("told.jsonl"));
    let apis = [free_port(), free_port()];
    let configs = [0, 1].map(|node| folder.path().join(format!("node-{node}.toml")));
    for (node, config) in configs.iter().enumerate() {
        let store = format!("[store]\nurl = \"{url}\"\nnode = \"node-{node}\"\nlease = \"5s\"\n");
        std::fs::write(config, config_text(&simulator, apis[node]) + &store + &table(&receiver)).unwrap();
    }
    let mut nodes = configs.each_ref().map(|config| Victim::start(config));
    for api in apis {
        until("each node answers", async || (!get(api, "/v1/apps").await.is_empty()).then_some(())).await;
    }
    let began = Instant::now();
    let mut callers = Callers::start(&apis, count, seed);
    let mut killed = std::collections::BTreeSet::new();
    for nth in 0..kills {
        callers.have_handed_in((nth + 1) * count * 9 / 10 / (kills + 1)).await;
        // The one that tells the outcomes of an app.
        let app = APPS[usize::try_from(nth % 2).unwrap()];
        let node = until("some node tells", async || {
            for (node, api) in apis.iter().enumerate() {
                let shown: Value = serde_json::from_str(&get(*api, "/v1/webhooks").await).unwrap_or_default();
                let apps = shown[0]["apps"].as_array().cloned().unwrap_or_default();
                if apps.iter().any(|told| told["app"] == app && told["state"] == "working") {
                    return Some(node);
                }
            }
            None
        })
        .await;
        nodes[node].kill();
        if nth % 2 == 1 {
            receiver.kill();
            receiver.again();
        }
        nodes[node] = Victim::start(&configs[node]);
        killed.insert(node);
    }
    let ids = callers.finish().await;
    let outcomes = all_outcomes(apis[0], &ids).await;
    for api in apis {
        say_that_it_is_back(api).await;
    }
    all_told(apis[0]).await;
    let told = began.elapsed();
    // One is killed and not started again: the other one tells what comes.
    nodes[0].kill();
    let body = serde_json::json!({"token": crate::victim::token(count), "payload": {"aps": {"alert": "Tea is ready"}}})
        .to_string();
    let (_, receipt) = call(apis[1], "POST", "/v1/apps/reports/notifications?wait=60s", &body).await.unwrap();
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    let (id, taken_over) = (receipt["id"].as_str().unwrap().to_owned(), Instant::now());
    until("the other one tells it", async || {
        let last = receiver.batches().pop()?;
        last["data"]["outcomes"].as_array()?.iter().any(|outcome| outcome["id"] == *id).then_some(())
    })
    .await;
    let mut outcomes = outcomes;
    outcomes.get_mut("reports").unwrap().push(id);
    let account = settle(&receiver.batches(), &outcomes);
    println!(
        "{count} outcomes told within {told:.1?} by {} nodes, the last {:.1?} after its outcome: {account}",
        killed.len(),
        taken_over.elapsed()
    );
}
