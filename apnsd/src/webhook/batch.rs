//! What is sent: a batch of outcomes, with its name and bounds.

use std::fmt::Write as _;

use apns_proto::WallTime;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::config::Webhook;
use crate::AppName;
use crate::outbox::{Cursor, OutcomeRecord, Unread};

/// A request to be signed. The same one may be sent again under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Its name, by which a receiver knows it when it comes again.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// A part of the outcomes of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) event: Event,
    /// How many outcomes it has.
    pub(super) count: u64,
    /// It says that outcomes were forgotten.
    pub(super) gap: bool,
    /// No more fit in, although there are some.
    pub(super) full: bool,
}

/// What comes of outcomes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Composed {
    /// Everything up to here is in the batch, or is none of the receiver's business.
    pub(super) upto: Cursor,
    /// `None` where the receiver wants none of them.
    pub(super) batch: Option<Batch>,
}

/// How the body begins. The outcomes follow, each as it is in the JSON API.
#[derive(Serialize)]
struct Head<'a> {
    webhook: &'a str,
    app: &'a AppName,
    after: &'a str,
    next: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten_up_to: Option<&'a str>,
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text keys and numbers only")
}

/// The time in the form of RFC 3339.
fn rfc3339(time: WallTime) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn envelope(kind: &str, now: WallTime, data: &str) -> Bytes {
    format!(r#"{{"type":"{kind}","timestamp":"{}","data":{data}}}"#, rfc3339(now)).into()
}

fn name_of(parts: &[&str]) -> String {
    let digest = digest(&SHA256, parts.join("\0").as_bytes());
    digest.as_ref()[..16].iter().fold("msg_".to_owned(), |mut name, byte| {
        // Nothing fails when a text is written to.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// Takes from the front what the receiver wants and what fits in.
pub(super) fn compose(hook: &Webhook, app: &AppName, unread: &Unread, now: WallTime) -> Composed {
    let (mut upto, mut wanted, mut bytes, mut full) = (&unread.after, Vec::new(), 0, false);
    for (cursor, record) in &unread.outcomes {
        if hook.wants(record) {
            let text = json(record);
            if !wanted.is_empty() && bytes + text.len() > hook.max_body {
                full = true;
                break;
            }
            bytes += text.len() + 1;
            wanted.push((record, text));
        }
        upto = cursor;
    }
    // What is forgotten may stand behind everything that is there.
    let upto = match &unread.forgotten {
        Some(forgotten) if unread.outcomes.is_empty() => forgotten,
        _ => upto,
    };
    if wanted.is_empty() && unread.forgotten.is_none() {
        return Composed { upto: upto.clone(), batch: None };
    }
    let forgotten = unread.forgotten.as_ref().map(Cursor::as_str);
    let (after, next) = (unread.after.as_str(), upto.as_str());
    let mut data = json(&Head { webhook: &hook.name, app, after, next, forgotten_up_to: forgotten });
    data.pop();
    data.reserve(bytes + 20);
    data.push_str(r#","outcomes":["#);
    for (nth, (_, text)) in wanted.iter().enumerate() {
        if nth > 0 {
            data.push(',');
        }
        data.push_str(text);
    }
    data.push_str("]}");
    // Ids of notifications are of one store: another one that begins with the same places gives other names.
    let id = |one: Option<&(&OutcomeRecord, String)>| one.map(|(record, _)| record.id.to_string()).unwrap_or_default();
    let id = name_of(&[&hook.name, app.as_str(), after, next, &id(wanted.first()), &id(wanted.last())]);
    let event = Event { id, body: envelope("outcomes", now, &data) };
    let batch = Batch { event, count: wanted.len() as u64, gap: unread.forgotten.is_some(), full };
    Composed { upto: upto.clone(), batch: Some(batch) }
}

/// An event that says that it is a test.
pub(super) fn test_event(hook: &Webhook, now: WallTime) -> Event {
    #[derive(Serialize)]
    struct Test<'a> {
        webhook: &'a str,
    }
    let id = name_of(&[&hook.name, "test", &now.as_millis().to_string()]);
    Event { id, body: envelope("test", now, &json(&Test { webhook: &hook.name })) }
}

#[cfg(test)]
mod tests {
    use apns_proto::{Outcome, Proof};
    use serde_json::Value;

    use super::*;
    use crate::webhook::config::tests::webhook;
    use crate::webhook::{WebhookFilter, config::Webhook};

    fn record(number: u8, accepted: bool) -> OutcomeRecord {
        let id = format!("2ca378c7-8dca-8e7d-8000-0000000000{number:02x}").parse().unwrap();
        let outcome = if accepted { Outcome::accepted(Proof::Confirmed) } else { Outcome::Expired };
        let at = WallTime::from_millis(1_764_077_000_187);
        OutcomeRecord::new(id, "shop".parse().unwrap(), &outcome, at, at)
    }

    fn unread(numbers: &[u8]) -> Unread {
        let outcomes =
            numbers.iter().map(|number| (Cursor::new(number.to_string()), record(*number, number % 2 == 0))).collect();
        Unread { after: Cursor::new("7"), forgotten: None, outcomes }
    }

    fn composed(hook: &Webhook, unread: &Unread) -> Composed {
        compose(hook, &"shop".parse().unwrap(), unread, WallTime::from_millis(1_764_077_001_000))
    }

    fn body(batch: &Batch) -> Value {
        serde_json::from_slice(&batch.event.body).unwrap()
    }

    #[test]
    fn a_batch_has_its_outcomes_in_their_order_and_says_where_it_stands() {
        let hook = webhook("");
        let Composed { upto, batch } = composed(&hook, &unread(&[8, 9, 12]));
        let batch = batch.unwrap();
        assert_eq!((upto.as_str(), batch.count, batch.gap, batch.full), ("12", 3, false, false));
        let body = body(&batch);
        assert_eq!((&body["type"], &body["timestamp"]), (&"outcomes".into(), &"2025-11-25T13:23:21Z".into()));
        let data = &body["data"];
        assert_eq!((&data["webhook"], &data["app"]), (&"crm".into(), &"shop".into()));
        assert_eq!((&data["after"], &data["next"], data.get("forgotten_up_to")), (&"7".into(), &"12".into(), None));
        for (told, number) in data["outcomes"].as_array().unwrap().iter().zip([8, 9, 12]) {
            assert_eq!(*told, serde_json::to_value(record(number, number % 2 == 0)).unwrap());
        }
        let again = composed(&hook, &unread(&[8, 9, 12])).batch.unwrap();
        assert_eq!(again.event.id, batch.event.id, "the same batch has the same name");
        assert_ne!(composed(&hook, &unread(&[8, 9])).batch.unwrap().event.id, batch.event.id);
    }

    #[test]
    fn what_is_not_wanted_is_passed_over() {
        let mut hook = webhook("");
        hook.filter = WebhookFilter::Failures;
        let Composed { upto, batch } = composed(&hook, &unread(&[8, 9, 10]));
        assert_eq!((upto.as_str(), batch.unwrap().count), ("10", 1));
        let nothing = composed(&hook, &unread(&[8, 10]));
        assert_eq!((nothing.upto.as_str(), nothing.batch), ("10", None));
        let idle = composed(&hook, &unread(&[]));
        assert_eq!((idle.upto.as_str(), idle.batch), ("7", None));
    }

    #[test]
    fn a_body_is_bounded_and_has_one_outcome_at_least() {
        let mut hook = webhook("");
        let each = json(&record(9, false)).len();
        hook.max_body = each * 2 + 10;
        let Composed { upto, batch } = composed(&hook, &unread(&[9, 11, 13]));
        let batch = batch.unwrap();
        assert_eq!((upto.as_str(), batch.count, batch.full), ("11", 2, true));
        hook.max_body = 1;
        let Composed { upto, batch } = composed(&hook, &unread(&[9, 11]));
        assert_eq!((upto.as_str(), batch.unwrap().count), ("9", 1));
    }

    #[test]
    fn what_was_forgotten_is_told_also_where_nothing_else_is() {
        let mut hook = webhook("");
        hook.filter = WebhookFilter::Failures;
        let forgotten = |numbers: &[u8]| Unread { forgotten: Some(Cursor::new("11")), ..unread(numbers) };
        for (numbers, upto, count) in [(&[][..], "11", 0), (&[12], "12", 0), (&[13, 14], "14", 1)] {
            let composed = composed(&hook, &forgotten(numbers));
            let batch = composed.batch.unwrap();
            assert_eq!((composed.upto.as_str(), batch.count, batch.gap), (upto, count, true));
            assert_eq!(body(&batch)["data"]["forgotten_up_to"], "11");
        }
    }
}
