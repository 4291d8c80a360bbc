//! Text in the encodings in which editors and shells save it.
//!
//! Keys, passwords, payloads, configuration: whatever people write as a text file is read through here, in this crate and
//! in those that stand on it. UTF-8 is what everything expects. The byte order mark that some editors put before it is
//! skipped. UTF-16, which is what the `>` of Windows PowerShell 5 writes, is named, because every other message about it
//! misleads: to a reader of JSON or PEM it is noise.

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Text is in an encoding that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// UTF-16, in either byte order, with or without a byte order mark.
    #[error("it is UTF-16, as PowerShell and some editors write it: save it as UTF-8")]
    Utf16,
    /// UTF-32, in either byte order.
    #[error("it is UTF-32: save it as UTF-8")]
    Utf32,
    /// Some other encoding, or no text.
    #[error("it is not UTF-8 from byte {position} on")]
    NotUtf8 {
        /// How many bytes before it are good, a byte order mark included.
        position: usize,
    },
}

/// Base64 in the standard alphabet, with or without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The byte order mark, U+FEFF, in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What follows the byte order mark, or all of it where there is none.
///
/// Nothing else is looked at, so `bytes` may be binary data: no encoding in DER begins like UTF-16 or UTF-32.
///
/// # Errors
///
/// [`Utf16`](EncodingError::Utf16) and [`Utf32`](EncodingError::Utf32).
///
/// ```
/// use apns_proto::encoding::{EncodingError, skip_mark};
///
/// assert_eq!(skip_mark(b"\xef\xbb\xbf{}"), Ok(&b"{}"[..]));
/// assert_eq!(skip_mark(b"{}"), Ok(&b"{}"[..]));
/// assert_eq!(skip_mark(b"\xff\xfe{\0}\0"), Err(EncodingError::Utf16));
/// ```
pub fn skip_mark(bytes: &[u8]) -> Result<&[u8], EncodingError> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(EncodingError::Utf32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(EncodingError::Utf16),
        // Without a mark: two ASCII characters, as every format that is read here begins.
        [1..=0x7f, 0, 1..=0x7f, 0, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..] => Err(EncodingError::Utf16),
        _ => Ok(bytes.strip_prefix(MARK).unwrap_or(bytes)),
    }
}

/// The bytes as text, without a byte order mark.
///
/// # Errors
///
/// [`EncodingError`] names the encoding, or the first byte that is wrong.
pub fn text(bytes: &[u8]) -> Result<&str, EncodingError> {
    let without = skip_mark(bytes)?;
    let mark = bytes.len() - without.len();
    str::from_utf8(without).map_err(|error| EncodingError::NotUtf8 { position: mark + error.valid_up_to() })
}

/// The first line of a text, without its end: a password or a token in a file of its own. What follows may be anything.
///
/// # Errors
///
/// As those of [`text`], about the first line.
pub fn first_line(bytes: &[u8]) -> Result<&str, EncodingError> {
    skip_mark(bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    text(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_mark_is_skipped_once_and_positions_count_it() {
        assert_eq!(text("\u{feff}é".as_bytes()), Ok("é"));
        assert_eq!(text("\u{feff}\u{feff}x".as_bytes()), Ok("\u{feff}x"));
        assert_eq!(text(b""), Ok(""));
        assert_eq!(text(b"ab\xff"), Err(EncodingError::NotUtf8 { position: 2 }));
        assert_eq!(text(b"\xef\xbb\xbfab\xff"), Err(EncodingError::NotUtf8 { position: 5 }));
        assert_eq!(text(b"\xef\xbb"), Err(EncodingError::NotUtf8 { position: 0 }));
    }

    #[test]
    fn utf16_and_utf32_are_named_with_a_mark_and_without() {
        for written in ["{}", "-----BEGIN", "\u{feff}é", "\u{feff}{", "\u{feff}"] {
            assert_eq!(text(&utf16(written, u16::to_le_bytes)), Err(EncodingError::Utf16), "{written}");
            assert_eq!(text(&utf16(written, u16::to_be_bytes)), Err(EncodingError::Utf16), "{written}");
        }
        for bytes in [b"\xff\xfe\0\0{\0\0\0", b"\0\0\xfe\xff\0\0\0{"] {
            assert_eq!(text(bytes), Err(EncodingError::Utf32));
        }
        assert_eq!(skip_mark(&[0x30, 0x82, 0x04, 0x00]), Ok(&[0x30, 0x82, 0x04, 0x00][..]), "DER");
    }

    #[test]
    fn a_first_line_needs_no_text_behind_it() {
        assert_eq!(first_line(b"\xef\xbb\xbfpassword\r\n\xff"), Ok("password"));
        assert_eq!(first_line(b"pass\rword"), Ok("pass\rword"));
        assert_eq!(first_line(b""), Ok(""));
        assert_eq!(first_line(b"a\xff\n"), Err(EncodingError::NotUtf8 { position: 1 }));
        assert_eq!(first_line(&utf16("a\n", u16::to_le_bytes)), Err(EncodingError::Utf16));
    }
}
