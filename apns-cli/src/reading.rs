//! Reads what is to be sent, on a thread of its own: reading standard input blocks, and nothing may wait for it.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use apns_proto::{LossPolicy, Notification};
use clap::ValueEnum;
use tokio::sync::mpsc;

use crate::batch::form::{Form, FormFlags, goes_on};
use crate::batch::store::Known;
use crate::draft::Composer;
use crate::exit::Failure;
use crate::input::{Line, Lines, Source};
use crate::invalid::{Invalid, LONGEST_LINE};
use crate::line::Read;
use crate::row::Key;

/// How many notifications are read ahead of what is sent.
const READ_AHEAD: usize = 1024;

/// What to do with a notification of which nobody knows what became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLoss {
    /// Say so
    Report,
    /// Send it again
    Resend,
}

impl OnLoss {
    /// The word for it on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Resend => "resend",
        }
    }
}

impl From<OnLoss> for LossPolicy {
    fn from(on_loss: OnLoss) -> Self {
        match on_loss {
            OnLoss::Report => Self::Report,
            OnLoss::Resend => Self::RESEND,
        }
    }
}

/// What to send.
pub(crate) enum Work {
    /// The same to all of these tokens.
    Tokens(Vec<String>),
    /// What the lines say.
    Batch {
        /// The lines.
        lines: Lines<Box<dyn BufRead + Send>>,
        /// Where they come from.
        source: Source,
        /// What is known of them from runs before.
        known: Known,
        /// What to do with those that may have left.
        on_loss: OnLoss,
        /// How the first line is understood.
        form: Box<FormFlags>,
    },
}

/// Something that was read and is no notification.
pub(crate) enum Aside {
    /// A line or token that makes none.
    Invalid(Key, Invalid),
    /// One that may have left in a run before, and is not to be sent again.
    Lost(Key),
    /// The input broke off.
    Unreadable(Failure),
}

/// What is read. Both channels are bounded, so no more is read than is taken.
pub(crate) struct Reading {
    pub(crate) notifications: mpsc::Receiver<(Key, Notification)>,
    pub(crate) asides: mpsc::Receiver<Aside>,
    pub(crate) stop: Stop,
    pub(crate) seen: Seen,
}

/// How far the reading has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// What has, or will have, a row.
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    fn note(&self, bytes: u64) {
        self.0.rows.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// How many bytes so many rows took, more or less.
    pub(crate) fn bytes_of(&self, rows: u64) -> u64 {
        let (all, bytes) = (self.0.rows.load(Ordering::Relaxed), self.0.bytes.load(Ordering::Relaxed));
        let share = u128::from(bytes) * u128::from(rows.min(all)) / u128::from(all.max(1));
        u64::try_from(share).unwrap_or(bytes)
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many notifications.
    Notifications(u64),
    /// So many bytes of lines.
    Bytes(u64),
    /// Nobody knows.
    Unknown,
}

/// Ends the reading after the line that is being read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Reading {
    /// Begins to read.
    pub(crate) fn start(work: Work, composer: Composer) -> Result<Self, Failure> {
        let (to_notifications, notifications) = mpsc::channel(READ_AHEAD);
        let (to_asides, asides) = mpsc::channel(READ_AHEAD);
        let stop = Stop::default();
        let seen = Seen::default();
        let desk = Desk {
            composer,
            notifications: to_notifications,
            asides: to_asides,
            stop: stop.clone(),
            seen: seen.clone(),
        };
        let thread = thread::Builder::new().name("read".to_owned());
        drop(thread.spawn(move || work.read(&desk)).map_err(Failure::Runtime)?);
        Ok(Self { notifications, asides, stop, seen })
    }
}

impl Work {
    /// How much there is to do.
    pub(crate) fn extent(&self) -> Extent {
        match self {
            Self::Tokens(tokens) => Extent::Notifications(tokens.len() as u64),
            Self::Batch { source, .. } => source.size().map_or(Extent::Unknown, Extent::Bytes),
        }
    }

    fn read(self, desk: &Desk) {
        match self {
            Self::Tokens(tokens) => {
                for (n, token) in (1..).zip(&tokens) {
                    if !desk.put(n, Read::token(token, &desk.composer), None) {
                        return;
                    }
                }
            }
            Self::Batch { lines, source, known, on_loss, form } => {
                if let Err(failure) = read_batch(desk, lines, &source, &known, on_loss, &form) {
                    // Where nobody listens any more, nobody has to know.
                    drop(desk.asides.blocking_send(Aside::Unreadable(failure)));
                }
            }
        }
    }
}

/// Reads the lines, as the first one that is not empty tells. A record has the number of its first line.
fn read_batch(
    desk: &Desk,
    lines: Lines<Box<dyn BufRead + Send>>,
    source: &Source,
    known: &Known,
    on_loss: OnLoss,
    flags: &FormFlags,
) -> Result<(), Failure> {
    let mut records = Records { lines, next: 1, record: Vec::new() };
    let mut form = None;
    loop {
        let next = records.next(form.as_ref()).map_err(|error| source.unreadable(error))?;
        let Some((n, consumed, record)) = next else { return Ok(()) };
        let line = match record {
            Line::Whole(line) if line.trim_ascii().is_empty() => continue,
            Line::Whole(line) => Some(line),
            Line::TooLong => None,
        };
        if let (Some(line), None) = (line, &form) {
            let found = flags.of(line).map_err(|error| Failure::Usage(format!("{}: {error}", source.name())))?;
            if let Form::Csv(_) = form.insert(found) {
                // The names.
                continue;
            }
        }
        let goes_on = if known.settled.contains(n) {
            desk.seen.note(consumed);
            !desk.stop.is_set()
        } else {
            let read = match (line, &form) {
                (Some(line), Some(form)) => Read::record_of(line, form, &desk.composer),
                _ => Read::nothing(Invalid::TooLong),
            };
            desk.seen.note(consumed);
            desk.put(n, read, known.departures.may_have_left(n).then_some(on_loss))
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// Lines, or records of several lines where quotes of CSV hold their ends.
struct Records {
    lines: Lines<Box<dyn BufRead + Send>>,
    /// The number of the next line.
    next: u64,
    record: Vec<u8>,
}

impl Records {
    /// The next one, with its number and how many bytes were read up to its end.
    fn next(&mut self, form: Option<&Form>) -> io::Result<Option<(u64, u64, Line<'_>)>> {
        let n = self.next;
        self.record.clear();
        loop {
            let Some(line) = self.lines.next()? else {
                // A quote that is never closed ends with the batch.
                let consumed = self.lines.consumed();
                return Ok((self.next > n).then_some((n, consumed, Line::Whole(&self.record))));
            };
            self.next += 1;
            let is_whole = match line {
                Line::TooLong => false,
                Line::Whole(line) => {
                    self.record.extend_from_slice(line);
                    self.record.len() <= LONGEST_LINE
                }
            };
            let consumed = self.lines.consumed();
            if !is_whole {
                return Ok(Some((n, consumed, Line::TooLong)));
            }
            if !matches!(form, Some(Form::Csv(_))) || !goes_on(&self.record) {
                return Ok(Some((n, consumed, Line::Whole(&self.record))));
            }
            self.record.push(b'\n');
        }
    }
}

/// Where the thread puts what it reads.
struct Desk {
    composer: Composer,
    notifications: mpsc::Sender<(Key, Notification)>,
    asides: mpsc::Sender<Aside>,
    stop: Stop,
    seen: Seen,
}

impl Desk {
    /// Says whether more is wanted. `lost` says what to do with what may have left.
    fn put(&self, n: u64, read: Read, lost: Option<OnLoss>) -> bool {
        let Read { id, token, registered, notification } = read;
        let key = Key { n, id, token, registered, resumed: lost.is_some() && notification.is_ok() };
        let taken = match (notification, lost) {
            (Ok(_), Some(OnLoss::Report)) => {
                self.asides.blocking_send(Aside::Lost(Key { resumed: false, ..key })).is_ok()
            }
            (Ok(notification), Some(OnLoss::Resend) | None) => {
                self.notifications.blocking_send((key, notification)).is_ok()
            }
            (Err(why), _) => self.asides.blocking_send(Aside::Invalid(key, why)).is_ok(),
        };
        taken && !self.stop.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_what_has_ended_are_a_share_of_what_was_read() {
        let seen = Seen::default();
        assert_eq!(seen.bytes_of(0), 0);
        assert_eq!(seen.bytes_of(7), 0);
        for bytes in [10, 30, 60, 100] {
            seen.note(bytes);
        }
        assert_eq!((seen.bytes_of(1), seen.bytes_of(4), seen.bytes_of(9)), (25, 100, 100));
    }
}
