//! Batches: lines in, a row for each.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Folder, Sim, apns, finish, run, run_with_stdin, signal, token};

#[test]
fn an_empty_batch_is_all_accepted_and_needs_no_connection() {
    let sim = Sim::start();
    for input in ["", "\n\n  \n"] {
        let run = run_with_stdin(sim.send(&["--batch", "-"]), input.as_bytes()).expect(0);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("0 notifications"), "{}", run.stderr);
    }
    assert_eq!(sim.simulator.counts().gateway_connections, 0);
}

#[test]
fn each_line_has_its_row_whatever_is_wrong_with_the_others() {
    let sim = Sim::scripted(&format!(r#"{{"invalid_tokens": ["{}"]}}"#, token(8)));
    let long = "x".repeat(2100);
    let endless = "y".repeat(70_000);
    let lines = [
        format!(r#"{{"token":"{}","title":"One","id":"a-1"}}"#, token(1)),
        "{\"token\":".to_owned(),
        "[]".to_owned(),
        format!(r#"{{"token":"{}","titel":"x","id":4}}"#, token(4)),
        r#"{"token":"xyz","body":"x","id":{"k":[5]}}"#.to_owned(),
        String::new(),
        format!(r#"{{"token":"{}","body":"{long}"}}"#, token(7)),
        format!(r#"{{"token":"{}","body":"x","id":8}}"#, token(8)),
        format!(r#"{{"token":"{}","body":"{endless}"}}"#, token(9)),
        format!(r#"{{"token":"{}","payload":{{ "b": 1, "aps": {{ "alert": "x" }} }}}}"#, token(10).to_uppercase()),
        r#"{"body":"x"}"#.to_owned(),
        format!(r#"{{"token":"{}"}}"#, token(12)),
    ];
    let folder = Folder::new();
    let file = folder.write("batch", lines.join("\n"));
    let run = run(sim.send(&["--batch", &file])).expect(1);
    let rows = run.rows();
    let seen: Vec<_> = rows.iter().map(|row| (row["n"].as_u64().unwrap(), row["outcome"].as_str().unwrap())).collect();
    assert_eq!(
        seen,
        [
            (1, "accepted"),
            (2, "invalid"),
            (3, "invalid"),
            (4, "invalid"),
            (5, "invalid"),
            (7, "invalid"),
            (8, "rejected"),
            (9, "invalid"),
            (10, "accepted"),
            (11, "invalid"),
            (12, "invalid"),
        ]
    );
    let row = |n: u64| rows.iter().find(|row| row["n"] == json!(n)).unwrap();
    assert_eq!((&row(1)["id"], &row(4)["id"], &row(5)["id"]), (&json!("a-1"), &json!(4), &json!({"k": [5]})));
    assert_eq!((&row(5)["token"], &row(2)["token"]), (&json!(null), &json!(null)));
    assert_eq!((&row(10)["token"], &row(8)["id"]), (&json!(token(10)), &json!(8)));
    for (n, words) in [
        (2, "not valid JSON at byte"),
        (3, "JSON but not an object"),
        (4, "unknown field `titel`"),
        (7, "more than the limit of 2048 bytes"),
        (9, "more than 65536 bytes"),
        (11, "there is no `token`"),
        (12, "nothing says what to send"),
    ] {
        assert!(row(n)["reason"].as_str().unwrap().contains(words), "{}", row(n));
    }
    let payloads: Vec<_> =
        sim.simulator.received().iter().filter(|one| one.accepted()).map(|one| one.payload.clone()).collect();
    assert_eq!(payloads, [&br#"{"aps":{"alert":{"title":"One"}}}"#[..], br#"{"b":1,"aps":{"alert":"x"}}"#]);
}

#[test]
fn options_are_the_defaults_of_lines() {
    let sim = Sim::start();
    let lines = [
        format!(r#"{{"token":"{}"}}"#, token(1)),
        format!(r#"{{"token":"{}","body":"own","priority":10,"ttl":"0s"}}"#, token(2)),
        format!(r#"{{"token":"{}","payload":{{"aps":{{}}}}}}"#, token(3)),
    ];
    let options = ["--batch", "-", "--title", "T", "--body", "B", "--priority", "5", "--expiration", "4000000000"];
    run_with_stdin(sim.send(&options), lines.join("\r\n").as_bytes()).expect(0);
    let received = sim.simulator.received();
    let seen: Vec<_> =
        received.iter().map(|one| (std::str::from_utf8(&one.payload).unwrap(), one.priority, one.expiration)).collect();
    assert_eq!(
        seen,
        [
            (r#"{"aps":{"alert":{"title":"T","body":"B"}}}"#, Some(5), Some(4_000_000_000)),
            (r#"{"aps":{"alert":{"title":"T","body":"own"}}}"#, Some(10), Some(0)),
            (r#"{"aps":{}}"#, Some(5), Some(4_000_000_000)),
        ]
    );
}

#[test]
fn a_large_batch_adds_up() {
    let sim = Sim::scripted(
        r#"{"gateway": {"rules": [{"when": {"payload_contains": "bad"}, "then": {"refuse": {"status": 8}}}]}}"#,
    );
    let count = 5000_u32;
    let line = |n: u32| {
        let body = if n.is_multiple_of(1000) { "bad" } else { "good" };
        format!(r#"{{"token":"{}","body":"{body}","id":{n}}}"#, token(n))
    };
    let lines: Vec<String> = (1..=count).map(line).collect();
    let run = run_with_stdin(sim.send(&["--batch", "-"]), lines.join("\n").as_bytes()).expect(1);
    let rows = run.rows();
    assert_eq!(rows.len(), count as usize);
    for (n, row) in (1..).zip(&rows) {
        let expected = if u32::is_multiple_of(n, 1000) { "rejected" } else { "accepted" };
        assert_eq!((&row["n"], &row["id"], &row["outcome"]), (&json!(n), &json!(n), &json!(expected)));
    }
    let expected: Vec<_> = (1..=count).filter(|n| !n.is_multiple_of(1000)).map(token).collect();
    let mut accepted = sim.accepted();
    accepted.sort_unstable();
    assert_eq!(accepted, expected);
}

#[test]
fn rows_come_while_the_batch_is_still_being_written() {
    let sim = Sim::start();
    let mut child = apns(sim.send(&["--batch", "-", "--body", "x"])).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    writeln!(stdin, r#"{{"token":"not hex"}}"#).unwrap();
    writeln!(stdin, r#"{{"token":"{}"}}"#, token(2)).unwrap();
    let mut rows = [String::new(), String::new()];
    stdout.read_line(&mut rows[0]).unwrap();
    // Silence counts as a yes after the quiet time.
    stdout.read_line(&mut rows[1]).unwrap();
    assert!(rows[0].contains(r#""outcome":"invalid""#), "{rows:?}");
    assert!(rows[1].contains(r#""outcome":"accepted","proof":"presumed""#), "{rows:?}");
    drop(stdin);
    finish(child).expect(1);
}

#[test]
fn an_interruption_settles_what_was_sent_and_says_so() {
    let sim = Sim::start();
    let mut child = apns(sim.send(&["--batch", "-", "--body", "x"])).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, r#"{{"token":"{}"}}"#, token(1)).unwrap();
    let arrived = Instant::now();
    while sim.simulator.counts().notifications == 0 {
        assert!(arrived.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    // The input stays open: nothing else would end the command.
    signal(&child, "INT");
    let run = finish(child).expect(1);
    drop(stdin);
    assert_eq!(run.outcomes(), ["accepted"]);
    assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let sim = Sim::start();
    let lines: Vec<_> = (1..=3000).map(|n| format!(r#"{{"token":"{}"}}"#, token(n))).collect();
    let folder = Folder::new();
    let file = folder.write("batch", lines.join("\n"));
    let mut child = apns(sim.send(&["--batch", &file, "--body", "x"])).spawn().unwrap();
    drop(child.stdout.take());
    let run = finish(child);
    assert!((0..=1).contains(&run.status), "{run:?}");
    assert_eq!(run.stderr, "");
}

/// `/dev/full` takes nothing, as a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn rows_that_cannot_be_written_are_said_so_once_what_was_sent_is_settled() {
    let sim = Sim::start();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = apns(sim.send(&["--token", &token(1), &token(2), "--body", "x"])).stdout(full).spawn().unwrap();
    let run = finish(child).expect(2);
    assert!(run.stderr.contains("standard output cannot be written"), "{}", run.stderr);
    assert_eq!(sim.accepted().len(), 2);
}
