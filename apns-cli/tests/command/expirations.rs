//! Times on the command line: milliseconds are refused, and an expiration in the past is one attempt.

use serde_json::json;

use crate::support::{Sim, run, run_with_stdin, token};

const MILLISECONDS: u64 = 1_700_000_000_000;

#[test]
fn n11_times_beyond_32_bits_are_milliseconds_and_are_refused_saying_so_wherever_one_comes_in() {
    let sim = Sim::start();
    let milliseconds = MILLISECONDS.to_string();
    let option = run(sim.provider(&["--token", "abcd", "--body", "x", "--expiration", &milliseconds])).expect(2);
    assert!(option.stderr.contains("milliseconds"), "{option:?}");
    let binary = run(sim.send(&["--token", "abcd", "--body", "x", "--expiration", &milliseconds])).expect(2);
    assert!(binary.stderr.contains("milliseconds"), "{binary:?}");
    let broadcast = ["broadcast", "--topic", "com.x", "--channel", "AAAA", "--end", "--expiration", &milliseconds];
    let broadcast = run(sim.to_provider(&broadcast)).expect(2);
    assert!(broadcast.stderr.contains("milliseconds"), "{broadcast:?}");
    for field in ["expiration", "registered"] {
        let line = format!("{}\n", json!({"token": token(1), "body": "x", field: MILLISECONDS}));
        let row = run_with_stdin(sim.provider(&["--batch", "-"]), line.as_bytes()).expect(1).row();
        assert_eq!(row["outcome"], "invalid", "{field}");
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.contains(field) && reason.contains("milliseconds"), "{reason}");
    }
    assert_eq!(sim.simulator.requests().len(), 0);
}

#[test]
fn an_expiration_in_the_past_is_one_attempt_and_is_said_once() {
    let sim = Sim::start();
    let lines: String = (0..3).map(|n| format!("{}\n", json!({"token": token(n), "body": "x"}))).collect();
    let past = run_with_stdin(sim.provider(&["--batch", "-", "--expiration", "3600"]), lines.as_bytes()).expect(0);
    let requests = sim.simulator.requests();
    assert_eq!(requests.iter().map(|request| request.expiration).collect::<Vec<_>>(), [Some(0); 3]);
    assert!(past.stderr.contains("1970-01-01") && past.stderr.contains("--ttl 3600s"), "{past:?}");
    assert_eq!(past.stderr.matches("has passed").count(), 1, "{past:?}");
    let line = format!("{}\n", json!({"token": token(9), "body": "x", "expiration": 3600}));
    let past = run_with_stdin(sim.send(&["--batch", "-"]), line.as_bytes()).expect(0);
    assert_eq!(past.row()["outcome"], "accepted");
    assert!(past.stderr.contains("--ttl"), "{past:?}");
}
