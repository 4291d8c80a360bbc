//! What the REST interface tells as disconnections: with the binary protocol, each refused notification ended a
//! connection.
//!
//! Kept in memory, as pyapns did: what of an app's notifications came by this interface and has no outcome yet, and the
//! last refusals. The outcomes themselves are in the outbox.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use apns_proto::binary::Status;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::bridge::refusal;
use crate::outbox::{OutboxError, OutcomeRecord};
use crate::service::Service;
use crate::{AppName, NotificationId};

/// The most events of an app; older ones are forgotten.
const MOST_EVENTS: usize = 5000;
/// The most notifications of an app that are remembered while they have no outcome.
const MOST_SENT: usize = 10_000;
/// The wait before an outbox that failed is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// A notification as a caller handed it in.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "notification")]
pub(super) struct Sent {
    pub(super) expiry: Box<RawValue>,
    pub(super) identifier: Box<RawValue>,
    pub(super) payload: Box<RawValue>,
    pub(super) token: String,
}

/// A refusal.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "disconnection")]
pub(super) struct Event {
    code: u8,
    internal_identifier: u32,
    offending_notification: Option<Sent>,
    timestamp: f64,
    verbose_message: &'static str,
    /// The service's own word for it.
    reason: Option<String>,
    #[serde(skip)]
    id: NotificationId,
}

/// The refusals of all apps.
#[derive(Debug, Default)]
pub(super) struct Disconnections(Mutex<BTreeMap<AppName, Arc<Log>>>);

/// The refusals of one.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    watched: bool,
    next: u32,
    sent: HashMap<NotificationId, (u32, Sent)>,
    /// In the order in which they came; what has its outcome may still stand here.
    order: VecDeque<NotificationId>,
    events: VecDeque<Event>,
    /// Refused before it was known here what it is.
    early: HashSet<NotificationId>,
}

impl Disconnections {
    /// What is known of an app. From here on its outcomes are looked at.
    pub(super) async fn of(&self, service: &Service, app: &AppName) -> Arc<Log> {
        let log = self.0.lock().entry(app.clone()).or_default().clone();
        if !std::mem::replace(&mut log.state().watched, true) {
            let (service, app, watched) = (service.clone(), app.clone(), log.clone());
            // To its end, also when the caller hangs up: nobody else would begin it again.
            let begun = tokio::spawn(async move {
                match service.outcomes(&app, None).await {
                    Ok(outcomes) => drop(tokio::spawn(watch(outcomes, watched))),
                    // An app that is just being removed; asked again the next time.
                    Err(_) => watched.state().watched = false,
                }
            });
            drop(begun.await);
        }
        log
    }
}

/// Looks at the outcomes of an app until it is removed or the service stops.
async fn watch(mut outcomes: crate::service::OutcomeStream, log: Arc<Log>) {
    loop {
        let next: Result<_, OutboxError> = outcomes.next().await;
        match next {
            Ok(Some((_, record))) => log.note(&record),
            Ok(None) => break,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
    log.state().watched = false;
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Remembers what was accepted until its outcome is known.
    pub(super) fn remember(&self, accepted: impl IntoIterator<Item = (NotificationId, Sent)>) {
        let mut state = self.state();
        for (id, sent) in accepted {
            state.next = state.next.wrapping_add(1).max(1);
            let number = state.next;
            if state.early.remove(&id) {
                // A reader of the events has it without this.
                if let Some(event) = state.events.iter_mut().rev().find(|event| event.id == id) {
                    event.internal_identifier = number;
                    event.offending_notification = Some(sent);
                }
                continue;
            }
            state.sent.insert(id, (number, sent));
            state.order.push_back(id);
            if state.order.len() > MOST_SENT
                && let Some(oldest) = state.order.pop_front()
            {
                state.sent.remove(&oldest);
            }
        }
    }

    /// A notification has its outcome.
    fn note(&self, record: &OutcomeRecord) {
        let mut state = self.state();
        let sent = state.sent.remove(&record.id);
        if record.outcome != "rejected" {
            return;
        }
        if sent.is_none() {
            state.early.insert(record.id);
        }
        let (number, sent) = sent.map_or((0, None), |(number, sent)| (number, Some(sent)));
        let code = code(record);
        state.events.push_back(Event {
            code,
            internal_identifier: number,
            offending_notification: sent,
            timestamp: record.settled_at as f64 / 1000.0,
            verbose_message: verbose(code),
            reason: record.reason.clone(),
            id: record.id,
        });
        if state.events.len() > MOST_EVENTS
            && let Some(oldest) = state.events.pop_front()
        {
            state.early.remove(&oldest.id);
        }
    }

    /// The events, oldest first; they are cleared by this.
    pub(super) fn take(&self) -> Vec<Event> {
        let mut state = self.state();
        state.early.clear();
        std::mem::take(&mut state.events).into()
    }
}

/// The status of the binary protocol that comes closest. That the app is gone from a device was an invalid token.
fn code(record: &OutcomeRecord) -> u8 {
    refusal(record).unwrap_or(Status::INVALID_TOKEN).raw()
}

/// The texts of pyapns.
const fn verbose(code: u8) -> &'static str {
    match code {
        0 => "No errors encountered",
        1 => "Processing error",
        2 => "Missing device token",
        3 => "Missing topic",
        4 => "Missing payload",
        5 => "Invalid token size",
        6 => "Invalid topic size",
        7 => "Invalid payload size",
        8 => "Invalid token",
        10 => "Shutdown",
        _ => "None (unknown)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> NotificationId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        NotificationId::from_bytes(bytes)
    }

    fn record(number: u32, outcome: &str, reason: Option<&str>, status: Option<u16>) -> OutcomeRecord {
        let mut json = serde_json::json!({
            "id": id(number), "app": "shop", "outcome": outcome, "attempts": 1, "replays": 0, "retries": 0,
            "accepted_at": 1000, "settled_at": 1500,
        });
        json["reason"] = reason.into();
        json["status"] = status.into();
        serde_json::from_value(json).unwrap()
    }

    fn sent(number: u32) -> Sent {
        let raw = |text: String| RawValue::from_string(text).unwrap();
        Sent {
            expiry: raw("30".into()),
            identifier: raw(number.to_string()),
            payload: raw("{}".into()),
            token: "ab".into(),
        }
    }

    #[test]
    fn a_refusal_names_its_notification_whichever_comes_first() {
        let log = Log::default();
        log.note(&record(2, "rejected", Some("BadDeviceToken"), Some(400)));
        log.remember([(id(1), sent(1)), (id(2), sent(2))]);
        log.note(&record(1, "rejected", Some("Unregistered"), Some(410)));
        log.note(&record(3, "accepted", None, None));
        let events = serde_json::to_value(log.take()).unwrap();
        let identifiers: Vec<_> =
            (0..2).map(|place| events[place]["offending_notification"]["identifier"].clone()).collect();
        assert_eq!(identifiers, [2, 1]);
        assert_eq!(events[0]["internal_identifier"], 2);
        assert_eq!(
            events[1],
            serde_json::json!({
                "type": "disconnection", "code": 8, "internal_identifier": 1, "timestamp": 1.5,
                "verbose_message": "Invalid token", "reason": "Unregistered",
                "offending_notification":
                    {"type": "notification", "expiry": 30, "identifier": 1, "payload": {}, "token": "ab"},
            })
        );
        assert!(log.take().is_empty(), "they are cleared by reading");
        assert!(log.state().sent.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let log = Log::default();
        log.remember((0..20_000).map(|number| (id(number), sent(number))));
        assert_eq!(log.state().sent.len(), MOST_SENT);
        assert_eq!(log.state().order.len(), MOST_SENT);
        for number in 0..20_000 {
            log.note(&record(number, "rejected", Some("BadDeviceToken"), Some(400)));
        }
        assert!(log.state().early.len() <= MOST_EVENTS);
        let events = log.take();
        assert_eq!(events.len(), MOST_EVENTS);
        assert_eq!(events[MOST_EVENTS - 1].id, id(19_999), "the last ones");
        assert!(events.iter().all(|event| event.offending_notification.is_some()));
    }

    #[test]
    fn b86_every_reason_has_a_code_and_a_text() {
        for (reason, status, expected, text) in [
            (Some("PayloadTooLarge"), Some(413), 7, "Invalid payload size"),
            (Some("TopicDisallowed"), Some(400), 6, "Invalid topic size"),
            (Some("SomethingNew"), Some(400), 255, "None (unknown)"),
            (Some("InvalidProviderToken"), Some(403), 1, "Processing error"),
            (Some("InternalServerError"), Some(500), 1, "Processing error"),
            // The binary protocol's own.
            (Some("invalid token size"), Some(5), 5, "Invalid token size"),
            (Some("shutdown"), Some(10), 10, "Shutdown"),
            (Some("unknown"), Some(255), 255, "None (unknown)"),
            (Some("Unregistered"), Some(410), 8, "Invalid token"),
        ] {
            let code = code(&record(1, "rejected", reason, status));
            assert_eq!((code, verbose(code)), (expected, text), "{reason:?}");
        }
    }
}
