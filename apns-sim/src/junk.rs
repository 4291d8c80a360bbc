//! A peer that does not speak the protocol.

use std::time::Instant;

use apns_proto::machine::CHUNK;
use apns_proto::{End, Machine, Now, Transmit};
use bytes::{Bytes, BytesMut};

use crate::script::mix;

/// Sends bytes that mean nothing, then closes; reads and throws away.
#[derive(Debug)]
pub(crate) struct JunkServer {
    /// Sent again and again.
    block: Bytes,
    left: u64,
    gone: bool,
}

impl JunkServer {
    /// So many bytes, made from a seed. The first is not 8: that would start an error response.
    pub(crate) fn random(seed: u64, length: u64) -> Self {
        let mut block = Vec::with_capacity(CHUNK);
        let mut state = seed;
        while block.len() < CHUNK {
            state = mix(state);
            block.extend_from_slice(&state.to_le_bytes());
        }
        block[0] |= 0x80;
        Self { block: block.into(), left: length, gone: false }
    }

    /// Just these bytes.
    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self { left: bytes.len() as u64, block: bytes, gone: false }
    }
}

impl Machine for JunkServer {
    /// It has nothing to say.
    type Event = std::convert::Infallible;

    fn handle_input(&mut self, _now: Now, _bytes: &[u8]) {}

    fn handle_end(&mut self, _now: Now, end: End) {
        self.gone |= end != End::Clean;
    }

    fn handle_write_failure(&mut self, _now: Now, _unsent: usize) {
        self.gone = true;
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_transmit(&mut self, _now: Now, out: &mut BytesMut) -> Transmit {
        if self.gone || self.left == 0 {
            return Transmit::Shutdown;
        }
        let piece = usize::try_from(self.left).map_or(self.block.len(), |left| left.min(self.block.len()));
        out.extend_from_slice(&self.block[..piece]);
        self.left -= piece as u64;
        Transmit::Ready
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
