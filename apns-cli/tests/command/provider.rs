//! `apns send` over HTTP/2: what the provider API says, where settings come from, and what stands in the way.

use std::path::Path;

use apns_sim::{Script, Simulator};
use serde_json::json;

use crate::support::{Folder, Run, Sim, apns, finish, run, run_with_stdin, token};

const UUID: &str = "27cfdc15-0000-4000-8000-000000000001";

fn requests(sim: &Sim) -> Vec<(String, bool)> {
    sim.simulator.requests().iter().map(|request| (request.token_hex(), request.accepted())).collect()
}

fn header(sim: &Sim, name: &str) -> String {
    let requests = sim.simulator.requests();
    assert_eq!(requests.len(), 1);
    String::from_utf8(requests[0].header(name).unwrap_or(b"(none)").to_vec()).unwrap()
}

#[track_caller]
fn assert_says(run: &Run, words: &[&str]) {
    for words in words {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
}

#[test]
fn every_header_finds_its_place_and_the_answer_its_row() {
    let sim = Sim::scripted(r#"{"http2": {"unique_ids": true}}"#);
    let options = ["--push-type", "voip", "--collapse-id", "c 1", "--apns-id", UUID, "--priority", "10"];
    let mut all = vec!["--token", "00FC13AD", "--body", "Hi", "--expiration", "0"];
    all.extend(options);
    let row = run(sim.provider(&all)).expect(0).row();
    let unique_id = row["unique_id"].as_str().unwrap().to_owned();
    let expected = json!({
        "n": 1, "id": null, "token": "00fc13ad", "outcome": "accepted", "proof": "confirmed", "status": null,
        "reason": null, "attempts": 1, "apns_id": UUID, "unique_id": unique_id, "timestamp": null,
    });
    assert_eq!(row, expected);
    for (name, value) in [
        ("apns-topic", "com.example.app.voip"),
        ("apns-push-type", "voip"),
        ("apns-collapse-id", "c 1"),
        ("apns-id", UUID),
        ("apns-priority", "10"),
        ("apns-expiration", "0"),
    ] {
        assert_eq!(header(&sim, name), value, "{name}");
    }
}

#[test]
fn a_batch_has_all_kinds_of_rows() {
    let script = r#"{
        "invalid_tokens": ["bad0*"],
        "http2": {"unregistered": [{"token": "dead*", "timestamp_ms": 1527206400123}]}
    }"#;
    let sim = Sim::scripted(script);
    let long = "x".repeat(4096);
    let lines = [
        json!({"token": token(1), "id": 7}),
        json!({"token": "bad00001", "id": "b"}),
        json!({"token": "dead0001"}),
        json!({"token": token(4), "body": long}),
        json!({"token": token(5), "collapse_id": "c".repeat(65)}),
        json!({"token": token(6), "payload": {"aps": {"content-available": 1}}, "push_type": "background"}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let run = run_with_stdin(sim.provider(&["--batch", "-", "--body", "x"]), lines.as_bytes()).expect(1);
    assert_eq!(run.outcomes(), ["accepted", "rejected", "rejected", "invalid", "invalid", "accepted"]);
    let rows = run.rows();
    assert_eq!((&rows[1]["status"], &rows[1]["reason"]), (&json!(400), &json!("BadDeviceToken")));
    assert_eq!((&rows[2]["status"], &rows[2]["reason"]), (&json!(410), &json!("Unregistered")));
    assert_eq!(rows[2]["timestamp"], json!(1_527_206_400_123_u64));
    assert!(rows[3]["reason"].as_str().unwrap().contains("4096"), "{}", rows[3]);
    assert!(rows[4]["reason"].as_str().unwrap().contains("collapse_id"), "{}", rows[4]);
    assert!(rows.iter().all(|row| row["attempts"].as_u64() == Some(u64::from(row["outcome"] != "invalid"))));
    assert_eq!(requests(&sim).iter().filter(|(_, accepted)| *accepted).count(), 2);
    assert_says(&run, &["6 notifications: 2 accepted, 2 rejected, 2 invalid"]);
}

#[test]
fn a_certificate_does_as_well_as_a_key() {
    let sim = Sim::start();
    let mut arguments = sim.to_provider(&["send", "--json", "--token", "abcd", "--body", "x"]);
    for (flag, file) in [("--cert", "client.pem"), ("--cert-key", "client.key")] {
        arguments.extend([flag.to_owned(), sim.folder.path(file)]);
    }
    assert_eq!(run(arguments).expect(0).row()["outcome"], "accepted");
    assert_eq!(header(&sim, "authorization"), "(none)");
}

#[test]
fn a_passing_refusal_is_sent_again_only_when_asked() {
    let script = r#"{"http2": {"rules": [
        {"then": [{"answer_with": {"status": 503, "reason": "Shutdown"}}], "times": 1}
    ]}}"#;
    let sim = Sim::scripted(script);
    assert_eq!(run(sim.provider(&["--token", "abcd", "--body", "x"])).expect(1).row()["reason"], "Shutdown");
    let sim = Sim::scripted(script);
    let row = run(sim.provider(&["--token", "abcd", "--body", "x", "--retry", "2"])).expect(0).row();
    assert_eq!((&row["outcome"], &row["attempts"]), (&json!("accepted"), &json!(2)));
}

#[test]
fn settings_come_from_variables_and_a_profile_and_options_go_first() {
    let sim = Sim::start();
    let port = sim.simulator.http2_address().port();
    let team_id = sim.simulator.team_id();
    // The key is named beside the file.
    let config = format!(
        "[shop]\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\np8 = \"AuthKey_SIMULATOR0.p8\"\n\
         key_id = \"{}\"\ntopic = \"com.example.shop\"\n",
        sim.simulator.key_id()
    );
    let config = sim.folder.write("config.toml", config);
    let send = |options: &[&str]| {
        let mut command = apns(["send", "--json", "--token", "abcd", "--body", "x", "--profile", "shop"]);
        command.args(options).env("APNS_CONFIG", &config);
        command
    };
    let with_variable = finish(send(&[]).env("APNS_TEAM_ID", team_id).spawn().unwrap()).expect(0);
    assert_eq!(with_variable.row()["outcome"], "accepted");
    assert_eq!(header(&sim, "apns-topic"), "com.example.shop");

    sim.simulator.forget();
    let options = ["--topic", "com.example.other", "--team-id", team_id];
    finish(send(&options).env("APNS_TEAM_ID", "WRONGTEAM1").spawn().unwrap()).expect(0);
    assert_eq!(header(&sim, "apns-topic"), "com.example.other");

    let without_team = finish(send(&[]).spawn().unwrap()).expect(2);
    assert_says(&without_team, &["no --team-id"]);
    let elsewhere = finish(send(&["--profile", "shops"]).spawn().unwrap());
    // An option that is given twice is refused before anything is read.
    assert_eq!(elsewhere.status, 2);
    let mut unknown = apns(["send", "--token", "abcd", "--body", "x", "--profile", "shops"]);
    let unknown = finish(unknown.env("APNS_CONFIG", &config).spawn().unwrap()).expect(2);
    assert_says(&unknown, &["has no profile of the name that was asked for; those that are there: shop"]);
    let broken = sim.folder.write("broken.toml", "[shop]\nhots = \"localhost\"\n");
    let broken = finish(send(&[]).env("APNS_CONFIG", &broken).spawn().unwrap()).expect(2);
    assert_says(&broken, &["hots", "line 2"]);
}

#[test]
fn what_is_missing_is_named_before_anything_is_sent() {
    let sim = Sim::start();
    let p8 = sim.folder.path("AuthKey_SIMULATOR0.p8");
    let nameless = sim.folder.write("key.p8", sim.simulator.signing_key_pem());
    let junk = sim.folder.write("AuthKey_ABCDE12345.p8", "junk");
    let (id, team) = (sim.simulator.key_id(), sim.simulator.team_id());
    let topic = ["--topic", "com.example.app"];
    for (options, words) in [
        (&[][..], "no credentials: give a signing key with --p8"),
        (&["--p8", &nameless, "--team-id", team], "no --key-id"),
        (&["--p8", &p8, "--key-id", id], "no --team-id"),
        (&["--p8", &p8, "--key-id", "short", "--team-id", team], "10 characters"),
        (&["--p8", &junk, "--team-id", team], "the signing key in"),
        (&["--p8", &p8, "--cert", &p8], "name both a certificate"),
        (&["--sandbox"], "cannot be used with"),
        (&["--command", "1"], "--binary"),
    ] {
        let mut arguments = sim.to_provider(&["send", "--token", "abcd", "--body", "x"]);
        arguments.extend(topic.iter().chain(options).map(ToString::to_string));
        let run = run(arguments).expect(2);
        assert_says(&run, &[words]);
        assert_eq!(run.stdout, "");
    }
    let mut without_topic = sim.provider(&["--token", "abcd", "--body", "x"]);
    without_topic.retain(|argument| argument != "--topic" && argument != "com.example.app");
    assert_says(&run(without_topic).expect(2), &["no --topic"]);
    let several = sim.provider(&["--token", "abcd", "abce", "--body", "x", "--apns-id", UUID]);
    assert_says(&run(several).expect(2), &["--apns-id names one notification"]);
    assert!(sim.simulator.requests().is_empty());
}

#[test]
fn the_wrong_environment_is_named_with_its_remedy() {
    // A signing key of the other environment: told by an answer.
    let sim = Sim::scripted(r#"{"http2": {"keys": [{"key_id": "KEYNUMBER3", "other_environment": true}]}}"#);
    let mut arguments = sim.provider(&["--token", "abcd", "--body", "x"]);
    let place = arguments.iter().position(|argument| argument == "--key-id").unwrap();
    "KEYNUMBER3".clone_into(&mut arguments[place + 1]);
    let told = run(arguments).expect(3);
    assert!(told.row()["reason"].as_str().unwrap().starts_with("BadEnvironmentKey"));
    assert_says(&told, &["refused by localhost:", "for the other environment", "use --sandbox, or leave it out"]);

    // A certificate of the other environment: told by GOAWAY.
    let script = r#"{"http2": {"rules": [
        {"then": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": "before"}}]}
    ]}}"#;
    let sim = Sim::scripted(script);
    let mut arguments = sim.to_provider(&["send", "--json", "--token", "abcd", "abce", "--body", "x"]);
    for (flag, file) in [("--cert", "client.pem"), ("--cert-key", "client.key")] {
        arguments.extend([flag.to_owned(), sim.folder.path(file)]);
    }
    let gone = run(arguments).expect(3);
    assert_eq!(gone.outcomes(), ["not_sent", "not_sent"]);
    assert_says(&gone, &["BadCertificateEnvironment", "for the other environment", "Use --sandbox with a development"]);

    // Device tokens of the other environment: the service says the same as for any bad token.
    let sim = Sim::scripted(r#"{"invalid_tokens": ["*"]}"#);
    let bad = run(sim.provider(&["--token", "abcd", "--body", "x"])).expect(1);
    assert_says(&bad, &["tokens of development builds need --sandbox"]);
}

#[test]
fn an_expired_certificate_is_named_with_its_remedy() {
    let sim = Sim::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/fixtures");
    let mut arguments = sim.to_provider(&["send", "--json", "--token", "abcd", "--body", "x"]);
    for (flag, file) in [("--cert", "expired.cert.pem"), ("--cert-key", "expired.key.pem")] {
        arguments.extend([flag.to_owned(), fixtures.join(file).to_str().unwrap().to_owned()]);
    }
    let run = run(arguments).expect(3);
    assert_eq!(run.row()["outcome"], "not_sent");
    assert_says(&run, &["expired at", "Give a certificate that is valid now"]);
    assert_eq!(sim.simulator.counts().failed_handshakes, 0);

    // One that this side takes for valid, and the service does not.
    let script = r#"{"http2": {"connections": [{"handshake": "refuse_expired"}]}}"#;
    let sim = Sim::built(Simulator::builder().script(Script::from_json(script).unwrap()));
    let mut arguments = sim.to_provider(&["send", "--json", "--token", "abcd", "--body", "x"]);
    for (flag, file) in [("--cert", "client.pem"), ("--cert-key", "client.key")] {
        arguments.extend([flag.to_owned(), sim.folder.path(file)]);
    }
    let run = crate::support::run(arguments).expect(3);
    assert_says(&run, &["the server refused the client certificate", "expired", "Use a certificate with --cert"]);
}

#[test]
fn an_untrusted_server_is_named_with_its_remedy() {
    let (sim, other) = (Sim::start(), Sim::start());
    let mut arguments = sim.provider(&["--token", "abcd", "--body", "x"]);
    let place = arguments.iter().position(|argument| argument == "--ca").unwrap();
    arguments[place + 1] = other.folder.path("ca.pem");
    let run = run(arguments).expect(3);
    assert_eq!(run.row()["outcome"], "not_sent");
    assert_says(&run, &["Pretend Push Certification Authority", "is not trusted", "give its certificate with --ca"]);
    assert!(sim.simulator.requests().is_empty());
}

#[test]
fn a_server_without_h2_is_named_with_its_remedy() {
    let sim = Sim::start();
    let mut arguments = sim.provider(&["--token", "abcd", "--body", "x"]);
    let place = arguments.iter().position(|argument| argument == "--port").unwrap();
    arguments[place + 1] = sim.simulator.gateway_address().port().to_string();
    let run = run(arguments).expect(3);
    assert_eq!(run.row()["outcome"], "not_sent");
    assert_says(&run, &["h2", "does not speak HTTP/2", "Check --host and --port"]);
    assert_eq!(sim.simulator.counts().notifications, 0);
}

#[test]
fn behind_a_refused_credential_nothing_more_leaves() {
    let script = r#"{"http2": {"rules": [
        {"when": {"token": "abcd"}, "then": [{"answer_with": {"status": 403, "reason": "Forbidden"}}]}
    ]}}"#;
    let sim = Sim::scripted(script);
    let refused = run(sim.provider(&["--token", "abcd", "abce", "--body", "x"])).expect(3);
    assert_eq!(refused.outcomes(), ["not_sent", "not_sent"]);
    assert_says(&refused, &["403 Forbidden", "refused by"]);
    assert_eq!(sim.simulator.requests().len(), 1);
    // Also where it was good for something before.
    let later = run(sim.provider(&["--token", "abce", "abcd", "--body", "x"])).expect(3);
    assert_eq!(later.outcomes(), ["accepted", "not_sent"]);
}

#[test]
fn a_key_never_reaches_the_messages() {
    let folder = Folder::new();
    let secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    let p8 = folder.write("AuthKey_ABCDE12345.p8", format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"));
    let run = run(["send", "--token", "abcd", "--body", "x", "--topic", "t", "--team-id", "ABCDE12345", "--p8", &p8]);
    let run = run.expect(2);
    assert!(!run.stderr.contains(&secret[..12]) && run.stdout.is_empty(), "{run:?}");
}
