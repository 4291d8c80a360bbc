//! The service's side of HTTP/2: the `h2` crate with memory in place of a socket.
//!
//! The client under test has an HTTP/2 of its own. This side shares nothing with it, so a mistake of one is not the other's
//! too.
//!
//! Nothing outside this module names `h2`. It does what HTTP/2 asks for; its "socket" is two queues of bytes, and it is
//! polled with a waker that only takes a note. What a simulated service does and `h2` cannot is done on the bytes: a tap reads
//! GOAWAY and the answers to our pings, and frames that `h2` does not send are put between its own.

mod body;
mod connection;
pub(crate) mod frame;
mod inbound;
mod pipe;
#[cfg(test)]
mod tests;
mod wake;

use bytes::Bytes;
pub(crate) use connection::{Config, Connection, Event, Request};
use frame::ErrorCode;

/// The most bytes of control frames that wait to be handed out. Some 15 000 answers to pings; a client that makes more of
/// them and takes none is not reading.
const MAX_CONTROL: usize = 256 * 1024;

/// What `h2` is told about small DATA frames: it need not count them. Bodies are bounded here.
const UNLIMITED_FRAMES: usize = usize::MAX;

/// What a GOAWAY frame says (RFC 9113 section 6.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// The highest stream that was or may yet be processed.
    pub(crate) last_stream: u32,
    /// Why.
    pub(crate) code: ErrorCode,
    /// The debug data.
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
    /// The client's bytes ended.
    Ended,
    /// The client said GOAWAY, and everything it left open is settled.
    GoneAway,
    /// The client broke the protocol; the code is what it was told in our GOAWAY.
    Violation {
        /// The error code.
        code: ErrorCode,
    },
    /// The client asks for more answers (to pings, settings, bad streams) than it takes.
    Flooded,
}

/// The code of an error, if `h2` found it itself and ended the connection over it.
fn violation(error: &h2::Error) -> Option<ErrorCode> {
    let code = error.reason().map_or(ErrorCode::PROTOCOL_ERROR, |reason| ErrorCode(reason.into()));
    (error.is_go_away() && error.is_library()).then_some(code)
}
