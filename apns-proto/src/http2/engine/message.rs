//! What the client's side says and is told: requests, answers, and what is known when there is no answer.

use std::fmt;

use bytes::Bytes;

use super::answer::Fields;
#[cfg(doc)]
use super::client::Connection;
use super::frame::ErrorCode;
use super::{CloseReason, GoAway};

/// Why no request can be sent now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The peer's first SETTINGS frame has not come. Wait for [`Event::Settings`].
    #[error("the peer's SETTINGS have not come yet")]
    AwaitingSettings,
    /// As many streams are open as are allowed. Wait for one to settle or for [`Event::Settings`].
    #[error("{open} streams are open and {limit} are allowed")]
    Full {
        /// Open now.
        open: usize,
        /// Allowed now.
        limit: usize,
    },
    /// A chunk of bytes waits to be handed out. Call [`Connection::transmit`] when the transport took the last one.
    #[error("the bytes of earlier requests have not been handed out yet")]
    Backlog,
    /// The connection's window is closed and a body waits for it. Wait for the peer to open it.
    #[error("the peer takes no more bytes of bodies now")]
    Window,
    /// Stream identifiers have run out (RFC 9113 section 5.1.1). Open another connection.
    #[error("all stream identifiers of this connection are used up")]
    StreamsExhausted,
    /// The peer sent GOAWAY, or [`Connection::finish`] was called. Open another connection.
    #[error("the connection is going away")]
    GoingAway,
    /// The transport takes no more bytes. Open another connection.
    #[error("nothing can be written any more")]
    WriteEnded,
    /// The connection is over. Open another one.
    #[error("the connection is closed")]
    Closed,
    /// The peer would refuse headers of this size; it never will take this request.
    #[error("the headers take {size} bytes and the peer accepts {limit}")]
    HeadersTooLarge {
        /// The size by RFC 9113 section 6.5.2.
        size: usize,
        /// The peer's SETTINGS_MAX_HEADER_LIST_SIZE.
        limit: u32,
    },
    /// A header field that HTTP/2 forbids (RFC 9113 section 8.2.2), or a path or value that is none.
    #[error("a header field is not allowed in HTTP/2")]
    Malformed,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// The header fields that matter; those of trailers are left out.
    pub(crate) fields: Fields,
    /// The body, up to [`Config::max_body`](super::client::Config::max_body).
    pub(crate) body: Bytes,
    /// Whether the body is whole. Otherwise it was too long, the stream broke, or [`Connection::reset`] came between.
    pub(crate) complete: bool,
    /// Whether it breaks the rules of HTTP (RFC 9113 section 8.1.1): a `content-length` that is not the body's, a field that
    /// may not be, a body where there is none. It says what it says all the same.
    pub(crate) malformed: bool,
}

// Header values and bodies are the peer's, and may repeat what was sent to it.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .field("complete", &self.complete)
            .field("malformed", &self.malformed)
            .finish_non_exhaustive()
    }
}

/// What is known about a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The peer did not process it: it says so, or the request never wholly left the connection that ended. Safe to send
    /// again.
    NotProcessed,
    /// It may have been processed. Also of a stream that the peer reset with another code than REFUSED_STREAM, although the
    /// body had not wholly left: the peer saw it and decided about it, and would decide the same again.
    Unknown,
}

/// Why a request gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// RST_STREAM with REFUSED_STREAM.
    Refused,
    /// RST_STREAM with another code.
    Reset(ErrorCode),
    /// The stream is above the last one that a GOAWAY frame names.
    AboveLastStream,
    /// The peer broke the protocol on this stream alone (an answer without a status, a window beyond the range), and the
    /// stream was reset with this code.
    Violation(ErrorCode),
    /// The connection ended.
    ConnectionEnded,
}

/// What became of a request that was given up by [`Connection::reset`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The status had come, the end of the body had not.
    Answered(Response),
    /// There was no answer.
    Unanswered(Fate),
}

/// What the peer's SETTINGS say, all frames together. `None` is a setting that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// The most streams open at once; unlimited if it never came.
    pub(crate) max_concurrent_streams: Option<u32>,
    /// The window of a new stream; 65 535 if it never came.
    pub(crate) initial_window_size: Option<u32>,
    /// The size of the compression table; 4096 if it never came.
    pub(crate) header_table_size: Option<u32>,
    /// The largest header list; unlimited if it never came.
    pub(crate) max_header_list_size: Option<u32>,
}

/// What a [`Connection`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A SETTINGS frame was applied. The first one makes the connection [ready](Connection::refusal).
    Settings(Settings),
    /// An answer. The stream is over.
    Response {
        /// The stream.
        stream: u32,
        /// The answer.
        response: Response,
    },
    /// There will be no answer. The stream is over.
    Failed {
        /// The stream.
        stream: u32,
        /// Why.
        failure: Failure,
        /// What is known about the request.
        fate: Fate,
    },
    /// A GOAWAY frame, as it came; one that repeats the one before word for word is left out. The last stream that
    /// counts is the lowest of all, see [`Connection::last_stream`]. Requests above it fail right after this.
    GoAway(GoAway),
    /// The answer to [`Connection::ping`].
    Pong([u8; 8]),
    /// The connection is over. Nothing follows, and every request was settled before.
    Closed(CloseReason),
}
