//! Moving everything as far as it goes without news from outside.

use super::{Link, LinkId, LinkState, Opener, Phase, Session, SessionEvent};
use crate::{Connection, Message, NotSentCause, Now, Outcome, Submission, SubmitError};

impl<P: Opener<K>, K> Session<P, K> {
    /// Moves everything as far as it goes without news from outside.
    pub(super) fn advance(&mut self, now: Now) {
        if let Some(cause) = self.stopped.clone() {
            self.end_backlog_unsent(&cause);
            self.settle_held();
        } else if let Some(cause) = self.refusing(now.instant).cloned() {
            self.end_backlog_unsent(&cause);
        }
        self.fill(now);
        if self.unsettled() == 0 {
            self.waiting_since = None;
        } else if self.waiting_since.is_none() && !self.backlog.is_empty() && !self.has_working_link() {
            self.waiting_since = Some(now.instant);
        }
        if self.wants_link() && self.may_dial(now) {
            self.not_before = None;
            if self.standing.begin() {
                self.waiting_since = Some(now.instant);
            }
            let id = LinkId(self.next_link);
            self.next_link += 1;
            self.links.push(Link {
                id,
                state: LinkState::Dialling,
                taking: true,
                answered: false,
                silent: false,
                oldest: 0,
                full: false,
            });
            self.events.push_back(SessionEvent::Dial { link: id });
        }
        self.advance_proofs(now);
        self.advance_closing(now);
    }

    /// The short way of a submission, when nothing waits and nothing ends: to the connection that takes, if it has room.
    /// Gives it back where there is more to do.
    pub(super) fn pass_on(
        &mut self,
        now: Now,
        submission: Submission<K, P::Message>,
    ) -> Option<Submission<K, P::Message>> {
        let plain = self.can_submit()
            && !self.standing.is_paused()
            && !submission.notification.expiration().has_passed(now.wall);
        let Some(link) = self.links.iter_mut().find(|link| link.taking) else { return Some(submission) };
        match &mut link.state {
            LinkState::Open(connection) if plain && connection.has_room() => {
                note_oldest(&mut link.oldest, connection, submission.mark);
                connection.submit(now, submission).err().map(|refused| refused.submission)
            }
            _ => Some(submission),
        }
    }

    /// Hands the backlog to the connection that takes.
    pub(super) fn fill(&mut self, now: Now) {
        while let Some(index) = self.links.iter().position(|link| link.taking) {
            let Link { state: LinkState::Open(connection), oldest, .. } = &mut self.links[index] else { return };
            // One at a time until the service has taken the credential.
            if self.backlog.is_empty() || (self.standing.is_paused() && connection.unsettled() > 0) {
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
                self.links[index].full = true;
                continue;
            }
            let Some(submission) = self.backlog.pop_front() else { return };
            if submission.notification.expiration().has_passed(now.wall) {
                self.settle_unsent(submission, Outcome::Expired);
                continue;
            }
            note_oldest(oldest, connection, submission.mark);
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

    /// Has the connections prove what open proofs wait for, once none of it waits for a connection.
    pub(super) fn advance_proofs(&mut self, now: Now) {
        if self.backlog.front().is_none_or(|first| !self.proofs.cover(first.mark)) {
            for index in 0..self.links.len() {
                let Link { state: LinkState::Open(connection), oldest, .. } = &mut self.links[index] else { continue };
                if self.proofs.cover(*oldest) && connection.unsettled() > 0 {
                    connection.prove(now, self.proofs.deadline_of(*oldest));
                    self.collect(now, index);
                }
            }
        }
        self.tell_proofs();
    }

    pub(super) fn tell_proofs(&mut self) {
        while self.proofs.pop_done() {
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

/// Follows the lowest mark that a connection may hold.
fn note_oldest<K, C: Connection<K>>(oldest: &mut u64, connection: &C, mark: u64) {
    *oldest = if connection.unsettled() == 0 { mark } else { mark.min(*oldest) };
}
