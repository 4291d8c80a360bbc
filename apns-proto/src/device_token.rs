//! The device token: where a push goes.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use base64::Engine as _;

use crate::encoding::BASE64;
use crate::hex::{self, HexError, read_digits};

/// Up to here a token lies inside the value itself. Every token seen so far has 32 bytes.
const INLINE: usize = 32;

/// The digits of a usual token, of 32 bytes.
const HEX_OF_A_TOKEN: usize = 64;

/// The longest base64 text of [`DeviceToken::MAX_LEN`] bytes, padding included.
const BASE64_MAX_LEN: usize = DeviceToken::MAX_LEN.div_ceil(3) * 4;

/// The address of one app on one device, as the app got it from the system.
///
/// Apple calls tokens opaque and of variable length ("Registering your app with APNs"), so any length from 1 to
/// [`MAX_LEN`](Self::MAX_LEN) bytes is kept as it is: never padded, never cut. Tokens of up to 32 bytes need no
/// allocation.
///
/// A token is personal data. [`Debug`](fmt::Debug) shows its length only, and there is no `Display`: ask for
/// [`hex`](Self::hex) where the digits are really wanted.
///
/// ```
/// use apns_proto::DeviceToken;
///
/// // The classic printed form, as many databases still hold it.
/// let token: DeviceToken = "<01A066CD 9a8b7c6d>".parse()?;
/// assert_eq!(token.to_hex(), "01a066cd9a8b7c6d");
/// assert_eq!(format!("{token:?}"), "DeviceToken(8 bytes)");
/// # Ok::<(), apns_proto::DeviceTokenError>(())
/// ```
#[derive(Clone)]
pub struct DeviceToken(Repr);

#[derive(Clone)]
enum Repr {
    /// What lies behind `len` is zero and not part of the token.
    Short {
        len: u8,
        bytes: [u8; INLINE],
    },
    Long(Box<[u8]>),
}

impl DeviceToken {
    /// The most bytes that a token may have: 100, three times what devices are known to use today.
    pub const MAX_LEN: usize = 100;

    /// Takes the token's bytes as they are.
    ///
    /// # Errors
    ///
    /// [`Empty`](DeviceTokenError::Empty) and [`TooLong`](DeviceTokenError::TooLong).
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, DeviceTokenError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Err(DeviceTokenError::Empty);
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(DeviceTokenError::TooLong { bytes: bytes.len() });
        }
        let mut inline = [0; INLINE];
        Ok(Self(match (inline.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(start), Ok(len)) => {
                start.copy_from_slice(bytes);
                Repr::Short { len, bytes: inline }
            }
            _ => Repr::Long(bytes.into()),
        }))
    }

    /// Reads hexadecimal digits of either case.
    ///
    /// Spaces are skipped and one pair of angle brackets around the digits is taken off, because that is how older
    /// systems printed a token. Anything else is refused; in particular nothing that has a meaning in a path gets through.
    ///
    /// # Errors
    ///
    /// Every [`DeviceTokenError`] but [`Base64`](DeviceTokenError::Base64).
    pub fn from_hex(text: &str) -> Result<Self, DeviceTokenError> {
        let trimmed = text.trim_matches(' ');
        if ["(null)", "<null>", "null", "nil", "undefined", "None"].contains(&trimmed) {
            return Err(DeviceTokenError::Null);
        }
        if is_description(trimmed) {
            return Err(DeviceTokenError::Description);
        }
        let mut position = text.len() - text.trim_start_matches(' ').len();
        let digits = match trimmed.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            Some(inside) => {
                position += 1;
                inside
            }
            None => trimmed,
        };

        let mut bytes = [0_u8; Self::MAX_LEN];
        let count = match read_digits(digits, |found| found == ' ', &mut bytes) {
            Ok(count) => count,
            Err(HexError::NotADigit { found, position: index }) => {
                return Err(DeviceTokenError::UnexpectedCharacter { found, position: position + index });
            }
            Err(HexError::Odd { digits }) => return Err(DeviceTokenError::OddLength { digits }),
        };
        if !count.is_multiple_of(2) {
            return Err(DeviceTokenError::OddLength { digits: count });
        }
        match bytes.get(..count / 2) {
            Some(bytes) => Self::from_bytes(bytes),
            None => Err(DeviceTokenError::TooLong { bytes: count / 2 }),
        }
    }

    /// Reads base64 in the standard or the URL alphabet, with or without padding.
    ///
    /// Use it only where base64 is what was stored: the hexadecimal form of a token is valid base64 too, of other bytes. Of
    /// a usual token, 64 digits, it is refused.
    ///
    /// # Errors
    ///
    /// [`Empty`](DeviceTokenError::Empty), [`TooLong`](DeviceTokenError::TooLong),
    /// [`UnexpectedCharacter`](DeviceTokenError::UnexpectedCharacter), [`Base64`](DeviceTokenError::Base64), and
    /// [`Hexadecimal`](DeviceTokenError::Hexadecimal) for 64 hexadecimal digits.
    pub fn from_base64(text: &str) -> Result<Self, DeviceTokenError> {
        if text.is_empty() {
            return Err(DeviceTokenError::Empty);
        }
        let unexpected = |found: &char| !found.is_ascii_alphanumeric() && !"+/-_=".contains(*found);
        if let Some((position, found)) = text.chars().enumerate().find(|(_, found)| unexpected(found)) {
            return Err(DeviceTokenError::UnexpectedCharacter { found, position });
        }
        // All digits are base64 characters, too. Read so, they are another token, of 48 bytes, that no device has.
        if text.len() == HEX_OF_A_TOKEN && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(DeviceTokenError::Hexadecimal);
        }
        let mut folded = [0_u8; BASE64_MAX_LEN];
        let Some(folded) = folded.get_mut(..text.len()) else {
            return Err(DeviceTokenError::TooLong { bytes: text.trim_end_matches('=').len() * 3 / 4 });
        };
        // Both alphabets become the standard one.
        for (to, from) in folded.iter_mut().zip(text.bytes()) {
            *to = match from {
                b'-' => b'+',
                b'_' => b'/',
                other => other,
            };
        }
        Self::from_bytes(BASE64.decode(folded).map_err(|_| DeviceTokenError::Base64)?)
    }

    /// The token's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { len, bytes } => {
                bytes.get(..usize::from(*len)).expect("`from_bytes` stores no length above INLINE here")
            }
            Repr::Long(bytes) => bytes,
        }
    }

    /// Shows the token as lower case hexadecimal digits, without allocating.
    ///
    /// ```
    /// # let token = apns_proto::DeviceToken::from_bytes([0xab, 0x01])?;
    /// assert_eq!(format!("/3/device/{}", token.hex()), "/3/device/ab01");
    /// # Ok::<(), apns_proto::DeviceTokenError>(())
    /// ```
    pub fn hex(&self) -> impl fmt::Display + '_ {
        Hex(self.as_bytes())
    }

    /// Appends the token as lower case hexadecimal digits.
    #[cfg(feature = "http2")]
    pub(crate) fn push_hex(&self, out: &mut String) {
        Hex(self.as_bytes()).write(|digits| out.push_str(digits));
    }

    /// The token as lower case hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.hex().to_string()
    }
}

/// Whether this is what `description` or string interpolation makes of a `Data` value since iOS 13.
fn is_description(text: &str) -> bool {
    let count_of_bytes =
        text.strip_suffix(" bytes").is_some_and(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
    text.starts_with('{') || text.contains("length") || count_of_bytes
}

struct Hex<'a>(&'a [u8]);

impl Hex<'_> {
    /// Gives the digits to something that takes text.
    fn write<R>(&self, take: impl FnOnce(&str) -> R) -> R {
        let mut text = [0_u8; DeviceToken::MAX_LEN * 2];
        let (pairs, _) = text.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = hex::digits(*byte);
        }
        let text = text.get(..self.0.len() * 2).expect("a token has at most MAX_LEN bytes");
        take(str::from_utf8(text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(|digits| f.write_str(digits))
    }
}

impl FromStr for DeviceToken {
    type Err = DeviceTokenError;

    /// The same as [`DeviceToken::from_hex`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text)
    }
}

impl AsRef<[u8]> for DeviceToken {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for DeviceToken {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for DeviceToken {}

impl Hash for DeviceToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for DeviceToken {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for DeviceToken {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceToken({} bytes)", self.as_bytes().len())
    }
}

/// Why a text or a run of bytes is not a device token. Never holds the token itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceTokenError {
    /// There is nothing in it.
    #[error("the device token is empty")]
    Empty,
    /// Hexadecimal digits where base64 was expected.
    #[error("the device token is in hexadecimal and not in base64")]
    Hexadecimal,
    /// More than [`DeviceToken::MAX_LEN`] bytes.
    #[error("the device token has {bytes} bytes, at most {} are possible", DeviceToken::MAX_LEN)]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A character that has no place in a token.
    #[error("unexpected character {found:?} at position {position} of the device token")]
    UnexpectedCharacter {
        /// The character.
        found: char,
        /// Where it is: how many characters stand before it.
        position: usize,
    },
    /// Two digits make a byte, so an odd number of them cannot be right.
    #[error("the device token has {digits} hexadecimal digits, an odd number: it was probably cut")]
    OddLength {
        /// How many there are.
        digits: usize,
    },
    /// A printed null value: the app asked for its token before it had one.
    #[error("this is a printed null value, not a device token: the app has not got its token yet")]
    Null,
    /// The text `{length=32,bytes=0x…}` or `32 bytes`: what iOS 13 and later make of `description`. Most digits are
    /// missing from it, so the token cannot be recovered.
    #[error(
        "this is the description of a `Data` value (as iOS 13 and later print it) and lacks most of the token: \
         let the app send the bytes themselves, for example `token.map {{ String(format: \"%02x\", $0) }}.joined()`"
    )]
    Description,
    /// Base64 of an impossible length, with padding in the wrong place or with bits left over.
    #[error("the device token is not proper base64: wrong length, padding or last character")]
    Base64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex_error(text: &str) -> DeviceTokenError {
        DeviceToken::from_hex(text).unwrap_err()
    }

    #[test]
    fn b88_the_description_of_ios_13_is_recognised() {
        let texts = [
            "{length=32,bytes=0x01a066cd...c96abee0}",
            "{length = 32, bytes = 0x01a066cd 9f1e2d3c ... 5b6a7988 c96abee0 }",
            "length=32,bytes=0x01a066cd",
            "32 bytes",
        ];
        for text in texts {
            let error = hex_error(text);
            assert_eq!(error, DeviceTokenError::Description, "{text}");
            assert!(error.to_string().contains("%02x"), "says what to do");
            assert!(!error.to_string().contains("01a066cd"), "keeps the token to itself");
        }
    }

    #[test]
    fn b89_any_even_length_up_to_the_cap_is_good() {
        for digits in [2, 64, 108, 160, 200] {
            let token = DeviceToken::from_hex(&"7".repeat(digits)).unwrap();
            assert_eq!(token.as_bytes(), vec![0x77; digits / 2]);
            assert_eq!(token.to_hex(), "7".repeat(digits));
        }
        assert_eq!(hex_error(&"7".repeat(63)), DeviceTokenError::OddLength { digits: 63 });
        assert_eq!(hex_error(&"7".repeat(202)), DeviceTokenError::TooLong { bytes: 101 });
        assert_eq!(DeviceToken::from_bytes([1; 101]), Err(DeviceTokenError::TooLong { bytes: 101 }));
    }

    #[test]
    fn b92_nothing_that_could_steer_a_path_gets_through() {
        let unexpected = |found, position| DeviceTokenError::UnexpectedCharacter { found, position };
        assert_eq!(hex_error("../x"), unexpected('.', 0));
        assert_eq!(hex_error("//host/x"), unexpected('/', 0));
        assert_eq!(hex_error("a?b"), unexpected('?', 1));
        assert_eq!(hex_error("a%2fb"), unexpected('%', 1));
        assert_eq!(hex_error("ab\r\ncd"), unexpected('\r', 2));
        assert_eq!(hex_error("abcd\n"), unexpected('\n', 4));
        assert_eq!(hex_error("  <ab \u{ad}cd>"), unexpected('\u{ad}', 6));
        assert_eq!(hex_error("<abcd"), unexpected('<', 0));
        assert_eq!(hex_error("abcd>"), unexpected('>', 4));
        assert_eq!(hex_error("a１"), unexpected('１', 1), "a digit, but not an ASCII one");
    }

    #[test]
    fn b19_p14_tokens_of_unusual_length_are_never_padded() {
        for len in [1, 28, 31, 32, 33, 100] {
            let token = DeviceToken::from_bytes(vec![9; len]).unwrap();
            assert_eq!(token.as_bytes().len(), len);
            assert_eq!(token.to_hex().len(), 2 * len);
            assert_eq!(DeviceToken::from_hex(&token.to_hex()).unwrap(), token);
        }
    }

    #[test]
    fn the_printed_form_is_normalised() {
        let token = DeviceToken::from_hex(" <01A066CD 9a8b7c6d> ").unwrap();
        assert_eq!(token.as_bytes(), [0x01, 0xa0, 0x66, 0xcd, 0x9a, 0x8b, 0x7c, 0x6d]);
        assert_eq!(token.to_hex(), "01a066cd9a8b7c6d");
    }

    #[test]
    fn nothing_and_null_are_named() {
        for text in ["", "   ", "<>", "< >"] {
            assert_eq!(hex_error(text), DeviceTokenError::Empty, "{text:?}");
        }
        assert_eq!(DeviceToken::from_base64(""), Err(DeviceTokenError::Empty));
        assert_eq!(DeviceToken::from_bytes([]), Err(DeviceTokenError::Empty));
        for text in ["(null)", " (null)", "null", "nil", "undefined", "<null>"] {
            assert_eq!(hex_error(text), DeviceTokenError::Null, "{text:?}");
        }
    }

    #[test]
    fn base64_in_every_usual_dress() {
        let bytes = [0xfb, 0xff, 0xbf, 0x01];
        for text in ["+/+/AQ==", "-_-_AQ==", "-_-_AQ", "+/+/AQ"] {
            assert_eq!(DeviceToken::from_base64(text).unwrap().as_bytes(), bytes, "{text}");
        }
        for text in ["+/+/A", "+/+/AR==", "===="] {
            assert!(DeviceToken::from_base64(text).is_err(), "{text}");
        }
        let unexpected = |found, position| Err(DeviceTokenError::UnexpectedCharacter { found, position });
        assert_eq!(DeviceToken::from_base64("AA A"), unexpected(' ', 2));
        assert_eq!(DeviceToken::from_base64("AAAé"), unexpected('é', 3));
        assert_eq!(DeviceToken::from_base64(&"A".repeat(136)), Err(DeviceTokenError::TooLong { bytes: 102 }));
        assert_eq!(DeviceToken::from_base64(&"A".repeat(200)), Err(DeviceTokenError::TooLong { bytes: 150 }));
    }

    #[test]
    fn hexadecimal_digits_are_not_taken_for_base64() {
        for hex in ["00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".to_owned(), "ABCDEF01".repeat(8)]
        {
            assert_eq!(DeviceToken::from_base64(&hex), Err(DeviceTokenError::Hexadecimal));
            assert!(DeviceToken::from_hex(&hex).is_ok());
        }
        // Another number of digits, and letters that are no digits.
        assert_eq!(DeviceToken::from_base64(&"A".repeat(68)).unwrap().as_bytes().len(), 51);
        assert_eq!(DeviceToken::from_base64(&"z".repeat(64)).unwrap().as_bytes().len(), 48);
    }

    #[test]
    fn a_token_is_small() {
        assert!(size_of::<DeviceToken>() <= 40);
        assert!(size_of::<Option<DeviceToken>>() <= 40);
    }

    proptest! {
        #[test]
        fn bytes_survive_hex_and_base64(bytes in proptest::collection::vec(any::<u8>(), 1..=100)) {
            let token = DeviceToken::from_bytes(&bytes).unwrap();
            prop_assert_eq!(token.as_bytes(), &bytes[..]);
            prop_assert_eq!(&DeviceToken::from_hex(&token.to_hex()).unwrap(), &token);
            prop_assert_eq!(&DeviceToken::from_hex(&token.to_hex().to_uppercase()).unwrap(), &token);
            prop_assert_eq!(&DeviceToken::from_base64(&BASE64.encode(&bytes)).unwrap(), &token);
        }

        #[test]
        fn order_is_the_order_of_the_bytes(
            a in proptest::collection::vec(0_u8..3, 1..=40),
            b in proptest::collection::vec(0_u8..3, 1..=40),
        ) {
            let (left, right) = (DeviceToken::from_bytes(&a).unwrap(), DeviceToken::from_bytes(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left == right, a == b);
        }

        #[test]
        fn no_text_panics_and_what_passes_is_hex(text in any::<String>()) {
            if let Ok(token) = DeviceToken::from_hex(&text) {
                prop_assert!(token.to_hex().bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            let _ = DeviceToken::from_base64(&text);
        }

        #[test]
        fn neither_debug_nor_an_error_shows_the_token(digits in "[0-9a-f]{16}", tail in "[^0-9a-f <>]") {
            let token = DeviceToken::from_hex(&digits).unwrap();
            let shown = format!("{token:?}");
            prop_assert!(!shown.contains(&digits[..8]));
            let error = DeviceToken::from_hex(&format!("{digits}{tail}")).unwrap_err();
            let shown = format!("{error:?} {error}");
            prop_assert!(!shown.contains(&digits[..8]));
        }
    }
}
