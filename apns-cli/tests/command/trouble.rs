//! Without a connection: exit status 3, the cause and a remedy, and a row for each notification all the same.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use apns_sim::{Simulator, TlsVersion};
use serde_json::json;

use crate::support::{Run, Sim, apns, finish, run, run_with_stdin, signal, token};

/// The arguments with one of them replaced.
fn with(mut arguments: Vec<String>, flag: &str, value: &str) -> Vec<String> {
    let place = arguments.iter().position(|argument| argument == flag).unwrap();
    value.clone_into(&mut arguments[place + 1]);
    arguments
}

#[track_caller]
fn assert_trouble(run: &Run, outcome: &str, words: &[&str]) {
    assert_eq!(run.row()["outcome"], json!(outcome), "{run:?}");
    for words in words {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
}

fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn a_closed_port_is_given_up_after_the_timeout() {
    let sim = Sim::start();
    let arguments = sim.send(&["--token", &token(1), "--body", "x", "--timeout", "500ms"]);
    let began = Instant::now();
    let run = run(with(arguments, "--port", &closed_port())).expect(3);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_trouble(&run, "not_sent", &["no connection to localhost:", "refused", "Check --host and --port"]);
    let reason = run.row()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("no connection in time: cannot connect: "), "{reason}");
}

#[test]
fn each_line_of_a_batch_has_its_row_without_a_connection() {
    let sim = Sim::start();
    let lines = format!("{{\"token\":\"{}\"}}\nnonsense\n{{\"token\":\"{}\"}}\n", token(1), token(3));
    let arguments = sim.send(&["--batch", "-", "--body", "x", "--timeout", "500ms"]);
    let run = run_with_stdin(with(arguments, "--port", &closed_port()), lines.as_bytes()).expect(3);
    assert_eq!(run.outcomes(), ["not_sent", "invalid", "not_sent"]);
}

#[test]
fn an_unknown_host_is_named() {
    let sim = Sim::start();
    let arguments = sim.send(&["--token", &token(1), "--body", "x", "--timeout", "2s"]);
    let run = run(with(arguments, "--host", "gateway.invalid")).expect(3);
    assert_trouble(
        &run,
        "not_sent",
        &["cannot resolve the host name: gateway.invalid", "Check the spelling of --host"],
    );
}

#[test]
fn p9_a_handshake_that_never_ends_is_given_up() {
    let sim = Sim::scripted(r#"{"gateway": {"connections": [{"handshake": "never"}]}}"#);
    let began = Instant::now();
    let run = run(sim.send(&["--token", &token(1), "--body", "x", "--timeout", "1s"])).expect(3);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_trouble(&run, "not_sent", &["did not finish the handshake", "may not speak TLS"]);
}

#[test]
fn b85_an_untrusted_server_is_named_by_its_issuer() {
    let (sim, other) = (Sim::start(), Sim::start());
    let arguments = sim.send(&["--token", &token(1), "--body", "x"]);
    let began = Instant::now();
    let run = run(with(arguments, "--ca", &other.folder.path("ca.pem"))).expect(3);
    assert!(began.elapsed() < Duration::from_secs(10), "it is not tried again: {:?}", began.elapsed());
    assert_trouble(&run, "not_sent", &["Pretend Push Certification Authority", "is not trusted", "--ca"]);
    assert_eq!(sim.simulator.counts().notifications, 0);
}

#[test]
fn a_server_with_another_name_is_not_sent_to() {
    let elsewhere = "127.0.0.2:0".parse().unwrap();
    let sim = Sim::built(Simulator::builder().gateway_address(elsewhere));
    let arguments = sim.send(&["--token", &token(1), "--body", "x"]);
    let run = run(with(arguments, "--host", "127.0.0.2")).expect(3);
    assert_trouble(&run, "not_sent", &["not for 127.0.0.2", "--host must be a name"]);
}

#[test]
fn a_refused_client_certificate_is_said_so_by_either_version_of_tls() {
    for (version, fault) in [
        (TlsVersion::V1_2, "refuse_revoked"),
        (TlsVersion::V1_3, "refuse_revoked"),
        (TlsVersion::V1_3, "refuse_unknown_authority"),
    ] {
        let script = format!(r#"{{"gateway": {{"connections": [{{"handshake": "{fault}"}}]}}}}"#);
        let script = apns_sim::Script::from_json(&script).unwrap();
        let sim = Sim::built(Simulator::builder().highest_tls(version).script(script));
        let run = run(sim.send(&["--token", &token(1), "--body", "x"])).expect(3);
        let words = ["the server refused the client certificate", "Use a certificate with --cert"];
        for words in words {
            assert!(run.stderr.contains(words), "{version:?} {fault}: {}", run.stderr);
        }
        assert_ne!(run.row()["outcome"], json!("accepted"));
    }
}

#[test]
fn an_expired_client_certificate_is_not_even_tried() {
    let sim = Sim::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/fixtures");
    let fixture = |name: &str| fixtures.join(name).to_str().unwrap().to_owned();
    let arguments = sim.send(&["--token", &token(1), "bad", "--body", "x"]);
    let arguments =
        with(with(arguments, "--cert", &fixture("expired.cert.pem")), "--cert-key", &fixture("expired.key.pem"));
    let run = run(arguments).expect(3);
    assert_eq!(run.outcomes(), ["not_sent", "invalid"]);
    assert!(run.stderr.contains("expired at"), "{}", run.stderr);
    assert!(run.stderr.contains("Give a certificate that is valid now"), "{}", run.stderr);
    assert_eq!(sim.simulator.counts().failed_handshakes + sim.simulator.counts().gateway_connections, 0);
}

#[test]
fn a_topic_that_is_not_accepted_stops_everything() {
    let sim = Sim::scripted(r#"{"gateway": {"rules": [{"then": {"refuse": {"status": 3}}}]}}"#);
    let tokens: Vec<String> = (1..=20).map(token).collect();
    let mut options = vec!["--body", "x", "--token"];
    options.extend(tokens.iter().map(String::as_str));
    let run = run(sim.send(&options)).expect(3);
    let outcomes = run.outcomes();
    assert_eq!(outcomes.len(), 20);
    assert!(outcomes.iter().all(|outcome| outcome == "not_sent"), "{outcomes:?}");
    assert!(run.stderr.contains("because the client certificate names none"), "{}", run.stderr);
    assert_eq!(sim.simulator.counts().gateway_connections, 1, "it is not tried again");
}

#[test]
fn a_single_notification_for_a_topic_that_is_not_accepted_is_refused_credentials() {
    let sim = Sim::scripted(r#"{"gateway": {"rules": [{"then": {"refuse": {"status": 3}}}]}}"#);
    let run = run(sim.send(&["--token", &token(1), "--body", "x"])).expect(3);
    assert_trouble(&run, "not_sent", &["missing_topic", "because the client certificate names none"]);
    assert_eq!((run.row()["status"].as_u64(), run.row()["reason"].as_str()), (Some(3), Some("missing_topic")));
}

#[test]
fn a_password_opens_a_pkcs12_file() {
    let sim = Sim::built(Simulator::builder().client_auth(apns_sim::ClientAuth::NotAsked));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/fixtures");
    let fixture = fixtures.join("modern.p12").to_str().unwrap().to_owned();
    let mut arguments = with(sim.send(&["--token", &token(1), "--body", "x"]), "--cert", &fixture);
    let place = arguments.iter().position(|argument| argument == "--cert-key").unwrap();
    arguments.drain(place..place + 2);
    let closed = run(arguments.clone()).expect(2);
    assert!(closed.stderr.contains("password"), "{}", closed.stderr);

    let password = sim.folder.write("password", "wrong\n");
    arguments.extend(["--cert-password-file".to_owned(), password.clone()]);
    let wrong = run(arguments.clone()).expect(2);
    assert!(wrong.stderr.contains("the password does not open"), "{}", wrong.stderr);

    sim.folder.write("password", "correct horse\nsecond line\n");
    run(arguments).expect(0);
}

#[test]
fn a_peer_that_does_not_speak_tls_is_no_connection() {
    let sim = Sim::scripted(r#"{"gateway": {"connections": [{"junk": {"bytes_before_tls": 1000000000}}]}}"#);
    let run = run(sim.send(&["--token", &token(1), "--body", "x", "--timeout", "500ms"])).expect(3);
    assert_trouble(&run, "not_sent", &["the TLS handshake failed", "may not speak TLS"]);
}

#[test]
fn an_interruption_without_a_connection_ends_it_at_once() {
    let sim = Sim::start();
    let arguments = with(sim.send(&["--token", &token(1), "--body", "x"]), "--port", &closed_port());
    let mut child = apns(arguments).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("trying again for up to 30s"), "{line}");
    let began = Instant::now();
    signal(&child, "INT");
    let run = finish(child).expect(1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(run.row()["outcome"], json!("not_sent"));
}

#[test]
fn a_peer_that_speaks_something_else_is_named_and_nothing_is_called_accepted() {
    for junk in [r#"{"bytes": 1000000000}"#, r#"{"hex": "0000"}"#] {
        let sim = Sim::scripted(&format!(r#"{{"gateway": {{"connections": [{{"junk": {junk}}}]}}}}"#));
        let began = Instant::now();
        let run = run(sim.send(&["--token", &token(1), "--body", "x", "--timeout", "2s"])).expect(3);
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        let row = run.row();
        // Not sent where the junk was there before the notification had left.
        assert!([json!("unknown"), json!("not_sent")].contains(&row["outcome"]), "{row}");
        assert!(run.stderr.contains("Check that --port is that of the service"), "{}", run.stderr);
        assert!(row["reason"].as_str().unwrap().contains("does not speak this protocol"), "{row}");
    }
}
