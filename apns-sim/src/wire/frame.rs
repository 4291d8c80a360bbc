//! Frames by hand: what `h2` does not say or hand out is read and written here.

use std::fmt;

use bytes::{BufMut, BytesMut};

/// The size of a frame's header (RFC 9113 section 4.1).
pub(crate) const HEAD: usize = 9;

/// The largest payload of a frame unless a SETTINGS frame allowed more (RFC 9113 section 6.5.2).
pub(crate) const MAX_PAYLOAD: usize = 16_384;

/// The largest stream identifier (RFC 9113 section 5.1.1).
pub(crate) const MAX_STREAM: u32 = (1 << 31) - 1;

/// What the client says first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Frame flags (RFC 9113 section 6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    #[cfg(test)]
    pub(crate) const END_HEADERS: u8 = 0x4;
}

/// Names of settings (RFC 9113 section 6.5.2).
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The size of the payload.
    pub(crate) length: usize,
    /// The frame type, see [`kind`].
    pub(crate) kind: u8,
    /// The flags, see [`flag`].
    pub(crate) flags: u8,
    /// The stream, without the reserved bit.
    pub(crate) stream: u32,
}

impl Head {
    /// Reads a header.
    pub(crate) fn parse(bytes: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: (usize::from(l0) << 16) | (usize::from(l1) << 8) | usize::from(l2),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & MAX_STREAM,
        }
    }

    /// Whether a flag is set.
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends one frame. A payload beyond the 24 bits of the length field is cut.
pub(crate) fn write(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let payload = payload.get(..payload.len().min(0xff_ffff)).unwrap_or_default();
    out.reserve(HEAD + payload.len());
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
}

/// Appends a GOAWAY frame (RFC 9113 section 6.8).
pub(crate) fn write_go_away(out: &mut BytesMut, last_stream: u32, code: ErrorCode, debug: &[u8]) {
    let mut payload = BytesMut::with_capacity(8 + debug.len());
    payload.put_u32(last_stream & MAX_STREAM);
    payload.put_u32(code.0);
    payload.put_slice(debug);
    write(out, kind::GOAWAY, 0, 0, &payload);
}

/// Appends a SETTINGS frame (RFC 9113 section 6.5).
pub(crate) fn write_settings(out: &mut BytesMut, settings: &[(u16, u32)]) {
    let mut payload = BytesMut::with_capacity(6 * settings.len());
    for &(name, value) in settings {
        payload.put_u16(name);
        payload.put_u32(value);
    }
    write(out, kind::SETTINGS, 0, 0, &payload);
}

/// Appends an RST_STREAM frame (RFC 9113 section 6.4).
pub(crate) fn write_reset(out: &mut BytesMut, stream: u32, code: ErrorCode) {
    write(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

/// Appends a PING frame (RFC 9113 section 6.7).
pub(crate) fn write_ping(out: &mut BytesMut, opaque: [u8; 8]) {
    write(out, kind::PING, 0, 0, &opaque);
}

/// An error code of RFC 9113 section 7; unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ErrorCode(pub(crate) u32);

impl ErrorCode {
    /// A violation without a name of its own.
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    /// The stream was not processed; safe to send again (RFC 9113 section 8.7).
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    /// The peer makes more work than it should.
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_writing_and_reading() {
        let mut out = BytesMut::new();
        write(&mut out, kind::DATA, flag::END_STREAM, 7, b"abc");
        assert_eq!(&out[..], b"\0\0\x03\0\x01\0\0\0\x07abc");
        let head = Head::parse(out[..HEAD].try_into().unwrap());
        assert_eq!(head, Head { length: 3, kind: kind::DATA, flags: 1, stream: 7 });
        assert!(head.has(flag::END_STREAM) && !head.has(flag::END_HEADERS));
    }

    #[test]
    fn the_reserved_bit_of_a_stream_is_ignored() {
        assert_eq!(Head::parse([0, 0, 0, 3, 0, 0x80, 0, 0, 5]).stream, 5);
    }

    #[test]
    fn an_unknown_code_is_kept() {
        assert_eq!(ErrorCode(0xf00).to_string(), "error code 3840");
        assert_eq!(ErrorCode::REFUSED_STREAM.to_string(), "REFUSED_STREAM");
    }
}
