//! Moving everything as far as it goes without news from outside.

use super::{Link, LinkId, LinkState, Phase, Protocol, Session, SessionEvent};
use crate::{Connection, NotSentCause, Now, Outcome, Submission, SubmitError};

impl<P: Protocol<K>, K> Session<P, K> {
    /// Moves everything as far as it goes without news from outside.
    pub(super) fn advance(&mut self, now: Now) {
        if let Some(why) = self.stopped.clone() {
            self.not_send_backlog(&NotSentCause::Stopped(why));
            self.settle_held();
        }
        self.fill(now);
        if self.unsettled() == 0 {
            self.waiting_since = None;
        } else if self.waiting_since.is_none() && !self.backlog.is_empty() && !self.has_open_link() {
            self.waiting_since = Some(now.instant);
        }
        if self.wants_link() && self.not_before.is_none_or(|time| time <= now.instant) {
            self.not_before = None;
            let id = LinkId(self.next_link);
            self.next_link += 1;
            self.links.push(Link { id, state: LinkState::Dialling, taking: true, answered: false });
            self.events.push_back(SessionEvent::Dial { link: id });
        }
        self.advance_proof(now);
        self.advance_closing(now);
    }

    /// The short way of a submission, when nothing waits and nothing ends: to the connection that takes, if it has room.
    /// Gives it back where there is more to do.
    pub(super) fn pass_on(&mut self, now: Now, submission: Submission<K>) -> Option<Submission<K>> {
        let plain = self.can_submit() && !submission.notification.expiration().has_passed(now.wall);
        let taking = self.links.iter_mut().find(|link| link.taking);
        match taking.map(|link| &mut link.state) {
            Some(LinkState::Open(connection)) if plain && connection.has_room() => {
                connection.submit(now, submission).err().map(|refused| refused.submission)
            }
            _ => Some(submission),
        }
    }

    /// Hands the backlog to the connection that takes.
    pub(super) fn fill(&mut self, now: Now) {
        while let Some(index) = self.links.iter().position(|link| link.taking) {
            let LinkState::Open(connection) = &mut self.links[index].state else { return };
            if self.backlog.is_empty() {
                return;
            }
            if !connection.has_room() {
                // Also when no other may be opened yet: its proof comes sooner than the quiet time.
                if let LinkState::Open(connection) = &mut self.links[index].state {
                    connection.make_room(now);
                }
                self.collect(now, index);
                if self.links[index].taking {
                    return;
                }
                continue;
            }
            let Some(submission) = self.backlog.pop_front() else { return };
            if submission.notification.expiration().has_passed(now.wall) {
                self.settle_unsent(submission, Outcome::Expired);
                continue;
            }
            let Err(refused) = connection.submit(now, submission) else { continue };
            match refused.cause {
                SubmitError::Invalid(invalid) => {
                    let cause = NotSentCause::Invalid(invalid);
                    self.settle_unsent(refused.submission, Outcome::NotSent { cause });
                }
                SubmitError::Retired => {
                    self.backlog.push_front(refused.submission);
                    self.links[index].taking = false;
                }
                SubmitError::Full => {
                    self.backlog.push_front(refused.submission);
                    return;
                }
            }
        }
    }

    pub(super) fn advance_proof(&mut self, now: Now) {
        let Some(proof) = self.proof_wanted else { return };
        if let Some(deadline) = proof.deadline {
            self.settle_held_beyond(Some(deadline));
        }
        if !self.backlog.is_empty() || self.held.len() > 0 {
            return;
        }
        for index in 0..self.links.len() {
            if let LinkState::Open(connection) = &mut self.links[index].state {
                connection.prove(now, proof.deadline);
                self.collect(now, index);
            }
        }
        if self.unsettled() == 0 && self.backlog.is_empty() {
            self.proof_wanted = None;
            self.events.push_back(SessionEvent::Proven);
        }
    }

    pub(super) fn advance_closing(&mut self, now: Now) {
        let Phase::Closing { deadline } = self.phase else { return };
        self.settle_held_beyond(deadline);
        if !self.backlog.is_empty() || self.held.len() > 0 {
            return;
        }
        self.links.retain(|link| !matches!(link.state, LinkState::Dialling));
        for index in 0..self.links.len() {
            if let LinkState::Open(connection) = &mut self.links[index].state {
                connection.drain(now, deadline);
                self.collect(now, index);
            }
        }
        if self.backlog.is_empty() && self.links_in_use() == 0 {
            self.phase = Phase::Finished;
            self.events.push_back(SessionEvent::Finished);
        }
    }
}
