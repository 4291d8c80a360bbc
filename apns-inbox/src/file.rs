//! The inbox in a file, so that it is there after a restart.
//!
//! Nothing waits for the file: what changed is noted in memory and written soon after, all of it in one transaction. What
//! cannot be written stays noted, and is tried again every second.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apns_proto::WallTime;
use apns_sim::{Entry, Service};
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection as Database, ErrorCode, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::push::{Connection, Push, Source};
use crate::store::{Device, Fate, Restored, Store, Unsaved};

/// In the file's `application_id`: "apni".
const OURS: i64 = 0x6170_6e69;

/// The version of the tables, in the file's `user_version`.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE connection (key TEXT PRIMARY KEY, about TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE push (seq INTEGER PRIMARY KEY, entry TEXT NOT NULL, topic TEXT NOT NULL, connection TEXT,
        looked_at INTEGER NOT NULL, fates TEXT);
    CREATE INDEX push_connection ON push (connection);
    CREATE TABLE device (token BLOB PRIMARY KEY, about TEXT NOT NULL) WITHOUT ROWID;
";

/// Changes that come close to each other are written together.
const GATHER: Duration = Duration::from_millis(100);

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a file cannot be an inbox. It does not name the file, which may be a secret in the wrong place.
#[derive(Debug, thiserror::Error)]
#[error("the inbox cannot be kept in this file: {why}")]
pub struct FileError {
    why: String,
}

/// A file that is open, for this process alone.
pub(crate) struct File {
    path: PathBuf,
    database: Arc<Mutex<Database>>,
    trouble: watch::Sender<Option<String>>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Writes while it is there.
pub(crate) struct Writing {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Writing {
    /// Writes what is left, once, and ends.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // It ends itself.
        let _ = self.task.await;
    }
}

impl File {
    /// Opens or makes the file, and fills the store with what it has.
    pub(crate) fn open(path: &Path, store: &Store) -> Result<Self, FileError> {
        let failed = |why: String| FileError { why };
        make_private(path).map_err(|error| failed(error.to_string()))?;
        let opened = Database::open(path).and_then(|mut database| {
            let restored = prepare(&mut database, store.keep())?;
            Ok((database, restored))
        });
        let (database, restored) = opened.map_err(|error| failed(in_words(&error)))?;
        let restored = restored.map_err(failed)?;
        store.restore(restored);
        let (trouble, _) = watch::channel(None);
        Ok(Self { path: path.to_owned(), database: Arc::new(Mutex::new(database)), trouble })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the last write failed; `None` where it did not.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Writes each change of the store from now on.
    pub(crate) fn write(self: &Arc<Self>, store: Arc<Store>) -> Writing {
        let (stop, stopped) = watch::channel(false);
        Writing { stop, task: tokio::spawn(Arc::clone(self).write_all(store, stopped)) }
    }

    async fn write_all(self: Arc<Self>, store: Arc<Store>, mut stop: watch::Receiver<bool>) {
        let mut changes = store.subscribe();
        // What came before it was served.
        changes.mark_changed();
        let mut pause = GATHER;
        loop {
            tokio::select! {
                _changed = changes.changed() => {}
                _stopped = stop.wait_for(|stop| *stop) => {}
            }
            tokio::select! {
                () = sleep(pause) => {}
                _stopped = stop.wait_for(|stop| *stop) => {}
            }
            let last = *stop.borrow();
            changes.mark_unchanged();
            let why = self.write_once(&store).await.err();
            pause = if why.is_some() { RETRY } else { GATHER };
            if why.is_some() {
                changes.mark_changed();
            }
            let news = self.trouble.send_if_modified(|trouble| {
                let news = *trouble != why;
                *trouble = why;
                news
            });
            if news {
                // The page says it.
                store.changed();
            }
            if last {
                return;
            }
        }
    }

    async fn write_once(&self, store: &Arc<Store>) -> Result<(), String> {
        let (database, store) = (Arc::clone(&self.database), Arc::clone(store));
        let written = tokio::task::spawn_blocking(move || {
            let unsaved = store.take_unsaved();
            let written = save(&mut database.lock(), &unsaved);
            written.map_err(|error| {
                store.put_back(unsaved);
                in_words(&error)
            })
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Payloads and device tokens are nobody else's business.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn in_words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program has it open".to_owned(),
        Some(ErrorCode::NotADatabase) => "it is a file of another kind".to_owned(),
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::CannotOpen) => "it cannot be opened".to_owned(),
        _ => error.to_string(),
    }
}

/// Takes the file for this process, and reads it.
fn prepare(database: &mut Database, keep: usize) -> rusqlite::Result<Result<Restored, String>> {
    database.busy_timeout(Duration::ZERO)?;
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    // It is for tests: a loss of power may cost the last of it.
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    let transaction = database.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (OURS, VERSION, _) => {}
        (OURS, later, _) => return Ok(Err(format!("a later version wrote it (its tables have version {later})"))),
        (0, 0, 0) => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", OURS)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        _ => return Ok(Err("it is a database of another program".to_owned())),
    }
    let restored = read(&transaction, keep)?;
    transaction.commit()?;
    Ok(restored)
}

/// A connection, as it is written.
#[derive(Serialize, Deserialize)]
struct About {
    service: Service,
    number: u64,
    peer: Option<SocketAddr>,
    tls: String,
    since: u64,
    closed: Option<(u64, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFate {
    Held,
    Replaced(u64),
    Missed,
    Expired,
    Late(u64),
}

impl From<Fate> for StoredFate {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Held => Self::Held,
            Fate::Replaced(by) => Self::Replaced(by),
            Fate::Missed => Self::Missed,
            Fate::Expired => Self::Expired,
            Fate::Late(at) => Self::Late(at.as_millis()),
        }
    }
}

impl From<StoredFate> for Fate {
    fn from(stored: StoredFate) -> Self {
        match stored {
            StoredFate::Held => Self::Held,
            StoredFate::Replaced(by) => Self::Replaced(by),
            StoredFate::Missed => Self::Missed,
            StoredFate::Expired => Self::Expired,
            StoredFate::Late(at) => Self::Late(WallTime::from_millis(at)),
        }
    }
}

/// A device, as it is written.
#[derive(Serialize, Deserialize)]
struct StoredDevice {
    name: Option<String>,
    offline_since: Option<u64>,
    follows: BTreeSet<String>,
    held: BTreeMap<String, u64>,
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has text keys only and no value that JSON cannot say")
}

/// Numbers of connections begin anew with each simulator; the time tells them apart.
fn key_of(connection: &Connection) -> String {
    format!("{}/{}/{}", json(&connection.service).trim_matches('"'), connection.number, connection.since.as_millis())
}

fn save(database: &mut Database, unsaved: &Unsaved) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut set = transaction.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
        set.execute(params!["newest", number(unsaved.newest)])?;
        set.execute(params!["dropped", number(unsaved.dropped)])?;
        let forgotten =
            transaction.prepare_cached("DELETE FROM push WHERE seq < ?1")?.execute([number(unsaved.oldest)])?;
        let mut put_connection =
            transaction.prepare_cached("INSERT OR REPLACE INTO connection (key, about) VALUES (?1, ?2)")?;
        let mut put_push = transaction.prepare_cached(
            "INSERT OR REPLACE INTO push (seq, entry, topic, connection, looked_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut known = BTreeSet::new();
        for push in &unsaved.pushes {
            let connection = push.connection.as_ref().map(|connection| key_of(connection));
            if let (Some(key), Some(connection)) = (&connection, &push.connection)
                && known.insert(key.clone())
            {
                put_connection.execute(params![key, json(&about(connection))])?;
            }
            put_push.execute(params![
                number(push.seq),
                entry_of(push),
                &*push.default_topic,
                connection,
                push.looked_at()
            ])?;
        }
        for connection in &unsaved.closed {
            put_connection.execute(params![key_of(connection), json(&about(connection))])?;
        }
        let mut look = transaction.prepare_cached("UPDATE push SET looked_at = 1 WHERE seq = ?1")?;
        for seq in &unsaved.looked_at {
            look.execute([number(*seq)])?;
        }
        let mut decide = transaction.prepare_cached("UPDATE push SET fates = ?2 WHERE seq = ?1")?;
        for (seq, fates) in &unsaved.fates {
            let fates: Vec<(&[u8], StoredFate)> =
                fates.iter().map(|(token, fate)| (&token[..], (*fate).into())).collect();
            decide.execute(params![number(*seq), json(&fates)])?;
        }
        for (token, device) in &unsaved.devices {
            match device {
                Some(device) => {
                    let stored = StoredDevice {
                        name: device.name.clone(),
                        offline_since: device.offline_since.map(WallTime::as_millis),
                        follows: device.follows.clone(),
                        held: device.held.clone(),
                    };
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO device (token, about) VALUES (?1, ?2)")?
                        .execute(params![&token[..], json(&stored)])?;
                }
                None => {
                    transaction.prepare_cached("DELETE FROM device WHERE token = ?1")?.execute([&token[..]])?;
                }
            }
        }
        if forgotten > 0 {
            // Those that are open yet, and have no push now, come back with their next one.
            transaction
                .prepare_cached(
                    "DELETE FROM connection AS c WHERE NOT EXISTS (SELECT 1 FROM push WHERE connection = c.key)",
                )?
                .execute([])?;
        }
    }
    transaction.commit()
}

fn about(connection: &Connection) -> About {
    About {
        service: connection.service,
        number: connection.number,
        peer: connection.peer,
        tls: connection.tls.to_owned(),
        since: connection.since.as_millis(),
        closed: connection.closed.get().map(|(at, how)| (at.as_millis(), how.clone())),
    }
}

fn entry_of(push: &Push) -> Option<String> {
    match &push.source {
        Source::Request(request) => Entry::Request(Arc::clone(request)).to_stored(),
        Source::Frame(record) => Entry::Notification(record.clone()).to_stored(),
        Source::Unreadable(unreadable) => Entry::Malformed(unreadable.clone()).to_stored(),
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What the tables have; of more pushes than are kept the last ones.
fn read(transaction: &Transaction<'_>, keep: usize) -> rusqlite::Result<Result<Restored, String>> {
    let meta = |name: &str| -> rusqlite::Result<u64> {
        let value = transaction.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        Ok(value.optional()?.map_or(0, unsigned))
    };
    let (newest, mut dropped) = (meta("newest")?, meta("dropped")?);
    let mut connections = HashMap::new();
    let mut statement = transaction.prepare("SELECT key, about FROM connection")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, text): (String, String) = (row.get(0)?, row.get(1)?);
        match serde_json::from_str(&text) {
            Ok(about) => drop(connections.insert(key, Arc::new(connection_of(about)))),
            Err(error) => return Ok(Err(format!("the connection {key} is damaged: {error}"))),
        }
    }
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let total: i64 = transaction.query_row("SELECT count(*) FROM push", [], |row| row.get(0))?;
    dropped += unsigned(total.saturating_sub(keep));
    let mut pushes = Vec::new();
    let mut fates = HashMap::new();
    let mut statement = transaction.prepare(
        "SELECT seq, entry, topic, connection, looked_at, fates FROM (SELECT * FROM push ORDER BY seq DESC LIMIT ?1)
         ORDER BY seq",
    )?;
    let mut rows = statement.query([keep])?;
    while let Some(row) = rows.next()? {
        let seq = unsigned(row.get(0)?);
        let (entry, topic): (String, String) = (row.get(1)?, row.get(2)?);
        let source = match Entry::from_stored(&entry) {
            Ok(Entry::Request(request)) => Source::Request(request),
            Ok(Entry::Notification(record)) => Source::Frame(record),
            Ok(Entry::Malformed(unreadable)) => Source::Unreadable(unreadable),
            Ok(_) => return Ok(Err(format!("push {seq} is damaged: it is none"))),
            Err(error) => return Ok(Err(format!("push {seq} is damaged: {error}"))),
        };
        let connection = row.get::<_, Option<String>>(3)?.and_then(|key| connections.get(&key).cloned());
        if let Some(connection) = &connection {
            connection.pushes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        let push = Push::new(seq, source, connection, topic.into());
        if row.get(4)? {
            push.look_at();
        }
        if let Some(text) = row.get::<_, Option<String>>(5)? {
            match serde_json::from_str::<Vec<(Vec<u8>, StoredFate)>>(&text) {
                Ok(of) => {
                    let of = of.into_iter().map(|(token, fate)| (Bytes::from(token), fate.into())).collect();
                    fates.insert(seq, of);
                }
                Err(error) => return Ok(Err(format!("push {seq} is damaged: {error}"))),
            }
        }
        pushes.push(Arc::new(push));
    }
    let mut devices = BTreeMap::new();
    let mut statement = transaction.prepare("SELECT token, about FROM device")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (token, text): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
        match serde_json::from_str::<StoredDevice>(&text) {
            Ok(StoredDevice { name, offline_since, follows, held }) => {
                let offline_since = offline_since.map(WallTime::from_millis);
                devices.insert(Bytes::from(token), Device { name, offline_since, follows, held });
            }
            Err(error) => return Ok(Err(format!("a device is damaged: {error}"))),
        }
    }
    let newest = pushes.last().map_or(newest, |last| last.seq.max(newest));
    Ok(Ok(Restored { newest, dropped, pushes, fates, devices }))
}

fn connection_of(about: About) -> Connection {
    let About { service, number, peer, tls, since, closed } = about;
    let tls = match &*tls {
        "1.2" => "1.2",
        "1.3" => "1.3",
        _ => "of an unknown version",
    };
    let since = WallTime::from_millis(since);
    let end = match closed {
        Some((at, how)) => (WallTime::from_millis(at), how),
        None => (since, "the simulator ended".to_owned()),
    };
    Connection { service, number, peer, tls, since, pushes: AtomicU64::new(0), closed: OnceLock::from(end) }
}

#[cfg(test)]
mod tests {
    use apns_proto::internal::from_hex;

    use super::*;
    use crate::testing::{Push as Sent, START, TOKEN};

    fn token() -> Bytes {
        from_hex(TOKEN, |_| false).unwrap().into()
    }

    fn opened(path: &Path, keep: usize) -> (Store, File) {
        let store = Store::new(keep);
        let file = File::open(path, &store).unwrap();
        (store, file)
    }

    fn save_all(store: &Store, file: &File) {
        save(&mut file.database.lock(), &store.take_unsaved()).unwrap();
    }

    #[test]
    fn what_was_written_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox");
        let at = WallTime::from_millis(START);
        let (store, file) = opened(&path, 10);
        let peer = Some("127.0.0.1:5".parse().unwrap());
        store.note(&Entry::Connected { service: Service::Http2, connection: 1, peer, tls: "1.3", at });
        store.name(&token(), Some("phone".to_owned())).unwrap();
        store.go_offline(&token(), at).unwrap();
        for number in 1..=25 {
            store.note(&Sent::new(r#"{"aps":{"alert":"a"}}"#).entry(number));
        }
        save_all(&store, &file);
        store.look_at(&store.push(25).unwrap());
        store.note(&Entry::Closed { service: Service::Http2, connection: 1, end: "cut".to_owned(), discarded: 0, at });
        save_all(&store, &file);
        let before = store.snapshot();
        drop(file);

        let (again, file) = opened(&path, 10);
        let after = again.snapshot();
        assert_eq!(again.counts(), store.counts());
        assert_eq!(after.devices, before.devices);
        for (push, earlier) in after.pushes.iter().zip(&before.pushes) {
            assert_eq!(
                (push.seq, push.request(), push.looked_at()),
                (earlier.seq, earlier.request(), earlier.looked_at())
            );
            assert_eq!(after.fate(&token(), push.seq), before.fate(&token(), push.seq));
        }
        let connection = after.pushes[0].connection.as_ref().unwrap();
        assert_eq!((connection.peer, connection.closed.get()), (peer, Some(&(at, "cut".to_owned()))));
        assert_eq!(connection.pushes.load(std::sync::atomic::Ordering::Relaxed), 10);
        again.note(&Sent::new("{}").entry(1));
        assert_eq!(again.counts().newest, 26, "a place is never given twice");
        again.clear();
        again.come_back(&token(), at);
        again.name(&token(), None).unwrap();
        save_all(&again, &file);
        drop(file);

        let (empty, file) = opened(&path, 10);
        assert!(empty.snapshot().pushes.is_empty() && empty.snapshot().devices.is_empty());
        assert_eq!(empty.counts().newest, 26);
        let left: i64 =
            file.database.lock().query_row("SELECT count(*) FROM connection", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "connections go with their pushes");
    }

    #[test]
    fn a_smaller_number_keeps_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox");
        let (store, file) = opened(&path, 10);
        for number in 1..=10 {
            store.note(&Sent::new("{}").entry(number));
        }
        save_all(&store, &file);
        drop(file);
        let (store, _file) = opened(&path, 3);
        let kept: Vec<u64> = store.snapshot().pushes.iter().map(|push| push.seq).collect();
        assert_eq!((kept, store.counts().dropped), (vec![8, 9, 10], 7));
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox");
        let (store, file) = opened(&path, 10);
        for number in 1..=5 {
            store.note(&Sent::new("{}").entry(number));
        }
        store.look_at(&store.push(2).unwrap());
        store.put_back(store.take_unsaved());
        store.note(&Sent::new("{}").entry(6));
        save_all(&store, &file);
        drop(file);
        let (again, _file) = opened(&path, 10);
        let looked_at: Vec<bool> = again.snapshot().pushes.iter().map(|push| push.looked_at()).collect();
        assert_eq!(looked_at, [false, true, false, false, false, false]);
    }

    #[test]
    fn a_file_that_is_no_inbox_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| File::open(path, &Store::new(10)).unwrap_err().to_string();
        let text = folder.path().join("text");
        std::fs::write(&text, "not a database, but long enough to be looked at as one: ".repeat(40)).unwrap();
        assert!(refused(&text).ends_with("it is a file of another kind"), "{}", refused(&text));
        let other = folder.path().join("other");
        Database::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(refused(&other).ends_with("it is a database of another program"), "{}", refused(&other));
        let later = folder.path().join("later");
        drop(opened(&later, 10));
        Database::open(&later).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(refused(&later).contains("later version"), "{}", refused(&later));
        let nowhere = folder.path().join("no/such/folder");
        assert!(!refused(&nowhere).contains("no/such"), "{}", refused(&nowhere));
        let mine = folder.path().join("mine");
        let (_store, _file) = opened(&mine, 10);
        assert!(refused(&mine).ends_with("another program has it open"), "{}", refused(&mine));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_said_until_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let (store, file) = opened(&folder.path().join("inbox"), 10);
        let (store, file) = (Arc::new(store), Arc::new(file));
        file.database.lock().execute_batch("ALTER TABLE push RENAME TO moved").unwrap();
        let mut trouble = file.trouble();
        let writing = file.write(Arc::clone(&store));
        store.note(&Sent::new("{}").entry(1));
        trouble.wait_for(Option::is_some).await.unwrap();
        file.database.lock().execute_batch("ALTER TABLE moved RENAME TO push").unwrap();
        trouble.wait_for(Option::is_none).await.unwrap();
        store.note(&Sent::new("{}").entry(2));
        writing.stop().await;
        let written: i64 = file.database.lock().query_row("SELECT count(*) FROM push", [], |row| row.get(0)).unwrap();
        assert_eq!(written, 2);
    }
}
