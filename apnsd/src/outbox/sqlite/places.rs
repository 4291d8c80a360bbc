//! Cursors from before a move.

use rusqlite::{Connection, OptionalExtension, params};

use super::AppNumber;
use super::schema::number;
use crate::outbox::moved::PLACES_BEFORE;

/// The place in this table behind which to read for a cursor that may be from before everything was moved here.
pub(super) fn since_a_move(connection: &Connection, table: &str, app: AppNumber, after: i64) -> rusqlite::Result<i64> {
    if number(connection, PLACES_BEFORE)?.is_none_or(|last| after > last) {
        return Ok(after);
    }
    let find = format!("SELECT place FROM {table} WHERE app = ? AND before <= ? ORDER BY before DESC LIMIT 1");
    let found = connection.prepare_cached(&find)?.query_row(params![app, after], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(after))
}
