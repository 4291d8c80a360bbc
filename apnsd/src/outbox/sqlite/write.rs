//! What the writer does, each within a transaction that is not its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::{LossPolicy, Outcome, UnknownCause, WallTime};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::books::{BLOCK, Books};
use super::read::{LIKE_NEVER, cursor, place, tag};
use super::sent::{self, Last};
use super::{AppNumber, failed, places, schema};
use crate::outbox::outcome::{abandoned, too_late};
use crate::outbox::search::RANGE_BITS;
use crate::outbox::{
    Accepted, Bounds, Change, Claim, ClaimNumber, Claimed, Counts, Cursor, GoneToken, OutboxError, OutcomeRecord,
    Postponement, Recovered, Route, Routes, Settlement, Share, StoredApp, Tries, decode,
};
use crate::{AppName, Tag};

/// A transaction, and the books that go with it.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) books: &'a mut Books,
    pub(super) bounds: &'a Bounds,
    /// The disk failed: nothing in this transaction lasts.
    pub(super) doomed: Option<OutboxError>,
}

/// A notification to be accepted, encoded.
pub(super) struct NewRow {
    pub(super) body: Vec<u8>,
    pub(super) marks: Vec<i64>,
    pub(super) tag: Option<Tag>,
    pub(super) key: Option<Arc<str>>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) at: u64,
    pub(super) send_at: Option<WallTime>,
    pub(super) route: Route,
    /// It asks for one attempt.
    pub(super) once: bool,
}

pub(super) type Done<T> = Result<T, OutboxError>;

/// Milliseconds as they stand in a row.
pub(super) fn millis(time: WallTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(LIKE_NEVER)
}

/// A span as it stands in a row.
pub(super) fn span(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(LIKE_NEVER)
}

/// A time from a row.
pub(super) fn time(millis: i64) -> WallTime {
    WallTime::from_millis(millis.try_into().unwrap_or_default())
}

/// The name under which openings of the tables are counted.
const OPENING: &str = "opening";

/// A pending row without its body.
pub(super) struct Pending {
    pub(super) row: i64,
    app: AppNumber,
    pub(super) accepted_at: WallTime,
    pub(super) tries: Tries,
    key: Option<String>,
    pub(super) tag: Option<Tag>,
    pub(super) bytes: u64,
    /// The last one.
    claim: ClaimNumber,
    send_at: Option<WallTime>,
    route: Route,
}

impl Pending {
    pub(super) const COLUMNS: &str =
        "row, app, accepted_at, attempts, replays, retries, key, length(body), claim, send_at, route, tag";
    /// How many these are.
    pub(super) const WIDTH: usize = 12;

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: row.get(0)?,
            app: row.get(1)?,
            accepted_at: time(row.get(2)?),
            tries: Tries { attempts: row.get(3)?, replays: row.get(4)?, retries: row.get(5)? },
            key: row.get(6)?,
            bytes: row.get::<_, i64>(7)?.try_into().unwrap_or_default(),
            claim: ClaimNumber::new(row.get(8)?),
            send_at: row.get::<_, Option<i64>>(9)?.map(time),
            route: Route::from_number(row.get(10)?),
            tag: tag(row, 11)?,
        })
    }
}

/// Gives the tables a new number: notes beside them that were made under an earlier one do not count any more.
pub(in crate::outbox) fn count_opening(connection: &Connection) -> rusqlite::Result<i64> {
    let opening = schema::number(connection, OPENING)?.unwrap_or_default().wrapping_add(1);
    schema::set(connection, OPENING, opening)?;
    Ok(opening)
}

impl Work<'_> {
    pub(super) fn accept(&mut self, app: &AppName, rows: &[NewRow]) -> Done<Vec<Accepted>> {
        let bytes = rows.iter().map(|row| row.body.len() as u64).sum();
        self.ensure_room(app, rows.len() as u64, bytes)?;
        self.ensure_keys_fit(app, rows)?;
        self.accept_rows(app, rows).map_err(|error| failed(&error))
    }

    fn ensure_room(&self, app: &AppName, count: u64, bytes: u64) -> Done<()> {
        let Counts { waiting, in_flight, bytes: held_bytes } = self.books.totals.all;
        let held = waiting + in_flight;
        if held + count > self.bounds.notifications {
            return Err(OutboxError::Full { held, limit: self.bounds.notifications });
        }
        if held_bytes + bytes > self.bounds.bytes {
            return Err(OutboxError::BytesFull { held: held_bytes, limit: self.bounds.bytes });
        }
        let of_app = self.books.totals.apps.get(app).map(|number| self.books.of(*number)).unwrap_or_default();
        let held = of_app.waiting + of_app.in_flight;
        if held + count > self.bounds.per_app {
            return Err(OutboxError::AppFull { app: app.clone(), held, limit: self.bounds.per_app });
        }
        Ok(())
    }

    /// Whether no key stands for two notifications, within the call or with what is remembered.
    fn ensure_keys_fit(&self, app: &AppName, rows: &[NewRow]) -> Done<()> {
        let number = self.books.totals.apps.get(app).copied();
        let mut here: HashMap<&str, [u8; 32]> = HashMap::new();
        for (index, new) in rows.iter().enumerate() {
            let (Some(key), Some(digest)) = (&new.key, new.digest) else { continue };
            let at = i64::try_from(new.at).unwrap_or(LIKE_NEVER);
            let known = match (here.get(&**key), number) {
                (Some(earlier), _) => Some(*earlier),
                (None, Some(number)) => self.known_digest(number, key, at).map_err(|error| failed(&error))?,
                (None, None) => None,
            };
            if known.is_some_and(|known| known != digest) {
                return Err(OutboxError::KeyReused { index });
            }
            here.insert(key, digest);
        }
        Ok(())
    }

    /// Nothing where the key is not remembered, or by a version that kept no digest.
    fn known_digest(&self, app: AppNumber, key: &str, now: i64) -> rusqlite::Result<Option<[u8; 32]>> {
        let oldest = now.saturating_sub(span(self.bounds.idempotency));
        let known = self
            .connection
            .prepare_cached("SELECT digest FROM key WHERE app = ? AND key = ? AND at > ?")?
            .query_row(params![app, key, oldest], |row| row.get::<_, Option<[u8; 32]>>(0))
            .optional()?;
        Ok(known.flatten())
    }

    fn accept_rows(&mut self, app: &AppName, rows: &[NewRow]) -> rusqlite::Result<Vec<Accepted>> {
        let app = self.number_of(app)?;
        let mut accepted = Vec::with_capacity(rows.len());
        let (mut count, mut bytes) = (0, 0);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO pending (row, app, state, due, accepted_at, attempts, replays, retries, key, body, once, send_at,
                route, tag)
             VALUES (?1, ?2, 0, coalesce(?7, ?3), ?3, 0, 0, 0, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let mut mark = self.connection.prepare_cached("INSERT INTO mark (range, mark, row) VALUES (?, ?, ?)")?;
        for new in rows {
            let at = i64::try_from(new.at).unwrap_or(LIKE_NEVER);
            if let Some(key) = &new.key
                && let Some(row) = self.known_key(app, key, at)?
            {
                accepted.push(Accepted { id: self.books.names.name(row), duplicate: true, findings: Vec::new() });
                continue;
            }
            let row = self.next_row()?;
            let (tag, send_at, route) =
                (new.tag.as_ref().map(Tag::as_str), new.send_at.map(millis), new.route.number());
            insert.execute(params![row, app, at, new.key, new.body, new.once, send_at, route, tag])?;
            for one in &new.marks {
                mark.execute([row >> RANGE_BITS, *one, row])?;
            }
            if let Some(key) = &new.key {
                self.connection
                    .prepare_cached("INSERT OR REPLACE INTO key (app, key, row, at, digest) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![app, key, row, at, new.digest])?;
            }
            count += 1;
            bytes += new.body.len() as u64;
            accepted.push(Accepted { id: self.books.names.name(row), duplicate: false, findings: Vec::new() });
        }
        self.books.came(app, count, bytes);
        Ok(accepted)
    }

    pub(super) fn known_key(&self, app: AppNumber, key: &str, now: i64) -> rusqlite::Result<Option<i64>> {
        let oldest = now.saturating_sub(span(self.bounds.idempotency));
        self.connection
            .prepare_cached("SELECT row FROM key WHERE app = ? AND key = ? AND at > ?")?
            .query_row(params![app, key, oldest], |row| row.get(0))
            .optional()
    }

    fn next_row(&mut self) -> rusqlite::Result<i64> {
        let row = self.books.next_row;
        if row >= self.books.reserved {
            self.books.reserved = row + BLOCK;
            schema::set(self.connection, "next_row", self.books.reserved)?;
        }
        self.books.next_row += 1;
        Ok(row)
    }

    /// The number of an app, given to it if need be.
    pub(super) fn number_of(&mut self, app: &AppName) -> rusqlite::Result<AppNumber> {
        if let Some(number) = self.books.totals.apps.get(app) {
            return Ok(*number);
        }
        self.connection.prepare_cached("INSERT INTO app (name) VALUES (?)")?.execute([app.as_str()])?;
        let number = self.connection.last_insert_rowid();
        self.books.totals.apps.insert(app.clone(), number);
        Ok(number)
    }

    pub(super) fn claim(&mut self, app: &AppName, shares: &[Share], now: WallTime) -> Done<Claim> {
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(Claim::default()) };
        self.claim_rows(app, number, shares, now).map_err(|error| failed(&error))
    }

    /// The times and rows of a share whose time has come, oldest first.
    fn due_turns(&self, app: AppNumber, share: Share, now: WallTime) -> rusqlite::Result<Vec<(i64, i64)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT due, row FROM pending WHERE app = ? AND route = ? AND state = 0 AND due <= ? ORDER BY due, row LIMIT ?",
        )?;
        let limit = i64::try_from(share.limit).unwrap_or(i64::MAX);
        let mut turns: Vec<(i64, i64)> = Vec::new();
        for route in share.routes.numbers() {
            let rows =
                select.query_map(params![app, route, millis(now), limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for turn in rows {
                turns.push(turn?);
            }
        }
        // Those of one route are in order, which costs next to nothing here.
        turns.sort();
        turns.truncate(share.limit);
        Ok(turns)
    }

    fn claim_rows(
        &mut self,
        app: &AppName,
        number: AppNumber,
        shares: &[Share],
        now: WallTime,
    ) -> rusqlite::Result<Claim> {
        let mut entries = Vec::new();
        let mut unreadable = Vec::new();
        {
            let columns = Pending::COLUMNS;
            let mut select =
                self.connection.prepare_cached(&format!("SELECT {columns}, body FROM pending WHERE row = ?"))?;
            let mut turns = Vec::new();
            for share in shares {
                turns.extend(self.due_turns(number, *share, now)?);
            }
            turns.sort();
            for (_, row) in turns {
                let mut rows = select.query([row])?;
                let Some(row) = rows.next()? else { continue };
                let pending = Pending::read(row)?;
                match decode(row.get_ref(Pending::WIDTH)?.as_bytes()?) {
                    Ok(notification) => entries.push(Claimed {
                        id: self.books.names.name(pending.row),
                        notification,
                        idempotency_key: pending.key.map(Arc::from),
                        tag: pending.tag,
                        accepted_at: pending.accepted_at,
                        send_at: pending.send_at,
                        route: pending.route,
                        tries: pending.tries,
                        claim: ClaimNumber::new(pending.claim.get().wrapping_add(1)),
                    }),
                    Err(error) => unreadable.push((pending, error)),
                }
            }
        }
        let mut mark = self.connection.prepare_cached("UPDATE pending SET state = 1, claim = ? WHERE row = ?")?;
        for entry in &entries {
            mark.execute(params![entry.claim.get(), self.books.names.row(entry.id)])?;
        }
        self.books.claimed_some(number, entries.len() as u64);
        for (pending, error) in unreadable {
            let why = abandoned(&error.to_string());
            self.end(app, &pending, &why, now)?;
            self.books.ended_waiting(number, pending.bytes);
        }
        let mut first = self
            .connection
            .prepare_cached("SELECT due FROM pending WHERE app = ? AND route = ? AND state = 0 ORDER BY due LIMIT 1")?;
        let (mut next_due, mut waits) = (None::<i64>, Routes::default());
        for route in shares.iter().flat_map(|share| share.routes.numbers()) {
            let due: Option<i64> = first.query_row(params![number, route], |row| row.get(0)).optional()?;
            if due.is_some() {
                waits = waits.with(Route::from_number(route.into()));
            }
            next_due = next_due.into_iter().chain(due).min();
        }
        Ok(Claim { entries, next_due: next_due.map(time), waits })
    }

    pub(super) fn end_attempts(
        &mut self,
        app: &AppName,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> Done<Vec<(Cursor, OutcomeRecord)>> {
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(Vec::new()) };
        self.end_attempts_of(app, number, routes, before, now).map_err(|error| failed(&error))
    }

    fn end_attempts_of(
        &mut self,
        app: &AppName,
        number: AppNumber,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> rusqlite::Result<Vec<(Cursor, OutcomeRecord)>> {
        let columns = Pending::COLUMNS;
        let routes: Vec<String> = routes.numbers().map(|number| number.to_string()).collect();
        let query = format!(
            "SELECT {columns} FROM pending WHERE app = ?1 AND state = 0 AND once = 1 AND accepted_at < ?2
             AND coalesce(send_at, accepted_at) < ?2 AND route IN ({}) ORDER BY accepted_at LIMIT ?3",
            routes.join(", ")
        );
        let found: Vec<Pending> = {
            let mut select = self.connection.prepare_cached(&query)?;
            let rows = select.query_map(params![number, millis(before), STEP], Pending::read)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut ended = Vec::with_capacity(found.len());
        for pending in found {
            let outcome = if pending.tries.replays == 0 { Outcome::Expired } else { too_late() };
            ended.push(self.end(app, &pending, &outcome, now)?);
            self.books.ended_waiting(number, pending.bytes);
        }
        Ok(ended)
    }

    pub(super) fn change(&mut self, changes: Vec<Change>) -> Done<Vec<(Cursor, OutcomeRecord)>> {
        let mut settled = Vec::with_capacity(changes.len());
        for change in changes {
            let result = match change {
                Change::Settle(settlement) => self.settle(*settlement),
                Change::Postpone(postponement) => self.postpone(postponement).map(|()| None),
            };
            settled.extend(result.map_err(|error| failed(&error))?);
        }
        Ok(settled)
    }

    fn settle(&mut self, settlement: Settlement) -> rusqlite::Result<Option<(Cursor, OutcomeRecord)>> {
        let Settlement { record, gone, claim } = settlement;
        let Some(row) = self.books.names.row(record.id) else { return Ok(None) };
        let removed: Option<(AppNumber, i64)> = self
            .connection
            .prepare_cached(
                "DELETE FROM pending WHERE row = ? AND state = 1 AND claim = ? RETURNING app, length(body)",
            )?
            .query_row([row, claim.get()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((app, bytes)) = removed else { return Ok(None) };
        self.books.settled_one(app, bytes.try_into().unwrap_or_default());
        if let Some(gone) = gone {
            self.insert_gone(app, &gone)?;
        }
        let place = self.insert_outcome(row, app, &record)?;
        Ok(Some((cursor(place), record)))
    }

    fn insert_outcome(&self, row: i64, app: AppNumber, record: &OutcomeRecord) -> rusqlite::Result<i64> {
        let text = serde_json::to_string(record).expect("a record has text keys and numbers only");
        self.connection
            .prepare_cached("INSERT INTO outcome (row, app, at, record) VALUES (?, ?, ?, ?)")?
            .execute(params![row, app, i64::try_from(record.settled_at).unwrap_or(LIKE_NEVER), text])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn postpone(&mut self, postponement: Postponement) -> rusqlite::Result<()> {
        let Postponement { id, due, route, tries, claim } = postponement;
        let Some(row) = self.books.names.row(id) else { return Ok(()) };
        let app: Option<AppNumber> = self
            .connection
            .prepare_cached(
                "UPDATE pending SET state = 0, due = ?, attempts = ?, replays = ?, retries = ?, route = ?
                 WHERE row = ? AND state = 1 AND claim = ? RETURNING app",
            )?
            .query_row(
                params![millis(due), tries.attempts, tries.replays, tries.retries, route.number(), row, claim.get()],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(app) = app {
            self.books.put_back_some(app, 1);
        }
        Ok(())
    }

    /// Gives this opening of the tables a number of its own.
    pub(super) fn count_opening(&mut self) -> Done<i64> {
        count_opening(self.connection).map_err(|error| failed(&error))
    }

    /// What the process before claimed and knew: what never left waits again, and what it heard is done. Gives the rows that
    /// may have left.
    pub(super) fn take_up(&mut self, path: &Path) -> Done<Vec<i64>> {
        if self.books.totals.all.in_flight == 0 {
            return Ok(Vec::new());
        }
        let opening = schema::number(self.connection, OPENING).map_err(|error| failed(&error))?.unwrap_or_default();
        let mut sent = sent::read(path, opening);
        let mut left = Vec::new();
        for (row, app, claim) in self.claimed().map_err(|error| failed(&error))? {
            match sent.as_mut().map(|sent| sent.remove(&row)) {
                Some(Some(Last::Changed(change))) if change.claim() == claim => _ = self.change(vec![change])?,
                // A version that wrote no claims may mean this one.
                Some(Some(Last::Changed(change))) if change.claim() == ClaimNumber::new(0) => left.push(row),
                None | Some(Some(Last::Left)) => left.push(row),
                // What is said of an earlier claim says that nothing was heard of this one, nor that it left.
                Some(Some(Last::Changed(_)) | None) => {
                    self.connection
                        .prepare_cached("UPDATE pending SET state = 0 WHERE row = ?")
                        .and_then(|mut update| update.execute([row]))
                        .map_err(|error| failed(&error))?;
                    self.books.put_back_some(app, 1);
                }
            }
        }
        Ok(left)
    }

    fn claimed(&self) -> rusqlite::Result<Vec<(i64, AppNumber, ClaimNumber)>> {
        let mut select = self.connection.prepare("SELECT row, app, claim FROM pending WHERE state = 1")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, ClaimNumber::new(row.get(2)?))))?;
        rows.collect()
    }

    /// Gives what waits again as well.
    pub(super) fn recover(
        &mut self,
        app: &AppName,
        policy: LossPolicy,
        now: WallTime,
    ) -> Done<(Recovered, Vec<Postponement>)> {
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(Default::default()) };
        // What is in flight is in no index: looking for it costs a walk through everything that is pending.
        if self.books.of(number).in_flight == 0 {
            return Ok(Default::default());
        }
        self.recover_rows(app, number, policy, now).map_err(|error| failed(&error))
    }

    fn recover_rows(
        &mut self,
        app: &AppName,
        number: AppNumber,
        policy: LossPolicy,
        now: WallTime,
    ) -> rusqlite::Result<(Recovered, Vec<Postponement>)> {
        let (mut recovered, mut again) = (Recovered::default(), Vec::new());
        for pending in self.pending(number, 1, -1)? {
            let cause = match policy {
                LossPolicy::Resend { at_most } if pending.tries.replays < at_most => {
                    let tries = Tries { replays: pending.tries.replays + 1, ..pending.tries };
                    let id = self.books.names.name(pending.row);
                    let postponement = Postponement { id, due: now, route: pending.route, tries, claim: pending.claim };
                    self.postpone(postponement)?;
                    again.push(postponement);
                    recovered.resent += 1;
                    continue;
                }
                LossPolicy::Resend { at_most } if at_most > 0 => {
                    UnknownCause::ReplaysExhausted { replays: pending.tries.replays }
                }
                _ => UnknownCause::ConnectionLost("the daemon ended before an answer was kept".into()),
            };
            let ended = self.end(app, &pending, &Outcome::Unknown { cause }, now)?;
            self.books.settled_one(number, pending.bytes);
            recovered.reported.push(ended);
        }
        Ok((recovered, again))
    }

    /// Ends at most twice [`STEP`] of them; others that wait for the writer get their turn between.
    pub(super) fn abandon(&mut self, app: &AppName, why: &str, now: WallTime) -> Done<Vec<(Cursor, OutcomeRecord)>> {
        let Some(number) = self.books.totals.apps.get(app).copied() else { return Ok(Vec::new()) };
        self.abandon_rows(app, number, why, now).map_err(|error| failed(&error))
    }

    fn abandon_rows(
        &mut self,
        app: &AppName,
        number: AppNumber,
        why: &str,
        now: WallTime,
    ) -> rusqlite::Result<Vec<(Cursor, OutcomeRecord)>> {
        let mut ended = Vec::new();
        // What is in flight is in no index, so it is looked for only where there is any. Its engine has ended.
        let in_flight = if self.books.of(number).in_flight > 0 { self.pending(number, 1, STEP)? } else { Vec::new() };
        for pending in in_flight {
            let outcome = Outcome::Unknown { cause: UnknownCause::ConnectionLost(why.into()) };
            ended.push(self.end(app, &pending, &outcome, now)?);
            self.books.settled_one(number, pending.bytes);
        }
        for pending in self.pending(number, 0, STEP)? {
            let outcome = match pending.tries.replays {
                0 => abandoned(why),
                // A copy may have arrived.
                _ => Outcome::Unknown { cause: UnknownCause::ConnectionLost(why.into()) },
            };
            ended.push(self.end(app, &pending, &outcome, now)?);
            self.books.ended_waiting(number, pending.bytes);
        }
        Ok(ended)
    }

    /// The first of an app, at most so many; all with -1.
    fn pending(&self, app: AppNumber, state: i64, most: i64) -> rusqlite::Result<Vec<Pending>> {
        // In the order of the index of what waits, which is there for a state that is written out only.
        let columns = Pending::COLUMNS;
        let query =
            format!("SELECT {columns} FROM pending WHERE app = ? AND state = {state} ORDER BY route, due, row LIMIT ?");
        let mut select = self.connection.prepare_cached(&query)?;
        let rows = select.query_map(params![app, most], Pending::read)?;
        rows.collect()
    }

    /// Ends a row whatever its state; the books are the caller's.
    fn end(
        &self,
        app: &AppName,
        pending: &Pending,
        outcome: &Outcome,
        now: WallTime,
    ) -> rusqlite::Result<(Cursor, OutcomeRecord)> {
        self.end_with(app, pending, outcome, now, |record| record)
    }

    /// The same, with something added to the record.
    pub(super) fn end_with(
        &self,
        app: &AppName,
        pending: &Pending,
        outcome: &Outcome,
        now: WallTime,
        add: impl FnOnce(OutcomeRecord) -> OutcomeRecord,
    ) -> rusqlite::Result<(Cursor, OutcomeRecord)> {
        let id = self.books.names.name(pending.row);
        let record = OutcomeRecord::new(id, app.clone(), outcome, pending.accepted_at, now)
            .with_tries(pending.tries)
            .with_send_at(pending.send_at)
            .with_idempotency_key(pending.key.as_deref())
            .with_tag(pending.tag.clone());
        let record = add(record);
        self.connection.prepare_cached("DELETE FROM pending WHERE row = ?")?.execute([pending.row])?;
        let place = self.insert_outcome(pending.row, pending.app, &record)?;
        Ok((cursor(place), record))
    }

    pub(super) fn note_gone(&mut self, app: &AppName, tokens: &[GoneToken]) -> Done<()> {
        let mut note = || {
            let number = self.number_of(app)?;
            tokens.iter().try_for_each(|token| self.insert_gone(number, token))
        };
        note().map_err(|error: rusqlite::Error| failed(&error))
    }

    fn insert_gone(&self, app: AppNumber, gone: &GoneToken) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO gone (app, token, topic, since, found_at, reason) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![
                app,
                gone.token.as_bytes(),
                gone.topic,
                gone.since.map(millis),
                millis(gone.found_at),
                gone.reason
            ])?;
        Ok(())
    }

    pub(super) fn mark_read(&mut self, app: &AppName, reader: &str, upto: &Cursor) -> Done<()> {
        let place = place(upto)?;
        let mut mark = || {
            let number = self.number_of(app)?;
            let place = places::since_a_move(self.connection, "gone", number, place)?;
            self.connection
                .prepare_cached(
                    "INSERT INTO reader (app, name, place) VALUES (?, ?, ?)
                     ON CONFLICT (app, name) DO UPDATE SET place = max(place, excluded.place)",
                )?
                .execute(params![number, reader, place])
        };
        mark().map(|_| ()).map_err(|error| failed(&error))
    }

    pub(super) fn keep_app(&mut self, app: &StoredApp) -> Done<()> {
        self.define(&app.name, Some(&app.definition))
    }

    pub(super) fn forget_app(&mut self, app: &AppName) -> Done<()> {
        self.define(app, None)
    }

    fn define(&mut self, app: &AppName, definition: Option<&str>) -> Done<()> {
        let mut define = || {
            let number = self.number_of(app)?;
            self.connection
                .prepare_cached("UPDATE app SET definition = ? WHERE number = ?")?
                .execute(params![definition, number])
        };
        define().map(|_| ()).map_err(|error| failed(&error))
    }

    /// Stores something. After a failure as much as a call may need: a few bytes may find room on a disk that is full.
    pub(super) fn probe(&mut self) -> Done<()> {
        let ballast = if self.books.troubled { BALLAST } else { 1 };
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', randomblob(?))")
            .and_then(|mut insert| insert.execute([ballast]))
            .map_err(|error| failed(&error))?;
        self.books.troubled = false;
        Ok(())
    }
}

/// What is stored to find out whether a disk that failed takes something again.
const BALLAST: i64 = 256 * 1024;

/// How many notifications are ended at once that nobody sends any more.
pub(super) const STEP: i64 = 2000;
