//! The one lane of an app, which the process that has the file open holds from the start and never loses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use apns_proto::{LossPolicy, WallTime};

use super::SqliteOutbox;
use crate::outbox::{Answer, Change, Claim, Cursor, Lane, Left, OutcomeRecord, Recovered, Routes, Share};
use crate::{AppName, NotificationId};

#[derive(Debug)]
pub(super) struct SqliteLane {
    pub(super) outbox: Arc<SqliteOutbox>,
    pub(super) app: AppName,
}

impl Lane for SqliteLane {
    fn recover(&self, policy: LossPolicy, now: WallTime) -> Answer<'_, Recovered> {
        let (outbox, app) = (&self.outbox, self.app.clone());
        let recovered = outbox.writer.ask(move |work| work.recover(&app, policy, now));
        Box::pin(async move {
            let (recovered, again) = recovered.await?;
            // That these left is of the process before. When they are claimed again, that is no longer said of them.
            let changes: Vec<Change> = again.into_iter().map(Change::Postpone).collect();
            self.changing(&changes);
            let rows = changes.iter().filter_map(|change| outbox.names.row(change.id()));
            outbox.sent.done(&outbox.sent.to_be_done(rows));
            Ok(recovered)
        })
    }

    fn claim_from(&self, shares: Vec<Share>, now: WallTime) -> Answer<'_, Claim> {
        let app = self.app.clone();
        self.outbox.writer.ask(move |work| work.claim(&app, &shares, now))
    }

    fn end_attempts(
        &self,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let app = self.app.clone();
        self.outbox.writer.ask(move |work| work.end_attempts(&app, routes, before, now))
    }

    fn leaving(&self, ids: &[NotificationId]) {
        let rows = ids.iter().filter_map(|id| self.outbox.names.row(*id)).collect();
        if self.outbox.sent.leaving(rows).is_err() {
            self.outbox.disown_sent();
        }
    }

    fn changing(&self, changes: &[Change]) {
        let rows = changes.iter().filter_map(|change| Some((self.outbox.names.row(change.id())?, change)));
        if self.outbox.sent.changing(rows).is_err() {
            self.outbox.disown_sent();
        }
    }

    fn change(&self, changes: Vec<Change>) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let outbox = &self.outbox;
        let row = |change: &Change| outbox.names.row(change.id());
        let otherwise = changes.iter().filter_map(|change| Some((row(change)?, change)));
        let otherwise: Vec<_> = otherwise.filter(|(row, change)| outbox.sent.says_otherwise(*row, change)).collect();
        if !otherwise.is_empty() && outbox.sent.changing(otherwise.into_iter()).is_err() {
            outbox.disown_sent();
        }
        let noted = outbox.sent.to_be_done(changes.iter().filter_map(row));
        let changed = outbox.writer.ask(move |work| work.change(changes));
        Box::pin(async move {
            let settled = changed.await?;
            outbox.sent.done(&noted);
            Ok(settled)
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn waiting(&self) -> u64 {
        self.outbox.writer.counts(Some(&self.app)).waiting
    }

    fn left(&self) -> Pin<Box<dyn Future<Output = Left> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn release(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
