//! `apns check --live`: which part of a credential is wrong, asked of the service.

use std::net::TcpListener;

use serde_json::Value;

use crate::proxies::Proxy;
use crate::support::{Run, Sim, run};

const NOBODY: &str = r#"{"invalid_tokens": ["*"]}"#;

fn live(sim: &Sim, options: &[&str]) -> Run {
    let key = sim.folder.path("AuthKey_SIMULATOR0.p8");
    let mut arguments = sim.to_provider(&["check", "--live", "--json", "--topic", "com.example.app", "--p8", &key]);
    for (flag, id) in [("--key-id", sim.simulator.key_id()), ("--team-id", sim.simulator.team_id())] {
        arguments.extend([flag.to_owned(), id.to_owned()]);
    }
    for pair in options.chunks(2) {
        match arguments.iter().position(|argument| argument == pair[0]) {
            Some(place) => pair[1].clone_into(&mut arguments[place + 1]),
            None => arguments.extend(pair.iter().map(ToString::to_string)),
        }
    }
    run(arguments)
}

#[track_caller]
fn wrong(run: Run, part: &str) -> Value {
    let row = run.expect(3).row();
    assert_eq!((&row["works"], &row["wrong"]), (&Value::Bool(false), &Value::from(part)), "{row}");
    assert!(row["what"].as_str().is_some_and(|what| !what.is_empty()), "{row}");
    row
}

#[test]
fn a_device_that_nobody_has_proves_the_credential() {
    let sim = Sim::scripted(NOBODY);
    let row = live(&sim, &[]).expect(0).row();
    assert_eq!((&row["works"], &row["reason"]), (&Value::Bool(true), &Value::from("BadDeviceToken")), "{row}");
    assert!(row["what"].as_str().unwrap().starts_with("key, team, topic and environment are right"), "{row}");
    // The file alone says which kind of credential it is.
    let mut arguments = sim.to_provider(&["check", "--live", &sim.folder.path("client.pem")]);
    arguments.extend(["--cert-key".to_owned(), sim.folder.path("client.key")]);
    let told = run(arguments).expect(0);
    assert!(told.stdout.contains("works") && told.stdout.contains("certificate, topic"), "{told:?}");
    let asked = sim.simulator.requests();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].token, asked[1].token, "each run asks for another device");
}

#[test]
fn what_is_wrong_with_a_key_is_named() {
    let sim = Sim::scripted(NOBODY);
    for (option, value) in [("--key-id", "WRONGKEY00"), ("--team-id", "WRONGTEAM0")] {
        let row = wrong(live(&sim, &[option, value]), "key");
        assert_eq!(row["reason"], "InvalidProviderToken", "{row}");
    }
    // The name of the file knows better.
    let named = sim.folder.write("AuthKey_SIMULATOR0.p8", sim.simulator.signing_key_pem());
    let mut arguments = sim.to_provider(&["check", &named, "--live", "--json", "--topic", "com.example.app"]);
    arguments.extend(["--team-id", sim.simulator.team_id(), "--key-id", "WRONGKEY00"].map(str::to_owned));
    let row = wrong(run(arguments), "key");
    assert!(row["remedy"].as_str().unwrap().contains("SIMULATOR0"), "{row}");
}

#[test]
fn a_wrong_topic_and_a_wrong_environment_are_named() {
    let sim = Sim::scripted(r#"{"http2": {"topics": ["com.example.other"]}}"#);
    assert_eq!(wrong(live(&sim, &[]), "topic")["reason"], "TopicDisallowed");
    let sim = Sim::scripted(r#"{"http2": {"keys": [{"key_id": "SIMULATOR0", "other_environment": true}]}}"#);
    assert_eq!(wrong(live(&sim, &[]), "environment")["status"], 403);
    let none = run(sim.to_provider(&["check", "--live", "--p8", &sim.folder.path("AuthKey_SIMULATOR0.p8")])).expect(2);
    assert!(none.stderr.contains("no --topic"), "{none:?}");
}

#[test]
fn a_wrong_way_to_the_service_is_named() {
    let sim = Sim::start();
    let other = Sim::start();
    let row = wrong(live(&sim, &["--ca", &other.folder.path("ca.pem")]), "tls");
    assert!(row["remedy"].as_str().unwrap().contains("--ca"), "{row}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port().to_string();
    drop(nobody);
    wrong(live(&sim, &["--port", &port]), "network");
    // It takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let row = wrong(live(&sim, &["--port", &port, "--timeout", "1s"]), "tls");
    assert!(row["what"].as_str().unwrap().contains("did not finish the handshake"), "{row}");
    drop(silent);
    // It speaks TLS, and never answers.
    let deaf = Sim::scripted(r#"{"http2": {"rules": [{"then": []}]}}"#);
    let row = wrong(live(&deaf, &["--timeout", "1s"]), "service");
    assert!(row["what"].as_str().unwrap().contains("answered nothing in time"), "{row}");
}

#[test]
fn without_a_host_both_environments_of_apple_are_asked() {
    let wrong = r#"{"when": {"connection": 1}, "then": [{"answer_with": {"status": 403, "reason": "BadEnvironmentKeyIdInToken"}}]}"#;
    let sim = Sim::scripted(&format!(r#"{{"invalid_tokens": ["*"], "http2": {{"rules": [{wrong}]}}}}"#));
    let proxy = Proxy::to(sim.simulator.http2_address());
    let (key, ca) = (sim.folder.path("AuthKey_SIMULATOR0.p8"), sim.folder.path("ca.pem"));
    let options = ["check", &key, "--live", "--json", "--topic", "com.example.app", "--proxy", &proxy.url, "--ca", &ca];
    let ids = ["--key-id", sim.simulator.key_id(), "--team-id", sim.simulator.team_id()];
    let told = run(options.iter().chain(&ids)).expect(0);
    let rows: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{told:?}");
    assert_eq!((&rows[0]["environment"], &rows[0]["wrong"]), (&"production".into(), &"environment".into()), "{told:?}");
    assert_eq!((&rows[1]["environment"], &rows[1]["works"]), (&"sandbox".into(), &true.into()), "{told:?}");
    assert_eq!(rows[0]["endpoint"], "api.push.apple.com:443");
    assert_eq!(rows[1]["endpoint"], "api.sandbox.push.apple.com:443");
    let only = run(options.iter().chain(&ids).chain(&["--sandbox"])).expect(0);
    assert_eq!(only.row()["environment"], "sandbox");
}
