//! Tells what becomes of the notifications, and sums it up.

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_proto::http2::Reason;
use apns_proto::{NotSentCause, Outcome, Reaction, Rejection};
use apns_tokio::{ClientEvent, Endpoint};
use apnsd::span;

use crate::batch::drops::Drops;
use crate::batch::ledger::Ledger;
use crate::batch::reasons::Reasons;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::progress::{Progress, Telling};
use crate::reading::Aside;
use crate::row::{Key, Row, RowView, Tally};
use crate::trouble::Trouble;

/// The rows where they are wanted, everything else on standard error.
pub(crate) struct Report {
    endpoint: Endpoint,
    rows: Rows,
    progress: Progress,
    telling: Telling,
    counts: Counts,
    /// How many were accepted in this run.
    accepted: u64,
    /// The last thing that kept a connection from being had.
    trouble: Option<Trouble>,
    /// A person was told that there is no connection yet.
    told: bool,
    /// Nothing was, or will be, sent for want of a connection.
    no_connection: bool,
    /// The first refusal because of who sends.
    condemned: Option<Rejection>,
    /// How many tokens were refused in a way that a mix-up of environments would explain.
    bad_tokens: u64,
    interrupted: bool,
    /// A person asked for that.
    asked: bool,
    unreadable: Option<Failure>,
}

/// Where rows go.
pub(crate) enum Rows {
    /// To standard output.
    Printed {
        output: Output,
        json: bool,
        /// Which is the terminal that the progress bar may be on.
        on_terminal: bool,
    },
    /// To a file.
    Stored(Ledger),
}

impl Rows {
    /// To standard output, as objects of JSON or for a person.
    pub(crate) fn printed(json: bool) -> Self {
        Self::Printed { output: Output::new(), json, on_terminal: stdout().is_terminal() }
    }
}

/// How the rows of earlier runs and of this one are counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    /// For batches.
    pub(crate) reasons: Option<Reasons>,
    /// Where the tokens to delete are wanted.
    pub(crate) drops: Option<(PathBuf, Drops)>,
}

impl Counts {
    /// Takes a row.
    pub(crate) fn add(&mut self, row: &RowView<'_>) {
        self.tally.add(&row.outcome);
        if let Some(reasons) = &mut self.reasons {
            reasons.add(row);
        }
        if let Some((_, drops)) = &mut self.drops {
            drops.note(row);
        }
    }
}

impl Report {
    /// A report on what is sent to this service.
    pub(crate) fn new(endpoint: Endpoint, rows: Rows, counts: Counts, progress: Progress, telling: Telling) -> Self {
        Self {
            endpoint,
            rows,
            progress,
            telling,
            counts,
            accepted: 0,
            trouble: None,
            told: false,
            no_connection: false,
            condemned: None,
            bad_tokens: 0,
            interrupted: false,
            asked: false,
            unreadable: None,
        }
    }

    /// A notification ended.
    pub(crate) fn outcome(&mut self, key: Key, outcome: &Outcome, attempts: u32) {
        match outcome {
            Outcome::NotSent { cause: NotSentCause::CredentialRefused(refusal) } => {
                self.no_connection = true;
                self.trouble = Some(Trouble::credential(&self.endpoint, refusal));
            }
            Outcome::NotSent { cause: cause @ (NotSentCause::NoConnection(_) | NotSentCause::Stopped(_)) } => {
                self.no_connection = true;
                self.trouble.get_or_insert_with(|| Trouble::other(&self.endpoint, cause));
            }
            _ => {}
        }
        if let Outcome::Rejected(rejection) = outcome {
            if rejection.reaction() == Reaction::FixCredentials {
                self.condemned.get_or_insert_with(|| rejection.clone());
            }
            let bad_token =
                matches!(rejection, Rejection::Provider(one) if one.reason() == Some(&Reason::BadDeviceToken));
            self.bad_tokens += u64::from(bad_token);
        }
        if let Rows::Stored(ledger) = &mut self.rows
            && ledger.keep_for_later(key.n, outcome)
        {
            return;
        }
        self.accepted += u64::from(outcome.is_accepted());
        self.row(&Row::outcome(key, outcome, attempts));
    }

    /// Something was read that is no notification.
    pub(crate) fn aside(&mut self, aside: Aside) {
        match aside {
            Aside::Invalid(key, why) => self.row(&Row::invalid(key, &why)),
            Aside::Lost(key) => self.row(&Row::lost(key)),
            Aside::Unreadable(failure) => self.unreadable = Some(failure),
        }
    }

    fn row(&mut self, row: &Row) {
        self.counts.add(&row.view());
        self.progress.ended(&self.counts.tally);
        match &mut self.rows {
            Rows::Printed { output, json, on_terminal } => {
                let mut write = || if *json { output.json(row) } else { output.line(row) };
                if *on_terminal { self.progress.aside(write) } else { write() }
            }
            Rows::Stored(ledger) => ledger.row(row),
        }
    }

    /// Something happened to a connection.
    pub(crate) fn event(&mut self, event: &ClientEvent, patience: Duration) {
        if let Some(trouble) = Trouble::event(&self.endpoint, event) {
            self.trouble = Some(trouble);
        }
        match event {
            ClientEvent::DialFailed { failure, .. } if !failure.fatal && !self.told => {
                self.told = true;
                let patience = span::text(patience);
                self.progress.aside(|| say(format_args!("apns: {failure}; trying again for up to {patience}")));
            }
            ClientEvent::Warning { warning, .. } => self.progress.aside(|| say(format_args!("apns: {warning}"))),
            ClientEvent::Stopped { .. } => self.no_connection = true,
            _ => {}
        }
    }

    /// There cannot be a connection.
    pub(crate) fn hopeless(&mut self, trouble: Trouble) {
        self.no_connection = true;
        self.trouble = Some(trouble);
    }

    /// The person wants to stop, or there is no use in going on.
    pub(crate) fn interrupted(&mut self, asked: bool) {
        self.interrupted = true;
        self.asked = asked;
    }

    /// Whether there is no use in going on: the rows cannot be written any more, or what could not be sent now is better
    /// left for another run.
    pub(crate) fn wants_stop(&self) -> bool {
        match &self.rows {
            Rows::Printed { output, .. } => output.is_closed(),
            Rows::Stored(ledger) => {
                ledger.is_closed() || ledger.can_resume() && (self.no_connection || self.condemned.is_some())
            }
        }
    }

    /// Hands all rows over.
    pub(crate) fn flush(&mut self) {
        match &mut self.rows {
            Rows::Printed { output, on_terminal: true, .. } => self.progress.aside(|| output.flush()),
            Rows::Printed { output, on_terminal: false, .. } => output.flush(),
            Rows::Stored(ledger) => ledger.flush(),
        }
    }

    /// Sums up.
    pub(crate) fn finish(mut self) -> Result<Exit, Failure> {
        self.flush();
        self.progress.finish();
        let mut reader_left = false;
        // What is to be said in any case, and what the command ends with.
        let (mut rest, mut failure) = (None, None);
        match self.rows {
            Rows::Printed { output, .. } => {
                reader_left = output.is_closed();
                output.finish()?;
                if self.interrupted {
                    rest = Some("what was not read by then was not sent");
                }
            }
            Rows::Stored(ledger) => {
                let can_resume = ledger.can_resume();
                failure = ledger.finish().err();
                let undone = self.interrupted || failure.is_some() || self.unreadable.is_some();
                rest = match (can_resume, undone) {
                    (true, true) => Some("the same command with --resume goes on from here"),
                    (false, true) => Some("what was not read by then was not sent"),
                    (_, false) => None,
                };
            }
        }
        let Counts { tally, reasons, drops } = self.counts;
        let mut exit = if tally.all_accepted() && !self.interrupted { Exit::Fine } else { Exit::Partly };
        if let Some(failure) = &self.unreadable {
            exit = exit.max(failure.exit());
        }
        // Credentials that were good for something are not what is wrong.
        let none_accepted = self.accepted == 0;
        let condemned = self.condemned.filter(|_| none_accepted);
        let trouble = self.trouble.filter(|_| self.no_connection);
        let trouble = trouble.or_else(|| Some(Trouble::rejected(&self.endpoint, &condemned?)));
        if reader_left {
            return Ok(if trouble.is_some() { Exit::NoConnection } else { exit });
        }
        if self.telling == Telling::Everything && tally.total() != 1 {
            say(format_args!("{tally}"));
            if let Some(reasons) = reasons.filter(|_| tally.total() > 0) {
                say(format_args!("{reasons}"));
            }
        }
        if let Some((path, drops)) = drops {
            match drops.write(&path) {
                Ok((_, 0)) => {}
                Ok((_, held)) => say(format_args!(
                    "apns: {held} device tokens were refused, but none was accepted, so they may be of the other \
                     environment; they are not in {}",
                    shown(&path)
                )),
                Err(error) => {
                    failure = failure.or(Some(Failure::Write { name: shown(&path).to_string(), error }));
                }
            }
        }
        if none_accepted && self.bad_tokens > 0 && self.bad_tokens == tally.of("rejected") {
            say(format_args!(
                "apns: all device tokens were refused as BadDeviceToken; tokens of development builds need --sandbox, and \
                 all others production"
            ));
        }
        if let Some(rest) = rest {
            say(format_args!("apns: {}; {rest}", if self.asked { "interrupted" } else { "stopped" }));
        }
        if let Some(failure) = self.unreadable {
            say(format_args!("apns: {failure}; what follows was not sent"));
        }
        match (failure, trouble) {
            (Some(failure), _) => Err(failure),
            (None, Some(trouble)) => Err(trouble.into()),
            (None, None) => Ok(exit),
        }
    }
}
