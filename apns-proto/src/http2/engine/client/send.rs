//! Requests on their way out.

use bytes::Bytes;

use super::{Assembly, Connection, SendError, Stream};
use crate::http2::Header;
use crate::http2::engine::frame::{self, HEAD, MAX_PAYLOAD, flag, kind};
use crate::http2::outgoing::Outgoing;
#[cfg(test)]
use crate::http2::{Request, outgoing::Head};
use crate::machine::CHUNK;

impl Connection {
    /// Sends a request, or says why it cannot be sent now.
    ///
    /// Gives the stream, which stands for the request from now on: exactly one
    /// [`Event::Response`](super::Event::Response) or [`Event::Failed`](super::Event::Failed) will name it, unless
    /// [`reset`](Self::reset) settles it before.
    ///
    /// What is encoded of a head is kept: requests that share one cost little.
    ///
    /// # Errors
    ///
    /// Any [`SendError`]; nothing was sent then.
    pub(crate) fn send(&mut self, request: Outgoing<'_>) -> Result<u32, SendError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if let Some(limit) = self.settings.and_then(|settings| settings.max_header_list_size) {
            let size = request.header_list_size(&self.config.authority);
            if size > limit as usize {
                return Err(SendError::HeadersTooLarge { size, limit });
            }
        }
        let encoded = self.templates.find(&request, &self.encoder).is_some();
        if !self.is_possible(&request, encoded) {
            return Err(SendError::Malformed);
        }
        // Bodies that have waited for a window go first.
        self.resume();
        let stream = self.next_stream;
        self.next_stream += 2;
        self.write_head(stream, request);
        let mut open = Stream {
            end: self.output.position(),
            window: self.stream_window,
            unsent: Bytes::new(),
            answer: Assembly::new(),
        };
        let body = request.body;
        let length = body.len() as i64;
        if !body.is_empty() && length <= self.window.min(open.window) && body.len() <= MAX_PAYLOAD {
            self.output.frame(kind::DATA, flag::END_STREAM, stream, body);
            self.window -= length;
            open.window -= length;
            open.end = self.output.position();
        } else if !body.is_empty() {
            open.unsent = body.clone();
            write_body(&mut self.output, &mut self.window, stream, &mut open);
            if !open.unsent.is_empty() {
                self.waiting.push_back(stream);
                self.windows_moved = true;
            }
        }
        self.streams.insert(stream, open);
        Ok(stream)
    }

    /// Sends a request that shares nothing with others; see [`send`](Self::send).
    #[cfg(test)]
    pub(crate) fn send_request(&mut self, request: &Request) -> Result<u32, SendError> {
        let head = std::sync::Arc::new(Head { method: request.method, headers: request.headers.clone() });
        let Request { path, body, .. } = request;
        self.send(Outgoing { head: &head, authorization: None, path, varying: &[], body })
    }

    /// Why [`send`](Self::send) would refuse any request now; `None` when there is room for one.
    pub(crate) fn refusal(&self) -> Option<SendError> {
        if self.closed {
            return Some(SendError::Closed);
        }
        if self.finishing || self.go_away.is_some() {
            return Some(SendError::GoingAway);
        }
        if self.output.is_stopped() {
            return Some(SendError::WriteEnded);
        }
        if self.next_stream > self.config.last_stream {
            return Some(SendError::StreamsExhausted);
        }
        if self.settings.is_none() {
            return Some(SendError::AwaitingSettings);
        }
        let (open, limit) = (self.streams.len(), self.stream_limit());
        if open >= limit {
            return Some(SendError::Full { open, limit });
        }
        if self.output.len() >= CHUNK {
            return Some(SendError::Backlog);
        }
        (self.window <= 0 && !self.waiting.is_empty()).then_some(SendError::Window)
    }

    /// Whether it is a request that HTTP/2 can carry. What was encoded before has been looked at.
    fn is_possible(&mut self, request: &Outgoing<'_>, encoded: bool) -> bool {
        // As a fold, which looks at many bytes at once.
        let path = request.path.iter().fold(false, |bad, &byte| bad | (byte <= b' ') | (byte >= 0x7f));
        if path || request.path.first() != Some(&b'/') {
            return false;
        }
        let encoder = &mut self.encoder;
        let mut is_field = |header: &Header| is_value(&header.value) && encoder.knows(header.name);
        let alone = request.varying.iter().all(&mut is_field);
        alone && (encoded || (request.head.headers.iter().all(is_field) && request.authorization.is_none_or(is_value)))
    }

    /// Writes HEADERS, and CONTINUATION where the block is larger than a frame.
    fn write_head(&mut self, stream: u32, request: Outgoing<'_>) {
        let out = self.output.frames_mut();
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        match self.templates.find(&request, &self.encoder) {
            Some(template) => template.write(request.path, out),
            None => self.templates.make(&request, &self.config.authority, &mut self.encoder, out),
        }
        for header in request.varying {
            self.encoder.field(header.name, &header.value, header.indexing, out);
        }
        let end = if request.body.is_empty() { flag::END_STREAM } else { 0 };
        let length = out.len() - start - HEAD;
        if length <= MAX_PAYLOAD {
            let head = frame::head(length, kind::HEADERS, flag::END_HEADERS | end, stream);
            out[start..start + HEAD].copy_from_slice(&head);
            return;
        }
        let block = out.split_off(start + HEAD);
        out.truncate(start);
        let mut pieces = block.chunks(MAX_PAYLOAD).peekable();
        let (mut kind, mut flags) = (kind::HEADERS, end);
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            frame::write(out, kind, flags, stream, piece);
            (kind, flags) = (kind::CONTINUATION, 0);
        }
    }

    /// Lets bodies out that waited for a window.
    pub(super) fn resume(&mut self) {
        if !self.windows_moved || self.closed || self.output.is_stopped() {
            return;
        }
        self.windows_moved = false;
        for _ in 0..self.waiting.len() {
            if self.window <= 0 || self.output.len() >= CHUNK {
                // More is written when what waits has been handed out, or the window opens.
                self.windows_moved = self.window > 0;
                return;
            }
            let Some(stream) = self.waiting.pop_front() else { return };
            let Some(open) = self.streams.get_mut(stream) else { continue };
            write_body(&mut self.output, &mut self.window, stream, open);
            if !open.unsent.is_empty() {
                // A long body goes out in steps.
                self.windows_moved |= open.window > 0;
                // One whose own window is closed lets the others pass.
                if self.window > 0 { self.waiting.push_back(stream) } else { self.waiting.push_front(stream) }
            }
        }
    }
}

/// Whether a text may be the value of a field (RFC 9113 section 8.2.1).
fn is_value(value: &Bytes) -> bool {
    let is_control = |byte: u8| ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f);
    !value.iter().fold(false, |bad, &byte| bad | is_control(byte))
}

/// Writes as much of a body as the windows let out, in steps of a chunk.
fn write_body(output: &mut super::Output, window: &mut i64, stream: u32, open: &mut Stream) {
    let allowed = usize::try_from((*window).min(open.window)).unwrap_or(0).min(CHUNK);
    let mut now = open.unsent.split_to(open.unsent.len().min(allowed));
    *window -= now.len() as i64;
    open.window -= now.len() as i64;
    let ends = open.unsent.is_empty();
    while !now.is_empty() {
        let piece = now.split_to(now.len().min(MAX_PAYLOAD));
        let end = if ends && now.is_empty() { flag::END_STREAM } else { 0 };
        output.frame(kind::DATA, end, stream, &piece);
    }
    open.end = if ends { output.position() } else { u64::MAX };
}
