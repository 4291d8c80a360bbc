//! Results and journal together: what a start finds, and what it may do with it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::batch::departures::Departures;
use crate::batch::fingerprint::Fingerprint;
use crate::batch::journal::{Account, Damage, Journal, ReadError, Undertaking};
use crate::batch::lines::LineSet;
use crate::batch::results::{self, Results, ScanError};
use crate::exit::Failure;
use crate::row::RowView;
use apns_credentials::disclosure::shown;
use apns_driver::files::{beside, create_private, open_private};

/// What follows the name of the results in that of the journal.
pub(crate) const JOURNAL: &str = ".journal";

/// Why a batch cannot be begun, or not be resumed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There are results, and nobody said that they are to be resumed.
    #[error("{} is there already: go on with --resume, or name another file", shown(results))]
    Exists { results: PathBuf },
    /// The name of the results is that of something that is no file.
    #[error("{} is no regular file, or a symbolic link to one: name a file for the results", shown(results))]
    NotAFile { results: PathBuf },
    /// Another process has them.
    #[error("{} is being written by another process: wait for its end, or stop it", shown(results))]
    Locked { results: PathBuf },
    /// There are results, but nothing says how far lines may have left.
    #[error(
        "{} has rows, but its journal {} is missing, so nobody knows which lines may have left: put it back, or name \
         another file for the results and take the lines that have a row out of the batch",
        shown(results),
        shown(journal)
    )]
    NoJournal { results: PathBuf, journal: PathBuf },
    /// There is a journal, but the results that belong to it are gone.
    #[error(
        "there is a journal {}, but the results that belong to it are missing: put them back, or remove the journal if \
         everything shall be sent again",
        shown(journal)
    )]
    NoResults { journal: PathBuf },
    /// The journal cannot be used.
    #[error(
        "the journal {} is damaged: {damage}; put back a whole one, or name another file for the results and take the \
         lines that have a row out of the batch",
        shown(journal)
    )]
    Journal { journal: PathBuf, damage: Damage },
    /// The results cannot be used.
    #[error("{} was changed since it was written: {error}; put back what was there", shown(results))]
    Results { results: PathBuf, error: ScanError },
    /// The batch is another one.
    #[error(
        "the batch is not the one that {} was begun with: it had {then}, and has {now}; put it back as it was, or name \
         another file for the results of the new one",
        shown(results)
    )]
    OtherBatch { results: PathBuf, then: Fingerprint, now: Fingerprint },
    /// An option is another one.
    #[error("{} was begun with {option} {then}, and this is {now}: resume with the same", shown(results))]
    OtherOption { results: PathBuf, option: &'static str, then: String, now: String },
    /// The system says no.
    #[error("{} cannot be written: {error}", shown(path))]
    Io { path: PathBuf, error: io::Error },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Special(Box::new(error))
    }
}

/// The results of a batch and, where it can be resumed, its journal.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) results: Results,
    pub(crate) journal: Option<Journal>,
}

/// What is known of the lines when a pass begins.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Those that have a row.
    pub(crate) settled: LineSet,
    /// Those that may have left.
    pub(crate) departures: Departures,
    /// So many bytes of the results could not be used, for a write that was broken off.
    pub(crate) torn: u64,
}

/// What to do with results that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing: there must not be any.
    Fresh,
    /// Go on with them, or begin where there are none.
    Resume,
}

impl Store {
    /// Opens both. Without an undertaking there is no journal: what is sent cannot be read a second time.
    pub(crate) fn open(
        path: &Path,
        start: Start,
        undertaking: Option<Undertaking>,
        mut on_row: impl FnMut(&RowView<'_>),
    ) -> Result<(Self, Known), StoreError> {
        let results = || path.to_owned();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        let journal_path = beside(path, JOURNAL);
        // A link may lead to a file that somebody else wants overwritten: it is never followed.
        let found = fs::symlink_metadata(path).ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Err(StoreError::NotAFile { results: results() });
        }
        let (there, journal_there) = (found.is_some(), fs::symlink_metadata(&journal_path).is_ok());
        if there && start == Start::Fresh {
            return Err(StoreError::Exists { results: results() });
        }
        if !there && journal_there {
            return Err(StoreError::NoResults { journal: journal_path });
        }
        let mut file = open_locked(path, there)?;
        let Some(undertaking) = undertaking else {
            let writer = Results::behind(file, &empty()).map_err(failed(path))?;
            return Ok((Self { path: results(), results: writer, journal: None }, Known::default()));
        };
        // From here on nobody else changes either.
        let account = match Account::read(&journal_path) {
            Ok(account) => Some(account),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(ReadError::Io(error)) => return Err(StoreError::Io { path: journal_path, error }),
            Err(ReadError::Damage(damage)) => return Err(StoreError::Journal { journal: journal_path, damage }),
        };
        let length = file.metadata().map_err(failed(path))?.len();
        let (scan, departures) = match account {
            // As it is when the very first start was killed between the two.
            None if length == 0 => (empty(), Departures::default()),
            None => return Err(StoreError::NoJournal { results: results(), journal: journal_path }),
            Some(account) => {
                account.undertaking.check(&undertaking, path)?;
                let scan = results::scan(&mut file, account.results, undertaking.batch.bytes, &mut on_row);
                let scan = scan.map_err(|error| match error {
                    ScanError::Io(error) => StoreError::Io { path: results(), error },
                    error => StoreError::Results { results: results(), error },
                })?;
                (scan, account.departures.into_next_pass(&LineSet::default()))
            }
        };
        let writer = Results::behind(file, &scan).map_err(failed(path))?;
        let account = Account { undertaking, departures: departures.clone(), results: scan.length };
        let journal = Journal::begin(journal_path.clone(), account).map_err(failed(&journal_path))?;
        let known = Known { settled: scan.settled, departures, torn: scan.torn };
        Ok((Self { path: results(), results: writer, journal: Some(journal) }, known))
    }
}

/// Opens the results, or makes them, and keeps other processes from them for as long as they are open.
fn open_locked(path: &Path, there: bool) -> Result<File, StoreError> {
    let results = path.to_owned();
    let file = match if there { open_private(path) } else { create_private(path) } {
        Ok(file) => file,
        // Somebody else made them just now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(StoreError::Locked { results }),
        Err(error) => return Err(StoreError::Io { path: results, error }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { results }),
        Err(TryLockError::Error(error)) => Err(StoreError::Io { path: results, error }),
    }
}

fn empty() -> results::Scan {
    results::Scan { settled: LineSet::default(), length: 0, torn: 0 }
}

impl Undertaking {
    /// Whether another start is for the same.
    fn check(&self, now: &Self, results: &Path) -> Result<(), StoreError> {
        let results = results.to_owned();
        if self.batch != now.batch {
            return Err(StoreError::OtherBatch { results, then: self.batch.clone(), now: now.batch.clone() });
        }
        let options = [
            ("the protocol", &self.protocol, &now.protocol),
            ("the host", &self.host, &now.host),
            ("--on-loss", &self.on_loss, &now.on_loss),
        ];
        match options.into_iter().find(|(_, then, now)| then != now) {
            Some((option, then, now)) => {
                Err(StoreError::OtherOption { results, option, then: then.clone(), now: now.clone() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
