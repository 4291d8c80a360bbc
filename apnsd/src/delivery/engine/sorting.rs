//! What a client run does with what it claimed: it is sent here, goes to the other environment, or waits for what another
//! notification finds out.

use apns_proto::{Notification, WallTime};
use apns_tokio::Delivery;
use tokio::sync::mpsc::error::TrySendError;

use super::client_run::ClientRun;
use crate::delivery::judge::{Judge, Judged, Ticket, knows_token};
use crate::delivery::router::{Step, other};
use crate::outbox::{Change, Route, Routes};

impl ClientRun<'_> {
    /// Takes a notification that was claimed.
    pub(super) fn take(&mut self, mut ticket: Ticket, notification: Notification, now: WallTime) {
        if self.feed.is_none() {
            self.changes.push(Judge::put_back(&ticket, now));
            return;
        }
        if notification.expiration().has_passed(now) {
            self.changes.push(self.judge.expired(&ticket, now));
            return;
        }
        let (token, step) = self.side.step(notification.token(), ticket.route);
        let guess = match (step, token) {
            (Step::Send { guess }, _) => guess,
            (Step::Elsewhere(route), _) => return self.changes.push(Judge::put_on(&ticket, route, now)),
            (Step::Behind, Some(token)) => {
                self.behind.entry(token).or_default().push((ticket, notification));
                self.waits_behind += 1;
                return;
            }
            (Step::Behind | Step::Later, _) => {
                self.side.engine.standing.note_probes(|probes| probes.held += 1);
                return self.changes.push(Judge::put_on(&ticket, Route::Probe, now));
            }
        };
        ticket.found_out = token.map(|token| (token, guess));
        if self.attempts.had_its_own(&notification, ticket.begun()) {
            self.note_answer(&ticket, None);
            self.changes.push(self.judge.expired(&ticket, now));
            return;
        }
        match self.feed.as_ref().map(|feed| feed.try_send((ticket, notification))) {
            Some(Ok(())) => self.under_way += 1,
            Some(Err(TrySendError::Full((ticket, _)) | TrySendError::Closed((ticket, _)))) => {
                self.note_answer(&ticket, None);
                self.changes.push(Judge::put_back(&ticket, now));
            }
            None => {}
        }
    }

    /// What becomes of a notification that was sent, and what its answer says of its device token.
    pub(super) fn judged(&mut self, ticket: &Ticket, delivery: &Delivery, now: WallTime) -> Judged {
        let there = other(self.side.to.environment);
        let nowhere = ticket.found_out.is_some_and(|(token, _)| self.side.router().is_unknown_to(token, there));
        self.note_answer(ticket, knows_token(&delivery.outcome));
        self.judge.sent(ticket, delivery, nowhere, now)
    }

    fn note_answer(&mut self, ticket: &Ticket, knows: Option<bool>) {
        let Some((token, guess)) = ticket.found_out else { return };
        let mut router = self.side.router();
        let before = router.likelier();
        router.answered(token, self.side.to.environment, knows, guess, std::time::Instant::now());
        self.hungry |= guess && router.held_back;
        let turned = router.likelier() != before;
        drop(router);
        if turned {
            self.hungry = true;
            self.side.wake_other();
        }
        if guess && knows == Some(false) {
            self.side.engine.standing.note_probes(|probes| probes.wrong += 1);
        }
    }

    /// What waited for the answer to this one goes where that says.
    pub(super) fn go_on_behind(&mut self, ticket: &Ticket, now: WallTime) {
        let Some((token, true)) = ticket.found_out else { return };
        for (ticket, notification) in self.behind.remove(&token).unwrap_or_default() {
            self.waits_behind -= 1;
            self.take(ticket, notification, now);
        }
    }

    /// What waits for an answer waits in the outbox.
    pub(super) fn put_back_all_behind(&mut self) {
        let now = crate::delivery::now();
        for (ticket, _) in std::mem::take(&mut self.behind).into_values().flatten() {
            self.changes.push(Judge::put_back(&ticket, now));
        }
        self.waits_behind = 0;
    }

    /// The other environment has to look what it may claim, and so has this one where guesses wait.
    pub(super) fn tell_of_routes(&self, written: &[Change]) {
        let moved = |change: &Change| match change {
            Change::Postpone(again) => Some(again.route),
            Change::Settle(_) => None,
        };
        let routes = written.iter().filter_map(moved).fold(Routes::default(), Routes::with);
        if routes == Routes::default() {
            return;
        }
        if routes.has(Route::Probe) {
            self.side.router().held_back = true;
        }
        if !self.side.app.has_both() && routes.meets(Routes::only_for(other(self.side.to.environment))) {
            self.side.shared.stranded.notify_one();
        }
        self.side.wake_other();
    }
}
