//! The feedback service, and how its list ended.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Sim, run};

const RECORDS: &str =
    r#""records": [{"token": "deadbeef", "timestamp": 1700000000}, {"token": "00ff", "timestamp": 1}]"#;

#[test]
fn records_are_listed_once() {
    let sim = Sim::scripted(&format!(r#"{{"feedback": {{{RECORDS}}}}}"#));
    let first = run(sim.feedback(&["--json"])).expect(0);
    let rows: Vec<serde_json::Value> = first.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [json!({"token": "deadbeef", "timestamp": 1_700_000_000}), json!({"token": "00ff", "timestamp": 1})];
    assert_eq!(rows, expected);
    assert!(first.stderr.contains("2 records; the list is complete"), "{}", first.stderr);

    let second = run(sim.feedback(&["--json"])).expect(0);
    assert_eq!(second.stdout, "");
    assert!(second.stderr.contains("0 records; the list is complete"), "{}", second.stderr);
}

#[test]
fn a_person_gets_dates() {
    let sim = Sim::scripted(&format!(r#"{{"feedback": {{{RECORDS}}}}}"#));
    let run = run(sim.feedback(&[])).expect(0);
    assert_eq!(run.stdout, "2023-11-14T22:13:20Z  deadbeef\n1970-01-01T00:00:01Z  00ff\n");
}

#[test]
fn p11_a_list_that_is_cut_inside_a_record_is_truncated() {
    let sim = Sim::scripted(&format!(r#"{{"feedback": {{{RECORDS}, "tail": "6553f1"}}}}"#));
    let run = run(sim.feedback(&[])).expect(1);
    assert_eq!(run.stdout.lines().count(), 2);
    assert!(run.stderr.contains("2 records; the list is truncated"), "{}", run.stderr);
}

#[test]
fn b25_a_service_that_never_closes_is_left_after_the_timeout() {
    let sim = Sim::scripted(&format!(r#"{{"feedback": {{{RECORDS}, "ending": "stay_open"}}}}"#));
    let began = Instant::now();
    let run = run(sim.feedback(&["--timeout", "500ms"])).expect(0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(run.stdout.lines().count(), 2);
}

#[test]
fn without_a_connection_there_is_nothing_to_list() {
    let (sim, other) = (Sim::start(), Sim::start());
    let mut untrusted = sim.feedback(&[]);
    let place = untrusted.iter().position(|argument| argument == "--ca").unwrap();
    untrusted[place + 1] = other.folder.path("ca.pem");
    let run_untrusted = run(untrusted).expect(3);
    assert!(run_untrusted.stderr.contains("is not trusted"), "{}", run_untrusted.stderr);

    let mut closed = sim.feedback(&[]);
    let place = closed.iter().position(|argument| argument == "--port").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    closed[place + 1] = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let run_closed = run(closed).expect(3);
    assert!(run_closed.stderr.contains("cannot connect"), "{}", run_closed.stderr);
    assert_eq!((run_untrusted.stdout, run_closed.stdout), (String::new(), String::new()));
}

#[test]
fn a_refused_certificate_is_no_empty_list() {
    let sim =
        Sim::scripted(&format!(r#"{{"feedback": {{{RECORDS}, "connections": [{{"handshake": "refuse_expired"}}]}}}}"#));
    let run = run(sim.feedback(&[])).expect(3);
    assert!(run.stderr.contains("the server refused the client certificate"), "{}", run.stderr);
}
