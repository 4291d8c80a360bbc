//! The types in files and messages, for the feature `serde`.
//!
//! | Type | Form |
//! |---|---|
//! | [`DeviceToken`], [`ApnsId`], [`Topic`], [`CollapseId`], [`PushType`], [`Environment`], ids of `http2` | a text; a device token in hexadecimal |
//! | [`InterruptionLevel`], [`LiveActivityEvent`] | a text, as in a payload |
//! | [`Priority`] | 1, 5 or 10 |
//! | [`WallTime`] | milliseconds since 1970 |
//! | [`Payload`] | its JSON; only serde_json reads and writes it |
//! | [`Notification`] | an object: `token`, `payload`, and what is set of `topic`, `push_type`, `priority`, `expiration` or `ttl`, `collapse_id`, `apns_id` |
//! | [`Outcome`], [`Rejection`], [`InvalidToken`], [`FeedbackRecord`] | an object; written and not read |
//!
//! The members have the names that the daemon's API and the lines of the command have.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::binary::FeedbackRecord;
use crate::payload::{InterruptionLevel, LiveActivityEvent};
use crate::{
    ApnsId, CollapseId, DeviceToken, Environment, Expiration, InvalidToken, Notification, Outcome, Payload, Priority,
    PushType, Rejection, Topic, WallTime,
};

/// Reads a text and parses it.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! texts {
    ($($name:ty: $text:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let text: fn(&$name) -> _ = $text;
                serializer.collect_str(&text(self))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )*};
}

texts! {
    DeviceToken: |token| token.to_hex();
    ApnsId: |id| *id;
    Topic: |topic| topic.as_str().to_owned();
    CollapseId: |id| id.as_str().to_owned();
    PushType: |push_type| push_type.as_str().to_owned();
    InterruptionLevel: |level| *level;
    LiveActivityEvent: |event| *event;
}

#[cfg(feature = "http2")]
texts! {
    crate::http2::BundleId: |id| id.as_str().to_owned();
    crate::http2::ChannelId: |id| id.as_str().to_owned();
    crate::http2::KeyId: |id| id.as_str().to_owned();
    crate::http2::TeamId: |id| id.as_str().to_owned();
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|environment| environment.word() == word);
        known.ok_or_else(|| de::Error::custom("an environment is production or sandbox"))
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| de::Error::custom("a priority is 1, 5 or 10"))
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_millis())
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_millis)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_slice(self.as_bytes()).expect("a payload is JSON");
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json_compact(json.get()).map_err(de::Error::custom)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NotificationForm {
    token: DeviceToken,
    payload: Payload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<Topic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push_type: Option<PushType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    /// Seconds since 1970; 0 for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    /// Seconds from the moment of handing over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse_id: Option<CollapseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apns_id: Option<ApnsId>,
}

/// An expiration is written in whole seconds, as it is sent. A push type that the payload's builder was told is written as
/// one of the notification.
impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (expiration, ttl) = match self.expiration() {
            Expiration::Omitted => (None, None),
            // Rounded up: what is kept for a second is not tried once only.
            Expiration::After(span) => (None, Some(span.as_secs() + u64::from(span.subsec_nanos() > 0))),
            at => (at.seconds(WallTime::EPOCH).map(u64::from), None),
        };
        NotificationForm {
            token: self.token().clone(),
            payload: self.payload().clone(),
            topic: self.topic().cloned(),
            push_type: self.push_type().or(self.payload().declared_push_type()).cloned(),
            priority: self.priority(),
            expiration,
            ttl,
            collapse_id: self.collapse_id().cloned(),
            apns_id: self.apns_id(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Notification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = NotificationForm::deserialize(deserializer)?;
        let expiration = match (form.expiration, form.ttl) {
            (Some(_), Some(_)) => return Err(de::Error::custom("give expiration or ttl, not both")),
            (Some(seconds), None) => Expiration::from_unix(seconds).map_err(de::Error::custom)?,
            (None, Some(seconds)) => Expiration::After(Duration::from_secs(seconds)),
            (None, None) => Expiration::Omitted,
        };
        let mut notification = Self::new(form.token, form.payload).with_expiration(expiration);
        if let Some(topic) = form.topic {
            notification = notification.with_topic(topic);
        }
        if let Some(push_type) = form.push_type {
            notification = notification.with_push_type(push_type);
        }
        if let Some(priority) = form.priority {
            notification = notification.with_priority(priority);
        }
        if let Some(id) = form.collapse_id {
            notification = notification.with_collapse_id(id);
        }
        if let Some(id) = form.apns_id {
            notification = notification.with_apns_id(id);
        }
        Ok(notification)
    }
}

#[derive(serde::Serialize, Default)]
struct OutcomeForm<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_id: Option<ApnsId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_since: Option<WallTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl<'a> OutcomeForm<'a> {
    fn of_rejection(rejection: &'a Rejection) -> Self {
        let verdict = rejection.token_verdict();
        let (apns_id, unique_id) = match rejection {
            #[cfg(feature = "http2")]
            Rejection::Provider(rejection) => (rejection.apns_id(), rejection.unique_id()),
            Rejection::Gateway(_) => (None, None),
        };
        Self {
            apns_id,
            unique_id,
            status: Some(rejection.status()),
            reason: Some(rejection.reason()),
            reaction: Some(rejection.reaction().word()),
            token: Some(verdict.word()),
            gone_since: verdict.gone_since(),
            detail: Some(rejection.explain().to_do.to_owned()),
            ..Self::default()
        }
    }
}

/// `outcome` is [`Outcome::word`]; `detail` says in words what happened, or what to do.
impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match self {
            Self::Accepted { proof, apns_id, unique_id } => OutcomeForm {
                proof: Some(proof.word()),
                apns_id: *apns_id,
                unique_id: unique_id.as_deref(),
                ..OutcomeForm::default()
            },
            Self::Rejected(rejection) => OutcomeForm::of_rejection(rejection),
            Self::Expired => OutcomeForm::default(),
            Self::Unknown { cause } => OutcomeForm { detail: Some(cause.to_string()), ..OutcomeForm::default() },
            Self::NotSent { cause } => OutcomeForm { detail: Some(cause.to_string()), ..OutcomeForm::default() },
        };
        OutcomeForm { outcome: Some(self.word()), ..form }.serialize(serializer)
    }
}

/// The members of a rejected [`Outcome`] without `outcome`.
impl Serialize for Rejection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OutcomeForm::of_rejection(self).serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct InvalidTokenForm<'a> {
    token: &'a DeviceToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a Topic>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_since: Option<WallTime>,
}

impl Serialize for InvalidToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { token, topic, verdict } = self;
        let (topic, gone_since) = (topic.as_ref(), verdict.gone_since());
        InvalidTokenForm { token, topic, verdict: verdict.word(), gone_since }.serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct FeedbackForm {
    token: String,
    gone_since: WallTime,
}

/// The token is in hexadecimal, whatever its length.
impl Serialize for FeedbackRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FeedbackForm { token: crate::hex::to_hex(&self.token), gone_since: self.timestamp }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::binary::Status;
    use crate::{NotSentCause, Proof, TokenVerdict};

    fn token() -> DeviceToken {
        DeviceToken::from_bytes([0xab; 32]).unwrap()
    }

    #[test]
    fn a_notification_is_written_and_read_again() {
        let payload = Payload::voip(BTreeMap::from([("caller", "日本")])).unwrap();
        let notification = Notification::new(token(), payload)
            .with_topic(Topic::new("com.example.app").unwrap())
            .with_priority(Priority::Immediate)
            .with_expiration(Expiration::At(WallTime::from_secs(1_700_000_000)))
            .with_collapse_id(CollapseId::new("é\"").unwrap())
            .with_apns_id("eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d".parse().unwrap());
        let json = serde_json::to_string(&notification).unwrap();
        let expected = format!(
            r#"{{"token":"{}","payload":{{"aps":{{}},"caller":"日本"}},"topic":"com.example.app","push_type":"voip","priority":10,"expiration":1700000000,"collapse_id":"é\"","apns_id":"eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(json, expected);
        let read: Notification = serde_json::from_str(&json).unwrap();
        assert_eq!(read.push_type(), Some(&PushType::Voip), "what the payload declared is a choice now");
        assert_eq!(read.payload().as_bytes(), notification.payload().as_bytes());
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!((read.token(), read.topic()), (notification.token(), notification.topic()));
        assert_eq!((read.priority(), read.expiration()), (notification.priority(), notification.expiration()));
        assert_eq!((read.collapse_id(), read.apns_id()), (notification.collapse_id(), notification.apns_id()));
    }

    #[test]
    fn each_expiration_has_its_form() {
        let plain = Notification::new(token(), Payload::background());
        for (expiration, members) in [
            (Expiration::Omitted, json!({})),
            (Expiration::Immediately, json!({"expiration": 0})),
            (Expiration::At(WallTime::from_secs(7)), json!({"expiration": 7})),
            (Expiration::After(Duration::from_millis(1500)), json!({"ttl": 2})),
        ] {
            let mut value = serde_json::to_value(plain.clone().with_expiration(expiration)).unwrap();
            let object = value.as_object_mut().unwrap();
            object.retain(|name, _| name == "expiration" || name == "ttl");
            assert_eq!(value, members);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_token() {
        let hex = "ab".repeat(32);
        let wrong = |json: String| serde_json::from_str::<Notification>(&json).unwrap_err().to_string();
        for (json, words) in [
            (format!(r#"{{"token":"{hex}x","payload":{{}}}}"#), "unexpected character 'x'"),
            (format!(r#"{{"token":"{hex}","payload":[]}}"#), "not an object"),
            (format!(r#"{{"token":"{hex}","payload":{{}},"priority":7}}"#), "a priority is 1, 5 or 10"),
            (format!(r#"{{"token":"{hex}","payload":{{}},"expiration":1,"ttl":1}}"#), "not both"),
            (format!(r#"{{"token":"{hex}","payload":{{}},"expiration":1700000000000}}"#), "divide it by 1000"),
            (format!(r#"{{"token":"{hex}","payload":{{}},"topics":"x"}}"#), "unknown field `topics`"),
        ] {
            let said = wrong(json);
            assert!(said.contains(words) && !said.contains(&hex[..8]), "{said}");
        }
    }

    #[test]
    fn an_outcome_has_its_word_and_what_belongs_to_it() {
        let said = |outcome: &Outcome| serde_json::to_value(outcome).unwrap();
        assert_eq!(said(&Outcome::accepted(Proof::Presumed)), json!({"outcome": "accepted", "proof": "presumed"}));
        assert_eq!(said(&Outcome::Expired), json!({"outcome": "expired"}));
        let closed = said(&Outcome::NotSent { cause: NotSentCause::Closed });
        assert_eq!(closed["outcome"], "not_sent");
        assert_eq!(closed["detail"], NotSentCause::Closed.to_string());
        let refused = Rejection::Gateway(Status::INVALID_TOKEN);
        let mut expected = json!({
            "outcome": "rejected", "status": 8, "reason": "invalid_token", "reaction": "drop_token", "token": "drop",
            "detail": refused.explain().to_do,
        });
        assert_eq!(said(&Outcome::Rejected(refused.clone())), expected);
        expected.as_object_mut().unwrap().remove("outcome");
        assert_eq!(serde_json::to_value(&refused).unwrap(), expected);
    }

    #[cfg(feature = "http2")]
    #[test]
    fn a_refusal_of_the_provider_api_says_since_when_a_token_is_gone() {
        use crate::http2::{Api, ProviderRejection};

        let refused = ProviderRejection::new(Api::Device, 410).with_reason("Unregistered");
        let outcome = Outcome::Rejected(refused.with_timestamp(WallTime::from_millis(1_700_000_000_123)).into());
        let value = serde_json::to_value(&outcome).unwrap();
        assert_eq!(value["token"], "drop_if_registered_before");
        assert_eq!(value["gone_since"], 1_700_000_000_123_u64);
        assert_eq!((&value["status"], &value["reason"]), (&json!(410), &json!("Unregistered")));
    }

    #[test]
    fn tokens_to_drop_are_written() {
        let invalid = InvalidToken {
            token: token(),
            topic: None,
            verdict: TokenVerdict::DropIfRegisteredBefore(WallTime::from_millis(5)),
        };
        let hex = token().to_hex();
        assert_eq!(
            serde_json::to_value(&invalid).unwrap(),
            json!({"token": hex, "verdict": "drop_if_registered_before", "gone_since": 5}),
        );
        let record = FeedbackRecord { timestamp: WallTime::from_secs(5), token: vec![1, 2].into() };
        assert_eq!(serde_json::to_value(&record).unwrap(), json!({"token": "0102", "gone_since": 5000}));
    }

    #[test]
    fn texts_are_read_as_they_are_checked() {
        let environment: Environment = serde_json::from_value(json!("sandbox")).unwrap();
        assert_eq!((environment, serde_json::to_value(environment).unwrap()), (Environment::Sandbox, json!("sandbox")));
        let level: InterruptionLevel = serde_json::from_value(json!("time-sensitive")).unwrap();
        assert_eq!(serde_json::to_value(level).unwrap(), json!("time-sensitive"));
        let wrong = serde_json::from_value::<Topic>(json!("")).unwrap_err().to_string();
        assert!(wrong.contains("must not be empty"), "{wrong}");
        assert!(serde_json::from_value::<Environment>(json!("staging")).is_err());
    }
}
