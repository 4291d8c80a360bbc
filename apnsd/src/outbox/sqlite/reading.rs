//! Readers of outcomes, and what they miss.

use std::collections::{BTreeSet, HashMap};

use apns_proto::WallTime;
use rusqlite::{OptionalExtension, Params, params};

use super::read::{View, app_name, cursor, limited, parse_record, place};
use super::write::{Done, Work, millis, span, time};
use super::{AppNumber, failed};
use crate::AppName;
use crate::outbox::reading::{COUNTED, UNUSED};
use crate::outbox::search::RANGE_BITS;
use crate::outbox::{Backlog, Cursor, OutcomeRecord, ReadFrom, Unread};

impl Work<'_> {
    pub(super) fn begin_reading(&mut self, app: &AppName, reader: &str, from: ReadFrom, now: WallTime) -> Done<()> {
        let begin = match from {
            ReadFrom::Newest => {
                "SELECT max(forgotten, coalesce((SELECT max(place) FROM outcome WHERE app = ?1), 0)) FROM app WHERE number = ?1"
            }
            ReadFrom::Beginning => {
                "SELECT coalesce((SELECT min(place) - 1 FROM outcome WHERE app = ?1), forgotten) FROM app WHERE number = ?1"
            }
        };
        let mut note = || {
            let number = self.number_of(app)?;
            let used = "UPDATE reader SET used_at = ?3 WHERE app = ?1 AND name = ?2";
            if self.connection.prepare_cached(used)?.execute(params![number, reader, millis(now)])? > 0 {
                return Ok(());
            }
            let place: i64 = self.connection.prepare_cached(begin)?.query_row([number], |row| row.get(0))?;
            self.connection
                .prepare_cached("INSERT INTO reader (app, name, place, used_at) VALUES (?, ?, ?, ?)")?
                .execute(params![number, reader, place, millis(now)])?;
            Ok(())
        };
        note().map_err(|error: rusqlite::Error| failed(&error))
    }

    /// Forgets outcomes and the marks of their rows, notes for their readers up to where, and says how many there were.
    pub(super) fn forget_outcomes(&self, delete: &str, params: impl Params) -> rusqlite::Result<usize> {
        let mut count = 0;
        let mut last: HashMap<AppNumber, i64> = HashMap::new();
        let mut ranges = BTreeSet::new();
        let mut delete = self.connection.prepare_cached(delete)?;
        let mut rows = delete.query(params)?;
        while let Some(row) = rows.next()? {
            count += 1;
            let (app, place): (AppNumber, i64) = (row.get(0)?, row.get(1)?);
            let last = last.entry(app).or_insert(place);
            *last = place.max(*last);
            ranges.insert(row.get::<_, i64>(2)? >> RANGE_BITS);
        }
        let mut marks = self.connection.prepare_cached(
            "DELETE FROM mark WHERE range = ? AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.row = mark.row)
             AND NOT EXISTS (SELECT 1 FROM pending WHERE pending.row = mark.row)",
        )?;
        for range in ranges {
            marks.execute([range])?;
        }
        let mut note =
            self.connection.prepare_cached("UPDATE app SET forgotten = max(forgotten, ?2) WHERE number = ?1")?;
        for (app, place) in last {
            note.execute([app, place])?;
        }
        Ok(count)
    }

    /// Forgets the places of readers that are not there any more.
    pub(super) fn forget_readers(&self, now: WallTime) -> rusqlite::Result<()> {
        let oldest = millis(now).saturating_sub(span(self.bounds.outcomes.max(UNUSED)));
        self.connection.prepare_cached("DELETE FROM reader WHERE used_at < ?")?.execute([oldest])?;
        Ok(())
    }
}

impl View<'_> {
    pub(super) fn unread_outcomes(
        &self,
        app: &AppName,
        reader: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Done<Option<Unread>> {
        let after = after.map(place).transpose()?.unwrap_or_default();
        type Found = (i64, i64, Vec<(i64, String)>);
        let read = || -> rusqlite::Result<Option<Found>> {
            // One state of the file: what is forgotten in between is either among the rows or noted as forgotten.
            let transaction = self.connection.unchecked_transaction()?;
            let stands = transaction
                .prepare_cached(
                    "SELECT number, place, forgotten FROM reader JOIN app ON number = app
                     WHERE app.name = ? AND reader.name = ? AND used_at IS NOT NULL",
                )?
                .query_row(params![app.as_str(), reader], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((number, place, forgotten)): Option<(AppNumber, i64, i64)> = stands else { return Ok(None) };
            let after = after.max(place);
            let mut select = transaction.prepare_cached(
                "SELECT place, record FROM outcome WHERE app = ? AND place > ? ORDER BY place LIMIT ?",
            )?;
            let rows = select
                .query_map(params![number, after, limited(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some((after, forgotten, rows)))
        };
        let Some((after, forgotten, rows)) = read().map_err(|error| failed(&error))? else { return Ok(None) };
        let outcomes: Done<Vec<(Cursor, OutcomeRecord)>> =
            rows.into_iter().map(|(place, record)| Ok((cursor(place), parse_record(&record)?))).collect();
        let forgotten = (forgotten > after).then(|| cursor(forgotten));
        Ok(Some(Unread { after: cursor(after), forgotten, outcomes: outcomes? }))
    }

    pub(super) fn backlog(&self, app: &AppName, reader: &str) -> Done<Option<Backlog>> {
        let count = || {
            self.connection
                .prepare_cached(
                    "SELECT (SELECT count(*) FROM
                        (SELECT 1 FROM outcome AS o WHERE o.app = number AND o.place > reader.place LIMIT ?3)),
                     (SELECT at FROM outcome AS o WHERE o.app = number AND o.place > reader.place ORDER BY o.place LIMIT 1)
                     FROM reader JOIN app ON number = app
                     WHERE app.name = ?1 AND reader.name = ?2 AND used_at IS NOT NULL",
                )?
                .query_row(params![app.as_str(), reader, COUNTED], |row| {
                    let outcomes = row.get::<_, i64>(0)?.try_into().unwrap_or_default();
                    Ok(Backlog { outcomes, oldest: row.get::<_, Option<i64>>(1)?.map(time) })
                })
                .optional()
        };
        count().map_err(|error| failed(&error))
    }

    pub(super) fn readers(&self) -> Done<Vec<(AppName, String)>> {
        let read = || -> rusqlite::Result<Vec<(AppName, String)>> {
            let mut select = self.connection.prepare_cached(
                "SELECT app.name, reader.name FROM reader JOIN app ON number = app WHERE used_at IS NOT NULL",
            )?;
            select.query_map([], |row| Ok((app_name(row, 0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|error| failed(&error))
    }
}
