//! Bytes and device tokens as hexadecimal text.

use std::fmt;
use std::str::FromStr;

use apns_proto::DeviceToken;
use apns_proto::internal::{HexError, from_hex, read_digits, to_hex};
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that a script writes as hexadecimal text.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct HexBytes(pub(crate) Bytes);

impl From<Vec<u8>> for HexBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl FromStr for HexBytes {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text, |_| false).map(Self::from)
    }
}

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Device tokens by their hexadecimal digits: one token (`"00aa11bb"`), all that start alike (`"00aa*"`), or all (`"*"`).
///
/// ```
/// use apns_sim::TokenPattern;
///
/// let bad: TokenPattern = "bad*".parse()?;
/// assert!(bad.matches(&[0xba, 0xd0]) && !bad.matches(&[0xba, 0xe0]));
/// # Ok::<(), apns_sim::HexError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenPattern {
    start: Vec<u8>,
    /// The high half of the byte behind `start`.
    half: Option<u8>,
    open: bool,
}

impl TokenPattern {
    /// Every token.
    #[must_use]
    pub const fn any() -> Self {
        Self { start: Vec::new(), half: None, open: true }
    }

    /// One token.
    #[must_use]
    pub fn exact(token: impl Into<Vec<u8>>) -> Self {
        Self { start: token.into(), half: None, open: false }
    }

    /// All tokens that start with these bytes.
    #[must_use]
    pub fn starting_with(bytes: impl Into<Vec<u8>>) -> Self {
        Self { start: bytes.into(), half: None, open: true }
    }

    /// Whether this token is among them.
    #[must_use]
    pub fn matches(&self, token: &[u8]) -> bool {
        let Some(rest) = token.strip_prefix(self.start.as_slice()) else { return false };
        match self.half {
            Some(half) => rest.first().is_some_and(|byte| byte >> 4 == half),
            None => self.open || rest.is_empty(),
        }
    }

    /// The one token it stands for, if it is one.
    pub(crate) fn as_exact(&self) -> Option<&[u8]> {
        (!self.open).then_some(&self.start)
    }
}

impl From<&DeviceToken> for TokenPattern {
    fn from(token: &DeviceToken) -> Self {
        Self::exact(token.as_bytes())
    }
}

impl FromStr for TokenPattern {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let (text, open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        let mut start = vec![0; text.len().div_ceil(2)];
        let digits = read_digits(text, |_| false, &mut start)?;
        let half = if digits % 2 == 0 { None } else { start.pop() };
        if half.is_some() && !open {
            return Err(HexError::Odd { digits });
        }
        Ok(Self { start, half, open })
    }
}

impl fmt::Debug for TokenPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenPattern({} bytes{})", self.start.len(), if self.open { " or more" } else { "" })
    }
}

impl Serialize for TokenPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = to_hex(&self.start);
        if let Some(half) = self.half.and_then(|half| char::from_digit(u32::from(half), 16)) {
            text.push(half);
        }
        if self.open {
            text.push('*');
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for TokenPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_digit() {
        let pattern = |text: &str| text.parse::<TokenPattern>().unwrap();
        assert!(pattern("*").matches(&[1, 2, 3]) && pattern("*") == TokenPattern::any());
        assert!(pattern("0A0b").matches(&[10, 11]));
        assert!(!pattern("0a0b").matches(&[10, 11, 12]));
        assert!(pattern("0a0b*").matches(&[10, 11, 12]) && pattern("0a0b*").matches(&[10, 11]));
        assert!(pattern("0a1*").matches(&[10, 0x1f]) && !pattern("0a1*").matches(&[10, 0x2f]));
        assert!(!pattern("0a1*").matches(&[10]));
        assert_eq!(pattern("0a0b").as_exact(), Some(&[10, 11][..]));
        assert_eq!(pattern("0a0b*").as_exact(), None);
    }

    #[test]
    fn what_is_not_hexadecimal_is_named_by_place() {
        assert_eq!("0ax".parse::<TokenPattern>(), Err(HexError::NotADigit { found: 'x', position: 2 }));
        assert_eq!("0a1".parse::<TokenPattern>(), Err(HexError::Odd { digits: 3 }));
        assert_eq!("0a1".parse::<HexBytes>(), Err(HexError::Odd { digits: 3 }));
        assert_eq!("**".parse::<TokenPattern>(), Err(HexError::NotADigit { found: '*', position: 0 }));
    }

    #[test]
    fn debug_shows_no_digit() {
        let shown = format!("{:?} {:?}", "0bad*".parse::<TokenPattern>().unwrap(), "0bad".parse::<HexBytes>().unwrap());
        assert!(!shown.to_lowercase().contains("bad"), "{shown}");
    }
}
