//! One payload for many devices.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use apns_proto::{DeviceToken, Payload};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::FieldProblem;
use super::wire::{LONGEST_KEY, Recipient, Wire, check_key, read_payload, read_token};
use crate::service::Submission;

/// The notifications of a call for many devices.
pub(super) struct Many {
    /// The member of the call that lists the devices.
    pub(super) list: &'static str,
    pub(super) submissions: Vec<Submission>,
}

/// The most problems that are listed of one call.
const PROBLEMS: usize = 20;

/// How many devices a call is for.
pub(super) fn count(call: &Wire<'_>) -> usize {
    call.tokens.as_ref().map_or(0, Vec::len) + call.to.as_ref().map_or(0, Vec::len)
}

/// Makes the notifications. They share the payload, but for badges of their own.
pub(super) fn read(mut call: Wire<'_>) -> Result<Many, Vec<FieldProblem>> {
    let one = |problem: FieldProblem| vec![problem];
    if call.names_one() || (call.tokens.is_some() && call.to.is_some()) {
        return Err(one(FieldProblem::new("(the whole)", "give one of `token`, `tokens` and `to`")));
    }
    if call.apns_id.is_some() {
        return Err(one(FieldProblem::new("apns_id", "it names one notification, and these are many")));
    }
    let (payload, rest) = (read_payload(call.payload.get()).map_err(one)?, call.rest().map_err(one)?);
    let key = call.idempotency_key.take();
    key.as_deref().map_or(Ok(()), check_key).map_err(one)?;
    let (list, recipients): (_, Vec<Recipient<'_>>) = match (call.tokens.take(), call.to.take()) {
        (Some(tokens), _) => {
            ("tokens", tokens.into_iter().map(|token| Recipient { token: Cow::Owned(token), badge: None }).collect())
        }
        (None, to) => ("to", to.unwrap_or_default()),
    };
    let mut submissions = Vec::with_capacity(recipients.len());
    let mut problems = Vec::new();
    for (index, Recipient { token, badge }) in recipients.into_iter().enumerate() {
        let made = || -> Result<Submission, FieldProblem> {
            let token = read_token(&token)?;
            let payload = match badge {
                None => payload.clone(),
                Some(badge) => with_badge(call.payload.get(), badge)?,
            };
            let key = key.as_deref().map(|key| key_of(key, &token)).transpose()?;
            Ok(rest.submission(token, payload, key))
        };
        match made() {
            Ok(submission) => submissions.push(submission),
            Err(problem) if problem.field == "token" => {
                let member = if list == "tokens" { "" } else { ".token" };
                problems.push(FieldProblem { field: format!("{list}[{index}]{member}"), ..problem });
                if problems.len() == PROBLEMS {
                    break;
                }
            }
            // That is wrong for all of them.
            Err(problem) => return Err(vec![problem]),
        }
    }
    if problems.is_empty() { Ok(Many { list, submissions }) } else { Err(problems) }
}

/// Each notification has an idempotency key of its own.
fn key_of(key: &str, token: &DeviceToken) -> Result<Arc<str>, FieldProblem> {
    let whole = format!("{key}/{}", token.hex());
    if whole.len() > LONGEST_KEY {
        let problem =
            format!("with a device token behind it, it has {} bytes, at most {LONGEST_KEY} are possible", whole.len());
        return Err(FieldProblem::new("idempotency_key", problem));
    }
    Ok(whole.into())
}

/// The payload with this badge.
fn with_badge(payload: &str, badge: u32) -> Result<Payload, FieldProblem> {
    let unreadable = |error: serde_json::Error| {
        FieldProblem::new("payload", apns_credentials::disclosure::without_values(&error.to_string()))
    };
    let members: Members<'_> = serde_json::from_str(payload).map_err(unreadable)?;
    let aps = members.0.iter().rev().find(|(name, _)| name == "aps").map_or("{}", |(_, value)| value.get());
    let mut aps: Members<'_> = serde_json::from_str(aps)
        .map_err(|_| FieldProblem::new("payload.aps", "a badge needs an object to be put in"))?;
    let number = RawValue::from_string(badge.to_string()).map_err(unreadable)?;
    aps.0.retain(|(name, _)| name != "badge");
    aps.0.push(("badge".into(), &number));
    let aps = RawValue::from_string(aps.to_string()).map_err(unreadable)?;
    let others = members.0.iter().filter(|(name, _)| name != "aps").map(|(name, value)| (name.clone(), *value));
    let whole = Members([(Cow::Borrowed("aps"), &*aps)].into_iter().chain(others).collect());
    read_payload(&whole.to_string())
}

/// The members of a JSON object, in their order, with values as they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name.into(), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// As JSON.
impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (name, value)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
            write!(f, "{comma}{name}:{}", value.get())?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_takes_its_place_and_all_else_stays_as_it_is_written() {
        let badged = |payload: &str| {
            with_badge(payload, 7).map(|payload| String::from_utf8_lossy(payload.as_bytes()).into_owned())
        };
        let payload = r#"{"n": 1.0e2, "aps": {"alert": "\u00e9", "badge": 1}, "x": {"badge": 2}}"#;
        assert_eq!(
            badged(payload).map_err(|problem| problem.detail),
            Ok(r#"{"aps":{"alert":"\u00e9","badge":7},"n":1.0e2,"x":{"badge":2}}"#.to_owned())
        );
        assert_eq!(badged("{}").map_err(|problem| problem.detail), Ok(r#"{"aps":{"badge":7}}"#.to_owned()));
        assert_eq!(badged(r#"{"aps": 1}"#).map_err(|problem| problem.field), Err("payload.aps".to_owned()));
    }
}
