//! `apns send --simulator`: what Xcode's simulator takes.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Folder, apns, finish, run};

fn written(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_payload_is_written_with_its_app_and_nothing_is_sent() {
    let folder = Folder::new();
    let file = folder.path("tea.apns");
    // No credential, no host: nothing is asked.
    let said = run(["send", "--simulator", &file, "--topic", "com.example.app", "--body", "Tea"]).expect(0);
    assert!(said.stderr.contains("nothing is sent"), "{said:?}");
    assert_eq!(said.stdout, "");
    let expected = json!({"Simulator Target Bundle": "com.example.app", "aps": {"alert": {"body": "Tea"}}});
    assert_eq!(written(&file), expected);
    let whole = folder.write("whole.json", r#"{"aps": {"badge": 3}, "own": [1, 2]}"#);
    run(["send", "--simulator", &file, "--topic", "com.example.app.voip", "--payload", &whole]).expect(0);
    let expected = json!({"Simulator Target Bundle": "com.example.app", "aps": {"badge": 3}, "own": [1, 2]});
    assert_eq!(written(&file), expected, "the app, without the suffix of a push type");
    let mut by_variable = apns(["send", "--simulator", &file, "--title", "Kitchen"]);
    finish(by_variable.env("APNS_TOPIC", "com.example.other").spawn().unwrap()).expect(0);
    assert_eq!(written(&file)["Simulator Target Bundle"], "com.example.other");
}

#[test]
fn what_is_missing_is_named() {
    let folder = Folder::new();
    let file = folder.path("tea.apns");
    for (options, words) in [
        (&["--body", "Tea"][..], "no --topic"),
        (&["--topic", "com.example.app"], "nothing says what to send"),
        (&["--topic", "com.example.app", "--body", "Tea", "--token", "00ff"], "cannot be used with"),
        (&["--topic", "com.example.app", "--body", "Tea", "--dry-run"], "cannot be used with"),
    ] {
        let told = run(["send", "--simulator", &file].iter().chain(options)).expect(2);
        assert!(told.stderr.contains(words), "{options:?}: {told:?}");
    }
    assert!(fs::metadata(&file).is_err(), "nothing was written");
    let nowhere = folder.path("no/such/folder/tea.apns");
    let told = run(["send", "--simulator", &nowhere, "--topic", "a.b", "--body", "Tea"]).expect(2);
    assert!(told.stderr.contains("cannot be written"), "{told:?}");
}
