//! What callers hand in: many calls share one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::connections::{Address, Link, Pool, Trouble, was_in_the_way};
use super::{AppNumber, Shared, schema, span, unsigned};
use crate::outbox::{Accepted, OutboxError};
use crate::{AppName, Tag};

/// The most notifications that share one transaction; a call is never split. The more, the longer the first of them waits.
const TOGETHER: usize = 2000;

/// The same in bytes.
const BYTES_TOGETHER: usize = 8 << 20;

/// So many calls wait at most for the connections; the next ones wait for a place.
const QUEUE: usize = 4096;

/// How many rows the sequence gives at once.
const BLOCK: i64 = 10_000;

/// How long it is asked whether something was stored, before the caller is told that nobody knows.
const SURE_WITHIN: Duration = Duration::from_secs(15);

const RETRY: Duration = Duration::from_millis(250);

/// A notification to be accepted, encoded.
pub(super) struct NewRow {
    pub(super) body: Vec<u8>,
    pub(super) marks: Vec<i64>,
    pub(super) tag: Option<Tag>,
    pub(super) key: Option<Arc<str>>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) at: i64,
    pub(super) send_at: Option<i64>,
    pub(super) route: i16,
    /// It asks for one attempt.
    pub(super) once: bool,
}

type Reply = oneshot::Sender<Result<Vec<Accepted>, OutboxError>>;

/// A caller's notifications.
struct Call {
    app: AppName,
    rows: Vec<NewRow>,
    reply: Reply,
}

impl Call {
    fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.body.len()).sum()
    }
}

/// The door to the connections that take things in.
pub(super) struct Intake {
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    /// Where a call waits that finds the queue full.
    closing: mpsc::Sender<()>,
    closed: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    pub(super) fn start(shared: &Arc<Shared>, address: &Address, connections: usize, tasks: &mut JoinSet<()>) -> Self {
        let (calls, inbox) = mpsc::channel(QUEUE);
        let inbox = Arc::new(tokio::sync::Mutex::new(inbox));
        let rows = Arc::new(tokio::sync::Mutex::new(0..0));
        let (closing, closed) = mpsc::channel(1);
        for _ in 0..connections {
            let pool = Pool::new(address.clone(), 1, shared.node.closing());
            let writer = Writer { shared: shared.clone(), pool, rows: rows.clone() };
            let (inbox, alive) = (inbox.clone(), closing.clone());
            tasks.spawn(async move {
                let _alive = alive;
                writer.write_all(&inbox).await;
            });
        }
        Self { calls: Mutex::new(Some(calls)), closing, closed: tokio::sync::Mutex::new(closed) }
    }

    /// Has something stored, and its caller told.
    pub(super) fn put(&self, app: AppName, rows: Vec<NewRow>, reply: Reply) {
        let calls = self.calls.lock().clone();
        // Where it was closed the caller is told by the reply that is dropped.
        let Some(calls) = calls else { return };
        match calls.try_send(Call { app, rows, reply }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(call)) => {
                tokio::spawn(async move { drop(calls.send(call).await) });
            }
        }
    }

    /// Waits until what was handed in is answered.
    pub(super) async fn close(&self) {
        drop(self.calls.lock().take());
        let mut closed = self.closed.lock().await;
        // The writers hold one each, and this the last.
        while self.closing.strong_count() > 1 {
            tokio::select! {
                _ended = closed.recv() => {}
                () = sleep(Duration::from_millis(10)) => {}
            }
        }
    }
}

/// What came of a transaction.
enum Written {
    /// For each call, in their order.
    Done(Vec<Vec<Accepted>>),
    /// Nothing was stored: this call does not fit.
    Refused(OutboxError),
}

/// One connection that takes things in.
struct Writer {
    shared: Arc<Shared>,
    pool: Pool,
    /// Numbers that were reserved, for all writers: what comes later has a higher one.
    rows: Arc<tokio::sync::Mutex<std::ops::Range<i64>>>,
}

impl Writer {
    async fn write_all(self, inbox: &tokio::sync::Mutex<mpsc::Receiver<Call>>) {
        loop {
            let mut calls = Vec::new();
            {
                let mut inbox = inbox.lock().await;
                let Some(first) = inbox.recv().await else { return };
                let (mut rows, mut bytes) = (first.rows.len(), first.bytes());
                calls.push(first);
                while rows < TOGETHER && bytes < BYTES_TOGETHER {
                    let Ok(next) = inbox.try_recv() else { break };
                    rows += next.rows.len();
                    bytes += next.bytes();
                    calls.push(next);
                }
            }
            let together = self.write(&calls).await;
            match together {
                Ok(Written::Done(accepted)) => {
                    for (call, accepted) in calls.into_iter().zip(accepted) {
                        // The caller may have left.
                        drop(call.reply.send(Ok(accepted)));
                    }
                }
                Ok(Written::Refused(error)) if calls.len() == 1 => {
                    calls.into_iter().for_each(|call| drop(call.reply.send(Err(error.clone()))));
                }
                // One does not fit: it must not be in the way of the others.
                Ok(Written::Refused(_)) => {
                    for call in calls {
                        let written = self.write(std::slice::from_ref(&call)).await;
                        let answer = match written {
                            Ok(Written::Done(mut accepted)) => Ok(accepted.pop().unwrap_or_default()),
                            Ok(Written::Refused(error)) | Err(error) => Err(error),
                        };
                        drop(call.reply.send(answer));
                    }
                }
                Err(error) => calls.into_iter().for_each(|call| drop(call.reply.send(Err(error.clone())))),
            }
            self.shared.ring.notify_one();
        }
    }

    /// Stores these in one transaction. Where no answer comes the server is asked again, with the same number of the batch: it
    /// knows whether it has it.
    async fn write(&self, calls: &[Call]) -> Result<Written, OutboxError> {
        let begun = Instant::now();
        let batch = schema::random()?;
        let mut numbers: Option<Vec<i64>> = None;
        let mut sent = false;
        loop {
            let tried = self.pool.run_here(|link| self.write_once(link, calls, batch, &mut numbers, &mut sent)).await;
            match tried {
                Ok(written) => return Ok(written),
                Err(Trouble::Store(error)) => return Err(error),
                Err(trouble) if begun.elapsed() < SURE_WITHIN => {
                    if !was_in_the_way(&trouble) {
                        sleep(RETRY).await;
                    }
                }
                Err(trouble) => {
                    let error = OutboxError::from(trouble);
                    return Err(match error {
                        OutboxError::Failed(why) if sent => OutboxError::Unsure(why),
                        error => error,
                    });
                }
            }
        }
    }

    async fn reserve(&self, link: &Link, count: usize) -> Result<Vec<i64>, Trouble> {
        let mut rows = self.rows.lock().await;
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            if rows.is_empty() {
                let first: i64 = link.one("SELECT nextval('pending_row')", &[]).await?.get(0);
                *rows = first..first + BLOCK;
            }
            numbers.extend(rows.by_ref().take(count - numbers.len()));
        }
        Ok(numbers)
    }

    async fn write_once(
        &self,
        link: Arc<Link>,
        calls: &[Call],
        batch: i64,
        numbers: &mut Option<Vec<i64>>,
        sent: &mut bool,
    ) -> Result<Written, Trouble> {
        let mut apps = Vec::with_capacity(calls.len());
        for call in calls {
            apps.push(self.shared.number_of(&link, &call.app).await?);
        }
        if numbers.is_none() {
            *numbers = Some(self.reserve(&link, calls.iter().map(|call| call.rows.len()).sum()).await?);
        }
        let numbers = numbers.as_deref().unwrap_or_default();
        let new = Columns::of(calls, &apps, numbers);
        let (room, accept) = (link.statement(ROOM).await?, link.statement(ACCEPT).await?);
        let idempotency = span(self.shared.bounds.idempotency);
        // All in one round trip.
        let params: [super::Param<'_>; 14] = [
            &batch,
            &new.rows,
            &new.apps,
            &new.keys,
            &new.digests,
            &new.at,
            &new.once,
            &new.bodies,
            &idempotency,
            &new.send_at,
            &new.route,
            &new.tags,
            &new.marks,
            &new.marked,
        ];
        let (begun, held, taken) = future::join3(
            link.client.batch_execute("BEGIN"),
            link.client.query(&room, &[]),
            link.client.query(&accept, &params),
        )
        .await;
        begun?;
        let (held, taken) = (held?, taken?);
        let fresh = taken.iter().any(|row| row.get::<_, i64>(0) < 0);
        if fresh && let Err(full) = self.ensure_room(&held, calls, &apps) {
            link.batch("ROLLBACK").await?;
            return Ok(Written::Refused(full));
        }
        if !fresh {
            // Stored before, perhaps by a session that was cut while it waited for a standby: a write of its own has this
            // commit wait for the standbys too.
            link.run("UPDATE batch SET at = clock_timestamp() WHERE id = $1", &[&batch]).await?;
        }
        // What did not get its key has a name already.
        let had: Vec<i64> = taken.iter().map(|row| row.get(0)).collect();
        let known = self.known(&link, &new, &had, fresh).await?;
        let answers = match self.answers(calls, &apps, numbers, &known) {
            Ok(answers) => answers,
            Err(reused) => {
                link.batch("ROLLBACK").await?;
                return Ok(Written::Refused(reused));
            }
        };
        *sent = true;
        link.batch("COMMIT").await?;
        Ok(Written::Done(answers))
    }

    /// Whether there is room for these, beside what is there.
    fn ensure_room(&self, held: &[Row], calls: &[Call], apps: &[AppNumber]) -> Result<(), OutboxError> {
        let bounds = &self.shared.bounds;
        let by_app: HashMap<AppNumber, u64> =
            held.iter().map(|row| (row.get(0), unsigned(row.get::<_, i64>(1)))).collect();
        let all: u64 = by_app.values().sum();
        let bytes: u64 = held.iter().map(|row| unsigned(row.get::<_, i64>(2))).sum();
        let count: usize = calls.iter().map(|call| call.rows.len()).sum();
        if all + count as u64 > bounds.notifications {
            return Err(OutboxError::Full { held: all, limit: bounds.notifications });
        }
        if bytes + calls.iter().map(Call::bytes).sum::<usize>() as u64 > bounds.bytes {
            return Err(OutboxError::BytesFull { held: bytes, limit: bounds.bytes });
        }
        let mut more: HashMap<AppNumber, (&AppName, u64)> = HashMap::new();
        for (call, app) in calls.iter().zip(apps) {
            more.entry(*app).or_insert((&call.app, 0)).1 += call.rows.len() as u64;
        }
        for (app, (name, count)) in more {
            let held = by_app.get(&app).copied().unwrap_or_default();
            if held + count > bounds.per_app {
                return Err(OutboxError::AppFull { app: name.clone(), held, limit: bounds.per_app });
            }
        }
        Ok(())
    }

    /// Which notifications the keys stand for that these rows did not get, or all keys of a batch that was stored before.
    async fn known(&self, link: &Link, new: &Columns<'_>, had: &[i64], fresh: bool) -> Result<Known, Trouble> {
        let (mut apps, mut keys) = (Vec::new(), Vec::new());
        for ((app, row), key) in new.apps.iter().zip(&new.rows).zip(&new.keys) {
            if let Some(key) = key
                && !(fresh && had.binary_search(row).is_ok())
            {
                apps.push(*app);
                keys.push(*key);
            }
        }
        let mut known = Known::new();
        if keys.is_empty() {
            return Ok(known);
        }
        let find = "SELECT k.app, k.key, k.row, k.digest FROM key AS k
            JOIN (SELECT DISTINCT * FROM unnest($1::int4[], $2::bytea[]) AS t(app, key)) AS t USING (app, key)";
        for row in link.rows(find, &[&apps, &keys]).await? {
            let digest = row.get::<_, Option<&[u8]>>(3).and_then(|digest| digest.try_into().ok());
            known.insert((row.get(0), row.get(1)), (row.get(2), digest));
        }
        Ok(known)
    }

    /// What each caller is told; an error where a key stands for another notification.
    fn answers(
        &self,
        calls: &[Call],
        apps: &[AppNumber],
        numbers: &[i64],
        known: &Known,
    ) -> Result<Vec<Vec<Accepted>>, OutboxError> {
        let mut numbers = numbers.iter().copied();
        let mut answers = Vec::with_capacity(calls.len());
        for (call, app) in calls.iter().zip(apps) {
            let mut answer = Vec::with_capacity(call.rows.len());
            for (index, (new, own)) in call.rows.iter().zip(numbers.by_ref()).enumerate() {
                let named = new.key.as_ref().and_then(|key| known.get(&(*app, key.as_bytes().to_vec())));
                let (row, digest) = named.copied().unwrap_or((own, None));
                if let (Some(digest), Some(mine)) = (digest, new.digest)
                    && digest != mine
                {
                    return Err(OutboxError::KeyReused { index });
                }
                answer.push(Accepted { id: self.shared.names.name(row), duplicate: row != own, findings: Vec::new() });
            }
            answers.push(answer);
        }
        Ok(answers)
    }
}

/// The row and the digest of each key.
type Known = HashMap<(AppNumber, Vec<u8>), (i64, Option<[u8; 32]>)>;

/// Rows by column, as the server takes them.
struct Columns<'a> {
    rows: Vec<i64>,
    apps: Vec<AppNumber>,
    keys: Vec<Option<&'a [u8]>>,
    digests: Vec<Option<&'a [u8]>>,
    at: Vec<i64>,
    send_at: Vec<Option<i64>>,
    route: Vec<i16>,
    once: Vec<bool>,
    bodies: Vec<&'a [u8]>,
    tags: Vec<Option<&'a [u8]>>,
    /// Marks, and the rows that have them.
    marks: Vec<i64>,
    marked: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(calls: &'a [Call], apps: &[AppNumber], numbers: &[i64]) -> Self {
        let each = || calls.iter().flat_map(|call| &call.rows);
        Self {
            rows: numbers.to_vec(),
            apps: calls.iter().zip(apps).flat_map(|(call, app)| call.rows.iter().map(|_| *app)).collect(),
            keys: each().map(|new| new.key.as_deref().map(str::as_bytes)).collect(),
            digests: each().map(|new| new.digest.as_ref().map(<[u8; 32]>::as_slice)).collect(),
            at: each().map(|new| new.at).collect(),
            send_at: each().map(|new| new.send_at).collect(),
            route: each().map(|new| new.route).collect(),
            once: each().map(|new| new.once).collect(),
            bodies: each().map(|new| &*new.body).collect(),
            tags: each().map(|new| new.tag.as_ref().map(|tag| tag.as_str().as_bytes())).collect(),
            marks: each().flat_map(|new| new.marks.iter().copied()).collect(),
            marked: each().zip(numbers).flat_map(|(new, row)| new.marks.iter().map(|_| *row)).collect(),
        }
    }
}

/// What is there of each app.
const ROOM: &str = "SELECT app, sum(waiting + in_flight)::int8, sum(bytes)::int8 FROM tally GROUP BY app";

/// Gives the rows that got their key, in their order, and -1 before them where the batch is new. Keys go in sorted, so that two
/// transactions do not wait for each other; one of each, because a statement may not change a row twice; and over those that
/// are too old to be remembered and not swept yet. A batch that is there already changes nothing.
const ACCEPT: &str = "
    WITH b AS (INSERT INTO batch (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id),
    new AS (SELECT t.* FROM b, unnest($2::int8[], $3::int4[], $4::bytea[], $5::bytea[], $6::int8[], $7::bool[], $8::bytea[],
        $10::int8[], $11::int2[], $12::bytea[]) AS t(row, app, key, digest, at, once, body, send_at, route, tag)),
    k AS (INSERT INTO key AS known (app, key, row, at, digest)
        SELECT DISTINCT ON (app, key) app, key, row, at, digest FROM new WHERE key IS NOT NULL ORDER BY app, key, row
        ON CONFLICT (app, key) DO UPDATE SET row = excluded.row, at = excluded.at, digest = excluded.digest
            WHERE known.at <= excluded.at - $9::int8
        RETURNING row),
    p AS (INSERT INTO pending (row, app, once, due, accepted_at, send_at, route, key, body, tag)
        SELECT row, app, once, coalesce(send_at, at), at, send_at, route, key, body, tag FROM new
            WHERE key IS NULL OR row IN (SELECT row FROM k)),
    m AS (INSERT INTO mark (range, mark, row) SELECT t.row >> 12, t.mark, t.row
        FROM b, unnest($13::int8[], $14::int8[]) AS t(mark, row)
            WHERE t.row NOT IN (SELECT row FROM new WHERE key IS NOT NULL AND row NOT IN (SELECT row FROM k)))
    SELECT -1::int8 FROM b UNION ALL SELECT row FROM k ORDER BY 1";
