//! `apns bridge` from outside.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// A bridge that does not outlive its test.
struct Bridge {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Bridge {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apns"));
        let mut child =
            command.arg("bridge").args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads lines until one has this in it.
    fn line_with(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert_ne!(self.lines.read_line(&mut all).unwrap(), 0, "it never said {text:?}: {all}");
            if all[start..].contains(text) {
                return all[start..].trim().to_owned();
            }
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn apns(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apns")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[cfg(unix)]
#[test]
fn without_a_word_there_is_something_to_try_and_it_works() {
    let mut bridge = Bridge::start(&["--listen", "127.0.0.1:0", "--feedback", "127.0.0.1:0"]);
    let folder = bridge.line_with("everything is in ");
    let folder = folder.split("everything is in ").nth(1).unwrap().split(", and").next().unwrap().to_owned();
    let command = bridge.line_with("apns send --binary");
    // As a shell reads it.
    let sent = Command::new("sh")
        .args(["-c", &command.replacen("apns", env!("CARGO_BIN_EXE_apns"), 1)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let stop = Command::new("kill").args(["-TERM", &bridge.child.id().to_string()]).status().unwrap();
    assert!(stop.success());
    assert!(bridge.line_with("the pretend Apple took").contains("took 1 notifications and refused 0"));
    assert!(bridge.child.wait().unwrap().success());
    assert!(!std::path::Path::new(&folder).exists(), "it goes away");
}

#[test]
fn what_is_wrong_with_the_options_is_said_before_anything_is_done() {
    for (arguments, said) in [
        (&["bridge", "--p8", "gone.p8", "--team-id", "TEAM123456", "--key-id", "ABCDE12345"][..], "gone.p8"),
        (&["bridge", "--cert", "gone.pem", "--client-cert", "gone.pem"], "gone.pem"),
        (&["bridge", "--server-cert", "a.pem"], "--server-key"),
        (&["bridge", "--config", "gone.toml"], "gone.toml"),
        (&["bridge", "--config", "gone.toml", "--topic", "x"], "--topic"),
    ] {
        let output = apns(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}
