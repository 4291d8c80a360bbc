//! Writing notifications.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::super::EncodeError;
use super::{Format, item};

/// One notification, borrowed, in the form it takes on the wire.
///
/// Lengths are written as they are: nothing is padded or cut, and no limit but that of the length fields is applied.
/// What the format has no place for is left out: command 0 carries only token and payload, command 1 no priority.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which of the three formats.
    pub format: Format,
    /// Comes back in an error response. Should not be 0: the gateway uses that for "I do not know which".
    pub identifier: u32,
    /// Until when the service may store it: seconds since 1970, absolute. 0 is "try once, do not store".
    ///
    /// Absent, it is left out of command 2 and written as 0 in command 1, which has no other way to say it.
    pub expiration: Option<u32>,
    /// 10 (at once) or 5 (when it suits the device). Absent means 10.
    pub priority: Option<u8>,
    /// The device token, raw.
    pub token: &'a [u8],
    /// The payload: JSON in UTF-8.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes that [`encode`] appends.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self.format {
            Format::Simple => SIMPLE_OVERHEAD + self.token.len() + self.payload.len(),
            Format::Enhanced => ENHANCED_OVERHEAD + self.token.len() + self.payload.len(),
            Format::Items => FRAME_HEADER_LEN + self.frame_len(),
        }
    }

    /// Bytes of frame data in command 2.
    const fn frame_len(&self) -> usize {
        let expiration = if self.expiration.is_some() { ITEM_U32_LEN } else { 0 };
        let priority = if self.priority.is_some() { ITEM_U8_LEN } else { 0 };
        let identifier = ITEM_U32_LEN;
        let token = item::HEADER_LEN + self.token.len();
        let payload = item::HEADER_LEN + self.payload.len();
        identifier + token + payload + expiration + priority
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("format", &self.format)
            .field("identifier", &self.identifier)
            .field("expiration", &self.expiration)
            .field("priority", &self.priority)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .finish()
    }
}

/// Command, two length fields.
const SIMPLE_OVERHEAD: usize = 1 + 2 + 2;
/// Command, identifier, expiration, two length fields.
const ENHANCED_OVERHEAD: usize = 1 + 4 + 4 + 2 + 2;
/// Command, frame length.
const FRAME_HEADER_LEN: usize = 1 + 4;
const ITEM_U32_LEN: usize = item::HEADER_LEN + 4;
const ITEM_U8_LEN: usize = item::HEADER_LEN + 1;

/// Appends a notification to `out`. Allocates only when `out` has no room for it.
///
/// In command 2 the identifier goes first, so that a gateway which fails on a later item can still name the
/// notification.
///
/// ```
/// use apns_proto::binary::{Format, Frame, encode};
/// use bytes::BytesMut;
///
/// let frame = Frame {
///     format: Format::Items,
///     identifier: 7,
///     expiration: None,
///     priority: Some(5),
///     token: &[0xde, 0xad, 0xbe, 0xef],
///     payload: br#"{"aps":{"content-available":1}}"#,
/// };
/// let mut out = BytesMut::new();
/// encode(&frame, &mut out)?;
/// assert_eq!(out.len(), frame.encoded_len());
/// # Ok::<(), apns_proto::binary::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError`] when token or payload are longer than a length field can say, 65 535 bytes. Nothing is appended
/// then.
pub fn encode(frame: &Frame<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
    let (token, payload) = (frame.token, frame.payload);
    let token_len = u16::try_from(token.len()).map_err(|_| EncodeError::TokenTooLong { length: token.len() })?;
    let payload_len =
        u16::try_from(payload.len()).map_err(|_| EncodeError::PayloadTooLong { length: payload.len() })?;
    let ([t0, t1], [p0, p1]) = (token_len.to_be_bytes(), payload_len.to_be_bytes());
    let [i0, i1, i2, i3] = frame.identifier.to_be_bytes();

    // Each fixed run is put together first and copied in one piece: measured at two thirds of field by field.
    match frame.format {
        Format::Simple => {
            out.put_slice(&[0, t0, t1]);
            out.put_slice(token);
            out.put_slice(&[p0, p1]);
            out.put_slice(payload);
        }
        Format::Enhanced => {
            let [e0, e1, e2, e3] = frame.expiration.unwrap_or(0).to_be_bytes();
            out.put_slice(&[1, i0, i1, i2, i3, e0, e1, e2, e3, t0, t1]);
            out.put_slice(token);
            out.put_slice(&[p0, p1]);
            out.put_slice(payload);
        }
        Format::Items => {
            let frame_len = u32::try_from(frame.frame_len()).expect("two lengths of 16 bits and 24 bytes fit 32 bits");
            let [f0, f1, f2, f3] = frame_len.to_be_bytes();
            let before = [2, f0, f1, f2, f3, item::IDENTIFIER, 0, 4, i0, i1, i2, i3, item::TOKEN, t0, t1];
            let behind = [item::PAYLOAD, p0, p1];
            if let Ok(token) = <&[u8; 32]>::try_from(token) {
                // Nearly all tokens have this length, and what is of known length is copied without a call.
                let mut run = [0; 15 + 32 + 3];
                run[..15].copy_from_slice(&before);
                run[15..47].copy_from_slice(token);
                run[47..].copy_from_slice(&behind);
                out.put_slice(&run);
            } else {
                out.put_slice(&before);
                out.put_slice(token);
                out.put_slice(&behind);
            }
            out.put_slice(payload);
            if let Some(expiration) = frame.expiration {
                let [e0, e1, e2, e3] = expiration.to_be_bytes();
                out.put_slice(&[item::EXPIRATION, 0, 4, e0, e1, e2, e3]);
            }
            if let Some(priority) = frame.priority {
                out.put_slice(&[item::PRIORITY, 0, 1, priority]);
            }
        }
    }
    Ok(())
}

/// Bytes that [`encode_probe`] appends.
pub(in crate::binary) const PROBE_LEN: usize = 20;

/// Appends a notification that a gateway must refuse: command 2, identifier first, a token of no bytes, payload `{}`.
///
/// The error response to it proves that everything written before it was accepted, and costs the connection. The
/// response may carry identifier 0.
pub fn encode_probe(identifier: u32, out: &mut BytesMut) {
    let [i0, i1, i2, i3] = identifier.to_be_bytes();
    out.put_slice(&[
        2,
        0,
        0,
        0,
        15, //
        item::IDENTIFIER,
        0,
        4,
        i0,
        i1,
        i2,
        i3, //
        item::TOKEN,
        0,
        0, //
        item::PAYLOAD,
        0,
        2,
        b'{',
        b'}',
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame<'static> = Frame {
        format: Format::Items,
        identifier: 7,
        expiration: None,
        priority: None,
        token: b"secret token",
        payload: b"secret payload",
    };

    #[test]
    fn debug_shows_neither_token_nor_payload() {
        assert_eq!(
            format!("{FRAME:?}"),
            "Frame { format: Items, identifier: 7, expiration: None, priority: None, token: <12 bytes>, \
             payload: <14 bytes> }"
        );
    }

    #[test]
    fn a_token_or_payload_beyond_its_length_field_is_refused_and_nothing_written() {
        let long = vec![0; 65_536];
        for format in [Format::Simple, Format::Enhanced, Format::Items] {
            let mut out = BytesMut::new();
            let error = encode(&Frame { format, token: &long, ..FRAME }, &mut out);
            assert_eq!(error, Err(EncodeError::TokenTooLong { length: 65_536 }));
            let error = encode(&Frame { format, payload: &long, ..FRAME }, &mut out);
            assert_eq!(error, Err(EncodeError::PayloadTooLong { length: 65_536 }));
            assert!(out.is_empty());

            let longest = &long[1..];
            let frame = Frame { format, token: longest, payload: longest, ..FRAME };
            encode(&frame, &mut out).unwrap();
            assert_eq!(out.len(), frame.encoded_len());
        }
    }

    #[test]
    fn encoding_does_not_reallocate_a_buffer_with_room() {
        let mut out = BytesMut::with_capacity(FRAME.encoded_len() + 20);
        let before = (out.as_ptr(), out.capacity());
        encode(&FRAME, &mut out).unwrap();
        encode_probe(1, &mut out);
        assert_eq!((out.as_ptr(), out.capacity()), before);
    }
}
