//! The outbox in one file, with SQLite.
//!
//! One thread writes, and commits what waits for it together: a thousand callers share one sync. Another reads, and
//! never waits for the writer (write-ahead log).

mod books;
mod disk;

mod lane;
mod places;
mod read;
mod reading;
mod schema;
mod search;
mod sent;
mod sweep;
mod thread;
mod withdraw;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_proto::{Expiration, WallTime};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use self::books::Books;
use self::lane::SqliteLane;
pub(super) use self::schema::number;
#[cfg(feature = "postgres")]
pub(super) use self::schema::set;
use self::sent::Sent;
use self::thread::{Reader, Writer};
#[cfg(feature = "postgres")]
pub(super) use self::write::count_opening;
use super::names::Names;
use super::search::Marker;
use super::{
    Accepted, Answer, AppPause, Backlog, Bounds, Counts, Cursor, Disk, FeedbackPage, Found, GoneToken, Lane, NewEntry,
    Outbox, OutboxError, OutcomeRecord, ReadFrom, Search, Selection, StoredApp, Tracked, Unread, Withdrawal, Withdrawn,
    encode, moved,
};
use crate::{AppName, NotificationId};

/// The store's file in its directory.
pub(super) const FILE: &str = "outbox.sqlite3";

/// The file that says what was sent, beside it.
const SENT: &str = "outbox.sent";

/// An outbox on disk.
///
/// ```
/// use apnsd::outbox::sqlite::SqliteOutbox;
/// use apnsd::outbox::{Bounds, NewEntry, Outbox};
/// use apns_proto::{DeviceToken, Notification, Payload, WallTime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("apnsd-doc-{}", std::process::id()));
/// let outbox = SqliteOutbox::open(&directory, Bounds::default())?;
/// let notification = Notification::new(DeviceToken::from_bytes([7; 32])?, Payload::alert("Tea is ready"));
/// let at = WallTime::from_secs(1_700_000_000);
/// let entry = NewEntry { notification, idempotency_key: None, digest: None, tag: None, at, send_at: None, route: Default::default() };
/// let accepted = outbox.accept(&"shop".parse()?, vec![entry]).await?;
/// assert!(!accepted[0].duplicate);
/// # outbox.close().await?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteOutbox {
    path: PathBuf,
    names: Names,
    marker: Marker,
    writer: Writer,
    reader: Reader,
    sent: Arc<Sent>,
    /// Held until this is closed, so that no second process uses the same file.
    lock: Mutex<Option<Connection>>,
}

impl fmt::Debug for SqliteOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOutbox").field("path", &self.path).finish_non_exhaustive()
    }
}

fn unusable(path: &Path, error: impl fmt::Display) -> OutboxError {
    OutboxError::Unusable(format!("{}: {error}", shown(path)))
}

fn failed(error: &rusqlite::Error) -> OutboxError {
    OutboxError::Failed(error.to_string())
}

impl SqliteOutbox {
    /// Opens the outbox in this directory, which is made if need be, for its owner alone. Blocks for as long as the
    /// file system takes.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unusable`] when another process has it open, a later version wrote it, or the file system
    /// refuses.
    pub fn open(directory: &Path, bounds: Bounds) -> Result<Self, OutboxError> {
        let Held { path, connection, books, sent, lock } = hold(directory, &bounds)?;
        let mark = |name| number(&connection, name).map_err(|error| unusable(&path, error));
        moved::ensure_here(mark(moved::LEFT)?, mark(moved::LEAVING)?).map_err(|error| unusable(&path, error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reading = Connection::open_with_flags(&path, flags).map_err(|error| unusable(&path, error))?;
        let names = books.names;
        let marker = Marker::new(schema::key(&connection).map_err(|error| unusable(&path, error))?, bounds.tokens);
        let writer = Writer::start(connection, books, bounds).map_err(|error| unusable(&path, error))?;
        let reader = Reader::start(reading, names).map_err(|error| unusable(&path, error))?;
        Ok(Self { path, names, marker, writer, reader, sent: Arc::new(sent), lock: Mutex::new(Some(lock)) })
    }

    /// How often something was committed since it was opened: each time one sync, however many callers waited for it.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// A file that says too little stands there and cannot be taken away: it must not count.
    fn disown_sent(&self) {
        let sent = self.sent.clone();
        let counted = self.writer.ask(move |work| work.count_opening().inspect(|opening| sent.set_opening(*opening)));
        // It is done whether its answer is waited for or not; where it fails, nothing is claimed either.
        drop(counted);
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The tables, held by this process alone, with what the one before left behind put in order.
pub(super) struct Held {
    pub(super) connection: Connection,
    pub(super) lock: Connection,
    path: PathBuf,
    books: Books,
    sent: Sent,
}

/// Takes the outbox in a directory, and makes both if need be.
pub(super) fn hold(directory: &Path, bounds: &Bounds) -> Result<Held, OutboxError> {
    make_private(directory).map_err(|error| unusable(directory, error))?;
    let (path, locked) = (directory.join(FILE), directory.join("outbox.lock"));
    // SQLite gives the files that it puts beside one the same permissions.
    for file in [&path, &locked] {
        private_file(file).map_err(|error| unusable(file, error))?;
    }
    for (file, ending) in [(&path, "-wal"), (&path, "-shm"), (&path, "-journal"), (&locked, "-journal")] {
        let file = disk::beside(file, ending);
        close_to_others(&file).map_err(|error| unusable(&file, error))?;
    }
    let lock = lock(&locked)?;
    let mut connection = schema::open(&path)?;
    let mut books = Books::load(&connection).map_err(|error| unusable(&path, error))?;
    let sent = directory.join(SENT);
    let sent = thread::take_up(&mut connection, &mut books, bounds, &sent).map_err(|error| unusable(&path, error))?;
    Ok(Held { path, connection, books, sent, lock })
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(directory)?.permissions().mode();
        if mode & 0o077 != 0 {
            let directory = shown(directory);
            let mode = mode & 0o777;
            tracing::warn!("{directory} is open to others (mode {mode:03o}): the outbox in it is for its owner alone");
        }
    }
    Ok(())
}

/// Opens a file for its owner alone, to append to it; one that is there is closed to others.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    close_to_others(path)?;
    Ok(file)
}

/// Takes everybody else's permissions from a file, where it is there.
fn close_to_others(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = match std::fs::symlink_metadata(path) {
            Ok(data) if data.is_file() => data.permissions().mode(),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if mode & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A database of its own that is locked for as long as its connection lives: the system takes the lock away from a
/// process that died.
fn lock(path: &Path) -> Result<Connection, OutboxError> {
    let taken = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => unusable(path, "another process uses this outbox"),
        _ => unusable(path, error),
    };
    let connection = Connection::open(path).map_err(taken)?;
    connection.busy_timeout(Duration::ZERO).map_err(taken)?;
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").map_err(taken)?;
    Ok(connection)
}

impl Outbox for SqliteOutbox {
    fn accept(&self, app: &AppName, entries: Vec<NewEntry>) -> Answer<'_, Vec<Accepted>> {
        let app = app.clone();
        // Encoded here, on the caller's thread, so that the writer only writes.
        let rows: Vec<write::NewRow> = entries
            .into_iter()
            .map(|entry| write::NewRow {
                body: encode(&entry.notification),
                marks: self.marker.of(&app, &entry.notification, entry.tag.as_ref()),
                tag: entry.tag,
                once: entry.notification.expiration() == Expiration::Immediately,
                key: entry.idempotency_key,
                digest: entry.digest,
                at: entry.at.as_millis(),
                send_at: entry.send_at,
                route: entry.route,
            })
            .collect();
        self.writer.ask(move |work| work.accept(&app, &rows))
    }

    fn hold(self: Arc<Self>, app: &AppName) -> Answer<'static, Arc<dyn Lane>> {
        let lane = SqliteLane { outbox: self, app: app.clone() };
        Box::pin(async move { Ok(Arc::new(lane) as Arc<dyn Lane>) })
    }

    fn abandon(&self, app: &AppName, why: &str, now: WallTime) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let (app, why) = (app.clone(), why.to_owned());
        self.writer.ask(move |work| work.abandon(&app, &why, now))
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
        self.writer.ask(move |work| work.withdraw(&app, &selection, why, &after, now))
    }

    fn by_keys(&self, app: &AppName, keys: Vec<Arc<str>>, now: WallTime) -> Answer<'_, Vec<Option<NotificationId>>> {
        let app = app.clone();
        self.writer.ask(move |work| work.by_keys(&app, &keys, now))
    }

    fn set_pause(&self, app: &AppName, pause: Option<AppPause>) -> Answer<'_, ()> {
        let app = app.clone();
        self.writer.ask(move |work| work.set_pause(&app, pause.as_ref()))
    }

    fn pauses(&self) -> Answer<'_, Vec<(AppName, AppPause)>> {
        self.reader.ask(move |view| view.pauses())
    }

    fn lookup(&self, ids: Vec<NotificationId>) -> Answer<'_, Vec<Option<Tracked>>> {
        self.reader.ask(move |view| view.lookup(&ids))
    }

    fn search(&self, app: &AppName, search: Search, after: &Cursor, limit: usize) -> Answer<'_, Found> {
        let (app, after) = (app.clone(), after.clone());
        let plan = self.marker.plan(&app, search);
        self.reader.ask(move |view| view.search(&app, &plan?, &after, limit))
    }

    fn outcomes(&self, app: &AppName, after: &Cursor, limit: usize) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let (app, after) = (app.clone(), after.clone());
        self.reader.ask(move |view| view.outcomes(&app, &after, limit))
    }

    fn newest_outcome(&self, app: &AppName) -> Answer<'_, Cursor> {
        let app = app.clone();
        self.reader.ask(move |view| view.newest_outcome(&app))
    }

    fn note_gone(&self, app: &AppName, tokens: Vec<GoneToken>) -> Answer<'_, ()> {
        let app = app.clone();
        self.writer.ask(move |work| work.note_gone(&app, &tokens))
    }

    fn gone(&self, app: &AppName, after: &Cursor, since: WallTime, limit: usize) -> Answer<'_, FeedbackPage> {
        let (app, after) = (app.clone(), after.clone());
        self.reader.ask(move |view| view.gone(&app, &after, since, limit))
    }

    fn unread(&self, app: &AppName, reader: &str, limit: usize) -> Answer<'_, FeedbackPage> {
        let (app, reader) = (app.clone(), reader.to_owned());
        self.reader.ask(move |view| view.unread(&app, &reader, limit))
    }

    fn mark_read(&self, app: &AppName, reader: &str, upto: &Cursor) -> Answer<'_, ()> {
        let (app, reader, upto) = (app.clone(), reader.to_owned(), upto.clone());
        self.writer.ask(move |work| work.mark_read(&app, &reader, &upto))
    }

    fn begin_reading(&self, app: &AppName, reader: &str, from: ReadFrom, now: WallTime) -> Answer<'_, ()> {
        let (app, reader) = (app.clone(), reader.to_owned());
        self.writer.ask(move |work| work.begin_reading(&app, &reader, from, now))
    }

    fn unread_outcomes(
        &self,
        app: &AppName,
        reader: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Answer<'_, Option<Unread>> {
        let (app, reader, after) = (app.clone(), reader.to_owned(), after.cloned());
        self.reader.ask(move |view| view.unread_outcomes(&app, &reader, after.as_ref(), limit))
    }

    fn backlog(&self, app: &AppName, reader: &str) -> Answer<'_, Option<Backlog>> {
        let (app, reader) = (app.clone(), reader.to_owned());
        self.reader.ask(move |view| view.backlog(&app, &reader))
    }

    fn readers(&self) -> Answer<'_, Vec<(AppName, String)>> {
        self.reader.ask(move |view| view.readers())
    }

    fn counts(&self, app: &AppName) -> Answer<'_, Counts> {
        let counts = self.writer.counts(Some(app));
        Box::pin(async move { Ok(counts) })
    }

    fn total(&self) -> Answer<'_, Counts> {
        let counts = self.writer.counts(None);
        Box::pin(async move { Ok(counts) })
    }

    fn keep_app(&self, app: StoredApp) -> Answer<'_, ()> {
        self.writer.ask(move |work| work.keep_app(&app))
    }

    fn forget_app(&self, app: &AppName) -> Answer<'_, ()> {
        let app = app.clone();
        self.writer.ask(move |work| work.forget_app(&app))
    }

    fn kept_apps(&self) -> Answer<'_, Vec<StoredApp>> {
        self.reader.ask(move |view| view.kept_apps())
    }

    fn clock_set_back(&self, by: Duration, now: WallTime) -> Answer<'_, ()> {
        self.writer.ask(move |work| work.clock_set_back(by, now))
    }

    fn sweep(&self, now: WallTime) -> Answer<'_, bool> {
        self.writer.ask(move |work| work.sweep(now))
    }

    fn probe(&self) -> Answer<'_, Disk> {
        let path = self.path.clone();
        let told = self.writer.ask(|work| work.probe());
        Box::pin(async move {
            let disk = disk::look(&path)?;
            told.await?;
            Ok(disk)
        })
    }

    fn oldest_waiting(&self, app: &AppName) -> Answer<'_, Option<WallTime>> {
        let app = app.clone();
        self.reader.ask(move |view| view.oldest_waiting(&app))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.reader.close().await;
            self.writer.close().await;
            self.lock.lock().take();
            Ok(())
        })
    }
}

/// Prepared statements that one thread keeps.
fn keep_statements(connection: &Connection) {
    connection.set_prepared_statement_cache_capacity(64);
}

/// The name of an app in rows: a small number.
type AppNumber = i64;

/// An app and its number, both ways.
type AppIndex = std::collections::HashMap<AppName, AppNumber>;

/// What the writer lets others see of its books.
type Published = Arc<Mutex<books::Totals>>;
