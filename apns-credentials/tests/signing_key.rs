//! Keys in every form in which people keep them, and the tokens that they sign, checked by a verifier of other make.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::time::Instant;

use apns_credentials::{SigningKey, SigningKeyError};
use apns_proto::encoding::EncodingError;
use apns_proto::http2::{KeyId, ProviderToken, ProviderTokenError, TeamId};
use apns_proto::{Now, TextError, WallTime};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

const PKCS8: &str = include_str!("keys/p8.pem");
const SEC1: &str = include_str!("keys/sec1.pem");

fn start(seconds: u64) -> Now {
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    let instant = Instant::now();
    Now::new(instant, WallTime::from_secs(seconds))
}

/// The base64 between the lines of a PEM text, in one piece.
fn inside(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

/// As `base64` writes it.
fn wrapped(base64: &str, end: &str) -> String {
    base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap().to_owned() + end).collect()
}

/// What OpenSSL says is the public key of it.
fn public_key() -> Vec<u8> {
    let info = STANDARD.decode(inside(include_str!("keys/public.pem"))).unwrap();
    info[info.len() - 65..].to_vec()
}

/// As PowerShell writes it.
fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn key() -> SigningKey {
    SigningKey::read(PKCS8.as_bytes()).unwrap()
}

#[test]
fn b81_all_forms_of_one_key_are_the_same_key() {
    let der = STANDARD.decode(inside(PKCS8)).unwrap();
    assert_eq!(der, include_bytes!("keys/p8.der"));
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("as it comes", PKCS8.into()),
        ("CRLF", PKCS8.replace('\n', "\r\n").into()),
        ("CR", PKCS8.replace('\n', "\r").into()),
        ("no newline at the end", PKCS8.trim_end().into()),
        ("no newlines at all", PKCS8.replace('\n', "").into()),
        ("spaces for newlines", PKCS8.replace('\n', " ").into()),
        ("escaped newlines", PKCS8.replace('\n', "\\n").into()),
        ("escaped CRLF", PKCS8.replace('\n', "\\r\\n").into()),
        ("a JSON string", format!("\"{}\"", PKCS8.replace('\n', "\\n")).into()),
        ("indented", PKCS8.replace('\n', "\n    ").into()),
        ("base64 of PEM", STANDARD.encode(PKCS8).into()),
        ("base64 of PEM with a newline", format!("{}\n", STANDARD.encode(PKCS8)).into()),
        ("base64 of PEM in lines", wrapped(&STANDARD.encode(PKCS8), "\n").into()),
        ("base64 of PEM in lines of Windows", wrapped(&STANDARD.encode(PKCS8), "\r\n").into()),
        ("base64 of PEM with a byte order mark", STANDARD.encode(format!("\u{feff}{SEC1}")).into()),
        ("base64 of PEM in quotes", format!("\"{}\"", STANDARD.encode(SEC1)).into()),
        ("base64 of DER in lines", wrapped(&inside(PKCS8), "\n").into()),
        ("base64 of DER with a newline", format!("{}\n", inside(PKCS8)).into()),
        ("byte order mark", format!("\u{feff}{PKCS8}").into()),
        ("bare base64", inside(PKCS8).into()),
        (
            "bare base64 in lines",
            PKCS8.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("\r\n").into(),
        ),
        ("bare base64 without padding", inside(PKCS8).trim_end_matches('=').into()),
        ("DER", der),
        ("SEC1", SEC1.into()),
        ("SEC1 as DER", STANDARD.decode(inside(SEC1)).unwrap()),
        ("SEC1 as base64", inside(SEC1).into()),
        ("the last dashes lost", format!("{}\n", PKCS8.trim_end().trim_end_matches('-')).into()),
        ("text before", format!("Bag Attributes\n    friendlyName: x\n{PKCS8}").into()),
        ("certificate before", format!("{}{PKCS8}", include_str!("keys/certificate.pem")).into()),
    ];
    for (form, bytes) in forms {
        let key = SigningKey::read(&bytes).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(key.public_key()[..], public_key(), "{form}");
    }
}

#[test]
fn b81_the_name_of_the_curve_may_stand_before_the_key() {
    assert!(SigningKey::read(include_bytes!("keys/sec1-with-parameters.pem")).is_ok());
}

#[test]
fn b81_what_is_no_signing_key_is_called_by_its_name() {
    let p384 = SigningKeyError::Curve { name: "P-384".to_owned() };
    let ed25519 = SigningKeyError::Algorithm { oid: "1.3.101.112".to_owned() };
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let files: Vec<(&str, Vec<u8>, SigningKeyError)> = vec![
        ("PKCS#12", include_bytes!("keys/identity.p12").to_vec(), SigningKeyError::Pkcs12),
        ("PKCS#12 as base64", STANDARD.encode(include_bytes!("keys/identity.p12")).into(), SigningKeyError::Pkcs12),
        ("certificate", include_bytes!("keys/certificate.pem").to_vec(), SigningKeyError::Certificate),
        ("request", include_bytes!("keys/request.pem").to_vec(), SigningKeyError::Certificate),
        ("public key", include_bytes!("keys/public.pem").to_vec(), SigningKeyError::PublicKey),
        ("RSA in PKCS#8", include_bytes!("keys/rsa.pem").to_vec(), SigningKeyError::Rsa),
        ("RSA in PKCS#1", include_bytes!("keys/rsa-pkcs1.pem").to_vec(), SigningKeyError::Rsa),
        ("P-384 in PKCS#8", include_bytes!("keys/p384.pem").to_vec(), p384.clone()),
        ("P-384 in SEC1", include_bytes!("keys/p384-sec1.pem").to_vec(), p384),
        ("Ed25519", include_bytes!("keys/ed25519.pem").to_vec(), ed25519),
        ("encrypted PKCS#8", include_bytes!("keys/encrypted.pem").to_vec(), SigningKeyError::Encrypted),
        ("encrypted SEC1", include_bytes!("keys/encrypted-sec1.pem").to_vec(), SigningKeyError::Encrypted),
        ("SSH", ssh.into(), SigningKeyError::OtherBlock { label: "OPENSSH PRIVATE KEY".to_owned() }),
        ("UTF-16", utf16(PKCS8), EncodingError::Utf16.into()),
        ("nothing", b" \n".to_vec(), SigningKeyError::Empty),
        ("a path", b"AuthKey_ABC123DEFG.p8".to_vec(), SigningKeyError::NoKey),
        ("bytes", vec![0x30, 0x82, 0xff, 0xff, 0x80], SigningKeyError::NoKey),
        ("cut", PKCS8[..100].into(), SigningKeyError::Cut),
        ("no base64", PKCS8.replace("MIG", "M*G").into(), SigningKeyError::Base64),
    ];
    for (name, bytes, error) in files {
        assert_eq!(SigningKey::read(&bytes).unwrap_err(), error, "{name}");
    }
    // The same, recognised by what is inside.
    for (name, pem, error) in [
        ("certificate", include_str!("keys/certificate.pem"), SigningKeyError::Certificate),
        ("request", include_str!("keys/request.pem"), SigningKeyError::Certificate),
        ("public key", include_str!("keys/public.pem"), SigningKeyError::PublicKey),
        ("RSA", include_str!("keys/rsa-pkcs1.pem"), SigningKeyError::Rsa),
        ("encrypted", include_str!("keys/encrypted.pem"), SigningKeyError::Encrypted),
    ] {
        assert_eq!(SigningKey::read(inside(pem).as_bytes()).unwrap_err(), error, "{name}");
        assert_eq!(SigningKey::read(&STANDARD.decode(inside(pem)).unwrap()).unwrap_err(), error, "{name}");
    }
}

#[test]
fn damage_is_noticed() {
    let mut der = include_bytes!("keys/p8.der").to_vec();
    let private = der.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
    der[private + 5] ^= 1;
    assert_eq!(SigningKey::read(&der).unwrap_err(), SigningKeyError::Mismatch);
    der[private..private + 32].fill(0);
    assert_eq!(SigningKey::read(&der).unwrap_err(), SigningKeyError::OutOfRange);
    der[private..private + 32].fill(0xff);
    assert_eq!(SigningKey::read(&der).unwrap_err(), SigningKeyError::OutOfRange);
}

#[test]
fn no_bytes_make_it_panic() {
    let der = include_bytes!("keys/p8.der");
    for cut in 0..der.len() {
        assert!(SigningKey::read(&der[..cut]).is_err(), "{cut}");
        for bit in 0..8 {
            let mut bytes = der.to_vec();
            bytes[cut] ^= 1 << bit;
            // Some bits do not matter; none may panic.
            let _ = SigningKey::read(&bytes);
        }
    }
    for cut in 0..PKCS8.len() - 27 {
        assert!(SigningKey::read(&PKCS8.as_bytes()[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_number_of_a_few_bytes_is_no_key() {
    for length in 1..24_u8 {
        let mut der = vec![0x30, 5 + length, 2, 1, 1, 4, length];
        der.extend(std::iter::repeat_n(0x90, length.into()));
        assert_eq!(SigningKey::read(&der).unwrap_err(), SigningKeyError::OutOfRange, "{length}");
    }
    let mut der = vec![0x30, 36, 2, 1, 1, 4, 31];
    der.extend([0x90; 31]);
    assert!(SigningKey::read(&der).is_ok(), "one leading zero was left away");
}

proptest! {
    #[test]
    fn nothing_from_outside_is_a_key_or_a_panic(bytes: Vec<u8>, text: String, label in "[A-Z ]{0,20}") {
        prop_assert!(SigningKey::read(&bytes).is_err());
        prop_assert!(SigningKey::read(text.as_bytes()).is_err());
        let pem = format!("-----BEGIN {label}-----{text}-----END {label}-----");
        prop_assert!(SigningKey::read(pem.as_bytes()).is_err());
        let mut der = vec![0x30, 0x80, 0x02, 1, 1];
        der.extend(&bytes);
        // This may become a key, if the bytes go on as one.
        let _ = SigningKey::read(&der);
        let _ = (ProviderToken::from_jwt(&text, start(1)), text.parse::<KeyId>(), KeyId::from_file_name(&text));
    }
}

#[test]
fn a_token_is_strictly_what_the_rules_say() {
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let token = key().provider_token(&key_id, &team_id, start(1_700_000_000));
    let parts: Vec<&str> = token.jwt().split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let decoded = |part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(decoded(header), r#"{"alg":"ES256","kid":"ABC123DEFG"}"#);
    assert_eq!(decoded(claims), r#"{"iss":"DEF123GHIJ","iat":1700000000}"#);
    assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 64);
    assert_eq!(&token.authorization()[..], format!("bearer {}", token.jwt()).as_bytes());
    assert_eq!(token.issued_at(), WallTime::from_secs(1_700_000_000));
}

#[test]
fn b79_thousands_of_signatures_verify_elsewhere() {
    let (key, key_id, team_id) = (key(), KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key());
    let base = start(1_700_000_000);
    let (mut leading_r, mut leading_s) = (0, 0);
    for second in 0..3000 {
        let now = Now::new(base.instant, WallTime::from_secs(1_700_000_000 + second));
        let token = key.provider_token(&key_id, &team_id, now);
        let (message, signature) = token.jwt().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(signature.len(), SigningKey::SIGNATURE_LEN);
        verifier.verify(message.as_bytes(), &signature).unwrap();
        leading_r += u32::from(signature[0] == 0);
        leading_s += u32::from(signature[32] == 0);
    }
    // One in 256 begins with a zero byte: short only where somebody forgot to pad.
    assert!(leading_r > 0 && leading_s > 0, "{leading_r} and {leading_s} begin with zero");
}

#[test]
fn signatures_are_deterministic() {
    assert_eq!(key().sign(b"x"), key().sign(b"x"));
    assert_ne!(key().sign(b"x"), key().sign(b"y"));
}

#[test]
fn a_token_from_elsewhere_has_the_age_that_it_says() {
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let signed = key().provider_token(&key_id, &team_id, start(1_700_000_000));
    let taken = ProviderToken::from_jwt(&format!(" {}\n", signed.jwt()), start(1_700_000_003)).unwrap();
    assert_eq!((taken.jwt(), taken.issued_at()), (signed.jwt(), signed.issued_at()));
    for (text, error) in [
        ("", ProviderTokenError::Parts { found: 1 }),
        ("a.b", ProviderTokenError::Parts { found: 2 }),
        ("a.b.c.d", ProviderTokenError::Parts { found: 4 }),
        ("a..c", ProviderTokenError::NotBase64Url),
        ("a.e30=.c", ProviderTokenError::NotBase64Url),
        ("a\r\nx.e30.c", ProviderTokenError::NotBase64Url),
        ("a.e30.c", ProviderTokenError::NoIssuedAt),
        ("a.eyJpYXQiOiIxIn0.c", ProviderTokenError::NoIssuedAt),
        ("a.eyJpYXQiOi0xfQ.c", ProviderTokenError::NoIssuedAt),
    ] {
        assert_eq!(ProviderToken::from_jwt(text, start(1)), Err(error), "{text:?}");
    }
}

/// RFC 7519 section 2: a NumericDate is any JSON number.
#[test]
fn the_time_of_a_token_may_have_a_fraction() {
    for text in ["a.eyJpYXQiOjE3MDAwMDAwMDAuNzV9.c", "a.eyJpYXQiOjE3MDAwMDAwMDAuMH0.c", "a.eyJpYXQiOjEuN2U5fQ.c"] {
        let token = ProviderToken::from_jwt(text, start(1_700_000_003)).unwrap();
        assert_eq!(token.issued_at().as_secs(), 1_700_000_000, "{text}");
    }
}

#[test]
fn ids_have_ten_letters_and_digits() {
    assert_eq!(KeyId::new(" ABC123DEFG\n").unwrap().as_str(), "ABC123DEFG");
    assert_eq!(TeamId::new("ABC123DEF"), Err(TextError::Length { what: "the team id", found: 9, expected: 10 }));
    let error = TextError::Character { what: "the key id", found: '"', position: 3 };
    assert_eq!(KeyId::new("ABC\"23DEFG"), Err(error));
    for name in ["/etc/AuthKey_ABC123DEFG.p8", r"C:\keys\AuthKey_ABC123DEFG.p8", "AuthKey_ABC123DEFG (1).p8"] {
        assert_eq!(KeyId::from_file_name(name), KeyId::new("ABC123DEFG").ok(), "{name}");
    }
    for name in ["", "key.p8", "AuthKey_.p8", "AuthKey_ABC.p8"] {
        assert_eq!(KeyId::from_file_name(name), None, "{name}");
    }
}

#[test]
fn secrets_stay_out_of_debug_output_and_errors() {
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let token = key().provider_token(&key_id, &team_id, start(1_700_000_000));
    let broken = SigningKey::read(PKCS8.replace("MIG", "M*G").as_bytes()).unwrap_err();
    let printed = format!("{:?} {token:?} {broken:?} {broken}", key());
    assert_eq!(
        printed,
        format!("SigningKey(P-256) ProviderToken(issued at 1700000000 s) Base64 {}", SigningKeyError::Base64)
    );
}
