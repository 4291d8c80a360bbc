//! What was handed to the transport, in a file beside the tables that is not synced.
//!
//! A claim is on disk before anything is sent, with many others and some time before it. This file says which of what was
//! claimed has really left, and what was heard of it since. A write that is not synced outlives the process that made it,
//! and not the machine: so the file counts for the boot in which it was written, and for the opening of the tables that
//! began it. Otherwise everything that was claimed may have left.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apns_proto::{DeviceToken, WallTime};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::disk::beside;
use super::private_file;
use crate::NotificationId;
use crate::outbox::{Change, GoneToken, OutcomeRecord, Postponement, Settlement, Tries};

/// The last thing that is known of a notification which was claimed and sent.
#[derive(Debug, Clone)]
pub(super) enum Last {
    /// It may have left.
    Left,
    /// This is to be done with it.
    Changed(Change),
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first: when the file counts.
    Begun { boot: String, opening: i64 },
    /// These rows are about to leave.
    Left(Vec<i64>),
    /// This row ended.
    Ended { row: i64, record: Box<OutcomeRecord>, gone: Option<Gone> },
    /// This row waits again.
    Waits { row: i64, id: NotificationId, due: u64, tries: Tries },
}

impl Line {
    fn of(row: i64, change: &Change) -> Self {
        match change {
            Change::Settle(settlement) => Self::Ended {
                row,
                record: Box::new(settlement.record.clone()),
                gone: settlement.gone.as_ref().map(Gone::from),
            },
            Change::Postpone(Postponement { id, due, tries }) => {
                Self::Waits { row, id: *id, due: due.as_millis(), tries: *tries }
            }
        }
    }
}

/// [`GoneToken`] in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Gone {
    token: String,
    topic: Option<String>,
    since: Option<u64>,
    found_at: u64,
    reason: String,
}

impl From<&GoneToken> for Gone {
    fn from(gone: &GoneToken) -> Self {
        Self {
            token: gone.token.to_hex(),
            topic: gone.topic.as_deref().map(str::to_owned),
            since: gone.since.map(WallTime::as_millis),
            found_at: gone.found_at.as_millis(),
            reason: gone.reason.as_ref().to_owned(),
        }
    }
}

impl Gone {
    fn into_token(self) -> Option<GoneToken> {
        Some(GoneToken {
            token: DeviceToken::from_hex(&self.token).ok()?,
            topic: self.topic.map(Arc::from),
            since: self.since.map(WallTime::from_millis),
            found_at: WallTime::from_millis(self.found_at),
            reason: self.reason.into(),
        })
    }
}

/// The file, and what is in it that still matters.
#[derive(Debug)]
pub(super) struct Sent(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    boot: Option<String>,
    opening: i64,
    /// `None` where it could not be written.
    file: Option<File>,
    size: usize,
    /// It is written anew when it has grown to this size.
    limit: usize,
    live: HashMap<i64, Last>,
}

/// A file of this size is written anew, without what does not matter any more.
const LIMIT: usize = 4 << 20;

impl Sent {
    /// Begins a new file for this opening of the tables, in place of an earlier one.
    pub(super) fn begin(path: &Path, opening: i64) -> Self {
        let mut kept = Kept {
            path: path.to_owned(),
            boot: boot(),
            opening,
            file: None,
            size: 0,
            limit: LIMIT,
            live: HashMap::new(),
        };
        // One that cannot be written now can be later.
        let _ = kept.rewrite();
        Self(Mutex::new(kept))
    }

    /// These rows are about to leave.
    ///
    /// # Errors
    ///
    /// When an earlier file stands there that does not say so.
    pub(super) fn leaving(&self, rows: Vec<i64>) -> io::Result<()> {
        let mut kept = self.kept();
        kept.live.extend(rows.iter().map(|row| (*row, Last::Left)));
        kept.append(&[Line::Left(rows)])
    }

    /// This is about to be done with rows.
    ///
    /// # Errors
    ///
    /// As [`leaving`](Self::leaving).
    pub(super) fn changing(&self, changes: Vec<(i64, Change)>) -> io::Result<()> {
        let mut kept = self.kept();
        let lines: Vec<Line> = changes.iter().map(|(row, change)| Line::of(*row, change)).collect();
        kept.live.extend(changes.into_iter().map(|(row, change)| (row, Last::Changed(change))));
        kept.append(&lines)
    }

    /// It was done, and is in the tables. What has left again since stays.
    pub(super) fn changed(&self, rows: impl Iterator<Item = i64>) {
        let mut kept = self.kept();
        for row in rows {
            if let Some(Last::Changed(_)) = kept.live.get(&row) {
                kept.live.remove(&row);
            }
        }
    }

    /// The tables have another number for this opening, so that an earlier file does not count.
    pub(super) fn set_opening(&self, opening: i64) {
        self.kept().opening = opening;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock()
    }
}

impl Kept {
    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        if self.boot.is_none() || lines.is_empty() {
            return Ok(());
        }
        if self.size < self.limit
            && let Some(file) = &mut self.file
        {
            let text = text(lines)?;
            if file.write_all(&text).is_ok() {
                self.size += text.len();
                return Ok(());
            }
        }
        self.rewrite().or_else(|_| self.give_up())
    }

    /// Writes what matters into a new file, which takes the place of the earlier one.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(boot) = self.boot.clone() else { return Ok(()) };
        self.file = None;
        let mut left = Vec::new();
        let mut lines = vec![Line::Begun { boot, opening: self.opening }];
        for (row, last) in &self.live {
            match last {
                Last::Left => left.push(*row),
                Last::Changed(change) => lines.push(Line::of(*row, change)),
            }
        }
        lines.push(Line::Left(left));
        let text = text(&lines)?;
        let new = beside(&self.path, "-new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_file(&new)?;
        file.write_all(&text)?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        self.size = text.len();
        self.limit = LIMIT.max(2 * text.len());
        Ok(())
    }

    /// A file that does not have everything must not be found.
    fn give_up(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the file says of each row, where it counts for this opening of the tables.
pub(super) fn read(path: &Path, opening: i64) -> Option<HashMap<i64, Last>> {
    let boot = boot()?;
    let bytes = fs::read(path).ok()?;
    // What stands behind the last line end was not written to its end, so nothing followed from it.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let mut lines = bytes[..whole].split(|byte| *byte == b'\n').map(serde_json::from_slice);
    match lines.next()?.ok()? {
        Line::Begun { boot: of, opening: begun } if of == boot && begun == opening => {}
        _ => return None,
    }
    let mut known = HashMap::new();
    for line in lines {
        match line.ok()? {
            Line::Begun { .. } => return None,
            Line::Left(rows) => known.extend(rows.into_iter().map(|row| (row, Last::Left))),
            Line::Ended { row, record, gone } => {
                let gone = match gone {
                    Some(gone) => Some(gone.into_token()?),
                    None => None,
                };
                let settlement = Settlement { record: *record, gone };
                _ = known.insert(row, Last::Changed(Change::Settle(Box::new(settlement))));
            }
            Line::Waits { row, id, due, tries } => {
                let due = WallTime::from_millis(due);
                _ = known.insert(row, Last::Changed(Change::Postpone(Postponement { id, due, tries })));
            }
        }
    }
    Some(known)
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// What tells this start of the machine from others; `None` where the system does not say.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn waits(row: i64) -> (i64, Change) {
        let id = NotificationId::from_bytes([7; 16]);
        (row, Change::Postpone(Postponement { id, due: WallTime::from_secs(1), tries: Tries::default() }))
    }

    fn rows(path: &Path, opening: i64) -> Option<Vec<i64>> {
        let mut rows: Vec<i64> = read(path, opening)?.into_keys().collect();
        rows.sort_unstable();
        Some(rows)
    }

    #[test]
    fn what_was_noted_is_read_in_the_same_opening_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 3);
        sent.leaving(vec![1, 2]).unwrap();
        sent.changing(vec![waits(1)]).unwrap();
        let known = read(&path, 3).unwrap();
        assert!(matches!((&known[&1], &known[&2]), (Last::Changed(Change::Postpone(_)), Last::Left)));
        assert!(read(&path, 4).is_none());
        Sent::begin(&path, 4);
        assert_eq!(rows(&path, 4), Some(vec![]));
    }

    #[test]
    fn a_line_without_an_end_had_no_consequence_and_an_odd_one_makes_the_file_count_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 1);
        sent.leaving(vec![1]).unwrap();
        let append =
            |text: &str| OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        append("{\"left\":[2,3");
        assert_eq!(rows(&path, 1), Some(vec![1]));
        append("\n");
        assert_eq!(rows(&path, 1), None);
        for odd in ["", "\n", "{}", "{\"left\":[1]}\n", "\u{0}\u{0}\n"] {
            fs::write(&path, odd).unwrap();
            assert_eq!(rows(&path, 1), None, "{odd:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(rows(&path, 1), None);
    }

    #[test]
    fn the_file_is_written_anew_with_what_matters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 1);
        let mut row = 0;
        let mut largest = 0;
        while row < 200_000 {
            sent.leaving((row..row + 100).collect()).unwrap();
            sent.changing((row..row + 100).map(waits).collect()).unwrap();
            // One of each hundred leaves once more before its change is in the tables.
            sent.leaving(vec![row + 7]).unwrap();
            sent.changed(row..row + 100);
            row += 100;
            largest = largest.max(fs::metadata(&path).unwrap().len());
        }
        assert!(largest < 2 * LIMIT as u64, "{largest}");
        let known = read(&path, 1).unwrap();
        let left = known.values().filter(|last| matches!(last, Last::Left)).count();
        assert_eq!(left, 2000);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_taken_away_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 1);
        sent.leaving(vec![1]).unwrap();
        // No disk is full here, so the file is one that is open for reading alone, and a directory is in the way of a new one.
        sent.kept().file = Some(File::open(&path).unwrap());
        let way = beside(&path, "-new");
        fs::create_dir(&way).unwrap();
        sent.leaving(vec![2]).unwrap();
        assert!(!path.exists(), "it does not say that the second has left");
        fs::remove_dir(&way).unwrap();
        sent.leaving(vec![3]).unwrap();
        assert_eq!(rows(&path, 1), Some(vec![1, 2, 3]));
        // Where not even that can be done, it must not count.
        sent.kept().file = Some(File::open(&path).unwrap());
        fs::create_dir(&way).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(sent.leaving(vec![4]).is_err());
    }
}
