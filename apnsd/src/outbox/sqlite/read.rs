//! What is read, beside the writer.

use std::sync::Arc;

use apns_proto::{DeviceToken, WallTime};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::write::{millis, time};
use super::{AppNumber, failed, places};
use crate::outbox::names::Names;
use crate::outbox::{
    AppPause, Cursor, FeedbackPage, GoneToken, OutboxError, OutcomeRecord, Routes, State, StoredApp, Tracked, Tries,
};
use crate::{AppName, NotificationId, Tag};

/// A time that never comes, in milliseconds: half of the range, so that sums of two stay inside.
pub(super) const LIKE_NEVER: i64 = i64::MAX / 2;

/// The connection of the thread that reads.
pub(super) struct View<'a> {
    pub(super) connection: &'a Connection,
    pub(super) names: Names,
}

type Done<T> = Result<T, OutboxError>;

/// A place in a table as a cursor.
pub(super) fn cursor(place: i64) -> Cursor {
    Cursor::new(place.to_string())
}

/// The place that a cursor stands for.
pub(super) fn place(cursor: &Cursor) -> Done<i64> {
    let refused = || OutboxError::Cursor { cursor: cursor.as_str().chars().take(40).collect() };
    match cursor.as_str() {
        "" => Ok(0),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| refused()),
        _ => Err(refused()),
    }
}

pub(super) fn parse_record(text: &str) -> Done<OutcomeRecord> {
    serde_json::from_str(text).map_err(|error| OutboxError::Failed(format!("an outcome cannot be read: {error}")))
}

impl View<'_> {
    fn number_of(&self, app: &AppName) -> rusqlite::Result<Option<AppNumber>> {
        let mut select = self.connection.prepare_cached("SELECT number FROM app WHERE name = ?")?;
        select.query_row([app.as_str()], |row| row.get(0)).optional()
    }

    pub(super) fn lookup(&self, ids: &[NotificationId]) -> Done<Vec<Option<Tracked>>> {
        ids.iter().map(|id| self.lookup_one(*id)).collect()
    }

    fn lookup_one(&self, id: NotificationId) -> Done<Option<Tracked>> {
        let Some(row) = self.names.row(id) else { return Ok(None) };
        // In this order: what is settled between the two questions is found by the second one.
        if let Some((app, tag, state)) = self.pending(row).map_err(|error| failed(&error))? {
            return Ok(Some(Tracked { id, app, tag, state }));
        }
        let record: Option<String> = self
            .connection
            .prepare_cached("SELECT record FROM outcome WHERE row = ?")
            .and_then(|mut select| select.query_row([row], |row| row.get(0)).optional())
            .map_err(|error| failed(&error))?;
        let Some(record) = record.as_deref().map(parse_record).transpose()? else { return Ok(None) };
        Ok(Some(Tracked::settled(record)))
    }

    fn pending(&self, row: i64) -> rusqlite::Result<Option<(AppName, Option<Tag>, State)>> {
        self.connection
            .prepare_cached(
                "SELECT app.name, state, due, accepted_at, attempts, replays, retries, tag FROM pending
                 JOIN app ON app.number = pending.app WHERE row = ?",
            )?
            .query_row([row], |row| {
                let accepted_at = time(row.get(3)?);
                let tries = Tries { attempts: row.get(4)?, replays: row.get(5)?, retries: row.get(6)? };
                let state = match row.get::<_, i64>(1)? {
                    0 => State::Waiting { accepted_at, due: time(row.get(2)?), tries },
                    _ => State::InFlight { accepted_at, tries },
                };
                Ok((app_name(row, 0)?, tag(row, 7)?, state))
            })
            .optional()
    }

    pub(super) fn outcomes(&self, app: &AppName, after: &Cursor, limit: usize) -> Done<Vec<(Cursor, OutcomeRecord)>> {
        let after = place(after)?;
        let read = || -> rusqlite::Result<Vec<(i64, String)>> {
            let Some(app) = self.number_of(app)? else { return Ok(Vec::new()) };
            let after = places::since_a_move(self.connection, "outcome", app, after)?;
            let mut select = self.connection.prepare_cached(
                "SELECT place, record FROM outcome WHERE app = ? AND place > ? ORDER BY place LIMIT ?",
            )?;
            let rows = select.query_map(params![app, after, limited(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let rows = read().map_err(|error| failed(&error))?;
        rows.into_iter().map(|(place, record)| Ok((cursor(place), parse_record(&record)?))).collect()
    }

    pub(super) fn newest_outcome(&self, app: &AppName) -> Done<Cursor> {
        let newest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(place) FROM outcome WHERE app = (SELECT number FROM app WHERE name = ?)")
            .and_then(|mut select| select.query_row([app.as_str()], |row| row.get(0)))
            .map_err(|error| failed(&error))?;
        Ok(newest.map(cursor).unwrap_or_default())
    }

    pub(super) fn gone(&self, app: &AppName, after: &Cursor, since: WallTime, limit: usize) -> Done<FeedbackPage> {
        self.gone_behind(app, place(after)?, since, limit).map_err(|error| failed(&error))
    }

    pub(super) fn unread(&self, app: &AppName, reader: &str, limit: usize) -> Done<FeedbackPage> {
        let read_upto: rusqlite::Result<Option<i64>> = self
            .connection
            .prepare_cached("SELECT place FROM reader WHERE app = (SELECT number FROM app WHERE name = ?) AND name = ?")
            .and_then(|mut select| select.query_row(params![app.as_str(), reader], |row| row.get(0)).optional());
        read_upto
            .and_then(|after| self.gone_behind(app, after.unwrap_or_default(), WallTime::EPOCH, limit))
            .map_err(|error| failed(&error))
    }

    fn gone_behind(&self, app: &AppName, after: i64, since: WallTime, limit: usize) -> rusqlite::Result<FeedbackPage> {
        let app = self.number_of(app)?;
        let after = app.map_or(Ok(after), |app| places::since_a_move(self.connection, "gone", app, after))?;
        let mut select = self.connection.prepare_cached(
            "SELECT place, token, topic, since, found_at, reason FROM gone
             WHERE app = ? AND place > ? AND found_at >= ? ORDER BY place LIMIT ?",
        )?;
        let mut rows = select.query(params![app, after, millis(since), limited(limit)])?;
        let mut last = after;
        let mut tokens = Vec::new();
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            // What is no token could not have been sent to.
            let Ok(token) = DeviceToken::from_bytes(row.get_ref(1)?.as_blob()?) else { continue };
            tokens.push(GoneToken {
                token,
                topic: row.get::<_, Option<String>>(2)?.map(Arc::from),
                since: row.get::<_, Option<i64>>(3)?.map(time),
                found_at: time(row.get(4)?),
                reason: row.get::<_, String>(5)?.into(),
            });
        }
        Ok(FeedbackPage { tokens, next: cursor(last) })
    }

    /// Of the first of each route in the order of their turns: what was put off stands behind, and may be older.
    pub(super) fn oldest_waiting(&self, app: &AppName) -> Done<Option<WallTime>> {
        let read = || {
            let mut select = self.connection.prepare_cached(
                "SELECT min(at) FROM (SELECT coalesce(send_at, accepted_at) AS at FROM pending
                 WHERE app = (SELECT number FROM app WHERE name = ?) AND route = ? AND state = 0
                 ORDER BY due, row LIMIT 1000)",
            )?;
            let mut oldest: Option<i64> = None;
            for route in Routes::ALL.numbers() {
                let of_route: Option<i64> = select.query_row(params![app.as_str(), route], |row| row.get(0))?;
                oldest = oldest.into_iter().chain(of_route).min();
            }
            Ok(oldest.map(time))
        };
        read().map_err(|error: rusqlite::Error| failed(&error))
    }

    pub(super) fn pauses(&self) -> Done<Vec<(AppName, AppPause)>> {
        let read = || -> rusqlite::Result<Vec<(AppName, AppPause)>> {
            let mut select = self
                .connection
                .prepare_cached("SELECT name, paused_at, pause_reason FROM app WHERE paused_at IS NOT NULL")?;
            let rows = select.query_map([], |row| {
                let reason = row.get::<_, Option<String>>(2)?.map(Arc::from);
                Ok((app_name(row, 0)?, AppPause { since: time(row.get(1)?), reason }))
            })?;
            rows.collect()
        };
        read().map_err(|error| failed(&error))
    }

    pub(super) fn kept_apps(&self) -> Done<Vec<StoredApp>> {
        let read = || -> rusqlite::Result<Vec<StoredApp>> {
            let mut select = self
                .connection
                .prepare_cached("SELECT name, definition FROM app WHERE definition IS NOT NULL ORDER BY name")?;
            let rows = select.query_map([], |row| {
                Ok(StoredApp { name: app_name(row, 0)?, definition: row.get::<_, String>(1)?.into() })
            })?;
            rows.collect()
        };
        read().map_err(|error| failed(&error))
    }
}

pub(super) fn app_name(row: &Row<'_>, column: usize) -> rusqlite::Result<AppName> {
    AppName::new(row.get::<_, String>(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}

/// A tag that is none any more cannot be asked for.
pub(super) fn tag(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Tag>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| Tag::new(text).ok()))
}

pub(super) fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
