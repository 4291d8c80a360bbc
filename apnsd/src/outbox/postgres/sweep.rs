//! What is forgotten in its time, and what a clock that was set does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::WallTime;

use super::connections::{Link, Trouble};
use super::{AppNumber, Param, Shared, millis, schema, span};
use crate::outbox::OutboxError;
use crate::outbox::reading::UNUSED;
use crate::outbox::route::any_route;
use crate::outbox::search::RANGE_BITS;

/// What is forgotten at most in one step, of all apps together.
const SWEEP: i64 = 5000;

/// So many of each app are looked at in one step.
const LOOK: i64 = 1000;

/// A time so far ahead is of a clock that was set back since.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// What an outcome takes up beside its record: the row, its places in two indexes, and a mark.
const OUTCOME_OVERHEAD: f64 = 200.0;

/// A part of a sweep. Each is a transaction: one that fails takes nothing back of those before it.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Outcomes that are older than they are kept.
    Outcomes,
    /// What else is older than it is kept.
    Old { delete: &'static str, kept: Duration },
    /// Outcomes beyond their bytes.
    Bytes,
    /// What this store notes for itself.
    Notes,
    /// What waits for a time of a clock that was set back.
    Forward,
}

impl Shared {
    /// One node at a time.
    pub(super) async fn sweep(self: &Arc<Self>, now: WallTime) -> Result<bool, OutboxError> {
        let steps = [
            Step::Outcomes,
            Step::Old {
                delete: "DELETE FROM gone AS g USING (SELECT f.app, f.place FROM app AS a CROSS JOIN LATERAL
                    (SELECT app, place, found_at FROM gone WHERE app = a.number AND found_at <= $3 ORDER BY place LIMIT $4)
                    AS f WHERE f.found_at < $1 LIMIT $2) AS old WHERE g.app = old.app AND g.place = old.place",
                kept: self.bounds.gone_tokens,
            },
            Step::Old {
                delete: "DELETE FROM key AS k USING (SELECT app, key FROM key WHERE at < $1 AND at <= $3 ORDER BY at
                    LIMIT least($2::int8, $4::int8)) AS old WHERE k.app = old.app AND k.key = old.key AND k.at < $1",
                kept: self.bounds.idempotency,
            },
            Step::Bytes,
            Step::Notes,
            Step::Forward,
        ];
        let mut more = false;
        for step in steps {
            more |= self.read(move |shared, link| async move { shared.sweep_alone(&link, step, now).await }).await?;
        }
        Ok(more)
    }

    async fn sweep_alone(&self, link: &Link, step: Step, now: WallTime) -> Result<bool, Trouble> {
        link.batch("BEGIN").await?;
        let alone: bool = link.one("SELECT pg_try_advisory_xact_lock($1)", &[&schema::SWEEPING]).await?.get(0);
        let more = alone
            && match step {
                Step::Old { delete, kept } => {
                    let oldest = millis(now).saturating_sub(span(kept));
                    let future = millis(now).saturating_add(span(AHEAD));
                    let gone = link.run(delete, &[&oldest, &SWEEP, &future, &LOOK]).await?;
                    // Also where some of those that were looked at are not old: more of them may stand behind.
                    i64::try_from(gone).is_ok_and(|gone| gone > LOOK / 2)
                }
                Step::Outcomes => self.forget_old_outcomes(link, now).await?,
                Step::Bytes => self.forget_beyond_bytes(link).await?,
                Step::Notes => {
                    let unused = millis(now).saturating_sub(span(self.bounds.outcomes.max(UNUSED)));
                    link.run("DELETE FROM reader WHERE used_at < $1", &[&unused]).await?;
                    forget_notes(link).await?
                }
                Step::Forward => self.bring_forward(link, now).await?,
            };
        link.batch("COMMIT").await?;
        Ok(more)
    }

    /// What was never refused was never put off, and is due at once, or when it is to be sent. A later time is of a clock that
    /// was set back since.
    async fn bring_forward(&self, link: &Link, now: WallTime) -> Result<bool, Trouble> {
        let forward = concat!(
            "UPDATE pending SET due = greatest($1, send_at) WHERE row IN (SELECT row FROM pending
            WHERE state = 0 AND due > $1 AND due > greatest($1, send_at) AND retries = 0 AND ",
            any_route!(),
            " AND app IN (SELECT app FROM lane WHERE node = $2 AND incarnation = $3) LIMIT $4)
            AND state = 0 AND due > greatest($1, send_at) AND retries = 0"
        );
        let params: [Param<'_>; 4] = [&millis(now), &self.node.name(), &self.node.incarnation(), &SWEEP];
        Ok(is_full(link.run(forward, &params).await?))
    }

    async fn forget_old_outcomes(&self, link: &Link, now: WallTime) -> Result<bool, Trouble> {
        let oldest = millis(now).saturating_sub(span(self.bounds.outcomes));
        let future = millis(now).saturating_add(span(AHEAD));
        // In the order of their places, which is that of their times but where a clock was set. Those of the future are passed
        // over: they would be in the way of all behind them.
        let delete = "DELETE FROM outcome AS o USING (SELECT f.app, f.place FROM app AS a CROSS JOIN LATERAL
            (SELECT app, place, at FROM outcome WHERE app = a.number AND at <= $3 ORDER BY place LIMIT $4) AS f
            WHERE f.at < $1 LIMIT $2) AS old WHERE o.app = old.app AND o.place = old.place RETURNING o.row";
        let gone = forget_outcomes(link, delete, &[&oldest, &SWEEP, &future, &LOOK]).await?;
        Ok(i64::try_from(gone).is_ok_and(|gone| gone > LOOK / 2))
    }

    /// Forgets the oldest outcomes where all of them take up too much, of each app its share. Counted by their places and by the
    /// length of the last ones: looking at all would take longer the more there are.
    async fn forget_beyond_bytes(&self, link: &Link) -> Result<bool, Trouble> {
        let measure = "SELECT a.number, p.outcome - first.place + 1,
                (SELECT coalesce(avg(octet_length(record)), 0)::float8 FROM (SELECT record FROM outcome WHERE app = a.number
                    ORDER BY place DESC LIMIT 200) AS last)
            FROM app AS a JOIN app_place AS p ON p.app = a.number
            CROSS JOIN LATERAL (SELECT place FROM outcome WHERE app = a.number ORDER BY place LIMIT 1) AS first";
        let apps: Vec<(AppNumber, f64, f64)> = link
            .rows(measure, &[])
            .await?
            .iter()
            .map(|row| (row.get(0), row.get::<_, i64>(1) as f64, row.get::<_, f64>(2) + OUTCOME_OVERHEAD))
            .collect();
        let bytes: f64 = apps.iter().map(|(_, count, each)| count * each).sum();
        let most = self.bounds.outcome_bytes as f64;
        if bytes <= most {
            return Ok(false);
        }
        let (mut more, mut left) = (false, SWEEP);
        for (app, count, _) in apps {
            let excess = (count * (1.0 - most / bytes)).ceil() as i64;
            let limit = excess.min(left);
            left -= limit;
            more |= excess > limit;
            if limit == 0 {
                continue;
            }
            let forget = "DELETE FROM outcome WHERE app = $1 AND place IN
                (SELECT place FROM outcome WHERE app = $1 ORDER BY place LIMIT $2) RETURNING row";
            forget_outcomes(link, forget, &[&app, &limit]).await?;
        }
        Ok(more)
    }

    /// What this node's lanes wait for, by the clock as it is now.
    pub(super) async fn clock_set_back(&self, link: &Link, by: Duration, now: WallTime) -> Result<(), Trouble> {
        let shift = concat!(
            "UPDATE pending SET due = greatest($1, due - $2, send_at) WHERE state = 0 AND due > $1 AND ",
            any_route!(),
            " AND app IN (SELECT app FROM lane WHERE node = $3 AND incarnation = $4)"
        );
        let params: [Param<'_>; 4] = [&millis(now), &span(by), &self.node.name(), &self.node.incarnation()];
        link.run(shift, &params).await.map(drop)
    }
}

/// Forgets outcomes, and the marks of their rows. Gives how many they were.
async fn forget_outcomes(link: &Link, delete: &'static str, params: &[Param<'_>]) -> Result<usize, Trouble> {
    let rows: Vec<i64> = link.rows(delete, params).await?.iter().map(|row| row.get(0)).collect();
    let ranges: Vec<i64> = rows.iter().map(|row| row >> RANGE_BITS).collect::<BTreeSet<_>>().into_iter().collect();
    link.run("DELETE FROM mark WHERE range = ANY($1) AND row = ANY($2)", &[&ranges, &rows]).await?;
    Ok(rows.len())
}

/// What nobody asks for any more: batches, nodes that are long gone, tallies of sessions that have ended.
async fn forget_notes(link: &Link) -> Result<bool, Trouble> {
    // A caller is told within seconds whether its batch is there.
    let batches = "DELETE FROM batch WHERE id IN
        (SELECT id FROM batch WHERE at < clock_timestamp() - interval '10 minutes' LIMIT $1)";
    let gone = link.run(batches, &[&SWEEP]).await?;
    link.run("DELETE FROM node WHERE until < clock_timestamp() - interval '1 day'", &[]).await?;
    let merge =
        "WITH ended AS (DELETE FROM tally WHERE writer <> 0 AND writer NOT IN (SELECT pid FROM pg_stat_activity)
            RETURNING app, waiting, in_flight, bytes)
        INSERT INTO tally AS t SELECT app, 0, sum(waiting), sum(in_flight), sum(bytes) FROM ended GROUP BY app
            ON CONFLICT (app, writer) DO UPDATE SET waiting = t.waiting + excluded.waiting,
                in_flight = t.in_flight + excluded.in_flight, bytes = t.bytes + excluded.bytes";
    link.run(merge, &[]).await?;
    Ok(is_full(gone))
}

/// Whether a step did as much as one does.
fn is_full(done: u64) -> bool {
    i64::try_from(done).is_ok_and(|done| done >= SWEEP)
}
