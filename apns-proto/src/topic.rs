//! Text that travels in a request header: topic and collapse id.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text cannot be a topic or a collapse id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderTextError {
    /// There is nothing in it.
    #[error("{what} must not be empty")]
    Empty {
        /// Which field.
        what: &'static str,
    },
    /// It has more bytes than the service takes.
    #[error("{what} has {found} bytes, more than the {limit} that are allowed (bytes count, not characters)")]
    TooLong {
        /// Which field.
        what: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A byte that may not stand in a header.
    #[error("{what} holds the byte {byte:#04x} at offset {offset}, which may not stand in a header")]
    Byte {
        /// Which field.
        what: &'static str,
        /// The byte.
        byte: u8,
        /// Its offset.
        offset: usize,
    },
}

fn check(what: &'static str, text: &str, limit: usize, allowed: fn(u8) -> bool) -> Result<(), HeaderTextError> {
    if text.is_empty() {
        return Err(HeaderTextError::Empty { what });
    }
    if text.len() > limit {
        return Err(HeaderTextError::TooLong { what, found: text.len(), limit });
    }
    match text.bytes().enumerate().find(|&(_, byte)| !allowed(byte)) {
        Some((offset, byte)) => Err(HeaderTextError::Byte { what, byte, offset }),
        None => Ok(()),
    }
}

/// The topic of a notification: the bundle id of the app, with a suffix for some push types.
///
/// Visible ASCII, 1 to 255 bytes. Cheap to clone. The binary protocol does not send it: there the certificate decides.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The longest text taken as a topic, in bytes.
    pub const MAX: usize = 255;

    /// Checks the text.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or holds anything but visible ASCII.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, HeaderTextError> {
        let text = text.into();
        check("a topic", &text, Self::MAX, |byte| byte.is_ascii_graphic())?;
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Replaces an earlier notification with the same value on the device.
///
/// 1 to 64 **bytes** (*Sending notification requests to APNs*), without control characters. The binary protocol does
/// not send it. No space at either end, which HTTP/2 forbids in a header field (RFC 9113 section 8.2.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollapseId(Arc<str>);

impl CollapseId {
    /// The longest collapse id, in bytes.
    pub const MAX: usize = 64;

    /// Checks the text.
    ///
    /// # Errors
    ///
    /// When it is empty, has more than 64 bytes, holds a control character, or begins or ends with a space.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, HeaderTextError> {
        let what = "a collapse id";
        let text = text.into();
        check(what, &text, Self::MAX, |byte| byte >= b' ' && byte != 0x7f)?;
        for (offset, byte) in [(0, text.as_bytes().first()), (text.len() - 1, text.as_bytes().last())] {
            if byte == Some(&b' ') {
                return Err(HeaderTextError::Byte { what, byte: b' ', offset });
            }
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = HeaderTextError;

    fn from_str(text: &str) -> Result<Self, HeaderTextError> {
        Self::new(text)
    }
}

impl FromStr for CollapseId {
    type Err = HeaderTextError;

    fn from_str(text: &str) -> Result<Self, HeaderTextError> {
        Self::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

impl fmt::Display for CollapseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CollapseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollapseId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b107_a_collapse_id_is_measured_in_bytes() {
        assert!(CollapseId::new("a".repeat(64)).is_ok());
        assert_eq!(
            CollapseId::new("é".repeat(64)),
            Err(HeaderTextError::TooLong { what: "a collapse id", found: 128, limit: 64 })
        );
    }

    #[test]
    fn nothing_that_could_end_a_header_gets_through() {
        assert_eq!(
            Topic::new("com.example\r\nx: y"),
            Err(HeaderTextError::Byte { what: "a topic", byte: b'\r', offset: 11 })
        );
        assert_eq!(CollapseId::new("a\0"), Err(HeaderTextError::Byte { what: "a collapse id", byte: 0, offset: 1 }));
        assert_eq!(CollapseId::new(" a"), Err(HeaderTextError::Byte { what: "a collapse id", byte: b' ', offset: 0 }));
        assert_eq!(
            CollapseId::new("a b "),
            Err(HeaderTextError::Byte { what: "a collapse id", byte: b' ', offset: 3 })
        );
        assert!(CollapseId::new("a b").is_ok());
        assert_eq!(Topic::new(""), Err(HeaderTextError::Empty { what: "a topic" }));
    }
}
