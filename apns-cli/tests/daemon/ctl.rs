//! `apns ctl` against a daemon.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::running::Running;
use crate::serve::{api, ask, write};

/// A daemon with the app `demo`, which sends to a simulator.
struct World {
    daemon: Running,
    api: String,
}

/// Its folder goes away with it, which takes a stop.
impl Drop for World {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.daemon.stop();
    }
}

impl World {
    fn new() -> Self {
        let mut daemon = Running::start("serve", &["--ports", "any"]);
        let api = api(&mut daemon);
        Self { daemon, api }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apns"));
        command.arg("ctl").args(arguments).env("APNS_DAEMON", format!("http://{}", self.api));
        command
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, where it ends with this status.
    fn says(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.ctl(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Submits one and gives its id.
    fn submit(&self, number: u8, more: &str) -> String {
        let token = format!("{number:02x}").repeat(32);
        let body = format!(r#"{{"token": "{token}", "payload": {{"aps": {{"alert": "Tea"}}}}{more}}}"#);
        let answer = ask(&self.api, "POST", "/v1/apps/demo/notifications", &body);
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        json["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_daemon_is_looked_at_stopped_and_started_again() {
    let world = World::new();
    let status = world.says(0, &["status"]);
    assert!(status.starts_with("the daemon takes notifications\ndemo: "), "{status}");
    let paused = world.says(0, &["pause", "demo", "--reason", "wrong text"]);
    assert!(paused.contains("paused since 20") && paused.contains("(wrong text)"), "{paused}");
    assert!(world.says(1, &["status"]).contains("paused since"), "somebody has to look at it");

    let (first, second) = (world.submit(1, r#", "idempotency_key": "order 17""#), world.submit(2, ""));
    world.submit(3, r#", "push_type": "alert""#);
    let stands = world.says(0, &["explain", &second]);
    assert!(stands.contains("of app demo") && stands.contains("it waits for its turn"), "{stands}");
    let told =
        world.says(1, &["cancel", "demo", &second, "--idempotency-key", "order 17", "--idempotency-key", "none"]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], format!("{second}: cancelled"));
    assert_eq!(lines[1], format!("{first}: cancelled"));
    assert_eq!(lines[2], "none: there is none, or it was forgotten");
    let explained = world.says(0, &["explain", &second]);
    assert!(explained.contains("not_sent, cancelled") && explained.contains("before it was sent"), "{explained}");

    assert_eq!(world.says(0, &["purge", "demo", "--older-than", "1h"]), "0 ended without being sent\n");
    assert_eq!(world.says(0, &["purge", "demo", "--device", &"03".repeat(32)]), "1 ended without being sent\n");
    let refused = world.ctl(&["purge", "demo"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("all: give a condition"), "{said}");

    let tagged = world.submit(4, r#", "tag": "tea""#);
    let found = world.says(0, &["find", "demo", "--tag", "tea"]);
    assert!(found.contains(&format!("{tagged}  waiting, tag tea\n")) && found.lines().count() == 1, "{found}");
    let found = world.says(0, &["find", "demo", "--device", &"03".repeat(32), "--since", "1h", "--reason", "purged"]);
    assert!(found.contains("not_sent, purged, at 20"), "{found}");
    assert_eq!(world.says(0, &["find", "demo", "--until", "1h"]), "");
    let limited = world.ctl(&["--json", "find", "demo", "--limit", "1"]);
    let record: Value = serde_json::from_slice(&limited.stdout).unwrap();
    assert_eq!((&record["id"], &record["state"]), (&tagged.clone().into(), &"waiting".into()));
    assert!(String::from_utf8(limited.stderr).unwrap().contains("there may be more"));
    assert!(world.says(0, &["explain", &tagged]).contains(", tag tea"));
    assert_eq!(world.says(0, &["purge", "demo", "--tag", "tea"]), "1 ended without being sent\n");
    let other = world.submit(5, r#", "tag": "milk""#);
    assert_eq!(world.says(0, &["cancel", "demo", "--tag", "milk"]), format!("{other}: cancelled\n"));

    let resumed: Value = serde_json::from_str(&world.says(0, &["--json", "resume", "demo"])).unwrap();
    assert_eq!((&resumed["name"], resumed.get("paused")), (&Value::from("demo"), None));
    let nobody = world.ctl(&["apps", "a/b"]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(2) && said.contains("no app of this name"), "{said}");
}

#[test]
fn outcomes_are_printed_as_they_come() {
    let world = World::new();
    // From the very beginning, so that nothing depends on who is first.
    let mut tail = world.command(&["tail", "demo", "--after", "0", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let id = world.submit(7, "");
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let record = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|record| record["id"] == id.as_str())
        .unwrap();
    assert_eq!(record["outcome"], "accepted");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn who_is_not_let_in_or_finds_nobody_is_told_what_to_do() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let secret = "0123456789abcdef-secret";
    let config = format!(
        "data = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\n[pyapns]\nenabled = false\n[[token]]\nname = \"x\"\nsecret = \
         \"{secret}\"\nadmin = true\n"
    );
    let file = write(&folder, "apnsd.toml", &config);
    let mut daemon = Running::start("serve", &["--config", &file]);
    let world = World { api: api(&mut daemon), daemon };
    let denied = world.ctl(&["apps"]);
    let said = String::from_utf8(denied.stderr).unwrap();
    assert!(denied.status.code() == Some(2) && said.contains("An access token is needed"), "{said}");
    let token = write(&folder, "token", &format!("{secret}\n"));
    assert_eq!(world.says(0, &["apps", "--token-file", &token]), "");
    let by_variable = world.command(&["apps"]).env("APNS_DAEMON_TOKEN", secret).output().unwrap();
    assert_eq!(by_variable.status.code(), Some(0));
    let bad = world.command(&["apps"]).env("APNS_DAEMON_TOKEN", format!("{secret}\n")).output().unwrap();
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(bad.status.code() == Some(2) && !said.contains(secret) && said.contains("no header"), "{said}");
    drop(world);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Command::new(env!("CARGO_BIN_EXE_apns"))
        .args(["ctl", "status", "--url", &format!("http://{free}")])
        .output()
        .unwrap();
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(3) && said.contains("is the daemon running there"), "{said}");
}
