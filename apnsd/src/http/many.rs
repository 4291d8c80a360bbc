//! One payload for many devices.

use std::borrow::Cow;
use std::sync::Arc;

use apns_proto::internal::Members;
use apns_proto::{DeviceToken, Payload};
use serde_json::Value;
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
    let mut badged = None;
    for (index, Recipient { token, badge }) in recipients.into_iter().enumerate() {
        let mut made = || -> Result<Submission, FieldProblem> {
            let token = read_token(&token)?;
            let payload = match badge {
                None => payload.clone(),
                Some(badge) => {
                    if badged.is_none() {
                        badged = Some(Badged::read(call.payload.get())?);
                    }
                    badged.as_ref().map_or_else(|| Ok(payload.clone()), |badged| badged.with(badge))?
                }
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

/// A payload around the number of its badge.
struct Badged {
    before: String,
    behind: String,
}

impl Badged {
    fn read(payload: &str) -> Result<Self, FieldProblem> {
        let unreadable = |error: serde_json::Error| {
            FieldProblem::new("payload", apns_credentials::disclosure::without_values(&error.to_string()))
        };
        let Members(members) = serde_json::from_str(payload).map_err(unreadable)?;
        let aps = members.iter().rev().find(|(name, _)| name == "aps").map_or("{}", |(_, value)| value.get());
        let Members(aps) = serde_json::from_str(aps)
            .map_err(|_| FieldProblem::new("payload.aps", "a badge needs an object to be put in"))?;
        let written = |members: &[(String, &RawValue)], but: &str| {
            let members = members.iter().filter(|(name, _)| name != but);
            members.map(|(name, value)| format!("{}:{}", Value::from(&**name), value.get())).collect::<Vec<_>>()
        };
        let before = [written(&aps, "badge"), vec![r#""badge":"#.to_owned()]].concat().join(",");
        let behind = [vec!["}".to_owned()], written(&members, "aps")].concat().join(",");
        Ok(Self { before: format!(r#"{{"aps":{{{before}"#), behind: behind + "}" })
    }

    /// The payload with this badge.
    fn with(&self, badge: u32) -> Result<Payload, FieldProblem> {
        read_payload(&format!("{}{badge}{}", self.before, self.behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_takes_its_place_and_all_else_stays_as_it_is_written() {
        let badged = |payload: &str| {
            Badged::read(payload)
                .and_then(|badged| badged.with(7))
                .map(|payload| String::from_utf8_lossy(payload.as_bytes()).into_owned())
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
