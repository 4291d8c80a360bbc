//! Moving everything that one store has into the other: from the file of one daemon to the database of several, and back.
//!
//! No daemon may use either store meanwhile. The old store is marked first, and refused by daemons from then on; then the rows
//! are written in one transaction that carries the number of the move; then the mark says that it is done. So it can end at
//! any point, and be called again: it goes on where it was, and nothing is in two stores that are both used.

mod postgres;
mod sqlite;
mod value;

use std::path::Path;

use tokio::sync::mpsc;

use self::value::Value;
use super::OutboxError;
use super::moved::{LEAVING, LEFT};
use super::postgres::PostgresSettings;
pub use crate::store_move::{Direction, Transferred};

/// The tables, each behind those that it refers to.
const TABLES: [&str; 7] = ["app", "pending", "outcome", "key", "gone", "mark", "reader"];

/// Numbers in `meta` that both stores have, and that go along: names of notifications and marks are made with them.
const META: [&str; 3] = ["tag", "mark_key_0", "mark_key_1"];

/// The name in `meta` of the number of the move that brought what a store has.
const CAME: &str = "moved_in";

/// How many rows are on their way from one store to the other, in portions of [`PORTION`].
const PORTIONS: usize = 8;
const PORTION: usize = 1000;

impl Transferred {
    fn count(&mut self, table: &str, rows: u64) {
        match table {
            "app" => self.apps += rows,
            "pending" => self.pending += rows,
            "outcome" => self.outcomes += rows,
            "key" => self.idempotency_keys += rows,
            "gone" => self.invalid_tokens += rows,
            _ => {}
        }
    }
}

/// Why nothing was moved, or the move is not done yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A daemon has the database open.
    #[error("these daemons use the database: {nodes}. Stop them; one that died counts until its lease ends")]
    InUse {
        /// Their names.
        nodes: String,
    },
    /// There is nothing to move.
    #[error("there is no outbox in {directory}")]
    Nothing {
        /// Where one was looked for.
        directory: String,
    },
    /// What is there would be mixed with what comes.
    #[error("the store that is to take it is not empty: it has {what}")]
    NotEmpty {
        /// Some of it.
        what: String,
    },
    /// It is done already.
    #[error("it is moved already")]
    Done,
    /// The other store does not have what was moved from this one.
    #[error("what this store had was moved to another one than this")]
    Elsewhere,
    /// The store that is to take it is itself being moved.
    #[error("a move from the store that is to take it has begun: finish that, or cancel it")]
    Crossed,
    /// There is no move that could be cancelled.
    #[error("no move has begun")]
    NotBegun,
    /// A row that the other store cannot have.
    #[error("a row of the table {table} cannot be moved: {why}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A store failed. Once it works, the move can be called again.
    #[error(transparent)]
    Store(#[from] OutboxError),
}

impl From<super::postgres::Trouble> for TransferError {
    fn from(trouble: super::postgres::Trouble) -> Self {
        Self::Store(trouble.into())
    }
}

impl From<tokio_postgres::Error> for TransferError {
    fn from(error: tokio_postgres::Error) -> Self {
        super::postgres::Trouble::from(error).into()
    }
}

impl From<rusqlite::Error> for TransferError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(OutboxError::Failed(error.to_string()))
    }
}

/// What `meta` says of moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    leaving: Option<i64>,
    left: Option<i64>,
    came: Option<i64>,
}

impl Marks {
    fn of(meta: impl Fn(&str) -> Option<i64>) -> Self {
        Self { leaving: meta(LEAVING), left: meta(LEFT), came: meta(CAME) }
    }
}

/// What a store that is to take everything is like.
enum Room {
    /// Nothing is in it, or what is in it was moved away.
    Free,
    /// It has what comes.
    Taken,
}

fn room(marks: Marks, id: i64, holds: Option<String>) -> Result<Room, TransferError> {
    match (marks, holds) {
        (Marks { left: Some(_), .. }, _) => Ok(Room::Free),
        (Marks { leaving: Some(_), .. }, _) => Err(TransferError::Crossed),
        (Marks { came: Some(came), .. }, _) if came == id => Ok(Room::Taken),
        (_, Some(what)) => Err(TransferError::NotEmpty { what }),
        (_, None) => Ok(Room::Free),
    }
}

/// The number of the move of this store: that of one that has begun, or a new one.
fn begin(marks: Marks, there: Marks) -> Result<i64, TransferError> {
    if let Some(left) = marks.left {
        return Err(if there.came == Some(left) { TransferError::Done } else { TransferError::Elsewhere });
    }
    match marks.leaving {
        Some(id) => Ok(id),
        None => Ok(super::postgres::random()?),
    }
}

/// A table, as it goes from one store to the other.
#[derive(Debug, Clone)]
struct Table {
    name: &'static str,
    /// The columns of the store that takes it.
    columns: Vec<String>,
    /// How the other store reads what belongs into them.
    select: String,
}

impl Table {
    /// The columns, for a statement.
    fn names(&self) -> String {
        self.columns.join(", ")
    }
}

/// What one store has to be asked for, so that it is right in the other.
#[derive(Debug, Default)]
struct Translated {
    /// Table, column, expression.
    columns: Vec<(&'static str, &'static str, String)>,
    /// Table, and what is read in its place.
    rows: Vec<(&'static str, &'static str)>,
}

/// What goes with each table, in its order in [`TABLES`]: columns that both have, and those that are made of others.
fn plan(from: &Columns, to: &Columns, translated: &Translated) -> Vec<Table> {
    let table = |((name, from), to): ((&'static str, &Vec<String>), &Vec<String>)| {
        let source = |column: &String| {
            let made = translated.columns.iter().find(|(table, of, _)| *table == name && of == column);
            let same = from.contains(column).then(|| format!("{name}.{column}"));
            Some((column.clone(), made.map(|(_, _, expression)| expression.clone()).or(same)?))
        };
        let (columns, sources): (Vec<String>, Vec<String>) = to.iter().filter_map(source).unzip();
        let rows = translated.rows.iter().find(|(table, _)| *table == name).map_or(name, |(_, rows)| rows);
        Table { name, columns, select: format!("SELECT {} FROM {rows}", sources.join(", ")) }
    };
    TABLES.into_iter().zip(from).zip(to).map(table).collect()
}

/// The names of the columns of each table.
type Columns = [Vec<String>; TABLES.len()];

/// What a store has beside the tables.
#[derive(Debug, Clone, Default)]
struct Counters {
    /// What stands in `meta` under [`META`].
    meta: Vec<(&'static str, i64)>,
    /// No row had this number yet, or a later one.
    next_row: i64,
    /// The last place that was given to an outcome, and to an invalid token, of any app.
    outcome: i64,
    gone: i64,
}

impl Counters {
    /// The last place that was given to anything.
    fn last(&self) -> i64 {
        self.outcome.max(self.gone)
    }
}

/// On the way from one store to the other.
enum Message {
    /// Rows of the table with this index in [`TABLES`].
    Rows(usize, Vec<Vec<Value>>),
    /// There are no more.
    End,
}

type Sender = mpsc::Sender<Message>;
type Receiver = mpsc::Receiver<Message>;

/// Some of what a store holds, for a message.
fn apps_in_words(apps: i64, first: &str) -> String {
    match apps {
        1 => format!("the app {first}"),
        _ => format!("{apps} apps, among them {first}"),
    }
}

const OTHER_SIDE: &str = "the other store failed";

/// The other side ended first, and says why.
fn other_side() -> TransferError {
    TransferError::Store(OutboxError::Failed(OTHER_SIDE.to_owned()))
}

/// What came of both sides: where both failed, what the one says that failed first.
fn together(one: Result<(), TransferError>, other: Result<(), TransferError>) -> Result<(), TransferError> {
    match (one, other) {
        (Err(TransferError::Store(OutboxError::Failed(why))), Err(first)) if why == OTHER_SIDE => Err(first),
        (one, other) => one.and(other),
    }
}

/// Moves everything, and tells how many rows have been moved so far. What both stores keep of a notification is the same
/// afterwards: its id, its attempts, its idempotency key; the places of readers are, and cursors that callers hold go on to
/// count. What is in flight counts as what may have been sent.
///
/// # Errors
///
/// [`TransferError`]. Whatever it is, it can be called again.
pub async fn transfer(
    directory: &Path,
    server: &PostgresSettings,
    direction: Direction,
    mut told: impl FnMut(Transferred) + Send,
) -> Result<Transferred, TransferError> {
    match direction {
        Direction::ToPostgres => {
            let file = sqlite::File::open(directory, sqlite::Wanted::There)?;
            let mut database = postgres::Database::open(server).await?;
            let id = begin(file.marks()?, database.marks().await?)?;
            // Before anything is marked: a wrong order changes nothing.
            database.ensure_room(id).await?;
            file.mark(LEAVING, Some(id))?;
            let moved = database.take_from(&file, id, &mut told).await?;
            file.done(id)?;
            Ok(moved)
        }
        Direction::ToSqlite => {
            let mut database = postgres::Database::open(server).await?;
            let file = sqlite::File::open(directory, sqlite::Wanted::Made)?;
            let id = begin(database.marks().await?, file.marks()?)?;
            file.room(id)?;
            database.begin_leaving(id).await?;
            let moved = file.take_from(&mut database, id, &mut told).await?;
            database.done(id).await?;
            Ok(moved)
        }
    }
}

/// Takes back a move that has begun and is not done: the old store can be used again.
///
/// # Errors
///
/// [`TransferError::NotBegun`]; [`TransferError::Done`] where the other store has everything already.
pub async fn cancel(directory: &Path, server: &PostgresSettings, direction: Direction) -> Result<(), TransferError> {
    let file = sqlite::File::open(directory, sqlite::Wanted::There)?;
    let database = postgres::Database::open(server).await?;
    let (in_file, in_database) = (file.marks()?, database.marks().await?);
    let (from, to) = match direction {
        Direction::ToPostgres => (in_file, in_database),
        Direction::ToSqlite => (in_database, in_file),
    };
    if from.left.is_some() {
        return Err(TransferError::Done);
    }
    let id = from.leaving.ok_or(TransferError::NotBegun)?;
    if to.came == Some(id) {
        return Err(TransferError::Done);
    }
    match direction {
        Direction::ToPostgres => file.mark(LEAVING, None),
        Direction::ToSqlite => database.stay().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_failed_first_says_why() {
        let failed = || Err(TransferError::Store(OutboxError::Failed("the disk is full".to_owned())));
        let both = [together(Err(other_side()), failed()), together(failed(), Err(other_side()))];
        let alone = [together(Ok(()), failed()), together(failed(), Ok(()))];
        for came in both.into_iter().chain(alone) {
            assert_eq!(came.unwrap_err().to_string(), OutboxError::Failed("the disk is full".to_owned()).to_string());
        }
        assert!(together(Ok(()), Ok(())).is_ok());
    }
}
