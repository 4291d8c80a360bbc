//! Notifications are looked for by their marks, or by time.

use apns_proto::WallTime;
use rusqlite::{OptionalExtension as _, Row, params};

use super::read::{View, parse_record, tag};
use super::write::{Done, millis, time};
use super::{AppNumber, failed};
use crate::outbox::search::{LOOK, Looked, Plan, RANGE_BITS, Spot, first, ranges};
use crate::outbox::{Cursor, Found, OutboxError, State, Tracked, Tries};
use crate::{AppName, NotificationId, Tag};

/// A row that has not ended.
struct PendingRow {
    row: i64,
    app: AppNumber,
    tag: Option<Tag>,
    state: State,
}

const PENDING: &str = "row, app, state, due, accepted_at, attempts, replays, retries, tag";

impl PendingRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let accepted_at = time(row.get(4)?);
        let tries = Tries { attempts: row.get(5)?, replays: row.get(6)?, retries: row.get(7)? };
        let state = match row.get::<_, i64>(2)? {
            0 => State::Waiting { accepted_at, due: time(row.get(3)?), tries },
            _ => State::InFlight { accepted_at, tries },
        };
        Ok(Self { row: row.get(0)?, app: row.get(1)?, tag: tag(row, 8)?, state })
    }
}

/// A row that has ended.
struct EndedRow {
    place: i64,
    app: AppNumber,
    at: WallTime,
    record: String,
}

const ENDED: &str = "place, app, at, record";

impl EndedRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { place: row.get(0)?, app: row.get(1)?, at: time(row.get(2)?), record: row.get(3)? })
    }
}

/// Whose notifications are looked for.
struct Of<'a> {
    app: &'a AppName,
    number: AppNumber,
    plan: &'a Plan,
}

impl View<'_> {
    /// One step of a search.
    pub(super) fn search(&self, app: &AppName, plan: &Plan, after: &Cursor, limit: usize) -> Done<Found> {
        let spot = plan.spot(after)?;
        let number = self
            .connection
            .prepare_cached("SELECT number FROM app WHERE name = ?")
            .and_then(|mut select| select.query_row([app.as_str()], |row| row.get::<_, AppNumber>(0)).optional());
        let Some(number) = number.map_err(|error| failed(&error))? else { return Ok(Found::default()) };
        let of = Of { app, number, plan };
        let fails = |error: rusqlite::Error| failed(&error);
        let (notifications, below) = match spot {
            Spot::Named => (self.named(&of)?, None),
            Spot::Marked(below) => {
                let looked = self.marked_below(plan, below).map_err(fails)?;
                first(looked, limit, |row| *row, |row| self.by_row(&of, row))?
            }
            Spot::Pending(below) if plan.wants_pending() => {
                let looked = self.pending_below(below).map_err(fails)?;
                first(looked, limit, |one| one.row, |one| Ok::<_, OutboxError>(self.tracked(&of, one)))?
            }
            Spot::Ended(below) if plan.wants_ended() => {
                let looked = self.ended_below(number, plan, below).map_err(fails)?;
                first(looked, limit, |one| one.place, |one| ended(&of, &one))?
            }
            Spot::Pending(_) | Spot::Ended(_) => (Vec::new(), None),
        };
        let next = below.map(|below| spot.below(below)).or_else(|| plan.behind(spot));
        Ok(Found { notifications, next: next.map(Spot::cursor) })
    }

    fn tracked(&self, of: &Of<'_>, pending: PendingRow) -> Option<Tracked> {
        let PendingRow { row, app, tag, state } = pending;
        let meant = app == of.number && of.plan.takes_pending(&state);
        meant.then(|| Tracked { id: self.names.name(row), app: of.app.clone(), tag, state })
    }

    /// What stands in a row, where it is meant.
    fn by_row(&self, of: &Of<'_>, row: i64) -> Done<Option<Tracked>> {
        // In this order: what is settled between the two questions is found by the second one.
        let pending = self
            .connection
            .prepare_cached(&format!("SELECT {PENDING} FROM pending WHERE row = ?"))
            .and_then(|mut select| select.query_row([row], PendingRow::read).optional());
        if let Some(pending) = pending.map_err(|error| failed(&error))? {
            return Ok(self.tracked(of, pending));
        }
        if !of.plan.wants_ended() {
            return Ok(None);
        }
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {ENDED} FROM outcome WHERE row = ?"))
            .and_then(|mut select| select.query_row([row], EndedRow::read).optional());
        found.map_err(|error| failed(&error))?.map_or(Ok(None), |one| ended(of, &one))
    }

    /// What has the `apns-id` as its name.
    fn named(&self, of: &Of<'_>) -> Done<Vec<Tracked>> {
        let row = of.plan.name().and_then(|id| self.names.row(NotificationId::from_bytes(*id.as_bytes())));
        let Some(row) = row else { return Ok(Vec::new()) };
        if !self.has_marks(row, of.plan.marks_of_named()).map_err(|error| failed(&error))? {
            return Ok(Vec::new());
        }
        Ok(self.by_row(of, row)?.into_iter().collect())
    }

    fn has_marks(&self, row: i64, marks: &[i64]) -> rusqlite::Result<bool> {
        let mut has = self.connection.prepare_cached("SELECT 1 FROM mark WHERE range = ? AND mark = ? AND row = ?")?;
        for mark in marks {
            if !has.exists([row >> RANGE_BITS, *mark, row])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows that have all marks, range by range.
    fn marked_below(&self, plan: &Plan, below: i64) -> rusqlite::Result<Looked<i64>> {
        let Some((mark, others)) = plan.marks() else { return Ok((Vec::new(), None)) };
        // What has not ended are the latest rows, as a rule.
        let extent = if plan.wants_ended() {
            "SELECT (SELECT range FROM mark ORDER BY range LIMIT 1) << ?1,
                ((SELECT range FROM mark ORDER BY range DESC LIMIT 1) << ?1) + (1 << ?1) - 1"
        } else {
            "SELECT (SELECT min(row) FROM pending), (SELECT max(row) FROM pending) WHERE ?1 > 0"
        };
        let extent: (Option<i64>, Option<i64>) =
            self.connection.prepare_cached(extent)?.query_row([RANGE_BITS], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(least), Some(most)) = extent else { return Ok((Vec::new(), None)) };
        let Some((from, to)) = ranges(below, (least, most)) else { return Ok((Vec::new(), None)) };
        let mut select = self.connection.prepare_cached(
            "SELECT row FROM mark WHERE range = ? AND mark = ? AND row < ? ORDER BY row DESC LIMIT ?",
        )?;
        let (mut found, mut looked) = (Vec::new(), 0);
        for range in (to..=from).rev() {
            for row in select.query_map([range, mark, below, LOOK - looked], |row| row.get(0))? {
                let row = row?;
                looked += 1;
                if self.has_marks(row, others)? {
                    found.push(row);
                }
                if looked == LOOK {
                    return Ok((found, Some(row)));
                }
            }
        }
        let end = to << RANGE_BITS;
        Ok((found, (end > least).then_some(end)))
    }

    fn pending_below(&self, below: i64) -> rusqlite::Result<Looked<PendingRow>> {
        let query = format!("SELECT {PENDING} FROM pending WHERE row < ? ORDER BY row DESC LIMIT ?");
        let mut select = self.connection.prepare_cached(&query)?;
        let rows: Vec<_> = select.query_map([below, LOOK], PendingRow::read)?.collect::<rusqlite::Result<_>>()?;
        let next = rows.last().filter(|_| is_full(&rows)).map(|one| one.row);
        Ok((rows, next))
    }

    fn ended_below(&self, app: AppNumber, plan: &Plan, below: i64) -> rusqlite::Result<Looked<EndedRow>> {
        // In the order of their places, which is that of their times but where a clock was set.
        let below = match plan.until() {
            Some(until) if below == i64::MAX => self.first_place_from(app, until)?,
            _ => below,
        };
        let query = format!("SELECT {ENDED} FROM outcome WHERE app = ? AND place < ? ORDER BY place DESC LIMIT ?");
        let mut select = self.connection.prepare_cached(&query)?;
        let rows: Vec<_> =
            select.query_map(params![app, below, LOOK], EndedRow::read)?.collect::<rusqlite::Result<_>>()?;
        let too_early = plan.since().is_some_and(|since| rows.iter().all(|one| one.at < since));
        let next = rows.last().filter(|_| is_full(&rows) && !too_early).map(|one| one.place);
        Ok((rows, next))
    }

    /// The first place of an outcome of this time or later, by halves: a place behind all where there is none.
    fn first_place_from(&self, app: AppNumber, time: WallTime) -> rusqlite::Result<i64> {
        let mut at = self
            .connection
            .prepare_cached("SELECT place, at FROM outcome WHERE app = ? AND place <= ? ORDER BY place DESC LIMIT 1")?;
        let mut at = |place: i64| -> rusqlite::Result<Option<(i64, i64)>> {
            at.query_row(params![app, place], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        // The place in question lies behind `low`, and not behind `high`.
        let (mut low, mut high) = (0, at(i64::MAX)?.map_or(0, |(place, _)| place) + 1);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match at(middle)? {
                Some((place, found)) if found >= millis(time) => high = place,
                _ => low = middle,
            }
        }
        Ok(high)
    }
}

fn is_full<T>(rows: &[T]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|found| found >= LOOK)
}

fn ended(of: &Of<'_>, ended: &EndedRow) -> Result<Option<Tracked>, OutboxError> {
    if ended.app != of.number || !of.plan.takes_ended(ended.at) {
        return Ok(None);
    }
    let record = parse_record(&ended.record)?;
    Ok(of.plan.takes_record(&record).then(|| Tracked::settled(record)))
}
