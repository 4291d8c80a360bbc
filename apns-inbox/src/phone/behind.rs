//! What is not seen on the lock screen: rows that say what the system would do.
//!
//! Sources: Apple, "Sending notification requests to APNs" (the table of push types), "Pushing background updates to your
//! App", "Responding to VoIP Notifications from PushKit", "Updating widgets with WidgetKit push notifications", "Creating a
//! location push service extension" and the MDM protocol reference.

use apns_proto::{PushType, WallTime};
use serde::Serialize;

use super::activity::Activity;
use crate::clock;
use crate::push::{Answer, Push};
use crate::store::Fate;

/// A row of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    #[serde(skip)]
    pub(crate) icon: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) topic: String,
    #[serde(serialize_with = "crate::api::millis")]
    pub(crate) at: WallTime,
    pub(crate) does: String,
    /// Status and reason, where it was refused.
    pub(crate) answer: Option<String>,
}

impl Row {
    pub(super) fn of(push: &Push, at: WallTime, does: String) -> Self {
        let push_type = push.push_type();
        let icon = match push_type {
            PushType::Alert => "bell",
            PushType::Background => "moon",
            PushType::Complication => "watch",
            PushType::Controls => "toggle",
            PushType::FileProvider => "folder",
            PushType::LiveActivity => "cast",
            PushType::Location => "pin",
            PushType::Mdm => "gear",
            PushType::PushToTalk => "talk",
            PushType::Voip => "call",
            PushType::Widgets => "widget",
            PushType::Accessory => "link",
            _ => "doc",
        };
        let kind = push_type.as_str().to_owned();
        Self { seq: push.seq, icon, kind, topic: push.topic().to_owned(), at, does, answer: None }
    }

    /// What a push of a type does that shows nothing on the lock screen.
    pub(super) fn behind(push: &Push, at: WallTime) -> Self {
        let does = match push.push_type() {
            PushType::Background if push.content().alert.is_some() => {
                "Wakes the app at most; what the payload would show does not fit the type and may be dropped."
                    .to_owned()
            }
            PushType::Background => {
                "Wakes the app for about 30 seconds, when power and budget allow. Shows nothing.".to_owned()
            }
            PushType::Complication => {
                "Hands the payload to the watch app, which refreshes the complication.".to_owned()
            }
            PushType::Controls => "Reloads the app’s controls in Control Centre and on the lock screen.".to_owned(),
            PushType::FileProvider => {
                let container = push.content().own_text("container-identifier").unwrap_or("without a name");
                format!("Signals the File Provider extension to enumerate container {container} again.")
            }
            PushType::Location => {
                "Starts the Location Push Service Extension, which may answer with the place to your server.".to_owned()
            }
            PushType::Mdm => "The device contacts its management server and asks for commands.".to_owned(),
            PushType::PushToTalk => {
                "Wakes the app to name who speaks; the system shows that and plays the audio.".to_owned()
            }
            PushType::Voip => {
                "Rings. The app must report the call at once, or the system ends it and stops delivering such pushes."
                    .to_owned()
            }
            PushType::Widgets => "Asks the app’s widgets for a new timeline, within their daily budget.".to_owned(),
            PushType::Accessory => {
                "Goes on to a paired accessory through the app’s extension. Shows nothing here.".to_owned()
            }
            other => format!("A push type that this inbox does not know: {}.", other.as_str()),
        };
        Self::of(push, at, does)
    }

    /// An alert without a text.
    pub(super) fn silent_alert(push: &Push, at: WallTime, badge: Option<(u64, u64)>) -> Self {
        let content = push.content();
        if push.topic().starts_with("pass.") {
            let does = "Wallet asks the server for the pass again, and shows what has changed in it.".to_owned();
            return Self { icon: "doc", kind: "alert, pass".to_owned(), ..Self::of(push, at, does) };
        }
        let sound = content.sound.as_ref().map(|sound| format!("Plays {}.", sound.name));
        let (icon, kind, does) = match (badge, sound) {
            (Some((before, after)), sound) => {
                let shown = |badge: u64| if badge == 0 { "none".to_owned() } else { badge.to_string() };
                let heard = sound.unwrap_or_else(|| "No banner, no sound.".to_owned());
                let does = format!("The icon’s badge goes from {} to {}. {heard}", shown(before), shown(after));
                ("badge", "alert, badge only", does)
            }
            (None, Some(heard)) => ("sound", "alert, sound only", format!("{heard} No banner.")),
            (None, None) if content.content_available => {
                ("moon", "alert, content-available only", "Wakes the app; its type should be background.".to_owned())
            }
            (None, None) => {
                ("bell", "alert, empty", "Shows nothing: there is no alert, sound or badge in it.".to_owned())
            }
        };
        Self { icon, kind: kind.to_owned(), ..Self::of(push, at, does) }
    }

    /// What the service keeps for a device that is away.
    pub(super) fn held(push: &Push, now: WallTime) -> Self {
        let until = match push.expiration() {
            Some(end) => format!(" until {}", clock::short(WallTime::from_secs(end), now)),
            None => String::new(),
        };
        Self {
            icon: "clock",
            ..Self::of(push, push.at, format!("Kept by the service{until}, as the device is offline."))
        }
    }

    /// What never reached a device that was away.
    pub(super) fn undelivered(push: &Push, fate: Fate) -> Self {
        let does = match fate {
            Fate::Replaced(by) => {
                format!("Never delivered: push {by} for the same app took its place while the device was offline.")
            }
            Fate::Missed => {
                "Never delivered: with an expiration of 0 there is one attempt, and the device was offline.".to_owned()
            }
            _ => "Never delivered: it expired while the device was offline.".to_owned(),
        };
        Self { icon: "no", ..Self::of(push, push.at, does) }
    }

    pub(super) fn refused(push: &Push) -> Self {
        let broken = push.judgement().faults();
        let does = match (push.answer(), push.armed()) {
            (_, true) => "A bad day: armed by hand, or by a test.".to_owned(),
            (Answer::None, false) => "There was no answer: the stream or the connection ended.".to_owned(),
            (_, false) if push.payload().len() > push.payload_limit().bytes() => {
                let (length, limit) = (push.payload().len(), push.payload_limit().bytes());
                format!("{length} bytes where {limit} are allowed.")
            }
            (_, false) if broken > 1 => format!("Breaks {broken} rules. Nothing reached the device."),
            (_, false) => match push.explanation() {
                Some(explanation) => explanation.happened.to_owned(),
                None => "Nothing reached the device.".to_owned(),
            },
        };
        Self { icon: "no", answer: Some(answer_words(push.answer())), ..Self::of(push, push.at, does) }
    }

    /// An activity that has left the screen.
    pub(super) fn left(activity: &Activity, at: WallTime, does: String) -> Self {
        Self {
            seq: activity.seq,
            icon: "cast",
            kind: "liveactivity, ended".to_owned(),
            topic: activity.app.clone(),
            at,
            does,
            answer: None,
        }
    }
}

/// An answer in a few words.
pub(crate) fn answer_words(answer: Answer<'_>) -> String {
    match answer {
        Answer::Accepted(status) => status.to_string(),
        Answer::Silent => "taken".to_owned(),
        Answer::Refused(status, Some(reason)) => format!("{status} {reason}"),
        Answer::Refused(status, None) => status.to_string(),
        Answer::None => "no answer".to_owned(),
    }
}
