//! Notifications that ask for one attempt: what becomes of them where nobody can be reached.

use apns_proto::{Expiration, Notification, Now, WallTime};

use super::clocks;
use super::engine::{Asked, Engine, asked};
use crate::outbox::{Cursor, Lane, OutboxError, OutcomeRecord, Routes};

/// The attempts of one client.
pub(super) struct Attempts<'a> {
    engine: &'a Engine,
    lane: &'a dyn Lane,
    /// When a connection was last wanted in vain, while there was none.
    in_vain: Option<Now>,
    /// There may be some that wait although they had their attempt.
    over: bool,
    ending: Asked<'a, Vec<(Cursor, OutcomeRecord)>>,
}

impl<'a> Attempts<'a> {
    /// Those of an earlier process are over.
    pub(super) fn new(engine: &'a Engine, lane: &'a dyn Lane) -> Self {
        Self { engine, lane, in_vain: None, over: true, ending: None }
    }

    /// Nobody could be reached.
    pub(super) fn was_in_vain(&mut self) {
        self.in_vain = Some(clocks::both());
        self.over = true;
    }

    /// What was accepted before this has had its attempt: nobody could be reached for it, or the process that took it has
    /// ended. Where others store notifications as well, these are not older than what took them.
    fn before(&self) -> WallTime {
        let now = clocks::both();
        let begun = (!self.lane.is_shared()).then(|| clocks::by_present_clock(self.engine.begun, now).as_millis());
        // Times are kept in milliseconds, and the one of the attempt is over.
        let in_vain = self.in_vain.map(|at| clocks::by_present_clock(at, now).as_millis().saturating_add(1));
        WallTime::from_millis(begun.max(in_vain).unwrap_or_default())
    }

    /// Whether a notification asks for one attempt and had it.
    pub(super) fn had_its_own(&self, notification: &Notification, begun: WallTime) -> bool {
        notification.expiration() == Expiration::Immediately && begun < self.before()
    }

    /// Has those ended that had their attempt and wait on these routes.
    pub(super) fn end(&mut self, routes: impl FnOnce() -> Routes) {
        if self.ending.is_none() && std::mem::take(&mut self.over) {
            self.ending = Some(self.lane.end_attempts(routes(), self.before(), clocks::now()));
        }
    }

    /// Whether some are being ended.
    pub(super) const fn are_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Those that were ended.
    pub(super) async fn ended(&mut self) -> Result<Vec<(Cursor, OutcomeRecord)>, OutboxError> {
        let ended = asked(&mut self.ending).await;
        // There may be more, and a store that failed has ended none.
        self.over = ended.as_ref().map_or(true, |ended| !ended.is_empty());
        ended
    }
}
