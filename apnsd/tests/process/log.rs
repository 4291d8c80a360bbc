//! What the log looks like, as text and as JSON.

use serde_json::{Map, Value};

use crate::doubt::Scene;
use crate::victim::{Victim, free_port, until};

const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// A time of UTC, such as `2026-01-31T09:05:00.123456Z`.
fn is_time(text: &str) -> bool {
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(byte) }).collect::<String>();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}

/// Level, target and text of each line.
fn read_text(log: &str) -> Vec<(String, String, String)> {
    let lines = log.lines().map(|line| {
        let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(is_time(time), "{line}");
        let (level, rest) = rest.trim_start().split_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (target, text) = rest.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        (level.to_owned(), target.to_owned(), text.to_owned())
    });
    lines.collect()
}

fn read_json(log: &str) -> Vec<(String, String, String)> {
    let lines = log.lines().map(|line| {
        let event: Map<String, Value> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(is_time(event["timestamp"].as_str().unwrap()), "{line}");
        let member = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
        (member("level"), member("target"), member("message"))
    });
    lines.collect()
}

pub(crate) async fn the_log_has_time_level_and_target_in_text_and_json() {
    for (format, read) in [("text", read_text as fn(&str) -> _), ("json", read_json)] {
        let scene = Scene::new("{}").await;
        let text = std::fs::read_to_string(scene.config()).unwrap();
        // A provider that is not there is a warning, and a file that is read again an information.
        let port = format!("port = {}", scene.simulator.http2_address().port());
        let text = text.replace(&port, &format!("port = {}", free_port().port()));
        std::fs::write(scene.config(), format!("{text}[log]\nformat = \"{format}\"\n")).unwrap();
        let mut victim = Victim::start(&scene.config());
        scene.hand_in(1).await;
        until("it has no connection", async || victim.log().contains("no connection").then_some(())).await;
        victim.signal("-HUP");
        until("the file is read again", async || victim.log().contains("was read again").then_some(())).await;
        victim.signal("-TERM");
        until("it ends", async || victim.child.try_wait().unwrap()).await;
        let events: Vec<(String, String, String)> = read(&victim.log());
        // The driver says what it does as well where it is built with `tracing`.
        let fits = |(level, target, _): &(String, String, String)| {
            LEVELS.contains(&&**level) && (target.starts_with("apnsd") || target.starts_with("apns_driver"))
        };
        assert!(events.iter().all(fits), "{format}: {events:?}");
        let said = |wanted: &str, words: &str| {
            let found = events.iter().filter(|(level, _, text)| level == wanted && text.contains(words));
            assert_eq!(found.count(), 1, "{format}: {words}: {events:?}");
        };
        said("WARN", "app reports: no connection: ");
        said("INFO", "was read again, and is in force");
        said("INFO", "stopping: ");
    }
}
