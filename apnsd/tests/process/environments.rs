//! An app for both environments whose daemon is killed while it finds out where device tokens belong: one outcome for each
//! notification, and none that is false.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apns_sim::{Script, Simulator};
use serde_json::{Value, json};

use crate::victim::{LIMIT, Random, Victim, call, free_port, read_outcomes, until};

/// The apps: one reports what is in doubt, the other sends it again.
const APPS: [&str; 2] = ["reports", "resends"];

/// A token whose first byte says where it belongs.
fn token(home: &str, app: usize, number: u64) -> String {
    format!("{}{app:016x}{number:016x}", home.repeat(16))
}

/// Slow enough for a kill to come in the middle.
async fn simulator(others: &str) -> Simulator {
    let script = json!({
        "invalid_tokens": [others],
        "http2": {"rules": [{"when": {}, "then": [{"wait_ms": 10}, "answer"]}], "stream_limit": 20},
    });
    Simulator::builder().script(Script::from_json(&script.to_string()).unwrap()).start().await.unwrap()
}

/// How often each token was asked for in vain, and accepted, by one environment.
fn asked(simulator: &Simulator) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let (mut refused, mut accepted) = (BTreeMap::new(), BTreeMap::new());
    simulator.inspect(|log| {
        for request in log.requests() {
            let counts = if request.status == Some(200) { &mut accepted } else { &mut refused };
            *counts.entry(request.token_hex()).or_default() += 1;
        }
    });
    (refused, accepted)
}

pub(crate) async fn a_daemon_that_is_killed_finds_out_what_it_had_not(kills: u64, seed: u64) {
    let (production, sandbox) = (simulator("bb*").await, simulator("aa*").await);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    production.write_certificates(folder.path().join("production")).unwrap();
    sandbox.write_certificates(folder.path().join("sandbox")).unwrap();
    std::fs::write(folder.path().join("ca.pem"), format!("{}{}", production.ca_pem(), sandbox.ca_pem())).unwrap();
    let (api, config) = (free_port(), folder.path().join("apnsd.toml"));
    let mut text = format!("data = \"data\"\n[api]\nlisten = \"{api}\"\n[pyapns]\nenabled = false\n");
    for app in APPS {
        let loss = if app == "resends" { "loss = \"resend\"\nresend_at_most = 1000\n" } else { "" };
        text += &format!(
            "[apps.{app}]\nenvironment = \"auto\"\nteam_id = \"{}\"\ntopic = \"com.example.app\"\nca = \"ca.pem\"\n\
             wrong_probes = 10000\n{loss}",
            production.team_id()
        );
        for (name, simulator) in [("production", &production), ("sandbox", &sandbox)] {
            text += &format!(
                "[apps.{app}.{name}]\nsigning_key = \"{name}/AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\nhost = \"localhost\"\n\
                 port = {}\n",
                simulator.key_id(),
                simulator.http2_address().port()
            );
        }
    }
    std::fs::write(&config, text).unwrap();

    let each = kills * 200;
    let mut victim = Victim::start(&config);
    for (number, app) in APPS.iter().enumerate() {
        let all: Vec<Value> = (0..each)
            .map(|one| json!({"token": token(if one % 2 == 0 { "aa" } else { "bb" }, number, one), "payload": {"aps": {}}}))
            .collect();
        let (path, body) = (format!("/v1/apps/{app}/notifications"), serde_json::to_string(&all).unwrap());
        let (status, answer) = until("the daemon answers", async || call(api, "POST", &path, &body).await).await;
        assert_eq!(status, 202, "{answer}");
    }
    let mut random = Random(seed);
    let requests = || production.counts().requests + sandbox.counts().requests;
    for _ in 0..kills {
        let due = requests() + 20 + random.below(200);
        let some = until("it sends", async || (requests() >= due).then_some(()));
        some.await;
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
        victim.kill();
        victim = Victim::start(&config);
    }

    for app in APPS {
        let told = tokio::time::timeout(LIMIT, read_outcomes(api, app, usize::try_from(each).unwrap())).await;
        let outcomes = told.expect("every notification ends");
        let ids: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len() as u64, each, "one outcome each");
        let count = |word: &str| outcomes.iter().filter(|outcome| outcome["outcome"] == word).count() as u64;
        let (accepted, unknown) = (count("accepted"), count("unknown"));
        println!("{app}: {accepted} accepted, {unknown} unknown, {each} in all");
        assert_eq!(accepted + unknown, each, "no token is dead, and nothing else went wrong");
        assert!(app == "reports" || unknown == 0, "what is in doubt is sent again");
        let ((wrong_there, taken_there), (wrong_here, taken_here)) = (asked(&production), asked(&sandbox));
        let of = |counts: &BTreeMap<String, u64>| -> Vec<u64> {
            let number = APPS.iter().position(|one| *one == app).unwrap();
            let mine = format!("{number:016x}");
            counts.iter().filter(|(token, _)| token[32..48] == mine).map(|(_, count)| *count).collect()
        };
        let (taken, wrong) =
            ([of(&taken_there), of(&taken_here)].concat(), [of(&wrong_there), of(&wrong_here)].concat());
        assert!(taken.len() as u64 >= accepted, "what is called accepted was accepted");
        for outcome in outcomes.iter().filter(|outcome| outcome["outcome"] == "accepted") {
            assert!(["production", "sandbox"].contains(&outcome["environment"].as_str().unwrap()), "{outcome}");
        }
        if app == "reports" {
            assert!(taken.iter().all(|count| *count == 1), "nothing is sent twice");
            assert!(wrong.iter().all(|count| *count == 1), "what was found out before the kill is known after it");
        }
        println!("{app}: {} wrong probes for {} tokens", wrong.iter().sum::<u64>(), wrong.len());
    }
    victim.kill();
}
