//! As much of DER as it takes to tell kinds of key files apart (X.690).

/// Tags that matter here.
pub(super) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]` and `[1]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    pub(crate) const CONTEXT_1: u8 = 0xa1;
}

/// Reads one element after the other.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element: its tag and what is in it. `None` at the end and for what is no element.
    ///
    /// The indefinite length of BER counts as "all that is left". Some PKCS#12 files have it, and those need only be
    /// recognised.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.rest.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0x00..0x80 => (usize::from(first), rest),
            0x80 => (rest.len(), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (
                    bytes
                        .iter()
                        .try_fold(0_usize, |length, &byte| length.checked_mul(256)?.checked_add(byte.into()))?,
                    rest,
                )
            }
            0x85.. => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((tag, content))
    }

    /// The next element, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// An object identifier with its numbers, for a message.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for &byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_one_after_the_other() {
        let mut elements = Elements::new(&[0x02, 1, 5, 0x04, 0x81, 2, 7, 8, 0x30, 0x80, 1, 2, 3]);
        assert_eq!(elements.next(), Some((0x02, &[5][..])));
        assert_eq!(elements.next(), Some((0x04, &[7, 8][..])));
        assert_eq!(elements.next(), Some((0x30, &[1, 2, 3][..])));
        assert_eq!(elements.next(), None);
        assert_eq!(Elements::new(&[0x02, 2, 5]).next(), None);
        assert_eq!(Elements::new(&[0x02, 0x84, 0xff, 0xff, 0xff, 0xff, 5]).next(), None);
    }

    #[test]
    fn identifiers_in_numbers() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]), "1.2.840.10045.3.1.7");
        assert_eq!(dotted(&[0x2b, 0x65, 0x70]), "1.3.101.112");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(dotted(&[]), "");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_loop(bytes: Vec<u8>) {
            let mut elements = Elements::new(&bytes);
            let mut count = 0;
            while elements.next().is_some() {
                count += 1;
                prop_assert!(count <= bytes.len());
            }
            let _ = dotted(&bytes);
        }
    }
}
