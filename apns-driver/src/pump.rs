//! Moves bytes between one stream and one machine.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use apns_proto::machine::{CHUNK, LINGER};
use apns_proto::{End, Machine, Now, Transmit};
use bytes::BytesMut;
use futures_io::{AsyncRead, AsyncWrite};

/// The part of a [`Machine`] that has to do with bytes.
pub(crate) trait Port {
    fn handle_input(&mut self, now: Now, bytes: &[u8]);
    fn handle_end(&mut self, now: Now, end: End);
    fn handle_write_failure(&mut self, now: Now, unsent: usize);
    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit;
}

impl<M: Machine> Port for M {
    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        Machine::handle_input(self, now, bytes);
    }

    fn handle_end(&mut self, now: Now, end: End) {
        Machine::handle_end(self, now, end);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        Machine::handle_write_failure(self, now, unsent);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        Machine::poll_transmit(self, now, out)
    }
}

/// How many turns one call may take before others get theirs.
const TURNS: usize = 8;

/// The most that is offered to the stream at once. What was offered in a call that failed may have left or not: only
/// what was not even offered is known not to.
const OFFER: usize = 16 * 1024;

/// So much that comes after the end of lingering was not there before it.
const ENOUGH: usize = 16 * 1024 * 1024;

/// One stream: reads and writes together, ends each side on its own, lingers for the peer's last word.
#[derive(Debug)]
pub(crate) struct Pump<S> {
    stream: S,
    end_of: fn(&io::Error) -> End,
    out: BytesMut,
    sent: usize,
    /// Bytes were written since the last flush.
    unflushed: bool,
    write: Side,
    /// How much of `out` the stream was offered and did not take yet.
    offered: usize,
    read_open: bool,
    input: Box<[u8]>,
    /// The last read found nothing.
    drained: bool,
    linger: Option<Instant>,
    /// How much came after that.
    overdue: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    /// What is in the buffer is the last.
    Last,
    Closed,
}

/// What one call of [`Pump::poll`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing moved; a wake-up is arranged.
    Idle,
    /// Something moved: the machine may have something to say.
    Moved,
    /// The stream is over.
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    pub(crate) fn new(stream: S, end_of: fn(&io::Error) -> End) -> Self {
        Self {
            stream,
            end_of,
            out: BytesMut::with_capacity(CHUNK + 4096),
            sent: 0,
            unflushed: false,
            write: Side::Open,
            offered: 0,
            read_open: true,
            input: vec![0; 16 * 1024].into_boxed_slice(),
            drained: false,
            linger: None,
            overdue: 0,
        }
    }

    /// Whether all that was there has been read.
    pub(crate) const fn is_drained(&self) -> bool {
        self.drained || !self.read_open
    }

    /// Whether the machine has said its last word, and only the peer's is waited for.
    pub(crate) const fn is_lingering(&self) -> bool {
        self.linger.is_some()
    }

    /// When this pump has to be polled although nothing moves.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.linger
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Now, port: &mut impl Port) -> Pumped {
        let mut moved = false;
        for turn in 0.. {
            // What the peer has said comes first: it may be a reason to write nothing more.
            let read = self.poll_read_side(cx, now, port);
            let written = self.poll_write_side(cx, now, port);
            let waits_no_more = self.is_drained() || self.overdue > ENOUGH;
            if waits_no_more && self.linger.is_some_and(|end| end <= now.instant) {
                self.end_input(now, port, End::Cut);
                self.write = Side::Closed;
            }
            if !self.read_open && self.write == Side::Closed {
                return Pumped::Over;
            }
            if !(written || read) {
                break;
            }
            moved = true;
            if turn == TURNS {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if moved { Pumped::Moved } else { Pumped::Idle }
    }

    /// Says whether something moved.
    fn poll_write_side(&mut self, cx: &mut Context<'_>, now: Now, port: &mut impl Port) -> bool {
        let mut moved = false;
        if self.write == Side::Open && self.sent == self.out.len() && !self.unflushed {
            self.out.clear();
            self.sent = 0;
            match port.poll_transmit(now, &mut self.out) {
                Transmit::Idle => return false,
                Transmit::Ready => moved = true,
                Transmit::Shutdown => {
                    self.write = Side::Last;
                    self.linger = Some(now.instant + LINGER);
                    moved = true;
                }
            }
        }
        while self.sent < self.out.len() {
            let offer = (self.out.len() - self.sent).min(OFFER);
            let slice = &self.out[self.sent..self.sent + offer];
            match Pin::new(&mut self.stream).poll_write(cx, slice) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.sent += count;
                    self.offered = 0;
                    self.unflushed = true;
                    moved = true;
                }
                Poll::Ready(Ok(_) | Err(_)) => return self.fail_writing(now, port, offer),
                Poll::Pending => {
                    self.offered = offer;
                    return moved;
                }
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    moved = true;
                }
                Poll::Ready(Err(_)) => return self.fail_writing(now, port, 0),
                Poll::Pending => return moved,
            }
        }
        if self.write == Side::Last {
            // A failure to say goodbye changes nothing: all that matters was written.
            if Pin::new(&mut self.stream).poll_close(cx).is_ready() {
                self.write = Side::Closed;
                moved = true;
            }
        }
        moved
    }

    /// Nothing more is to leave. What the stream was never offered counts as not written.
    pub(crate) fn stop_writing(&mut self, now: Now, port: &mut impl Port) {
        if self.write == Side::Open && self.sent < self.out.len() {
            self.fail_writing(now, port, self.offered);
        }
    }

    fn fail_writing(&mut self, now: Now, port: &mut impl Port, offered: usize) -> bool {
        let unsent = self.out.len() - self.sent - offered;
        self.out.clear();
        self.sent = 0;
        self.unflushed = false;
        self.write = Side::Closed;
        self.linger.get_or_insert(now.instant + LINGER);
        self.offered = 0;
        port.handle_write_failure(now, unsent);
        true
    }

    /// Says whether something moved.
    fn poll_read_side(&mut self, cx: &mut Context<'_>, now: Now, port: &mut impl Port) -> bool {
        if !self.read_open {
            return false;
        }
        match Pin::new(&mut self.stream).poll_read(cx, &mut self.input) {
            Poll::Ready(Ok(0)) => self.end_input(now, port, End::Clean),
            Poll::Ready(Ok(count)) => {
                if self.linger.is_some_and(|end| end <= now.instant) {
                    self.overdue += count;
                }
                port.handle_input(now, &self.input[..count]);
            }
            Poll::Ready(Err(error)) => {
                let end = (self.end_of)(&error);
                self.end_input(now, port, end);
            }
            Poll::Pending => {
                self.drained = true;
                return false;
            }
        }
        self.drained = false;
        true
    }

    fn end_input(&mut self, now: Now, port: &mut impl Port, end: End) {
        if self.read_open {
            self.read_open = false;
            port.handle_end(now, end);
        }
    }
}
