//! HTTP/2 without I/O: the `h2` crate with memory in place of a socket.
//!
//! Nothing outside this module names `h2`. It does what HTTP/2 asks for: framing, header compression, stream states,
//! flow control. Its "socket" is two queues of bytes, and it is polled with a waker that only takes a note, so it
//! needs no runtime. What it keeps to itself, or cannot say, is done here, on the bytes:
//!
//! * a tap on the inbound side reads SETTINGS, GOAWAY (with debug data) and the answers to our pings, and insists that
//!   the first frame is SETTINGS;
//! * a tap on the outbound side knows where each request's last frame is, so that of a request without an answer it is
//!   known whether it wholly left;
//! * frames that `h2` cannot send are put between its own.
//!
//! # Contract of [`client::Connection`]
//!
//! * Bytes in: [`receive`](client::Connection::receive) in any split, then
//!   [`receive_end`](client::Connection::receive_end) once. Bytes out:
//!   [`transmit`](client::Connection::transmit), at most a chunk, called only when the transport took the bytes before.
//!   After each of these, and after each command, take events from [`poll`](client::Connection::poll) until `None`.
//! * Start: nothing is sent but the preface and our SETTINGS until the peer's SETTINGS came
//!   ([`Event::Settings`](client::Event::Settings)). So with a peer that does not speak HTTP/2 no request is ever in
//!   doubt.
//! * Requests: [`refusal`](client::Connection::refusal) tells whether there is room for one, and if not, what to wait
//!   for. Keep the queue outside and fill up just before `transmit`: the connection takes requests only while less than
//!   a chunk waits. That bounds memory, keeps control frames ahead of requests, and leaves what has not been sent where
//!   it can be sent elsewhere.
//!
//!   ```text
//!   while connection.refusal().is_none() && let Some(request) = queue.pop_front() {
//!       connection.send_request(request)?;
//!   }
//!   connection.transmit(out);
//!   ```
//! * Each request ends exactly once: [`Response`](client::Event::Response), [`Failed`](client::Event::Failed) with its
//!   [`Fate`](client::Fate), or the result of [`reset`](client::Connection::reset). A status that came is always
//!   delivered, with whatever came of the body.
//! * [`Fate::NotProcessed`](client::Fate::NotProcessed) is said only when the peer says so (REFUSED_STREAM, or above a
//!   GOAWAY's last stream) or when the request's last frame did not wholly leave; then it never will. Everything else is
//!   [`Unknown`](client::Fate::Unknown). Bytes handed out count as gone unless
//!   [`write_failed`](client::Connection::write_failed) says how many were not; say it before `receive_end`.
//! * After GOAWAY no request is taken; those up to its last stream go on. When the last is settled the connection
//!   closes.
//! * [`Event::Closed`](client::Event::Closed) is the last event. Bytes may still wait (our own GOAWAY): `transmit` until
//!   it gives `false`.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | requests open at once | the lower of the peer's limit, live, and [`Config::max_streams`](client::Config::max_streams) |
//! | body of a message | [`Config::max_body`](client::Config::max_body), then the stream is reset and the window given back |
//! | header list | [`Config::max_header_list`](client::Config::max_header_list); at the default, a header block in more than seven frames ends the connection |
//! | bytes waiting to be handed out | a chunk and one request, the bodies that flow control held back, and 256 KiB of control frames; beyond these the connection closes as [`Flooded`](CloseReason::Flooded) |
//! | frame | 16 384 bytes |
//!
//! `h2` reads a clock to forget streams that it reset, and its two queues are behind a lock that is never waited for.

mod body;
pub(crate) mod client;
mod exchange;
pub(crate) mod frame;
mod head;
mod inbound;
mod message;
mod pipe;
#[cfg(feature = "server")]
pub(crate) mod server;
#[cfg(test)]
mod tests;
mod wake;

use bytes::Bytes;
use frame::ErrorCode;

/// The most bytes of control frames that wait to be handed out. Some 15 000 answers to pings; a peer that makes more
/// of them and takes none is not reading.
const MAX_CONTROL: usize = 256 * 1024;

/// What the engine is told about small DATA frames: it need not count them. Bodies are bounded here.
const UNLIMITED_FRAMES: usize = usize::MAX;

/// What a GOAWAY frame says (RFC 9113 section 6.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// The highest stream that was or may yet be processed.
    pub(crate) last_stream: u32,
    /// Why.
    pub(crate) code: ErrorCode,
    /// The debug data; from Apple a JSON object with a `reason`, or nothing.
    pub(crate) debug: Bytes,
}

impl GoAway {
    fn parse(payload: &[u8]) -> Option<Self> {
        let (&last, rest) = payload.split_first_chunk::<4>()?;
        let (&code, debug) = rest.split_first_chunk::<4>()?;
        Some(Self {
            last_stream: u32::from_be_bytes(last) & frame::MAX_STREAM,
            code: ErrorCode(u32::from_be_bytes(code)),
            debug: Bytes::copy_from_slice(debug),
        })
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The peer's bytes ended.
    Ended,
    /// GOAWAY came, and everything it left open is settled.
    GoneAway,
    /// The own side finished, and everything open is settled.
    Finished,
    /// The own side broke it off.
    Abandoned,
    /// The peer broke the protocol; the code is what it was told in our GOAWAY.
    Violation {
        /// The error code.
        code: ErrorCode,
    },
    /// The peer does not speak HTTP/2: its first bytes are no SETTINGS frame.
    NotHttp2 {
        /// Its first bytes, at most nine.
        received: Vec<u8>,
    },
    /// The peer asks for more answers (to pings, settings, bad streams) than it takes.
    Flooded,
}

/// The code of an error, if the engine found it itself and ended the connection over it.
fn violation(error: &h2::Error) -> Option<ErrorCode> {
    let code = error.reason().map_or(ErrorCode::PROTOCOL_ERROR, |reason| ErrorCode(reason.into()));
    (error.is_go_away() && error.is_library()).then_some(code)
}
