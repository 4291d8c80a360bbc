//! Rules about the payload.
//!
//! Source: Apple, "Generating a remote notification", "Pushing background updates to your App", "Starting and updating Live
//! Activities with ActivityKit push notifications" and the pages of the other push types. The service itself looks at the
//! size alone: to a payload that a device drops it answers 200.

use apns_proto::PushType;
use serde_json::{Map, Value};

use super::Severity::{Know, May, Refuse};
use super::{Checked, Page, Rule, unless};
use crate::push::Push;

/// The keys of `aps` that Apple documents, today or before.
const KNOWN: &[&str] = &[
    "alert",
    "badge",
    "sound",
    "thread-id",
    "category",
    "content-available",
    "mutable-content",
    "target-content-id",
    "interruption-level",
    "relevance-score",
    "filter-criteria",
    "timestamp",
    "event",
    "content-state",
    "stale-date",
    "dismissal-date",
    "attributes-type",
    "attributes",
    "input-push-token",
    "input-push-channel",
    "content-changed",
    "encryptedData",
    "sessionIdentifier",
    "keyID",
    "messageIndex",
    "url-args",
];

/// The longest that an activity stays behind its end, in seconds.
const STAYS: u64 = 4 * 60 * 60;

pub(super) static RULES: [Rule; 20] = [
    rule("payload-size", "The payload is within its limit", Page::Payload, None, size),
    rule("payload-json", "The payload is a JSON object", Page::Payload, None, json),
    rule("aps", "The payload has the dictionary aps", Page::Payload, Some("aps"), aps),
    rule("aps-keys", "aps has only keys that Apple documents", Page::Payload, Some("aps"), unknown_keys),
    rule("aps-outside", "What belongs into aps stands in it", Page::Payload, Some("aps"), outside),
    rule("alert-shape", "The alert is a text or an object with texts", Page::Payload, Some("alert"), alert),
    rule("badge", "badge is a whole number", Page::Payload, Some("badge"), badge),
    rule("sound", "sound is a name or an object with a name", Page::Payload, Some("sound"), sound),
    rule("flags", "content-available and mutable-content are the number 1", Page::Payload, None, flags),
    rule("mutable", "mutable-content comes with an alert", Page::Payload, Some("mutable-content"), mutable),
    rule("interruption-level", "interruption-level is one of four", Page::Level, Some("interruption-level"), level),
    rule("entitlement", "No entitlement is needed", Page::Level, Some("interruption-level"), entitlement),
    rule("relevance-score", "relevance-score is from 0 to 1", Page::Payload, Some("relevance-score"), relevance),
    rule("background-content", "A background push shows and plays nothing", Page::Background, None, background),
    rule("alert-content", "An alert push shows or plays something", Page::Payload, None, shows),
    rule("required-keys", "The payload has what its push type needs", Page::Request, None, required),
    rule("live-start", "A start has attributes, their type, and an alert", Page::LiveActivity, Some("event"), start),
    rule("live-dates", "The dates of a Live Activity are seconds since 1970", Page::LiveActivity, None, dates),
    rule("live-event", "The event is start, update or end", Page::LiveActivity, Some("event"), event),
    rule("mdm-alone", "mdm stands alone in the payload", Page::Mdm, Some("mdm"), mdm),
];

const fn rule(
    name: &'static str,
    keeps: &'static str,
    page: Page,
    field: Option<&'static str>,
    check: fn(&Push) -> Checked,
) -> Rule {
    Rule { name, keeps, page, field, check }
}

fn size(push: &Push) -> Checked {
    let (length, limit) = (push.payload().len(), push.payload_limit().bytes());
    if length == 0 {
        return unless(false, Refuse, "No payload → 400 PayloadEmpty", "Send a JSON object, at least `{\"aps\":{}}`.");
    }
    let code = if push.request().is_some() { "413 PayloadTooLarge" } else { "status 7 invalid_payload_size" };
    unless(
        length <= limit,
        Refuse,
        format!("{length} bytes where {limit} are allowed → {code}"),
        "Shorten it. Bytes of UTF-8 count, white space and escapes included.",
    )
}

fn json(push: &Push) -> Checked {
    if push.payload().is_empty() {
        return Checked::Beside;
    }
    if push.content().object.is_some() {
        return Checked::Kept;
    }
    let why = match serde_json::from_slice::<Value>(push.payload()) {
        Ok(_) => "It is JSON, and no object.".to_owned(),
        Err(_) if push.payload().starts_with("\u{feff}".as_bytes()) => "A byte order mark stands before it.".to_owned(),
        Err(error) => format!("It ends being JSON at line {}, column {}.", error.line(), error.column()),
    };
    unless(false, May, "The payload is no JSON object", format!("{why} A device drops it."))
}

fn aps(push: &Push) -> Checked {
    let Some(object) = &push.content().object else { return Checked::Beside };
    let free = matches!(
        push.push_type(),
        PushType::Mdm
            | PushType::FileProvider
            | PushType::Voip
            | PushType::PushToTalk
            | PushType::Location
            | PushType::Complication
    ) || push.topic().starts_with("pass.");
    match object.get("aps") {
        Some(Value::Object(_)) => Checked::Kept,
        None if free => Checked::Beside,
        None => unless(false, May, "No aps in the payload", "Apple's keys stand in an object called `aps`."),
        Some(_) => unless(false, May, "aps is no object", "Apple's keys stand in an object called `aps`."),
    }
}

fn unknown_keys(push: &Push) -> Checked {
    let Some(aps) = push.content().aps() else { return Checked::Beside };
    let unknown: Vec<&str> = aps.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).take(3).collect();
    if unknown.is_empty() {
        return Checked::Kept;
    }
    let folded = |key: &str| key.replace(['_', '-'], "").to_lowercase();
    let meant = unknown.iter().find_map(|key| KNOWN.iter().find(|known| folded(known) == folded(key)));
    let quoted = unknown.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let text = match meant {
        Some(known) => format!("aps has {quoted}. Is `{known}` meant?"),
        None => format!("aps has {quoted}. Keys of your own stand beside `aps`; in it they are ignored."),
    };
    unless(false, if meant.is_some() { May } else { Know }, "A key in aps that Apple does not have", text)
}

fn outside(push: &Push) -> Checked {
    if !matches!(push.push_type(), PushType::Alert | PushType::Background | PushType::LiveActivity) {
        return Checked::Beside;
    }
    let Some(object) = &push.content().object else { return Checked::Beside };
    let ours = ["alert", "badge", "sound", "content-available", "mutable-content", "interruption-level"];
    let Some(stray) = ours.into_iter().find(|key| object.contains_key(*key)) else { return Checked::Kept };
    unless(
        false,
        May,
        format!("{stray} stands beside aps"),
        format!("The system reads `{stray}` within `aps` alone; here the app gets it as its own."),
    )
}

fn alert(push: &Push) -> Checked {
    match push.content().aps().and_then(|aps| aps.get("alert")) {
        None => Checked::Beside,
        Some(Value::String(_)) => Checked::Kept,
        Some(Value::Object(alert)) => {
            let live = push.push_type() == PushType::LiveActivity;
            let odd = ["title", "subtitle", "body"].into_iter().find(|key| {
                let value = alert.get(*key);
                value.is_some_and(|value| !(value.is_string() || live && value.is_object()))
            });
            match odd {
                None => Checked::Kept,
                Some(key) => {
                    unless(false, May, format!("{key} of the alert is no text"), "The device shows nothing of it.")
                }
            }
        }
        Some(_) => unless(false, May, "alert is neither a text nor an object", "The device shows no alert."),
    }
}

fn badge(push: &Push) -> Checked {
    let Some(badge) = push.content().aps().and_then(|aps| aps.get("badge")) else { return Checked::Beside };
    let text = "Send a number from 0 on, without quotes. The device leaves the badge as it is.";
    unless(badge.is_u64(), May, "badge is no whole number", text)
}

fn sound(push: &Push) -> Checked {
    match push.content().aps().and_then(|aps| aps.get("sound")) {
        None => Checked::Beside,
        Some(Value::String(_)) => Checked::Kept,
        Some(Value::Object(sound)) => {
            let volume = sound.get("volume").map(|volume| volume.as_f64().is_some_and(|it| (0.0..=1.0).contains(&it)));
            unless(volume != Some(false), May, "volume is not from 0 to 1", "0 is silent, 1 is full.")
        }
        Some(_) => unless(false, May, "sound is neither a name nor an object", "The device plays nothing."),
    }
}

fn flags(push: &Push) -> Checked {
    let Some(aps) = push.content().aps() else { return Checked::Beside };
    let set: Vec<(&str, &Value)> =
        ["content-available", "mutable-content"].into_iter().filter_map(|key| Some((key, aps.get(key)?))).collect();
    if set.is_empty() {
        return Checked::Beside;
    }
    let odd = set.into_iter().find(|(_, value)| !matches!(value.as_u64(), Some(0 | 1)));
    match odd {
        None => Checked::Kept,
        Some((key, value)) => unless(
            false,
            May,
            format!("{key} is {}", short(value)),
            format!("Apple documents the number 1: `\"{key}\": 1`."),
        ),
    }
}

fn mutable(push: &Push) -> Checked {
    if !push.content().mutable {
        return Checked::Beside;
    }
    let text = "The service extension only runs for a push that shows an alert.";
    unless(push.content().alert.is_some(), May, "mutable-content without an alert", text)
}

fn level(push: &Push) -> Checked {
    let content = push.content();
    let Some(value) = content.aps().and_then(|aps| aps.get("interruption-level")) else { return Checked::Beside };
    let text = "It is `passive`, `active`, `time-sensitive` or `critical`.";
    unless(content.level.is_some(), May, format!("interruption-level is {}", short(value)), text)
}

fn entitlement(push: &Push) -> Checked {
    use apns_proto::payload::InterruptionLevel::{Critical, TimeSensitive};
    let content = push.content();
    let critical = content.level == Some(Critical) || content.sound.as_ref().is_some_and(|sound| sound.critical);
    if critical {
        let text = "Apple grants it one by one. Without it the phone shows and plays it as a plain alert.";
        return unless(false, Know, "Critical needs an entitlement", text);
    }
    if content.level == Some(TimeSensitive) {
        let text = "Without Time Sensitive Notifications in the app’s entitlements the phone shows it as `active`.";
        return unless(false, Know, "Time-sensitive needs an entitlement", text);
    }
    Checked::Beside
}

fn relevance(push: &Push) -> Checked {
    let Some(value) = push.content().aps().and_then(|aps| aps.get("relevance-score")) else { return Checked::Beside };
    let right = match value.as_f64() {
        Some(score) => push.push_type() == PushType::LiveActivity || (0.0..=1.0).contains(&score),
        None => false,
    };
    unless(right, May, format!("relevance-score is {}", short(value)), "It is a number from 0 to 1.")
}

fn background(push: &Push) -> Checked {
    if push.push_type() != PushType::Background {
        return Checked::Beside;
    }
    let Some(aps) = push.content().aps() else { return Checked::Beside };
    let shown: Vec<&str> = ["alert", "badge", "sound"].into_iter().filter(|key| aps.contains_key(*key)).collect();
    unless(
        shown.is_empty(),
        May,
        format!("Background, but the payload has {}", shown.join(" and ")),
        "The type must say what the payload holds: send it as `alert`, or leave that out.",
    )
}

fn shows(push: &Push) -> Checked {
    if push.push_type() != PushType::Alert || push.topic().starts_with("pass.") {
        return Checked::Beside;
    }
    let content = push.content();
    if content.aps().is_none() {
        return Checked::Beside;
    }
    let seen = content.alert.is_some() || content.badge.is_some() || content.sound.is_some();
    let text =
        "There is neither a text nor a badge nor a sound in it. What only wakes the app is of type `background`.";
    unless(seen, May, "An alert that shows nothing", text)
}

fn required(push: &Push) -> Checked {
    let push_type = push.push_type();
    let (Some(object), keys) = (&push.content().object, push_type.required_keys()) else { return Checked::Beside };
    if keys.is_empty() {
        return Checked::Beside;
    }
    let missing = keys.iter().find(|key| match key.split_once('.') {
        Some((outer, inner)) => object.get(outer).and_then(|value| value.get(inner)).is_none(),
        None => !object.contains_key(**key),
    });
    let (word, key) = (push_type.as_str(), missing.copied().unwrap_or_default());
    unless(missing.is_none(), May, format!("{word} without {key}"), format!("A device drops it: `{key}` is needed."))
}

/// The payload's `aps`, for a Live Activity.
fn live(push: &Push) -> Option<&Map<String, Value>> {
    if push.push_type() == PushType::LiveActivity { push.content().aps() } else { None }
}

fn event(push: &Push) -> Checked {
    let Some(event) = live(push).and_then(|aps| aps.get("event")) else { return Checked::Beside };
    match event.as_str() {
        Some("start") if push.is_broadcast() => {
            unless(false, May, "A broadcast cannot start", "It updates and ends Live Activities that are there.")
        }
        Some("update" | "start") => {
            let state = push.content().live.as_ref().is_some_and(|live| live.state.is_some());
            unless(state, May, "No content-state", "It has to decode into the ContentState of the activity.")
        }
        Some("end") => Checked::Kept,
        _ => unless(false, May, format!("The event is {}", short(event)), "It is `start`, `update` or `end`."),
    }
}

fn start(push: &Push) -> Checked {
    let Some(aps) = live(push) else { return Checked::Beside };
    if aps.get("event").and_then(Value::as_str) != Some("start") {
        return Checked::Beside;
    }
    let missing = ["attributes-type", "attributes", "alert"].into_iter().find(|key| !aps.contains_key(*key));
    if let Some(key) = missing {
        let text = "The service answers 200, and the device drops it in silence.";
        return unless(false, May, format!("A start without {key}"), text);
    }
    let both = aps.contains_key("input-push-token") && aps.contains_key("input-push-channel");
    unless(
        !both,
        May,
        "input-push-token and input-push-channel",
        "An activity has a token of its own or listens to a channel.",
    )
}

fn dates(push: &Push) -> Checked {
    let Some(aps) = live(push) else { return Checked::Beside };
    let now = push.at.as_secs();
    for key in ["timestamp", "stale-date", "dismissal-date"] {
        let Some(value) = aps.get(key) else { continue };
        let Some(seconds) = value.as_f64() else {
            let text = "It is a number: seconds since 1970.";
            return unless(false, May, format!("{key} is {}", short(value)), text);
        };
        // Between 2001-09-09 and 2286 in seconds since 1970; what counts from 2001 is below that today, and what counts
        // milliseconds is above.
        if seconds < 1e9 {
            let text = "It counts from 2001, probably, as Swift does; here seconds since 1970 are meant.";
            return unless(key == "dismissal-date", May, format!("{key} is decades ago"), text);
        }
        if seconds >= 1e10 {
            return unless(
                false,
                May,
                format!("{key} is far in the future"),
                "It is in milliseconds, probably: divide it by 1000.",
            );
        }
    }
    let live = push.content().live.clone().unwrap_or_default();
    if live.dismissal.is_some_and(|dismissal| dismissal > now + STAYS) {
        let text = "The activity leaves the screen after four hours at the latest.";
        return unless(false, Know, "dismissal-date is more than four hours ahead", text);
    }
    Checked::Kept
}

fn mdm(push: &Push) -> Checked {
    let Some(object) = &push.content().object else { return Checked::Beside };
    if push.push_type() != PushType::Mdm {
        return Checked::Beside;
    }
    unless(
        object.len() <= 1,
        May,
        "More than mdm in the payload",
        "The payload is `{\"mdm\": \"PushMagic\"}` and nothing else.",
    )
}

/// A value in a few characters.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(24) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
