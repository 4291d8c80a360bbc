//! What is forgotten in its time, and what a clock that was set does.

use std::time::Duration;

use apns_proto::WallTime;
use rusqlite::params;

use super::failed;
use super::write::{Done, Work, millis, span};
use crate::outbox::route::any_route;

/// What is forgotten at most in one step.
const SWEEP: usize = 5000;

/// A time so far ahead is of a clock that was set back since.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// What an outcome takes up beside its record: the row, its places in two indexes, and a mark.
const OUTCOME_OVERHEAD: f64 = 85.0;

impl Work<'_> {
    pub(super) fn sweep(&mut self, now: WallTime) -> Done<bool> {
        let steps = [
            (
                "DELETE FROM gone WHERE found_at < ?1
                 AND place IN (SELECT place FROM gone WHERE found_at <= ?3 ORDER BY place LIMIT ?2)",
                self.bounds.gone_tokens,
            ),
            (
                "DELETE FROM key WHERE (app, key) IN
                 (SELECT app, key FROM key WHERE at < ?1 AND at <= ?3 ORDER BY at LIMIT ?2)",
                self.bounds.idempotency,
            ),
        ];
        let limit = i64::try_from(SWEEP).unwrap_or(i64::MAX);
        let future = millis(now).saturating_add(span(AHEAD));
        let oldest = |kept| millis(now).saturating_sub(span(kept));
        // In the order of their places, which is that of their times but where a clock was set. Those of the
        // future are passed over: they would be in the way of all behind them.
        let outcomes = "DELETE FROM outcome WHERE at < ?1
             AND place IN (SELECT place FROM outcome WHERE at <= ?3 ORDER BY place LIMIT ?2) RETURNING app, place, row";
        let gone = self.forget_outcomes(outcomes, params![oldest(self.bounds.outcomes), limit, future]);
        let mut more = gone.map_err(|error| failed(&error))? > SWEEP / 2;
        for (delete, kept) in steps {
            let gone = self
                .connection
                .prepare_cached(delete)
                .and_then(|mut delete| delete.execute(params![oldest(kept), limit, future]))
                .map_err(|error| failed(&error))?;
            // Also where some of those that were looked at are not old: more of them may stand behind.
            more |= gone > SWEEP / 2;
        }
        more |= self.forget_beyond_bytes().map_err(|error| failed(&error))?;
        self.forget_readers(now).map_err(|error| failed(&error))?;
        self.bring_forward(now).map_err(|error| failed(&error))?;
        Ok(more)
    }

    /// Forgets the oldest outcomes where all of them take up too much. Says whether there is more to do. Counted by how many
    /// there are and by the length of the last ones: looking at all would take longer the more there are.
    fn forget_beyond_bytes(&self) -> rusqlite::Result<bool> {
        let (count, length): (i64, f64) = self
            .connection
            .prepare_cached(
                "SELECT coalesce((SELECT max(place) FROM outcome) - (SELECT min(place) FROM outcome) + 1, 0),
                 coalesce((SELECT avg(length(record)) FROM (SELECT record FROM outcome ORDER BY place DESC LIMIT 500)), 0)",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let fit = self.bounds.outcome_bytes as f64 / (length + OUTCOME_OVERHEAD);
        let excess = (count as f64 - fit).ceil();
        if excess <= 0.0 {
            return Ok(false);
        }
        let limit = excess.min(SWEEP as f64) as i64;
        let forget = "DELETE FROM outcome WHERE place IN (SELECT place FROM outcome ORDER BY place LIMIT ?) \
                      RETURNING app, place, row";
        self.forget_outcomes(forget, params![limit])?;
        Ok(excess > SWEEP as f64)
    }

    /// What waits for a time waits for the same moment by the clock as it is now.
    pub(super) fn clock_set_back(&self, by: Duration, now: WallTime) -> Done<()> {
        let mut update = self
            .connection
            .prepare_cached(concat!(
                "UPDATE pending SET due = max(?2, due - ?3, coalesce(send_at, 0))
                 WHERE app = ?1 AND state = 0 AND due > ?2 AND ",
                any_route!()
            ))
            .map_err(|error| failed(&error))?;
        for app in self.books.totals.apps.values() {
            update.execute(params![app, millis(now), span(by)]).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// What was never refused was never put off, and is due at once, or when it is to be sent. A later time is of a clock that
    /// was set back since.
    fn bring_forward(&self, now: WallTime) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(concat!(
            "UPDATE pending SET due = max(?2, coalesce(send_at, 0))
             WHERE app = ?1 AND state = 0 AND due > ?2 AND due > coalesce(send_at, 0) AND retries = 0 AND ",
            any_route!()
        ))?;
        for app in self.books.totals.apps.values() {
            update.execute(params![app, millis(now)])?;
        }
        Ok(())
    }
}
