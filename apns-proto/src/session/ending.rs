//! What becomes of submissions: settled, sent again, held, or given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EVENTS_KEPT, Link, LinkId, LinkReport, LinkState, Opener, Phase, Session, SessionEvent};
use crate::time::later;
use crate::{
    CloseReason, Closed, Connection, ConnectionEvent, Fate, LossPolicy, Machine, Message, NotSentCause, Now, Outcome,
    RetryDecision, RetryRoute, Settled, Submission, UnknownCause, Unsettled,
};

impl<P: Opener<K>, K> Session<P, K> {
    /// Takes the events of one link.
    pub(super) fn collect(&mut self, now: Now, index: usize) {
        while let LinkState::Open(connection) = &mut self.links[index].state {
            // What it proved waits where it is, and is not copied into a list as long as its window.
            if self.events.len() >= EVENTS_KEPT && connection.is_closed() {
                self.more = true;
                break;
            }
            let Some(event) = connection.poll_event() else { break };
            self.opener.observe(now, &event);
            let id = self.links[index].id;
            match event {
                // The short way: there is nothing to decide about it.
                ConnectionEvent::Settled(settled) if settled.outcome.is_accepted() => {
                    self.credential_taken(id);
                    self.waiting_since = None;
                    self.tell(settled);
                }
                ConnectionEvent::Settled(settled) => {
                    if matches!(settled.outcome, Outcome::Rejected(_)) {
                        self.credential_taken(id);
                        self.waiting_since = None;
                    }
                    self.settle_or_retry(now, index, settled);
                }
                ConnectionEvent::Answered => {
                    self.links[index].answered = true;
                    self.links[index].silent = false;
                    self.backoff.succeeded();
                    self.not_before = None;
                    self.waiting_since = None;
                    self.credential_taken(id);
                }
                ConnectionEvent::Silent => self.note_silence(now, index),
                ConnectionEvent::Retired => self.links[index].taking = false,
                ConnectionEvent::Warning(warning) => self.events.push_back(SessionEvent::Warning { link: id, warning }),
                ConnectionEvent::TokenWanted => self.events.push_back(SessionEvent::TokenWanted { link: id }),
                ConnectionEvent::Returned(unsettled) => {
                    // Another one is tried next: what is wrong may be wrong with this one alone.
                    let last = matches!(unsettled.fate, Fate::CredentialRefused { renewed: false, .. });
                    if let Fate::CredentialRefused { refusal, renewed } = &unsettled.fate {
                        self.credential_refused(now, id, refusal.clone(), *renewed);
                    }
                    match self.again(now, unsettled) {
                        Some(submission) if last => self.backlog.push_back(submission),
                        Some(submission) => self.backlog.push_front(submission),
                        None => {}
                    }
                }
                ConnectionEvent::Closed(closed) => {
                    let state = &mut self.links[index].state;
                    // It may have something left to write: why it ended, for the peer.
                    *state = match std::mem::replace(state, LinkState::Over(None)) {
                        LinkState::Open(connection) => LinkState::Over(Some(connection)),
                        LinkState::Dialling | LinkState::Over(_) => LinkState::Over(None),
                    };
                    self.links[index].taking = false;
                    self.on_closed(now, id, self.links[index].answered, closed);
                }
            }
        }
    }

    /// All events were taken: a connection that kept some to itself may go on.
    pub(super) fn collect_the_rest(&mut self) {
        if let Some(now) = self.latest
            && std::mem::take(&mut self.more)
        {
            (0..self.links.len()).for_each(|index| self.collect(now, index));
            self.advance(now);
        }
    }

    /// A service that lets us in and never says a word is no connection: patience runs, while one after the other is tried.
    fn note_silence(&mut self, now: Now, index: usize) {
        self.links[index].silent = true;
        self.last_failure = Some(Arc::from(CloseReason::NoAnswer.to_string()));
        self.waiting_since.get_or_insert(now.instant);
    }

    /// A refusal that the retry policy wants sent again is held until its time; anything else is the end.
    pub(super) fn settle_or_retry(&mut self, now: Now, index: usize, mut settled: Settled<K, P::Message>) {
        let sending = self.stopped.is_none() && self.phase == Phase::Running && !self.held.is_full();
        let decision = match &settled.outcome {
            Outcome::Rejected(rejection) if sending => {
                let elapsed =
                    settled.since.map_or(Duration::ZERO, |since| now.instant.saturating_duration_since(since));
                let seed = self.config.seed().wrapping_add(self.retries_decided);
                self.config.retry().decide(rejection, settled.retries, elapsed, seed)
            }
            _ => RetryDecision::GiveUp,
        };
        let RetryDecision::Again { wait, route } = decision else {
            return self.tell(settled);
        };
        let (Some(notification), Outcome::Rejected(rejection)) = (settled.returned.take(), &settled.outcome) else {
            return self.tell(settled);
        };
        self.retries_decided += 1;
        let submission = Submission {
            attempts: settled.attempts,
            replays: settled.replays,
            retries: settled.retries + 1,
            since: settled.since,
            ..Submission::new(settled.key, *notification)
        };
        // No proof waits for what is held.
        self.proofs.settled(settled.mark);
        self.held.push(later(now.instant, wait), submission, rejection.clone());
        if let (LinkState::Open(connection), RetryRoute::NewConnection | RetryRoute::NewToken) =
            (&mut self.links[index].state, route)
        {
            connection.drain(now, None);
        }
    }

    pub(super) fn on_closed(&mut self, now: Now, id: LinkId, answered: bool, closed: Closed<K, P::Message>) {
        let Closed { reason, unsettled } = closed;
        let mut again = VecDeque::with_capacity(unsettled.len());
        let mut report = LinkReport { link: id, reason: reason.clone(), sent_again: 0, unknown: 0 };
        for one in unsettled {
            match self.again(now, one) {
                Some(submission) => again.push_back(submission),
                None => report.unknown += 1,
            }
        }
        report.sent_again = again.len();
        again.append(&mut self.backlog);
        self.backlog = again;
        self.events.push_back(SessionEvent::Closed(report));

        if self.note_ending(now, id, &reason) {
            return;
        }
        match &reason {
            CloseReason::Finished | CloseReason::ClosedHere => {}
            _ if answered => {}
            _ => self.failed(now, Arc::from(reason.to_string())),
        }
    }

    /// Decides whether what a connection gave back is sent again; if not, settles it.
    pub(super) fn again(&mut self, now: Now, unsettled: Unsettled<K, P::Message>) -> Option<Submission<K, P::Message>> {
        let Unsettled { mut submission, fate } = unsettled;
        let cause = match fate {
            Fate::NotWritten | Fate::Discarded | Fate::CredentialRefused { .. } => return Some(submission),
            Fate::Suspected(cause) => cause,
            Fate::Unknown(cause) => match self.config.loss_policy() {
                LossPolicy::Report => cause,
                LossPolicy::Resend { .. } if submission.notification.expiration().has_passed(now.wall) => cause,
                LossPolicy::Resend { at_most } if submission.replays < at_most => {
                    submission.replays += 1;
                    return Some(submission);
                }
                LossPolicy::Resend { at_most: 0 } => cause,
                LossPolicy::Resend { .. } => UnknownCause::ReplaysExhausted { replays: submission.replays },
            },
        };
        self.settle(submission, Outcome::Unknown { cause });
        None
    }

    pub(super) fn settle(&mut self, submission: Submission<K, P::Message>, outcome: Outcome) {
        self.tell(submission.settle(outcome));
    }

    pub(super) fn settle_unsent(&mut self, submission: Submission<K, P::Message>, outcome: Outcome) {
        self.tell(submission.settle_unsent(outcome));
    }

    #[inline]
    fn tell(&mut self, settled: Settled<K, P::Message>) {
        self.proofs.settled(settled.mark);
        self.events.push_back(SessionEvent::Settled(settled));
    }

    /// An attempt came to nothing.
    pub(super) fn failed(&mut self, now: Now, why: Arc<str>) {
        self.not_before = Some(later(now.instant, self.backoff.failed()));
        self.last_failure = Some(why);
    }

    /// Nothing more is sent.
    pub(super) fn stop(&mut self, cause: NotSentCause) {
        self.stopped = Some(cause.clone());
        self.events.push_back(SessionEvent::Stopped { cause });
    }

    pub(super) fn end_backlog_unsent(&mut self, cause: &NotSentCause) {
        while let Some(submission) = self.backlog.pop_front() {
            self.settle_unsent(submission, Outcome::NotSent { cause: cause.clone() });
        }
    }

    /// Nobody waits for ever for a connection that does not come.
    pub(super) fn give_up(&mut self) {
        let why = self.last_failure.clone().unwrap_or_else(|| Arc::from("no attempt has succeeded yet"));
        self.waiting_since = None;
        self.end_backlog_unsent(&NotSentCause::NoConnection(why.clone()));
        self.events.push_back(SessionEvent::GaveUp { why });
    }

    /// What proofs wait for whose time is over gets an outcome now. The rest goes on.
    pub(super) fn end_overdue_proofs(&mut self, now: Now) {
        let Some(mark) = self.proofs.overdue(now.instant) else { return };
        for index in 0..self.links.len() {
            let Link { state: LinkState::Open(connection), oldest, .. } = &mut self.links[index] else { continue };
            if *oldest < mark {
                connection.give_up(now, mark);
                self.collect(now, index);
            }
        }
        let cause = match &self.last_failure {
            Some(why) if !self.has_working_link() => NotSentCause::NoConnection(why.clone()),
            _ => NotSentCause::OutOfTime,
        };
        for submission in std::mem::take(&mut self.backlog) {
            if submission.mark < mark {
                self.settle_unsent(submission, Outcome::NotSent { cause: cause.clone() });
            } else {
                self.backlog.push_back(submission);
            }
        }
        if self.backlog.is_empty() && !self.wanted {
            self.links.retain(|link| !matches!(link.state, LinkState::Dialling));
        }
    }

    /// The time allowed is over: whatever has no outcome gets one now.
    pub(super) fn settle_all(&mut self, now: Now) {
        let cause = self.not_sending().unwrap_or(NotSentCause::Closed);
        for index in 0..self.links.len() {
            if let LinkState::Open(connection) = &mut self.links[index].state {
                connection.close(now);
                self.collect(now, index);
            }
        }
        self.links.retain(|link| !matches!(link.state, LinkState::Dialling));
        self.end_backlog_unsent(&cause);
        self.settle_held();
    }

    /// What was to be sent again later ends with the refusal it has.
    pub(super) fn settle_held(&mut self) {
        while let Some(settled) = self.held.pop() {
            self.events.push_back(SessionEvent::Settled(settled));
        }
    }

    /// The same for what cannot be sent again in time; with no deadline nothing is waited for.
    pub(super) fn settle_held_beyond(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return self.settle_held() };
        while let Some(settled) = self.held.pop_after(deadline) {
            self.events.push_back(SessionEvent::Settled(settled));
        }
    }
}
