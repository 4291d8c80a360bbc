//! Certificate authorities as people keep them in files.

use apns_driver::tls::{Roots, RootsError};
use apns_proto::encoding::EncodingError;

const ROOT: &str = include_str!("../../apns-credentials/tests/fixtures/root.cert.pem");
const TRUSTED: &str = include_str!("../../apns-credentials/tests/fixtures/universal.trusted.pem");

#[test]
fn authorities_are_read_by_the_reader_of_all_pem() {
    let one = Roots::only_pem(ROOT.as_bytes()).unwrap();
    for text in [
        ROOT.replace('\n', "\r\n"),
        ROOT.replace('\n', "\\n"),
        format!("\u{feff}# a comment\n{ROOT}"),
        format!("{ROOT}-----BEGIN X509 CRL-----\nAAEC\n-----END X509 CRL-----\n"),
    ] {
        assert_eq!(Roots::only_pem(text.as_bytes()), Ok(one.clone()), "{text}");
    }
    // As many as systems have, and OpenSSL's kind with a list of uses behind each.
    let many = Roots::only_pem(ROOT.repeat(300).as_bytes()).unwrap();
    assert_eq!(many.given().len(), 300);
    let trusted = Roots::only_pem(TRUSTED.as_bytes()).unwrap();
    let plain = include_bytes!("../../apns-credentials/tests/fixtures/universal.cert.pem");
    assert_eq!(trusted, Roots::only_pem(plain).unwrap());
}

#[test]
fn what_is_wrong_with_authorities_is_said_in_words() {
    let cut = Roots::only_pem(&ROOT.as_bytes()[..200]).unwrap_err().to_string();
    assert!(cut.contains("the block CERTIFICATE has no END line; it was cut off"), "{cut}");
    assert_eq!(Roots::only_pem(b"nothing of the kind"), Err(RootsError::Empty));
    let key = include_bytes!("../../apns-credentials/tests/fixtures/universal.key.pem");
    assert_eq!(Roots::only_pem(key), Err(RootsError::Empty));
    let utf16: Vec<u8> = ROOT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(Roots::only_pem(&utf16), Err(RootsError::Encoding(EncodingError::Utf16)));
}
