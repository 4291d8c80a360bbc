//! What the writer knows without asking the file.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{AppIndex, AppNumber, schema};
use crate::AppName;
use crate::outbox::Counts;
use crate::outbox::names::Names;

/// Rows are reserved in blocks, so that not every commit has to keep the next number. What is left of a block when the
/// process ends is never used.
pub(super) const BLOCK: i64 = 10_000;

/// Counts by app and in all.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) all: Counts,
    pub(super) by_app: HashMap<AppNumber, Counts>,
    pub(super) apps: AppIndex,
    /// How often something was committed.
    pub(super) commits: u64,
}

/// The writer's books. They are put back when a commit fails.
#[derive(Debug, Clone)]
pub(super) struct Books {
    pub(super) names: Names,
    pub(super) next_row: i64,
    /// Rows below this are reserved.
    pub(super) reserved: i64,
    pub(super) totals: Totals,
    /// A commit failed, and nothing of some size was stored since.
    pub(super) troubled: bool,
}

impl Books {
    /// From the file.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let names = Names::new(schema::number(connection, "tag")?.unwrap_or_default().cast_unsigned());
        let next_row = schema::number(connection, "next_row")?.unwrap_or(1);
        let mut totals = Totals::default();
        let mut apps = connection.prepare("SELECT number, name FROM app")?;
        let mut rows = apps.query([])?;
        while let Some(row) = rows.next()? {
            // A name that is none any more belongs to no app that could ask for it.
            if let Ok(name) = AppName::new(row.get::<_, String>(1)?) {
                totals.apps.insert(name, row.get(0)?);
            }
        }
        let mut pending =
            connection.prepare("SELECT app, state, count(*), total(length(body)) FROM pending GROUP BY app, state")?;
        let mut rows = pending.query([])?;
        while let Some(row) = rows.next()? {
            let count: u64 = row.get::<_, i64>(2)?.try_into().unwrap_or_default();
            let bytes = row.get::<_, f64>(3)? as u64;
            let (waiting, in_flight) = if row.get::<_, i64>(1)? == 0 { (count, 0) } else { (0, count) };
            let counts = Counts { waiting, in_flight, bytes };
            add(&mut totals.all, counts);
            add(totals.by_app.entry(row.get(0)?).or_default(), counts);
        }
        Ok(Self { names, next_row, reserved: next_row, totals, troubled: false })
    }

    /// How much there is of an app.
    pub(super) fn of(&self, app: AppNumber) -> Counts {
        self.totals.by_app.get(&app).copied().unwrap_or_default()
    }

    /// Some came in.
    pub(super) fn came(&mut self, app: AppNumber, count: u64, bytes: u64) {
        self.each(app, |counts| {
            counts.waiting += count;
            counts.bytes += bytes;
        });
    }

    /// Some went from waiting to in flight.
    pub(super) fn claimed_some(&mut self, app: AppNumber, count: u64) {
        self.each(app, |counts| {
            counts.waiting = counts.waiting.saturating_sub(count);
            counts.in_flight += count;
        });
    }

    /// Some went from in flight to waiting.
    pub(super) fn put_back_some(&mut self, app: AppNumber, count: u64) {
        self.each(app, |counts| {
            counts.in_flight = counts.in_flight.saturating_sub(count);
            counts.waiting += count;
        });
    }

    /// One that was in flight ended.
    pub(super) fn settled_one(&mut self, app: AppNumber, bytes: u64) {
        self.each(app, |counts| {
            counts.in_flight = counts.in_flight.saturating_sub(1);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        });
    }

    /// One that waited ended.
    pub(super) fn ended_waiting(&mut self, app: AppNumber, bytes: u64) {
        self.each(app, |counts| {
            counts.waiting = counts.waiting.saturating_sub(1);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        });
    }

    fn each(&mut self, app: AppNumber, change: impl Fn(&mut Counts)) {
        change(&mut self.totals.all);
        change(self.totals.by_app.entry(app).or_default());
    }
}

fn add(sum: &mut Counts, more: Counts) {
    sum.waiting += more.waiting;
    sum.in_flight += more.in_flight;
    sum.bytes += more.bytes;
}
