//! Notifications as callers write them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use apns_credentials::disclosure::without_values;
use apns_proto::{
    ApnsId, CollapseId, DeviceToken, Expiration, Notification, Payload, Priority, PushType, Topic, WallTime,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::FieldProblem;
use crate::Tag;
use crate::config::EnvironmentChoice;
use crate::service::Submission;

/// A notification in JSON, to one device or to many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire<'a> {
    token: Option<String>,
    /// Many device tokens in its place.
    pub(super) tokens: Option<Vec<String>>,
    /// The same with what is each device's own.
    #[serde(default, borrow)]
    pub(super) to: Option<Vec<Recipient<'a>>>,
    #[serde(borrow)]
    pub(super) payload: &'a RawValue,
    topic: Option<String>,
    push_type: Option<String>,
    /// Whether a push type is taken that is not known here.
    #[serde(default)]
    force_push_type: bool,
    priority: Option<u8>,
    /// Seconds since 1970; 0 for one attempt.
    expiration: Option<u64>,
    /// Seconds from now on.
    ttl: Option<u64>,
    collapse_id: Option<String>,
    pub(super) apns_id: Option<String>,
    pub(super) idempotency_key: Option<String>,
    tag: Option<String>,
    /// Milliseconds since 1970.
    send_at: Option<u64>,
    environment: Option<String>,
}

/// A device among many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipient<'a> {
    #[serde(borrow)]
    pub(super) token: Cow<'a, str>,
    /// The number on the app's icon, in place of the one in the payload.
    pub(super) badge: Option<u32>,
}

/// The longest idempotency key in bytes.
pub(super) const LONGEST_KEY: usize = 255;

/// Reads a call of one JSON object.
pub(super) fn read_call(json: &str) -> Result<Wire<'_>, FieldProblem> {
    read_json(json)
}

/// Reads one notification.
pub(super) fn read_one(json: &str) -> Result<Submission, FieldProblem> {
    read_call(json)?.into_submission()
}

/// Reads one value. What is wrong is named by its place, which is `.` for the whole.
pub(super) fn read_json<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, FieldProblem> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| parse_problem(&error))?;
    reader.end().map_err(|error| FieldProblem::new(".", error))?;
    Ok(value)
}

/// Reads the elements of an array, unparsed.
pub(super) fn split_array(json: &str) -> Result<Vec<&RawValue>, FieldProblem> {
    serde_json::from_str(json).map_err(|error| FieldProblem::new(".", without_values(&error.to_string())))
}

fn parse_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldProblem {
    FieldProblem::new(error.path().to_string(), without_values(&error.inner().to_string()))
}

/// What a notification has besides its device token and its payload.
pub(super) struct Rest {
    topic: Option<Topic>,
    push_type: Option<PushType>,
    priority: Option<Priority>,
    expiration: Expiration,
    collapse_id: Option<CollapseId>,
    apns_id: Option<ApnsId>,
    tag: Option<Tag>,
    send_at: Option<WallTime>,
    environment: Option<EnvironmentChoice>,
}

impl Rest {
    pub(super) fn submission(
        &self,
        token: DeviceToken,
        payload: Payload,
        idempotency_key: Option<Arc<str>>,
    ) -> Submission {
        let mut notification = Notification::new(token, payload).with_expiration(self.expiration);
        if let Some(topic) = &self.topic {
            notification = notification.with_topic(topic.clone());
        }
        if let Some(push_type) = &self.push_type {
            notification = notification.with_push_type(push_type.clone());
        }
        if let Some(priority) = self.priority {
            notification = notification.with_priority(priority);
        }
        if let Some(id) = &self.collapse_id {
            notification = notification.with_collapse_id(id.clone());
        }
        if let Some(id) = self.apns_id {
            notification = notification.with_apns_id(id);
        }
        Submission {
            notification,
            idempotency_key,
            tag: self.tag.clone(),
            send_at: self.send_at,
            environment: self.environment,
        }
    }
}

/// Reads a device token.
pub(super) fn read_token(text: &str) -> Result<DeviceToken, FieldProblem> {
    text.parse().map_err(|error| FieldProblem::new("token", error))
}

/// Reads a payload.
pub(super) fn read_payload(json: &str) -> Result<Payload, FieldProblem> {
    Payload::from_json_compact(json.as_bytes()).map_err(|error| FieldProblem::new("payload", error))
}

impl Wire<'_> {
    pub(super) fn into_submission(self) -> Result<Submission, FieldProblem> {
        for (name, there) in [("tokens", self.tokens.is_some()), ("to", self.to.is_some())] {
            if there {
                return Err(FieldProblem::new(name, "a call with many device tokens is one JSON object by itself"));
            }
        }
        let token = self.token.as_deref().ok_or_else(|| FieldProblem::new(".", "missing field `token`"))?;
        let (token, payload, rest) = (read_token(token)?, read_payload(self.payload.get())?, self.rest()?);
        let key = self.idempotency_key.map(|key| check_key(&key).map(|()| key.into())).transpose()?;
        Ok(rest.submission(token, payload, key))
    }

    /// Whether it is for many devices.
    pub(super) const fn is_for_many(&self) -> bool {
        self.tokens.is_some() || self.to.is_some()
    }

    /// Whether it names one device as well.
    pub(super) const fn names_one(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn rest(&self) -> Result<Rest, FieldProblem> {
        let expiration = match (self.expiration, self.ttl) {
            (Some(_), Some(_)) => return Err(FieldProblem::new("ttl", "give expiration or ttl, not both")),
            (Some(seconds), None) => {
                Expiration::from_unix(seconds).map_err(|error| FieldProblem::new("expiration", error))?
            }
            (None, Some(seconds)) => Expiration::After(Duration::from_secs(seconds)),
            (None, None) => Expiration::Omitted,
        };
        let topic = self.topic.as_deref().map(Topic::new).transpose();
        let push_type = self.push_type.as_deref().map(|text| {
            if self.force_push_type {
                return text.parse::<PushType>().map_err(|error| FieldProblem::new("push_type", error));
            }
            PushType::from_known(text).map_err(|error| {
                FieldProblem::new("push_type", format_args!("{error}; force_push_type: true takes it all the same"))
            })
        });
        let priority = self.priority.map(|number| {
            Priority::from_number(number).ok_or_else(|| FieldProblem::new("priority", "a priority is 1, 5 or 10"))
        });
        let collapse_id = self.collapse_id.as_deref().map(CollapseId::new).transpose();
        let tag = self.tag.as_deref().map(Tag::new).transpose();
        let apns_id = self.apns_id.as_deref().map(str::parse).transpose();
        Ok(Rest {
            topic: topic.map_err(|error| FieldProblem::new("topic", error))?,
            push_type: push_type.transpose()?,
            priority: priority.transpose()?,
            expiration,
            collapse_id: collapse_id.map_err(|error| FieldProblem::new("collapse_id", error))?,
            apns_id: apns_id.map_err(|error: apns_proto::ApnsIdError| FieldProblem::new("apns_id", error))?,
            tag: tag.map_err(|error| FieldProblem::new("tag", error))?,
            send_at: self.send_at.map(read_send_at).transpose()?,
            environment: self.environment.as_deref().map(read_environment).transpose()?,
        })
    }
}

/// Anything below is no time in milliseconds that could be meant: as one it lies in 2001 or before, as one in seconds up to
/// the year 33658.
const FIRST_MILLISECONDS: u64 = 1_000_000_000_000;

/// The time before which a notification is not sent. As a time that has passed, one in seconds would be sent at once.
fn read_send_at(millis: u64) -> Result<WallTime, FieldProblem> {
    if millis < FIRST_MILLISECONDS {
        return Err(FieldProblem::new("send_at", "it has to be in milliseconds since 1970"));
    }
    Ok(WallTime::from_millis(millis))
}

/// The environment that a notification goes to.
fn read_environment(word: &str) -> Result<EnvironmentChoice, FieldProblem> {
    let problem = || FieldProblem::new("environment", "it has to be `production`, `sandbox`, `development` or `auto`");
    EnvironmentChoice::from_word(word).ok_or_else(problem)
}

/// Whether this may be an idempotency key.
pub(super) fn check_key(key: &str) -> Result<(), FieldProblem> {
    match key.len() {
        0 => Err(FieldProblem::new("idempotency_key", "it is empty")),
        length if length > LONGEST_KEY => {
            let problem = format!("it has {length} bytes, at most {LONGEST_KEY} are possible");
            Err(FieldProblem::new("idempotency_key", problem))
        }
        _ => Ok(()),
    }
}
