//! Which algorithms an encrypted credential uses, by name.

use x509_cert::der::asn1::ObjectIdentifier;

use crate::tlv::{self, Elements};

/// What encrypts or authenticates in credentials out there and is not supported here (RFC 7292 appendix C, RFC 8018
/// appendix C, RFC 9579).
const UNSUPPORTED: [(&str, &str); 24] = [
    ("1.2.840.113549.1.12.1.1", "128-bit RC4 with SHA-1"),
    ("1.2.840.113549.1.12.1.2", "40-bit RC4 with SHA-1"),
    ("1.2.840.113549.1.12.1.4", "two-key Triple DES with SHA-1"),
    ("1.2.840.113549.1.12.1.5", "128-bit RC2 with SHA-1"),
    ("1.2.840.113549.1.5.1", "DES with MD2 (PBES1)"),
    ("1.2.840.113549.1.5.3", "DES with MD5 (PBES1)"),
    ("1.2.840.113549.1.5.4", "RC2 with MD2 (PBES1)"),
    ("1.2.840.113549.1.5.6", "RC2 with MD5 (PBES1)"),
    ("1.2.840.113549.1.5.10", "DES with SHA-1 (PBES1)"),
    ("1.2.840.113549.1.5.11", "RC2 with SHA-1 (PBES1)"),
    ("1.2.840.113549.1.5.14", "PBMAC1"),
    ("1.2.840.113549.2.5", "an MD5 MAC"),
    ("1.2.840.113549.3.2", "RC2"),
    ("1.2.840.113549.3.4", "RC4"),
    ("1.2.840.113549.3.8", "RC5"),
    ("1.3.14.3.2.7", "DES"),
    ("1.2.392.200011.61.1.1.1.2", "Camellia-128"),
    ("1.2.392.200011.61.1.1.1.3", "Camellia-192"),
    ("1.2.392.200011.61.1.1.1.4", "Camellia-256"),
    ("1.2.410.200004.1.4", "SEED"),
    ("1.2.410.200046.1.1.2", "ARIA-128"),
    ("1.2.410.200046.1.1.7", "ARIA-192"),
    ("1.2.410.200046.1.1.12", "ARIA-256"),
    ("1.2.156.10197.1.104.2", "SM4"),
];

/// Only in encrypted keys: PKCS#12's own schemes are read in PKCS#12 files alone.
const UNSUPPORTED_IN_KEYS: [(&str, &str); 2] = [
    ("1.2.840.113549.1.12.1.3", "Triple DES with SHA-1 (a PKCS#12 scheme)"),
    ("1.2.840.113549.1.12.1.6", "40-bit RC2 with SHA-1 (a PKCS#12 scheme)"),
];

/// Deep enough for PKCS#12, where the parameters of an encrypted key stand some fifteen levels down.
const DEEPEST: usize = 32;

/// What a PKCS#12 file that can be read is made of: content types, attributes, bags, and what is supported. A full stop
/// at the end stands for everything below.
const KNOWN_IN_PKCS12: [&str; 16] = [
    "1.2.840.113549.1.7.",
    "1.2.840.113549.1.9.",
    "1.2.840.113549.1.12.10.",
    "1.2.840.113549.1.12.1.3",
    "1.2.840.113549.1.12.1.6",
    "1.2.840.113549.1.5.12",
    "1.2.840.113549.1.5.13",
    "1.2.840.113549.2.",
    "1.2.840.113549.3.7",
    "1.3.6.1.4.1.11591.4.11",
    "1.3.14.3.2.26",
    "2.16.840.1.101.3.4.1.",
    "2.16.840.1.101.3.4.2.",
    // Attributes of Windows and Java.
    "1.3.6.1.4.1.311.17.",
    "2.16.840.1.113894.",
    "2.5.29.37.",
];

/// The first unsupported algorithm that is named anywhere in a PKCS#12 file.
pub(crate) fn unsupported_in_pkcs12(der: &[u8]) -> Option<String> {
    let mut found = None;
    visit(der, DEEPEST, &mut |text| found = found.or_else(|| lookup(&UNSUPPORTED, text)));
    found.map(str::to_owned)
}

/// The first object identifier in a PKCS#12 file that means nothing here.
pub(crate) fn unknown_in_pkcs12(der: &[u8]) -> Option<String> {
    let mut found = None;
    visit(der, DEEPEST, &mut |text| {
        let known = KNOWN_IN_PKCS12
            .iter()
            .any(|known| if known.ends_with('.') { text.starts_with(known) } else { text == *known });
        if !known {
            found.get_or_insert_with(|| text.to_owned());
        }
    });
    found
}

/// The unsupported algorithm in the `AlgorithmIdentifier` of an encrypted key; where none of those known is in it, the
/// identifier of the scheme itself.
pub(crate) fn unsupported_in_key(algorithm: &[u8]) -> String {
    let mut found = None;
    let mut first = None;
    visit(algorithm, DEEPEST, &mut |text| {
        found = found.or_else(|| lookup(&UNSUPPORTED, text)).or_else(|| lookup(&UNSUPPORTED_IN_KEYS, text));
        first.get_or_insert_with(|| text.to_owned());
    });
    found.map(str::to_owned).or(first).unwrap_or_else(|| "an unknown algorithm".to_owned())
}

fn lookup(table: &[(&'static str, &'static str)], wanted: &str) -> Option<&'static str> {
    table.iter().find(|(identifier, _)| *identifier == wanted).map(|(_, name)| *name)
}

/// Every object identifier, those inside octet strings that hold DER included.
fn visit(der: &[u8], depth: usize, note: &mut impl FnMut(&str)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for element in Elements::new(der) {
        if element.tag == tlv::OID {
            if let Ok(identifier) = ObjectIdentifier::from_bytes(element.value) {
                note(&identifier.to_string());
            }
        } else if element.tag & 0x20 != 0 || element.tag == tlv::OCTET_STRING {
            visit(element.value, depth, note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence_of(identifier: &str) -> Vec<u8> {
        let identifier = ObjectIdentifier::new(identifier).unwrap();
        let algorithm = tlv::join(tlv::SEQUENCE, &[&tlv::join(tlv::OID, &[identifier.as_bytes()])]);
        tlv::join(tlv::SEQUENCE, &[&tlv::join(tlv::OCTET_STRING, &[&algorithm])]).to_vec()
    }

    #[test]
    fn b82_algorithms_have_names_or_at_least_numbers() {
        assert_eq!(unsupported_in_pkcs12(&sequence_of("1.2.840.113549.1.5.14")).as_deref(), Some("PBMAC1"));
        assert_eq!(unsupported_in_pkcs12(&sequence_of("1.2.3.4")), None);
        assert_eq!(unknown_in_pkcs12(&sequence_of("1.2.3.4")).as_deref(), Some("1.2.3.4"));
        assert_eq!(unknown_in_pkcs12(&sequence_of("1.2.840.113549.1.9.20")), None);
        assert_eq!(unsupported_in_key(&sequence_of("1.2.3.4")), "1.2.3.4");
        let nested = sequence_of("1.2.840.113549.1.12.1.3");
        assert_eq!(unsupported_in_key(&nested), "Triple DES with SHA-1 (a PKCS#12 scheme)");
        assert_eq!(unsupported_in_key(&[]), "an unknown algorithm");
    }

    #[test]
    fn the_search_ends_at_any_depth() {
        let mut der = sequence_of("1.2.840.113549.1.5.14");
        for _ in 0..1000 {
            der = tlv::join(tlv::SEQUENCE, &[&der]).to_vec();
        }
        assert_eq!(unsupported_in_pkcs12(&der), None);
    }
}
