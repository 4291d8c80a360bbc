//! The numbers that `apns send` serves for Prometheus.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Sim, apns, finish, run, token};

/// What an HTTP server says to a request.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_numbers_can_be_read_while_a_batch_runs() {
    let sim = Sim::scripted(r#"{"invalid_tokens": ["bad0*"]}"#);
    let command = sim.provider(&["--batch", "-", "--body", "Hi", "--metrics", "127.0.0.1:0"]);
    let mut child = apns(command).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for token in [token(1), token(2), "bad00003".to_owned()] {
        writeln!(stdin, "{}", json!({ "token": token })).unwrap();
    }
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = stderr.next().unwrap().unwrap();
    let address = line.strip_prefix("metrics are at http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        rows.next().unwrap().unwrap();
    }

    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    for line in [
        "apns_submitted_total 3",
        "apns_queue_depth 0",
        "apns_in_flight 0",
        "apns_outcomes_total{outcome=\"accepted\",reason=\"confirmed\"} 2",
        "apns_outcomes_total{outcome=\"rejected\",reason=\"BadDeviceToken\"} 1",
        "apns_latency_seconds_count 3",
    ] {
        assert!(body.lines().any(|found| found == line), "{line:?} is not in\n{body}");
    }
    assert!(!answer.contains(&token(1)), "a device token is nobody's business");
    assert!(ask(address, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404 "));

    drop(stdin);
    assert_eq!(finish(child).status, 1, "one was refused");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let sim = Sim::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = run(sim.provider(&["--token", &token(1), "--body", "Hi", "--metrics", &address])).expect(2);
    assert!(run.stderr.contains(&format!("nobody can listen at {address}")), "{}", run.stderr);
}
