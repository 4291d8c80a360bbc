//! `apns send` that is interrupted, and `apns send` that stands still while its answers arrive.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use apns_sim::{Faults, Script, Stall};

use crate::support::{Folder, Sim, apns, finish, signal, token};

/// What the command gives itself to settle what is on its way, and what may come on top.
const STOPS_WITHIN: Duration = Duration::from_millis(2000 + 500);

fn batch(folder: &Folder, lines: u32) -> String {
    let lines: Vec<_> = (1..=lines).map(|n| format!(r#"{{"token":"{}"}}"#, token(n))).collect();
    folder.write("batch", lines.join("\n"))
}

#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::yield_now();
    }
}

/// Interrupts a batch once the service was reached. It ends in its time, and nothing that cannot have arrived is in doubt.
fn is_interrupted_in_time(sim: &Sim, arguments: &[String], reached: impl Fn(), most_in_doubt: usize) {
    for lines in [5, 100_000] {
        let file = batch(&sim.folder, lines);
        let rows = sim.folder.path("rows");
        let mut command = apns(arguments);
        command.args(["--batch", &file, "--body", "x", "--results", &rows]);
        let child = command.spawn().unwrap();
        reached();
        let begin = Instant::now();
        signal(&child, "INT");
        let run = finish(child);
        let took = begin.elapsed();
        assert!(took < STOPS_WITHIN, "{lines} lines took {took:?}: {}", run.stderr);
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        let written = std::fs::read_to_string(&rows).unwrap();
        let in_doubt = written.lines().filter(|row| row.contains(r#""outcome":"unknown""#)).count();
        assert!(in_doubt <= most_in_doubt, "{in_doubt} of {lines} in doubt");
        assert!(!written.contains(r#""outcome":"accepted""#) && !written.contains(r#""outcome":"rejected""#));
        for file in std::fs::read_dir(sim.folder.path("")).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rows")) {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
}

/// A port that is reached, and where nobody says anything.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

fn to_port(arguments: Vec<String>, port: &str) -> Vec<String> {
    let place = arguments.iter().position(|argument| argument == "--port").unwrap() + 1;
    let mut arguments = arguments;
    port.clone_into(&mut arguments[place]);
    arguments
}

#[test]
fn an_interruption_ends_in_time_with_a_provider_api_that_never_answers() {
    for (script, most) in [
        (r#"{"http2": {"rules": [{"when": {"token": "*"}, "then": []}]}}"#, 1000),
        (r#"{"http2": {"stream_limit": 1, "rules": [{"when": {"token": "*"}, "then": []}]}}"#, 1),
    ] {
        let sim = Sim::scripted(script);
        let seen = std::cell::Cell::new(0);
        let reached = || {
            wait_until(|| sim.simulator.counts().http2_connections > seen.get());
            seen.set(sim.simulator.counts().http2_connections);
        };
        is_interrupted_in_time(&sim, &sim.provider(&[]), reached, most);
    }
}

#[test]
fn an_interruption_ends_in_time_with_a_gateway_that_never_reads() {
    let sim = Sim::with(Script::default().gateway_faults(Faults::default().stall(Stall::after_read(0))));
    let seen = std::cell::Cell::new(0);
    let reached = || {
        wait_until(|| sim.simulator.counts().gateway_connections > seen.get());
        seen.set(sim.simulator.counts().gateway_connections);
    };
    is_interrupted_in_time(&sim, &sim.send(&[]), reached, usize::MAX);
}

#[test]
fn an_interruption_ends_in_time_with_a_server_that_never_finishes_the_handshake() {
    let sim = Sim::start();
    for arguments in [sim.provider(&[]), sim.send(&[])] {
        let (listener, port) = mute();
        let held = std::cell::RefCell::new(Vec::new());
        let reached = || held.borrow_mut().push(listener.accept().unwrap());
        is_interrupted_in_time(&sim, &to_port(arguments, &port), reached, 0);
    }
}

/// For how long the process stands still, in seconds. Its timeout is a second less, so every deadline passes meanwhile.
fn stop_length() -> u64 {
    std::env::var("APNS_TEST_STOP_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"))
}

/// The process is stopped while a hundred answers are on their way, and goes on when every deadline has passed.
fn stands_still(sim: &Sim, arguments: Vec<String>, lines: u32, all_sent: impl Fn() -> bool) -> crate::support::Run {
    let stop = stop_length();
    let timeout = format!("{}s", stop - 1);
    let file = batch(&sim.folder, lines);
    let mut command = apns(arguments);
    command.args(["--batch", &file, "--body", "x", "--timeout", &timeout]);
    let child = command.spawn().unwrap();
    wait_until(all_sent);
    signal(&child, "STOP");
    // Nothing can be waited for here but time.
    std::thread::sleep(Duration::from_secs(stop));
    signal(&child, "CONT");
    finish(child)
}

#[test]
fn answers_that_came_while_the_process_stood_still_count_on_the_provider_api() {
    let sim = Sim::scripted(
        r#"{"http2": {"rules": [{"when": {"arrival": 1}, "then": ["answer"]}, {"when": {"token": "*"}, "then": [{"wait_ms": 1000}, "answer"]}]}}"#,
    );
    let all_sent = || sim.simulator.counts().requests >= 101;
    let run = stands_still(&sim, sim.provider(&[]), 101, all_sent);
    let accepted = run.outcomes().iter().filter(|outcome| *outcome == "accepted").count();
    assert_eq!(accepted, 101, "{}", run.stderr);
    assert_eq!(sim.simulator.counts().requests, 101, "none was sent twice");
}

#[test]
fn answers_that_came_while_the_process_stood_still_count_on_the_gateway() {
    // The answer to the probe comes a second after it.
    let sim = Sim::with(Script::default().gateway_faults(Faults::default().write_delay_ms(1000)));
    let all_sent = || sim.simulator.counts().notifications >= 100;
    let run = stands_still(&sim, sim.send(&[]), 100, all_sent);
    let rows = run.rows();
    assert!(rows.iter().all(|row| row["outcome"] == "accepted" && row["proof"] == "confirmed"), "{}", run.stderr);
    assert_eq!((rows.len(), sim.simulator.counts().notifications), (100, 100), "none was sent twice");
}

#[test]
fn a_refusal_that_came_while_the_process_stood_still_counts_on_the_gateway() {
    // The fiftieth is refused, what was written behind it is thrown away, and silence would have presumed all accepted.
    let bad = token(50);
    let script = Script::from_json(&format!(r#"{{"invalid_tokens": ["{bad}"]}}"#)).unwrap();
    let sim = Sim::with(script.gateway_faults(Faults::default().write_delay_ms(1000)));
    let all_sent = || sim.simulator.counts().notifications >= 50;
    let run = stands_still(&sim, sim.send(&[]), 101, all_sent);
    let outcomes = run.outcomes();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "accepted").count(), 100, "{}", run.stderr);
    assert_eq!(outcomes[49], "rejected");
    assert_eq!(sim.accepted().len(), 100, "each once");
}
