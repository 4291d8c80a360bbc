//! Tag, length, value: as much of DER as private keys and Apple's extensions are made of (X.690).

use zeroize::Zeroizing;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const SEQUENCE: u8 = 0x30;
/// Context-specific, constructed, number 0.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// Context-specific, constructed, number 1.
pub(crate) const CONTEXT_1: u8 = 0xa1;

/// One element of definite length.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Tag and length with the value.
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The value, when the tag is this one.
    pub(crate) fn expect(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.value)
    }
}

/// Takes elements off the front of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The elements inside the only element of `bytes`, which must have this tag. What follows it is ignored.
    pub(crate) fn inside(bytes: &'a [u8], tag: u8) -> Option<Self> {
        Self::new(bytes).read(tag).map(Self::new)
    }

    /// The next element's value, if its tag is this one; otherwise nothing is taken.
    pub(crate) fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let value = ahead.next()?.expect(tag)?;
        *self = ahead;
        Some(value)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    /// The next element; `None` at the end and where the bytes are not an element of definite length.
    fn next(&mut self) -> Option<Element<'a>> {
        let (header, length) = header(self.rest)?;
        let end = header.checked_add(length?)?;
        let whole = self.rest.get(..end)?;
        let element = Element { tag: whole[0], value: &whole[header..], whole };
        self.rest = &self.rest[end..];
        Some(element)
    }
}

/// The size of the header in front of `bytes` and the announced length: `None` inside means the indefinite form.
pub(crate) fn header(bytes: &[u8]) -> Option<(usize, Option<usize>)> {
    // Tags above 30 take several bytes; nothing here uses them.
    if bytes.first()? & 0x1f == 0x1f {
        return None;
    }
    let first = *bytes.get(1)?;
    if first < 0x80 {
        return Some((2, Some(usize::from(first))));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Some((2, None));
    }
    if count > 4 {
        return None;
    }
    let digits = bytes.get(2..2 + count)?;
    let length = digits.iter().try_fold(0_usize, |sum, &digit| sum.checked_mul(256)?.checked_add(digit.into()))?;
    Some((2 + count, Some(length)))
}

/// The text of a string type that names and topics are written in.
pub(crate) fn string(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(value).ok().map(str::to_owned),
        _ => None,
    }
}

/// Appends one element.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let length = value.len();
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap_or_default());
    } else {
        let digits = length.to_be_bytes();
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(value);
}

/// One element made of parts that are encoded already. The buffer is as large as it needs to be from the start, so
/// that no copy of a key stays behind in memory that was given back.
pub(crate) fn join(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let value = Zeroizing::new(parts.concat());
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() + 16));
    put(&mut out, tag, &value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_survive_writing_and_reading_at_every_length_form() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let value = vec![7; length];
            let written = join(OCTET_STRING, &[&value]);
            let mut elements = Elements::new(&written);
            assert_eq!(elements.read(OCTET_STRING), Some(&value[..]));
            assert!(elements.next().is_none());
            for cut in 0..written.len().min(8) {
                assert!(length == 0 && cut == 2 || Elements::new(&written[..cut]).next().is_none());
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_not_an_element() {
        for bytes in
            [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x30, 0x85, 0, 0, 0, 0, 0], &[0x30, 0x80], &[0x3f, 1, 0]]
        {
            assert!(Elements::new(bytes).next().is_none());
        }
    }
}
