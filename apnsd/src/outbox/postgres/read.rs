//! What is read.

use std::sync::Arc;

use apns_proto::{DeviceToken, WallTime};

use super::connections::{Link, Trouble};
use super::{AppNumber, Shared, cursor, millis, span, time, unsigned};
use crate::outbox::{
    AppPause, Counts, Cursor, FeedbackPage, GoneToken, OutboxError, OutcomeRecord, Routes, State, StoredApp, Tracked,
    Tries,
};
use crate::{AppName, NotificationId, Tag};

pub(super) fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn parse_record(text: &str) -> Result<OutcomeRecord, Trouble> {
    let failed = |error| Trouble::Store(OutboxError::Failed(format!("an outcome cannot be read: {error}")));
    serde_json::from_str(text).map_err(failed)
}

pub(super) fn app_name(name: String) -> Result<AppName, Trouble> {
    AppName::new(name)
        .map_err(|error| Trouble::Store(OutboxError::Failed(format!("the name of an app cannot be read: {error}"))))
}

/// A tag that is none any more cannot be asked for.
pub(super) fn tag(bytes: Option<&[u8]>) -> Option<Tag> {
    Tag::new(str::from_utf8(bytes?).ok()?).ok()
}

fn lossy(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

impl Shared {
    pub(super) async fn lookup(&self, link: &Link, ids: &[NotificationId]) -> Result<Vec<Option<Tracked>>, Trouble> {
        let rows: Vec<Option<i64>> = ids.iter().map(|id| self.names.row(*id)).collect();
        let asked: Vec<i64> = rows.iter().flatten().copied().collect();
        let mut found = std::collections::HashMap::new();
        // One statement sees one state: what is settled meanwhile is in one of the two.
        let find =
            "SELECT p.row, a.name, p.state, p.due, p.accepted_at, p.attempts, p.replays, p.retries, NULL AS record, p.tag
                FROM pending AS p JOIN app AS a ON a.number = p.app WHERE p.row = ANY($1)
            UNION ALL SELECT o.row, '', 2::int2, 0, 0, 0, 0, 0, o.record, NULL FROM outcome AS o WHERE o.row = ANY($1)";
        for row in link.rows(find, &[&asked]).await? {
            let count = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or(u32::MAX);
            let tries = Tries { attempts: count(5), replays: count(6), retries: count(7) };
            let accepted_at = time(row.get(4));
            let tracked = match row.get::<_, i16>(2) {
                0 => (
                    app_name(row.get(1))?,
                    tag(row.get(9)),
                    State::Waiting { accepted_at, due: time(row.get(3)), tries },
                ),
                1 => (app_name(row.get(1))?, tag(row.get(9)), State::InFlight { accepted_at, tries }),
                _ => {
                    let record = parse_record(row.get::<_, Option<&str>>(8).unwrap_or_default())?;
                    (record.app.clone(), record.tag.clone(), State::Settled(Box::new(record)))
                }
            };
            found.insert(row.get::<_, i64>(0), tracked);
        }
        let tracked = |(id, row): (&NotificationId, &Option<i64>)| {
            let (app, tag, state) = found.get(&(*row)?)?.clone();
            Some(Tracked { id: *id, app, tag, state })
        };
        Ok(ids.iter().zip(&rows).map(tracked).collect())
    }

    pub(super) async fn by_keys(
        &self,
        link: &Link,
        app: &AppName,
        keys: &[Arc<str>],
        now: WallTime,
    ) -> Result<Vec<Option<NotificationId>>, Trouble> {
        let Some(number) = self.known_number(link, app).await? else { return Ok(vec![None; keys.len()]) };
        let oldest = millis(now).saturating_sub(span(self.bounds.idempotency));
        let asked: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let find = "SELECT key, row FROM key WHERE app = $1 AND key = ANY($2) AND at > $3";
        let found: std::collections::HashMap<Vec<u8>, i64> =
            link.rows(find, &[&number, &asked, &oldest]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(asked.iter().map(|key| found.get(*key).map(|row| self.names.name(*row))).collect())
    }
}

pub(super) async fn outcomes(
    link: &Link,
    app: &AppName,
    after: i64,
    limit: usize,
) -> Result<Vec<(Cursor, OutcomeRecord)>, Trouble> {
    let find = "SELECT place, record FROM outcome WHERE app = (SELECT number FROM app WHERE name = $1) AND place > $2
        ORDER BY place LIMIT $3";
    let found = link.rows(find, &[&app.as_str(), &after, &limited(limit)]).await?;
    found.iter().map(|row| Ok((cursor(row.get(0)), parse_record(row.get(1))?))).collect()
}

/// The place behind which to read for a cursor that may be from before everything was moved here from a file.
pub(super) async fn since_a_move(link: &Link, app: &AppName, after: i64, moved: Option<i64>) -> Result<i64, Trouble> {
    if moved.is_none_or(|last| after > last) {
        return Ok(after);
    }
    let find = "SELECT place FROM outcome WHERE app = (SELECT number FROM app WHERE name = $1) AND before <= $2
        ORDER BY before DESC LIMIT 1";
    let found = link.rows(find, &[&app.as_str(), &after]).await?;
    Ok(found.first().map_or(after, |row| row.get(0)))
}

pub(super) async fn newest_outcome(link: &Link, app: &AppName) -> Result<Cursor, Trouble> {
    let find = "SELECT outcome FROM app_place WHERE app = (SELECT number FROM app WHERE name = $1)";
    let found = link.rows(find, &[&app.as_str()]).await?;
    Ok(found.first().map(|row| cursor(row.get(0))).unwrap_or_default())
}

pub(super) async fn gone(
    link: &Link,
    app: &AppName,
    after: i64,
    since: WallTime,
    limit: usize,
) -> Result<FeedbackPage, Trouble> {
    let find = "SELECT place, token, topic, since, found_at, reason FROM gone
        WHERE app = (SELECT number FROM app WHERE name = $1) AND place > $2 AND found_at >= $3 ORDER BY place LIMIT $4";
    let found = link.rows(find, &[&app.as_str(), &after, &millis(since), &limited(limit)]).await?;
    let tokens = found.iter().filter_map(|row| {
        Some(GoneToken {
            // What is no token could not have been sent to.
            token: DeviceToken::from_bytes(row.get::<_, &[u8]>(1)).ok()?,
            topic: row.get::<_, Option<&[u8]>>(2).map(lossy),
            since: row.get::<_, Option<i64>>(3).map(time),
            found_at: time(row.get(4)),
            reason: lossy(row.get(5)),
        })
    });
    Ok(FeedbackPage { tokens: tokens.collect(), next: cursor(found.last().map_or(after, |row| row.get(0))) })
}

pub(super) async fn unread(link: &Link, app: &AppName, reader: &str, limit: usize) -> Result<FeedbackPage, Trouble> {
    let find = "SELECT place FROM reader WHERE app = (SELECT number FROM app WHERE name = $1) AND name = $2";
    let found = link.rows(find, &[&app.as_str(), &reader.as_bytes()]).await?;
    let after = found.first().map_or(0, |row| row.get(0));
    gone(link, app, after, WallTime::EPOCH, limit).await
}

pub(super) async fn counts(link: &Link, app: Option<&AppName>) -> Result<Counts, Trouble> {
    let number: Option<AppNumber> = match app {
        None => None,
        Some(app) => match link.rows("SELECT number FROM app WHERE name = $1", &[&app.as_str()]).await?.first() {
            None => return Ok(Counts::default()),
            Some(row) => Some(row.get(0)),
        },
    };
    let sum = "SELECT coalesce(sum(waiting), 0)::int8, coalesce(sum(in_flight), 0)::int8, coalesce(sum(bytes), 0)::int8
        FROM tally WHERE $1::int4 IS NULL OR app = $1";
    let row = link.one(sum, &[&number]).await?;
    let of = |column| unsigned(row.get(column));
    Ok(Counts { waiting: of(0), in_flight: of(1), bytes: of(2) })
}

/// Of the first of each route in the order of their turns: what was put off stands behind, and may be older.
pub(super) async fn oldest_waiting(link: &Link, app: &AppName) -> Result<Option<WallTime>, Trouble> {
    let find = "SELECT min(first.at) FROM unnest($2::int2[]) AS r(route),
        LATERAL (SELECT coalesce(send_at, accepted_at) AS at FROM pending
            WHERE app = (SELECT number FROM app WHERE name = $1) AND pending.route = r.route AND state = 0
            ORDER BY due, row LIMIT 1000) AS first";
    let routes: Vec<i16> = Routes::ALL.numbers().map(i16::from).collect();
    Ok(link.one(find, &[&app.as_str(), &routes]).await?.get::<_, Option<i64>>(0).map(time))
}

pub(super) async fn pauses(link: &Link) -> Result<Vec<(AppName, AppPause)>, Trouble> {
    let find = "SELECT name, paused_at, pause_reason FROM app WHERE paused_at IS NOT NULL";
    let pause = |row: &tokio_postgres::Row| {
        let reason = row.get::<_, Option<&[u8]>>(2).map(lossy);
        Ok((app_name(row.get(0))?, AppPause { since: time(row.get(1)), reason }))
    };
    link.rows(find, &[]).await?.iter().map(pause).collect()
}

pub(super) async fn kept_apps(link: &Link) -> Result<Vec<StoredApp>, Trouble> {
    let find = "SELECT name, definition FROM app WHERE definition IS NOT NULL ORDER BY name";
    let kept = |row: &tokio_postgres::Row| {
        Ok(StoredApp { name: app_name(row.get(0))?, definition: row.get::<_, String>(1).into() })
    };
    link.rows(find, &[]).await?.iter().map(kept).collect()
}
