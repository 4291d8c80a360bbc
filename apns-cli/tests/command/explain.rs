//! What answers mean.

use serde_json::{Value, json};

use crate::support::run;

fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_reason_is_explained_to_a_person() {
    let run = run(["explain", "unregistered"]).expect(0);
    assert!(run.stdout.starts_with("Unregistered, status 410 of the HTTP/2 provider API\n"), "{}", run.stdout);
    assert!(run.stdout.contains("no longer active for this topic"), "{}", run.stdout);
    assert!(run.stdout.contains("device token   is to be dropped"), "{}", run.stdout);
}

#[test]
fn a_status_byte_is_explained_to_a_program() {
    let run = run(["explain", "8", "--json"]).expect(0);
    let [meaning] = &objects(&run.stdout)[..] else { panic!("{}", run.stdout) };
    for (key, value) in [
        ("protocol", json!("binary")),
        ("status", json!(8)),
        ("reason", json!("invalid_token")),
        ("reaction", json!("drop_token")),
        ("retry", json!("never")),
        ("device_token", json!("drop")),
        ("needs_person", json!(false)),
    ] {
        assert_eq!(meaning[key], value, "{key}");
    }
}

#[test]
fn a_number_of_both_protocols_is_explained_for_both() {
    let run = run(["explain", "200", "--json"]).expect(0);
    let protocols: Vec<Value> = objects(&run.stdout).iter().map(|meaning| meaning["protocol"].clone()).collect();
    assert_eq!(protocols, ["binary", "http2"]);
}

#[test]
fn the_body_of_an_answer_will_do() {
    let run = run(["explain", r#"{"reason":"TooManyRequests"}"#, "--json"]).expect(0);
    let meanings = objects(&run.stdout);
    assert_eq!(meanings.len(), 2, "device and broadcast");
    assert!(meanings.iter().all(|meaning| meaning["status"] == 429 && meaning["retry_after"] == 60), "{meanings:?}");
}

#[test]
fn what_is_not_known_is_said_so_with_a_guess() {
    let near = run(["explain", "BadDevicToken", "--json"]).expect(2);
    assert!(near.stderr.contains("did you mean BadDeviceToken?"), "{}", near.stderr);
    assert_eq!(near.stdout, "");
    let far = run(["explain", "weather"]).expect(2);
    assert!(far.stderr.contains("no reason that is known"), "{}", far.stderr);
    let number = run(["explain", "1000"]).expect(2);
    assert!(number.stderr.contains("neither a status byte"), "{}", number.stderr);
}
