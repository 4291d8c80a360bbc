//! The client's side of one connection to the gateway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::codec::PROBE_LEN;
use super::plan::{Named, Plan, Rest};
use super::quiet::Quiet;
use super::window::{Place, Window, frame_of};
use super::{Config, ErrorResponse, ErrorResponseDecoder, encode, encode_probe};
use crate::machine::CHUNK;
use crate::time::later;
use crate::{
    CloseReason, Closed, Connection, ConnectionEvent, End, Fate, Machine, Notification, Now, Outcome, PlanSummary,
    Proof, Refused, Rejection, Submission, SubmitError, Transmit, UnknownCause, Unsettled, Warning,
};

/// One connection to the binary gateway, as a [`Machine`].
///
/// The gateway says nothing about what it accepts. So every notification stays in a bounded window until a later error
/// response or the answer to a probe proves it accepted, the quiet time makes it presumed accepted, or the connection
/// ends. One error response names one notification: what was written before it was accepted, what was written after it
/// was thrown away.
///
/// A [`Session`](crate::Session) opens one connection after another and sends again what has to be; use this type alone
/// to do that yourself.
///
/// # Example
///
/// A gateway that refuses the second of three:
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use apns_proto::binary::{Client, Config};
/// use apns_proto::{Connection, ConnectionEvent, DeviceToken, Fate, Machine, Notification, Now, Payload, Proof};
/// use apns_proto::{Outcome, Submission, Transmit};
/// use bytes::BytesMut;
///
/// let now = Now::new(Instant::now(), SystemTime::now().into());
/// let mut client = Client::new(Config::default(), now);
/// let payload = Payload::alert("Tea is ready");
/// for key in ["first", "second", "third"] {
///     let token = DeviceToken::from_hex("00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0")?;
///     let submission = Submission::new(key, Notification::new(token, payload.clone()));
///     assert!(client.submit(now, submission).is_ok());
/// }
/// let mut out = BytesMut::new();
/// assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready); // … write `out` to the socket …
/// client.handle_input(now, b"\x08\x08\0\0\0\x02"); // status 8, identifier 2
///
/// assert_eq!(client.poll_event(), Some(ConnectionEvent::Answered));
/// let Some(ConnectionEvent::Settled(first)) = client.poll_event() else { panic!() };
/// assert_eq!((first.key, first.outcome), ("first", Outcome::accepted(Proof::Confirmed)));
/// let Some(ConnectionEvent::Settled(second)) = client.poll_event() else { panic!() };
/// assert_eq!((second.key, second.outcome.word()), ("second", "rejected"));
/// let Some(ConnectionEvent::Closed(closed)) = client.poll_event() else { panic!() };
/// assert_eq!(closed.unsettled[0].submission.key, "third");
/// assert_eq!(closed.unsettled[0].fate, Fate::Discarded); // to be sent again on another connection
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client<K> {
    config: Config,
    window: Window<K>,
    quiet: Quiet,
    decoder: ErrorResponseDecoder,
    /// Bytes of an error response that came so far.
    received: usize,
    events: VecDeque<ConnectionEvent<K>>,
    opened: Instant,
    answered: bool,
    /// Bytes are with the transport, and it has not taken all of them yet.
    handed: Option<Handed>,
    writing_failed: bool,
    drain: Option<Drain>,
    probe: Option<Probe>,
    /// So many at the front of the window are presumed accepted, and wait to be polled.
    presumed: usize,
    ending: Option<Ending>,
    /// The latest time seen: a clock that goes backwards stands still here.
    latest: Instant,
}

/// What the transport has and may not have taken yet.
#[derive(Debug, Clone, Copy)]
struct Handed {
    since: Instant,
    bytes: usize,
    /// How many notifications these bytes are.
    notifications: usize,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    identifier: u32,
    deadline: Instant,
}

/// The connection has ended; what it means for the window is told one event at a time.
#[derive(Debug)]
struct Ending {
    /// So many at the front, behind the presumed ones, are proven.
    confirmed: usize,
    named: Option<Outcome>,
    rest: Fate,
    reason: CloseReason,
    wall: crate::WallTime,
    told: bool,
}

impl<K> Client<K> {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            window: Window::new(config.format(), config.window_count(), config.window_bytes()),
            quiet: Quiet::new(config.quiet_time()),
            config,
            decoder: ErrorResponseDecoder::new(),
            received: 0,
            events: VecDeque::new(),
            opened: now.instant,
            answered: false,
            handed: None,
            writing_failed: false,
            drain: None,
            probe: None,
            presumed: 0,
            ending: None,
            latest: now.instant,
        }
    }

    /// The call to `poll_transmit` says that the transport took all that was handed out.
    fn note_taken(&mut self, now: Now) {
        if self.handed.take().is_some() {
            self.quiet.taken(self.window.next_sequence(), now.instant);
        }
    }

    fn write_notifications(&mut self, now: Now, out: &mut BytesMut, limit: usize) {
        let format = self.config.format();
        while out.len() < limit {
            let next = self.window.write_next(|identifier, Submission { notification, .. }| {
                if notification.expiration().has_passed(now.wall) {
                    return false;
                }
                let frame = frame_of(format, notification, identifier, now.wall);
                encode(&frame, out).expect("token and payload were checked against limits of 16 bits");
                true
            });
            match next {
                None => return,
                Some(true) => {}
                Some(false) => {
                    let expired = self.window.remove_unwritten();
                    self.events
                        .extend(expired.map(|one| ConnectionEvent::Settled(one.settle_unsent(Outcome::Expired))));
                }
            }
        }
    }

    fn write_probe(&mut self, now: Now, deadline: Option<Instant>, out: &mut BytesMut) {
        let identifier = self.window.next_sequence().identifier();
        encode_probe(identifier, out);
        let answer_by = later(now.instant, self.config.answer_timeout());
        let deadline = deadline.map_or(answer_by, |deadline| deadline.min(answer_by));
        self.probe = Some(Probe { identifier, deadline });
    }

    /// Why a notification is not taken, if it is not.
    fn why_not(&self, notification: &Notification) -> Option<SubmitError> {
        if !self.takes() {
            return Some(SubmitError::Retired);
        }
        if !self.window.has_room() {
            return Some(SubmitError::Full);
        }
        self.config.limits().check(notification).err().map(SubmitError::Invalid)
    }

    const fn takes(&self) -> bool {
        self.ending.is_none() && self.drain.is_none() && !self.writing_failed
    }

    fn note_answer(&mut self) {
        if !self.answered {
            self.answered = true;
            self.events.push_back(ConnectionEvent::Answered);
        }
    }

    /// Time never goes backwards in here.
    fn forward(&mut self, now: Now) -> Now {
        self.latest = self.latest.max(now.instant);
        Now { instant: self.latest, ..now }
    }

    /// Whether silence may count as a yes at all.
    fn may_presume(&self) -> bool {
        self.ending.is_none() && self.probe.is_none() && self.handed.is_none() && !self.writing_failed
    }

    fn presume(&mut self, now: Now) {
        if !self.may_presume() {
            return;
        }
        if let Some(end) = self.quiet.presumed(now.instant) {
            self.presumed = self.presumed.max(self.window.count_before(end));
        }
    }

    fn on_response(&mut self, now: Now, response: ErrorResponse) {
        let place = self.window.place(response.identifier);
        if let Place::At(index) = place {
            self.window.mark_named(index);
        }
        let probe = self.probe.map(|probe| probe.identifier);
        let plan = Plan::for_response(response, place, probe, self.window.written());
        if plan.rest != Rest::Suspected {
            // It speaks of all that was written, also of what was presumed accepted and not told yet.
            self.presumed = 0;
        }
        // Whatever it names, or nothing: the certificate's topic is that of the connection.
        let status = response.status.kind();
        let refuses_credential = !plan.answers_probe && status.refuses_credential();
        if let Some(first) = plan.lost_from {
            let lost = self.window.front().since(first);
            self.events.push_back(ConnectionEvent::Warning(Warning::AnsweredTooLate {
                named: response.identifier,
                status: response.status.raw(),
                lost,
                range: (lost > 0).then(|| (first.identifier(), first.plus(lost as usize - 1).identifier())),
            }));
        }
        if plan.rest == Rest::Suspected {
            let (identifier, status) = (response.identifier, response.status.raw());
            if identifier != 0 {
                self.events.push_back(ConnectionEvent::Warning(Warning::Unplaceable { identifier, status }));
            }
        } else if !refuses_credential {
            // A frame that cannot be placed is no sign of a working connection: reconnecting at once would burn one
            // window after another.
            self.note_answer();
        }
        let unproven = self.window.written() - self.presumed;
        let accepted = plan.accepted;
        let behind = unproven - accepted - usize::from(plan.named.is_some());
        let named_is = |named| plan.named == Some(named);
        let summary = PlanSummary {
            response,
            answers_probe: plan.answers_probe,
            accepted,
            rejected: usize::from(named_is(Named::Rejected)),
            discarded: usize::from(named_is(Named::CredentialRefused))
                + if plan.rest == Rest::Discarded { behind } else { 0 },
            unknown: usize::from(named_is(Named::InDoubt)) + if plan.rest == Rest::Discarded { 0 } else { behind },
            refuses_credential,
            not_written: self.window.len() - self.window.written(),
        };
        self.end(now, plan, CloseReason::ErrorResponse(summary), UnknownCause::NoAnswer, Some(response));
    }

    fn end_in_silence(&mut self, now: Now, reason: CloseReason, cause: UnknownCause) {
        self.end(now, Plan::SILENCE, reason, cause, None);
    }

    fn lost(&mut self, now: Now, reason: CloseReason) {
        let cause = UnknownCause::ConnectionLost(Arc::from(reason.to_string()));
        self.end_in_silence(now, reason, cause);
    }

    fn end(&mut self, now: Now, plan: Plan, reason: CloseReason, cause: UnknownCause, response: Option<ErrorResponse>) {
        if self.ending.is_some() {
            return;
        }
        let named = match (plan.named, response) {
            (Some(Named::Rejected), Some(response)) => Some(Outcome::Rejected(Rejection::Gateway(response.status))),
            (Some(Named::Rejected | Named::InDoubt), _) => {
                Some(Outcome::Unknown { cause: UnknownCause::NamedWithoutError })
            }
            // No more at fault than what was thrown away behind it.
            (Some(Named::CredentialRefused) | None, _) => None,
        };
        let rest = match (plan.rest, response) {
            (Rest::Discarded, _) => match reason.credential_refusal() {
                Some(refusal) => Fate::CredentialRefused { refusal, renewed: false },
                None => Fate::Discarded,
            },
            (Rest::Suspected, Some(ErrorResponse { status, identifier })) => {
                Fate::Suspected(UnknownCause::Suspected { status: status.raw(), identifier })
            }
            (Rest::Suspected | Rest::Unknown, _) => Fate::Unknown(cause),
        };
        self.ending = Some(Ending { confirmed: plan.accepted, named, rest, reason, wall: now.wall, told: false });
        self.handed = None;
    }

    fn pop_settled(&mut self, outcome: Outcome) -> Option<ConnectionEvent<K>> {
        self.window.settle_front(outcome).map(ConnectionEvent::Settled)
    }

    /// What the ending has left to say: proven ones, the one named, then the terminal event with the rest.
    fn poll_ending(&mut self) -> Option<ConnectionEvent<K>> {
        let ending = self.ending.as_mut()?;
        if ending.confirmed > 0 {
            ending.confirmed -= 1;
            return self.pop_settled(Outcome::accepted(Proof::Confirmed));
        }
        if let Some(outcome) = ending.named.take() {
            return self.pop_settled(outcome);
        }
        if ending.told {
            return None;
        }
        let mut unsettled = Vec::with_capacity(self.window.len());
        while let Some((submission, was_written)) = self.window.pop_front() {
            let fate = if was_written { ending.rest.clone() } else { Fate::NotWritten };
            let to_resend = matches!(fate, Fate::Discarded | Fate::NotWritten | Fate::CredentialRefused { .. });
            if to_resend && submission.notification.expiration().has_passed(ending.wall) {
                self.events.push_back(ConnectionEvent::Settled(submission.settle_unsent(Outcome::Expired)));
            } else {
                unsettled.push(Unsettled { submission, fate });
            }
        }
        ending.told = true;
        self.events.push_back(ConnectionEvent::Closed(Closed { reason: ending.reason.clone(), unsettled }));
        self.events.pop_front()
    }

    fn failure_deadline(&self) -> Option<Instant> {
        [self.stall_deadline(), self.answer_deadline()].into_iter().flatten().min()
    }

    /// A connection that has lived until then works.
    fn lived_long(&self) -> Option<Instant> {
        self.opened.checked_add(self.config.quiet_time())
    }

    fn stall_deadline(&self) -> Option<Instant> {
        self.handed?.since.checked_add(self.config.write_timeout())
    }

    fn answer_deadline(&self) -> Option<Instant> {
        match (self.probe, self.drain) {
            (Some(probe), _) => Some(probe.deadline),
            (None, Some(drain)) => drain.deadline,
            (None, None) => None,
        }
    }

    fn finish_if_proven(&mut self, now: Now) {
        if self.drain.is_some() && self.probe.is_none() && self.window.len() == self.presumed {
            self.end_in_silence(now, CloseReason::Finished, UnknownCause::Closed);
        }
    }
}

impl<K> Machine for Client<K> {
    type Event = ConnectionEvent<K>;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if self.ending.is_some() || bytes.is_empty() {
            return;
        }
        let mut rest = bytes;
        match self.decoder.decode(&mut rest) {
            Ok(Some(response)) => self.on_response(now, response),
            Ok(None) => self.received += bytes.len(),
            // The first byte is the only one that can be wrong.
            Err(_) => self.lost(now, CloseReason::NotThisProtocol { first_byte: bytes[0] }),
        }
    }

    fn handle_end(&mut self, now: Now, end: End) {
        let reason = match end {
            End::Refused(words) if !self.answered => {
                // The peer did not let us in, so it read nothing: with TLS 1.3 the verdict on the client certificate
                // arrives when the first notifications are on their way.
                let reason = CloseReason::Refused(Arc::from(words));
                return self.end(now, Plan::NOTHING_READ, reason, UnknownCause::Closed, None);
            }
            End::Refused(words) => CloseReason::Refused(Arc::from(words)),
            End::Clean | End::Cut if self.received > 0 => CloseReason::Truncated { received: self.received },
            End::Clean => CloseReason::PeerClosed,
            End::Cut => CloseReason::Cut,
        };
        self.lost(now, reason);
    }

    fn handle_write_failure(&mut self, _now: Now, unsent: usize) {
        if self.ending.is_some() || self.writing_failed {
            return;
        }
        self.writing_failed = true;
        // What was handed out before was taken, or it would not have been asked for more.
        let unsent = unsent.min(self.handed.take().map_or(0, |handed| handed.bytes));
        let probe_bytes = if self.probe.is_some() { PROBE_LEN } else { 0 };
        if unsent >= PROBE_LEN {
            // The probe was the last thing written. What left in part may still be answered.
            self.probe = None;
        }
        self.window.unwrite(unsent.saturating_sub(probe_bytes), self.presumed);
    }

    fn handle_timeout(&mut self, now: Now) {
        let now = self.forward(now);
        if self.ending.is_some() {
            return;
        }
        let passed = |deadline: Instant| deadline <= now.instant;
        self.presume(now);
        if self.lived_long().is_some_and(passed) {
            self.note_answer();
        }
        if !self.failure_deadline().is_some_and(passed) {
            return;
        }
        if self.stall_deadline().is_some_and(passed) {
            self.lost(now, CloseReason::WriteStalled);
        } else {
            self.end_in_silence(now, CloseReason::NoAnswer, UnknownCause::NoAnswer);
        }
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        if self.ending.is_some() {
            return Transmit::Shutdown;
        }
        if self.writing_failed {
            return Transmit::Idle;
        }
        let now = self.forward(now);
        self.note_taken(now);
        if self.failure_deadline().is_some_and(|due| due <= now.instant) {
            // Judged first: what is written to a connection that has failed would be in doubt.
            return Transmit::Idle;
        }
        let (before, written) = (out.len(), self.window.written());
        self.write_notifications(now, out, before + CHUNK);
        if let (Some(drain), None, None) = (self.drain, self.probe, self.window.next_unwritten()) {
            if self.window.len() == self.presumed {
                self.end_in_silence(now, CloseReason::Finished, UnknownCause::Closed);
                return Transmit::Shutdown;
            }
            self.write_probe(now, drain.deadline, out);
        }
        if out.len() == before {
            return Transmit::Idle;
        }
        let notifications = self.window.written() - written;
        self.handed = Some(Handed { since: now.instant, bytes: out.len() - before, notifications });
        Transmit::Ready
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent<K>> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.presumed > 0 {
            self.presumed -= 1;
            return self.pop_settled(Outcome::accepted(Proof::Presumed));
        }
        self.poll_ending()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.ending.is_some() {
            return None;
        }
        let presume = self.quiet.due().filter(|_| self.may_presume());
        let life = self.lived_long().filter(|_| !self.answered);
        [presume, life, self.failure_deadline()].into_iter().flatten().min()
    }
}

/// How many more than those that were handed to the transport may be there at a time: enough for the next chunk.
const AHEAD: usize = 512;

impl<K> Connection<K> for Client<K> {
    type Message = Notification;

    fn submit(&mut self, now: Now, mut submission: Submission<K>) -> Result<(), Refused<K>> {
        if let Some(cause) = self.why_not(&submission.notification) {
            return Err(Refused { submission, cause });
        }
        submission.notification.resolve_expiration(now.wall);
        self.window.push(submission);
        Ok(())
    }

    fn room(&self) -> usize {
        if self.takes() { self.window.room() } else { 0 }
    }

    fn unsettled(&self) -> usize {
        self.window.len()
    }

    /// The peer allows everything, so what counts is what was handed to the transport, and the next few that it takes.
    fn capacity(&self) -> usize {
        (self.window.len() + self.room()).min(self.window.written() + AHEAD).max(self.window.len())
    }

    fn make_room(&mut self, now: Now) {
        self.drain(now, None);
    }

    fn prove(&mut self, now: Now, deadline: Option<Instant>) {
        if !self.window.is_empty() {
            self.drain(now, deadline);
        }
    }

    fn give_up(&mut self, now: Now, mark: u64) {
        if self.window.any(|submission| submission.mark < mark) {
            self.end_in_silence(now, CloseReason::NoAnswer, UnknownCause::NoAnswer);
        }
    }

    fn drain(&mut self, now: Now, deadline: Option<Instant>) {
        if self.ending.is_some() {
            return;
        }
        if self.drain.is_none() {
            self.events.push_back(ConnectionEvent::Retired);
        }
        let earlier = self.drain.and_then(|drain| drain.deadline);
        let deadline = [earlier, deadline].into_iter().flatten().min();
        self.drain = Some(Drain { deadline });
        if let (Some(probe), Some(deadline)) = (self.probe.as_mut(), deadline) {
            probe.deadline = probe.deadline.min(deadline);
        }
        self.finish_if_proven(now);
    }

    fn close(&mut self, now: Now) {
        self.end_in_silence(now, CloseReason::ClosedHere, UnknownCause::Closed);
    }

    fn is_closed(&self) -> bool {
        self.ending.is_some()
    }

    fn just_sent(&self, each: &mut dyn FnMut(&K)) {
        if let Some(handed) = self.handed {
            self.window.written_last(handed.notifications).for_each(|submission| each(&submission.key));
        }
    }
}
