//! The interface of every state machine with a connection: bytes and time in; bytes, events and a deadline out.

use std::time::Instant;

use bytes::BytesMut;

use crate::Now;

/// A protocol engine for one connection, without any I/O.
///
/// # Contract
///
/// A driver of a machine repeats the following round. It reads the clocks once for each round, before anything else:
///
/// 1. Call [`handle_input`](Machine::handle_input) with all bytes that the transport has, and
///    [`poll_transmit`](Machine::poll_transmit), but the latter only when the transport has taken all bytes of the previous
///    call. Repeat both, in any order, until nothing moves.
/// 2. Call [`handle_timeout`](Machine::handle_timeout) if the time from [`poll_timeout`](Machine::poll_timeout) has come.
/// 3. Call [`poll_event`](Machine::poll_event) until it returns `None`.
/// 4. Call [`poll_timeout`](Machine::poll_timeout).
/// 5. Wait until the transport has taken the bytes, bytes have arrived, the application has a command, or the deadline has
///    passed.
///
/// Wait for reading and writing concurrently: a peer may send the reason why it closes while it no longer reads.
/// After any call that takes `&mut self`, the results of the `poll_` methods may have changed.
///
/// # Deadlines
///
/// **Read the available bytes before judging a deadline.** A process may be stopped for longer than any deadline (SIGSTOP,
/// a suspended computer, a busy machine), and an answer that arrived in time is then still in the socket. So step 1 comes
/// before step 2. If a peer sends without a pause, a driver may judge the deadline when it has read more than the transport
/// can have held when the deadline passed.
///
/// Only [`handle_timeout`](Machine::handle_timeout) judges a deadline. Every other method accepts a time after a deadline;
/// it then hands out nothing new that would be in doubt if the deadline ended the connection.
///
/// No method fails or panics, whatever the peer sends. Errors end in one terminal event of the machine.
pub trait Machine {
    /// The events that the machine reports.
    type Event;

    /// Passes bytes from the peer to the machine, in pieces of any size.
    fn handle_input(&mut self, now: Now, bytes: &[u8]);

    /// Reports that the peer will send nothing more. Calls after the first are ignored.
    fn handle_end(&mut self, now: Now, end: End);

    /// Reports that the transport will take nothing more, and that the last `unsent` bytes that
    /// [`poll_transmit`](Machine::poll_transmit) appended were never offered to it.
    ///
    /// This ends writing, not reading: the peer's reason may still arrive. The driver continues to read for at most
    /// [`LINGER`], and then reports the end.
    fn handle_write_failure(&mut self, now: Now, unsent: usize);

    /// Handles deadlines that have passed. A call before the deadline does nothing.
    fn handle_timeout(&mut self, now: Now);

    /// Appends bytes for the peer, at most about one [`CHUNK`].
    ///
    /// A call tells the machine that the transport has taken all bytes from previous calls. This provides back-pressure,
    /// and tells the machine which notifications were sent.
    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit;

    /// Returns the next event, in order.
    #[must_use = "an event that is dropped is lost, with whatever it gives back"]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Returns when [`handle_timeout`](Machine::handle_timeout) is due, or `None` if there is no deadline.
    #[must_use = "without a timer nothing ends in time"]
    fn poll_timeout(&self) -> Option<Instant>;
}

/// How long a driver continues to read after it has stopped writing.
///
/// If a socket with unread bytes is closed, some systems discard bytes that are still to be sent. After a failed write, the
/// peer's reason may still arrive.
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// The approximate limit of what a machine appends in one call of [`Machine::poll_transmit`], in bytes; one message may exceed it.
pub const CHUNK: usize = 32 * 1024;

/// What [`Machine::poll_transmit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bytes that were appended have to be written, and a shutdown carried out"]
pub enum Transmit {
    /// Nothing was appended; there is no output for now.
    Idle,
    /// Bytes were appended. Call again when the transport has taken them.
    Ready,
    /// This is the last output, with or without bytes. Write what was appended, close the write half, then read and discard
    /// for at most [`LINGER`].
    Shutdown,
}

/// How the peer's side of the stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// An orderly end.
    Clean,
    /// A reset, or an end without the `close_notify` alert of TLS.
    Cut,
    /// The peer refused this client, with its text (for example a TLS alert).
    Refused(String),
}
