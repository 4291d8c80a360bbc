//! The database's side of a move.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::Row;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::sqlite::File;
use super::value::Value;
use super::{
    CAME, Columns, Counters, LEAVING, LEFT, META, Marks, Message, PORTION, Receiver, Room, Sender, TABLES, Table,
    TransferError, Transferred, Translated, other_side, room,
};
use crate::outbox::moved::PLACES_BEFORE;
use crate::outbox::postgres::{Link, PostgresSettings, ready_link};

/// The database of several daemons.
pub(super) struct Database {
    link: Link,
}

/// Places are of all apps in the file, and by app and without a gap in the database, where a gap is what was forgotten. The
/// outcomes of each app get the places behind the last one of the file, and keep the one that they had, for cursors from
/// before. A reader that missed some is put where it misses one.
fn for_the_database(last: i64) -> Translated {
    let place = format!("{last} + row_number() OVER (PARTITION BY outcome.app ORDER BY outcome.place)");
    let reader = format!(
        "CASE WHEN reader.used_at IS NULL THEN reader.place
            WHEN reader.place < (SELECT forgotten FROM app WHERE number = reader.app) THEN {last} - 1
            ELSE {last} + (SELECT count(*) FROM outcome AS o WHERE o.app = reader.app AND o.place <= reader.place) END"
    );
    let columns = vec![
        ("outcome", "place", place),
        ("outcome", "before", "outcome.place".to_owned()),
        ("reader", "place", reader),
    ];
    Translated { columns, rows: Vec::new() }
}

/// Where the places that outcomes had in the file are kept.
const PLACES: &str = "ALTER TABLE outcome ADD COLUMN IF NOT EXISTS before bigint;
    CREATE INDEX IF NOT EXISTS outcome_before ON outcome (app, before) WHERE before IS NOT NULL";

/// Everything that a daemon writes waits until the transaction ends.
const LOCK: &str =
    "LOCK TABLE node, meta, app, app_place, lane, pending, outcome, key, gone, mark, reader, batch, tally
    IN ACCESS EXCLUSIVE MODE";

/// Nobody changes what has been moved: not even a daemon that stood still meanwhile, and whose lease had ended.
const CLOSE: &str = "CREATE OR REPLACE FUNCTION apnsd.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'what this store had is being moved, or was moved, to another one'; END $$;
    CREATE OR REPLACE TRIGGER moved_away BEFORE INSERT OR UPDATE OR DELETE ON apnsd.pending
        FOR EACH STATEMENT EXECUTE FUNCTION apnsd.refuse()";
const OPEN: &str = "DROP TRIGGER IF EXISTS moved_away ON apnsd.pending; DROP FUNCTION IF EXISTS apnsd.refuse()";

impl Database {
    pub(super) async fn open(server: &PostgresSettings) -> Result<Self, TransferError> {
        let link = ready_link(server).await?;
        // A portion may take long to come.
        link.batch("SET idle_in_transaction_session_timeout = 0").await?;
        Ok(Self { link })
    }

    pub(super) async fn marks(&self) -> Result<Marks, TransferError> {
        let rows = self.link.rows("SELECT name, value FROM meta", &[]).await?;
        Ok(Marks::of(|name| value(&rows, name)))
    }

    async fn mark(&self, name: &'static str, id: Option<i64>) -> Result<(), TransferError> {
        match id {
            Some(id) => {
                let set = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
                self.link.run(set, &[&name, &id]).await?;
            }
            None => drop(self.link.run("DELETE FROM meta WHERE name = $1", &[&name]).await?),
        }
        Ok(())
    }

    /// Marks it as a store that is being moved, while no daemon uses it.
    pub(super) async fn begin_leaving(&self, id: i64) -> Result<(), TransferError> {
        self.link.batch("BEGIN").await?;
        self.link.batch(LOCK).await?;
        self.ensure_unused().await?;
        self.link.batch(CLOSE).await?;
        self.mark(LEAVING, Some(id)).await?;
        Ok(self.link.batch("COMMIT").await?)
    }

    /// It is not being moved any more.
    pub(super) async fn stay(&self) -> Result<(), TransferError> {
        self.link.batch("BEGIN").await?;
        self.link.batch(OPEN).await?;
        self.mark(LEAVING, None).await?;
        Ok(self.link.batch("COMMIT").await?)
    }

    /// What it had is in the other store.
    pub(super) async fn done(&self, id: i64) -> Result<(), TransferError> {
        self.link.batch("ROLLBACK; BEGIN").await?;
        self.mark(LEFT, Some(id)).await?;
        self.mark(LEAVING, None).await?;
        Ok(self.link.batch("COMMIT").await?)
    }

    async fn ensure_unused(&self) -> Result<(), TransferError> {
        let find =
            "SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM node WHERE until > clock_timestamp()";
        let nodes: String = self.link.one(find, &[]).await?.get(0);
        if nodes.is_empty() { Ok(()) } else { Err(TransferError::InUse { nodes }) }
    }

    /// Refuses where not everything of the file can come here.
    pub(super) async fn ensure_room(&self, id: i64) -> Result<(), TransferError> {
        self.ensure_unused().await?;
        room(self.marks().await?, id, self.holds().await?).map(drop)
    }

    /// The columns of each table.
    pub(super) async fn columns(&self) -> Result<Columns, TransferError> {
        let mut all = Columns::default();
        for (table, names) in TABLES.into_iter().zip(&mut all) {
            *names = self.types(table, "*").await?.into_iter().map(|(name, _)| name).collect();
        }
        Ok(all)
    }

    /// Columns of a table, with their types.
    async fn types(&self, table: &str, columns: &str) -> Result<Vec<(String, Type)>, TransferError> {
        let statement = self.link.client.prepare(&format!("SELECT {columns} FROM {table}")).await?;
        Ok(statement.columns().iter().map(|one| (one.name().to_owned(), one.type_().clone())).collect())
    }

    pub(super) async fn counters(&self) -> Result<Counters, TransferError> {
        let rows = self.link.rows("SELECT name, value FROM meta", &[]).await?;
        let meta = META.into_iter().filter_map(|name| Some((name, value(&rows, name)?))).collect();
        let next = "SELECT CASE WHEN is_called THEN last_value + 10000 ELSE last_value END FROM pending_row";
        let last = "SELECT coalesce(max(outcome), 0), coalesce(max(gone), 0) FROM app_place";
        let last = self.link.one(last, &[]).await?;
        Ok(Counters { meta, next_row: self.link.one(next, &[]).await?.get(0), outcome: last.get(0), gone: last.get(1) })
    }

    pub(super) async fn count(&self) -> Result<Transferred, TransferError> {
        let mut moved = Transferred::default();
        for table in TABLES {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: i64 = self.link.client.query_one(&count, &[]).await?.get(0);
            moved.count(table, u64::try_from(rows).unwrap_or_default());
        }
        Ok(moved)
    }

    /// Takes everything that the file has, in one transaction.
    pub(super) async fn take_from(
        &mut self,
        file: &File,
        id: i64,
        told: &mut (impl FnMut(Transferred) + Send),
    ) -> Result<Transferred, TransferError> {
        let moved = file.count()?;
        self.link.batch("BEGIN").await?;
        self.link.batch(LOCK).await?;
        self.ensure_unused().await?;
        match room(self.marks().await?, id, self.holds().await?)? {
            Room::Taken => {
                self.link.batch("ROLLBACK").await?;
                return Ok(moved);
            }
            Room::Free => {}
        }
        self.link.batch(OPEN).await?;
        self.link.batch(PLACES).await?;
        self.link
            .batch("TRUNCATE node, app, app_place, lane, pending, outcome, key, gone, mark, reader, batch, tally")
            .await?;
        let counters = file.counters()?;
        let tables = super::plan(&file.columns()?, &self.columns().await?, &for_the_database(counters.outcome));
        let (receiver, reading) = file.read(tables.clone());
        let written = self.write(&tables, receiver, told).await;
        let read = reading.await.unwrap_or_else(|_| Err(other_side()));
        super::together(written, read)?;
        self.continue_from(&counters).await?;
        self.mark(CAME, Some(id)).await?;
        self.mark(LEAVING, None).await?;
        self.mark(LEFT, None).await?;
        self.link.batch("COMMIT").await?;
        Ok(moved)
    }

    async fn write(
        &self,
        tables: &[Table],
        mut receiver: Receiver,
        told: &mut (impl FnMut(Transferred) + Send),
    ) -> Result<(), TransferError> {
        let mut so_far = Transferred::default();
        let mut next = receiver.recv().await;
        for (index, table) in tables.iter().enumerate() {
            let copy = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.names());
            let types: Vec<Type> =
                self.types(table.name, &table.names()).await?.into_iter().map(|(_, ty)| ty).collect();
            let sink = self.link.client.copy_in(&copy).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
            loop {
                match next.take() {
                    Some(Message::Rows(of, rows)) if of == index => {
                        so_far.count(table.name, rows.len() as u64);
                        for row in &rows {
                            let row: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
                            writer.as_mut().write(&row).await.map_err(|error| in_row(table.name, error))?;
                        }
                        told(so_far);
                    }
                    None => return Err(other_side()),
                    later => {
                        next = later;
                        break;
                    }
                }
                next = receiver.recv().await;
            }
            writer.finish().await.map_err(|error| in_row(table.name, error))?;
        }
        match next {
            Some(Message::End) => Ok(()),
            Some(Message::Rows(..)) | None => Err(other_side()),
        }
    }

    /// New rows, apps and places come behind those that were brought.
    async fn continue_from(&self, counters: &Counters) -> Result<(), TransferError> {
        let Counters { meta, next_row, outcome, gone } = counters;
        for (name, value) in meta {
            self.mark(name, Some(*value)).await?;
        }
        let place = "INSERT INTO app_place (app, outcome, gone)
            SELECT number, coalesce((SELECT max(place) FROM outcome WHERE app = number), $1), $2 FROM app";
        self.link.run(place, &[outcome, gone]).await?;
        self.mark(PLACES_BEFORE, Some(*outcome)).await?;
        // A claim from before is one of an earlier epoch, so that what is in flight is recovered.
        let lane = "INSERT INTO lane (app, epoch)
            SELECT number, coalesce((SELECT max(claim) >> 32 FROM pending WHERE app = number), 0) FROM app";
        self.link.run(lane, &[]).await?;
        let numbers =
            "SELECT setval(pg_get_serial_sequence('apnsd.app', 'number'), coalesce(max(number), 0) + 1, false)
            FROM app";
        self.link.one(numbers, &[]).await?;
        self.link.one("SELECT setval('pending_row', $1, false)", &[next_row]).await?;
        self.link.run("UPDATE meta SET value = value + 1 WHERE name = 'registry'", &[]).await?;
        Ok(())
    }

    /// Reads all rows as they are at one moment, for whom takes them.
    pub(super) async fn read(
        &mut self,
        tables: &[Table],
        sender: Sender,
        told: &mut (impl FnMut(Transferred) + Send),
    ) -> Result<(), TransferError> {
        self.link.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut so_far = Transferred::default();
        for (index, table) in tables.iter().enumerate() {
            let rows = self.link.client.query_raw::<_, i64, _>(&table.select, []).await?;
            let mut portions = pin!(rows.try_ready_chunks(PORTION));
            while let Some(rows) = portions.try_next().await.map_err(|error| error.1)? {
                let rows: Vec<Vec<Value>> =
                    rows.iter().map(|row| (0..row.len()).map(|column| row.get(column)).collect()).collect();
                so_far.count(table.name, rows.len() as u64);
                sender.send(Message::Rows(index, rows)).await.map_err(|_| other_side())?;
                told(so_far);
            }
        }
        sender.send(Message::End).await.map_err(|_| other_side())
    }

    /// Something that is in it.
    async fn holds(&self) -> Result<Option<String>, TransferError> {
        let row = self.link.one("SELECT count(*), min(name) FROM app", &[]).await?;
        let name: Option<String> = row.get(1);
        Ok(name.map(|name| super::apps_in_words(row.get(0), &name)))
    }
}

fn value(rows: &[Row], name: &str) -> Option<i64> {
    rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get(1))
}

/// What does not fit into its column is the row's fault.
fn in_row(table: &'static str, error: tokio_postgres::Error) -> TransferError {
    let server = error.as_db_error().is_none() && !error.is_closed();
    match std::error::Error::source(&error) {
        Some(why) if server => TransferError::Row { table, why: why.to_string() },
        _ => error.into(),
    }
}
