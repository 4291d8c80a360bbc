//! Cursors from before a move.
//!
//! In a database that several daemons share, places are counted for each app; in the file, for all apps together. What comes
//! from there gets the place `below × app + place`, where `below` is more than any place that there was. So a place below it
//! is one of a cursor from before the move, and is read as what it stands for now.

use rusqlite::Connection;

use super::AppNumber;
use super::schema::{number, set};

/// The names in `meta`: places from before are below this, and of apps up to this number.
const NAMES: [&str; 2] = ["places_below", "places_apps"];

/// Keeps what a move did to places.
pub(in crate::outbox) fn keep(connection: &Connection, below: i64, apps: AppNumber) -> rusqlite::Result<()> {
    let [name, other] = NAMES;
    set(connection, name, below)?;
    set(connection, other, apps)
}

/// The place of what had this one in the database.
fn moved(place: i64, below: i64, app: AppNumber) -> i64 {
    below.saturating_mul(app).saturating_add(place)
}

/// The place that a cursor of this app stands for.
pub(super) fn of_app(connection: &Connection, app: AppNumber, place: i64) -> rusqlite::Result<i64> {
    let [name, other] = NAMES;
    let Some(below) = number(connection, name)?.filter(|below| place < *below) else { return Ok(place) };
    let apps = number(connection, other)?.unwrap_or_default();
    Ok(if app <= apps { moved(place, below, app) } else { place })
}
