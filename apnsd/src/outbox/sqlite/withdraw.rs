//! What waits is taken back: single notifications, or all that a selection means.

use std::sync::Arc;

use apns_proto::{Outcome, UnknownCause, WallTime};
use rusqlite::params;

use super::write::{Done, Pending, STEP, Work, millis};
use super::{AppNumber, failed};
use crate::outbox::outcome::abandoned;
use crate::outbox::{AppPause, Cursor, OutboxError, OutcomeRecord, Selection, Withdrawal, Withdrawn, decode};
use crate::{AppName, Tag};

/// A place in the order of what waits: by route, by time, then by row. What moves meanwhile moves towards the end, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    route: i64,
    due: i64,
    row: i64,
}

impl Place {
    const FIRST: Self = Self { route: 0, due: i64::MIN, row: 0 };

    fn read(cursor: &Cursor) -> Done<Self> {
        if cursor.as_str().is_empty() {
            return Ok(Self::FIRST);
        }
        let read = || {
            let (route, turn) = cursor.as_str().split_once(':')?;
            let (due, row) = turn.split_once(':')?;
            Some(Self { route: route.parse().ok()?, due: due.parse().ok()?, row: row.parse().ok()? })
        };
        read().ok_or_else(|| OutboxError::Cursor { cursor: cursor.as_str().chars().take(40).collect() })
    }

    fn cursor(self) -> Cursor {
        Cursor::new(format!("{}:{}:{}", self.route, self.due, self.row))
    }
}

impl Work<'_> {
    pub(super) fn withdraw(
        &mut self,
        app: &AppName,
        selection: &Selection,
        why: Withdrawal,
        after: &Cursor,
        now: WallTime,
    ) -> Done<Withdrawn> {
        let after = Place::read(after)?;
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(Withdrawn::default()) };
        let (found, next) = match &selection.ids {
            Some(ids) => {
                let rows: Vec<i64> = ids.iter().filter_map(|id| self.books.names.row(*id)).collect();
                (self.waiting_rows(number, &rows, selection), None)
            }
            None => match self.waiting_behind(number, after, selection) {
                Ok((found, next)) => (Ok(found), next),
                Err(error) => (Err(error), None),
            },
        };
        let found = found.map_err(|error| failed(&error))?;
        let settled = found
            .into_iter()
            .map(|pending| self.withdraw_one(app, number, &pending, why, now))
            .collect::<rusqlite::Result<_>>()
            .map_err(|error| failed(&error))?;
        Ok(Withdrawn { settled, next: next.map(Place::cursor) })
    }

    /// Those of these rows that wait.
    fn waiting_rows(&self, app: AppNumber, rows: &[i64], selection: &Selection) -> rusqlite::Result<Vec<Pending>> {
        let columns = Pending::COLUMNS;
        let query = format!("SELECT {columns}, body FROM pending WHERE row = ? AND app = ? AND state = 0");
        let mut select = self.connection.prepare_cached(&query)?;
        let mut found = Vec::new();
        for row in rows {
            let mut rows = select.query(params![row, app])?;
            let Some(row) = rows.next()? else { continue };
            let pending = Pending::read(row)?;
            if is_meant(&pending, row, selection)? {
                found.push(pending);
            }
        }
        Ok(found)
    }

    /// The first that wait behind this place and are meant, and the place behind all that were looked at.
    fn waiting_behind(
        &self,
        app: AppNumber,
        after: Place,
        selection: &Selection,
    ) -> rusqlite::Result<(Vec<Pending>, Option<Place>)> {
        let columns = Pending::COLUMNS;
        let body = if selection.looks_inside() { "body" } else { "NULL" };
        let query = format!(
            "SELECT {columns}, {body}, due, route FROM pending
             WHERE app = ?1 AND state = 0 AND (route, due, row) > (?2, ?3, ?4) ORDER BY route, due, row LIMIT ?5"
        );
        let mut select = self.connection.prepare_cached(&query)?;
        let mut rows = select.query(params![app, after.route, after.due, after.row, STEP])?;
        let (mut found, mut seen, mut last) = (Vec::new(), 0, after);
        while let Some(row) = rows.next()? {
            let pending = Pending::read(row)?;
            (seen, last) = (
                seen + 1,
                Place { route: row.get(Pending::WIDTH + 2)?, due: row.get(Pending::WIDTH + 1)?, row: pending.row },
            );
            if is_meant(&pending, row, selection)? {
                found.push(pending);
            }
        }
        Ok((found, (seen == STEP).then_some(last)))
    }

    fn withdraw_one(
        &mut self,
        app: &AppName,
        number: AppNumber,
        pending: &Pending,
        why: Withdrawal,
        now: WallTime,
    ) -> rusqlite::Result<(Cursor, OutcomeRecord)> {
        let words = match why {
            Withdrawal::Cancelled => "it was cancelled before it was sent",
            Withdrawal::Purged => "it was purged before it was sent",
        };
        let outcome = match pending.tries.replays {
            0 => abandoned(words),
            // A copy may have arrived.
            _ => Outcome::Unknown { cause: UnknownCause::ConnectionLost(words.into()) },
        };
        let ended = self.end_with(app, pending, &outcome, now, |record| record.with_withdrawal(why))?;
        self.books.ended_waiting(number, pending.bytes);
        Ok(ended)
    }

    pub(super) fn set_pause(&mut self, app: &AppName, pause: Option<&AppPause>) -> Done<()> {
        let mut set = || {
            let number = self.number_of(app)?;
            let since = pause.map(|pause| millis(pause.since));
            let reason = pause.and_then(|pause| pause.reason.as_deref());
            self.connection
                .prepare_cached("UPDATE app SET paused_at = ?, pause_reason = ? WHERE number = ?")?
                .execute(params![since, reason, number])
        };
        set().map(|_| ()).map_err(|error| failed(&error))
    }

    /// Which notifications these keys stand for.
    pub(super) fn by_keys(
        &self,
        app: &AppName,
        keys: &[Arc<str>],
        now: WallTime,
    ) -> Done<Vec<Option<crate::NotificationId>>> {
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(vec![None; keys.len()]) };
        let find = |key: &Arc<str>| Ok(self.known_key(number, key, millis(now))?.map(|row| self.books.names.name(row)));
        keys.iter().map(find).collect::<rusqlite::Result<_>>().map_err(|error| failed(&error))
    }
}

/// Whether the row is meant, whose notification stands behind its other columns. One that cannot be read is what no condition
/// on its content can be said of.
fn is_meant(pending: &Pending, row: &rusqlite::Row<'_>, selection: &Selection) -> rusqlite::Result<bool> {
    if !selection.takes_outside(pending.accepted_at, pending.tag.as_ref().map(Tag::as_str)) {
        return Ok(false);
    }
    if !selection.looks_inside() {
        return Ok(true);
    }
    let bytes = row.get_ref(Pending::WIDTH)?.as_bytes()?;
    Ok(decode(bytes).is_ok_and(|notification| selection.takes(&notification)))
}
