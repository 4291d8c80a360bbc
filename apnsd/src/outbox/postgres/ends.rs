//! Notifications end: what was in flight, what waits and is taken back, what nobody sends any more.

use std::sync::Arc;

use apns_proto::{Outcome, UnknownCause, WallTime};
use tokio_postgres::Row;

use super::connections::{Link, Trouble};
use super::read::tag;
use super::{AppNumber, Shared, cursor, millis, not_ours, time};
use crate::outbox::outcome::{abandoned, too_late};
use crate::outbox::{
    Cursor, GoneToken, OutboxError, OutcomeRecord, Route, Routes, Selection, Settlement, Tries, Withdrawal, Withdrawn,
    decode,
};
use crate::{AppName, NotificationId, Tag};

/// How many are ended at once that nobody sends any more.
pub(super) const STEP: i64 = 2000;

type Ended = Vec<(Cursor, OutcomeRecord)>;

/// A pending row without its body.
pub(super) struct Pending {
    pub(super) row: i64,
    pub(super) claim: i64,
    accepted_at: WallTime,
    pub(super) tries: Tries,
    key: Option<Vec<u8>>,
    pub(super) send_at: Option<WallTime>,
    pub(super) route: Route,
    pub(super) tag: Option<Tag>,
}

/// What [`Pending::read`] reads, before anything else.
macro_rules! pending_columns {
    () => {
        "row, claim, due, accepted_at, attempts, replays, retries, key, send_at, route, tag"
    };
}
pub(super) use pending_columns;

impl Pending {
    /// How many columns that are.
    pub(super) const WIDTH: usize = 11;

    pub(super) fn read(row: &Row) -> Self {
        let count = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or(u32::MAX);
        Self {
            row: row.get(0),
            claim: row.get(1),
            accepted_at: time(row.get(3)),
            tries: Tries { attempts: count(4), replays: count(5), retries: count(6) },
            key: row.get(7),
            send_at: row.get::<_, Option<i64>>(8).map(time),
            route: Route::from_number(row.get::<_, i16>(9).into()),
            tag: tag(row.get(10)),
        }
    }

    pub(super) fn key(&self) -> Option<Arc<str>> {
        self.key.as_deref().map(|key| String::from_utf8_lossy(key).into())
    }

    const fn ends(&self, state: i16, record: OutcomeRecord) -> Ending {
        Ending { row: self.row, state, claim: self.claim, record }
    }

    pub(super) const fn accepted_at(&self) -> WallTime {
        self.accepted_at
    }
}

/// Ends rows that are still as they were read: in the same state, under the same claim. A row that was put back
/// keeps its last claim, so one that was claimed since it was read is another one, and its record would be wrong. The places
/// of the outcomes are those after the last one that was committed.
const END: &str = "
    WITH s AS (SELECT * FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::text[], $12::int2[]) WITH ORDINALITY
        AS t(row, claim, at, record, state, nth)),
    d AS (DELETE FROM pending AS p USING s WHERE p.row = s.row AND p.app = $1 AND p.state = s.state AND p.claim = s.claim
        RETURNING p.row, s.at, s.record, s.nth),
    g AS (SELECT t.*, row_number() OVER (ORDER BY t.nth) AS place
        FROM unnest($6::int8[], $7::bytea[], $8::bytea[], $9::int8[], $10::int8[], $11::bytea[]) WITH ORDINALITY
            AS t(row, token, topic, since, found_at, reason, nth)
        WHERE t.row IN (SELECT row FROM d)),
    n AS (UPDATE app_place SET outcome = outcome + (SELECT count(*) FROM d), gone = gone + (SELECT count(*) FROM g)
        WHERE app = $1 AND EXISTS (SELECT 1 FROM d) RETURNING outcome, gone),
    told AS (INSERT INTO gone (app, place, token, topic, since, found_at, reason)
        SELECT $1, n.gone - (SELECT count(*) FROM g) + g.place, g.token, g.topic, g.since, g.found_at, g.reason FROM g, n)
    INSERT INTO outcome (app, place, row, at, record)
        SELECT $1, n.outcome - (SELECT count(*) FROM d) + row_number() OVER (ORDER BY d.nth), d.row, d.at, d.record FROM d, n
        RETURNING row, place";

/// A row to be ended, as it was read.
struct Ending {
    row: i64,
    state: i16,
    claim: i64,
    record: OutcomeRecord,
}

/// The states of a row, as in the table.
const WAITING: i16 = 0;
const IN_FLIGHT: i16 = 1;

fn text(record: &OutcomeRecord) -> String {
    serde_json::to_string(record).expect("a record has text keys and numbers only")
}

impl Shared {
    /// Settles what is in flight under these claims. Where a change was carried out before, and its answer lost, its outcome is
    /// there.
    pub(super) async fn settle(&self, link: &Link, app: AppNumber, settled: Vec<Settlement>) -> Result<Ended, Trouble> {
        let mut rows = Vec::with_capacity(settled.len());
        let mut gone = Vec::new();
        for Settlement { record, gone: token, claim } in settled {
            let Some(row) = self.names.row(record.id) else { continue };
            if let Some(token) = token {
                gone.push((row, token));
            }
            rows.push(Ending { row, state: IN_FLIGHT, claim: claim.get(), record });
        }
        let mut ended = self.end(link, app, &rows, &gone).await?;
        let missing: Vec<i64> =
            rows.iter().map(|one| one.row).filter(|row| !ended.iter().any(|(ended, _)| ended == row)).collect();
        if !missing.is_empty() {
            let find = "SELECT row, place, record FROM outcome WHERE app = $1 AND row = ANY($2)";
            let found = link.rows(find, &[&app, &missing]).await?;
            ended.extend(found.iter().filter_map(|found| {
                let row = found.get(0);
                let ours = rows.iter().any(|one| one.row == row && text(&one.record) == found.get::<_, &str>(2));
                ours.then(|| (row, found.get(1)))
            }));
        }
        Ok(with_records(ended, rows))
    }

    /// Ends rows, with the tokens that are gone, and gives rows and places of those that really ended.
    async fn end(
        &self,
        link: &Link,
        app: AppNumber,
        rows: &[Ending],
        gone: &[(i64, GoneToken)],
    ) -> Result<Vec<(i64, i64)>, Trouble> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<i64> = rows.iter().map(|one| one.row).collect();
        let states: Vec<i16> = rows.iter().map(|one| one.state).collect();
        let claims: Vec<i64> = rows.iter().map(|one| one.claim).collect();
        let at: Vec<i64> =
            rows.iter().map(|one| i64::try_from(one.record.settled_at).unwrap_or(super::LIKE_NEVER)).collect();
        let records: Vec<String> = rows.iter().map(|one| text(&one.record)).collect();
        let tokens = Tokens::of(gone.iter().map(|(_, token)| token));
        let of: Vec<i64> = gone.iter().map(|(row, _)| *row).collect();
        let Tokens { tokens, topics, since, found_at, reasons } = &tokens;
        let params: [super::Param<'_>; 12] =
            [&app, &numbers, &claims, &at, &records, &of, tokens, topics, since, found_at, reasons, &states];
        let ended = link.rows(END, &params).await?;
        let mut ended: Vec<(i64, i64)> = ended.iter().map(|row| (row.get(0), row.get(1))).collect();
        ended.sort_unstable_by_key(|(_, place)| *place);
        Ok(ended)
    }

    /// The record of a row that ends without having been handed to the service now.
    fn record(&self, app: &AppName, pending: &Pending, outcome: &Outcome, now: WallTime) -> OutcomeRecord {
        OutcomeRecord::new(self.names.name(pending.row), app.clone(), outcome, pending.accepted_at, now)
            .with_tries(pending.tries)
            .with_send_at(pending.send_at)
            .with_idempotency_key(pending.key().as_deref())
            .with_tag(pending.tag.clone())
    }

    /// Ends what is in flight, as these outcomes say.
    pub(super) async fn end_in_flight(
        &self,
        link: &Link,
        (app, number): (&AppName, AppNumber),
        ending: Vec<(Pending, Outcome)>,
        now: WallTime,
    ) -> Result<Ended, Trouble> {
        let rows = ending
            .into_iter()
            .map(|(pending, outcome)| pending.ends(IN_FLIGHT, self.record(app, &pending, &outcome, now)))
            .collect();
        self.end_all(link, number, rows).await
    }

    async fn end_all(&self, link: &Link, number: AppNumber, rows: Vec<Ending>) -> Result<Ended, Trouble> {
        let ended = self.end(link, number, &rows, &[]).await?;
        Ok(with_records(ended, rows))
    }

    pub(super) async fn end_attempts(
        &self,
        link: &Link,
        app: &AppName,
        number: AppNumber,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> Result<Ended, Trouble> {
        let find = concat!(
            "SELECT ",
            pending_columns!(),
            " FROM pending WHERE app = $1 AND state = 0 AND once AND accepted_at < $2
             AND coalesce(send_at, accepted_at) < $2 AND route = ANY($4) ORDER BY accepted_at, row LIMIT $3"
        );
        let routes: Vec<i16> = routes.numbers().map(i16::from).collect();
        let found = link.rows(find, &[&number, &millis(before), &STEP, &routes]).await?;
        let rows = found.iter().map(|row| {
            let pending = Pending::read(row);
            let outcome = if pending.tries.replays == 0 { Outcome::Expired } else { too_late() };
            pending.ends(WAITING, self.record(app, &pending, &outcome, now))
        });
        self.end_all(link, number, rows.collect()).await
    }

    pub(super) async fn abandon(&self, link: &Link, app: &AppName, why: &str, now: WallTime) -> Result<Ended, Trouble> {
        let Some(number) = self.known_number(link, app).await? else { return Ok(Vec::new()) };
        let unknown = || Outcome::Unknown { cause: UnknownCause::ConnectionLost(why.into()) };
        let waiting = concat!(
            "SELECT ",
            pending_columns!(),
            " FROM pending WHERE app = $1 AND state = 0 ORDER BY route, due, row LIMIT $2"
        );
        let waiting = link.rows(waiting, &[&number, &STEP]).await?;
        let rows = waiting.iter().map(|row| {
            let pending = Pending::read(row);
            let outcome = match pending.tries.replays {
                0 => abandoned(why),
                // A copy may have arrived.
                _ => unknown(),
            };
            pending.ends(WAITING, self.record(app, &pending, &outcome, now))
        });
        let mut ended = self.end_all(link, number, rows.collect()).await?;
        let in_flight = concat!(
            "SELECT ",
            pending_columns!(),
            " FROM pending WHERE app = $1 AND state = 1 ORDER BY due, row LIMIT $2"
        );
        let in_flight = link.rows(in_flight, &[&number, &STEP]).await?;
        if in_flight.is_empty() {
            return Ok(ended);
        }
        // The holder of the lane may still get their answers, unless its lease has ended.
        match self.take(link, number).await? {
            Some(epoch) => {
                let ending = in_flight.iter().map(|row| (Pending::read(row), unknown())).collect();
                let under_way = self.end_in_flight(link, (app, number), ending, now).await?;
                self.give_back(link, number, epoch).await?;
                ended.extend(under_way);
                Ok(ended)
            }
            None if !ended.is_empty() => Ok(ended),
            None => {
                let why = "another node has some of it under way".to_owned();
                Err(Trouble::Store(OutboxError::Failed(why)))
            }
        }
    }

    pub(super) async fn withdraw(
        &self,
        link: &Link,
        app: &AppName,
        selection: &Selection,
        why: Withdrawal,
        after: &Cursor,
        now: WallTime,
    ) -> Result<Withdrawn, Trouble> {
        let after = Turn::read(after)?;
        let Some(number) = self.known_number(link, app).await? else { return Ok(Withdrawn::default()) };
        let (found, next) = match &selection.ids {
            Some(ids) => (self.waiting_ids(link, number, ids).await?, None),
            None => waiting_behind(link, number, after, selection.looks_inside()).await?,
        };
        let words = match why {
            Withdrawal::Cancelled => "it was cancelled before it was sent",
            Withdrawal::Purged => "it was purged before it was sent",
        };
        let pending = found.iter().map(|row| (row, Pending::read(row)));
        let meant = pending.filter(|(row, pending)| is_meant(pending, row, selection));
        let rows = meant.map(|(_, pending)| {
            let outcome = match pending.tries.replays {
                0 => abandoned(words),
                // A copy may have arrived.
                _ => Outcome::Unknown { cause: UnknownCause::ConnectionLost(words.into()) },
            };
            pending.ends(WAITING, self.record(app, &pending, &outcome, now).with_withdrawal(why))
        });
        let settled = self.end_all(link, number, rows.collect()).await?;
        Ok(Withdrawn { settled, next: next.map(Turn::cursor) })
    }

    /// Those of these that wait.
    async fn waiting_ids(&self, link: &Link, app: AppNumber, ids: &[NotificationId]) -> Result<Vec<Row>, Trouble> {
        let rows: Vec<i64> = ids.iter().filter_map(|id| self.names.row(*id)).collect();
        let find = concat!(
            "SELECT ",
            pending_columns!(),
            ", body FROM pending WHERE app = $1 AND row = ANY($2) AND state = 0 ORDER BY row"
        );
        link.rows(find, &[&app, &rows]).await
    }

    pub(super) async fn note_gone(&self, link: &Link, app: &AppName, tokens: &[GoneToken]) -> Result<(), Trouble> {
        let number = self.number_of(link, app).await?;
        let Tokens { tokens, topics, since, found_at, reasons } = Tokens::of(tokens.iter());
        let note = "WITH g AS (SELECT * FROM unnest($2::bytea[], $3::bytea[], $4::int8[], $5::int8[], $6::bytea[])
                WITH ORDINALITY AS t(token, topic, since, found_at, reason, nth)),
            n AS (UPDATE app_place SET gone = gone + (SELECT count(*) FROM g) WHERE app = $1 RETURNING gone)
            INSERT INTO gone (app, place, token, topic, since, found_at, reason)
                SELECT $1, n.gone - (SELECT count(*) FROM g) + g.nth, token, topic, since, found_at, reason FROM g, n";
        link.run(note, &[&number, &tokens, &topics, &since, &found_at, &reasons]).await.map(drop)
    }
}

/// The records of those that ended, in the order of their places.
fn with_records(ended: Vec<(i64, i64)>, rows: Vec<Ending>) -> Ended {
    let mut records: std::collections::HashMap<i64, OutcomeRecord> =
        rows.into_iter().map(|one| (one.row, one.record)).collect();
    ended.into_iter().filter_map(|(row, place)| Some((cursor(place), records.remove(&row)?))).collect()
}

/// Tokens by column, as the server takes them.
struct Tokens<'a> {
    tokens: Vec<&'a [u8]>,
    topics: Vec<Option<&'a [u8]>>,
    since: Vec<Option<i64>>,
    found_at: Vec<i64>,
    reasons: Vec<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    fn of(tokens: impl Iterator<Item = &'a GoneToken> + Clone) -> Self {
        Self {
            tokens: tokens.clone().map(|gone| gone.token.as_bytes()).collect(),
            topics: tokens.clone().map(|gone| gone.topic.as_deref().map(str::as_bytes)).collect(),
            since: tokens.clone().map(|gone| gone.since.map(millis)).collect(),
            found_at: tokens.clone().map(|gone| millis(gone.found_at)).collect(),
            reasons: tokens.map(|gone| gone.reason.as_bytes()).collect(),
        }
    }
}

/// A place in the order of what waits: by route, by time, then by row. What moves meanwhile moves towards the end, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    route: i16,
    due: i64,
    row: i64,
}

impl Turn {
    fn read(cursor: &Cursor) -> Result<Self, OutboxError> {
        if cursor.as_str().is_empty() {
            return Ok(Self { route: 0, due: i64::MIN, row: 0 });
        }
        let read = || {
            let (route, turn) = cursor.as_str().split_once(':')?;
            let (due, row) = turn.split_once(':')?;
            Some(Self { route: route.parse().ok()?, due: due.parse().ok()?, row: row.parse().ok()? })
        };
        read().ok_or_else(|| not_ours(cursor))
    }

    fn cursor(self) -> Cursor {
        Cursor::new(format!("{}:{}:{}", self.route, self.due, self.row))
    }
}

impl From<OutboxError> for Trouble {
    fn from(error: OutboxError) -> Self {
        Self::Store(error)
    }
}

/// The first that wait behind this place, and the place behind all that were looked at.
async fn waiting_behind(
    link: &Link,
    app: AppNumber,
    after: Turn,
    inside: bool,
) -> Result<(Vec<Row>, Option<Turn>), Trouble> {
    let find = concat!(
        "SELECT ",
        pending_columns!(),
        ", CASE WHEN $5 THEN body END FROM pending
         WHERE app = $1 AND state = 0 AND (route, due, row) > ($6, $2, $3) ORDER BY route, due, row LIMIT $4"
    );
    let found = link.rows(find, &[&app, &after.due, &after.row, &STEP, &inside, &after.route]).await?;
    let full = i64::try_from(found.len()).is_ok_and(|found| found == STEP);
    let next = found.last().filter(|_| full).map(|row| Turn { route: row.get(9), due: row.get(2), row: row.get(0) });
    Ok((found, next))
}

/// Whether the row is meant. One that cannot be read is what no condition on its content can be said of.
fn is_meant(pending: &Pending, row: &Row, selection: &Selection) -> bool {
    if !selection.takes_outside(pending.accepted_at, pending.tag.as_ref().map(Tag::as_str)) {
        return false;
    }
    if !selection.looks_inside() {
        return true;
    }
    let body: Option<&[u8]> = row.get(Pending::WIDTH);
    body.is_some_and(|body| decode(body).is_ok_and(|notification| selection.takes(&notification)))
}
