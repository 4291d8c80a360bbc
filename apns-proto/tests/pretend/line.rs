//! One connection of the pretend network: what is under way on it, and what its two ends do.

use std::collections::VecDeque;
use std::time::Instant;

use apns_proto::machine::LINGER;
use apns_proto::{End, LinkId, Machine, Now, Session, Transmit};
use bytes::BytesMut;

use super::world::{Service, Watch, Wire};

#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    End(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Open,
    Last,
    Closed,
}

pub(super) struct Line<S: Service> {
    pub(super) id: LinkId,
    pub(super) wire: Wire<S::Script>,
    pub(super) opened: Instant,
    // The client's side of it.
    pub(super) out: BytesMut,
    pub(super) sent: usize,
    pub(super) written: u64,
    pub(super) write: Side,
    pub(super) read_open: bool,
    pub(super) linger: Option<Instant>,
    // The pipes.
    pub(super) up: VecDeque<(Instant, Piece)>,
    pub(super) up_bytes: usize,
    pub(super) down: VecDeque<(Instant, Piece)>,
    pub(super) down_bytes: u64,
    pub(super) down_ended: bool,
    /// The client learns at this time that writing is pointless.
    pub(super) reset_at: Option<Instant>,
    pub(super) watch: S::Watch,
    /// What was written since somebody asked.
    pub(super) wrote: Vec<u32>,
    // The other side.
    pub(super) server: S::Server,
    pub(super) reads_again: Option<Instant>,
    pub(super) arrived: u64,
    pub(super) server_over: bool,
}

impl<S: Service> Line<S> {
    pub(super) fn new(id: LinkId, wire: Wire<S::Script>, opened: Instant, server: S::Server, watch: S::Watch) -> Self {
        let at = opened + wire.latency;
        let mut down = VecDeque::new();
        if let Some(words) = wire.stranger {
            down.push_back((at, Piece::Bytes(words.to_vec())));
            down.push_back((at, Piece::End(wire.end.clone())));
        } else if let Some(words) = wire.turned_away {
            down.push_back((at, Piece::End(End::Refused(words.into()))));
        }
        let nobody = !down.is_empty();
        Self {
            id,
            wire,
            opened,
            out: BytesMut::new(),
            sent: 0,
            written: 0,
            write: Side::Open,
            read_open: true,
            linger: None,
            up: VecDeque::new(),
            up_bytes: 0,
            down,
            down_bytes: 0,
            down_ended: nobody,
            reset_at: None,
            watch,
            wrote: Vec::new(),
            server,
            reads_again: None,
            arrived: 0,
            server_over: nobody,
        }
    }

    pub(super) fn client_over(&self) -> bool {
        !self.read_open && self.write == Side::Closed
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.up.front().map(|(time, _)| self.unstalled(*time))
    }

    pub(super) fn unstalled(&self, time: Instant) -> Instant {
        let time = self.reads_again.map_or(time, |again| time.max(again));
        match self.wire.stall {
            Some((from, span)) if time >= self.opened + from => time.max(self.opened + from + span),
            _ => time,
        }
    }

    /// Bytes arrive at the gateway.
    pub(super) fn arrive(&mut self, now: Now) {
        while self.next_arrival().is_some_and(|time| time <= now.instant) {
            let Some((_, piece)) = self.up.pop_front() else { return };
            match piece {
                Piece::Bytes(mut bytes) => {
                    // One part at a time: the gateway may answer between two, or stop reading.
                    let rest = bytes.split_off(bytes.len().min(self.wire.piece.max(1)));
                    if !rest.is_empty() {
                        self.up.push_front((now.instant, Piece::Bytes(rest)));
                    }
                    self.up_bytes -= bytes.len();
                    self.arrive_part(now, &bytes);
                    self.serve(now);
                }
                Piece::End(end) => self.server.handle_end(now, end),
            }
        }
    }

    pub(super) fn arrive_part(&mut self, now: Now, mut part: &[u8]) {
        if self.server_over {
            // Writing to a socket that is gone comes back as a reset.
            let reset = now.instant + self.wire.latency;
            if self.reset_at.is_none() {
                self.reset_at = Some(reset);
                if self.wire.reset_destroys {
                    self.down.retain(|(time, _)| *time < reset);
                    self.down.push_back((reset, Piece::End(End::Cut)));
                }
            }
            return;
        }
        if let Some(cut) = self.wire.cut_up {
            let left = usize::try_from(cut.saturating_sub(self.arrived)).unwrap_or(usize::MAX);
            if part.len() > left {
                part = &part[..left];
                self.arrived += left as u64;
                self.server.handle_input(now, part);
                self.server.handle_end(now, End::Cut);
                self.server_over = true;
                self.reset_at = Some(now.instant + self.wire.notice);
                self.end_down(now.instant + self.wire.notice, End::Cut);
                return;
            }
        }
        self.arrived += part.len() as u64;
        if let Some((place, span)) = self.wire.stops_reading.filter(|_| self.reads_again.is_none())
            && self.arrived >= place
        {
            self.reads_again = Some(now.instant + span);
        }
        self.server.handle_input(now, part);
        if self.wire.half_close_at.is_some_and(|place| self.arrived >= place) {
            self.end_down(now.instant + self.wire.latency, self.wire.end.clone());
        }
    }

    /// The gateway is gone, with all that is under way.
    pub(super) fn break_now(&mut self, now: Now) {
        if self.server_over {
            return;
        }
        self.server.handle_end(now, End::Cut);
        self.server_over = true;
        self.up.clear();
        self.up_bytes = 0;
        let noticed = now.instant + self.wire.notice;
        self.reset_at.get_or_insert(noticed);
        self.end_down(noticed, End::Cut);
    }

    pub(super) fn end_down(&mut self, at: Instant, end: End) {
        if !self.down_ended {
            self.down_ended = true;
            self.down.push_back((at, Piece::End(end)));
        }
    }

    /// The gateway works.
    pub(super) fn serve(&mut self, now: Now) {
        if self.server_over {
            return;
        }
        self.server.handle_timeout(now);
        while self.server.poll_event().is_some() {}
        let mut out = BytesMut::new();
        let mut transmit = self.server.poll_transmit(now, &mut out);
        while transmit == Transmit::Ready {
            transmit = self.server.poll_transmit(now, &mut out);
        }
        while self.server.poll_event().is_some() {}
        let at = now.instant + self.wire.latency + self.wire.delay;
        if !self.down_ended && !out.is_empty() {
            for part in out.chunks(self.wire.piece.max(1)) {
                let room = self.wire.cut_down.map_or(usize::MAX, |cut| {
                    usize::try_from(cut.saturating_sub(self.down_bytes)).unwrap_or(usize::MAX)
                });
                let kept = part.len().min(room);
                self.down_bytes += kept as u64;
                if kept > 0 {
                    self.down.push_back((at, Piece::Bytes(part[..kept].to_vec())));
                }
                if kept < part.len() {
                    self.end_down(at, End::Cut);
                    break;
                }
            }
        }
        if transmit == Transmit::Shutdown {
            self.server_over = true;
            self.end_down(at, self.wire.end.clone());
        }
    }

    /// The client writes. `true_now` is what its clock should say.
    pub(super) fn pump_write(&mut self, now: Now, true_now: Instant, session: &mut Session<S::Opener, u32>) -> bool {
        if self.write == Side::Closed {
            return false;
        }
        let mut moved = false;
        if self.write == Side::Open && self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            let transmit = session.poll_transmit(now, self.id, &mut self.out);
            self.watch.handed(true_now, &self.out);
            match transmit {
                Transmit::Idle => {}
                Transmit::Ready => moved = true,
                Transmit::Shutdown => {
                    self.watch.over(true_now);
                    self.write = Side::Last;
                    self.linger = Some(now.instant + LINGER);
                    moved = true;
                }
            }
        }
        while self.sent < self.out.len() {
            if self.reset_at.is_some_and(|time| time <= now.instant) || self.wire.fails_at == Some(self.written) {
                let unsent = (self.out.len() - self.sent).saturating_sub(self.wire.unsure);
                self.write = Side::Closed;
                self.linger.get_or_insert(now.instant + LINGER);
                // What was taken arrives, and then the stream breaks.
                self.up.push_back((now.instant + self.wire.latency, Piece::End(End::Cut)));
                session.handle_write_failure(now, self.id, unsent);
                return true;
            }
            let failing = self.wire.fails_at.map_or(u64::MAX, |place| place - self.written);
            let room = self.wire.capacity.saturating_sub(self.up_bytes);
            let count = (self.out.len() - self.sent).min(room).min(usize::try_from(failing).unwrap_or(usize::MAX));
            if count == 0 {
                return moved;
            }
            let bytes = self.out[self.sent..self.sent + count].to_vec();
            self.wrote.extend(self.watch.wrote(&bytes));
            self.up_bytes += count;
            self.up.push_back((now.instant + self.wire.latency, Piece::Bytes(bytes)));
            self.sent += count;
            self.written += count as u64;
            moved = true;
        }
        if self.write == Side::Last {
            self.write = Side::Closed;
            self.up.push_back((now.instant + self.wire.latency, Piece::End(End::Clean)));
            moved = true;
        }
        moved
    }

    /// Whether something can be read that came before this time.
    pub(super) fn has_waited(&self, since: Instant) -> bool {
        self.read_open && self.down.front().is_some_and(|(arrived, _)| *arrived <= since)
    }

    /// The client reads.
    pub(super) fn pump_read(&mut self, now: Now, true_now: Instant, session: &mut Session<S::Opener, u32>) -> bool {
        if !self.read_open || self.down.front().is_none_or(|(time, _)| *time > now.instant) {
            return false;
        }
        match self.down.pop_front() {
            Some((arrived, Piece::Bytes(bytes))) => {
                self.watch.read(true_now, arrived, &bytes);
                session.handle_input(now, self.id, &bytes);
            }
            Some((_, Piece::End(end))) => {
                self.watch.over(true_now);
                self.end_input(now, session, end);
            }
            None => {}
        }
        true
    }

    pub(super) fn end_input(&mut self, now: Now, session: &mut Session<S::Opener, u32>, end: End) {
        if self.read_open {
            self.read_open = false;
            session.handle_end(now, self.id, end);
        }
    }
}
