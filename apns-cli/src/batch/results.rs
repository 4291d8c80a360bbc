//! The results of a batch: one row of JSON for each line that is settled, written as outcomes come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use apns_proto::encoding::{self, EncodingError};
use serde::Serialize;
use serde_json::Serializer;

use crate::batch::lines::LineSet;
use crate::output::Printable;
use crate::row::{ORDER, RowView};

/// The longest row that is read: all texts of a line come back in it at most once, and escaped they grow.
const LONGEST_ROW: u64 = 1024 * 1024;

/// How much is gathered before it is written, at most. Whatever is gathered is written before anything is waited for.
const GATHERED: usize = 32 * 1024;

/// How many bytes are written until the disk is asked to have them.
const SYNC_EVERY: u64 = 4 * 1024 * 1024;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    /// It is no row at all.
    #[error("it is not a row of results")]
    NotARow,
    /// Its number is that of no line.
    #[error("the batch has no line {0}")]
    NoSuchLine(u64),
    /// There was one with the same number.
    #[error("it is the second one for line {0} of the batch")]
    Twice(u64),
}

/// Results cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// They were saved in another encoding.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A row that was on disk is not what was written.
    #[error("row {row}: {error}")]
    Row {
        /// Which, counted from 1.
        row: u64,
        /// What is wrong with it.
        error: RowError,
    },
    /// Less is there than was on disk.
    #[error("it has {found} bytes of rows, and had {expected}")]
    Short {
        /// How many there are.
        found: u64,
        /// How many there were at least.
        expected: u64,
    },
}

/// What was found in results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The lines that have a row.
    pub(crate) settled: LineSet,
    /// How many bytes of whole rows there are.
    pub(crate) length: u64,
    /// How many bytes follow that are no whole row.
    pub(crate) torn: u64,
}

/// Reads results. `certain` bytes of them were on disk for certain; what cannot be used behind that was broken off in the
/// middle of a write, or lost with the power, and ends the reading. No row has a number above `most`.
pub(crate) fn scan(
    source: &mut (impl Read + Seek),
    certain: u64,
    most: u64,
    mut on_row: impl FnMut(&RowView<'_>),
) -> Result<Scan, ScanError> {
    let size = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(64 * 1024, source);
    let mut settled = LineSet::default();
    let (mut length, mut line) = (0, Vec::new());
    for row in 1.. {
        line.clear();
        let read = reader.by_ref().take(LONGEST_ROW).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        // What somebody saved anew in an editor is no row that was broken off.
        let text = if row == 1 { encoding::skip_mark(&line)? } else { &line };
        let view = match parse(text) {
            Some(view) if view.n == 0 || view.n > most => Err(RowError::NoSuchLine(view.n)),
            Some(view) if settled.contains(view.n) => Err(RowError::Twice(view.n)),
            Some(view) => Ok(view),
            None => Err(RowError::NotARow),
        };
        match view {
            Ok(view) => {
                settled.insert(view.n);
                on_row(&view);
                length += read as u64;
            }
            Err(error) if length < certain => return Err(ScanError::Row { row, error }),
            Err(_) => break,
        }
    }
    if length < certain {
        return Err(ScanError::Short { found: length, expected: certain });
    }
    Ok(Scan { settled, length, torn: size - length })
}

/// A row with the end of its line.
fn parse(line: &[u8]) -> Option<RowView<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let view: RowView<'_> = serde_json::from_slice(line).ok()?;
    ORDER.contains(&&*view.outcome).then_some(view)
}

/// Results that are being written.
///
/// Once they cannot be written any more, nothing more is, and [`finish`](Self::finish) tells why.
#[derive(Debug)]
pub(crate) struct Results {
    writer: BufWriter<File>,
    /// How many bytes there are, those that are gathered included.
    length: u64,
    syncing: Arc<Syncing>,
    asked: u64,
    failed: Option<io::Error>,
}

/// What the disk was asked for.
#[derive(Debug, Default)]
struct Syncing {
    /// So many bytes are on it.
    done: AtomicU64,
    busy: AtomicBool,
}

impl Results {
    /// Goes on behind the rows that are there.
    pub(crate) fn behind(mut file: File, scan: &Scan) -> io::Result<Self> {
        if scan.torn > 0 {
            file.set_len(scan.length)?;
        }
        file.seek(SeekFrom::Start(scan.length))?;
        file.sync_all()?;
        let syncing = Arc::new(Syncing { done: scan.length.into(), busy: false.into() });
        let writer = BufWriter::with_capacity(GATHERED, file);
        Ok(Self { writer, length: scan.length, syncing, asked: scan.length, failed: None })
    }

    /// Writes a row.
    pub(crate) fn row(&mut self, row: &impl Serialize) {
        self.attempt(|results| {
            let mut counter = Counter { writer: &mut results.writer, count: 0 };
            row.serialize(&mut Serializer::with_formatter(&mut counter, Printable))?;
            counter.write_all(b"\n")?;
            results.length += counter.count;
            Ok(())
        });
    }

    /// Hands everything over to the system.
    pub(crate) fn flush(&mut self) {
        self.attempt(|results| results.writer.flush());
    }

    /// Has the disk asked, when it is time, on a thread of its own.
    pub(crate) fn sync_in_background(&mut self) {
        if self.length - self.asked < SYNC_EVERY || self.syncing.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (length, syncing) = (self.length, self.syncing.clone());
        self.attempt(|results| {
            results.writer.flush()?;
            let file = results.writer.get_ref().try_clone()?;
            results.asked = length;
            drop(tokio::task::spawn_blocking(move || {
                // What cannot be had on disk now is tried again at the end, which tells.
                if file.sync_data().is_ok() {
                    syncing.done.fetch_max(length, Ordering::AcqRel);
                }
                syncing.busy.store(false, Ordering::Release);
            }));
            Ok(())
        });
    }

    /// How many bytes are on disk for certain.
    pub(crate) fn on_disk(&self) -> u64 {
        self.syncing.done.load(Ordering::Acquire)
    }

    /// Whether nothing can be written any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.failed.is_some()
    }

    /// Has everything on disk, and says how many bytes that are.
    pub(crate) fn finish(&mut self) -> io::Result<u64> {
        self.flush();
        self.attempt(|results| results.writer.get_ref().sync_all());
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(self.length),
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(self).err();
        }
    }
}

/// Counts what is written.
struct Counter<W> {
    writer: W,
    count: u64,
}

impl<W: Write> Write for Counter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    fn row(n: u64) -> String {
        let row = json!({"n": n, "id": null, "token": "aa", "outcome": "accepted", "proof": "confirmed", "status": null,
            "reason": null, "attempts": 1, "apns_id": null, "unique_id": null, "timestamp": null, "resumed": false,
            "registered": null});
        format!("{row}\n")
    }

    /// The lines that have a row, how many bytes these take, and how many follow.
    type Found = (Vec<(u64, u64)>, u64, u64);

    fn found(text: &[u8], certain: u64) -> Result<Found, ScanError> {
        let mut seen = LineSet::default();
        let scan = scan(&mut Cursor::new(text), certain, 100, |row| assert!(seen.insert(row.n)))?;
        assert_eq!(seen, scan.settled);
        Ok((scan.settled.ranges(), scan.length, scan.torn))
    }

    #[test]
    fn a_torn_last_row_is_no_row() {
        let text = [row(7), row(8), row(3)].concat().into_bytes();
        let (first, second) = (row(7).len(), row(7).len() + row(8).len());
        for cut in 0..=text.len() {
            let (lines, length) = match cut {
                cut if cut < first => (vec![], 0),
                cut if cut < second => (vec![(7, 7)], first),
                cut if cut < text.len() => (vec![(7, 8)], second),
                _ => (vec![(3, 3), (7, 8)], text.len()),
            };
            assert_eq!(found(&text[..cut], 0).unwrap(), (lines, length as u64, (cut - length) as u64), "cut at {cut}");
        }
    }

    #[test]
    fn words_of_a_peer_are_escaped_in_a_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nothing = Scan { settled: LineSet::default(), length: 0, torn: 0 };
        let mut results = Results::behind(file.reopen().unwrap(), &nothing).unwrap();
        let said = json!({"reason": "Bad\u{1b}[2J\u{9b}K\u{202e}\n"});
        results.row(&said);
        results.flush();
        let written = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(written, "{\"reason\":\"Bad\\u001b[2J\\u009bK\\u202e\\n\"}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), said);
        assert_eq!(results.length, written.len() as u64);
    }

    #[test]
    fn what_was_on_disk_for_certain_has_to_be_there() {
        let text = [row(1), row(2)].concat();
        let length = text.len() as u64;
        for certain in [1, length - 1, length] {
            let short = found(&text.as_bytes()[..certain as usize - 1], certain).unwrap_err();
            assert!(matches!(short, ScanError::Short { .. } | ScanError::Row { .. }), "{short}");
        }
        let changed = text.replacen("accepted", "excepted", 1);
        let error = found(changed.as_bytes(), length).unwrap_err();
        assert_eq!(error.to_string(), "row 1: it is not a row of results");
        // As after a loss of power: what was not on disk is noise.
        let noise = [text.as_bytes(), &[0; 5000], row(9).as_bytes()].concat();
        assert_eq!(found(&noise, length).unwrap(), (vec![(1, 2)], length, 5000 + row(9).len() as u64));
    }

    #[test]
    fn two_rows_for_a_line_are_a_mistake_and_so_is_a_line_that_is_not_there() {
        let twice = [row(1), row(1)].concat();
        let error = found(twice.as_bytes(), twice.len() as u64).unwrap_err();
        assert_eq!(error.to_string(), "row 2: it is the second one for line 1 of the batch");
        for n in [0, 101, u64::MAX] {
            let error = found(row(n).as_bytes(), 1).unwrap_err();
            assert_eq!(error.to_string(), format!("row 1: the batch has no line {n}"));
        }
    }

    #[test]
    fn rows_that_were_saved_in_an_editor_are_not_taken_for_broken_off() {
        let text = format!("\u{feff}{}", row(1));
        assert_eq!(found(text.as_bytes(), 0).unwrap(), (vec![(1, 1)], text.len() as u64, 0));
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&utf16, 0).unwrap_err().to_string(), EncodingError::Utf16.to_string());
    }

    #[test]
    fn an_endless_row_is_not_kept() {
        let endless = vec![b'x'; 3 * LONGEST_ROW as usize];
        assert_eq!(found(&endless, 0).unwrap(), (vec![], 0, endless.len() as u64));
    }

    #[test]
    fn a_token_is_in_no_debug_text() {
        let text = row(1).replace("aa", "c0ffee");
        let view: RowView<'_> = serde_json::from_str(&text).unwrap();
        assert!(!format!("{view:?}").contains("c0ffee"));
    }

    #[tokio::test]
    async fn rows_are_written_behind_what_is_there() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all([row(1).as_bytes(), b"{\"n\":2,"].concat().as_slice()).unwrap();
        let scan = scan(&mut file, 0, 100, |_| {}).unwrap();
        let mut results = Results::behind(file.try_clone().unwrap(), &scan).unwrap();
        assert_eq!(results.on_disk(), row(1).len() as u64);
        let next: serde_json::Value = serde_json::from_str(&row(2)).unwrap();
        results.row(&next);
        assert_eq!(results.finish().unwrap(), (row(1) + &row(2)).len() as u64);
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, row(1) + &row(2));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_ends_it() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut results = Results {
            writer: BufWriter::with_capacity(GATHERED, full),
            length: 0,
            syncing: Arc::default(),
            asked: 0,
            failed: None,
        };
        results.row(&json!({"n": 1}));
        assert!(!results.is_closed());
        results.flush();
        assert!(results.is_closed());
        results.row(&json!({"n": 2}));
        assert_eq!(results.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
