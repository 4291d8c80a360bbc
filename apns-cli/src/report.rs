//! Tells what becomes of the notifications, and sums it up.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use apns_proto::http2::Reason;
use apns_proto::{CloseReason, NotSentCause, Outcome, Reaction, Rejection};
use apns_tokio::{ClientEvent, Endpoint};

use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::progress::Progress;
use crate::reading::Aside;
use crate::row::{Key, Row, Tally};
use crate::trouble::Trouble;

/// The rows on standard output, everything else on standard error.
pub(crate) struct Report {
    endpoint: Endpoint,
    output: Output,
    json: bool,
    /// Rows go to the terminal that the progress bar may be on.
    rows_on_terminal: bool,
    progress: Progress,
    tally: Tally,
    /// The last thing that kept a connection from being had.
    trouble: Option<Trouble>,
    /// A person was told that there is no connection yet.
    told: bool,
    /// Nothing was, or will be, sent for want of a connection.
    no_connection: bool,
    /// A connection ended because the service does not want these credentials.
    refused: bool,
    /// The first refusal because of who sends.
    condemned: Option<Rejection>,
    /// How many tokens were refused in a way that a mix-up of environments would explain.
    bad_tokens: u64,
    interrupted: bool,
    unreadable: Option<Failure>,
}

impl Report {
    /// A report on what is sent to this service.
    pub(crate) fn new(endpoint: Endpoint, json: bool, progress: Progress) -> Self {
        Self {
            endpoint,
            output: Output::new(),
            json,
            rows_on_terminal: stdout().is_terminal(),
            progress,
            tally: Tally::default(),
            trouble: None,
            told: false,
            no_connection: false,
            refused: false,
            condemned: None,
            bad_tokens: 0,
            interrupted: false,
            unreadable: None,
        }
    }

    /// A notification ended.
    pub(crate) fn outcome(&mut self, key: Key, outcome: &Outcome, attempts: u32) {
        if let Outcome::NotSent { cause: cause @ (NotSentCause::NoConnection(_) | NotSentCause::Stopped(_)) } = outcome
        {
            self.no_connection = true;
            self.trouble.get_or_insert_with(|| Trouble::other(&self.endpoint, cause));
        }
        if let Outcome::Rejected(rejection) = outcome {
            if rejection.reaction() == Reaction::FixCredentials {
                self.condemned.get_or_insert_with(|| rejection.clone());
            }
            let bad_token =
                matches!(rejection, Rejection::Provider(one) if one.reason() == Some(&Reason::BadDeviceToken));
            self.bad_tokens += u64::from(bad_token);
        }
        self.row(&Row::outcome(key, outcome, attempts));
    }

    /// Something was read that is no notification.
    pub(crate) fn aside(&mut self, aside: Aside) {
        match aside {
            Aside::Invalid(key, why) => self.row(&Row::invalid(key, &why)),
            Aside::Unreadable(failure) => self.unreadable = Some(failure),
        }
    }

    fn row(&mut self, row: &Row) {
        self.tally.add(row.word());
        self.progress.ended(&self.tally);
        let (output, json) = (&mut self.output, self.json);
        let mut write = || if json { output.json(row) } else { output.line(row) };
        if self.rows_on_terminal { self.progress.aside(write) } else { write() }
    }

    /// Something happened to a connection.
    pub(crate) fn event(&mut self, event: &ClientEvent, patience: Duration) {
        if let Some(trouble) = Trouble::event(&self.endpoint, event) {
            self.trouble = Some(trouble);
        }
        match event {
            ClientEvent::DialFailed { failure, .. } if !failure.fatal && !self.told => {
                self.told = true;
                let patience = duration::text(patience);
                self.progress.aside(|| say(format_args!("apns: {failure}; trying again for up to {patience}")));
            }
            ClientEvent::Warning { warning, .. } => self.progress.aside(|| say(format_args!("apns: {warning}"))),
            ClientEvent::Closed { report, .. } => match &report.reason {
                CloseReason::Refused(_) => self.refused = true,
                CloseReason::ErrorResponse(summary) if summary.condemns_topic() => self.refused = true,
                reason => self.no_connection |= reason.is_fatal(),
            },
            ClientEvent::Stopped { .. } => self.no_connection = true,
            _ => {}
        }
    }

    /// There cannot be a connection.
    pub(crate) fn hopeless(&mut self, trouble: Trouble) {
        self.no_connection = true;
        self.trouble = Some(trouble);
    }

    /// The person wants to stop, or the rows cannot be written any more.
    pub(crate) fn interrupted(&mut self) {
        self.interrupted = true;
    }

    /// Whether the rows cannot be written any more.
    pub(crate) const fn reader_left(&self) -> bool {
        self.output.is_closed()
    }

    /// Hands all rows over.
    pub(crate) fn flush(&mut self) {
        let output = &mut self.output;
        if self.rows_on_terminal { self.progress.aside(|| output.flush()) } else { output.flush() }
    }

    /// Sums up.
    pub(crate) fn finish(mut self) -> Result<Exit, Failure> {
        self.flush();
        self.progress.finish();
        let reader_left = self.reader_left();
        self.output.finish()?;
        let mut exit = if self.tally.all_accepted() && !self.interrupted { Exit::Fine } else { Exit::Partly };
        if let Some(failure) = &self.unreadable {
            exit = exit.max(failure.exit());
        }
        // Credentials that were good for something are not what is wrong.
        let none_accepted = self.tally.of("accepted") == 0;
        let refused = self.refused && none_accepted;
        let condemned = self.condemned.filter(|_| none_accepted);
        let trouble = self.trouble.filter(|_| self.no_connection || refused);
        let trouble = trouble.or_else(|| Some(Trouble::rejected(&self.endpoint, &condemned?)));
        if reader_left {
            return Ok(if trouble.is_some() { Exit::NoConnection } else { exit });
        }
        if self.tally.total() != 1 {
            say(format_args!("{}", self.tally));
        }
        if none_accepted && self.bad_tokens > 0 && self.bad_tokens == self.tally.of("rejected") {
            say(format_args!(
                "apns: all device tokens were refused as BadDeviceToken; tokens of development builds need --sandbox, and \
                 all others production"
            ));
        }
        if self.interrupted {
            say(format_args!("apns: interrupted; what was not read by then was not sent"));
        }
        if let Some(failure) = self.unreadable {
            say(format_args!("apns: {failure}; what follows was not sent"));
        }
        trouble.map_or(Ok(exit), |trouble| Err(trouble.into()))
    }
}
