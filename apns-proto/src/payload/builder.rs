//! Building a payload key by key.

use std::fmt;

use base64::Engine as _;
use serde::Serialize;

use super::{
    LiveActivityAlert, LiveActivityEvent, PayloadError,
    alert::{Alert, AlertKey},
    json::{Encoded, Fields, Object, encode, encode_members, encode_number, encode_object, quote, quote_all},
    keys::{ApsKey, InterruptionLevel},
};
use crate::{PushType, WallTime, encoding::BASE64};

/// What the payload consists of.
#[derive(Clone, Default)]
pub(super) enum Root {
    #[default]
    Aps,
    Mdm {
        push_magic: String,
    },
    FileProvider {
        container: String,
        domain: String,
    },
}

/// Builds a [`Payload`](super::Payload) key by key.
///
/// Every setter may come in any order, and setting something again replaces it. What was set wrongly is reported when the
/// payload is built, unless it was set again rightly. One builder can build many payloads.
///
/// # What is written
///
/// Compact JSON in UTF-8. Text outside ASCII stays as it is, because an escape would take two to three times as many bytes;
/// only quotes, backslashes and control characters are escaped. The order never depends on the order of the calls, so that
/// equal content gives equal bytes: `aps` first and in it `alert` first (title, subtitle, body, then the others), then the
/// other keys in the order of Apple's tables, then keys set by [`aps_key`](Self::aps_key); behind `aps` the app's own keys.
/// Keys set by [`aps_key`](Self::aps_key) and [`custom`](Self::custom) stand in the order in which they were first set.
///
/// Source of the keys: Apple, "Generating a remote notification"; of those called legacy, the archived "Local and Remote
/// Notification Programming Guide" and "Configuring Safari Push Notifications".
///
/// ```
/// use apns_proto::{Payload, PayloadLimit};
///
/// let payload = Payload::builder()
///     .title("Train 42")
///     .body("Now leaves from platform 7. ".repeat(300))
///     .sound("default")
///     .custom("train", 42)
///     .fit_with(PayloadLimit::HTTP2, "…")?;
/// assert!(payload.size() <= 4096);
/// # Ok::<(), apns_proto::PayloadError>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build` or `fit` is called"]
pub struct PayloadBuilder {
    pub(super) push_type: Option<PushType>,
    pub(super) root: Root,
    pub(super) alert: Alert,
    pub(super) live_activity_alert: Option<LiveActivityAlert>,
    pub(super) event: Option<LiveActivityEvent>,
    pub(super) relevance_score: Option<f64>,
    pub(super) aps: Fields<ApsKey>,
    pub(super) further_aps: Fields<String>,
    pub(super) custom: Fields<String>,
}

/// The alert.
impl PayloadBuilder {
    /// The text of the alert. When nothing else of the alert is set, it is written in the short form `"alert":"…"`;
    /// otherwise it is the same as [`body`](Self::body).
    pub fn alert(mut self, text: impl Into<String>) -> Self {
        self.alert.body = Some(text.into());
        self.alert.plain = true;
        self
    }

    /// `body`: the text of the alert. It is what [`fit`](Self::fit) shortens.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.alert.body = Some(text.into());
        self.alert.plain = false;
        self
    }

    /// `title`: the title, which is also the short look on a watch.
    pub fn title(self, text: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::Title, text)
    }

    /// `subtitle`: a second line below the title (iOS 10).
    pub fn subtitle(self, text: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::Subtitle, text)
    }

    /// `launch-image`: the launch image or storyboard to show when the alert opens the app.
    pub fn launch_image(self, name: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::LaunchImage, name)
    }

    /// `title-loc-key`: the key of the title in the app's `Localizable.strings`.
    pub fn title_loc_key(self, key: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::TitleLocKey, key)
    }

    /// `title-loc-args`: what replaces the `%@` in it, in order.
    pub fn title_loc_args(self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.alert_key(AlertKey::TitleLocArgs, Ok(quote_all(arguments)))
    }

    /// `subtitle-loc-key`: the key of the subtitle in the app's `Localizable.strings`.
    pub fn subtitle_loc_key(self, key: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::SubtitleLocKey, key)
    }

    /// `subtitle-loc-args`: what replaces the `%@` in it, in order.
    pub fn subtitle_loc_args(self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.alert_key(AlertKey::SubtitleLocArgs, Ok(quote_all(arguments)))
    }

    /// `loc-key`: the key of the body in the app's `Localizable.strings`.
    pub fn loc_key(self, key: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::LocKey, key)
    }

    /// `loc-args`: what replaces the `%@` in it, in order.
    pub fn loc_args(self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.alert_key(AlertKey::LocArgs, Ok(quote_all(arguments)))
    }

    /// `action-loc-key` (legacy): the key of the label of the right button.
    pub fn action_loc_key(self, key: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::ActionLocKey, key)
    }

    /// `action-loc-key` as `null` (legacy): an alert without the right button.
    pub fn no_action_button(self) -> Self {
        self.alert_key(AlertKey::ActionLocKey, Ok("null".into()))
    }

    /// `action`: the label of the button of a website push.
    pub fn action(self, label: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::Action, label)
    }

    /// `summary-arg` (iOS 12 to 14): what the alert adds to the summary of its group.
    pub fn summary_arg(self, text: impl AsRef<str>) -> Self {
        self.alert_text(AlertKey::SummaryArg, text)
    }

    /// `summary-arg-count` (iOS 12 to 14): how many things the alert counts for in the summary; at least 1.
    pub fn summary_arg_count(self, count: u32) -> Self {
        let json = if count == 0 { Err(PayloadError::SummaryArgCount) } else { Ok(count.to_string()) };
        self.alert_key(AlertKey::SummaryArgCount, json)
    }

    /// The alert of a Live Activity, which has another shape. Excludes everything else of the alert.
    pub fn live_activity_alert(mut self, alert: LiveActivityAlert) -> Self {
        self.live_activity_alert = Some(alert);
        self
    }

    fn alert_text(self, key: AlertKey, text: impl AsRef<str>) -> Self {
        self.alert_key(key, Ok(quote(text.as_ref())))
    }

    fn alert_key(mut self, key: AlertKey, json: Encoded) -> Self {
        self.alert.fields.put(key, json);
        self
    }
}

/// The other keys of `aps`.
impl PayloadBuilder {
    /// `badge`: the number on the app's icon. `0` removes it; `None` leaves it as it is, which is the default.
    pub fn badge(mut self, badge: impl Into<Option<u32>>) -> Self {
        match badge.into() {
            Some(badge) => self.put(ApsKey::Badge, Ok(badge.to_string())),
            None => {
                self.aps.remove(&ApsKey::Badge);
                self
            }
        }
    }

    /// `sound`: the name of a sound file in the app, or `default`.
    pub fn sound(self, name: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::Sound, name)
    }

    /// `sound` as an object: a critical alert (iOS 12), which needs an entitlement from Apple. The volume lies between 0
    /// (silent) and 1 (full).
    pub fn critical_sound(self, name: impl AsRef<str>, volume: f64) -> Self {
        let json = encode_number("volume", volume).and_then(|number| {
            if !(0.0..=1.0).contains(&volume) {
                return Err(PayloadError::Volume { volume });
            }
            let mut json = Object::new();
            json.key("critical").value("1");
            json.key("name").text(name.as_ref());
            json.key("volume").value(&number);
            Ok(json.finish_text())
        });
        self.put(ApsKey::Sound, json)
    }

    /// `thread-id`: alerts with the same value are grouped (iOS 10).
    pub fn thread_id(self, id: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::ThreadId, id)
    }

    /// `category`: one of the categories that the app registered, for its action buttons.
    pub fn category(self, id: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::Category, id)
    }

    /// `content-available`: wakes the app in the background. Alone in `aps` it makes a background push; beside an alert it
    /// is an alert that also wakes.
    pub fn content_available(self) -> Self {
        self.put(ApsKey::ContentAvailable, Ok("1".into()))
    }

    /// `mutable-content`: lets the app's notification service extension change the alert before it is shown (iOS 10).
    pub fn mutable_content(self) -> Self {
        self.put(ApsKey::MutableContent, Ok("1".into()))
    }

    /// `target-content-id`: which window to bring forward (iOS 13).
    pub fn target_content_id(self, id: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::TargetContentId, id)
    }

    /// `interruption-level`: how strongly the alert asks for attention (iOS 15).
    pub fn interruption_level(self, level: InterruptionLevel) -> Self {
        self.put_text(ApsKey::InterruptionLevel, level.as_str())
    }

    /// `relevance-score`: the rank of an alert in the summary, 0 to 1 (iOS 15), or of a Live Activity among the app's own,
    /// any finite number (iOS 16.2). Higher wins.
    pub fn relevance_score(mut self, score: f64) -> Self {
        self.relevance_score = Some(score);
        self.put(ApsKey::RelevanceScore, encode_number(ApsKey::RelevanceScore.as_str(), score))
    }

    /// `filter-criteria`: compared with the current Focus filter (iOS 16).
    pub fn filter_criteria(self, criteria: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::FilterCriteria, criteria)
    }

    /// `content-changed`: reloads widgets (iOS 26) or control widgets (iOS 18). Which of them only the push type says, so
    /// [`push_type`](Self::push_type) should too.
    pub fn content_changed(self) -> Self {
        self.put(ApsKey::ContentChanged, Ok("true".into()))
    }

    /// `url-args`: fills the placeholders of the website's `urlFormatString`; required for a website push, if only empty.
    pub fn url_args(self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.put(ApsKey::UrlArgs, Ok(quote_all(arguments)))
    }

    /// `encryptedData`: a message for an accessory as base64 text (iOS 26.5).
    pub fn encrypted_data(self, base64: impl AsRef<str>) -> Self {
        self.put_base64(ApsKey::EncryptedData, base64.as_ref())
    }

    /// `sessionIdentifier`: the session of a message for an accessory.
    pub fn session_identifier(self, id: impl AsRef<str>) -> Self {
        self.put_text(ApsKey::SessionIdentifier, id)
    }

    /// `keyID`: the key of a message for an accessory as base64 text.
    pub fn key_id(self, base64: impl AsRef<str>) -> Self {
        self.put_base64(ApsKey::KeyId, base64.as_ref())
    }

    /// `messageIndex`: the number of a message for an accessory. Written as a text, as in Apple's sample.
    pub fn message_index(self, index: u64) -> Self {
        self.put_text(ApsKey::MessageIndex, index.to_string())
    }

    /// A key inside `aps` that has no setter here, for what Apple adds later.
    pub fn aps_key(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let key = key.into();
        let known = ApsKey::ALL.iter().map(|known| known.as_str()).chain(["alert"]).find(|known| *known == key);
        let json = match known {
            Some(key) => Err(PayloadError::KnownApsKey { key }),
            None => encode(&key, &value),
        };
        self.further_aps.append(key, json);
        self
    }

    fn put_text(self, key: ApsKey, text: impl AsRef<str>) -> Self {
        self.put(key, Ok(quote(text.as_ref())))
    }

    fn put_base64(self, key: ApsKey, text: &str) -> Self {
        let json = match BASE64.decode(text) {
            Ok(_) => Ok(quote(text)),
            Err(_) => Err(PayloadError::ValueNotBase64 { key: key.as_str() }),
        };
        self.put(key, json)
    }

    fn put(mut self, key: ApsKey, json: Encoded) -> Self {
        self.aps.put(key, json);
        self
    }
}

/// Live Activities. [`LiveActivity`](super::LiveActivity) asks for what each event requires.
impl PayloadBuilder {
    /// `timestamp`: when the push is sent.
    pub fn timestamp(self, time: WallTime) -> Self {
        self.put_time(ApsKey::Timestamp, time)
    }

    /// `event`: what happens to the activity.
    pub fn event(mut self, event: LiveActivityEvent) -> Self {
        self.event = Some(event);
        self.put_text(ApsKey::Event, event.as_str())
    }

    /// `content-state`: the state, which has to serialise as a JSON object.
    pub fn content_state(self, state: impl Serialize) -> Self {
        let json = encode_object(ApsKey::ContentState.as_str(), &state);
        self.put(ApsKey::ContentState, json)
    }

    /// `stale-date`: when the activity counts as out of date (iOS 16.2).
    pub fn stale_date(self, time: WallTime) -> Self {
        self.put_time(ApsKey::StaleDate, time)
    }

    /// `dismissal-date`: when an ended activity leaves the lock screen; at most four hours ahead.
    pub fn dismissal_date(self, time: WallTime) -> Self {
        self.put_time(ApsKey::DismissalDate, time)
    }

    /// `attributes-type`: the name of the type of the attributes (iOS 17.2).
    pub fn attributes_type(self, name: impl Into<String>) -> Self {
        self.put_text(ApsKey::AttributesType, name.into())
    }

    /// `attributes`: the static data, which has to serialise as a JSON object (iOS 17.2).
    pub fn attributes(self, attributes: impl Serialize) -> Self {
        let json = encode_object(ApsKey::Attributes.as_str(), &attributes);
        self.put(ApsKey::Attributes, json)
    }

    /// `input-push-token`: the new activity asks for a token for updates (iOS 18).
    pub fn input_push_token(self) -> Self {
        self.put(ApsKey::InputPushToken, Ok("1".into()))
    }

    /// `input-push-channel`: the new activity listens to a broadcast channel (iOS 18).
    pub fn input_push_channel(self, channel_id: impl Into<String>) -> Self {
        self.put_text(ApsKey::InputPushChannel, channel_id.into())
    }

    fn put_time(self, key: ApsKey, time: WallTime) -> Self {
        let seconds = time.checked().map(|time| time.as_secs().to_string());
        self.put(key, seconds.map_err(|error| PayloadError::Time { key: key.as_str(), error }))
    }
}

/// Outside `aps`.
impl PayloadBuilder {
    /// A key of the app's own, beside `aps`. The value is serialised at once.
    pub fn custom(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let key = key.into();
        let json = if key == "aps" { Err(PayloadError::ReservedKey) } else { encode(&key, &value) };
        self.custom.append(key, json);
        self
    }

    /// Each member of `values`, which has to serialise as a JSON object, as with [`custom`](Self::custom).
    pub fn custom_all(mut self, values: impl Serialize) -> Self {
        match encode_members("custom", &values) {
            Ok(members) => {
                for (key, json) in members {
                    let json = if key == "aps" { Err(PayloadError::ReservedKey) } else { Ok(json) };
                    self.custom.append(key, json);
                }
            }
            Err(error) => self.custom.append("custom".into(), Err(error)),
        }
        self
    }

    /// `mdm`: a push for device management with the device's `PushMagic` text. Excludes everything else.
    pub fn mdm(mut self, push_magic: impl Into<String>) -> Self {
        self.root = Root::Mdm { push_magic: push_magic.into() };
        self
    }

    /// `container-identifier` and `domain`: a push for a File Provider extension. Excludes everything else.
    pub fn file_provider(mut self, container: impl Into<String>, domain: impl Into<String>) -> Self {
        self.root = Root::FileProvider { container: container.into(), domain: domain.into() };
        self
    }

    /// Declares the push type where the content does not say it, and has the content checked for it.
    pub fn push_type(mut self, push_type: PushType) -> Self {
        self.push_type = Some(push_type);
        self
    }
}

/// Shows no contents.
impl fmt::Debug for PayloadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadBuilder({} bytes)", self.write().json.len())
    }
}
