//! What all connections of a simulator share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apns_proto::binary::server::{Verdict, is_probe};
use apns_proto::binary::{
    DecodedNotification, FeedbackRecord, Limits, NotificationError, NotificationErrorKind, Status,
};
use apns_proto::{Now, WallTime};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::armed::ArmedList;
use crate::log::{Entry, Keep, Log, Record, Service, Unreadable};
use crate::provider::ProviderState;
use crate::script::{Arrival, Faults, FeedbackScript, Kind, Play, Script, ScriptedRecord};
use crate::spoken::Advice;

pub(crate) type Hook = Arc<dyn Fn(&Entry) + Send + Sync>;

/// The script in play, the log, and who waits for it.
pub(crate) struct Core {
    state: Mutex<State>,
    changed: Notify,
    waiting: AtomicUsize,
    keep: Keep,
    hook: Option<Hook>,
}

pub(crate) struct State {
    pub(crate) log: Log,
    pub(crate) play: Play,
    pub(crate) provider: ProviderState,
    pub(crate) armed: ArmedList,
    feedback: Vec<FeedbackRecord>,
}

impl Core {
    pub(crate) fn new(script: Script, keep: Keep, hook: Option<Hook>) -> Self {
        let feedback = script.feedback.records.iter().map(ScriptedRecord::to_wire).collect();
        let provider = ProviderState::new(&script);
        let armed = ArmedList::default();
        let state = State { log: Log::default(), play: Play::new(script), provider, armed, feedback };
        Self { state: Mutex::new(state), changed: Notify::new(), waiting: AtomicUsize::new(0), keep, hook }
    }

    /// A test that panics while it looks leaves nothing half done.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn script(&self) -> Script {
        self.lock().play.script().clone()
    }

    /// Starts a script from its beginning.
    pub(crate) fn set_script(&self, script: Script) {
        let mut state = self.lock();
        state.feedback = script.feedback.records.iter().map(ScriptedRecord::to_wire).collect();
        state.provider.set_script(&script);
        state.play = Play::new(script);
    }

    /// Goes on with a changed script.
    pub(crate) fn change_script(&self, change: impl FnOnce(Script) -> Script) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let script = change(state.play.script().clone());
        if script.feedback.records != state.play.script().feedback.records {
            state.feedback = script.feedback.records.iter().map(ScriptedRecord::to_wire).collect();
        }
        state.provider.change_script(state.play.script(), &script);
        state.play.change(script);
    }

    pub(crate) fn push_feedback(&self, record: FeedbackRecord) {
        self.lock().feedback.push(record);
    }

    pub(crate) fn limits(&self) -> Limits {
        self.lock().play.script().gateway.limits()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.lock().play.script().seed
    }

    /// What goes wrong with this connection.
    pub(crate) fn faults(&self, service: Service, connection: u64) -> Faults {
        let state = self.lock();
        let script = state.play.script();
        let all = match service {
            Service::Gateway => &script.gateway.connections,
            Service::Feedback => &script.feedback.connections,
            Service::Http2 => &script.http2.connections,
        };
        all.iter().find(|faults| faults.concern(connection)).cloned().unwrap_or_default()
    }

    /// Hands out the feedback records, which clears them.
    pub(crate) fn take_feedback(&self, connection: u64, at: WallTime) -> (Vec<FeedbackRecord>, FeedbackScript) {
        let mut state = self.lock();
        let records = std::mem::take(&mut state.feedback);
        let script = state.play.script().feedback.clone();
        state.log.counts.feedback_records += records.len() as u64;
        self.note(state, || Entry::FeedbackTaken { connection, records: records.len(), at });
        (records, script)
    }

    /// Decides about a notification and writes it down.
    pub(crate) fn judge(
        &self,
        now: Now,
        connection: u64,
        number_in_connection: u64,
        notification: &DecodedNotification,
        last: bool,
    ) -> Verdict {
        let mut state = self.lock();
        state.log.counts.notifications += 1;
        let seq = state.log.counts.notifications;
        let by_hand = state.armed.take_gateway(&notification.token);
        let armed = by_hand.is_some();
        let arrival = Arrival {
            kind: Kind::Notification,
            connection,
            number: seq,
            number_in_connection,
            identifier: notification.identifier,
            token: &notification.token,
            payload: &notification.payload,
            ..Arrival::default()
        };
        let action = by_hand.or_else(|| state.play.decide(&arrival));
        let verdict = match action.map_or(Verdict::Accept, |action| action.verdict()) {
            Verdict::Accept if last => Verdict::AcceptAndClose,
            verdict => verdict,
        };
        let counts = &mut state.log.counts;
        counts.accepted += u64::from(verdict.accepts());
        counts.refused += u64::from(matches!(verdict, Verdict::Refuse { .. }));
        if self.keep == Keep::TokenCounts && verdict.accepts() {
            state.log.count_token(&notification.token);
        }
        self.note(state, || Entry::Notification(Record::new(seq, connection, notification, verdict, armed, now.wall)));
        verdict
    }

    /// Decides about something that is no notification and writes it down.
    pub(crate) fn judge_malformed(
        &self,
        now: Now,
        connection: u64,
        number_in_connection: u64,
        error: &NotificationError,
    ) -> Verdict {
        let mut state = self.lock();
        let probe = is_probe(error) && error.identifier.is_some();
        let number = state.log.counts.notifications;
        let action = state.play.decide(&Arrival {
            kind: if probe { Kind::Probe } else { Kind::Malformed },
            connection,
            number,
            number_in_connection,
            identifier: error.identifier,
            token: &[],
            payload: &[],
            ..Arrival::default()
        });
        let verdict = action.map_or_else(|| refusal(error), |action| action.verdict());
        let counts = &mut state.log.counts;
        if probe {
            counts.probes += 1;
        } else {
            counts.malformed += 1;
        }
        self.note(state, || {
            let unreadable = Unreadable {
                connection,
                identifier: error.identifier,
                error: error.to_string(),
                verdict,
                at: now.wall,
            };
            if probe { Entry::Probe(unreadable) } else { Entry::Malformed(unreadable) }
        });
        verdict
    }

    pub(crate) fn connected(
        &self,
        service: Service,
        connection: u64,
        peer: Option<SocketAddr>,
        tls: &'static str,
        at: WallTime,
    ) {
        let mut state = self.lock();
        match service {
            Service::Gateway => state.log.counts.gateway_connections += 1,
            Service::Feedback => state.log.counts.feedback_connections += 1,
            Service::Http2 => state.log.counts.http2_connections += 1,
        }
        self.note(state, || Entry::Connected { service, connection, peer, tls, at });
    }

    pub(crate) fn handshake_failed(
        &self,
        service: Service,
        connection: u64,
        peer: Option<SocketAddr>,
        error: String,
        should: Option<&'static str>,
        at: WallTime,
    ) {
        let mut state = self.lock();
        state.log.counts.failed_handshakes += 1;
        self.note(state, || Entry::HandshakeFailed { service, connection, peer, error, should, at });
    }

    pub(crate) fn closed(&self, service: Service, connection: u64, end: String, discarded: u64, at: WallTime) {
        let mut state = self.lock();
        state.log.counts.closed += 1;
        self.note(state, || Entry::Closed { service, connection, end, discarded, at });
    }

    /// A client of the provider API does not speak as it should.
    pub(crate) fn misspoken(&self, connection: u64, Advice { did, should }: Advice, at: WallTime) {
        self.note(self.lock(), || Entry::Misspoken { connection, did, should, at });
    }

    /// A client of the provider API gave up a request.
    pub(crate) fn cancelled(&self, connection: u64, stream: u32, code: u32, at: WallTime) {
        let mut state = self.lock();
        state.log.counts.requests_cancelled += 1;
        self.note(state, || Entry::Cancelled { connection, stream, code, at });
    }

    /// A stream of the provider API was refused before its request was looked at.
    pub(crate) fn stream_refused(&self, connection: u64, stream: u32, limit: Option<u32>, at: WallTime) {
        let mut state = self.lock();
        state.log.counts.streams_refused += 1;
        self.note(state, || Entry::StreamRefused { connection, stream, limit, at });
    }

    pub(crate) const fn keep(&self) -> Keep {
        self.keep
    }

    /// Keeps the entry if that is wanted, tells the hook, and wakes what waits.
    pub(crate) fn note(&self, mut state: MutexGuard<'_, State>, entry: impl FnOnce() -> Entry) {
        let told = match (self.keep, &self.hook) {
            (Keep::Everything, Some(_)) => {
                let entry = entry();
                state.log.entries.push(entry.clone());
                Some(entry)
            }
            (Keep::Everything, None) => {
                state.log.entries.push(entry());
                None
            }
            (Keep::TokenCounts | Keep::Counts, Some(_)) => Some(entry()),
            (Keep::TokenCounts | Keep::Counts, None) => None,
        };
        drop(state);
        if let (Some(hook), Some(entry)) = (&self.hook, told) {
            hook(&entry);
        }
        // Who waits counts itself before it looks, under the lock that was just released.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    pub(crate) async fn wait_for(&self, mut predicate: impl FnMut(&Log) -> bool) {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if predicate(&self.lock().log) {
                return;
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("keep", &self.keep).finish_non_exhaustive()
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What Apple's gateway would have done, as far as is known.
fn refusal(error: &NotificationError) -> Verdict {
    let of_a_field = matches!(
        error.kind,
        NotificationErrorKind::ZeroLengthToken
            | NotificationErrorKind::TokenTooLong { .. }
            | NotificationErrorKind::ZeroLengthPayload
            | NotificationErrorKind::PayloadTooLong { .. }
    );
    // Command 1 has an identifier before these fields, and in command 2 they are items.
    if of_a_field && error.identifier.is_none() && error.item_id.is_none() {
        // Command 0: the gateway closes and does not say why (*Legacy Notification Format*).
        return Verdict::Close;
    }
    Verdict::refuse(error.gateway_status_hint().unwrap_or(Status::PROTOCOL_ERROR))
}
