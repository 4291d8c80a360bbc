//! What the service says becomes rows and exit statuses.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Folder, Sim, run, run_with_stdin, token};

#[test]
fn p15_one_notification_takes_no_quiet_time() {
    let sim = Sim::start();
    let began = Instant::now();
    let run = run(sim.send(&["--token", &token(1), "--body", "Hi"])).expect(0);
    // The quiet time after which silence counts as a yes is 3 s.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let expected = json!({
        "n": 1, "id": null, "token": token(1), "outcome": "accepted", "proof": "confirmed",
        "status": null, "reason": null, "attempts": 1, "apns_id": null, "unique_id": null, "timestamp": null,
    });
    assert_eq!(run.row(), expected);
    let received = sim.simulator.received();
    assert_eq!(received.len(), 1);
    assert_eq!(&received[0].payload[..], br#"{"aps":{"alert":{"body":"Hi"}}}"#);
}

#[test]
fn every_option_of_the_payload_is_sent() {
    let sim = Sim::start();
    run(sim.send(&[
        "--token",
        &token(1),
        "--title",
        "T",
        "--subtitle",
        "S",
        "--body",
        "B",
        "--badge",
        "0",
        "--sound",
        "default",
        "--category",
        "C",
        "--thread-id",
        "D",
        "--content-available",
        "--mutable-content",
        "--custom",
        "order=17",
        "--custom",
        "who={ \"b\": 1, \"a\": [\"x y\"] }",
        "--priority",
        "5",
        "--expiration",
        "4000000000",
    ]))
    .expect(0);
    let received = sim.simulator.received();
    let payload = std::str::from_utf8(&received[0].payload).unwrap();
    assert!(payload.starts_with(r#"{"aps":{"alert":{"title":"T","subtitle":"S","body":"B"},"#), "{payload}");
    assert!(payload.ends_with(r#","order":17,"who":{"b":1,"a":["x y"]}}"#), "{payload}");
    let read: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert_eq!(
        read["aps"],
        json!({
            "alert": {"title": "T", "subtitle": "S", "body": "B"}, "badge": 0, "sound": "default", "category": "C",
            "thread-id": "D", "content-available": 1, "mutable-content": 1,
        })
    );
    assert_eq!((received[0].priority, received[0].expiration), (Some(5), Some(4_000_000_000)));
}

#[test]
fn a_payload_of_a_file_is_sent_compactly() {
    let sim = Sim::start();
    let folder = Folder::new();
    let json = "{\n  \"z\": 1.50,\n  \"aps\": {\"alert\": \"a  b\"}\n}\n";
    let file = folder.write("payload.json", json);
    run(sim.send(&["--token", &token(1), "--payload", &file])).expect(0);
    run_with_stdin(sim.send(&["--token", &token(2), "--payload", "-"]), json.as_bytes()).expect(0);
    for record in sim.simulator.received() {
        assert_eq!(&record.payload[..], br#"{"z":1.50,"aps":{"alert":"a  b"}}"#);
    }
}

#[test]
fn the_three_commands_are_written() {
    for (command, number) in [("0", 0), ("1", 1), ("2", 2)] {
        let sim = Sim::start();
        let options = ["--token", &token(1), "--body", "x", "--command", command, "--ttl", "0s"];
        run(sim.send(&options)).expect(0);
        let received = sim.simulator.received();
        assert_eq!(received[0].format.command(), number);
        assert_eq!(received[0].expiration, (number > 0).then_some(0));
    }
    let sim = Sim::start();
    let options = ["--token", &token(1), "--body", "x", "--command", "1", "--priority", "5"];
    let run = run(sim.send(&options)).expect(0);
    assert!(run.stderr.contains("only --command 2 has a place for a priority"), "{}", run.stderr);
}

#[test]
fn a_rejection_has_its_status_and_the_others_go_on() {
    let sim = Sim::scripted(&format!(r#"{{"invalid_tokens": ["{}"]}}"#, token(2)));
    let tokens = [token(1), token(2), token(3)];
    let run = run(sim.send(&["--token", &tokens[0], &tokens[1], "--token", &tokens[2], "--body", "x"])).expect(1);
    assert_eq!(run.outcomes(), ["accepted", "rejected", "accepted"]);
    let rejected = &run.rows()[1];
    assert_eq!((&rejected["status"], &rejected["reason"]), (&json!(8), &json!("invalid_token")));
    assert_eq!(rejected["proof"], json!(null));
    assert_eq!(sim.accepted(), [token(1), token(3)]);
    assert!(run.stderr.contains("3 notifications: 2 accepted, 1 rejected"), "{}", run.stderr);
}

#[test]
fn a_person_gets_a_line_for_each() {
    let sim = Sim::scripted(&format!(r#"{{"invalid_tokens": ["{}"]}}"#, token(2)));
    let mut arguments = sim.send(&["--token", &token(1), &token(2), "xyz", "--body", "x"]);
    arguments.retain(|argument| argument != "--json");
    let run = run(arguments).expect(1);
    let mut lines: Vec<_> = run.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "     1  accepted  confirmed  00fc13ad…",
            "     2  rejected  status 8 invalid_token  00fc13ad…",
            "     3  invalid   unexpected character 'x' at position 0 of the device token",
        ]
    );
}

#[test]
fn what_is_refused_here_is_invalid() {
    let sim = Sim::start();
    let run = run(sim.send(&["--token", "(null)", "abc", &token(3), "--body", "x"])).expect(1);
    assert_eq!(run.outcomes(), ["invalid", "invalid", "accepted"]);
    let rows = run.rows();
    // Only what is like a device token is shown: what else is given in its place may be a secret.
    assert_eq!((&rows[0]["token"], &rows[1]["token"]), (&json!(null), &json!("abc")));
    assert_eq!(rows[1]["attempts"], json!(0));
    assert_eq!(sim.accepted(), [token(3)]);
}

#[test]
fn what_is_too_large_or_without_such_a_priority_is_invalid_and_needs_no_connection() {
    let sim = Sim::start();
    let long = "x".repeat(2048);
    let large = run(sim.send(&["--token", &token(1), "--body", &long])).expect(1);
    assert_eq!(large.row()["outcome"], json!("invalid"));
    assert!(large.row()["reason"].as_str().unwrap().contains("more than the limit of 2048 bytes"), "{large:?}");
    let never = run(sim.send(&["--token", &token(1), "--body", "x", "--priority", "1"])).expect(1);
    assert_eq!(never.row()["reason"], json!("priority 1 does not exist in the binary protocol: use 5 or 10"));
    assert_eq!(sim.simulator.counts().gateway_connections, 0);
}

#[test]
fn what_has_expired_is_tried_once() {
    let sim = Sim::start();
    let run = run(sim.send(&["--token", &token(1), "--body", "x", "--expiration", "1000"])).expect(0);
    assert_eq!(run.row()["outcome"], json!("accepted"));
    assert_eq!(sim.simulator.counts().notifications, 1);
}

#[test]
fn no_answer_within_the_timeout_is_unknown() {
    let sim = Sim::scripted(r#"{"gateway": {"rules": [{"when": {"kind": "probe"}, "then": "fall_silent"}]}}"#);
    let began = Instant::now();
    let run = run(sim.send(&["--token", &token(1), "--body", "x", "--timeout", "500ms"])).expect(1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let row = run.row();
    assert_eq!((&row["outcome"], &row["reason"]), (&json!("unknown"), &json!("no answer came in time")));
}

#[test]
fn a_loss_is_reported_or_sent_again() {
    let script = r#"{"gateway": {"rules": [{"then": "close", "times": 1}]}}"#;
    let reported = Sim::scripted(script);
    let run_reported = run(reported.send(&["--token", &token(1), "--body", "x"])).expect(1);
    assert_eq!(run_reported.row()["outcome"], json!("unknown"));
    assert_eq!(reported.simulator.counts().notifications, 1);

    let resent = Sim::scripted(script);
    let run_resent = run(resent.send(&["--token", &token(1), "--body", "x", "--on-loss", "resend"])).expect(0);
    let row = run_resent.row();
    assert_eq!((&row["outcome"], &row["attempts"]), (&json!("accepted"), &json!(2)));
    assert_eq!(resent.simulator.counts().notifications, 2);
}

#[test]
fn a_loss_is_sent_again_three_times_at_most() {
    let sim = Sim::scripted(r#"{"gateway": {"rules": [{"then": "close"}]}}"#);
    let run = run(sim.send(&["--token", &token(1), "--body", "x", "--on-loss", "resend"])).expect(1);
    let row = run.row();
    assert_eq!((&row["outcome"], &row["attempts"]), (&json!("unknown"), &json!(4)), "{run:?}");
    assert_eq!(sim.simulator.counts().notifications, 4);
}
