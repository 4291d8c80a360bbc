//! `apns bridge` from outside.

use std::process::{Command, Output, Stdio};

#[cfg(unix)]
use crate::running::Running;

fn apns(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apns")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[cfg(unix)]
#[test]
fn without_a_word_there_is_something_to_try_and_it_works() {
    let mut bridge = Running::start("bridge", &["--listen", "127.0.0.1:0", "--feedback", "127.0.0.1:0"]);
    let folder = bridge.folder();
    let command = bridge.line_with("apns send --binary").trim_start().to_owned();
    // As a shell reads it.
    let sent = Command::new("sh")
        .args(["-c", &command.replacen("apns", env!("CARGO_BIN_EXE_apns"), 1)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let (status, said) = bridge.stop();
    assert_eq!(status, 0);
    assert!(said.contains("1 taken since the start; ended: 1 accepted; 0 wait for the next start"), "{said}");
    assert!(said.contains("the simulator took 1 notifications and refused 0"), "{said}");
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
