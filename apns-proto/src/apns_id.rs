//! The `apns-id` of a notification.

use std::fmt;
use std::str::FromStr;

use crate::hex;

/// A UUID that names one notification at the service and comes back in its answer.
///
/// Written in lower case in the form 8-4-4-4-12, as Apple's *Sending notification requests to APNs* asks; read in either
/// case, so that two texts of the same identifier compare equal.
///
/// ```
/// use apns_proto::ApnsId;
///
/// let id: ApnsId = "EABECA8D-6F2B-4C0F-9A4A-4E2B8A3B6C7D".parse()?;
/// assert_eq!(id.to_string(), "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d");
/// # Ok::<(), apns_proto::ApnsIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApnsId([u8; 16]);

impl ApnsId {
    /// From the sixteen bytes of a UUID, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A UUID of version 4 (RFC 9562 section 5.4) from random bytes, of which 122 bits count.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The sixteen bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A text that is not a UUID in the form 8-4-4-4-12.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApnsIdError {
    /// The text has the wrong length.
    #[error("an apns-id is a UUID of 36 characters, but this text has {found}")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// A character is neither a hexadecimal digit nor a hyphen at one of its four places.
    #[error("an apns-id is a UUID in the form 8-4-4-4-12, but character {position} is {found:?}")]
    Character {
        /// Place of the character, counted from 1.
        position: usize,
        /// What stands there.
        found: char,
    },
}

impl FromStr for ApnsId {
    type Err = ApnsIdError;

    fn from_str(text: &str) -> Result<Self, ApnsIdError> {
        parse(text.as_bytes()).ok_or_else(|| what_is_wrong(text))
    }
}

/// Each answer brings one, so what is right is read without looking at characters.
fn parse(text: &[u8]) -> Option<ApnsId> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if HYPHENS.iter().any(|&place| text[place] != b'-') {
        return None;
    }
    let (mut bytes, mut seen) = ([0; 16], 0);
    for (byte, place) in bytes.iter_mut().zip(PAIRS) {
        let (high, low) = (NIBBLES[usize::from(text[place])], NIBBLES[usize::from(text[place + 1])]);
        seen |= high | low;
        *byte = (high << 4) | low;
    }
    (seen & NO_DIGIT == 0).then_some(ApnsId(bytes))
}

const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Where the two digits of each byte begin.
const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// What [`NIBBLES`] says of a byte that is no hexadecimal digit.
const NO_DIGIT: u8 = 0x80;

/// The value of each byte as a hexadecimal digit.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        nibbles[digit as usize] = value as u8;
        nibbles[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    nibbles
};

/// The first thing that is wrong with a text that is no identifier.
fn what_is_wrong(text: &str) -> ApnsIdError {
    let length = text.chars().count();
    let fits = |place, found: char| if HYPHENS.contains(&place) { found == '-' } else { found.is_ascii_hexdigit() };
    let wrong = text.chars().enumerate().find(|&(place, found)| !fits(place, found));
    match wrong.filter(|_| length == 36) {
        Some((place, found)) => ApnsIdError::Character { position: place + 1, found },
        None => ApnsIdError::Length { found: length },
    }
}

impl fmt::Display for ApnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 36];
        for (byte, place) in self.0.iter().zip(PAIRS) {
            [text[place], text[place + 1]] = hex::digits(*byte);
        }
        f.write_str(str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for ApnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApnsId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_are_the_same_identifier() {
        let upper: ApnsId = "27CFDC15-00AA-4BBB-8CCC-0123456789AB".parse().unwrap();
        let lower: ApnsId = "27cfdc15-00aa-4bbb-8ccc-0123456789ab".parse().unwrap();
        assert_eq!(upper, lower);
        assert_eq!(upper.to_string(), "27cfdc15-00aa-4bbb-8ccc-0123456789ab");
    }

    #[test]
    fn the_malformed_sample_of_older_documentation_is_refused() {
        // Eleven digits in the last group.
        assert_eq!("123e4567-e89b-12d3-a456-42665544000".parse::<ApnsId>(), Err(ApnsIdError::Length { found: 35 }));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert_eq!(
            "27cfdc15x00aa-4bbb-8ccc-0123456789ab".parse::<ApnsId>(),
            Err(ApnsIdError::Character { position: 9, found: 'x' })
        );
        assert_eq!(
            "27cfdc15-00aa-4bbb-8ccc-0123456789aé".parse::<ApnsId>(),
            Err(ApnsIdError::Character { position: 36, found: 'é' })
        );
    }
}
