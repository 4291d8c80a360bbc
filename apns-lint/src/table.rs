//! Everything that Apple documents about payloads, by push type.
//!
//! Sources: Apple, "Generating a remote notification" (tables of `aps`, `alert` and `sound`), "Starting and updating Live
//! Activities with ActivityKit push notifications", "Pushing background updates to your App", "Updating widgets with
//! WidgetKit push notifications", "Updating controls locally and remotely", the pages of the AccessoryNotifications
//! framework, and the archived "Local and Remote Notification Programming Guide" for keys of before. Apple has no table of
//! keys by push type: which key belongs to which follows from the descriptions.

use apns_proto::PushType;

use crate::shape::{Member, Object, Others, Shape};

use Shape::{
    Base64, Digits, Either, Fraction, Free, Number, One, OrNull, Seconds, Switch, Text, Texts, True, Whole, Word,
};

const fn may(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member { name, shape, required: false, about }
}

const fn must(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member { name, shape, required: true, about }
}

/// The alert of everything but Live Activities.
static ALERT: Object = Object {
    members: &[
        may("title", Text, "The title (iOS 8.2)."),
        may("subtitle", Text, "A second line below the title (iOS 10)."),
        may("body", Text, "The text."),
        may("launch-image", Text, "A launch image or storyboard to show when the app is opened."),
        may("title-loc-key", OrNull(&Text), "A key of the app's localized texts, in place of title (iOS 8.2)."),
        may("title-loc-args", OrNull(&Texts), "What stands in place of %@ and %n$@ in the localized title."),
        may("subtitle-loc-key", OrNull(&Text), "A key of the app's localized texts, in place of subtitle (iOS 10)."),
        may("subtitle-loc-args", OrNull(&Texts), "What stands in place of %@ and %n$@ in the localized subtitle."),
        may("loc-key", OrNull(&Text), "A key of the app's localized texts, in place of body."),
        may("loc-args", OrNull(&Texts), "What stands in place of %@ and %n$@ in the localized body."),
        may("action-loc-key", OrNull(&Text), "The label of the button in alerts before iOS 8; ignored since."),
        may("action", Text, "The label of the button of a website push."),
        may("summary-arg", Text, "What a summary names (iOS 12); ignored from iOS 15 on."),
        may("summary-arg-count", Whole(1), "For how many this counts in a summary (iOS 12); ignored from iOS 15 on."),
    ],
    others: Others::Ignored,
};

/// The sound of a critical alert.
static SOUND: Object = Object {
    members: &[
        may("critical", Switch, "1 makes it critical, which needs an entitlement (iOS 12)."),
        may("name", Text, "The name of a sound file in the app, or default."),
        may("volume", Fraction, "From 0 (silent) to 1 (full)."),
    ],
    others: Others::Ignored,
};

static LOCALIZED: Object = Object {
    members: &[
        must("loc-key", Text, "A key of the app's localized texts."),
        may("loc-args", Texts, "What stands in place of %@ and %n$@."),
    ],
    others: Others::Ignored,
};

const LOCALIZABLE: Shape = Either(&[Text, Shape::Object(&LOCALIZED)]);

/// The alert of a Live Activity, which has another form.
static ACTIVITY_ALERT: Object = Object {
    members: &[
        may("title", LOCALIZABLE, "The title, or an object with its loc-key and loc-args."),
        may("body", LOCALIZABLE, "The text, or an object with its loc-key and loc-args."),
        may("sound", Text, "The name of a sound file in the app, or default."),
    ],
    others: Others::Ignored,
};

const ANY_ALERT: Shape = Either(&[Text, Shape::Object(&ALERT)]);
const ANY_SOUND: Shape = Either(&[Text, Shape::Object(&SOUND)]);
const LEVELS: Shape = Word(&["passive", "active", "time-sensitive", "critical"]);

/// `aps` of an alert, and of types whose extension may show one.
static APS: Object = Object {
    members: &[
        may("alert", ANY_ALERT, "What the alert says."),
        may("badge", Whole(0), "The number on the app's icon; 0 removes it."),
        may("sound", ANY_SOUND, "The name of a sound file in the app, or default; an object for a critical alert."),
        may("thread-id", Text, "Groups alerts (iOS 10)."),
        may("category", Text, "One of the app's notification categories, for action buttons (iOS 8)."),
        may("content-available", Switch, "1 wakes the app in the background."),
        may("mutable-content", Switch, "1 lets the app's extension change the alert before it is shown (iOS 10)."),
        may("target-content-id", Text, "The window to bring forward (iOS 13)."),
        may("interruption-level", LEVELS, "How strongly it asks for attention (iOS 15)."),
        may("relevance-score", Fraction, "Orders alerts in a summary (iOS 15)."),
        may("filter-criteria", Text, "Compared with the current Focus filter (iOS 16)."),
        may("url-args", Texts, "Fills the placeholders of a website's address (website pushes)."),
    ],
    others: Others::Ignored,
};

static BACKGROUND_APS: Object = Object {
    members: &[must("content-available", One, "1 wakes the app in the background.")],
    others: Others::Ignored,
};

const TIMESTAMP: Member =
    must("timestamp", Seconds, "When it was sent; an older one never takes the place of a newer.");
const STATE_ABOUT: &str = "The state, which has to decode into the activity's ContentState.";
const STALE: Member = may("stale-date", Seconds, "From when on the activity counts as stale (iOS 16.2).");
const SCORE: Member = may("relevance-score", Number, "Orders Live Activities; the highest wins.");

static START_APS: Object = Object {
    members: &[
        TIMESTAMP,
        must("event", Word(&["start"]), "Starts a Live Activity (iOS 17.2)."),
        must("content-state", Free, STATE_ABOUT),
        must("attributes-type", Text, "The name of the structure of the attributes (iOS 17.2)."),
        must("attributes", Free, "The data that does not change (iOS 17.2)."),
        must("alert", Shape::Object(&ACTIVITY_ALERT), "What the alert says. Without one the system starts nothing."),
        may("input-push-token", One, "1 asks for a token to update the new activity with (iOS 18)."),
        may("input-push-channel", Base64, "The channel that the new activity listens to (iOS 18)."),
        STALE,
        SCORE,
    ],
    others: Others::Ignored,
};

static UPDATE_APS: Object = Object {
    members: &[
        TIMESTAMP,
        must("event", Word(&["update"]), "Updates a Live Activity."),
        must("content-state", Free, STATE_ABOUT),
        may("alert", Shape::Object(&ACTIVITY_ALERT), "What the alert says, if it shall alert."),
        STALE,
        SCORE,
    ],
    others: Others::Ignored,
};

static END_APS: Object = Object {
    members: &[
        TIMESTAMP,
        must("event", Word(&["end"]), "Ends a Live Activity."),
        may("content-state", Free, "The last state, which stays on the lock screen."),
        may(
            "dismissal-date",
            Seconds,
            "When it leaves the lock screen: at once if that has passed, after four hours at most.",
        ),
        may("alert", Shape::Object(&ACTIVITY_ALERT), "What the alert says, if it shall alert."),
        STALE,
        SCORE,
    ],
    others: Others::Ignored,
};

static CHANGED_APS: Object = Object {
    members: &[must("content-changed", True, "true has the system ask the app for its content again.")],
    others: Others::Ignored,
};

static ACCESSORY_APS: Object = Object {
    members: &[
        must("encryptedData", Base64, "What is forwarded, encrypted (iOS 26.5)."),
        may("sessionIdentifier", Text, "The session."),
        may("keyID", Base64, "The key that it is encrypted with."),
        may("messageIndex", Digits, "The number of the message, as a text."),
    ],
    others: Others::Ignored,
};

/// A body with an `aps` of this form and keys of the app's own.
macro_rules! body {
    ($aps:ident, $required:expr) => {{
        static BODY: Object = Object {
            members: &[Member {
                name: "aps",
                shape: Shape::Object(&$aps),
                required: $required,
                about: "Apple's keys.",
            }],
            others: Others::Own,
        };
        &BODY
    }};
}

static MDM: Object = Object {
    members: &[must("mdm", Text, "The PushMagic that the device gave its server.")],
    others: Others::Forbidden,
};

static FILE_PROVIDER: Object = Object {
    members: &[
        must("container-identifier", Text, "The container that changed."),
        must("domain", Text, "The domain of the container."),
    ],
    others: Others::Own,
};

/// The events of a Live Activity, each with its body.
pub(crate) static EVENTS: &[(&str, &Object)] =
    &[("start", body!(START_APS, true)), ("update", body!(UPDATE_APS, true)), ("end", body!(END_APS, true))];

/// What the body of a push of this type is; of a Live Activity that of an update, see [`EVENTS`].
pub(crate) fn body(push_type: &PushType) -> &'static Object {
    match push_type {
        PushType::Alert => body!(APS, true),
        PushType::Background => body!(BACKGROUND_APS, true),
        PushType::LiveActivity => EVENTS[1].1,
        PushType::Controls | PushType::Widgets => body!(CHANGED_APS, true),
        PushType::Accessory => body!(ACCESSORY_APS, true),
        PushType::Mdm => &MDM,
        PushType::FileProvider => &FILE_PROVIDER,
        // What these carry is the app's business, and so is what a type says that is not known here.
        _ => body!(APS, false),
    }
}

/// Whether any push type has this key in `aps`.
pub(crate) fn is_aps_key(name: &str) -> bool {
    [&APS, &BACKGROUND_APS, &START_APS, &UPDATE_APS, &END_APS, &CHANGED_APS, &ACCESSORY_APS]
        .into_iter()
        .any(|aps| aps.member(name).is_some())
}

/// All keys that any push type has in `aps` or in an alert, for those who meant one of them.
pub(crate) fn known_keys() -> impl Iterator<Item = &'static str> {
    let objects = [&APS, &START_APS, &END_APS, &CHANGED_APS, &ACCESSORY_APS, &ALERT, &SOUND];
    objects.into_iter().flat_map(|object| object.members).map(|member| member.name)
}
