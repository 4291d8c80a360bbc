//! What the gateway says before it closes.

use bytes::{BufMut, BytesMut};

use super::Status;
use super::cursor::{Cursor, Parsed, Stop};
use super::reassembly::Reassembly;

const COMMAND: u8 = 8;

/// The gateway's only message: it names a notification, then the connection closes (*Binary Provider API*,
/// "error-response packet").
///
/// What it means for the notifications around the one it names is the business of the resend plan.
///
/// ```
/// use apns_proto::binary::{ErrorResponse, Status};
///
/// let response = ErrorResponse::parse(&[8, 8, 0, 0, 0, 7])?;
/// assert_eq!(response, ErrorResponse { status: Status::INVALID_TOKEN, identifier: 7 });
/// # Ok::<(), apns_proto::binary::ErrorResponseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorResponse {
    /// Why the connection closes.
    pub status: Status,
    /// The notification it is about; 0 when the gateway does not know.
    pub identifier: u32,
}

impl ErrorResponse {
    /// Bytes on the wire, always.
    pub const LEN: usize = 6;

    /// Reads exactly one response.
    ///
    /// # Errors
    ///
    /// [`ErrorResponseError`] when the bytes are not one response and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, ErrorResponseError> {
        match parse_front(bytes, 0) {
            Ok(Parsed { message, length }) if length == bytes.len() => Ok(message),
            Ok(Parsed { length, .. }) => {
                Err(ErrorResponseError { kind: ErrorResponseErrorKind::TrailingBytes, offset: length as u64 })
            }
            // A command byte that is not there yet is no shorter a response: it has six bytes in any case.
            Err(Stop::NeedMore(_)) => Err(truncated(bytes.len() as u64)),
            Err(Stop::Malformed(error)) => Err(error),
        }
    }

    /// Appends the six bytes of this response.
    pub fn emit(&self, out: &mut BytesMut) {
        let [a, b, c, d] = self.identifier.to_be_bytes();
        out.put_slice(&[COMMAND, self.status.raw(), a, b, c, d]);
    }
}

/// Reads the one response of a connection out of a stream that may be split anywhere.
///
/// Nothing follows the response, so what does is thrown away.
///
/// ```
/// use apns_proto::binary::{ErrorResponse, ErrorResponseDecoder, Status};
///
/// let mut decoder = ErrorResponseDecoder::new();
/// assert_eq!(decoder.decode(&mut &[8, 10, 0][..])?, None);
/// let response = decoder.decode(&mut &[0, 0, 3][..])?;
/// assert_eq!(response, Some(ErrorResponse { status: Status::SHUTDOWN, identifier: 3 }));
/// # Ok::<(), apns_proto::binary::ErrorResponseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ErrorResponseDecoder {
    stream: Reassembly<ErrorResponseError>,
}

impl ErrorResponseDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { stream: Reassembly::new() }
    }

    /// Takes all of `input`. Gives the response once, when its last byte is there; `None` means "not yet" before that
    /// and "nothing more" after.
    ///
    /// # Errors
    ///
    /// [`ErrorResponseErrorKind::UnknownCommand`] when the first byte is not 8. The decoder stays in error.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<ErrorResponse>, ErrorResponseError> {
        if self.is_complete() {
            *input = &[];
            return Ok(None);
        }
        let response = self.stream.next(input, parse_front)?;
        *input = &[];
        Ok(response)
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorResponseErrorKind::Truncated`] when no complete response came: at offset 0 the gateway closed without a
    /// word, behind that it was cut off. An earlier error is repeated.
    pub fn finish(&self) -> Result<(), ErrorResponseError> {
        self.stream.finish(|present, _| truncated(present))?;
        if self.is_complete() { Ok(()) } else { Err(truncated(0)) }
    }

    /// Whether the response was there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stream.position() > 0
    }
}

impl Default for ErrorResponseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that are not an error response, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error response, at byte {offset}: {kind}")]
#[non_exhaustive]
pub struct ErrorResponseError {
    /// What is wrong.
    pub kind: ErrorResponseErrorKind,
    /// Place of the byte in question; for a truncated response the number of bytes present.
    pub offset: u64,
}

/// What is wrong with an error response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorResponseErrorKind {
    /// The bytes end inside the response, or before it.
    #[error("the input ends, and a response has {needed_total} bytes")]
    Truncated {
        /// Bytes in a response.
        needed_total: u64,
    },
    /// The first byte is not 8. Nothing behind it can be understood.
    #[error("command {command}, and a gateway sends only 8")]
    UnknownCommand {
        /// The first byte.
        command: u8,
    },
    /// Bytes behind a complete response.
    #[error("bytes behind the response")]
    TrailingBytes,
}

fn parse_front(bytes: &[u8], start: u64) -> Result<Parsed<ErrorResponse>, Stop<ErrorResponseError>> {
    let mut fields = Cursor::new(bytes);
    let command = fields.take_u8()?;
    if command != COMMAND {
        let kind = ErrorResponseErrorKind::UnknownCommand { command };
        return Err(Stop::Malformed(ErrorResponseError { kind, offset: start }));
    }
    let mut rest = Cursor::new(fields.take(ErrorResponse::LEN - 1)?);
    let message = ErrorResponse { status: Status::from_raw(rest.take_u8()?), identifier: rest.take_u32()? };
    Ok(Parsed { message, length: fields.at() })
}

fn truncated(present: u64) -> ErrorResponseError {
    let kind = ErrorResponseErrorKind::Truncated { needed_total: ErrorResponse::LEN as u64 };
    ErrorResponseError { kind, offset: present }
}
