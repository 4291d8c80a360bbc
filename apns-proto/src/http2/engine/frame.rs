//! Frames (RFC 9113 section 4) and what is in those that are not about one stream.

use std::fmt;

use bytes::BufMut;
#[cfg(test)]
use bytes::BytesMut;

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
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Frame flags (RFC 9113 section 6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// Names of settings (RFC 9113 section 6.5.2).
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
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
pub(crate) fn write(out: &mut impl BufMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let payload = payload.get(..payload.len().min(0xff_ffff)).unwrap_or_default();
    out.put_slice(&head(payload.len(), kind, flags, stream));
    out.put_slice(payload);
}

/// The header of a frame.
pub(crate) const fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind, flags, s0, s1, s2, s3]
}

/// Appends a GOAWAY frame (RFC 9113 section 6.8).
pub(crate) fn write_go_away(out: &mut impl BufMut, last_stream: u32, code: ErrorCode, debug: &[u8]) {
    out.put_slice(&head(8 + debug.len(), kind::GOAWAY, 0, 0));
    out.put_u32(last_stream & MAX_STREAM);
    out.put_u32(code.0);
    out.put_slice(debug);
}

/// Appends a SETTINGS frame (RFC 9113 section 6.5).
pub(crate) fn write_settings(out: &mut impl BufMut, settings: &[(u16, u32)]) {
    out.put_slice(&head(6 * settings.len(), kind::SETTINGS, 0, 0));
    for &(name, value) in settings {
        out.put_u16(name);
        out.put_u32(value);
    }
}

/// Appends an RST_STREAM frame (RFC 9113 section 6.4).
#[cfg(test)]
pub(crate) fn write_reset(out: &mut impl BufMut, stream: u32, code: ErrorCode) {
    write(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

/// The settings of a SETTINGS payload, in order; a rest that is no whole setting is left out.
pub(crate) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + '_ {
    payload
        .as_chunks::<6>()
        .0
        .iter()
        .map(|&[n0, n1, v0, v1, v2, v3]| (u16::from_be_bytes([n0, n1]), u32::from_be_bytes([v0, v1, v2, v3])))
}

/// A payload without its padding (RFC 9113 section 6.1); `None` if that is longer than the payload.
pub(crate) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(padding.into())?)
}

/// An error code of RFC 9113 section 7; unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ErrorCode(pub(crate) u32);

impl ErrorCode {
    /// Not an error.
    pub(crate) const NO_ERROR: Self = Self(0);
    /// A violation without a name of its own.
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    /// More was sent than the window allowed.
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame for a stream that was over.
    pub(crate) const STREAM_CLOSED: Self = Self(5);
    /// A frame of a size that cannot be.
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(6);
    /// The stream was not processed; safe to send again (RFC 9113 section 8.7).
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    /// The stream is no longer wanted.
    pub(crate) const CANCEL: Self = Self(8);
    /// A header block that cannot be decoded.
    pub(crate) const COMPRESSION_ERROR: Self = Self(9);
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
    fn settings_survive_writing_and_reading() {
        let mut out = BytesMut::new();
        write_settings(&mut out, &[(setting::MAX_CONCURRENT_STREAMS, 500), (0xabcd, 1)]);
        let read: Vec<_> = settings(&out[HEAD..]).collect();
        assert_eq!(read, [(3, 500), (0xabcd, 1)]);
    }

    #[test]
    fn an_unknown_code_is_kept() {
        assert_eq!(ErrorCode(0xf00).to_string(), "error code 3840");
        assert_eq!(ErrorCode::REFUSED_STREAM.to_string(), "REFUSED_STREAM");
    }
}
