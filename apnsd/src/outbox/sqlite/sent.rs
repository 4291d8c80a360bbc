//! What was handed to the transport, in a file beside the tables that is not synced.
//!
//! A claim is on disk before anything is sent, with many others and some time before it. This file says which of what was
//! claimed has really left, and what was heard of it since. A write that is not synced outlives the process that made it,
//! and not the machine: so the file counts for the boot in which it was written, and for the opening of the tables that
//! began it. Otherwise everything that was claimed may have left.

use std::borrow::Cow;
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
use crate::outbox::{Change, ClaimNumber, GoneToken, OutcomeRecord, Postponement, Route, Settlement, Tries};

/// The last thing that is known of a notification which was claimed and sent.
#[derive(Debug)]
pub(super) enum Last {
    /// It may have left.
    Left,
    /// This is to be done with it.
    Changed(Change),
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a line lives as long as it takes to write or to read it")]
enum Line<'a> {
    /// The first: when the file counts.
    Begun { boot: Cow<'a, str>, opening: i64 },
    /// These rows are about to leave.
    Left(Vec<i64>),
    /// This row ended.
    Ended {
        row: i64,
        record: Cow<'a, OutcomeRecord>,
        gone: Option<Gone>,
        #[serde(default)]
        claim: i64,
    },
    /// This row waits again.
    Waits {
        row: i64,
        id: NotificationId,
        due: u64,
        tries: Tries,
        #[serde(default)]
        claim: i64,
        #[serde(default)]
        route: u8,
    },
}

impl<'a> Line<'a> {
    fn of(row: i64, change: &'a Change) -> Self {
        match change {
            Change::Settle(settlement) => Self::Ended {
                row,
                record: Cow::Borrowed(&settlement.record),
                gone: settlement.gone.as_ref().map(Gone::from),
                claim: settlement.claim.get(),
            },
            Change::Postpone(Postponement { id, due, route, tries, claim }) => Self::Waits {
                row,
                id: *id,
                due: due.as_millis(),
                tries: *tries,
                claim: claim.get(),
                route: route.number(),
            },
        }
    }

    fn append_to(&self, text: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(&mut *text, self)?;
        text.push(b'\n');
        Ok(())
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

/// The file, and what is in it that still matters. There is none where the system does not tell one start of the machine
/// from another.
#[derive(Debug)]
pub(super) struct Sent(Option<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    boot: String,
    opening: i64,
    /// `None` where it could not be written.
    file: Option<File>,
    size: usize,
    /// It is written anew when it has grown to this size.
    limit: usize,
    live: HashMap<i64, Note>,
    /// How many notes were made.
    notes: u64,
}

/// What the last line about a row says, as far as a later one may have to say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Left,
    Ended,
    Waits { due: WallTime, route: Route, tries: Tries },
}

impl Said {
    const fn of(change: &Change) -> Self {
        match change {
            Change::Settle(_) => Self::Ended,
            Change::Postpone(Postponement { due, route, tries, .. }) => {
                Self::Waits { due: *due, route: *route, tries: *tries }
            }
        }
    }
}

/// The last line about a row.
#[derive(Debug)]
struct Note {
    number: u64,
    said: Said,
    /// What is to be done with it, as it stands in the file; `None` where it may have left.
    change: Option<Vec<u8>>,
}

/// A file of this size is written anew, without what does not matter any more.
const LIMIT: usize = 4 << 20;

impl Sent {
    /// Begins a new file for this opening of the tables, in place of an earlier one. These rows may have left before.
    pub(super) fn begin(path: &Path, opening: i64, left: Vec<i64>) -> Self {
        let Some(boot) = boot() else { return Self(None) };
        let (path, live) = (path.to_owned(), HashMap::new());
        let mut kept = Kept { path, boot, opening, file: None, size: 0, limit: LIMIT, live, notes: 0 };
        left.into_iter().for_each(|row| kept.note(row, Said::Left, None));
        // One that cannot be written now can be later.
        let _ = kept.rewrite();
        Self(Some(Mutex::new(kept)))
    }

    /// These rows are about to leave.
    ///
    /// # Errors
    ///
    /// When an earlier file stands there that does not say so.
    pub(super) fn leaving(&self, rows: Vec<i64>) -> io::Result<()> {
        let Some(mut kept) = self.kept() else { return Ok(()) };
        rows.iter().for_each(|row| kept.note(*row, Said::Left, None));
        let mut text = Vec::new();
        Line::Left(rows).append_to(&mut text)?;
        kept.append(&text)
    }

    /// This is about to be done with rows.
    ///
    /// # Errors
    ///
    /// As [`leaving`](Self::leaving).
    pub(super) fn changing<'a>(&self, changes: impl Iterator<Item = (i64, &'a Change)>) -> io::Result<()> {
        let Some(mut kept) = self.kept() else { return Ok(()) };
        let mut text = Vec::new();
        for (row, change) in changes {
            let begin = text.len();
            Line::of(row, change).append_to(&mut text)?;
            kept.note(row, Said::of(change), Some(text[begin..].to_vec()));
        }
        kept.append(&text)
    }

    /// Whether something else is noted than what is done with this row now. The line would stay, and be believed of a later
    /// claim of the same row.
    pub(super) fn says_otherwise(&self, row: i64, change: &Change) -> bool {
        let noted = |kept: MutexGuard<'_, Kept>| kept.live.get(&row).is_some_and(|note| note.said != Said::of(change));
        // A row that ended is never claimed again.
        matches!(change, Change::Postpone(_)) && self.kept().is_some_and(noted)
    }

    /// What is noted as to be done with these rows: row and number of the note.
    pub(super) fn to_be_done(&self, rows: impl Iterator<Item = i64>) -> Vec<(i64, u64)> {
        let Some(kept) = self.kept() else { return Vec::new() };
        let noted =
            rows.filter_map(|row| Some((row, kept.live.get(&row).filter(|note| note.change.is_some())?.number)));
        noted.collect()
    }

    /// It was done, and is in the tables. What was noted of a row since stays.
    pub(super) fn done(&self, noted: &[(i64, u64)]) {
        let Some(mut kept) = self.kept() else { return };
        for (row, number) in noted {
            if kept.live.get(row).is_some_and(|note| note.number == *number) {
                kept.live.remove(row);
            }
        }
    }

    /// The tables have another number for this opening, so that an earlier file does not count.
    pub(super) fn set_opening(&self, opening: i64) {
        if let Some(mut kept) = self.kept() {
            kept.opening = opening;
        }
    }

    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        self.0.as_ref().map(Mutex::lock)
    }
}

impl Kept {
    fn note(&mut self, row: i64, said: Said, change: Option<Vec<u8>>) {
        self.notes += 1;
        self.live.insert(row, Note { number: self.notes, said, change });
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.size < self.limit
            && let Some(file) = &mut self.file
            && file.write_all(text).is_ok()
        {
            self.size += text.len();
            return Ok(());
        }
        self.rewrite().or_else(|_| remove(&self.path))
    }

    /// Writes what matters into a new file, which takes the place of the earlier one.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let mut text = Vec::new();
        Line::Begun { boot: Cow::Borrowed(&self.boot), opening: self.opening }.append_to(&mut text)?;
        let left = self.live.iter().filter(|(_, note)| note.change.is_none()).map(|(row, _)| *row);
        Line::Left(left.collect()).append_to(&mut text)?;
        self.live.values().filter_map(|note| note.change.as_deref()).for_each(|change| text.extend_from_slice(change));
        let new = beside(&self.path, "-new");
        remove(&new)?;
        let mut file = private_file(&new)?;
        file.write_all(&text)?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        self.size = text.len();
        self.limit = LIMIT.max(2 * text.len());
        Ok(())
    }
}

/// Takes a file away, if it is there: one that does not have everything must not be found.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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
            Line::Ended { row, record, gone, claim } => {
                let gone = match gone {
                    Some(gone) => Some(gone.into_token()?),
                    None => None,
                };
                let claim = ClaimNumber::new(claim);
                let settlement = Settlement { record: record.into_owned(), gone, claim };
                _ = known.insert(row, Last::Changed(Change::Settle(Box::new(settlement))));
            }
            Line::Waits { row, id, due, tries, claim, route } => {
                let (due, claim) = (WallTime::from_millis(due), ClaimNumber::new(claim));
                let route = Route::from_number(route.into());
                let postponement = Postponement { id, due, route, tries, claim };
                _ = known.insert(row, Last::Changed(Change::Postpone(postponement)));
            }
        }
    }
    Some(known)
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

    fn waits() -> Change {
        let id = NotificationId::from_bytes([7; 16]);
        let (due, claim) = (WallTime::from_secs(1), ClaimNumber::new(1));
        Change::Postpone(Postponement { id, due, route: Route::Default, tries: Tries::default(), claim })
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
        let sent = Sent::begin(&path, 3, Vec::new());
        sent.leaving(vec![1, 2]).unwrap();
        sent.changing([(1, &waits())].into_iter()).unwrap();
        let known = read(&path, 3).unwrap();
        assert!(matches!((&known[&1], &known[&2]), (Last::Changed(Change::Postpone(_)), Last::Left)));
        assert!(read(&path, 4).is_none());
        Sent::begin(&path, 4, vec![9]);
        assert_eq!(rows(&path, 4), Some(vec![9]), "what may have left before");
    }

    #[test]
    fn a_line_without_an_end_had_no_consequence_and_an_odd_one_makes_the_file_count_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 1, Vec::new());
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
        let sent = Sent::begin(&path, 1, Vec::new());
        let change = waits();
        let mut row = 0;
        let mut largest = 0;
        while row < 200_000 {
            sent.leaving((row..row + 100).collect()).unwrap();
            sent.changing((row..row + 100).map(|row| (row, &change))).unwrap();
            let noted = sent.to_be_done(row..row + 100);
            // One of each hundred leaves once more before its change is in the tables.
            sent.leaving(vec![row + 7]).unwrap();
            sent.done(&noted);
            row += 100;
            largest = largest.max(fs::metadata(&path).unwrap().len());
        }
        assert!(largest < 2 * LIMIT as u64, "{largest}");
        let known = read(&path, 1).unwrap();
        let left = known.values().filter(|last| matches!(last, Last::Left)).count();
        assert_eq!(left, 2000);
    }

    #[test]
    fn what_is_noted_while_an_earlier_change_is_kept_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let (sent, change) = (Sent::begin(&path, 1, Vec::new()), waits());
        sent.leaving(vec![1]).unwrap();
        sent.changing([(1, &change)].into_iter()).unwrap();
        let earlier = sent.to_be_done([1, 2].into_iter());
        // It waits again, is claimed, leaves and is answered before the first answer of the tables was looked at.
        sent.leaving(vec![1]).unwrap();
        sent.changing([(1, &change)].into_iter()).unwrap();
        sent.done(&earlier);
        sent.kept().unwrap().rewrite().unwrap();
        assert!(matches!(read(&path, 1).unwrap()[&1], Last::Changed(_)));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_taken_away_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent");
        let sent = Sent::begin(&path, 1, Vec::new());
        sent.leaving(vec![1]).unwrap();
        // No disk is full here, so the file is one that is open for reading alone, and a directory is in the way of a new one.
        sent.kept().unwrap().file = Some(File::open(&path).unwrap());
        let way = beside(&path, "-new");
        fs::create_dir(&way).unwrap();
        sent.leaving(vec![2]).unwrap();
        assert!(!path.exists(), "it does not say that the second has left");
        fs::remove_dir(&way).unwrap();
        sent.leaving(vec![3]).unwrap();
        assert_eq!(rows(&path, 1), Some(vec![1, 2, 3]));
        // Where not even that can be done, it must not count.
        sent.kept().unwrap().file = Some(File::open(&path).unwrap());
        fs::create_dir(&way).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(sent.leaving(vec![4]).is_err());
    }
}
