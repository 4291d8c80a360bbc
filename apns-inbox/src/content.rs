//! What a payload says, read as tolerantly as a device reads it: what has another type than Apple's is left out here, and
//! named by the rules.
//!
//! Source of the keys: Apple, "Generating a remote notification" and "Starting and updating Live Activities with ActivityKit
//! push notifications".

use std::fmt;

use apns_proto::payload::InterruptionLevel;
use serde::Serialize;
use serde_json::{Map, Value};

/// A text, or the key of one that the app has in its own language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Plain(String),
    Key { key: String, args: Vec<String> },
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Key { key, args } if args.is_empty() => f.write_str(key),
            Self::Key { key, args } => write!(f, "{key} ( {} )", args.join(", ")),
        }
    }
}

/// What an alert shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) title: Option<Text>,
    pub(crate) subtitle: Option<Text>,
    pub(crate) body: Option<Text>,
    pub(crate) launch_image: Option<String>,
    pub(crate) summary: Option<(Option<String>, Option<u64>)>,
    /// The button of website pushes, and of alerts of old.
    pub(crate) action: Option<String>,
}

/// What sounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sound {
    pub(crate) name: String,
    pub(crate) critical: bool,
    pub(crate) volume: Option<f64>,
}

/// What a push says about a Live Activity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Live {
    pub(crate) event: Option<String>,
    /// Seconds since 1970, as the other dates here.
    pub(crate) timestamp: Option<u64>,
    pub(crate) attributes_type: Option<String>,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) state: Option<Map<String, Value>>,
    pub(crate) stale: Option<u64>,
    pub(crate) dismissal: Option<u64>,
    pub(crate) input_channel: Option<String>,
    pub(crate) input_token: bool,
}

/// A payload, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Content {
    /// The whole, if it is a JSON object.
    pub(crate) object: Option<Map<String, Value>>,
    pub(crate) alert: Option<Alert>,
    pub(crate) badge: Option<u64>,
    pub(crate) sound: Option<Sound>,
    pub(crate) thread: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) content_available: bool,
    pub(crate) mutable: bool,
    pub(crate) level: Option<InterruptionLevel>,
    pub(crate) relevance: Option<f64>,
    pub(crate) filter: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) live: Option<Live>,
}

impl Content {
    pub(crate) fn read(payload: &[u8]) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_slice(payload) else { return Self::default() };
        let mut content = match object.get("aps") {
            Some(Value::Object(aps)) => Self::of_aps(aps),
            _ => Self::default(),
        };
        content.object = Some(object);
        content
    }

    fn of_aps(aps: &Map<String, Value>) -> Self {
        let alert = aps.get("alert").and_then(read_alert);
        let live = aps.contains_key("event") || aps.contains_key("content-state");
        // A Live Activity has its sound within the alert.
        let inner = aps.get("alert").and_then(|alert| alert.get("sound"));
        Self {
            object: None,
            alert,
            badge: aps.get("badge").and_then(Value::as_u64),
            sound: aps.get("sound").or(inner).and_then(read_sound),
            thread: text(aps, "thread-id").filter(|thread| !thread.is_empty()),
            category: text(aps, "category"),
            content_available: is_one(aps.get("content-available")),
            mutable: is_one(aps.get("mutable-content")),
            level: aps.get("interruption-level").and_then(Value::as_str).and_then(|level| level.parse().ok()),
            relevance: aps.get("relevance-score").and_then(Value::as_f64),
            filter: text(aps, "filter-criteria"),
            target: text(aps, "target-content-id"),
            live: live.then(|| read_live(aps)),
        }
    }

    /// A text in the payload beside `aps`.
    pub(crate) fn own_text(&self, key: &str) -> Option<&str> {
        self.object.as_ref()?.get(key)?.as_str()
    }

    /// Whether it only wakes the app.
    pub(crate) fn is_background(&self) -> bool {
        self.content_available && self.alert.is_none() && self.badge.is_none() && self.sound.is_none()
    }
}

impl Live {
    /// The first few values of the state, for a line.
    pub(crate) fn summary(&self) -> String {
        let state = self.state.iter().flatten().take(3);
        state.map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
    }
}

/// A value as a person reads it: a text without its quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Devices take the number 1; `true` is a slip that the rules name.
fn is_one(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.as_f64() == Some(1.0) || value == &Value::Bool(true))
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn read_alert(value: &Value) -> Option<Alert> {
    match value {
        Value::String(body) if body.is_empty() => None,
        Value::String(body) => Some(Alert { body: Some(Text::Plain(body.clone())), ..Alert::default() }),
        Value::Object(alert) => {
            let argument = text(alert, "summary-arg");
            let count = alert.get("summary-arg-count").and_then(Value::as_u64);
            let read = Alert {
                title: read_text(alert, "title", "title-loc-key", "title-loc-args"),
                subtitle: read_text(alert, "subtitle", "subtitle-loc-key", "subtitle-loc-args"),
                body: read_text(alert, "body", "loc-key", "loc-args"),
                launch_image: text(alert, "launch-image"),
                summary: (argument.is_some() || count.is_some()).then_some((argument, count)),
                action: text(alert, "action").or_else(|| text(alert, "action-loc-key")),
            };
            let shows = read.title.is_some() || read.subtitle.is_some() || read.body.is_some();
            shows.then_some(read)
        }
        _ => None,
    }
}

/// A text, a key with arguments, or (in Live Activities) an object with both.
fn read_text(alert: &Map<String, Value>, name: &str, key: &str, args: &str) -> Option<Text> {
    if let Some(key) = text(alert, key) {
        return Some(Text::Key { key, args: read_args(alert.get(args)) });
    }
    match alert.get(name)? {
        Value::String(text) if !text.is_empty() => Some(Text::Plain(text.clone())),
        Value::Object(object) => {
            let key = text(object, "loc-key")?;
            Some(Text::Key { key, args: read_args(object.get("loc-args")) })
        }
        _ => None,
    }
}

fn read_args(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).map(|args| args.iter().map(plain).collect()).unwrap_or_default()
}

fn read_sound(value: &Value) -> Option<Sound> {
    match value {
        Value::String(name) if name.is_empty() => None,
        Value::String(name) => Some(Sound { name: name.clone(), critical: false, volume: None }),
        Value::Object(sound) => Some(Sound {
            name: text(sound, "name").unwrap_or_else(|| "default".to_owned()),
            critical: is_one(sound.get("critical")),
            volume: sound.get("volume").and_then(Value::as_f64),
        }),
        _ => None,
    }
}

fn read_live(aps: &Map<String, Value>) -> Live {
    let seconds = |key: &str| aps.get(key).and_then(Value::as_f64).filter(|number| *number >= 0.0).map(|it| it as u64);
    let object = |key: &str| aps.get(key).and_then(Value::as_object).cloned();
    Live {
        event: text(aps, "event"),
        timestamp: seconds("timestamp"),
        attributes_type: text(aps, "attributes-type"),
        attributes: object("attributes").unwrap_or_default(),
        state: object("content-state"),
        stale: seconds("stale-date"),
        dismissal: seconds("dismissal-date"),
        input_channel: text(aps, "input-push-channel"),
        input_token: is_one(aps.get("input-push-token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Content {
        Content::read(json.as_bytes())
    }

    #[test]
    fn an_alert_is_a_text_or_an_object_with_texts_and_keys() {
        let alert = read(r#"{"aps":{"alert":"Hi"}}"#).alert.unwrap();
        assert_eq!(alert, Alert { body: Some(Text::Plain("Hi".to_owned())), ..Alert::default() });
        let alert = read(
            r#"{"aps":{"alert":{"title":"T","subtitle-loc-key":"S","loc-key":"B_FMT","loc-args":["a",6],
               "summary-arg":"us","summary-arg-count":2,"launch-image":"x.png"}}}"#,
        )
        .alert
        .unwrap();
        assert_eq!(alert.title, Some(Text::Plain("T".to_owned())));
        assert_eq!(alert.subtitle.unwrap().to_string(), "S");
        assert_eq!(alert.body.unwrap().to_string(), "B_FMT ( a, 6 )");
        assert_eq!(
            (alert.summary, alert.launch_image.as_deref()),
            (Some((Some("us".to_owned()), Some(2))), Some("x.png"))
        );
    }

    #[test]
    fn a_live_activity_has_texts_as_objects_and_its_sound_within_the_alert() {
        let content = read(
            r#"{"aps":{"event":"start","timestamp":1700000000,"content-state":{"a":1,"b":"x"},"attributes-type":"Trip",
               "alert":{"title":{"loc-key":"K","loc-args":["1"]},"body":"b","sound":"chime.caf"}}}"#,
        );
        let live = content.live.as_ref().unwrap();
        assert_eq!(
            (live.event.as_deref(), live.timestamp, live.summary()),
            (Some("start"), Some(1_700_000_000), "a 1, b x".to_owned())
        );
        assert_eq!(content.sound.unwrap().name, "chime.caf");
        assert_eq!(content.alert.unwrap().title.unwrap().to_string(), "K ( 1 )");
    }

    #[test]
    fn what_has_another_type_is_left_out() {
        let content = read(r#"{"aps":{"alert":7,"badge":"3","sound":[],"thread-id":1,"interruption-level":"loud"}}"#);
        let empty = Content { object: content.object.clone(), ..Content::default() };
        assert_eq!(content, empty);
        for odd in ["", "[]", "7", "{\"aps\":7}", "\u{feff}{}", "{"] {
            assert_eq!(Content { object: None, ..read(odd) }, Content::default(), "{odd}");
        }
    }

    #[test]
    fn a_background_push_has_nothing_that_is_seen_or_heard() {
        assert!(read(r#"{"aps":{"content-available":1},"x":1}"#).is_background());
        assert!(!read(r#"{"aps":{"content-available":1,"badge":2}}"#).is_background());
        assert!(!read(r#"{"aps":{}}"#).is_background());
    }
}
