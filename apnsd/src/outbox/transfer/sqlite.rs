//! The file's side of a move.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use apns_credentials::disclosure::shown;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::postgres::Database;
use super::value::Value;
use super::{
    CAME, Columns, Counters, LEAVING, LEFT, META, Marks, Message, PORTION, PORTIONS, Receiver, Room, Sender, TABLES,
    Table, TransferError, Transferred, Translated, other_side, room,
};
use crate::outbox::Bounds;
use crate::outbox::moved::PLACES_BEFORE;
use crate::outbox::sqlite::{FILE, Held, count_opening, hold, number, set};

/// Whether a file has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    There,
    Made,
}

/// The file of one daemon, held by this process.
pub(super) struct File {
    connection: Arc<Mutex<Connection>>,
    _lock: Connection,
}

impl File {
    pub(super) fn open(directory: &Path, wanted: Wanted) -> Result<Self, TransferError> {
        if wanted == Wanted::There && !directory.join(FILE).exists() {
            return Err(TransferError::Nothing { directory: shown(directory).to_string() });
        }
        let Held { connection, lock, .. } = hold(directory, &Bounds::default())?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), _lock: lock })
    }

    pub(super) fn marks(&self) -> Result<Marks, TransferError> {
        let connection = self.connection.lock();
        marks(&connection)
    }

    pub(super) fn mark(&self, name: &str, id: Option<i64>) -> Result<(), TransferError> {
        let connection = self.connection.lock();
        match id {
            Some(id) => set(&connection, name, id)?,
            None => forget(&connection, name)?,
        }
        Ok(())
    }

    /// What it had is in the other store.
    pub(super) fn done(&self, id: i64) -> Result<(), TransferError> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        set(&transaction, LEFT, id)?;
        forget(&transaction, LEAVING)?;
        Ok(transaction.commit()?)
    }

    /// The columns of each table.
    pub(super) fn columns(&self) -> Result<Columns, TransferError> {
        let connection = self.connection.lock();
        let mut all = Columns::default();
        for (table, names) in TABLES.into_iter().zip(&mut all) {
            *names = columns(&connection, table)?.into_iter().map(|(name, _)| name).collect();
        }
        Ok(all)
    }

    pub(super) fn counters(&self) -> Result<Counters, TransferError> {
        let connection = self.connection.lock();
        let mut meta = Vec::new();
        for name in META {
            if let Some(value) = number(&connection, name)? {
                meta.push((name, value));
            }
        }
        let last = |table: &str| -> Result<i64, TransferError> {
            let find = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?";
            Ok(connection.query_row(find, [table], |row| row.get(0))?)
        };
        let next_row = number(&connection, "next_row")?.unwrap_or(1);
        Ok(Counters { meta, next_row, outcome: last("outcome")?, gone: last("gone")? })
    }

    pub(super) fn count(&self) -> Result<Transferred, TransferError> {
        let connection = self.connection.lock();
        let mut moved = Transferred::default();
        for table in TABLES {
            let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            moved.count(table, u64::try_from(rows).unwrap_or_default());
        }
        Ok(moved)
    }

    /// Reads all rows, on a thread of its own, for whom takes them.
    pub(super) fn read(&self, tables: Vec<Table>) -> (Receiver, tokio::task::JoinHandle<Result<(), TransferError>>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(PORTIONS);
        let connection = Arc::clone(&self.connection);
        let reading = tokio::task::spawn_blocking(move || read(&connection.lock(), &tables, &sender));
        (receiver, reading)
    }

    /// Takes everything that the database has, in one transaction.
    pub(super) async fn take_from(
        &self,
        database: &mut Database,
        id: i64,
        told: &mut (impl FnMut(Transferred) + Send),
    ) -> Result<Transferred, TransferError> {
        let moved = database.count().await?;
        match self.room(id)? {
            Room::Taken => return Ok(moved),
            Room::Free => {}
        }
        self.keep_places()?;
        let counters = database.counters().await?;
        let tables = super::plan(&database.columns().await?, &self.columns()?, &for_the_file(counters.last()));
        let (sender, receiver) = tokio::sync::mpsc::channel(PORTIONS);
        let connection = Arc::clone(&self.connection);
        let planned = tables.clone();
        let writing =
            tokio::task::spawn_blocking(move || write(&mut connection.lock(), &planned, &counters, id, receiver));
        let read = database.read(&tables, sender, told).await;
        let written = writing.await.unwrap_or_else(|_| Err(other_side()));
        super::together(written, read).map(|()| moved)
    }

    /// Whether everything of the database can come here.
    pub(super) fn room(&self, id: i64) -> Result<Room, TransferError> {
        room(self.marks()?, id, self.holds()?)
    }

    /// Makes the columns for the places that rows had before.
    fn keep_places(&self) -> Result<(), TransferError> {
        let connection = self.connection.lock();
        for table in PLACED {
            if !columns(&connection, table)?.iter().any(|(name, _)| name == "before") {
                connection.execute_batch(&format!(
                    "ALTER TABLE {table} ADD COLUMN before INTEGER;
                     CREATE INDEX {table}_before ON {table} (app, before) WHERE before IS NOT NULL"
                ))?;
            }
        }
        Ok(())
    }

    /// Something that is in it.
    fn holds(&self) -> Result<Option<String>, TransferError> {
        let connection = self.connection.lock();
        let app = connection.query_row("SELECT count(*), min(name) FROM app", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
        })?;
        Ok(app.1.map(|name| super::apps_in_words(app.0, &name)))
    }
}

/// The tables with places.
const PLACED: [&str; 2] = ["outcome", "gone"];

/// Places are by app in the database, and of all apps in the file, in the order of their times. So all get new ones, behind the
/// `last` that there was, and keep the one that they had for cursors from before. What an app has forgotten is noted there.
fn for_the_file(last: i64) -> Translated {
    let place = |table: &'static str| {
        let of = format!("{last} + row_number() OVER (ORDER BY {table}.turn, {table}.app, {table}.place)");
        [(table, "place", of), (table, "before", format!("{table}.place"))]
    };
    let forgotten = "coalesce((SELECT min(o.place) - 1 FROM outcome AS o WHERE o.app = app.number),
        (SELECT p.outcome FROM app_place AS p WHERE p.app = app.number), 0)";
    Translated {
        columns: PLACED.into_iter().flat_map(place).chain([("app", "forgotten", forgotten.to_owned())]).collect(),
        // Where a clock was set back, the order within an app counts.
        rows: vec![
            ("outcome", "(SELECT *, max(at) OVER (PARTITION BY app ORDER BY place) AS turn FROM outcome) AS outcome"),
            ("gone", "(SELECT *, max(found_at) OVER (PARTITION BY app ORDER BY place) AS turn FROM gone) AS gone"),
        ],
    }
}

/// The columns of a table, with their types.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut select = connection.prepare("SELECT name, type FROM pragma_table_info(?)")?;
    select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn marks(connection: &Connection) -> Result<Marks, TransferError> {
    let mut found = Vec::new();
    for name in [LEAVING, LEFT, CAME] {
        found.extend(number(connection, name)?.map(|id| (name, id)));
    }
    Ok(Marks::of(|name| found.iter().find(|(other, _)| *other == name).map(|(_, id)| *id)))
}

fn forget(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?", [name]).map(drop)
}

fn read(connection: &Connection, tables: &[Table], sender: &Sender) -> Result<(), TransferError> {
    for (index, table) in tables.iter().enumerate() {
        let mut select = connection.prepare(&table.select)?;
        let mut rows = select.query([])?;
        let mut portion = Vec::with_capacity(PORTION);
        while let Some(row) = rows.next()? {
            let values = (0..table.columns.len()).map(|column| {
                let value = row.get_ref(column)?;
                Value::from_sqlite(value).map_err(|why| TransferError::Row { table: table.name, why })
            });
            portion.push(values.collect::<Result<_, TransferError>>()?);
            if portion.len() == PORTION {
                let full = std::mem::replace(&mut portion, Vec::with_capacity(PORTION));
                sender.blocking_send(Message::Rows(index, full)).map_err(|_| other_side())?;
            }
        }
        sender.blocking_send(Message::Rows(index, portion)).map_err(|_| other_side())?;
    }
    sender.blocking_send(Message::End).map_err(|_| other_side())
}

fn write(
    connection: &mut Connection,
    tables: &[Table],
    counters: &Counters,
    id: i64,
    mut receiver: Receiver,
) -> Result<(), TransferError> {
    let transaction = connection.transaction()?;
    for table in TABLES {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    loop {
        match receiver.blocking_recv() {
            Some(Message::Rows(index, rows)) => insert(&transaction, &tables[index], rows)?,
            Some(Message::End) => break,
            None => return Err(other_side()),
        }
    }
    for (name, value) in &counters.meta {
        set(&transaction, name, *value)?;
    }
    set(&transaction, "next_row", counters.next_row)?;
    set(&transaction, PLACES_BEFORE, counters.last())?;
    for table in PLACED {
        transaction.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table])?;
        let last =
            format!("INSERT INTO sqlite_sequence SELECT '{table}', max(?1, coalesce(max(place), 0)) FROM {table}");
        transaction.execute(&last, [counters.last()])?;
        // A reader that has read none of what is there stays in front of it.
        let which = if table == "outcome" { "IS NOT NULL" } else { "IS NULL" };
        let read = format!(
            "UPDATE reader SET place = coalesce((SELECT t.place FROM {table} AS t
                WHERE t.app = reader.app AND t.before <= reader.place ORDER BY t.before DESC LIMIT 1), place)
             WHERE used_at {which}"
        );
        transaction.execute(&read, [])?;
    }
    // Notes of what was sent that lie beside the file know nothing of what came: all that is in flight may have left.
    count_opening(&transaction)?;
    set(&transaction, CAME, id)?;
    forget(&transaction, LEAVING)?;
    forget(&transaction, LEFT)?;
    Ok(transaction.commit()?)
}

fn insert(transaction: &Transaction<'_>, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), TransferError> {
    let wrong = |why: String| TransferError::Row { table: table.name, why };
    let types: HashMap<String, String> = columns(transaction, table.name)?.into_iter().collect();
    let declared: Vec<&str> = table.columns.iter().map(|name| types.get(name).map_or("", String::as_str)).collect();
    let marks = vec!["?"; table.columns.len()].join(", ");
    let into = format!("INSERT INTO {} ({}) VALUES ({marks})", table.name, table.names());
    let mut insert = transaction.prepare_cached(&into)?;
    for row in rows {
        let values = row.iter().zip(&declared).map(|(value, declared)| value.for_sqlite(declared));
        insert.execute(params_from_iter(values.collect::<Result<Vec<_>, _>>().map_err(wrong)?))?;
    }
    Ok(())
}
