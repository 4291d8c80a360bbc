//! Which algorithms an encrypted credential uses, by name.

use x509_cert::der::asn1::ObjectIdentifier;

use super::tlv::{self, Elements};

/// What encrypts or authenticates in credentials out there and is not supported here (RFC 7292 appendix C, RFC 8018
/// appendix C, RFC 9579).
const UNSUPPORTED: [(&str, &str); 22] = [
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
    ("1.2.840.113549.3.9", "RC5"),
    ("1.3.14.3.2.7", "DES"),
    ("1.2.392.200011.61.1.1.1.2", "Camellia-128"),
    ("1.2.392.200011.61.1.1.1.3", "Camellia-192"),
    ("1.2.392.200011.61.1.1.1.4", "Camellia-256"),
    ("1.2.410.200004.1.4", "SEED"),
    ("1.2.410.200046.1.1.14", "ARIA-256"),
    ("1.2.156.10197.1.104.2", "SM4"),
];

/// Only in encrypted keys: PKCS#12's own schemes are read in PKCS#12 files alone.
const UNSUPPORTED_IN_KEYS: [(&str, &str); 2] = [
    ("1.2.840.113549.1.12.1.3", "Triple DES with SHA-1 (a PKCS#12 scheme)"),
    ("1.2.840.113549.1.12.1.6", "40-bit RC2 with SHA-1 (a PKCS#12 scheme)"),
];

/// Deep enough for PKCS#12, where the parameters of an encrypted key stand some fifteen levels down.
const DEEPEST: usize = 32;

/// The first unsupported algorithm that is named anywhere in a PKCS#12 file.
pub(super) fn unsupported_in_pkcs12(der: &[u8]) -> Option<String> {
    let mut found = None;
    visit(der, DEEPEST, &mut |text| found = found.take().or_else(|| lookup(&UNSUPPORTED, text)));
    found.map(str::to_owned)
}

/// The unsupported algorithm in the `AlgorithmIdentifier` of an encrypted key; where none of those known is in it, the
/// identifier of the scheme itself.
pub(super) fn unsupported_in_key(algorithm: &[u8]) -> String {
    let mut found = None;
    let mut first = None;
    visit(algorithm, DEEPEST, &mut |text| {
        found = found.take().or_else(|| lookup(&UNSUPPORTED, text)).or_else(|| lookup(&UNSUPPORTED_IN_KEYS, text));
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
