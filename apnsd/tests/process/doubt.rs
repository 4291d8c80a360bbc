//! What is in doubt after a kill: at most what was on the wire at that moment, counted by the peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use apns_sim::{Script, Simulator};
use serde_json::{Value, json};

use tempfile::TempDir;

use crate::victim::{LIMIT, Random, Victim};
use crate::victim::{call, config_text, config_text_to, free_port, get, read_outcomes, token, until};

/// The app that reports what is in doubt.
const APP: &str = "reports";

/// So many go into one call.
const BATCH: usize = 10_000;

/// A daemon that is killed again and again, and its peer.
pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    folder: TempDir,
    pub(crate) api: SocketAddr,
}

impl Scene {
    pub(crate) async fn new(script: &str) -> Self {
        let simulator = Simulator::builder().script(Script::from_json(script).unwrap()).start().await.unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        simulator.write_certificates(folder.path()).unwrap();
        let scene = Self { simulator, folder, api: free_port() };
        std::fs::write(scene.config(), config_text(&scene.simulator, scene.api)).unwrap();
        scene
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("apnsd.toml")
    }

    /// Hands in so many.
    pub(crate) async fn hand_in(&self, count: u64) {
        let path = format!("/v1/apps/{APP}/notifications");
        let all: Vec<Value> = (0..count)
            .map(|number| json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}))
            .collect();
        for batch in all.chunks(BATCH) {
            let body = serde_json::to_string(batch).unwrap();
            // At first it is being started.
            let (status, answer) =
                until("the daemon answers", async || call(self.api, "POST", &path, &body).await).await;
            assert_eq!(status, 202, "{answer}");
        }
    }

    /// The numbers of those that ended as unknown, of so many in all. The peer has to answer by now.
    async fn unknown_of(&self, count: u64) -> BTreeSet<u64> {
        let expected = usize::try_from(count).unwrap();
        let told = tokio::time::timeout(LIMIT, read_outcomes(self.api, APP, expected)).await;
        let outcomes = told.expect("every notification ends");
        let mut ids: Vec<(&str, bool)> = outcomes
            .iter()
            .map(|outcome| match outcome["outcome"].as_str().unwrap() {
                "accepted" => (outcome["id"].as_str().unwrap(), false),
                "unknown" => (outcome["id"].as_str().unwrap(), true),
                _ => panic!("nobody refuses anything here: {outcome}"),
            })
            .collect();
        // One store names them by the order in which they came.
        ids.sort_unstable();
        let numbered = ids.into_iter().zip(0..);
        numbered.filter(|((_, unknown), _)| *unknown).map(|(_, number)| number).collect()
    }

    /// The numbers of those that came over each connection, in the order in which they did.
    fn arrived(&self) -> BTreeMap<u64, Vec<u64>> {
        self.simulator.inspect(|log| {
            let mut arrived: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for request in log.requests() {
                let number = u64::from_str_radix(&request.token_hex()[48..], 16).unwrap();
                arrived.entry(request.connection).or_default().push(number);
            }
            arrived
        })
    }

    fn answer_everything(&self) {
        self.simulator.set_script(Script::from_json("{}").unwrap());
    }
}

/// The peer answers the first request of each connection, so that it has taken the provider token, and no other.
pub(crate) async fn only_what_left_is_in_doubt_with_a_silent_peer(kills: u64) {
    for streams in [1_u64, 100] {
        let script = format!(
            r#"{{"http2": {{"stream_limit": {streams}, "rules": [
                {{"when": {{"arrival_in_connection": 1}}, "then": ["answer"]}},
                {{"when": {{}}, "then": [{{"wait_ms": 3600000}}]}}]}}}}"#
        );
        let scene = Scene::new(&script).await;
        let count = 2 * kills * (streams + 1);
        let mut victim = Victim::start(&scene.config());
        scene.hand_in(count).await;
        for kill in 1..=kills {
            let due = usize::try_from(kill * (streams + 1)).unwrap();
            let full = scene.simulator.wait_for(|log| log.requests().count() >= due);
            tokio::time::timeout(LIMIT, full).await.expect("the peer is filled up");
            victim.kill();
            if kill == kills {
                scene.answer_everything();
            }
            victim = Victim::start(&scene.config());
        }
        let on_the_wire: BTreeSet<u64> = {
            let connections = scene.arrived().into_values().take(usize::try_from(kills).unwrap());
            connections.flat_map(|numbers| numbers.into_iter().skip(1)).collect()
        };
        assert_eq!(on_the_wire.len() as u64, kills * streams);
        let unknown = scene.unknown_of(count).await;
        println!("{streams} streams: {} on the wire when killed, {} unknown", on_the_wire.len(), unknown.len());
        assert_eq!(unknown, on_the_wire);
        victim.kill();
    }
}

/// The peer answers each after a while, and the daemon is killed at any moment.
pub(crate) async fn only_what_left_is_in_doubt_with_a_peer_that_answers(kills: u64, seed: u64) {
    for streams in [1_u64, 100] {
        let script = format!(
            r#"{{"http2": {{"stream_limit": {streams}, "rules": [{{"when": {{}}, "then": [{{"wait_ms": 20}}, "answer"]}}]}}}}"#
        );
        let scene = Scene::new(&script).await;
        // Enough for all the time that passes.
        let count = kills * (streams + 10) * 10;
        let mut victim = Victim::start(&scene.config());
        scene.hand_in(count).await;
        let mut random = Random(seed ^ streams);
        let mut due = 0;
        for _ in 0..kills {
            due += usize::try_from(streams + 1 + random.below(5 * streams)).unwrap();
            let some = scene.simulator.wait_for(|log| log.requests().count() >= due);
            tokio::time::timeout(LIMIT, some).await.expect("it sends");
            tokio::time::sleep(Duration::from_millis(random.below(30))).await;
            victim.kill();
            due = scene.simulator.inspect(|log| log.requests().count());
            victim = Victim::start(&scene.config());
        }
        scene.answer_everything();
        let unknown = scene.unknown_of(count).await;
        let arrived: BTreeSet<u64> = scene.arrived().into_values().flatten().collect();
        let never_left = unknown.difference(&arrived).count();
        println!("{streams} streams, {kills} kills: {} unknown, {never_left} of them never left", unknown.len());
        assert!(unknown.len() as u64 <= kills * streams, "{} unknown", unknown.len());
        // What is about to leave is noted before it does. No more than one of the kills comes between the two.
        assert!(never_left as u64 <= streams, "{never_left} never left");
        victim.kill();
    }
}

/// Nobody listens where it would send.
pub(crate) async fn nothing_is_in_doubt_without_a_provider(kills: u64) {
    let scene = Scene::new("{}").await;
    let nobody = config_text_to(&scene.simulator, free_port().port(), scene.api);
    std::fs::write(scene.config(), nobody).unwrap();
    let mut victim = Victim::start(&scene.config());
    let count = 100;
    scene.hand_in(count).await;
    for kill in 1..=kills {
        until_no_connection(scene.api).await;
        victim.kill();
        if kill == kills {
            std::fs::write(scene.config(), config_text(&scene.simulator, scene.api)).unwrap();
        }
        victim = Victim::start(&scene.config());
    }
    let unknown = scene.unknown_of(count).await;
    println!("no provider, {kills} kills: {} unknown", unknown.len());
    assert_eq!(unknown, BTreeSet::new());
    victim.kill();
}

/// Waits until the daemon has tried to connect in vain.
async fn until_no_connection(api: SocketAddr) {
    let state = format!("apnsd_app_health{{app=\"{APP}\",state=\"no_connection\"}} 1");
    until("it tries to connect", async || get(api, "/metrics").await.contains(&state).then_some(())).await;
}
