//! Bytes as hexadecimal digits, in and out.

/// Why a text is not bytes in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// A character that is no hexadecimal digit.
    #[error("{found:?} at position {position} is no hexadecimal digit")]
    NotADigit {
        /// The character.
        found: char,
        /// How many characters stand before it.
        position: usize,
    },
    /// Two digits make a byte.
    #[error("{digits} hexadecimal digits, an odd number, make no bytes")]
    Odd {
        /// How many there are.
        digits: usize,
    },
}

/// Reads digits of either case into `out`, and says how many there are. Characters that `skip` takes may stand anywhere. Of
/// more digits than there is room for the rest is counted; half a byte stands in the lower half of its byte.
///
/// # Errors
///
/// [`HexError::NotADigit`].
pub fn read_digits(text: &str, skip: impl Fn(char) -> bool, out: &mut [u8]) -> Result<usize, HexError> {
    let mut digits = 0;
    for (position, found) in text.chars().enumerate().filter(|(_, found)| !skip(*found)) {
        let digit = found.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.ok_or(HexError::NotADigit { found, position })?;
        if let Some(byte) = out.get_mut(digits / 2) {
            *byte = *byte << 4 | digit;
        }
        digits += 1;
    }
    Ok(digits)
}

/// The bytes whose digits these are; see [`read_digits`].
///
/// # Errors
///
/// [`HexError`].
pub fn from_hex(text: &str, skip: impl Fn(char) -> bool) -> Result<Vec<u8>, HexError> {
    let mut bytes = vec![0; text.len().div_ceil(2)];
    let digits = read_digits(text, skip, &mut bytes)?;
    if !digits.is_multiple_of(2) {
        return Err(HexError::Odd { digits });
    }
    bytes.truncate(digits / 2);
    Ok(bytes)
}

/// The two lower case digits of a byte.
#[must_use]
pub(crate) const fn digits(byte: u8) -> [u8; 2] {
    // Reckoned and not looked up, which the compiler does for many bytes at once.
    const fn digit(nibble: u8) -> u8 {
        nibble + if nibble > 9 { b'a' - 10 } else { b'0' }
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// Bytes as lower case digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| digits(*byte)).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_be_set_apart() {
        let parse = |text| from_hex(text, |found| found.is_whitespace() || "|:".contains(found));
        assert_eq!(parse("DE ad\n|be:EF"), Ok(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(parse(" \n"), Ok(vec![]));
        assert_eq!(to_hex(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(parse("00 0x"), Err(HexError::NotADigit { found: 'x', position: 4 }));
        assert_eq!(parse("é0"), Err(HexError::NotADigit { found: 'é', position: 0 }));
        assert_eq!(parse("00 0"), Err(HexError::Odd { digits: 3 }));
    }

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes), |_| false), Ok(bytes));
    }
}
