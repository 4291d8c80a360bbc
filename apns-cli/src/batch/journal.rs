//! The journal of a batch: how far lines may have left, on disk before they do.
//!
//! One file of constant size. A head, one line of JSON padded to whole blocks, says what the journal is about and what
//! earlier passes left. Two slots follow, a block each, that are written in turn: each holds a mark with a check of it. A
//! write that is broken off harms its own slot only, and the other one still has the mark before; no line behind that was
//! handed over, because the write had to end first. The head changes only by putting a whole new file in the place of
//! the old one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str;
use std::time::{Duration, Instant};

use apns_driver::files::{open_private, replace_private};
use apns_proto::encoding::{self, EncodingError};
use apns_proto::internal::to_hex;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::batch::departures::Departures;
use crate::batch::fingerprint::Fingerprint;
use crate::batch::lines::LineSet;

/// The version of the format: since the second one the digest is of the whole batch.
const FORMAT: u32 = 2;

/// What disks write as a whole, or not at all, is no larger.
const BLOCK: usize = 4096;

/// The largest journal that is read: the head lists lines, as ranges.
const LARGEST: u64 = 256 * 1024 * 1024;

/// How far the mark runs ahead of the lines that are handed over, at most.
pub(crate) const FARTHEST_AHEAD: u64 = 4096;

/// How often the mark is written, about: more often, and the disk slows the sending down; less often, and more lines
/// count as such that may have left.
const PACE: Duration = Duration::from_millis(50);

/// What a batch is sent as; a resumed run has to be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undertaking {
    /// The batch.
    pub(crate) batch: Fingerprint,
    /// `binary` or `http2`.
    pub(crate) protocol: String,
    /// The host's name.
    pub(crate) host: String,
    /// The loss policy: `report` or `resend`.
    pub(crate) on_loss: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    #[serde(flatten)]
    undertaking: Undertaking,
    earlier: u64,
    stayed: Vec<(u64, u64)>,
}

/// Why what stands in a journal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// It was saved in another encoding.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// It has no head, or one that nobody can read.
    #[error("its head cannot be read")]
    Head,
    /// It is from another version of the command.
    #[error("its format is {0}, and this version of the command writes {FORMAT}")]
    Format(u32),
    /// Neither slot has a mark.
    #[error("neither of its two marks is whole")]
    Marks,
    /// It is cut, or something follows it.
    #[error("it has {found} bytes in place of {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what this command writes.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) undertaking: Undertaking,
    pub(crate) departures: Departures,
    /// So many bytes of the results are on disk for certain.
    pub(crate) results: u64,
}

impl Account {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        open_private(path)?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes)?)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let bytes = encoding::skip_mark(bytes)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Damage::Head)? + 1;
        let head: Head = match serde_json::from_slice(&bytes[..end]) {
            Ok(head) => head,
            Err(_) => return Err(Damage::Head),
        };
        if head.format != FORMAT {
            return Err(Damage::Format(head.format));
        }
        let expected = end + 2 * BLOCK;
        if end % BLOCK != 0 || bytes.len() != expected {
            return Err(Damage::Length { found: bytes.len(), expected });
        }
        let slots = [&bytes[end..end + BLOCK], &bytes[end + BLOCK..]];
        let mark = slots.into_iter().filter_map(Mark::parse).max().ok_or(Damage::Marks)?;
        let ranges = head.stayed.into_iter().filter(|(first, last)| *first >= 1 && *last <= head.earlier);
        let departures = Departures {
            earlier: head.earlier,
            stayed: ranges.map(|(first, last)| first..=last).collect(),
            mark: mark.lines,
        };
        Ok(Self { undertaking: head.undertaking, departures, results: mark.results })
    }

    /// All that a new journal holds.
    fn emit(&self) -> Vec<u8> {
        let Self { undertaking, departures: Departures { earlier, stayed, mark }, results } = self;
        let head =
            Head { format: FORMAT, undertaking: undertaking.clone(), earlier: *earlier, stayed: stayed.ranges() };
        let mut bytes = serde_json::to_vec(&head).expect("a head has text keys only and no value that JSON cannot say");
        bytes.resize((bytes.len() + 1).next_multiple_of(BLOCK) - 1, b' ');
        bytes.push(b'\n');
        bytes.extend(Mark { lines: *mark, results: *results }.block());
        bytes.resize(bytes.len() + BLOCK, b' ');
        bytes
    }
}

/// What a slot holds. Both numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    /// Lines up to this one may have left.
    lines: u64,
    /// So many bytes of the results are on disk for certain.
    results: u64,
}

impl Mark {
    fn text(self) -> String {
        format!("{:020} {:020}", self.lines, self.results)
    }

    fn block(self) -> Vec<u8> {
        let text = self.text();
        let mut block = format!("{text} {}", to_hex(digest(&SHA256, text.as_bytes()).as_ref())).into_bytes();
        block.resize(BLOCK - 1, b' ');
        block.push(b'\n');
        block
    }

    /// Reads a slot; none where a write was broken off.
    fn parse(block: &[u8]) -> Option<Self> {
        let (lines, rest) = str::from_utf8(block).ok()?.split_once(' ')?;
        let (results, _) = rest.split_once(' ')?;
        let mark = Self { lines: lines.parse().ok()?, results: results.parse().ok()? };
        (mark.block() == block).then_some(mark)
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    account: Account,
    /// Where the two slots are, the next one to be written first.
    slots: [u64; 2],
    /// The last line that was handed over.
    handed: u64,
    ahead: u64,
    written: Option<Instant>,
}

impl Journal {
    /// Begins a pass: puts a new journal in the place of the one before, if any.
    pub(crate) fn begin(path: PathBuf, account: Account) -> io::Result<Self> {
        let bytes = account.emit();
        let length = bytes.len() as u64;
        let file = replace_private(&path, &bytes)?;
        let handed = account.departures.mark;
        let slots = [length - BLOCK as u64, length - 2 * BLOCK as u64];
        Ok(Self { path, file, account, slots, handed, ahead: 1, written: None })
    }

    /// Has the mark on disk that covers a line. Only after that the line may be handed over. Lines come in order.
    ///
    /// The mark runs ahead of the lines by as many as make about twenty writes a second: slow sending leaves few lines that
    /// may have left, and fast sending does not wait for the disk.
    pub(crate) fn cover(&mut self, line: u64, now: Instant) -> io::Result<()> {
        if line > self.account.departures.mark {
            let passed = self.written.map(|written| now.saturating_duration_since(written));
            self.ahead = match passed {
                Some(passed) if passed < PACE => (self.ahead * 2).min(FARTHEST_AHEAD),
                Some(passed) if passed < 4 * PACE => self.ahead,
                Some(_) => (self.ahead / 4).max(1),
                None => 1,
            };
            self.write(Mark { lines: line + self.ahead - 1, results: self.account.results })?;
            self.written = Some(now);
        }
        self.handed = line;
        Ok(())
    }

    /// Notes that so many bytes of the results are on disk; it is written with the next mark.
    pub(crate) fn note_results(&mut self, bytes: u64) {
        self.account.results = self.account.results.max(bytes);
    }

    fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.slots[0]))?;
        self.file.write_all(&mark.block())?;
        self.file.sync_data()?;
        self.slots.reverse();
        self.account.departures.mark = mark.lines;
        Ok(())
    }

    /// Has every write fail from here on.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    /// Ends the pass. `returned` are the lines that were handed over and are known not to have left.
    pub(crate) fn finish(mut self, returned: &LineSet) -> io::Result<()> {
        // Nothing behind it was handed over, although the mark ran ahead.
        self.account.departures.mark = self.handed.min(self.account.departures.mark);
        self.account.departures = self.account.departures.into_next_pass(returned);
        replace_private(&self.path, &self.account.emit()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn account() -> Account {
        let undertaking = Undertaking {
            batch: Fingerprint::of(&mut io::empty()).unwrap(),
            protocol: "binary".to_owned(),
            host: "gateway.example".to_owned(),
            on_loss: "report".to_owned(),
        };
        Account { undertaking, departures: Departures::default(), results: 0 }
    }

    fn begin(folder: &TempDir) -> (PathBuf, Journal) {
        let path = folder.path().join("journal");
        (path.clone(), Journal::begin(path, account()).unwrap())
    }

    #[test]
    fn the_mark_is_on_disk_before_a_line_is_handed_over() {
        let folder = TempDir::new().unwrap();
        let (path, mut journal) = begin(&folder);
        assert_eq!(Account::read(&path).unwrap(), account());
        let size = fs::metadata(&path).unwrap().len();
        let start = Instant::now();
        for line in 1..=20_000 {
            journal.cover(line, start + Duration::from_micros(5 * line)).unwrap();
            let mark = journal.account.departures.mark;
            assert!(mark >= line && mark < line + FARTHEST_AHEAD);
            if line % 500 == 0 {
                assert_eq!(Account::read(&path).unwrap().departures.mark, mark);
            }
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
    }

    #[test]
    fn slow_sending_keeps_the_mark_close() {
        let folder = TempDir::new().unwrap();
        let (_, mut journal) = begin(&folder);
        let start = Instant::now();
        for line in 1..=5000 {
            journal.cover(line, start).unwrap();
        }
        for line in 5001..=12_000 {
            journal.cover(line, start + Duration::from_secs(line)).unwrap();
        }
        assert_eq!(journal.account.departures.mark, 12_000);
    }

    #[test]
    fn a_broken_write_leaves_the_mark_before() {
        let folder = TempDir::new().unwrap();
        let (path, mut journal) = begin(&folder);
        journal.cover(1, Instant::now()).unwrap();
        let before = fs::read(&path).unwrap();
        journal.note_results(700);
        journal.write(Mark { lines: 90, results: 700 }).unwrap();
        let after = fs::read(&path).unwrap();
        let changed: Vec<_> = (0..before.len()).filter(|place| before[*place] != after[*place]).collect();
        for cut in 0..=after.len() {
            let torn: Vec<u8> = after[..cut].iter().chain(&before[cut..]).copied().collect();
            let account = Account::parse(&torn).unwrap();
            let whole = changed.iter().all(|place| *place < cut);
            assert_eq!(account.departures.mark, if whole { 90 } else { 1 }, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_journal_is_not_taken_for_one() {
        let whole = account().emit();
        assert_eq!(Account::parse(&whole), Ok(account()));
        for cut in 0..whole.len() {
            assert!(Account::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(
            Account::parse(&[&whole[..], b"x"].concat()),
            Err(Damage::Length { found: 12_289, expected: 12_288 })
        );
        let mut other = whole.clone();
        other[BLOCK] ^= 1;
        assert_eq!(Account::parse(&other), Err(Damage::Marks));
        let newer = String::from_utf8(whole).unwrap().replace("\"format\":2", "\"format\":3");
        assert_eq!(Account::parse(newer.as_bytes()), Err(Damage::Format(3)));
    }

    #[test]
    fn the_end_of_a_pass_says_what_did_not_leave() {
        let folder = TempDir::new().unwrap();
        let (path, mut journal) = begin(&folder);
        for line in 1..=100 {
            journal.cover(line, Instant::now()).unwrap();
        }
        journal.finish(&[91..=95].into_iter().collect()).unwrap();
        let departures = Account::read(&path).unwrap().departures;
        let left: Vec<_> = (1..=200).filter(|line| departures.may_have_left(*line)).collect();
        assert_eq!(left, (1..=90).chain(96..=100).collect::<Vec<_>>());
    }
}
