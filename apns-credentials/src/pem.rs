//! PEM as people store it (RFC 7468, and much that it forbids).

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use zeroize::Zeroizing;

use crate::error::{IdentityError, Part};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// RFC 7468 knows labels of some twenty characters; a longer one is damage.
const LONGEST_LABEL: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One block, decoded.
pub(crate) struct Block {
    pub(crate) label: String,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// `None` when OpenSSL's old headers say that it is encrypted.
    pub(crate) der: Option<Zeroizing<Vec<u8>>>,
}

/// What is wrong with a block.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("its BEGIN line does not end in five dashes")]
    Begin,
    #[error("the block {label} has no END line; it was cut off")]
    Cut { label: String },
    #[error("the END line of the block {label} does not match its BEGIN line")]
    OtherEnd { label: String },
    #[error("the block {label} is not base64")]
    NotBase64 { label: String },
}

/// A damaged block, and the line on which it begins, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) line: usize,
    pub(crate) damage: Damage,
}

impl From<Damaged> for IdentityError {
    fn from(Damaged { line, damage }: Damaged) -> Self {
        Self::malformed(Part::Pem, damage).at_line(Some(line))
    }
}

/// Whether there is a PEM block in it.
pub(crate) fn is_pem(text: &[u8]) -> bool {
    find(text, BEGIN).is_some()
}

/// All blocks in order. Text around them ("Bag Attributes" and the like) is ignored; line ends may be LF, CRLF, CR,
/// missing, or written as `\n` the way environment variables and JSON files hold them.
pub(crate) fn blocks(text: &[u8]) -> Blocks {
    Blocks { text: with_plain_line_ends(text), position: 0, line: 1 }
}

/// See [`blocks`]. What follows a block that is not base64 is still read; a block without an end is the last.
pub(crate) struct Blocks {
    text: Zeroizing<Vec<u8>>,
    position: usize,
    /// The line of the position.
    line: usize,
}

impl Iterator for Blocks {
    type Item = Result<Block, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.position..];
        let start = find(rest, BEGIN)?;
        let line = self.line + count_lines(&rest[..start]);
        let (block, length) = read_block(&rest[start + BEGIN.len()..]);
        let end = start + BEGIN.len() + length;
        self.line = line + count_lines(&rest[start..end]);
        self.position += end;
        Some(match block {
            Ok((label, der)) => Ok(Block { label, line, der }),
            Err(damage) => Err(Damaged { line, damage }),
        })
    }
}

type Contents = (String, Option<Zeroizing<Vec<u8>>>);

/// Reads a block from its label on, and says how long it is.
fn read_block(text: &[u8]) -> (Result<Contents, Damage>, usize) {
    let Some(label_length) = find(text, DASHES).filter(|length| *length <= LONGEST_LABEL) else {
        return (Err(Damage::Begin), text.len());
    };
    let label = printable(&text[..label_length]);
    let start = label_length + DASHES.len();
    let body = &text[start..];
    // Another BEGIN line before the END line is looked for only up to there: however many blocks there are, each byte is
    // passed a fixed number of times.
    let Some(length) = find(body, END).filter(|end| find(&body[..*end], BEGIN).is_none()) else {
        return (Err(Damage::Cut { label }), text.len());
    };
    let end = start + length + END.len();
    let (expected, closing) = (&text[..start], &text[end..]);
    // A file whose last dashes were lost has the whole key all the same.
    let contents = if !closing.starts_with(expected) && !expected.starts_with(closing.trim_ascii_end()) {
        Err(Damage::OtherEnd { label })
    } else {
        match decode_body(&body[..length]) {
            Some(der) => Ok((label, der)),
            None => Err(Damage::NotBase64 { label }),
        }
    };
    (contents, end)
}

/// Base64 without any armour, which is how secrets often travel in environment variables.
pub(crate) fn bare_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = with_plain_line_ends(text);
    decode_base64(&text).filter(|der| !der.is_empty())
}

/// Nothing for a block with the headers of OpenSSL's old encryption, `None` outside for one that is not base64.
#[expect(clippy::option_option, reason = "not base64 and encrypted are different answers")]
fn decode_body(body: &[u8]) -> Option<Option<Zeroizing<Vec<u8>>>> {
    let lines = || body.split(|byte| *byte == b'\n');
    // Base64 has no colon, so a line with one is a header (RFC 1421).
    if !body.contains(&b':') {
        return Some(Some(decode_base64(body)?));
    }
    if lines().any(|line| line.starts_with(b"Proc-Type:") && find(line, b"ENCRYPTED").is_some()) {
        return Some(None);
    }
    let mut data = Zeroizing::new(Vec::with_capacity(body.len()));
    for line in lines().filter(|line| !line.contains(&b':')) {
        data.extend_from_slice(line);
    }
    Some(Some(decode_base64(&data)?))
}

fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut packed = Zeroizing::new(Vec::with_capacity(text.len()));
    packed.extend(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; packed.len() / 4 * 3 + 3]);
    let length = BASE64.decode_slice(&packed[..], &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

/// LF for every kind of line end, the escaped ones included. Base64 has no backslash, so nothing else is touched.
fn with_plain_line_ends(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    loop {
        let (taken, byte) = match rest {
            [] => break,
            [b'\r', b'\n', ..] => (2, b'\n'),
            [b'\\', b'r', b'\\', b'n', ..] => (4, b'\n'),
            [b'\\', b'n' | b'r', ..] => (2, b'\n'),
            [b'\r', ..] => (1, b'\n'),
            [byte, ..] => (1, *byte),
        };
        out.push(byte);
        rest = &rest[taken..];
    }
    out
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn printable(label: &[u8]) -> String {
    label.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' }).collect()
}

/// One block with lines of 64 characters.
pub(crate) fn encode(out: &mut String, label: &str, der: &[u8]) {
    let body = Zeroizing::new(BASE64.encode(der));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
}

/// How many characters [`encode`] writes, so that a buffer for a key never has to grow.
pub(crate) fn encoded_length(label: &str, der: &[u8]) -> usize {
    let body = der.len().div_ceil(3) * 4;
    body + body.div_ceil(64) + 2 * label.len() + 2 * DASHES.len() + BEGIN.len() + END.len() + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "-----BEGIN THING-----\nAAECAwQF\nBgcICQ==\n-----END THING-----\n";

    fn der(text: &str) -> Vec<Vec<u8>> {
        blocks(text.as_bytes()).map(|block| block.unwrap().der.unwrap().to_vec()).collect()
    }

    #[test]
    fn b81_every_line_end_gives_the_same_bytes() {
        let expected = vec![(0..10).collect::<Vec<u8>>()];
        for text in [
            PLAIN.to_owned(),
            PLAIN.replace('\n', "\r\n"),
            PLAIN.replace('\n', "\r"),
            PLAIN.trim_end().to_owned(),
            PLAIN.replace('\n', "\\n"),
            PLAIN.replace('\n', "\\r\\n"),
            PLAIN.replace('\n', " "),
            PLAIN.replace('\n', ""),
            format!("\u{feff}Bag Attributes\n    friendlyName: x\n{PLAIN}trailer"),
            PLAIN.replace("==", ""),
        ] {
            assert_eq!(der(&text), expected, "{text:?}");
        }
        assert_eq!(bare_base64(b"AAECAwQF\r\nBgcICQ==").unwrap()[..], expected[0]);
    }

    #[test]
    fn blocks_know_their_line() {
        let text = format!("first\n{PLAIN}\nsecond\r\n{PLAIN}");
        let lines: Vec<_> = blocks(text.as_bytes()).map(|block| block.unwrap().line).collect();
        assert_eq!(lines, [2, 8]);
    }

    #[test]
    fn damage_is_located_and_never_quoted() {
        for (text, line, reason) in [
            ("-----BEGIN THING----\nAA==", 1, "its BEGIN line does not end in five dashes"),
            ("x\n-----BEGIN THING-----\nAAEC", 2, "the block THING has no END line; it was cut off"),
            (
                "-----BEGIN A-----\nAAEC\n-----BEGIN B-----\nAAEC\n-----END B-----",
                1,
                "the block A has no END line; it was cut off",
            ),
            (
                "-----BEGIN A-----\nAAEC\n-----END B-----",
                1,
                "the END line of the block A does not match its BEGIN line",
            ),
            ("-----BEGIN A-----\nA*EC\n-----END A-----", 1, "the block A is not base64"),
        ] {
            let error = blocks(text.as_bytes()).find_map(Result::err).unwrap();
            let expected = IdentityError::Malformed { part: Part::Pem, line: Some(line), reason: reason.to_owned() };
            assert_eq!(IdentityError::from(error), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_its_length_is_known() {
        for length in [0_usize, 1, 47, 48, 49, 500] {
            let bytes: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
            let mut text = String::new();
            encode(&mut text, "THING", &bytes);
            assert_eq!(text.len(), encoded_length("THING", &bytes));
            assert_eq!(der(&text), [bytes]);
        }
    }
}
