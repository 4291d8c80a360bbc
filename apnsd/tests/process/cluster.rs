//! Several daemons on one PostgreSQL: killed, stopped beyond their lease, cut off by a crash of the server, while callers hand
//! in notifications at any of them. At the end the same holds as of one: one outcome for each that was accepted, none that is
//! false, and copies only where the outcome says that there may be.
//!
//! ```sh
//! APNSD_CLUSTER_NOTIFICATIONS=1000000 APNSD_CLUSTER_FAULTS=50 APNSD_KILL_SEED=1 \
//!     cargo test -p apnsd --features postgres --release --test process several_daemons
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::{Value, json};

use crate::account::{Callers, outcomes_of, settle_accounts};
use crate::postgres::Server;
use crate::victim::{Random, Victim, call, config_text, free_port, get, token, until};

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
    let mut callers = Callers::start(&cluster.apis, notifications, seed);
    let mut random = Random(seed);
    let planned = faults(count, &mut random);
    println!("seed {seed}: {planned:?}");
    for (nth, fault) in planned.into_iter().enumerate() {
        let place = (nth as u64 + 1) * notifications * 9 / 10 / (count + 1);
        callers.have_handed_in(place).await;
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
    let ids = callers.finish().await;
    let handed_in = began.elapsed();
    // From a node that need not be the one that delivered.
    let outcomes = outcomes_of(&ids, &cluster.apis).await;
    let ended = began.elapsed();
    cluster.nodes.clear();
    let account = settle_accounts(&outcomes, &cluster.simulator);
    println!("handed in within {handed_in:.1?}, all ended within {ended:.1?}: {account}");
}

/// Submits one, and waits for its outcome at the same node.
async fn deliver(api: SocketAddr, number: u64) -> Value {
    let body = json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}).to_string();
    let answered = call(api, "POST", "/v1/apps/reports/notifications?wait=30s", &body).await.unwrap();
    serde_json::from_str(&answered.1).unwrap()
}

/// A caller need not know which node delivers.
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
