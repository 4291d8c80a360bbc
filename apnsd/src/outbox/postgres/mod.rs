//! The outbox of several daemons in one PostgreSQL, version 15 or later.
//!
//! Each daemon is a *node*. A node has a lease, which it renews; an app is delivered by the node that has its lane. Every
//! statement that matters is one transaction, and can be asked for again when its answer was lost.

mod connections;
mod ends;
mod intake;
mod lane;
mod node;
mod read;
mod reading;
mod schema;
mod search;
mod settings;
mod sweep;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::{Expiration, WallTime};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::connections::{Address, Param, Pool};
pub(super) use self::connections::{Link, Trouble};
use self::intake::{Intake, NewRow};
use self::node::Node;
pub(super) use self::schema::random;
pub use self::settings::{PostgresSettings, SettingsError};
use super::moved::PLACES_BEFORE;
use super::names::Names;
use super::search::Marker;
use super::{
    Accepted, Answer, AppPause, Backlog, Bell, Bounds, Counts, Cursor, Disk, FeedbackPage, Found, GoneToken, Lane,
    NewEntry, Outbox, OutboxError, OutcomeRecord, ReadFrom, Search, Selection, StoredApp, Tracked, Unread, Withdrawal,
    Withdrawn, encode,
};
use crate::{AppName, NotificationId};

/// A time that never comes, in milliseconds: half of the range, so that sums of two stay inside.
const LIKE_NEVER: i64 = i64::MAX / 2;

/// The name of an app in rows.
type AppNumber = i32;

/// An outbox in PostgreSQL, as one node has it open.
pub struct PostgresOutbox {
    shared: Arc<Shared>,
    intake: Intake,
    /// What goes on without being asked. It ends with this.
    tasks: Mutex<Option<JoinSet<()>>>,
    bells: Mutex<Option<mpsc::Receiver<Bell>>>,
}

/// What the parts have in common.
#[derive(Debug)]
struct Shared {
    names: Names,
    marker: Marker,
    bounds: Bounds,
    /// For lanes, and for everything that is read.
    work: Pool,
    node: Node,
    apps: Mutex<HashMap<AppName, AppNumber>>,
    /// See [`PLACES_BEFORE`].
    places_before: Option<i64>,
    /// Something changed that other nodes want to know.
    ring: Notify,
}

impl fmt::Debug for PostgresOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOutbox").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

/// Milliseconds as they stand in a row.
fn millis(time: WallTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(LIKE_NEVER)
}

/// A time from a row.
fn time(millis: i64) -> WallTime {
    WallTime::from_millis(millis.try_into().unwrap_or_default())
}

fn span(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(LIKE_NEVER)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A place in a table as a cursor.
fn cursor(place: i64) -> Cursor {
    Cursor::new(place.to_string())
}

fn not_ours(cursor: &Cursor) -> OutboxError {
    OutboxError::Cursor { cursor: cursor.as_str().chars().take(40).collect() }
}

/// The place that a cursor stands for.
fn place(cursor: &Cursor) -> Result<i64, OutboxError> {
    match cursor.as_str() {
        "" => Ok(0),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| not_ours(cursor)),
        _ => Err(not_ours(cursor)),
    }
}

impl PostgresOutbox {
    /// Opens the outbox: asks the server whether it keeps what it is given, makes the tables or brings them up to date, and
    /// takes the node's lease. What an earlier process of this node held is this one's.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unusable`] when the server is not one to rely on, or a later version made the tables;
    /// [`OutboxError::Failed`] when it cannot be reached.
    pub async fn open(settings: &PostgresSettings, bounds: Bounds) -> Result<Self, OutboxError> {
        let incarnation = random()?;
        let address = settings.address(incarnation);
        let (first, schema::Common { names, key }) = ready(&address).await?;
        let closed = CancellationToken::new();
        let places_before = schema::number(&first, PLACES_BEFORE).await?;
        let (intake, work) = settings.shares();
        let shared = Arc::new(Shared {
            names: Names::new(names.cast_unsigned()),
            marker: Marker::new(key, bounds.tokens),
            bounds,
            work: Pool::new(address.clone(), work, closed.clone()),
            node: Node::new(settings.node(), incarnation, settings.lease(), closed),
            apps: Mutex::default(),
            places_before,
            ring: Notify::new(),
        });
        shared.node.begin(&first).await?;
        // After that: a move that begins from now on sees this node.
        if let Err(elsewhere) = schema::ensure_here(&first).await {
            shared.node.end(&first).await?;
            return Err(elsewhere.into());
        }
        let mut tasks = JoinSet::new();
        let intake = Intake::start(&shared, &address, intake, &mut tasks);
        let (bells, heard) = mpsc::channel(1024);
        tasks.spawn(node::keep(shared.clone(), address.clone(), first));
        tasks.spawn(watch::watch(shared.clone(), address, bells));
        Ok(Self { shared, intake, tasks: Mutex::new(Some(tasks)), bells: Mutex::new(Some(heard)) })
    }

    /// Connects as [`open`](Self::open) does, looks whether the server can be used, and changes nothing.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub async fn check(settings: &PostgresSettings) -> Result<(), OutboxError> {
        let link = settings.address(0).connect().await?;
        Ok(schema::check(&link).await?)
    }
}

/// A connection to a server that can be used, with its tables up to date, and what all nodes have in common.
async fn ready(address: &Address) -> Result<(Link, schema::Common), Trouble> {
    let link = address.connect().await?;
    schema::check(&link).await?;
    let common = schema::migrate(&link).await?;
    Ok((link, common))
}

/// The same for who is no node.
pub(super) async fn ready_link(settings: &PostgresSettings) -> Result<Link, Trouble> {
    Ok(ready(&settings.address(random()?)).await?.0)
}

impl Shared {
    /// The number of an app; `None` where nothing was ever stored of it.
    async fn known_number(&self, link: &Link, app: &AppName) -> Result<Option<AppNumber>, Trouble> {
        let known = self.apps.lock().get(app).copied();
        if known.is_some() {
            return Ok(known);
        }
        let found = link.rows("SELECT number FROM app WHERE name = $1", &[&app.as_str()]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let number = row.get(0);
        self.apps.lock().insert(app.clone(), number);
        Ok(Some(number))
    }

    /// The number of an app, given to it if need be.
    async fn number_of(&self, link: &Link, app: &AppName) -> Result<AppNumber, Trouble> {
        if let Some(number) = self.known_number(link, app).await? {
            return Ok(number);
        }
        let make = "WITH made AS (INSERT INTO app (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING number),
                placed AS (INSERT INTO app_place (app) SELECT number FROM made)
            INSERT INTO lane (app) SELECT number FROM made";
        link.run(make, &[&app.as_str()]).await?;
        let made = self.known_number(link, app).await?;
        made.ok_or_else(|| Trouble::Store(OutboxError::Failed("an app that was just made is gone".to_owned())))
    }

    /// Has something read.
    async fn read<T, F>(
        self: &Arc<Self>,
        job: impl FnOnce(Arc<Self>, Arc<Link>) -> F + Send + 'static,
    ) -> Result<T, OutboxError>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
        T: Send + 'static,
    {
        let shared = self.clone();
        self.work.run(move |link| job(shared, link)).await
    }

    /// Has something changed that other nodes want to know of.
    async fn change<T, F>(
        self: &Arc<Self>,
        job: impl FnOnce(Arc<Self>, Arc<Link>) -> F + Send + 'static,
    ) -> Result<T, OutboxError>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
        T: Send + 'static,
    {
        self.read(move |shared, link| async move {
            let done = job(shared.clone(), link).await;
            shared.ring.notify_one();
            done
        })
        .await
    }

    /// What the registry holds has changed.
    async fn registry_changed(link: &Link, sql: &'static str, params: &[Param<'_>]) -> Result<(), Trouble> {
        link.batch("BEGIN").await?;
        link.run(sql, params).await?;
        link.run("UPDATE meta SET value = value + 1 WHERE name = 'registry'", &[]).await?;
        link.batch("COMMIT").await
    }
}

impl Outbox for PostgresOutbox {
    fn accept(&self, app: &AppName, entries: Vec<NewEntry>) -> Answer<'_, Vec<Accepted>> {
        // Encoded here, on the caller's thread.
        let rows: Vec<NewRow> = entries
            .into_iter()
            .map(|entry| NewRow {
                body: encode(&entry.notification),
                marks: self.shared.marker.of(app, &entry.notification, entry.tag.as_ref()),
                tag: entry.tag,
                once: entry.notification.expiration() == Expiration::Immediately,
                key: entry.idempotency_key,
                digest: entry.digest,
                at: millis(entry.at),
                send_at: entry.send_at.map(millis),
                route: entry.route.number().into(),
            })
            .collect();
        let (reply, answer) = oneshot::channel();
        self.intake.put(app.clone(), rows, reply);
        Box::pin(async move { answer.await.unwrap_or(Err(OutboxError::Closed)) })
    }

    fn hold(self: Arc<Self>, app: &AppName) -> Answer<'static, Arc<dyn Lane>> {
        let (shared, app) = (self.shared.clone(), app.clone());
        Box::pin(async move { Ok(Arc::new(lane::hold(shared, app).await?) as Arc<dyn Lane>) })
    }

    fn abandon(&self, app: &AppName, why: &str, now: WallTime) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let (app, why) = (app.clone(), why.to_owned());
        Box::pin(self.shared.change(move |shared, link| async move { shared.abandon(&link, &app, &why, now).await }))
    }

    fn withdraw(
        &self,
        app: &AppName,
        selection: Selection,
        why: Withdrawal,
        after: &Cursor,
        now: WallTime,
    ) -> Answer<'_, Withdrawn> {
        let (app, after) = (app.clone(), after.clone());
        Box::pin(self.shared.change(move |shared, link| async move {
            shared.withdraw(&link, &app, &selection, why, &after, now).await
        }))
    }

    fn by_keys(&self, app: &AppName, keys: Vec<Arc<str>>, now: WallTime) -> Answer<'_, Vec<Option<NotificationId>>> {
        let app = app.clone();
        Box::pin(self.shared.read(move |shared, link| async move { shared.by_keys(&link, &app, &keys, now).await }))
    }

    fn set_pause(&self, app: &AppName, pause: Option<AppPause>) -> Answer<'_, ()> {
        let app = app.clone();
        Box::pin(self.shared.change(move |shared, link| async move {
            let number = shared.number_of(&link, &app).await?;
            let since = pause.as_ref().map(|pause| millis(pause.since));
            let reason = pause.as_ref().and_then(|pause| pause.reason.as_deref()).map(str::as_bytes);
            let set = "UPDATE app SET paused_at = $2, pause_reason = $3 WHERE number = $1";
            Shared::registry_changed(&link, set, &[&number, &since, &reason]).await
        }))
    }

    fn pauses(&self) -> Answer<'_, Vec<(AppName, AppPause)>> {
        Box::pin(self.shared.read(|_, link| async move { read::pauses(&link).await }))
    }

    fn lookup(&self, ids: Vec<NotificationId>) -> Answer<'_, Vec<Option<Tracked>>> {
        Box::pin(self.shared.read(move |shared, link| async move { shared.lookup(&link, &ids).await }))
    }

    fn search(&self, app: &AppName, search: Search, after: &Cursor, limit: usize) -> Answer<'_, Found> {
        let (app, after) = (app.clone(), after.clone());
        let plan = self.shared.marker.plan(&app, search);
        Box::pin(
            self.shared.read(move |shared, link| async move { shared.search(&link, &app, plan?, &after, limit).await }),
        )
    }

    fn outcomes(&self, app: &AppName, after: &Cursor, limit: usize) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let (app, after) = (app.clone(), place(after));
        Box::pin(self.shared.read(move |shared, link| async move {
            let after = read::since_a_move(&link, &app, after?, shared.places_before).await?;
            read::outcomes(&link, &app, after, limit).await
        }))
    }

    fn newest_outcome(&self, app: &AppName) -> Answer<'_, Cursor> {
        let app = app.clone();
        Box::pin(self.shared.read(move |_, link| async move { read::newest_outcome(&link, &app).await }))
    }

    fn note_gone(&self, app: &AppName, tokens: Vec<GoneToken>) -> Answer<'_, ()> {
        let app = app.clone();
        Box::pin(self.shared.read(move |shared, link| async move { shared.note_gone(&link, &app, &tokens).await }))
    }

    fn gone(&self, app: &AppName, after: &Cursor, since: WallTime, limit: usize) -> Answer<'_, FeedbackPage> {
        let (app, after) = (app.clone(), place(after));
        Box::pin(self.shared.read(move |_, link| async move { read::gone(&link, &app, after?, since, limit).await }))
    }

    fn unread(&self, app: &AppName, reader: &str, limit: usize) -> Answer<'_, FeedbackPage> {
        let (app, reader) = (app.clone(), reader.to_owned());
        Box::pin(self.shared.read(move |_, link| async move { read::unread(&link, &app, &reader, limit).await }))
    }

    fn mark_read(&self, app: &AppName, reader: &str, upto: &Cursor) -> Answer<'_, ()> {
        let (app, reader, upto) = (app.clone(), reader.to_owned(), place(upto));
        Box::pin(self.shared.read(move |shared, link| async move {
            let (upto, number) = (upto?, shared.number_of(&link, &app).await?);
            let mark = "INSERT INTO reader AS r (app, name, place) VALUES ($1, $2, $3)
                ON CONFLICT (app, name) DO UPDATE SET place = greatest(r.place, excluded.place)";
            link.run(mark, &[&number, &reader.as_bytes(), &upto]).await.map(drop)
        }))
    }

    fn begin_reading(&self, app: &AppName, reader: &str, from: ReadFrom, now: WallTime) -> Answer<'_, ()> {
        let (app, reader) = (app.clone(), reader.to_owned());
        Box::pin(
            self.shared
                .read(move |shared, link| async move { shared.begin_reading(&link, &app, &reader, from, now).await }),
        )
    }

    fn unread_outcomes(
        &self,
        app: &AppName,
        reader: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Answer<'_, Option<Unread>> {
        let (app, reader, after) = (app.clone(), reader.to_owned(), after.map(place).transpose());
        Box::pin(self.shared.read(move |shared, link| async move {
            shared.unread_outcomes(&link, &app, &reader, after?.unwrap_or_default(), limit).await
        }))
    }

    fn backlog(&self, app: &AppName, reader: &str) -> Answer<'_, Option<Backlog>> {
        let (app, reader) = (app.clone(), reader.to_owned());
        Box::pin(self.shared.read(move |_, link| async move { reading::backlog(&link, &app, &reader).await }))
    }

    fn readers(&self) -> Answer<'_, Vec<(AppName, String)>> {
        Box::pin(self.shared.read(|_, link| async move { reading::readers(&link).await }))
    }

    fn lapsed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.shared.node.lapsed())
    }

    fn counts(&self, app: &AppName) -> Answer<'_, Counts> {
        let app = app.clone();
        Box::pin(self.shared.read(move |_, link| async move { read::counts(&link, Some(&app)).await }))
    }

    fn total(&self) -> Answer<'_, Counts> {
        Box::pin(self.shared.read(|_, link| async move { read::counts(&link, None).await }))
    }

    fn keep_app(&self, app: StoredApp) -> Answer<'_, ()> {
        Box::pin(self.shared.change(move |shared, link| async move {
            let number = shared.number_of(&link, &app.name).await?;
            let set = "UPDATE app SET definition = $2 WHERE number = $1";
            Shared::registry_changed(&link, set, &[&number, &&*app.definition]).await
        }))
    }

    fn forget_app(&self, app: &AppName) -> Answer<'_, ()> {
        let app = app.clone();
        Box::pin(self.shared.change(move |_, link| async move {
            let set = "UPDATE app SET definition = NULL WHERE name = $1";
            Shared::registry_changed(&link, set, &[&app.as_str()]).await
        }))
    }

    fn kept_apps(&self) -> Answer<'_, Vec<StoredApp>> {
        Box::pin(self.shared.read(|_, link| async move { read::kept_apps(&link).await }))
    }

    fn clock_set_back(&self, by: Duration, now: WallTime) -> Answer<'_, ()> {
        Box::pin(self.shared.read(move |shared, link| async move { shared.clock_set_back(&link, by, now).await }))
    }

    fn sweep(&self, now: WallTime) -> Answer<'_, bool> {
        Box::pin(self.shared.sweep(now))
    }

    fn probe(&self) -> Answer<'_, Disk> {
        Box::pin(self.shared.read(|_, link| async move {
            // Written and committed, as what is accepted has to be.
            let probe = "WITH wrote AS (UPDATE meta SET value = value + 1 WHERE name = 'probe' RETURNING 1)
                SELECT pg_database_size(current_database()), (SELECT count(*) FROM wrote)";
            let used = link.one(probe, &[]).await?.get(0);
            Ok(Disk { free: None, used: unsigned(used) })
        }))
    }

    fn oldest_waiting(&self, app: &AppName) -> Answer<'_, Option<WallTime>> {
        let app = app.clone();
        Box::pin(self.shared.read(move |_, link| async move { read::oldest_waiting(&link, &app).await }))
    }

    fn bells(&self) -> Option<mpsc::Receiver<Bell>> {
        self.bells.lock().take()
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let tasks = self.tasks.lock().take();
            let Some(mut tasks) = tasks else { return Ok(()) };
            self.intake.close().await;
            let shared = self.shared.clone();
            // Others need not wait for the end of the lease.
            let left = self.shared.work.run(|link| async move { shared.node.end(&link).await }).await;
            self.shared.node.close();
            tasks.shutdown().await;
            left
        })
    }
}
