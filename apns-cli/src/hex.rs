//! Bytes as hexadecimal text, in and out.

use std::fmt::Write as _;

/// Why a text is not bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexError {
    /// Something that is neither a digit nor a separator.
    #[error(
        "character {position} is {found:?}, and only hexadecimal digits are expected, with white space, | or : between"
    )]
    UnexpectedCharacter {
        /// What it is.
        found: char,
        /// Which, counted from 1.
        position: usize,
    },
    /// Half a byte is left over.
    #[error("{digits} hexadecimal digits are no whole number of bytes")]
    OddLength {
        /// How many there are.
        digits: usize,
    },
}

/// Reads hexadecimal digits of either case. White space, `|` and `:` may stand anywhere.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let (mut digits, mut high) = (0, 0);
    for (index, found) in text.chars().enumerate() {
        if found.is_whitespace() || found == '|' || found == ':' {
            continue;
        }
        let Some(digit) = found.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) else {
            return Err(HexError::UnexpectedCharacter { found, position: index + 1 });
        };
        if digits % 2 == 0 {
            high = digit << 4;
        } else {
            bytes.push(high | digit);
        }
        digits += 1;
    }
    if digits % 2 == 0 { Ok(bytes) } else { Err(HexError::OddLength { digits }) }
}

/// Writes bytes as lower case digits.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes whatever is written to it");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_be_set_apart() {
        assert_eq!(parse("DE ad\n|be:EF"), Ok(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(parse(" \n"), Ok(vec![]));
        assert_eq!(text(&[0, 0x9f, 0xff]), "009fff");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(parse("00 0x"), Err(HexError::UnexpectedCharacter { found: 'x', position: 5 }));
        assert_eq!(parse("é0"), Err(HexError::UnexpectedCharacter { found: 'é', position: 1 }));
        assert_eq!(parse("00 0"), Err(HexError::OddLength { digits: 3 }));
    }
}
