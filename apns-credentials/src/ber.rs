//! BER made DER, as far as PKCS#12 files need it.
//!
//! RFC 7292 allows BER, and NSS (Firefox, `pk12util`) writes it: indefinite lengths, and octet strings in pieces.

use crate::tlv;

const CONSTRUCTED: u8 = 0x20;
const CONSTRUCTED_OCTET_STRING: u8 = tlv::OCTET_STRING | CONSTRUCTED;
/// Deeper than any PKCS#12 file, shallow enough for any stack.
const DEEPEST: usize = 32;

/// The same value with definite lengths and octet strings in one piece. `None` when it is not BER, is cut off, nests
/// too deep or has bytes behind it other than line ends: editors and forms on the web add those.
pub(crate) fn to_der(ber: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(ber.len());
    let rest = convert(ber, DEEPEST, &mut out)?;
    rest.trim_ascii_start().is_empty().then_some(out)
}

/// Appends the first element of `ber` as DER and gives back what follows it.
fn convert<'a>(ber: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let depth = depth.checked_sub(1)?;
    let (header, length) = tlv::header(ber)?;
    let tag = ber[0];
    if tag & CONSTRUCTED == 0 {
        let end = header.checked_add(length?)?;
        tlv::put(out, tag, ber.get(header..end)?);
        return Some(&ber[end..]);
    }
    let (children, rest) = children(ber, header, length, depth)?;
    if tag == CONSTRUCTED_OCTET_STRING {
        tlv::put(out, tlv::OCTET_STRING, &in_one_piece(&children)?);
    } else {
        let mut children = children;
        // EncryptedContentInfo is the one place where a context tag stands for an octet string itself and not for
        // something around it: SEQUENCE { contentType, algorithm, [0] IMPLICIT OCTET STRING } (RFC 5652 section 6.1).
        if let [first, second, third] = &mut children[..]
            && first[0] == tlv::OID
            && second[0] == tlv::SEQUENCE
            && third[0] == tlv::CONTEXT_0
        {
            let mut pieces = Vec::new();
            let mut inside = tlv::Elements::new(third).read(tlv::CONTEXT_0)?;
            while !inside.is_empty() {
                let mut piece = Vec::new();
                inside = convert(inside, depth, &mut piece)?;
                pieces.push(piece);
            }
            let mut primitive = Vec::new();
            tlv::put(&mut primitive, tlv::CONTEXT_0 & !CONSTRUCTED, &in_one_piece(&pieces)?);
            *third = primitive;
        }
        tlv::put(out, tag, &children.concat());
    }
    Some(rest)
}

/// The elements inside a constructed one, each as DER, and what follows it.
fn children(ber: &[u8], header: usize, length: Option<usize>, depth: usize) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let (mut inside, rest) = match length {
        Some(length) => {
            let end = header.checked_add(length)?;
            (ber.get(header..end)?, Some(&ber[end..]))
        }
        None => (&ber[header..], None),
    };
    let mut children = Vec::new();
    loop {
        match rest {
            Some(rest) if inside.is_empty() => return Some((children, rest)),
            // The end-of-contents octets of the indefinite form (X.690 section 8.1.5).
            None if inside.starts_with(&[0, 0]) => return Some((children, &inside[2..])),
            Some(_) | None => {}
        }
        let mut child = Vec::new();
        inside = convert(inside, depth, &mut child)?;
        children.push(child);
    }
}

fn in_one_piece(pieces: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(tlv::Elements::new(piece).read(tlv::OCTET_STRING)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b82_indefinite_lengths_and_pieces_become_der() {
        for (ber, der) in [
            (&[0x30, 0x80, 2, 1, 3, 0, 0][..], &[0x30, 3, 2, 1, 3][..]),
            (&[0x30, 0x81, 3, 2, 1, 3], &[0x30, 3, 2, 1, 3]),
            (&[0x24, 0x80, 4, 1, 1, 0x24, 3, 4, 1, 2, 4, 0, 0, 0], &[4, 2, 1, 2]),
            // An octet string inside an explicit tag stays inside it …
            (
                &[0x30, 0x80, 6, 1, 42, 0xa0, 0x80, 0x24, 0x80, 4, 1, 9, 0, 0, 0, 0, 0, 0],
                &[0x30, 8, 6, 1, 42, 0xa0, 3, 4, 1, 9],
            ),
            // … and becomes the tag where that is implicit.
            (
                &[0x30, 0x80, 6, 1, 42, 0x30, 0, 0xa0, 0x80, 4, 1, 9, 4, 1, 8, 0, 0, 0, 0],
                &[0x30, 9, 6, 1, 42, 0x30, 0, 0x80, 2, 9, 8],
            ),
        ] {
            assert_eq!(to_der(ber).as_deref(), Some(der), "{ber:x?}");
            assert_eq!(to_der(der).as_deref(), Some(der), "DER stays as it is");
            for cut in 0..ber.len() {
                assert_eq!(to_der(&ber[..cut]), None, "{ber:x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(to_der(&[0x30, 0x80].repeat(100_000)), None);
    }
}
