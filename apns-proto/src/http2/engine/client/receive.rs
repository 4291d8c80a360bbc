//! Frames of the peer.

use std::mem;

use super::{Block, Connection, Event, Failure, Settings};
use crate::http2::engine::answer::Block as Meaning;
use crate::http2::engine::budget;
use crate::http2::engine::frame::{self, ErrorCode, HEAD, Head, MAX_PAYLOAD, MAX_STREAM, flag, kind, setting};
use crate::http2::engine::hpack::{Error, Name};
use crate::http2::engine::{
    CloseReason, GoAway, INITIAL_WINDOW, MAX_CONTINUATIONS, MAX_CONTROL, MAX_HEADER_LIST, WINDOW,
};

/// What the peer did ends the connection.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: CloseReason,
    /// What our GOAWAY says.
    pub(super) code: Option<ErrorCode>,
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self { reason: CloseReason::Violation { code }, code: Some(code) }
    }
}

/// It asks for more than it may.
fn flooded() -> Fault {
    Fault { reason: CloseReason::Flooded, code: Some(ErrorCode::ENHANCE_YOUR_CALM) }
}

impl Connection {
    /// Takes frames, in any split.
    pub(super) fn input(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        let mut partial = mem::take(&mut self.partial);
        if !partial.is_empty() {
            complete(&mut partial, HEAD, &mut input);
            let Some(&head) = partial.first_chunk::<HEAD>() else {
                self.partial = partial;
                return Ok(());
            };
            let length = self.head(head)?.length;
            complete(&mut partial, HEAD + length, &mut input);
            if partial.len() < HEAD + length {
                self.partial = partial;
                return Ok(());
            }
            self.frame(Head::parse(head), &partial[HEAD..])?;
            partial.clear();
        }
        while let Some((head, rest)) = input.split_first_chunk::<HEAD>() {
            let head = self.head(*head)?;
            let Some((payload, rest)) = rest.split_at_checked(head.length) else { break };
            self.frame(head, payload)?;
            input = rest;
        }
        partial.extend_from_slice(input);
        self.partial = partial;
        Ok(())
    }

    /// The peer's first bytes, when it ended within them and they are not how a SETTINGS frame begins. A connection that
    /// breaks inside that frame says nothing about what the peer speaks.
    pub(super) fn unfinished_start(&self) -> Option<Vec<u8>> {
        let came = &self.partial[..self.partial.len().min(HEAD)];
        if self.greeted || came.is_empty() {
            return None;
        }
        // What did not come is as it should be.
        let mut head = frame::head(0, kind::SETTINGS, 0, 0);
        head[..came.len()].copy_from_slice(came);
        (!is_greeting(Head::parse(head), came.len() >= 3)).then(|| came.to_vec())
    }

    /// Looks at the header of a frame, whose payload may not have come.
    fn head(&self, bytes: [u8; HEAD]) -> Result<Head, Fault> {
        let head = Head::parse(bytes);
        if !self.greeted && !is_greeting(head, true) {
            return Err(Fault { reason: CloseReason::NotHttp2 { received: bytes.to_vec() }, code: None });
        }
        if head.length > MAX_PAYLOAD {
            return Err(ErrorCode::FRAME_SIZE_ERROR.into());
        }
        Ok(head)
    }

    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.greeted = true;
        if let Some(block) = &self.block
            && (head.kind != kind::CONTINUATION || head.stream != block.stream)
        {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        match head.kind {
            kind::DATA => self.data(head, payload)?,
            kind::HEADERS => self.headers(head, payload)?,
            kind::CONTINUATION => self.continuation(head, payload)?,
            kind::SETTINGS => self.on_settings(head, payload)?,
            kind::GOAWAY => self.on_go_away(head, payload)?,
            _ => {
                self.spend(budget::FRAME)?;
                self.small(head, payload)?;
            }
        }
        if self.output.control() > MAX_CONTROL { Err(flooded()) } else { Ok(()) }
    }

    fn spend(&mut self, cost: u32) -> Result<(), Fault> {
        if self.budget.spend(cost) { Ok(()) } else { Err(flooded()) }
    }

    /// The frames that bring no answer nearer.
    fn small(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        match head.kind {
            kind::PRIORITY if head.stream == 0 => return Err(ErrorCode::PROTOCOL_ERROR.into()),
            kind::PRIORITY if head.length != 5 => self.broken(head.stream, ErrorCode::FRAME_SIZE_ERROR),
            kind::RST_STREAM => {
                let code = ErrorCode(number(payload)?);
                self.on_stream(head.stream)?;
                let refused = code == ErrorCode::REFUSED_STREAM;
                if self.output.withdraw(head.stream) {
                    // What has not left would open the stream again.
                    self.send_reset(head.stream, ErrorCode::CANCEL);
                }
                self.failed(head.stream, if refused { Failure::Refused } else { Failure::Reset(code) });
            }
            // Our SETTINGS forbid it.
            kind::PUSH_PROMISE => return Err(ErrorCode::PROTOCOL_ERROR.into()),
            kind::PING => self.on_ping(head, payload)?,
            kind::WINDOW_UPDATE => self.on_window_update(head, payload)?,
            // PRIORITY is of no use to a client, and unknown kinds are ignored (RFC 9113 section 4.1).
            _ => {}
        }
        Ok(())
    }

    fn on_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let opaque = <[u8; 8]>::try_from(payload).map_err(|_| ErrorCode::FRAME_SIZE_ERROR)?;
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        if !head.has(flag::ACK) {
            self.output.answer(kind::PING, flag::ACK, 0, &opaque);
        } else if let Some(index) = self.pings.iter().position(|&sent| sent == opaque) {
            self.pings.remove(index);
            self.events.push_back(Event::Pong(opaque));
        }
        Ok(())
    }

    fn on_window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let more = i64::from(number(payload)? & MAX_STREAM);
        let fault = |window: i64| match () {
            () if more == 0 => Some(ErrorCode::PROTOCOL_ERROR),
            () if window > WINDOW => Some(ErrorCode::FLOW_CONTROL_ERROR),
            () => None,
        };
        self.windows_moved = true;
        if head.stream == 0 {
            self.window += more;
            return fault(self.window).map_or(Ok(()), |code| Err(code.into()));
        }
        self.on_stream(head.stream)?;
        if let Some(open) = self.streams.get_mut(head.stream) {
            open.window += more;
            if let Some(code) = fault(open.window) {
                self.broken(head.stream, code);
            }
        }
        Ok(())
    }

    fn on_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.spend(budget::SETTINGS)?;
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        if head.has(flag::ACK) {
            // We send SETTINGS once.
            if mem::replace(&mut self.acknowledged, true) {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            return if payload.is_empty() { Ok(()) } else { Err(ErrorCode::FRAME_SIZE_ERROR.into()) };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(ErrorCode::FRAME_SIZE_ERROR.into());
        }
        let mut known = self.settings.unwrap_or_default();
        for (name, value) in frame::settings(payload) {
            self.apply(&mut known, name, value)?;
        }
        self.settings = Some(known);
        self.output.answer(kind::SETTINGS, flag::ACK, 0, &[]);
        if let Some(Event::Settings(waiting)) = self.events.back_mut() {
            *waiting = known;
        } else {
            self.events.push_back(Event::Settings(known));
        }
        Ok(())
    }

    fn apply(&mut self, known: &mut Settings, name: u16, value: u32) -> Result<(), ErrorCode> {
        match name {
            setting::HEADER_TABLE_SIZE => {
                known.header_table_size = Some(value);
                self.encoder.resize(value);
            }
            // A server that says it takes pushes (RFC 9113 section 6.5.2).
            setting::ENABLE_PUSH if value != 0 => return Err(ErrorCode::PROTOCOL_ERROR),
            setting::MAX_CONCURRENT_STREAMS => known.max_concurrent_streams = Some(value),
            setting::INITIAL_WINDOW_SIZE => {
                if i64::from(value) > WINDOW {
                    return Err(ErrorCode::FLOW_CONTROL_ERROR);
                }
                known.initial_window_size = Some(value);
                let change = i64::from(value) - mem::replace(&mut self.stream_window, value.into());
                if change != 0 {
                    self.windows_moved = true;
                    for open in self.streams.values_mut() {
                        open.window += change;
                        if open.window > WINDOW {
                            return Err(ErrorCode::FLOW_CONTROL_ERROR);
                        }
                    }
                }
            }
            // Larger frames than the smallest limit are of no use here.
            setting::MAX_FRAME_SIZE if !(16_384..=0xff_ffff).contains(&value) => return Err(ErrorCode::PROTOCOL_ERROR),
            setting::MAX_HEADER_LIST_SIZE => known.max_header_list_size = Some(value),
            // Unknown settings are ignored (RFC 9113 section 6.5.2).
            _ => {}
        }
        Ok(())
    }

    fn on_go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let said = GoAway::parse(payload).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        if self.said.as_ref() == Some(&said) {
            return self.spend(budget::FRAME);
        }
        self.spend(budget::GO_AWAY)?;
        // One that names a higher stream than the one before is forbidden, and does no harm (RFC 9113 section 6.8).
        self.last_stream = self.last_stream.min(said.last_stream);
        match &mut self.go_away {
            Some(kept) if !kept.debug.is_empty() || said.debug.is_empty() => {}
            kept => *kept = Some(said.clone()),
        }
        if let Some(kept) = &mut self.go_away {
            kept.last_stream = self.last_stream;
        }
        self.events.push_back(Event::GoAway(said.clone()));
        self.said = Some(said);
        for stream in self.streams.above(self.last_stream) {
            self.failed(stream, Failure::AboveLastStream);
        }
        Ok(())
    }

    /// Only streams that were opened here: we take no pushes, and nothing may come on a stream that never was (RFC 9113
    /// section 5.1, "idle").
    fn on_stream(&self, stream: u32) -> Result<(), ErrorCode> {
        let opened = stream % 2 == 1 && stream >= self.config.first_stream && stream < self.next_stream;
        if opened { Ok(()) } else { Err(ErrorCode::PROTOCOL_ERROR) }
    }

    /// Something came on a stream that is over.
    fn late(&mut self, stream: u32) -> Result<(), Fault> {
        self.spend(budget::FRAME)?;
        if !self.resets.contains(&stream) {
            // The peer ended it before; otherwise our own reset crossed what came (RFC 9113 section 5.1, "closed").
            self.send_reset(stream, ErrorCode::STREAM_CLOSED);
        }
        Ok(())
    }

    fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.on_stream(head.stream)?;
        let data = frame::unpadded(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        // The connection's window counts padding, and what comes for streams that are over.
        self.received += head.length;
        if self.received > INITIAL_WINDOW as usize {
            return Err(ErrorCode::FLOW_CONTROL_ERROR.into());
        }
        if self.received > INITIAL_WINDOW as usize / 2 {
            let more = mem::take(&mut self.received) as u32;
            self.output.answer(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
        let end = head.has(flag::END_STREAM);
        if data.is_empty() && !end {
            self.spend(budget::FRAME)?;
        }
        let max_body = self.config.max_body;
        let Some(open) = self.streams.get_mut(head.stream) else { return self.late(head.stream) };
        if !open.answer.has_status() {
            self.broken(head.stream, ErrorCode::PROTOCOL_ERROR);
        } else if !open.answer.push(data, max_body) {
            self.output.withdraw(head.stream);
            self.send_reset(head.stream, ErrorCode::CANCEL);
            self.failed(head.stream, Failure::Reset(ErrorCode::CANCEL));
        } else if end {
            self.answered(head.stream);
        } else if data.len() < head.length {
            // A stream's window is as large as a body may be. Padding is given back, so that it does not take from it.
            let padding = (head.length - data.len()) as u32;
            self.output.answer(kind::WINDOW_UPDATE, 0, head.stream, &padding.to_be_bytes());
        }
        Ok(())
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.on_stream(head.stream)?;
        let mut block = frame::unpadded(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        }
        let end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.fields(head.stream, end, block);
        }
        self.block = Some(Block { stream: head.stream, end, bytes: block.to_vec(), frames: 0 });
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let mut block = self.block.take().ok_or(ErrorCode::PROTOCOL_ERROR)?;
        block.frames += 1;
        // Compressed, it is hardly larger than the list in it.
        let too_large = block.bytes.len() + payload.len() > MAX_HEADER_LIST + MAX_PAYLOAD;
        if block.frames > MAX_CONTINUATIONS || too_large {
            return Err(ErrorCode::ENHANCE_YOUR_CALM.into());
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.fields(block.stream, block.end, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A whole header block. It is decoded also where nobody waits for it: the tables of both sides must stay alike.
    fn fields(&mut self, stream: u32, end: bool, block: &[u8]) -> Result<(), Fault> {
        let fault = |error| match error {
            Error::TooLarge => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::COMPRESSION_ERROR,
        };
        let Some(open) = self.streams.get_mut(stream) else {
            self.decoder.decode(block, MAX_HEADER_LIST, |_, _, _| ()).map_err(fault)?;
            return self.late(stream);
        };
        let mut reading = open.answer.read();
        let decoded = self
            .decoder
            .decode(block, MAX_HEADER_LIST, |name: Name, _: &[u8], value: &[u8]| reading.field(name, value));
        let meaning = reading.done(end);
        decoded.map_err(fault)?;
        match meaning {
            Meaning::Interim => self.spend(budget::INTERIM)?,
            Meaning::Nothing => self.broken(stream, ErrorCode::PROTOCOL_ERROR),
            Meaning::Part if end => self.answered(stream),
            Meaning::Part => {}
        }
        Ok(())
    }
}

/// Takes as much as is missing from `partial` to this length.
fn complete(partial: &mut Vec<u8>, length: usize, input: &mut &[u8]) {
    let (now, later) = input.split_at(length.saturating_sub(partial.len()).min(input.len()));
    partial.extend_from_slice(now);
    *input = later;
}

/// Whether a frame with this header may be a server's first (RFC 9113 section 3.4).
fn is_greeting(head: Head, whole_length: bool) -> bool {
    head.kind == kind::SETTINGS
        && !head.has(flag::ACK)
        && head.stream == 0
        && (!whole_length || head.length.is_multiple_of(6))
        && head.length <= MAX_PAYLOAD
}

fn number(payload: &[u8]) -> Result<u32, ErrorCode> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_| ErrorCode::FRAME_SIZE_ERROR)
}
