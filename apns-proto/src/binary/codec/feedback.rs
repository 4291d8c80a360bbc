//! What the feedback service sends: devices on which the app is gone.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{Cursor, Parsed, Stop};
use super::reassembly::Reassembly;
use super::{EncodeError, Limits};
use crate::WallTime;

/// One device on which the app is gone (*Binary Provider API*, "The Feedback Service").
///
/// Stop sending to the token unless it was registered again after `timestamp`.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedbackRecord {
    /// When the service found out; whole seconds, unsigned on the wire.
    pub timestamp: WallTime,
    /// The device token, raw. Its length is whatever the record says, not always 32.
    pub token: Bytes,
}

impl FeedbackRecord {
    /// Bytes before the token: time and token length.
    pub const HEADER_LEN: usize = 6;

    /// Appends this record.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when token or time do not fit their fields. Nothing is appended then.
    pub fn emit(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let length =
            u16::try_from(self.token.len()).map_err(|_| EncodeError::TokenTooLong { length: self.token.len() })?;
        let seconds = self.timestamp.as_secs();
        let timestamp = u32::try_from(seconds).map_err(|_| EncodeError::TimestampTooLate { seconds })?;
        out.reserve(self.encoded_len());
        out.put_u32(timestamp);
        out.put_u16(length);
        out.put_slice(&self.token);
        Ok(())
    }

    /// Bytes that [`emit`](Self::emit) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        Self::HEADER_LEN + self.token.len()
    }
}

impl fmt::Debug for FeedbackRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedbackRecord")
            .field("timestamp", &self.timestamp)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .finish()
    }
}

/// Reads records out of a stream that may be split anywhere.
///
/// Keeps at most one incomplete record, and refuses a token that is too long from its length field.
///
/// ```
/// use apns_proto::binary::FeedbackDecoder;
///
/// let mut decoder = FeedbackDecoder::default();
/// let mut input = &[0x65, 0x53, 0xf1, 0x00, 0, 4, 0xde, 0xad, 0xbe, 0xef][..];
/// while let Some(record) = decoder.decode(&mut input)? {
///     assert_eq!(record.timestamp.as_secs(), 1_700_000_000);
/// }
/// decoder.finish()?;
/// # Ok::<(), apns_proto::binary::FeedbackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeedbackDecoder {
    stream: Reassembly<FeedbackError>,
    token_max: u16,
    /// [`finish`](Self::finish) was called.
    ended: bool,
}

impl FeedbackDecoder {
    /// A decoder at the start of a connection, for tokens of up to `token_max` bytes.
    ///
    /// The default is the gateway's limit, 100. It bounds the memory: one record of `6 + token_max` bytes.
    #[must_use]
    pub fn new(token_max: u16) -> Self {
        Self { stream: Reassembly::new(), token_max, ended: false }
    }

    /// Takes bytes from the front of `input` until a record is complete or the input is used up, which gives `None`.
    /// Call it until then.
    ///
    /// # Errors
    ///
    /// [`FeedbackError`] for a token of no bytes or of too many, and for bytes behind the end of the stream. The decoder
    /// stays in error: where the next record starts is no longer certain.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<FeedbackRecord>, FeedbackError> {
        if self.ended && !input.is_empty() {
            *input = &[];
            return Err(FeedbackError { kind: FeedbackErrorKind::BehindEnd, offset: self.stream.end() });
        }
        let token_max = self.token_max;
        self.stream.next(input, |bytes, start| parse_front(bytes, start, token_max))
    }

    /// The stream has ended: bytes that come all the same are refused. Between records, and at once, that is the normal end of the list.
    ///
    /// # Errors
    ///
    /// [`FeedbackErrorKind::Truncated`] inside a record; those before it are good. An earlier error is repeated.
    pub fn finish(&mut self) -> Result<(), FeedbackError> {
        self.ended = true;
        self.stream.finish(|present, needed_total| FeedbackError {
            kind: FeedbackErrorKind::Truncated { needed_total },
            offset: present,
        })
    }

    /// Bytes kept of a record that is not complete; 0 between records.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.stream.buffered()
    }
}

impl Default for FeedbackDecoder {
    fn default() -> Self {
        Self::new(Limits::default().token_max)
    }
}

/// Bytes that are not a list of feedback records, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("feedback, at byte {offset} of the stream: {kind}")]
#[non_exhaustive]
pub struct FeedbackError {
    /// What is wrong.
    pub kind: FeedbackErrorKind,
    /// Place of the field in question in the stream; for a truncated record the number of bytes present.
    pub offset: u64,
}

/// What is wrong with a feedback record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackErrorKind {
    /// The stream ends inside a record.
    #[error("the stream ends inside a record that reaches to byte {needed_total} at least")]
    Truncated {
        /// The smallest length of the stream that is now known to be needed.
        needed_total: u64,
    },
    /// Bytes came after [`finish`](FeedbackDecoder::finish).
    #[error("bytes behind the end of the stream")]
    BehindEnd,
    /// A device token of no bytes.
    #[error("a device token of no bytes")]
    ZeroLengthToken,
    /// A device token above the limit.
    #[error("a device token of {length} bytes, above the limit of {limit}")]
    TokenTooLong {
        /// The declared length.
        length: u16,
        /// The limit in force.
        limit: u16,
    },
}

fn parse_front(bytes: &[u8], start: u64, token_max: u16) -> Result<Parsed<FeedbackRecord>, Stop<FeedbackError>> {
    let mut fields = Cursor::new(bytes);
    let mut header = Cursor::new(fields.take(FeedbackRecord::HEADER_LEN)?);
    let seconds = header.take_u32()?;
    let offset = start + header.at() as u64;
    let length = header.take_u16()?;
    if length == 0 {
        return Err(Stop::Malformed(FeedbackError { kind: FeedbackErrorKind::ZeroLengthToken, offset }));
    }
    if length > token_max {
        let kind = FeedbackErrorKind::TokenTooLong { length, limit: token_max };
        return Err(Stop::Malformed(FeedbackError { kind, offset }));
    }
    let token = Bytes::copy_from_slice(fields.take(usize::from(length))?);
    let message = FeedbackRecord { timestamp: WallTime::from_secs(u64::from(seconds)), token };
    Ok(Parsed { message, length: fields.at() })
}
