//! Notifications are looked for by their marks, or by time.

use apns_proto::WallTime;
use tokio_postgres::Row;

use super::connections::{Link, Trouble};
use super::read::{parse_record, tag};
use super::{AppNumber, Shared, millis, time};
use crate::outbox::search::{LOOK, Looked, Plan, RANGE_BITS, Spot, first, ranges};
use crate::outbox::{Cursor, Found, State, Tracked, Tries};
use crate::{AppName, NotificationId};

/// So many ranges that have a mark are read at once.
const RANGES_READ: i64 = 16;

/// A row of either table, by its own name: those columns are null that the other one has.
macro_rules! both {
    ($rows:expr) => {
        concat!(
            $rows,
            " SELECT r.row, p.app, p.state, p.due, p.accepted_at, p.attempts, p.replays, p.retries, p.tag,
                o.app, o.at, o.record
            FROM r LEFT JOIN LATERAL (SELECT * FROM pending WHERE row = r.row LIMIT 1) AS p ON true
                LEFT JOIN LATERAL (SELECT * FROM outcome WHERE row = r.row LIMIT 1) AS o ON true
            ORDER BY r.row DESC"
        )
    };
}

/// The rows below a place that have a mark, in those ranges that have one, from the first to the last of the ranges; and of them
/// those that have all others.
const MARKED: &str = both!(
    "WITH b AS MATERIALIZED (SELECT n FROM generate_series($1::int8, $2::int8, -1) AS s(n)
        CROSS JOIN LATERAL (SELECT 1 FROM mark WHERE range = n AND mark = $3 AND row < $4 LIMIT 1) AS e
        ORDER BY n DESC LIMIT $5),
    r AS MATERIALIZED (SELECT f.row FROM b CROSS JOIN LATERAL
        (SELECT row FROM mark WHERE range = b.n AND mark = $3 AND row < $4 ORDER BY row DESC LIMIT $6) AS f
        ORDER BY f.row DESC LIMIT $6)"
);

/// What stands in a row.
const BY_ROW: &str = both!("WITH r AS (SELECT $1::int8 AS row)");

/// How many of the marks a row has.
const HAS_MARKS: &str =
    "SELECT row, count(*) FROM mark WHERE range = ANY($1) AND mark = ANY($2) AND row = ANY($3) GROUP BY row";

/// Whose notifications are looked for.
struct Of<'a> {
    app: &'a AppName,
    number: AppNumber,
    plan: &'a Plan,
}

impl Shared {
    /// One step of a search.
    pub(super) async fn search(
        &self,
        link: &Link,
        app: &AppName,
        plan: Plan,
        after: &Cursor,
        limit: usize,
    ) -> Result<Found, Trouble> {
        let spot = plan.spot(after)?;
        let Some(number) = self.known_number(link, app).await? else { return Ok(Found::default()) };
        let of = Of { app, number, plan: &plan };
        let (notifications, below) = match spot {
            Spot::Named => (self.named(link, &of).await?, None),
            Spot::Marked(below) => {
                let looked = marked_below(link, &plan, below).await?;
                first(looked, limit, |row| row.get(0), |row| self.either(&of, &row))?
            }
            Spot::Pending(below) if plan.wants_pending() => {
                let looked = pending_below(link, below).await?;
                first(looked, limit, |row| row.get(0), |row| Ok::<_, Trouble>(self.pending(&of, &row)))?
            }
            Spot::Ended(below) if plan.wants_ended() => {
                let looked = ended_below(link, number, &plan, below).await?;
                first(looked, limit, |row| row.get(3), |row| ended(&of, &row, 0))?
            }
            Spot::Pending(_) | Spot::Ended(_) => (Vec::new(), None),
        };
        let next = below.map(|below| spot.below(below)).or_else(|| plan.behind(spot));
        Ok(Found { notifications, next: next.map(Spot::cursor) })
    }

    fn pending(&self, of: &Of<'_>, row: &Row) -> Option<Tracked> {
        let count = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or(u32::MAX);
        let tries = Tries { attempts: count(5), replays: count(6), retries: count(7) };
        let accepted_at = time(row.get(4));
        let state = match row.get::<_, i16>(2) {
            0 => State::Waiting { accepted_at, due: time(row.get(3)), tries },
            _ => State::InFlight { accepted_at, tries },
        };
        let meant = row.get::<_, AppNumber>(1) == of.number && of.plan.takes_pending(&state);
        meant.then(|| Tracked { id: self.names.name(row.get(0)), app: of.app.clone(), tag: tag(row.get(8)), state })
    }

    fn either(&self, of: &Of<'_>, row: &Row) -> Result<Option<Tracked>, Trouble> {
        let (waits, has_ended) = (row.get::<_, Option<AppNumber>>(1), row.get::<_, Option<AppNumber>>(9));
        match (waits, has_ended) {
            (Some(_), _) => Ok(self.pending(of, row)),
            (None, Some(_)) => ended(of, row, 9),
            // It was forgotten a moment ago.
            (None, None) => Ok(None),
        }
    }

    /// What has the `apns-id` as its name.
    async fn named(&self, link: &Link, of: &Of<'_>) -> Result<Vec<Tracked>, Trouble> {
        let row = of.plan.name().and_then(|id| self.names.row(NotificationId::from_bytes(*id.as_bytes())));
        let Some(row) = row else { return Ok(Vec::new()) };
        let rows = with_marks(link, link.rows(BY_ROW, &[&row]).await?, of.plan.marks_of_named()).await?;
        rows.iter().filter_map(|row| self.either(of, row).transpose()).collect()
    }
}

/// Those that have all of these marks.
async fn with_marks(link: &Link, rows: Vec<Row>, marks: &[i64]) -> Result<Vec<Row>, Trouble> {
    if marks.is_empty() || rows.is_empty() {
        return Ok(rows);
    }
    let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let mut ranges: Vec<i64> = numbers.iter().map(|row| row >> RANGE_BITS).collect();
    ranges.dedup();
    let found = link.rows(HAS_MARKS, &[&ranges, &marks, &numbers]).await?;
    let all = i64::try_from(marks.len()).unwrap_or(i64::MAX);
    let whole: std::collections::HashSet<i64> =
        found.iter().filter(|row| row.get::<_, i64>(1) == all).map(|row| row.get(0)).collect();
    Ok(rows.into_iter().filter(|row| whole.contains(&row.get(0))).collect())
}

/// The rows that have all marks, range by range.
async fn marked_below(link: &Link, plan: &Plan, below: i64) -> Result<Looked<Row>, Trouble> {
    let Some((mark, others)) = plan.marks() else { return Ok((Vec::new(), None)) };
    // What has not ended are the latest rows, as a rule.
    let extent = if plan.wants_ended() {
        "SELECT (SELECT min(range) FROM mark) << 12, (((SELECT max(range) FROM mark) + 1) << 12) - 1"
    } else {
        "SELECT (SELECT min(row) FROM pending), (SELECT max(row) FROM pending)"
    };
    let extent = link.one(extent, &[]).await?;
    let (Some(least), Some(most)) = (extent.get(0), extent.get(1)) else { return Ok((Vec::new(), None)) };
    let Some((from, to)) = ranges(below, (least, most)) else { return Ok((Vec::new(), None)) };
    let rows = link.rows(MARKED, &[&from, &to, &mark, &below, &RANGES_READ, &LOOK]).await?;
    let below = if is_full(&rows) {
        rows.last().map(|row| row.get(0))
    } else {
        let mut read: Vec<i64> = rows.iter().map(|row| row.get::<_, i64>(0) >> RANGE_BITS).collect();
        read.dedup();
        let all = i64::try_from(read.len()).is_ok_and(|read| read < RANGES_READ);
        let end = read.last().filter(|_| !all).copied().unwrap_or(to) << RANGE_BITS;
        (end > least).then_some(end)
    };
    Ok((with_marks(link, rows, others).await?, below))
}

async fn pending_below(link: &Link, below: i64) -> Result<Looked<Row>, Trouble> {
    let find = "SELECT row, app, state, due, accepted_at, attempts, replays, retries, tag FROM pending WHERE row < $1
        ORDER BY row DESC LIMIT $2";
    let rows = link.rows(find, &[&below, &LOOK]).await?;
    let next = rows.last().filter(|_| is_full(&rows)).map(|row| row.get(0));
    Ok((rows, next))
}

async fn ended_below(link: &Link, app: AppNumber, plan: &Plan, below: i64) -> Result<Looked<Row>, Trouble> {
    // In the order of their places, which is that of their times but where a clock was set.
    let below = match plan.until() {
        Some(until) if below == i64::MAX => first_place_from(link, app, until).await?,
        _ => below,
    };
    let find = "SELECT app, at, record, place FROM outcome WHERE app = $1 AND place < $2 ORDER BY place DESC LIMIT $3";
    let rows = link.rows(find, &[&app, &below, &LOOK]).await?;
    let too_early = plan.since().is_some_and(|since| rows.iter().all(|row| time(row.get(1)) < since));
    let next = rows.last().filter(|_| is_full(&rows) && !too_early).map(|row| row.get(3));
    Ok((rows, next))
}

/// The first place of an outcome of this time or later, by halves: a place behind all where there is none.
async fn first_place_from(link: &Link, app: AppNumber, wanted: WallTime) -> Result<i64, Trouble> {
    let at = async |place: i64| -> Result<Option<(i64, i64)>, Trouble> {
        let find = "SELECT place, at FROM outcome WHERE app = $1 AND place <= $2 ORDER BY place DESC LIMIT 1";
        Ok(link.rows(find, &[&app, &place]).await?.first().map(|row| (row.get(0), row.get(1))))
    };
    // The place in question lies behind `low`, and not behind `high`.
    let (mut low, mut high) = (0, at(i64::MAX).await?.map_or(0, |(place, _)| place) + 1);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        match at(middle).await? {
            Some((place, found)) if found >= millis(wanted) => high = place,
            _ => low = middle,
        }
    }
    Ok(high)
}

fn is_full(rows: &[Row]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|found| found >= LOOK)
}

/// One that has ended, whose columns begin with this one.
fn ended(of: &Of<'_>, row: &Row, column: usize) -> Result<Option<Tracked>, Trouble> {
    if row.get::<_, AppNumber>(column) != of.number || !of.plan.takes_ended(time(row.get(column + 1))) {
        return Ok(None);
    }
    let record = parse_record(row.get(column + 2))?;
    Ok(of.plan.takes_record(&record).then(|| Tracked::settled(record)))
}
