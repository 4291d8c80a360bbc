//! Several daemons on one PostgreSQL: killed, stopped beyond their lease, cut off by a crash of the server, while callers hand
//! in notifications at any of them. At the end the same holds as of one: one outcome for each that was accepted, none that is
//! false, and copies only where the outcome says that there may be.
//!
//! ```sh
//! APNSD_CLUSTER_NOTIFICATIONS=1000000 APNSD_CLUSTER_FAULTS=50 APNSD_KILL_SEED=1 \
//!     cargo test -p apnsd --features postgres --release --test process several_daemons
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::postgres::Server;
use crate::victim::{
    APPS, LIMIT, Random, Victim, call, config_text, free_port, get, post, read_outcomes, token, until,
};

const CALLERS: u64 = 10;
const NODES: usize = 3;
/// The shortest that the configuration takes.
const LEASE: Duration = Duration::from_secs(5);

/// Three daemons, their server and their service.
struct Cluster {
    simulator: Simulator,
    folder: tempfile::TempDir,
    apis: Vec<SocketAddr>,
    nodes: Vec<Victim>,
}

impl Cluster {
    async fn start(url: &str) -> Self {
        let simulator = Simulator::start().await.unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        simulator.write_certificates(folder.path()).unwrap();
        let apis: Vec<SocketAddr> = (0..NODES).map(|_| free_port()).collect();
        for (node, api) in apis.iter().enumerate() {
            let store = format!("[store]\nurl = \"{url}\"\nnode = \"node-{node}\"\nlease = \"{}s\"\n", LEASE.as_secs());
            let text = config_text(&simulator, *api) + &store;
            std::fs::write(folder.path().join(format!("node-{node}.toml")), text).unwrap();
        }
        let mut cluster = Self { simulator, folder, apis, nodes: Vec::new() };
        for node in 0..NODES {
            cluster.nodes.push(Victim::start(&cluster.config(node)));
        }
        cluster.all_answer().await;
        cluster
    }

    fn config(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}.toml"))
    }

    async fn all_answer(&self) {
        for api in &self.apis {
            until("each node answers", async || (!get(*api, "/v1/apps").await.is_empty()).then_some(())).await;
        }
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
        self.nodes[node] = Victim::start(&self.config(node));
    }
}

/// What happens while callers hand in.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A node is killed, and started again.
    Kill(usize),
    /// A node stands still for longer than its lease, with all that it has on the way.
    Stop(usize),
    /// The server crashes, and is started again.
    Crash,
}

fn faults(count: u64, random: &mut Random) -> Vec<Fault> {
    let fault = |nth: u64, random: &mut Random| {
        let node = usize::try_from(random.below(NODES as u64)).unwrap();
        match nth % 3 {
            0 => Fault::Kill(node),
            1 => Fault::Stop(node),
            _ => Fault::Crash,
        }
    };
    (0..count).map(|nth| fault(nth, random)).collect()
}

pub(crate) async fn several_daemons_give_each_notification_one_outcome(notifications: u64, count: u64, seed: u64) {
    let Some(server) = Server::alone() else { return };
    let url = server.database().await;
    let mut cluster = Cluster::start(&url).await;
    let began = Instant::now();
    let (progress, mut watched) = watch::channel(0_u64);
    let progress = Arc::new(progress);
    let next = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (next, progress, apis) = (next.clone(), progress.clone(), cluster.apis.clone());
            tokio::spawn(call_for_all(apis, next, notifications, Random(seed ^ (caller << 40)), progress))
        })
        .collect();

    let mut random = Random(seed);
    let planned = faults(count, &mut random);
    println!("seed {seed}: {planned:?}");
    for (nth, fault) in planned.into_iter().enumerate() {
        let place = (nth as u64 + 1) * notifications * 9 / 10 / (count + 1);
        watched.wait_for(|accepted| *accepted >= place).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        match fault {
            Fault::Kill(node) => cluster.kill(node),
            Fault::Stop(node) => {
                cluster.nodes[node].signal("-STOP");
                tokio::time::sleep(LEASE + Duration::from_millis(1000 + random.below(4000))).await;
                cluster.nodes[node].signal("-CONT");
            }
            Fault::Crash => server.crash(),
        }
    }
    let mut ids = BTreeMap::new();
    for caller in callers {
        for (number, id) in caller.await.unwrap() {
            assert!(ids.insert(id, number).is_none(), "an id names one notification");
        }
    }
    assert_eq!(ids.len() as u64, notifications);
    let handed_in = began.elapsed();

    // From a node that need not be the one that delivered.
    let mut outcomes: BTreeMap<u64, Value> = BTreeMap::new();
    for (app, api) in APPS.iter().zip(&cluster.apis) {
        let expected = ids.values().filter(|number| app_of(**number) == *app).count();
        let told = tokio::time::timeout(LIMIT, read_outcomes(*api, app, expected)).await;
        for outcome in told.expect("every notification ends") {
            let id = outcome["id"].as_str().unwrap();
            let number = *ids.get(id).unwrap_or_else(|| panic!("nobody handed in {outcome}"));
            assert_eq!(app_of(number), *app);
            assert!(outcomes.insert(number, outcome).is_none(), "one outcome each");
        }
    }
    let ended = began.elapsed();
    cluster.nodes.clear();

    let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
    cluster.simulator.inspect(|log| {
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
            "unknown" => unknown += 1,
            _ => panic!("nobody refuses anything here: {outcome}"),
        }
        assert!(count <= 1 + replays, "{count} copies, and the outcome knows of {replays}: {outcome}");
    }
    assert!(arrived.keys().all(|number| outcomes.contains_key(number)), "nothing was sent that nobody handed in");
    println!(
        "handed in within {handed_in:.1?}, all ended within {ended:.1?}: {unknown} reported as unknown, {replayed} sent again \
         and marked, {copies} copies arrived"
    );
}

fn app_of(number: u64) -> &'static str {
    APPS[usize::try_from(number % 2).unwrap()]
}

/// Takes numbers and hands in their notifications, each time at any node, until all are accepted. Gives number and id.
async fn call_for_all(
    apis: Vec<SocketAddr>,
    next: Arc<AtomicU64>,
    notifications: u64,
    mut random: Random,
    progress: Arc<watch::Sender<u64>>,
) -> Vec<(u64, String)> {
    let mut accepted = Vec::new();
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
            let batch = numbers.iter().map(|number| {
                json!({"token": token(*number), "payload": {"aps": {"alert": "Tea is ready"}},
                       "idempotency_key": format!("number-{number}")})
            });
            let body = Value::Array(batch.collect()).to_string();
            let path = format!("/v1/apps/{app}/notifications");
            let deadline = Instant::now() + LIMIT;
            let receipts = loop {
                assert!(Instant::now() < deadline, "the nodes came back");
                let api = apis[usize::try_from(random.below(apis.len() as u64)).unwrap()];
                // One that stands still does not answer, and the next node has the same keys.
                let asked = tokio::time::timeout(Duration::from_secs(4), post(&mut None, api, &path, &body)).await;
                match asked.unwrap_or_default() {
                    Some((202, answer)) => break answer,
                    // Its server is away.
                    Some((503, _)) | None => {}
                    Some((status, answer)) => panic!("{status}: {answer}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            let receipts: Vec<Value> = serde_json::from_str(&receipts).unwrap();
            assert_eq!(receipts.len(), numbers.len());
            progress.send_modify(|count| *count += numbers.len() as u64);
            let ids = receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned());
            accepted.extend(numbers.into_iter().zip(ids));
        }
    }
}

/// Submits one, and waits for its outcome at the same node.
async fn deliver(api: SocketAddr, number: u64) -> Value {
    let body = json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}).to_string();
    let answered = call(api, "POST", "/v1/apps/reports/notifications?wait=30s", &body).await.unwrap();
    serde_json::from_str(&answered.1).unwrap()
}

/// Whoever asks need not know which node delivers.
pub(crate) async fn each_node_of_several_tells_the_same() {
    let Some(server) = crate::postgres::server() else { return };
    let mut cluster = Cluster::start(&server.database().await).await;
    for (number, api) in (0..).zip(cluster.apis.clone()) {
        let told = Instant::now();
        let receipt = deliver(api, number).await;
        assert_eq!(receipt["outcome"]["outcome"], "accepted", "{receipt}");
        println!("an outcome from any node: {:?}", told.elapsed());
        let id = receipt["id"].as_str().unwrap();
        for other in &cluster.apis {
            let found: Value = serde_json::from_str(&get(*other, &format!("/v1/notifications/{id}")).await).unwrap();
            assert_eq!(found["state"], "settled", "{found}");
        }
    }
    // A pause at one is a pause at all.
    assert_eq!(call(cluster.apis[0], "POST", "/v1/apps/reports/pause", "{}").await.unwrap().0, 200);
    for api in &cluster.apis {
        until("each node knows of the pause", async || {
            get(*api, "/v1/apps").await.contains("\"paused\"").then_some(())
        })
        .await;
    }
    assert_eq!(call(cluster.apis[1], "POST", "/v1/apps/reports/resume", "").await.unwrap().0, 200);
    // What a node holds is delivered by another when it is gone: at once when it was told to stop, after its lease otherwise.
    for signal in ["-TERM", "-KILL"] {
        let holder = until("some node delivers", async || {
            let mut holders = Vec::new();
            for (node, api) in cluster.apis.iter().enumerate() {
                let requests = get(*api, "/metrics").await;
                if requests
                    .lines()
                    .any(|line| line.starts_with("apnsd_connections{app=\"reports\"") && !line.ends_with(" 0"))
                {
                    holders.push(node);
                }
            }
            holders.first().copied()
        })
        .await;
        cluster.nodes[holder].signal(signal);
        let told = Instant::now();
        let survivor = cluster.apis[(holder + 1) % NODES];
        let receipt = deliver(survivor, 100).await;
        assert_eq!(receipt["outcome"]["outcome"], "accepted", "{receipt}");
        println!("taken over after {signal} within {:?}", told.elapsed());
        if signal == "-TERM" {
            assert!(told.elapsed() < LEASE, "{:?}", told.elapsed());
        } else {
            assert!(told.elapsed() < LEASE + Duration::from_secs(5), "{:?}", told.elapsed());
        }
        cluster.nodes[holder].child.wait().unwrap();
        cluster.nodes[holder] = Victim::start(&cluster.config(holder));
        cluster.all_answer().await;
    }
}
