//! `apns check --network`: which hop on the way to a service is wrong.

use std::net::TcpListener;

use serde_json::Value;

use crate::proxies::Proxy;
use crate::support::{Run, Sim, run};

fn check(options: &[&str]) -> Run {
    run(["check", "--network", "--json"].iter().chain(options))
}

fn steps(row: &Value) -> Vec<&str> {
    row["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

fn step<'a>(row: &'a Value, name: &str) -> &'a str {
    let found = row["steps"].as_array().unwrap().iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {row}"))["what"].as_str().unwrap()
}

#[test]
fn a_service_that_can_be_reached_is_shown_step_by_step() {
    let sim = Sim::start();
    let (ca, port) = (sim.folder.path("ca.pem"), sim.simulator.http2_address().port().to_string());
    let row = check(&["--host", "localhost", "--port", &port, "--ca", &ca]).expect(0).row();
    assert_eq!(row["works"], true, "{row}");
    assert_eq!(steps(&row), ["resolve", "connect", "tls", "chain", "root", "alpn", "settings"]);
    assert!(step(&row, "root").contains("good until"), "the root is one that was given: {row}");
    assert!(step(&row, "settings").contains("MAX_CONCURRENT_STREAMS"), "{row}");
    assert_eq!(step(&row, "alpn"), "h2");
    let people = run(["check", "--network", "--target", &format!("localhost:{port}"), "--ca", &ca]).expect(0);
    assert!(people.stdout.contains(&format!("localhost:{port}: works")), "{people:?}");
}

#[test]
fn the_hop_that_is_wrong_is_named_for_each_target() {
    let sim = Sim::start();
    let other = Sim::start();
    let ca = sim.folder.path("ca.pem");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let targets = [
        (format!("localhost:{}", sim.simulator.http2_address().port()), None),
        (format!("localhost:{}", other.simulator.http2_address().port()), Some("tls")),
        (format!("localhost:{}", silent.local_addr().unwrap().port()), Some("tls")),
        (format!("localhost:{closed_port}"), Some("connect")),
        ("no-such-host.invalid:443".to_owned(), Some("resolve")),
        // It speaks TLS, and no HTTP/2.
        (format!("localhost:{}", sim.simulator.gateway_address().port()), Some("")),
    ];
    let mut options = vec!["--ca", &ca, "--timeout", "2s"];
    targets.iter().for_each(|(target, _)| options.extend(["--target", target]));
    let told = check(&options).expect(3);
    let rows: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), targets.len(), "{told:?}");
    for (row, (target, wrong)) in rows.iter().zip(&targets) {
        assert_eq!(row["target"], target.as_str());
        assert_eq!(row["works"], wrong.is_none(), "{row}");
        match wrong {
            None => assert_eq!(row["wrong"], Value::Null, "{row}"),
            Some("") => assert!(["tls", "alpn", "settings"].contains(&row["wrong"].as_str().unwrap()), "{row}"),
            Some(wrong) => assert_eq!(row["wrong"], *wrong, "{row}"),
        }
        assert_eq!(row["what"].is_string(), wrong.is_some(), "{row}");
    }
    let connect = rows[3]["remedy"].as_str().unwrap();
    assert!(connect.contains("--port") && !connect.contains("2197"), "{connect}");
}

#[test]
fn a_proxy_is_a_hop_of_its_own() {
    let sim = Sim::start();
    let ca = sim.folder.path("ca.pem");
    let proxy = Proxy::to(sim.simulator.http2_address());
    let told = check(&["--proxy", &proxy.url, "--ca", &ca]).expect(0);
    let rows: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 6, "all of Apple's: {told:?}");
    for row in &rows {
        assert_eq!((&row["works"], &row["proxy"]), (&Value::Bool(true), &Value::from(proxy.url.clone())), "{row}");
        assert_eq!(steps(row)[..2], ["proxy_resolve", "proxy_connect"], "{row}");
    }
    let closed = Proxy::saying("HTTP/1.1 403 Forbidden\r\n\r\n");
    let told = check(&["--proxy", &closed.url, "--ca", &ca, "--target", "api.push.apple.com:443"]).expect(3);
    assert_eq!(told.row()["wrong"], "proxy", "{told:?}");
    let gone = check(&["--proxy", "http://no-such-host.invalid:1", "--target", "api.push.apple.com:443"]).expect(3);
    assert_eq!(gone.row()["wrong"], "proxy_resolve", "{gone:?}");
}
