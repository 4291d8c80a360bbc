//! Rules about several keys at once, and about numbers that have the right form and the wrong meaning.

use apns_proto::PushType;

use crate::json::Json;
use crate::lint::{Notes, Severity, path};
use crate::table;

/// Before this, a number of seconds since 1970 is in the last century's style: it was counted from another time.
/// 2009, the year of the service's first push.
const EARLIEST: f64 = 1_230_768_000.0;

/// From here on it is milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: f64 = 100_000_000_000.0;

/// From 1970 to 2001, from where Foundation counts.
const FROM_1970_TO_2001: f64 = 978_307_200.0;

pub(crate) fn check(notes: &mut Notes, json: &Json, push_type: &PushType, broadcast: bool) {
    let Some(aps @ Json::Object(_)) = json.get("aps") else { return };
    match push_type {
        PushType::LiveActivity => live_activity(notes, aps, broadcast),
        PushType::Alert => alert(notes, aps),
        PushType::Background => background(notes, aps),
        _ => {}
    }
}

/// The known key that a text differs from in its separators and case alone, as those of other systems and of code do.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let wanted = letters(name);
    table::known_keys().find(|known| *known != name && letters(known) == wanted)
}

fn alert(notes: &mut Notes, aps: &Json) {
    let shows = ["alert", "badge", "sound", "content-available"].iter().any(|key| aps.get(key).is_some());
    if !shows {
        notes.add(Severity::Dropped, "aps", "nothing in it shows, sounds or wakes: give `alert`, `badge` or `sound`");
    }
    if let Some(text) = aps.get("alert").filter(|alert| says_nothing(alert)) {
        notes.add(Severity::Dropped, "aps.alert", format!("it is {} that says nothing", text.kind()));
    }
    if aps.get("mutable-content") == Some(&Json::Whole(1)) && aps.get("alert").is_none() {
        notes.add(Severity::Dropped, "aps.mutable-content", "the extension runs only for a push that shows an alert");
    }
    if let Some(alert) = aps.get("alert") {
        for (text, key) in [("title", "title-loc-key"), ("subtitle", "subtitle-loc-key"), ("body", "loc-key")] {
            if alert.get(text).is_some() && alert.get(key).is_some_and(|key| *key != Json::Null) {
                let what = format!("it stands beside `{key}`, which takes its place");
                notes.add(Severity::Doubtful, path("aps.alert", text), what);
            }
        }
        for (arguments, key) in
            [("title-loc-args", "title-loc-key"), ("subtitle-loc-args", "subtitle-loc-key"), ("loc-args", "loc-key")]
        {
            if alert.get(arguments).is_some() && alert.get(key).is_none() {
                notes.add(Severity::Dropped, path("aps.alert", arguments), format!("it means nothing without `{key}`"));
            }
        }
        for old in ["summary-arg", "summary-arg-count", "action-loc-key"] {
            if alert.get(old).is_some() {
                notes.add(Severity::Doubtful, path("aps.alert", old), "today's systems ignore it");
            }
        }
    }
    if let Some(sound) = aps.get("sound").filter(|sound| !sound.members().is_empty()) {
        let critical = sound.get("critical") == Some(&Json::Whole(1));
        if sound.get("volume").is_some() && !critical {
            notes.add(
                Severity::Doubtful,
                "aps.sound.volume",
                "it counts for a critical alert alone: `critical` is not 1",
            );
        }
        if sound.get("name").is_none() {
            notes.add(Severity::Dropped, "aps.sound.name", "it is missing: nothing says which sound");
        }
    }
}

fn says_nothing(alert: &Json) -> bool {
    match alert {
        Json::Text(text) => text.is_empty(),
        Json::Object(members) => members.iter().all(|(_, value)| match value {
            Json::Text(text) => text.is_empty(),
            Json::Null => true,
            _ => false,
        }),
        _ => false,
    }
}

/// What the user would notice has no place in a background push: the system may throw it away.
fn background(notes: &mut Notes, aps: &Json) {
    for key in ["alert", "badge", "sound"] {
        if aps.get(key).is_some() {
            notes.add(
                Severity::Dropped,
                path("aps", key),
                "a background push shows nothing and makes no sound: send it with the push type alert",
            );
        }
    }
}

fn live_activity(notes: &mut Notes, aps: &Json, broadcast: bool) {
    let event = aps.get("event").and_then(Json::text);
    if broadcast && event == Some("start") {
        notes.add(Severity::Refused, "aps.event", "a broadcast cannot start a Live Activity");
    }
    if aps.get("input-push-token").is_some() && aps.get("input-push-channel").is_some() {
        let what = "it excludes `input-push-token`: an activity is updated by its token or by its channel";
        notes.add(Severity::Dropped, "aps.input-push-channel", what);
    }
    if aps.get("sound").is_some() {
        notes.add(Severity::Dropped, "aps.sound", "the sound of a Live Activity stands in its `alert`");
    }
    if let Some(alert) = aps.get("alert")
        && alert.get("title").is_none()
        && alert.get("body").is_none()
    {
        notes.add(Severity::Dropped, "aps.alert", "it has neither `title` nor `body`, and so says nothing");
    }
    for key in ["timestamp", "stale-date", "dismissal-date"] {
        if let Some(seconds) = aps.get(key).and_then(Json::number) {
            date(notes, path("aps", key), key, seconds);
        }
    }
    let (sent, gone) = (aps.get("timestamp").and_then(Json::number), aps.get("dismissal-date").and_then(Json::number));
    if let (Some(sent), Some(gone)) = (sent, gone)
        && gone > sent + 4.0 * 3600.0
        && sent >= EARLIEST
        && gone < MILLISECONDS
    {
        notes.add(Severity::Doubtful, "aps.dismissal-date", "the system takes it away after four hours all the same");
    }
    for key in ["content-state", "attributes"] {
        if let Some(state) = aps.get(key) {
            dates_within(notes, &path("aps", key), state);
        }
    }
}

fn date(notes: &mut Notes, at: String, key: &str, seconds: f64) {
    if seconds >= MILLISECONDS {
        notes.add(Severity::Dropped, at, "it is too large for seconds since 1970: these are milliseconds");
    } else if key == "dismissal-date" && seconds < EARLIEST {
        // Any time that has passed says "at once", so this may be meant.
        if seconds > 0.0 {
            notes.add(Severity::Doubtful, at, "it passed long ago, which takes the activity away at once");
        }
    } else if seconds < EARLIEST {
        let what = if seconds + FROM_1970_TO_2001 >= EARLIEST {
            "it is years ago as seconds since 1970: it seems to be counted from 2001, as Swift's Date is"
        } else {
            "it is years ago as seconds since 1970"
        };
        notes.add(Severity::Dropped, at, what);
    }
}

/// The system decodes a `Date` in an activity's state as seconds since 2001. A number that is today's date when it is
/// counted from 1970 is probably one that the app will read as a date some thirty years ahead.
fn dates_within(notes: &mut Notes, at: &str, json: &Json) {
    /// 2017 and 2096, counted from 1970.
    const TODAY: std::ops::Range<f64> = 1_500_000_000.0..4_000_000_000.0;
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                dates_within(notes, &path(at, name), value);
            }
        }
        Json::Array(values) => values.iter().for_each(|value| dates_within(notes, at, value)),
        Json::Whole(_) | Json::Number(_) if json.number().is_some_and(|number| TODAY.contains(&number)) => {
            let what = "if this is a date: the system counts those in here from 2001, and not from 1970";
            notes.add(Severity::Doubtful, at, what);
        }
        _ => {}
    }
}
