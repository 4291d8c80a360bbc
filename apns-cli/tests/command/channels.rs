//! Broadcast channels and broadcasts, against the simulator.

use apns_sim::RequestKind;
use serde_json::{Value, json};

use crate::support::{Folder, Run, Sim, apns, finish, run, run_with_stdin};

const UUID: &str = "27cfdc15-0000-4000-8000-000000000001";
const APP: &str = "com.example.app";

/// A command with the signing key and the app.
fn with_key(sim: &Sim, command: &[&str], options: &[&str]) -> Vec<String> {
    let mut arguments = sim.to_provider(command);
    arguments.extend(["--p8".to_owned(), sim.folder.path("AuthKey_SIMULATOR0.p8")]);
    for (flag, value) in
        [("--key-id", sim.simulator.key_id()), ("--team-id", sim.simulator.team_id()), ("--topic", APP)]
    {
        arguments.extend([flag.to_owned(), value.to_owned()]);
    }
    arguments.extend(options.iter().map(ToString::to_string));
    arguments
}

fn channels(sim: &Sim, options: &[&str]) -> Run {
    let command: Vec<&str> = std::iter::once("channels").chain(options.iter().copied()).collect();
    run(with_key(sim, &command, &[]))
}

fn object(run: &Run) -> Value {
    let mut lines = run.stdout.lines();
    let (Some(line), None) = (lines.next(), lines.next()) else { panic!("{run:?}") };
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_channel_is_made_read_listed_and_deleted() {
    let sim = Sim::start();
    let made = channels(&sim, &["create"]).expect(0);
    let latest = made.stdout.trim_end();
    assert_eq!(sim.simulator.channels(APP), [latest]);
    let other = object(&channels(&sim, &["create", "--storage", "none", "--json"]).expect(0));
    assert_eq!(other["storage"], "none");
    let other = other["channel"].as_str().unwrap();

    let read = object(&channels(&sim, &["read", latest, "--json"]).expect(0));
    assert_eq!((&read["channel"], &read["storage"]), (&json!(latest), &json!("latest")));
    assert!(channels(&sim, &["read", other]).expect(0).stdout.contains("keeps nothing"));

    let list = channels(&sim, &["list"]).expect(0);
    let mut listed: Vec<&str> = list.stdout.lines().collect();
    let mut expected = vec![latest, other];
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert!(list.stderr.contains("2 channels of com.example.app"), "{}", list.stderr);

    channels(&sim, &["delete", latest]).expect(0);
    assert_eq!(sim.simulator.channels(APP), [other]);
    let gone = channels(&sim, &["delete", latest]).expect(1);
    assert!(gone.stderr.contains("400 ChannelNotRegistered"), "{}", gone.stderr);
    assert!(gone.stderr.contains("make a new one"), "{}", gone.stderr);
    assert_eq!(gone.stdout, "");
    let gone = object(&channels(&sim, &["read", latest, "--json"]).expect(1));
    assert_eq!(gone, json!({"outcome": "rejected", "status": 400, "reason": "ChannelNotRegistered"}));
}

#[test]
fn a_broadcast_goes_to_its_channel_with_its_headers() {
    let sim = Sim::start();
    let channel = channels(&sim, &["create"]).expect(0).stdout.trim_end().to_owned();
    let options = [
        "--channel",
        &channel,
        "--content-state",
        r#"{ "goals": 3 }"#,
        "--expiration",
        "4000000000",
        "--priority",
        "5",
        "--request-id",
        UUID,
        "--json",
    ];
    let told = object(&run(with_key(&sim, &["broadcast"], &options)).expect(0));
    assert_eq!(told, json!({"channel": channel, "request_id": UUID}));
    let requests = sim.simulator.requests();
    let sent: Vec<_> = requests.iter().filter(|one| one.kind == RequestKind::Broadcast).collect();
    assert_eq!(sent.len(), 1);
    for (name, value) in [
        ("apns-channel-id", channel.as_str()),
        ("apns-expiration", "4000000000"),
        ("apns-priority", "5"),
        ("apns-push-type", "liveactivity"),
        ("apns-request-id", UUID),
    ] {
        assert_eq!(sent[0].header(name), Some(value.as_bytes()), "{name}");
    }
    let payload: Value = serde_json::from_slice(&sent[0].payload).unwrap();
    assert_eq!((&payload["aps"]["event"], &payload["aps"]["content-state"]), (&json!("update"), &json!({"goals": 3})));

    let whole = json!({"aps": {"event": "end", "timestamp": 1_700_000_000}}).to_string();
    let options = ["--channel", &channel, "--payload", "-"];
    let told = run_with_stdin(with_key(&sim, &["broadcast"], &options), whole.as_bytes()).expect(0);
    assert!(told.stderr.contains("the service took the broadcast"), "{}", told.stderr);
    assert_eq!(sim.simulator.requests().last().unwrap().payload, whole);
}

#[test]
fn a_certificate_does_as_well_as_a_key() {
    let sim = Sim::start();
    let mut arguments = sim.to_provider(&["channels", "create", "--topic", APP]);
    for (flag, file) in [("--cert", "client.pem"), ("--cert-key", "client.key")] {
        arguments.extend([flag.to_owned(), sim.folder.path(file)]);
    }
    run(arguments).expect(0);
    assert_eq!(sim.simulator.channels(APP).len(), 1);
    assert_eq!(sim.simulator.requests()[0].header("authorization"), None);
}

#[test]
fn settings_come_from_a_profile() {
    let sim = Sim::start();
    let config = format!(
        "[shop]\nhost = \"localhost\"\nport = {}\nca = \"ca.pem\"\np8 = \"AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\n\
         team_id = \"{}\"\ntopic = \"com.example.shop\"\n",
        sim.simulator.http2_address().port(),
        sim.simulator.key_id(),
        sim.simulator.team_id(),
    );
    let config = sim.folder.write("config.toml", config);
    let mut command = apns(["channels", "create", "--profile", "shop"]);
    finish(command.env("APNS_CONFIG", config).spawn().unwrap()).expect(0);
    assert_eq!(sim.simulator.channels("com.example.shop").len(), 1);
}

#[test]
fn refused_credentials_are_no_connection() {
    let script = r#"{"http2": {"rules": [
        {"when": {"kind": "channels"}, "then": [{"answer_with": {"status": 403, "reason": "InvalidProviderToken"}}]}
    ]}}"#;
    let sim = Sim::scripted(script);
    let refused = channels(&sim, &["list"]).expect(3);
    for words in ["refused by localhost", "InvalidProviderToken", "Check that --key-id belongs to this very --p8 file"]
    {
        assert!(refused.stderr.contains(words), "{words:?} is not in {}", refused.stderr);
    }

    let script = r#"{"http2": {"sessions": [
        {"steps": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": {"at": 0}}}]}
    ]}}"#;
    let sim = Sim::scripted(script);
    let refused = channels(&sim, &["list"]).expect(3);
    assert!(refused.stderr.contains("Use --sandbox with a development certificate"), "{}", refused.stderr);
}

#[test]
fn without_a_connection_the_cause_and_a_remedy_are_told() {
    let (sim, other) = (Sim::start(), Sim::start());
    let mut untrusted = with_key(&sim, &["channels", "list"], &[]);
    let place = untrusted.iter().position(|argument| argument == "--ca").unwrap();
    untrusted[place + 1] = other.folder.path("ca.pem");
    let untrusted = run(untrusted).expect(3);
    assert!(untrusted.stderr.contains("give its certificate with --ca"), "{}", untrusted.stderr);

    let silent = Sim::scripted(r#"{"http2": {"connections": [{"handshake": "never"}]}}"#);
    let late = channels(&silent, &["list", "--timeout", "500ms"]).expect(3);
    assert!(late.stderr.contains("did not finish the handshake"), "{}", late.stderr);
}

#[test]
fn what_nobody_knows_is_said_so() {
    let sim = Sim::scripted(r#"{"http2": {"rules": [{"when": {"kind": "channels"}, "then": []}]}}"#);
    let unknown = channels(&sim, &["create", "--timeout", "300ms"]).expect(1);
    assert!(unknown.stderr.contains("it is not known what became of the request"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("`apns channels list`"), "{}", unknown.stderr);
    let unknown = object(&channels(&sim, &["create", "--timeout", "300ms", "--json"]).expect(1));
    assert_eq!((&unknown["outcome"], &unknown["status"]), (&json!("unknown"), &Value::Null));
}

#[test]
fn options_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let sim = Sim::start();
    let folder = Folder::new();
    let broken = folder.write("broken.json", "{");
    for (arguments, words) in [
        (sim.to_provider(&["channels", "list"]), "no --topic"),
        (sim.to_provider(&["channels", "list", "--topic", APP]), "no credentials"),
        (
            sim.to_provider(&["channels", "list", "--topic", "com.example.app.push-type.liveactivity"]),
            "without the suffix",
        ),
        (sim.to_provider(&["channels", "read", "not an id", "--topic", APP]), "unexpected character"),
        (with_key(&sim, &["broadcast"], &["--channel", "abcd"]), "--payload"),
        (with_key(&sim, &["broadcast"], &["--channel", "abcd", "--content-state", "[1]"]), "a JSON object"),
        (with_key(&sim, &["broadcast"], &["--channel", "abcd", "--payload", &broken]), "the payload cannot be used"),
        (with_key(&sim, &["broadcast"], &["--content-state", "{}"]), "--channel"),
    ] {
        let run = run(&arguments).expect(2);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(sim.simulator.counts().http2_connections, 0);
}

#[test]
fn a_broadcast_that_is_too_large_is_not_sent() {
    let sim = Sim::start();
    let state = json!({"text": "x".repeat(5200)}).to_string();
    let refused = run(with_key(&sim, &["broadcast"], &["--channel", "abcd", "--content-state", &state])).expect(1);
    assert!(refused.stderr.contains("more than the 5120"), "{}", refused.stderr);
    assert_eq!(sim.simulator.requests().len(), 0);
}
