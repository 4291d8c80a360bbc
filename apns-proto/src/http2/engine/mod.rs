//! A client's side of HTTP/2 (RFC 9113), without I/O.
//!
//! Bytes come in and events go out. There is no clock, no lock and no waker in it, and a request with a short answer costs
//! no allocation once the connection is warm.
//!
//! * [`frame`] reads and writes frames; [`hpack`] compresses header fields (RFC 7541).
//! * [`client`] is the connection: `client/send.rs` writes requests, `client/receive.rs` reads what the peer says,
//!   `client/ending.rs` settles streams.
//! * [`answer`] gathers an answer, [`output`] the bytes for the peer, [`budget`] counts what a peer asks for, [`template`]
//!   keeps the encoded part of requests that comes back.
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
//!       connection.send(request)?;
//!   }
//!   connection.transmit(out);
//!   ```
//! * An answer may come before the request has wholly left. It settles the request, and what is left of its stream is reset.
//! * Each request ends exactly once: [`Response`](client::Event::Response), [`Failed`](client::Event::Failed) with its
//!   [`Fate`](client::Fate), or the result of [`reset`](client::Connection::reset). A status that came is always
//!   delivered, with whatever came of the body, also of an answer that breaks the rules, which is marked.
//! * [`Fate::NotProcessed`](client::Fate::NotProcessed) is said only when the peer says so (REFUSED_STREAM, or above a
//!   GOAWAY's last stream), or when the request's last frame did not wholly leave before the connection ended or the request
//!   was given up; then it never will. Everything else is [`Unknown`](client::Fate::Unknown). Bytes handed out count as gone unless
//!   [`write_failed`](client::Connection::write_failed) says how many were not; say it before `receive_end`.
//! * After GOAWAY no request is taken; those up to its last stream go on. When the last is settled the connection
//!   closes.
//! * [`Event::Closed`](client::Event::Closed) is the last event. Bytes may still wait: our own GOAWAY, with the error where
//!   there is one and with NO_ERROR where all is in order. `transmit` until it gives `false`.
//!
//! # Limits
//!
//! What a peer can make grow or make us do is bounded. Beyond a bound the connection ends with the code that stands there.
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | requests open at once | the lower of the peer's limit, live, and [`Config::max_streams`](client::Config::max_streams) | they wait outside |
//! | body of an answer | [`Config::max_body`](client::Config::max_body) | the stream is reset, its answer is told as cut |
//! | body bytes that came and were not taken note of | 65 535 on the connection | FLOW_CONTROL_ERROR |
//! | header list of an answer, names and values with 32 bytes for each | 16 KiB; decoding stops there | ENHANCE_YOUR_CALM |
//! | header block | the first frame and eight CONTINUATION frames, 32 KiB | ENHANCE_YOUR_CALM |
//! | compression table of the peer, and of ours at the peer | 4096 bytes each | COMPRESSION_ERROR; not filled further |
//! | frame | 16 384 bytes | FRAME_SIZE_ERROR |
//! | window | 2^31 - 1 | FLOW_CONTROL_ERROR, for the stream or the connection |
//! | bytes waiting to be handed out | a chunk and one request, and 64 KiB that the peer asked for | ENHANCE_YOUR_CALM |
//! | frames that bring no answer nearer | a budget of 10 000, of which a second gives back 100 and an answer 16 | ENHANCE_YOUR_CALM |
//!
//! Of the budget, a PING, PRIORITY, WINDOW_UPDATE, RST_STREAM or unknown frame costs 1, as do an empty DATA frame and one of a
//! stream that is over; an interim answer costs 4; SETTINGS cost 10, because all windows may move; a GOAWAY with something
//! new in it costs 500, because it is kept until it is told.

mod answer;
mod budget;
pub(crate) mod client;
pub(crate) mod frame;
mod hpack;
mod message;
mod output;
mod template;
#[cfg(test)]
mod tests;

pub(super) use answer::Field;
use bytes::Bytes;
use frame::ErrorCode;

/// The most bytes that wait to be handed out because the peer asked for them.
const MAX_CONTROL: usize = 64 * 1024;

/// The largest header list taken in an answer, by the count of RFC 9113 section 6.5.2, sent as SETTINGS_MAX_HEADER_LIST_SIZE.
const MAX_HEADER_LIST: usize = 16 * 1024;

/// The most CONTINUATION frames of a header block.
const MAX_CONTINUATIONS: usize = 8;

/// The window of a connection, and of a stream, at first (RFC 9113 section 6.9.2).
const INITIAL_WINDOW: u32 = 65_535;

/// The largest window (RFC 9113 section 6.9.1).
const WINDOW: i64 = (1 << 31) - 1;

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
