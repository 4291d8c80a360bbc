//! The forms of a batch, and what is judged without being sent.

use serde_json::{Value, json};

use crate::support::{Folder, Sim, run, run_with_stdin, token};

#[test]
fn bare_tokens_take_everything_from_the_options() {
    let sim = Sim::start();
    let lines = format!("{}\n\n{}\r\n", token(1), token(2).to_uppercase());
    for option in ["--batch", "--tokens"] {
        let run = run_with_stdin(sim.send(&[option, "-", "--body", "Hi"]), lines.as_bytes()).expect(0);
        let seen: Vec<_> = run.rows().iter().map(|row| (row["n"].as_u64(), row["token"].clone())).collect();
        assert_eq!(seen, [(Some(1), json!(token(1))), (Some(3), json!(token(2)))], "{option}");
    }
    assert_eq!(sim.simulator.counts().accepted, 4);
}

#[test]
fn a_line_that_is_no_token_has_a_row_of_its_own() {
    let sim = Sim::start();
    let lines = format!("xyz\n{}\n", token(2));
    let run = run_with_stdin(sim.send(&["--tokens", "-", "--body", "Hi"]), lines.as_bytes()).expect(1);
    assert_eq!(run.outcomes(), ["invalid", "accepted"]);
}

#[test]
fn csv_is_read_by_the_names_of_its_columns() {
    let sim = Sim::start();
    let csv = format!(
        "id;device;title;badge;user\n7;{};\"Two\nlines; and \"\"more\"\"\";3;ann\n8;{};;;bob\n9;{};x;many;cid\n",
        token(1),
        token(2),
        token(3),
    );
    let options = ["--batch", "-", "--token-column", "device", "--skip-columns", "--body", "B"];
    let run = run_with_stdin(sim.send(&options), csv.as_bytes()).expect(1);
    let rows = run.rows();
    let seen: Vec<_> = rows.iter().map(|row| (row["n"].clone(), row["id"].clone(), row["outcome"].clone())).collect();
    let row = |n: u64, id: &str, outcome: &str| (json!(n), json!(id), json!(outcome));
    assert_eq!(seen, [row(2, "7", "accepted"), row(4, "8", "accepted"), row(5, "9", "invalid")]);
    assert_eq!(rows[2]["reason"], "`badge` has to be a whole number of 0 or more");
    let payloads: Vec<Value> =
        sim.simulator.received().iter().map(|one| serde_json::from_slice(&one.payload).unwrap()).collect();
    let first = json!({"aps": {"alert": {"title": "Two\nlines; and \"more\"", "body": "B"}, "badge": 3}});
    assert_eq!(payloads, [first, json!({"aps": {"alert": {"body": "B"}}})]);
}

#[test]
fn a_batch_in_no_known_form_is_named_at_its_first_line_and_nothing_is_sent() {
    let sim = Sim::start();
    for (batch, words) in [
        ("hello\n", "the first line is neither a JSON object, nor a device token, nor the names of CSV columns"),
        ("device,title\nab,x\n", "with `token` among them (--token-column names another)"),
        ("token,titel\nab,x\n", "the CSV column 2 has a name that is not known: titel;"),
        ("token,title,title\nab,x\n", "the CSV column 3 is a second one for `title`"),
    ] {
        let run = run_with_stdin(sim.send(&["--batch", "-", "--body", "B"]), batch.as_bytes()).expect(2);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(sim.simulator.counts().notifications, 0);
}

#[test]
fn csv_is_resumed_by_the_numbers_of_its_records() {
    let sim = Sim::start();
    let folder = Folder::new();
    let record = |n: u32| format!("{},\"a\nb\"\n", token(n));
    let csv: String = std::iter::once("token,body\n".to_owned()).chain((1..=3).map(record)).collect();
    let (batch, results) = (folder.write("batch.csv", csv), folder.path("results.jsonl"));
    let options = ["--batch", &batch, "--results", &results];
    run(sim.send(&options)).expect(0);
    run(sim.send(&[&options[..], &["--resume"]].concat())).expect(0);
    assert_eq!(sim.simulator.counts().accepted, 3, "none twice");
    let rows = std::fs::read_to_string(&results).unwrap();
    let numbers: Vec<Value> =
        rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()["n"].clone()).collect();
    assert_eq!(numbers, [json!(2), json!(4), json!(6)]);
}

#[test]
fn a_dry_run_judges_everything_and_sends_nothing() {
    let sim = Sim::start();
    let lines = [
        format!(r#"{{"token":"{}","body":"Hi","id":1}}"#, token(1)),
        format!(r#"{{"token":"{}","payload":{{"aps":{{"alert":"Hi","badge":"1"}}}}}}"#, token(2)),
        r#"{"token":"xyz","body":"Hi"}"#.to_owned(),
    ];
    let run = run_with_stdin(sim.send(&["--batch", "-", "--dry-run"]), lines.join("\n").as_bytes()).expect(1);
    let mut rows = run.rows();
    rows.sort_by_key(|row| row["n"].as_u64());
    let row = |n: u64, id: Value, token: Value, outcome: &str, reason: Value, findings: Value| json!({"n": n, "id": id, "token": token, "outcome": outcome, "reason": reason, "findings": findings});
    let finding = json!([
        {"severity": "dropped", "at": "aps.badge", "what": "it has to be a whole number of 0 or more, and is a text"},
    ]);
    assert_eq!(rows[0], row(1, json!(1), json!(token(1)), "valid", Value::Null, json!([])));
    assert_eq!(rows[1], row(2, Value::Null, json!(token(2)), "valid", Value::Null, finding));
    assert_eq!((&rows[2]["n"], &rows[2]["outcome"]), (&json!(3), &json!("invalid")));
    assert!(run.stderr.contains("nothing was sent: 2 notifications can be sent (1 of them"), "{}", run.stderr);
    let counts = sim.simulator.counts();
    assert_eq!((counts.gateway_connections, counts.notifications), (0, 0));
}

#[test]
fn lint_names_what_a_device_would_drop() {
    let folder = Folder::new();
    let bad = folder.write("bad.json", r#"{"aps":{"alert":"Hi","mutable_content":1}}"#);
    let good = folder.write("good.json", "{\"aps\":{\"alert\":\"Hi\"}}\n");
    run(["lint", &good]).expect(0);
    let run1 = run(["lint", &good, &bad]).expect(1);
    assert!(
        run1.stdout.contains("bad.json: aps.mutable_content: dropped: the system does not know this key"),
        "{}",
        run1.stdout
    );
    let run2 =
        run_with_stdin(["lint", "-", "--push-type", "voip", "--topic", "com.example.app", "--json"], b"{}").expect(1);
    let row: Value = serde_json::from_str(&run2.stdout).unwrap();
    assert_eq!((&row["file"], &row["severity"]), (&json!("standard input"), &json!("refused")));
    let schema: Value = serde_json::from_str(&run(["lint", "--schema", "mdm"]).expect(0).stdout).unwrap();
    assert_eq!(schema["required"], json!(["mdm"]));
    let run3 = run(["lint", "--schema", "voop"]).expect(2);
    assert!(run3.stderr.contains("voip"), "{}", run3.stderr);
}
