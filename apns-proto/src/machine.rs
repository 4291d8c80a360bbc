//! What every connection looks like from outside: bytes and time go in; bytes, events and a deadline come out.

use std::time::Instant;

use bytes::BytesMut;

use crate::Now;

/// A protocol engine for one connection, without any I/O.
///
/// # Contract
///
/// A driver of a machine repeats this, with one reading of the clocks for each round, taken before anything else:
///
/// 1. [`handle_input`](Machine::handle_input) with all that the transport has, until it has nothing more; and
///    [`poll_transmit`](Machine::poll_transmit), but only when the transport took all bytes of the call before. In any
///    order, both until nothing moves;
/// 2. [`handle_timeout`](Machine::handle_timeout) when the time from [`poll_timeout`](Machine::poll_timeout) has come;
/// 3. [`poll_event`](Machine::poll_event) until it gives `None`;
/// 4. [`poll_timeout`](Machine::poll_timeout);
/// 5. wait for the first of: the transport took the bytes, bytes arrived, a command came, the deadline passed.
///
/// Reading and writing are awaited together: a peer may say why it closes while it no longer reads.
/// After any call that takes `&mut self`, what the `poll_` methods return may have changed.
///
/// # Deadlines
///
/// **Bytes that are there are read before a deadline is judged.** A process may stand still for longer than any deadline
/// (SIGSTOP, a computer that sleeps, a busy machine), and what the peer said in time then lies in the socket. So step 1
/// comes before step 2. Where a peer sends without a pause, a driver may judge once it has read more than the transport
/// can have held when the deadline passed.
///
/// Only [`handle_timeout`](Machine::handle_timeout) judges a deadline. Every other method can be called with a time
/// behind one, and hands out nothing new then that would be in doubt if the deadline ended the connection.
///
/// No method fails and none panics, whatever the peer sends. Trouble ends in one terminal event of the machine.
pub trait Machine {
    /// What the machine has to say.
    type Event;

    /// Takes bytes from the peer, in any split of the stream.
    fn handle_input(&mut self, now: Now, bytes: &[u8]);

    /// The peer will send nothing more. Calls after the first are ignored.
    fn handle_end(&mut self, now: Now, end: End);

    /// The transport will take nothing more; the last `unsent` bytes that [`poll_transmit`](Machine::poll_transmit)
    /// appended were never taken.
    ///
    /// This ends writing, not reading: the peer's last word may still be under way. The driver goes on reading, for at
    /// most [`LINGER`], and then reports the end.
    fn handle_write_failure(&mut self, now: Now, unsent: usize);

    /// Time has passed. Harmless when early.
    fn handle_timeout(&mut self, now: Now);

    /// Appends bytes for the peer, at most about one chunk.
    ///
    /// A call says that all bytes handed out before were taken by the transport. That is the back-pressure, and how
    /// the machine knows what has left.
    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit;

    /// The next event, in order.
    #[must_use = "an event that is dropped is lost, with whatever it gives back"]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When [`handle_timeout`](Machine::handle_timeout) is due; `None` for never.
    #[must_use = "without a timer nothing ends in time"]
    fn poll_timeout(&self) -> Option<Instant>;
}

/// How long a driver goes on reading after it stopped writing.
///
/// Closing a socket that holds unread bytes makes some systems throw away what is still to be sent, and after a failed
/// write the peer's reason may still arrive.
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// The most that a machine appends in one call of [`Machine::poll_transmit`], in bytes, give or take one message.
pub const CHUNK: usize = 32 * 1024;

/// What [`Machine::poll_transmit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bytes that were appended have to be written, and a shutdown carried out"]
pub enum Transmit {
    /// Nothing was appended and there is nothing to say for now.
    Idle,
    /// Bytes were appended. Ask again once the transport has taken them.
    Ready,
    /// This was the last, with or without bytes. Write what was appended, close the write half, read and discard for
    /// at most [`LINGER`].
    Shutdown,
}

/// How the peer's side of the stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// An orderly end.
    Clean,
    /// A reset, or an end without the goodbye that TLS asks for.
    Cut,
    /// The peer refused us, in its own words (a TLS alert, say).
    Refused(String),
}
