//! Reads what is to be sent, on a thread of its own: reading standard input blocks, and nothing may wait for it.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use apns_proto::Notification;
use tokio::sync::mpsc;

use crate::draft::Composer;
use crate::exit::Failure;
use crate::input::{Line, Lines, Source};
use crate::line::{Invalid, Read};
use crate::row::Key;

/// How many notifications are read ahead of what is sent.
const READ_AHEAD: usize = 1024;

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
    },
}

/// Something that was read and is no notification.
pub(crate) enum Aside {
    /// A line or token that makes none.
    Invalid(Key, Invalid),
    /// The input broke off.
    Unreadable(Failure),
}

/// What is read. Both channels are bounded, so no more is read than is taken.
pub(crate) struct Reading {
    pub(crate) notifications: mpsc::Receiver<(Key, Notification)>,
    pub(crate) asides: mpsc::Receiver<Aside>,
    pub(crate) stop: Stop,
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
        let desk = Desk { composer, notifications: to_notifications, asides: to_asides, stop: stop.clone() };
        let thread = thread::Builder::new().name("read".to_owned());
        drop(thread.spawn(move || work.read(&desk)).map_err(Failure::Runtime)?);
        Ok(Self { notifications, asides, stop })
    }
}

impl Work {
    /// How many notifications there will be, where that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            Self::Tokens(tokens) => Some(tokens.len() as u64),
            Self::Batch { .. } => None,
        }
    }

    fn read(self, desk: &Desk) {
        match self {
            Self::Tokens(tokens) => {
                for (n, token) in (1..).zip(&tokens) {
                    if !desk.put(n, Read::token(token, &desk.composer)) {
                        return;
                    }
                }
            }
            Self::Batch { mut lines, source } => {
                for n in 1.. {
                    let read = match lines.next() {
                        Ok(None) => return,
                        Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => continue,
                        Ok(Some(Line::Whole(line))) => Read::line(line, &desk.composer),
                        Ok(Some(Line::TooLong)) => Read::nothing(Invalid::TooLong),
                        Err(error) => {
                            // Where nobody listens any more, nobody has to know.
                            drop(desk.asides.blocking_send(Aside::Unreadable(source.unreadable(error))));
                            return;
                        }
                    };
                    if !desk.put(n, read) {
                        return;
                    }
                }
            }
        }
    }
}

/// Where the thread puts what it reads.
struct Desk {
    composer: Composer,
    notifications: mpsc::Sender<(Key, Notification)>,
    asides: mpsc::Sender<Aside>,
    stop: Stop,
}

impl Desk {
    /// Says whether more is wanted.
    fn put(&self, n: u64, read: Read) -> bool {
        let Read { id, token, notification } = read;
        let key = Key { n, id, token };
        let taken = match notification {
            Ok(notification) => self.notifications.blocking_send((key, notification)).is_ok(),
            Err(why) => self.asides.blocking_send(Aside::Invalid(key, why)).is_ok(),
        };
        taken && !self.stop.is_set()
    }
}
