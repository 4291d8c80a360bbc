//! The books of a batch while it is sent: rows into the results, and what comes back unsent for the journal.

use std::io;
use std::path::PathBuf;

use apns_credentials::disclosure::shown;
use apns_driver::files::beside;
use apns_proto::{NotSentCause, Outcome};

use crate::batch::handover::SharedJournal;
use crate::batch::lines::LineSet;
use crate::batch::results::Results;
use crate::batch::store::{JOURNAL, Store};
use crate::exit::Failure;
use crate::row::{ResultRow, Row};

/// The results and the journal, for what hears of outcomes.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    results: Results,
    journal: Option<SharedJournal>,
    /// What was handed over and is known not to have left. It has no row: another run sends it.
    returned: LineSet,
}

impl Ledger {
    pub(crate) fn new(store: Store) -> Self {
        let Store { path, results, journal } = store;
        Self { path, results, journal: journal.map(SharedJournal::new), returned: LineSet::default() }
    }

    /// The journal, for the hand-over.
    pub(crate) fn journal(&self) -> Option<SharedJournal> {
        self.journal.clone()
    }

    /// Whether another run can go on from here.
    pub(crate) const fn can_resume(&self) -> bool {
        self.journal.is_some()
    }

    /// Whether this is no end for the line but a matter of another run: it was not sent, and nothing is wrong with it.
    pub(crate) fn keep_for_later(&mut self, line: u64, outcome: &Outcome) -> bool {
        let later = matches!(
            outcome,
            Outcome::NotSent {
                cause: NotSentCause::NoConnection(_)
                    | NotSentCause::CredentialRefused(_)
                    | NotSentCause::Stopped(_)
                    | NotSentCause::OutOfTime
                    | NotSentCause::Closed
            }
        );
        if later && self.can_resume() {
            self.returned.insert(line);
        }
        later && self.can_resume()
    }

    pub(crate) fn row(&mut self, row: &Row) {
        self.results.row(&ResultRow::from(row));
        self.results.sync_in_background();
    }

    /// Hands all rows to the system.
    pub(crate) fn flush(&mut self) {
        self.results.flush();
        let on_disk = self.results.on_disk();
        if let Some(journal) = &self.journal {
            journal.with(|journal| journal.note_results(on_disk));
        }
    }

    /// Whether rows cannot be written any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.results.is_closed()
    }

    /// Has everything on disk, and ends the pass.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let name = |path: PathBuf| move |error: io::Error| Failure::Write { name: shown(&path).to_string(), error };
        let results = self.results.finish();
        let Some(shared) = self.journal else {
            return results.map(drop).map_err(name(self.path));
        };
        let journal_path = beside(&self.path, JOURNAL);
        let (journal, failed) = shared.take();
        let ended = journal.map_or(Ok(()), |mut journal| {
            if let Ok(length) = results {
                journal.note_results(length);
            }
            journal.finish(&self.returned)
        });
        results.map(drop).map_err(name(self.path))?;
        failed.map_or(Ok(()), Err).and(ended).map_err(name(journal_path))
    }
}
