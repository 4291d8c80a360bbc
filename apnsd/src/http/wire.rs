//! Notifications as callers write them.

use std::time::Duration;

use apns_credentials::disclosure::without_values;
use apns_proto::{ApnsId, CollapseId, DeviceToken, Expiration, Notification, Payload, Priority, PushType, Topic};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::FieldProblem;
use crate::service::Submission;

/// A notification in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    token: String,
    #[serde(borrow)]
    payload: &'a RawValue,
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
    apns_id: Option<String>,
    idempotency_key: Option<String>,
}

/// The longest idempotency key in bytes.
const LONGEST_KEY: usize = 255;

/// Reads one notification.
pub(super) fn read_one(json: &str) -> Result<Submission, FieldProblem> {
    read_json::<Wire<'_>>(json)?.into_submission()
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

impl Wire<'_> {
    fn into_submission(self) -> Result<Submission, FieldProblem> {
        let token = self.token.parse::<DeviceToken>().map_err(|error| FieldProblem::new("token", error))?;
        let payload = Payload::from_json_compact(self.payload.get().as_bytes())
            .map_err(|error| FieldProblem::new("payload", error))?;
        let mut notification = Notification::new(token, payload);
        notification = notification.with_expiration(match (self.expiration, self.ttl) {
            (Some(_), Some(_)) => return Err(FieldProblem::new("ttl", "give expiration or ttl, not both")),
            (Some(seconds), None) => {
                Expiration::from_unix(seconds).map_err(|error| FieldProblem::new("expiration", error))?
            }
            (None, Some(seconds)) => Expiration::After(Duration::from_secs(seconds)),
            (None, None) => Expiration::Omitted,
        });
        if let Some(topic) = self.topic {
            let topic = Topic::new(topic).map_err(|error| FieldProblem::new("topic", error))?;
            notification = notification.with_topic(topic);
        }
        if let Some(text) = self.push_type {
            let push_type = if self.force_push_type {
                text.parse::<PushType>().map_err(|error| FieldProblem::new("push_type", error))?
            } else {
                PushType::from_known(&text).map_err(|error| {
                    FieldProblem::new("push_type", format_args!("{error}; force_push_type: true takes it all the same"))
                })?
            };
            notification = notification.with_push_type(push_type);
        }
        if let Some(number) = self.priority {
            let priority = Priority::from_number(number)
                .ok_or_else(|| FieldProblem::new("priority", "a priority is 1, 5 or 10"))?;
            notification = notification.with_priority(priority);
        }
        if let Some(text) = self.collapse_id {
            let id = CollapseId::new(text).map_err(|error| FieldProblem::new("collapse_id", error))?;
            notification = notification.with_collapse_id(id);
        }
        if let Some(text) = self.apns_id {
            let id = text.parse::<ApnsId>().map_err(|error| FieldProblem::new("apns_id", error))?;
            notification = notification.with_apns_id(id);
        }
        let idempotency_key = self.idempotency_key.map(|key| check_key(&key).map(|()| key.into())).transpose()?;
        Ok(Submission { notification, idempotency_key })
    }
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
