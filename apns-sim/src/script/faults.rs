//! What goes wrong with a whole connection.

use std::num::{NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Serialize};

use super::{HexBytes, field};

/// What goes wrong with one connection, or with all.
///
/// Offsets count bytes of the protocol, inside TLS: they are where a client's own bytes are, whatever records TLS makes
/// of them.
///
/// ```
/// use apns_sim::{Cut, Faults};
///
/// let cut_in_the_third_frame = Faults::default().connection(1).cut(Cut::after_read(100));
/// # let _ = cut_in_the_third_frame;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "field::from_one")]
    pub(crate) connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handshake: Option<HandshakeFault>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) handshake_delay_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) junk: Option<Junk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stall: Option<Stall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) write_pieces: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "field::is_default")]
    pub(crate) write_delay_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) close_after: Option<u64>,
}

impl Faults {
    /// The connection it is about; each service counts its own from 1. Default: every connection.
    #[must_use]
    pub const fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// The TLS handshake goes wrong.
    #[must_use]
    pub const fn handshake(mut self, fault: HandshakeFault) -> Self {
        self.handshake = Some(fault);
        self
    }

    /// Waits this many milliseconds before the handshake. Default: 0.
    #[must_use]
    pub const fn handshake_delay_ms(mut self, milliseconds: u64) -> Self {
        self.handshake_delay_ms = milliseconds;
        self
    }

    /// Sends junk instead of speaking, then closes.
    #[must_use]
    pub fn junk(mut self, junk: Junk) -> Self {
        self.junk = Some(junk);
        self
    }

    /// Cuts the connection at a byte.
    #[must_use]
    pub const fn cut(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        self
    }

    /// Stops reading at a byte.
    #[must_use]
    pub const fn stall(mut self, stall: Stall) -> Self {
        self.stall = Some(stall);
        self
    }

    /// Writes pieces of this many bytes, each in a TLS record of its own. Default: whole.
    #[must_use]
    pub const fn write_pieces(mut self, bytes: NonZeroUsize) -> Self {
        self.write_pieces = Some(bytes);
        self
    }

    /// Waits this many milliseconds before each write, so before each piece. Default: 0.
    #[must_use]
    pub const fn write_delay_ms(mut self, milliseconds: u64) -> Self {
        self.write_delay_ms = milliseconds;
        self
    }

    /// Takes this many notifications or requests, then closes without a word; with 0 right after the handshake. Not for
    /// the feedback service.
    #[must_use]
    pub const fn close_after(mut self, notifications: u64) -> Self {
        self.close_after = Some(notifications);
        self
    }

    pub(crate) fn concern(&self, connection: u64) -> bool {
        self.connection.is_none_or(|number| number == connection)
    }
}

/// How a TLS handshake goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandshakeFault {
    /// It never ends: the client is read and not answered.
    Never,
    /// The client certificate is refused as revoked, whatever it is.
    RefuseRevoked,
    /// The client certificate is refused as expired.
    RefuseExpired,
    /// The client certificate is refused because its authority is not known.
    RefuseUnknownAuthority,
    /// The client certificate is refused without a reason.
    RefuseClient,
}

/// What is sent instead of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Junk {
    /// So many bytes that mean nothing, after the handshake. They are made while they are sent. The first is not 8,
    /// which would start an error response.
    Bytes(NonZeroU64),
    /// So many bytes that mean nothing, in the place of the handshake.
    BytesBeforeTls(NonZeroU64),
    /// These bytes, after the handshake: a part of an error response, say.
    Hex(HexBytes),
}

/// A connection that ends in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_read: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_written: Option<u64>,
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) how: CutHow,
}

impl Cut {
    /// As soon as this many bytes of the client were read. They still count; not a byte is read or written after them.
    #[must_use]
    pub const fn after_read(bytes: u64) -> Self {
        Self { after_read: Some(bytes), after_written: None, how: CutHow::Reset }
    }

    /// As soon as this many bytes were written.
    #[must_use]
    pub const fn after_written(bytes: u64) -> Self {
        Self { after_read: None, after_written: Some(bytes), how: CutHow::End }
    }

    /// What the client sees of it.
    #[must_use]
    pub const fn how(mut self, how: CutHow) -> Self {
        self.how = how;
        self
    }
}

/// What the client sees of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CutHow {
    /// A reset. What was written just before may be lost on the way.
    #[default]
    Reset,
    /// The end of the TCP stream, without the goodbye of TLS. Systems make a reset of it when there are bytes that were
    /// not read.
    End,
}

/// A connection on which reading stops, so that the client's writes come to a halt. Writing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    #[serde(default, skip_serializing_if = "field::is_default")]
    pub(crate) after_read: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) for_ms: Option<u64>,
}

impl Stall {
    /// For ever, once this many bytes were read. Also the end of the stream is not noticed then.
    #[must_use]
    pub const fn after_read(bytes: u64) -> Self {
        Self { after_read: bytes, for_ms: None }
    }

    /// Only for this many milliseconds.
    #[must_use]
    pub const fn for_ms(mut self, milliseconds: u64) -> Self {
        self.for_ms = Some(milliseconds);
        self
    }
}
