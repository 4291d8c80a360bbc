//! The tables, and how a file is opened.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::{keep_statements, unusable};
use crate::outbox::OutboxError;

/// The version of the tables, in the file's `user_version`.
const VERSION: i64 = 9;

/// `pending` has what has no outcome yet: `state` is 0 for waiting and 1 for in flight, `once` is 1 for what asks for one
/// attempt, `claim` counts how often it was claimed, `send_at` is the time before which it is not sent, `route` says which
/// environment it goes to. Only what waits is in the indexes of the order in which it is sent. `mark` has the
/// [marks](crate::outbox::search) of what is pending and what has ended.
///
/// `forgotten` of an app is the last place at which an outcome was forgotten. `reader` has places of readers: in `outcome`
/// where `used_at` says when the reader was last there, otherwise in `gone`.
const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE app (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, definition TEXT, paused_at INTEGER,
        pause_reason TEXT, forgotten INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE pending (
        row INTEGER PRIMARY KEY,
        app INTEGER NOT NULL,
        state INTEGER NOT NULL,
        due INTEGER NOT NULL,
        accepted_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        replays INTEGER NOT NULL,
        retries INTEGER NOT NULL,
        key TEXT,
        body BLOB NOT NULL,
        once INTEGER NOT NULL DEFAULT 0,
        claim INTEGER NOT NULL DEFAULT 0,
        send_at INTEGER,
        route INTEGER NOT NULL DEFAULT 0,
        tag TEXT
    );
    CREATE INDEX pending_waiting ON pending (app, route, due, row) WHERE state = 0;
    CREATE INDEX pending_once ON pending (app, accepted_at) WHERE state = 0 AND once = 1;
    CREATE TABLE outcome (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        row INTEGER NOT NULL UNIQUE,
        app INTEGER NOT NULL,
        at INTEGER NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX outcome_app ON outcome (app, place);
    CREATE TABLE key (
        app INTEGER NOT NULL,
        key TEXT NOT NULL,
        row INTEGER NOT NULL,
        at INTEGER NOT NULL,
        digest BLOB,
        PRIMARY KEY (app, key)
    ) WITHOUT ROWID;
    CREATE INDEX key_at ON key (at);
    CREATE TABLE gone (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL,
        token BLOB NOT NULL,
        topic TEXT,
        since INTEGER,
        found_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE INDEX gone_app ON gone (app, place);
    CREATE TABLE mark (range INTEGER NOT NULL, mark INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (range, mark, row))
        WITHOUT ROWID;
    CREATE TABLE reader (app INTEGER NOT NULL, name TEXT NOT NULL, place INTEGER NOT NULL, used_at INTEGER,
        PRIMARY KEY (app, name)) WITHOUT ROWID;
";

/// What each version has that the one before did not, from the second on. What asked for one attempt before the third is
/// found when its turn comes; what was accepted before the ninth has no marks.
const STEPS: [&str; 8] = [
    "ALTER TABLE key ADD COLUMN digest BLOB",
    "ALTER TABLE pending ADD COLUMN once INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX pending_once ON pending (app, accepted_at) WHERE state = 0 AND once = 1",
    "ALTER TABLE app ADD COLUMN paused_at INTEGER; ALTER TABLE app ADD COLUMN pause_reason TEXT",
    "ALTER TABLE pending ADD COLUMN claim INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE pending ADD COLUMN send_at INTEGER",
    "ALTER TABLE app ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0; ALTER TABLE reader ADD COLUMN used_at INTEGER",
    "ALTER TABLE pending ADD COLUMN route INTEGER NOT NULL DEFAULT 0;
     DROP INDEX pending_waiting;
     CREATE INDEX pending_waiting ON pending (app, route, due, row) WHERE state = 0",
    "ALTER TABLE pending ADD COLUMN tag TEXT;
     CREATE TABLE mark (range INTEGER NOT NULL, mark INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (range, mark, row))
        WITHOUT ROWID",
];

/// Opens the file for writing, and makes or checks its tables.
pub(super) fn open(path: &Path) -> Result<Connection, OutboxError> {
    let bad = |error: rusqlite::Error| unusable(path, error);
    let mut connection = Connection::open(path).map_err(bad)?;
    keep_statements(&connection);
    // A commit is on disk before it is answered.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(bad)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(bad)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(bad)?;
    // A large call makes the log long once, and not for ever.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024).map_err(bad)?;
    connection.pragma_update(None, "cache_size", -65_536).map_err(bad)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(bad)?;
    match version {
        0 => {
            let transaction = connection.transaction().map_err(bad)?;
            transaction.execute_batch(TABLES).map_err(bad)?;
            set(&transaction, "tag", random(path)?).map_err(bad)?;
            make_key(&transaction, path)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(bad)?;
            transaction.commit().map_err(bad)?;
        }
        VERSION => {}
        earlier @ 1..VERSION => {
            let transaction = connection.transaction().map_err(bad)?;
            for (step, to) in STEPS.into_iter().zip(2..) {
                if earlier < to {
                    transaction.execute_batch(step).map_err(bad)?;
                }
            }
            make_key(&transaction, path)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(bad)?;
            transaction.commit().map_err(bad)?;
        }
        later => {
            return Err(unusable(
                path,
                format_args!("it was written by a later version (its tables have version {later})"),
            ));
        }
    }
    Ok(connection)
}

/// The names under which the two halves of the key of the marks are kept.
const KEY: [&str; 2] = ["mark_key_0", "mark_key_1"];

/// Gives the store the key of its marks, where it has none.
fn make_key(connection: &Connection, path: &Path) -> Result<(), OutboxError> {
    for name in KEY {
        if number(connection, name).map_err(|error| unusable(path, error))?.is_none() {
            set(connection, name, random(path)?).map_err(|error| unusable(path, error))?;
        }
    }
    Ok(())
}

/// The key of the marks.
pub(super) fn key(connection: &Connection) -> rusqlite::Result<[i64; 2]> {
    let [first, second] = KEY.map(|name| number(connection, name));
    Ok([first?.unwrap_or_default(), second?.unwrap_or_default()])
}

fn random(path: &Path) -> Result<i64, OutboxError> {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| unusable(path, "the system gives no random numbers"))?;
    Ok(i64::from_ne_bytes(bytes))
}

/// A number that is kept under a name.
pub(in crate::outbox) fn number(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0)).optional()
}

/// Keeps a number under a name.
pub(in crate::outbox) fn set(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)")?
        .execute(params![name, value])?;
    Ok(())
}
