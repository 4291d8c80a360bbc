//! How streams and the connection come to their end.

use super::{Connection, Event, Failure, Fate, RESETS, Stream};
use crate::http2::engine::CloseReason;
use crate::http2::engine::frame::{ErrorCode, kind};

impl Connection {
    /// Takes a stream out of those that are open.
    pub(super) fn take(&mut self, stream: u32) -> Option<Stream> {
        let open = self.streams.remove(stream)?;
        if !open.unsent.is_empty() {
            self.waiting.retain(|waiting| *waiting != stream);
        }
        Some(open)
    }

    /// Tells the peer that nothing more is wanted of a stream.
    pub(super) fn send_reset(&mut self, stream: u32, code: ErrorCode) {
        self.output.answer(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
        if self.resets.len() == RESETS {
            self.resets.pop_front();
        }
        self.resets.push_back(stream);
    }

    /// What is known about a request from how far its bytes got. What has not left will not leave after this.
    pub(super) fn fate(&self, open: &Stream) -> Fate {
        if self.output.has_left(open.end) { Fate::Unknown } else { Fate::NotProcessed }
    }

    /// The answer is whole.
    pub(super) fn answered(&mut self, stream: u32) {
        let Some(mut open) = self.take(stream) else { return };
        open.answer.ended();
        self.budget.answered();
        if open.answer.malformed {
            self.send_reset(stream, ErrorCode::PROTOCOL_ERROR);
        } else if !open.unsent.is_empty() {
            // It came before the request was whole, and the rest is of no use (RFC 9113 section 8.1).
            self.send_reset(stream, ErrorCode::NO_ERROR);
        }
        if let Some(response) = open.answer.into_response(true) {
            self.events.push_back(Event::Response { stream, response });
        }
    }

    /// There will be no more of this answer.
    pub(super) fn failed(&mut self, stream: u32, failure: Failure) {
        let Some(open) = self.take(stream) else { return };
        let fate = match failure {
            Failure::Refused | Failure::AboveLastStream => Fate::NotProcessed,
            // The peer has seen it, and would decide the same again: what of it left makes no difference.
            Failure::Reset(_) | Failure::Violation(_) => Fate::Unknown,
            Failure::ConnectionEnded => self.fate(&open),
        };
        self.events.push_back(match open.answer.into_response(false) {
            Some(response) => Event::Response { stream, response },
            None => Event::Failed { stream, failure, fate },
        });
    }

    /// The peer broke the rules of one stream.
    pub(super) fn broken(&mut self, stream: u32, code: ErrorCode) {
        self.output.withdraw(stream);
        self.send_reset(stream, code);
        self.failed(stream, Failure::Violation(code));
    }

    /// Closes in good order when nothing is open any more and nothing will be.
    pub(super) fn close_if_done(&mut self) {
        if !self.streams.is_empty() {
            return;
        }
        if self.go_away.is_some() {
            self.close(CloseReason::GoneAway, Some(ErrorCode::NO_ERROR));
        } else if self.finishing {
            self.close(CloseReason::Finished, Some(ErrorCode::NO_ERROR));
        }
    }

    /// Settles what is open, in order, and closes for good; says GOAWAY with a code, if there is one.
    pub(super) fn close(&mut self, reason: CloseReason, code: Option<ErrorCode>) {
        if self.closed {
            return;
        }
        self.closed = true;
        if !self.streams.is_empty() {
            // What has not left stays here.
            self.output.clear();
        }
        while let Some((stream, _)) = self.streams.first() {
            let above = stream > self.last_stream;
            self.failed(stream, if above { Failure::AboveLastStream } else { Failure::ConnectionEnded });
        }
        if let Some(code) = code {
            self.output.go_away(code);
        }
        self.pings.clear();
        self.partial = Vec::new();
        self.block = None;
        self.events.push_back(Event::Closed(reason));
    }
}
