//! The feedback service's side of one connection.

use std::time::Instant;

use bytes::BytesMut;

use crate::binary::FeedbackRecord;
use crate::machine::CHUNK;
use crate::{End, Machine, Now, Transmit};

/// Writes its records as soon as it is connected, then closes.
#[derive(Debug)]
pub struct FeedbackServer {
    records: std::vec::IntoIter<FeedbackRecord>,
    /// Bytes that are written behind the records as they are: for tests of clients.
    tail: Option<Vec<u8>>,
    stays_open: bool,
    done: bool,
    gone: bool,
}

impl FeedbackServer {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(records: Vec<FeedbackRecord>) -> Self {
        Self { records: records.into_iter(), tail: None, stays_open: false, done: false, gone: false }
    }

    /// Writes these bytes behind the records, whatever they are: half a record, say.
    #[must_use]
    pub fn with_tail(mut self, bytes: Vec<u8>) -> Self {
        self.tail = Some(bytes);
        self
    }

    /// Stays connected behind the last record.
    #[must_use]
    pub const fn staying_open(mut self) -> Self {
        self.stays_open = true;
        self
    }

    /// Whether everything was handed out and the transport took it.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }
}

impl Machine for FeedbackServer {
    /// It has nothing to say.
    type Event = std::convert::Infallible;

    /// Clients send nothing; what comes all the same is ignored.
    fn handle_input(&mut self, _now: Now, _bytes: &[u8]) {}

    fn handle_end(&mut self, _now: Now, end: End) {
        // A client may close its half and go on reading; a broken stream is over.
        self.gone |= end != End::Clean || self.done;
    }

    fn handle_write_failure(&mut self, _now: Now, _unsent: usize) {
        self.gone = true;
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_transmit(&mut self, _now: Now, out: &mut BytesMut) -> Transmit {
        if self.gone {
            return Transmit::Shutdown;
        }
        let before = out.len();
        while out.len() - before < CHUNK {
            let Some(record) = self.records.next() else { break };
            // A record that cannot be said on the wire (a token of more than 65 535 bytes) is left out.
            let _ = record.emit(out);
        }
        if self.records.len() == 0
            && let Some(tail) = self.tail.take()
        {
            out.extend_from_slice(&tail);
        }
        if out.len() > before {
            return Transmit::Ready;
        }
        self.done = true;
        if self.stays_open { Transmit::Idle } else { Transmit::Shutdown }
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
