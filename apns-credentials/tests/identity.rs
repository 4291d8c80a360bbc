//! Credentials in every form in which they are stored. The files are made by `fixtures/make.sh`.

#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use apns_credentials::{
    Certificate, CertificateEnvironment, Identities, Identity, IdentityError, IdentityWarning, Part, Purpose, Validity,
};
use apns_proto::Environment;
use apns_proto::WallTime;

macro_rules! fixture {
    ($name:literal) => {
        &include_bytes!(concat!("fixtures/", $name))[..]
    };
}

const PASSWORD: &str = "correct horse";
const UNIVERSAL: &str = "Apple Push Services: com.example.app";
/// 2020-01-01 and 2120-01-01.
const START: WallTime = WallTime::from_secs(1_577_836_800);
const END: WallTime = WallTime::from_secs(4_733_510_400);

fn universal() -> Identity {
    Identity::from_pem(fixture!("universal.cert.pem"), Some(fixture!("universal.key.pem")), None).unwrap()
}

fn development() -> Identity {
    Identity::from_pem(fixture!("development.cert.pem"), Some(fixture!("development.key.pem")), None).unwrap()
}

fn pem_error(certificate: &[u8], key: Option<&[u8]>, password: Option<&str>) -> IdentityError {
    Identity::from_pem(certificate, key, password).unwrap_err()
}

fn common_names(identity: &Identity) -> Vec<&str> {
    identity
        .chain()
        .map(|certificate| {
            let subject = certificate.subject();
            subject.split(',').find_map(|part| part.strip_prefix("CN=")).unwrap_or(subject)
        })
        .collect()
}

#[test]
fn a_certificate_says_what_it_is_for() {
    let identity = universal();
    assert!(identity.subject().contains(UNIVERSAL), "{}", identity.subject());
    assert!(identity.issuer().contains("CN=Example Push CA"), "{}", identity.issuer());
    assert_eq!(identity.default_topic(), Some("com.example.app"));
    assert_eq!(identity.topics(), ["com.example.app", "com.example.app.voip", "com.example.app.complication"]);
    assert_eq!(identity.environment(), Some(CertificateEnvironment::Both));
    assert_eq!((identity.not_before(), identity.not_after()), (START, END));
    assert_eq!(identity.serial().len(), 40);
    assert_eq!(identity.fingerprint().to_string().len(), 64);
    assert_ne!(identity.fingerprint(), development().fingerprint());
}

#[test]
fn older_certificates_serve_one_environment_and_topic() {
    let identity = development();
    assert_eq!(identity.environment(), Some(CertificateEnvironment::Development));
    assert_eq!(identity.topics(), ["com.example.dev"]);

    let production = [fixture!("production.key.pem"), fixture!("production.cert.pem")].concat();
    let identity = Identity::from_bytes(&production, None).unwrap();
    assert_eq!(identity.environment(), Some(CertificateEnvironment::Production));
    assert_eq!(identity.topics(), ["com.example.old"], "no UID, so the common name counts");

    let identity = Identity::from_pem(fixture!("voip.cert.pem"), Some(fixture!("voip.key.pem")), None).unwrap();
    assert_eq!(identity.topics(), ["com.example.calls.voip"]);

    let identity = Identity::from_pem(fixture!("plain.cert.pem"), Some(fixture!("plain.key.pem")), None).unwrap();
    assert_eq!(identity.environment(), None);
    assert_eq!(identity.default_topic(), None);
    assert!(identity.topics().is_empty());
}

#[test]
fn b81_every_way_to_store_a_pem_gives_the_same_identity() {
    let plain = String::from_utf8([fixture!("universal.cert.pem"), fixture!("universal.key.pem")].concat()).unwrap();
    let variants = [
        ("as it is", plain.clone()),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("CR", plain.replace('\n', "\r")),
        ("no final newline", plain.trim_end().to_owned()),
        ("escaped newlines", plain.replace('\n', "\\n")),
        ("escaped CRLF", plain.replace('\n', "\\r\\n")),
        ("in quotes on one line", format!("\"{}\"", plain.replace('\n', " "))),
        ("with a byte order mark", format!("\u{feff}{plain}")),
    ];
    for (name, text) in variants {
        let identity = Identity::from_bytes(text.as_bytes(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(identity, universal(), "{name}");
        assert_eq!(identity.private_key_der(), universal().private_key_der(), "{name}");
    }
}

#[test]
fn b81_bare_base64_and_der_are_taken_too() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (certificate, key) = (fixture!("universal.cer"), fixture!("universal.key.der"));
    let expected = universal();
    assert_eq!(Identity::from_pem(certificate, Some(key), None), Ok(expected.clone()));
    let (certificate, key) = (STANDARD.encode(certificate), STANDARD.encode(key));
    assert_eq!(Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None), Ok(expected.clone()));
    let whole = STANDARD.encode([fixture!("universal.cert.pem"), fixture!("universal.key.pem")].concat());
    assert_eq!(Identity::from_bytes(whole.as_bytes(), None), Ok(expected));
}

#[test]
fn b81_keys_in_every_wrapping_become_the_same_pkcs8() {
    let expected = universal();
    assert_eq!(expected.private_key_der(), fixture!("universal.key.der"), "what OpenSSL writes");
    let certificate = fixture!("universal.cert.pem");
    let identity = Identity::from_pem(certificate, Some(fixture!("universal.pkcs1.pem")), None).unwrap();
    assert_eq!(identity.private_key_der(), expected.private_key_der());
    let identity = Identity::from_pem(fixture!("universal.trusted.pem"), Some(fixture!("universal.key.pem")), None);
    assert_eq!(identity, Ok(expected));

    let expected = development();
    for key in [fixture!("development.sec1.pem"), fixture!("development.no-public.pem")] {
        let identity = Identity::from_pem(fixture!("development.cert.pem"), Some(key), None).unwrap();
        assert_eq!(identity.private_key_der(), expected.private_key_der());
    }
}

#[test]
fn keys_are_written_as_ring_wants_them() {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
    RsaKeyPair::from_pkcs8(universal().private_key_der()).unwrap();
    let random = ring::rand::SystemRandom::new();
    let bare = Identity::from_pem(fixture!("development.cert.pem"), Some(fixture!("development.no-public.pem")), None);
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bare.unwrap().private_key_der(), &random).unwrap();
    let edwards = Identity::from_pem(fixture!("ed25519.cert.pem"), Some(fixture!("ed25519.key.pem")), None).unwrap();
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(edwards.private_key_der()).unwrap();
}

#[test]
fn keys_that_ring_does_not_know_are_matched_all_the_same() {
    for (certificate, key) in
        [(fixture!("p521.cert.pem"), fixture!("p521.key.pem")), (fixture!("short.cert.pem"), fixture!("short.key.pem"))]
    {
        Identity::from_pem(certificate, Some(key), None).unwrap();
        let error = pem_error(fixture!("universal.cert.pem"), Some(key), None);
        assert!(matches!(error, IdentityError::KeyMismatch { .. }), "{error}");
    }
}

#[test]
fn what_is_written_as_pem_reads_back() {
    let all = [fixture!("root.cert.pem"), fixture!("intermediate.cert.pem"), fixture!("universal.cert.pem")].concat();
    let identity = Identity::from_pem(&all, Some(fixture!("universal.key.pem")), None).unwrap();
    let again =
        Identity::from_pem(identity.chain_pem().as_bytes(), Some(identity.private_key_pem().as_bytes()), None).unwrap();
    assert_eq!(again, identity);
    assert_eq!(again.private_key_der(), identity.private_key_der());
}

#[test]
fn keys_are_written_byte_for_byte_as_openssl_writes_them() {
    for (certificate, key) in [
        (fixture!("universal.cert.pem"), fixture!("universal.key.pem")),
        (fixture!("development.cert.pem"), fixture!("development.key.pem")),
        (fixture!("plain.cert.pem"), fixture!("plain.key.pem")),
        (fixture!("p521.cert.pem"), fixture!("p521.key.pem")),
        (fixture!("ed25519.cert.pem"), fixture!("ed25519.key.pem")),
    ] {
        let identity = Identity::from_pem(certificate, Some(key), None).unwrap();
        assert_eq!(identity.private_key_pem().as_bytes(), key);
        assert_eq!(identity.chain_pem().as_bytes(), certificate);
    }
}

#[test]
fn b82_bag_attributes_are_skipped() {
    let identity = Identity::from_bytes(fixture!("bag-attributes.pem"), None).unwrap();
    assert_eq!(common_names(&identity), [UNIVERSAL, "Example Push CA", "Example Root CA"]);
    assert_eq!(identity.private_key_der(), universal().private_key_der());
}

#[test]
fn b83_the_leaf_is_the_certificate_of_the_key_and_the_chain_follows_in_order() {
    let certificates = [
        fixture!("root.cert.pem"),
        fixture!("development.cert.pem"),
        fixture!("namesake.cert.pem"),
        fixture!("intermediate.cert.pem"),
        fixture!("universal.cert.pem"),
        fixture!("universal.cert.pem"),
    ]
    .concat();
    let identity = Identity::from_pem(&certificates, Some(fixture!("universal.key.pem")), None).unwrap();
    assert_eq!(common_names(&identity), [UNIVERSAL, "Example Push CA", "Example Root CA"]);
    let intermediate = Identities::from_pem(fixture!("intermediate.cert.pem"), None, None).unwrap_err();
    assert!(matches!(intermediate, IdentityError::CertificateWithoutKey { .. }));
    let serials: Vec<_> = identity.chain().map(|certificate| certificate.serial().to_owned()).collect();
    let alone = [fixture!("universal.cert.pem"), fixture!("intermediate.cert.pem")].concat();
    let alone = Identity::from_pem(&alone, Some(fixture!("universal.key.pem")), None).unwrap();
    assert_eq!(alone.chain().nth(1).unwrap().serial(), serials[1], "the namesake has another key identifier");
}

#[test]
fn b83_several_identities_are_never_guessed_among() {
    let both = [
        fixture!("development.cert.pem"),
        fixture!("production.cert.pem"),
        fixture!("production.key.pem"),
        fixture!("development.key.pem"),
    ]
    .concat();
    let Err(IdentityError::SeveralIdentities { subjects }) = Identity::from_bytes(&both, None) else { panic!() };
    assert_eq!(subjects.len(), 2);
    assert!(subjects[0].contains("com.example.dev") && subjects[1].contains("com.example.old"));

    let all = Identities::from_bytes(&both, None).unwrap();
    assert_eq!(all.iter().len(), 2);
    assert_eq!(all.clone().with_subject("com.example.dev"), Ok(development()));
    assert_eq!(all.clone().with_subject("Apple Production").unwrap().topics(), ["com.example.old"]);
    assert_eq!(
        all.clone().with_subject("com.example"),
        Err(IdentityError::SeveralIdentities { subjects: subjects.clone() })
    );
    let error = all.with_subject("com.other").unwrap_err();
    assert_eq!(error, IdentityError::NoSuchIdentity { wanted: "com.other".to_owned(), subjects });
}

#[test]
fn b83_of_a_certificate_and_its_renewal_the_later_one_counts() {
    for certificates in [
        [fixture!("expired.cert.pem"), fixture!("renewed.cert.pem")],
        [fixture!("renewed.cert.pem"), fixture!("expired.cert.pem")],
    ] {
        let identity = Identity::from_pem(&certificates.concat(), Some(fixture!("expired.key.pem")), None).unwrap();
        assert_eq!(identity.not_after(), END);
    }
}

#[test]
fn b83_a_foreign_key_is_noticed() {
    for (certificate, key) in [
        (fixture!("universal.cert.pem"), fixture!("development.key.pem")),
        (fixture!("development.cert.pem"), fixture!("universal.key.pem")),
        (fixture!("development.cert.pem"), fixture!("production.key.pem")),
        (fixture!("development.cert.pem"), fixture!("plain.key.pem")),
        (fixture!("ed25519.cert.pem"), fixture!("development.key.pem")),
        (fixture!("development.cert.pem"), fixture!("ed25519.key.pem")),
    ] {
        let IdentityError::KeyMismatch { subjects } = pem_error(certificate, Some(key), None) else { panic!() };
        assert_eq!(subjects.len(), 1);
    }
}

#[test]
fn b84_expiry_is_told_ahead_and_refused_when_it_is_over() {
    const DAY: u64 = 24 * 60 * 60;
    let identity = universal();
    let end = END.as_secs();
    let at = WallTime::from_secs;
    assert_eq!(identity.validity(at(end - 31 * DAY)), Validity::Ok);
    assert_eq!(identity.validity(at(end - DAY)), Validity::ExpiresSoon { at: END });
    assert_eq!(identity.validity(at(end + DAY)), Validity::Expired { at: END });
    assert_eq!(identity.validity(at(START.as_secs() - 1)), Validity::NotYet { at: START });
    assert_eq!(identity.ensure_usable(at(end - DAY)), Ok(()));
    let verdict = identity.judge(Purpose::default(), at(end - DAY));
    assert_eq!(verdict.problems, []);
    assert!(matches!(&verdict.warnings[..], [IdentityWarning::ExpiresSoon { at: END, .. }]), "{verdict:?}");
}

#[test]
fn b84_an_expired_or_early_certificate_is_a_typed_error_with_its_date() {
    let now = WallTime::from_secs(1_800_000_000);
    let expired = Identity::from_pem(fixture!("expired.cert.pem"), Some(fixture!("expired.key.pem")), None).unwrap();
    let error = expired.ensure_usable(now).unwrap_err();
    let (subject, at) = (expired.subject().to_owned(), WallTime::from_secs(1_546_300_800));
    assert_eq!(error, IdentityError::Expired { subject, at });
    assert!(error.to_string().contains("expired at 2019-01-01T00:00:00Z"), "{error}");

    let early = Identity::from_pem(fixture!("early.cert.pem"), Some(fixture!("early.key.pem")), None).unwrap();
    let error = early.ensure_usable(now).unwrap_err();
    let (subject, at) = (early.subject().to_owned(), WallTime::from_secs(4_070_908_800));
    assert_eq!(error, IdentityError::NotYetValid { subject, at });
    assert!(error.to_string().contains("not valid before 2099-01-01T00:00:00Z"), "{error}");
}

/// The judgement that checking and sending share.
fn problems(certificate: &[u8], key: &[u8]) -> Vec<IdentityError> {
    let identity = Identity::from_pem(certificate, Some(key), None).unwrap();
    let now = WallTime::from_secs(1_800_000_000);
    let verdict = identity.judge(Purpose::default(), now);
    assert_eq!(identity.ensure_usable(now).err().as_ref(), verdict.problems.first());
    verdict.problems
}

#[test]
fn n6_keys_are_judged_by_whether_tls_can_sign_with_them() {
    for (certificate, key, kind) in [
        (fixture!("short.cert.pem"), fixture!("short.key.pem"), "RSA with 1024 bits"),
        (fixture!("p521.cert.pem"), fixture!("p521.key.pem"), "ECDSA on P-521"),
        (
            fixture!("exponent-3.cert.pem"),
            fixture!("exponent-3.key.pem"),
            "RSA with 2048 bits and a public exponent below 65537",
        ),
    ] {
        let found = problems(certificate, key);
        assert_eq!(found, [IdentityError::UnsupportedKey { algorithm: kind.to_owned() }]);
    }
    for (certificate, key) in [
        (fixture!("universal.cert.pem"), fixture!("universal.key.pem")),
        (fixture!("development.cert.pem"), fixture!("development.key.pem")),
        (fixture!("plain.cert.pem"), fixture!("plain.key.pem")),
        (fixture!("ed25519.cert.pem"), fixture!("ed25519.key.pem")),
        (fixture!("version-1.cert.pem"), fixture!("version-1.key.pem")),
        (fixture!("odd.cert.pem"), fixture!("odd.key.pem")),
    ] {
        assert_eq!(problems(certificate, key), []);
    }
    // DSA is not even read, wherever it stands.
    let dsa = Identity::from_pem(fixture!("dsa.cert.pem"), Some(fixture!("dsa.key.pem")), None).unwrap_err();
    assert_eq!(dsa, IdentityError::UnsupportedKey { algorithm: "DSA".to_owned() });
    let certificate = &Certificate::all_in(fixture!("dsa.cert.pem"), None).unwrap()[0];
    let verdict = certificate.judge(Purpose::default(), WallTime::from_secs(1_800_000_000));
    assert_eq!(verdict.problems, [dsa]);
}

#[test]
fn n7_a_certificate_for_signing_code_is_no_push_certificate_and_a_team_no_topic() {
    let (certificate, key) = (fixture!("code-signing.cert.pem"), fixture!("code-signing.key.pem"));
    let found = problems(certificate, key);
    assert!(matches!(&found[..], [IdentityError::CodeSigning { subject }] if subject.contains("Apple Distribution")));
    let identity = Identity::from_pem(certificate, Some(key), None).unwrap();
    assert_eq!((identity.default_topic(), identity.topics()), (None, &[][..]));
}

#[test]
fn a_topic_and_an_environment_that_a_certificate_is_not_for_are_warned_of() {
    let now = WallTime::from_secs(1_800_000_000);
    let production =
        Identity::from_pem(fixture!("production.cert.pem"), Some(fixture!("production.key.pem")), None).unwrap();
    let warnings = |identity: &Identity, topic, environment| {
        let purpose = Purpose::default().with_topic(topic).with_environment(environment);
        identity.judge(purpose, now).warnings
    };
    assert_eq!(warnings(&production, Some("com.example.old"), Some(Environment::Production)), []);
    let other = warnings(&production, Some("com.example.app"), Some(Environment::Sandbox));
    let certificate = CertificateEnvironment::Production;
    let expected = [
        IdentityWarning::OtherTopic { topic: "com.example.app".to_owned(), topics: vec!["com.example.old".to_owned()] },
        IdentityWarning::OtherEnvironment { certificate },
    ];
    assert_eq!(other, expected);
    // Several topics, and both environments.
    for (topic, environment) in
        [("com.example.app.voip", Environment::Sandbox), ("com.example.app", Environment::Production)]
    {
        assert_eq!(warnings(&universal(), Some(topic), Some(environment)), []);
    }
    // A list has the last word; a suffix that the push type adds may be left out.
    let purpose = Purpose::default().with_topic(Some("com.example.other"));
    let found = universal().judge(purpose, now);
    assert!(matches!(&found.problems[..], [IdentityError::OtherTopic { topic, .. }] if topic == "com.example.other"));
    let voip = Identity::from_pem(fixture!("voip.cert.pem"), Some(fixture!("voip.key.pem")), None).unwrap();
    for (topic, problems) in [("com.example.calls", 0), ("com.example.calls.voip", 0), ("com.example.call", 1)] {
        let found = voip.judge(Purpose::default().with_topic(Some(topic)), now);
        assert_eq!(found.problems.len(), problems, "{topic}");
    }
    // One that says nothing is good for everything, as far as it goes.
    let plain = Identity::from_pem(fixture!("plain.cert.pem"), Some(fixture!("plain.key.pem")), None).unwrap();
    let found = warnings(&plain, Some("com.example.app"), Some(Environment::Sandbox));
    assert!(matches!(found[..], [IdentityWarning::NoPushCertificate { .. }]), "{found:?}");
}

#[test]
fn a_key_without_a_certificate_is_told() {
    for key in [
        fixture!("AuthKey_EXAMPLE001.p8"),
        fixture!("universal.key.pem"),
        fixture!("universal.key.der"),
        fixture!("universal.encrypted.pem"),
        fixture!("universal.encrypted-traditional.pem"),
    ] {
        let error = Identity::from_bytes(key, None).unwrap_err();
        if cfg!(feature = "pkcs12") || key != fixture!("universal.encrypted.pem") {
            assert_eq!(error, IdentityError::KeyWithoutCertificate);
        }
    }
    let text = IdentityError::KeyWithoutCertificate.to_string();
    assert!(text.contains("token key"), "{text}");
}

#[test]
fn a_certificate_without_its_key_is_told() {
    for certificate in [fixture!("universal.cert.pem"), fixture!("universal.cer")] {
        let error = Identity::from_bytes(certificate, None).unwrap_err();
        assert_eq!(error, IdentityError::CertificateWithoutKey { subject: universal().subject().to_owned() });
    }
}

#[test]
fn openssls_old_encryption_is_named_with_the_way_out() {
    let key = fixture!("universal.encrypted-traditional.pem");
    let error = pem_error(fixture!("universal.cert.pem"), Some(key), Some(PASSWORD));
    assert_eq!(error, IdentityError::LegacyEncryption { line: 1 });
    assert!(error.to_string().contains("openssl pkcs8 -topk8 -in key.pem -out key-pkcs8.pem"), "{error}");
}

#[test]
fn other_things_in_pem_are_named() {
    let error = pem_error(fixture!("request.pem"), None, None);
    assert_eq!(error, IdentityError::UnexpectedPem { labels: vec!["CERTIFICATE REQUEST".to_owned()] });
}

#[test]
fn what_is_no_credential_is_told() {
    assert_eq!(Identity::from_bytes(b"", None), Err(IdentityError::Empty));
    assert_eq!(Identity::from_bytes(b" \r\n\xff", None), Err(IdentityError::Unrecognized));
    assert_eq!(Identity::from_bytes(b" \r\n", None), Err(IdentityError::Empty));
    assert_eq!(Identity::from_bytes(b"/etc/apns/cert.pem", None), Err(IdentityError::Unrecognized));
    let limit = 1024 * 1024;
    assert_eq!(Identity::from_bytes(&vec![b'A'; limit + 1], None), Err(IdentityError::TooLarge { limit }));
}

#[test]
fn more_certificates_or_keys_than_anyone_has_are_refused_at_once() {
    let keys = fixture!("development.key.pem").repeat(65);
    assert_eq!(pem_error(fixture!("universal.cert.pem"), Some(&keys), None), IdentityError::TooMany { limit: 64 });
    let keys = fixture!("development.key.pem").repeat(64);
    assert!(matches!(pem_error(fixture!("universal.cert.pem"), Some(&keys), None), IdentityError::KeyMismatch { .. }));
    // A certificate that is there many times is one certificate.
    let certificates = fixture!("development.cert.pem").repeat(100);
    assert_eq!(Identity::from_pem(&certificates, Some(fixture!("development.key.pem")), None), Ok(development()));
    let blocks = b"-----BEGIN X-----\n-----END X-----\n".repeat(30_000);
    assert_eq!(pem_error(&blocks, None, None), IdentityError::UnexpectedPem { labels: vec!["X".to_owned()] });
}

#[test]
fn damage_is_located() {
    let text = String::from_utf8(fixture!("bag-attributes.pem").to_vec()).unwrap();
    let cut = &text[..text.rfind("-----END").unwrap()];
    let error = Identity::from_bytes(cut.as_bytes(), None).unwrap_err();
    let IdentityError::Malformed { part: Part::Pem, line: Some(line), reason } = &error else { panic!("{error:?}") };
    assert!(text.lines().nth(line - 1).unwrap().starts_with("-----BEGIN"), "{line}");
    assert!(reason.contains("cut off"), "{reason}");

    let half = String::from_utf8(fixture!("universal.cert.pem").to_vec()).unwrap();
    let mut lines: Vec<_> = half.lines().collect();
    lines.drain(5..10);
    let error = Identity::from_bytes(lines.join("\n").as_bytes(), None).unwrap_err();
    assert!(matches!(error, IdentityError::Malformed { part: Part::Certificate, line: Some(1), .. }), "{error:?}");
}

#[test]
fn a_key_that_contradicts_itself_is_told() {
    let mut key = fixture!("universal.key.der").to_vec();
    let last = key.len() - 1;
    key[last] ^= 1;
    let error = pem_error(fixture!("universal.cert.pem"), Some(&key), None);
    assert!(matches!(error, IdentityError::InvalidKey { .. }), "{error:?}");
}

#[test]
fn unknown_kinds_of_key_are_named() {
    // PKCS#8 with id-Ed448 and nothing in it.
    let key = [0x30, 12, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x71, 4, 0];
    let error = pem_error(fixture!("universal.cert.pem"), Some(&key), None);
    assert_eq!(error, IdentityError::UnsupportedKey { algorithm: "Ed448".to_owned() });
}

#[test]
fn files_are_read_and_missing_ones_named() {
    use std::path::Path;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let (certificate, key) = (folder.join("universal.cert.pem"), folder.join("universal.key.pem"));
    assert_eq!(Identity::from_files(&certificate, Some(&key), None), Ok(universal()));
    assert!(Identity::from_files(&folder.join("bag-attributes.pem"), None, None).is_ok());
    let path = folder.join("missing.pem");
    let error = Identity::from_files(&path, None, None).unwrap_err();
    assert_eq!(error, IdentityError::Io { path, kind: std::io::ErrorKind::NotFound });
}

#[test]
fn no_secret_is_ever_shown() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let identity = universal();
    let shown = format!("{identity:?} {identity:#?} {:?}", identity.certificate());
    assert!(shown.contains(UNIVERSAL) && shown.contains("redacted"));
    let key = identity.private_key_der();
    let secret_hex: String = key[100..108].iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [&STANDARD.encode(key)[40..60], &secret_hex, &format!("{:?}", &key[100..108])[1..20]] {
        assert!(!shown.contains(secret));
    }
    // Every error about a damaged key, too.
    for position in 0..key.len() {
        let mut damaged = key.to_vec();
        damaged[position] ^= 0x55;
        if let Err(error) = Identity::from_pem(fixture!("universal.cer"), Some(&damaged), None) {
            let shown = format!("{error:?} {error}");
            assert!(!shown.contains(&secret_hex) && shown.len() < 400, "{shown}");
        }
    }
}

#[test]
fn nothing_panics_on_cut_or_flipped_bytes() {
    let certificate = fixture!("development.cert.pem");
    let whole = [certificate, fixture!("development.sec1.pem")].concat();
    for position in 0..whole.len() {
        let _ = Identity::from_bytes(&whole[..position], None);
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        let _ = Identity::from_bytes(&flipped, None);
    }
    let der = fixture!("universal.cer");
    for position in 0..der.len() {
        let _ = Identity::from_bytes(&der[..position], None);
        let mut flipped = der.to_vec();
        flipped[position] ^= 0x81;
        let _ = Identity::from_bytes(&flipped, None);
    }
}

#[cfg(not(feature = "pkcs12"))]
#[test]
fn what_needs_the_feature_says_so() {
    let error = Identity::from_bytes(fixture!("modern.p12"), Some(PASSWORD)).unwrap_err();
    assert_eq!(error, IdentityError::FeatureDisabled { part: Part::Pkcs12, feature: "pkcs12" });
    let error = pem_error(fixture!("universal.cert.pem"), Some(fixture!("universal.encrypted.pem")), Some(PASSWORD));
    assert_eq!(error, IdentityError::FeatureDisabled { part: Part::PrivateKey, feature: "pkcs12" });
}

#[cfg(feature = "pkcs12")]
mod with_password {
    use super::*;

    fn full_chain(identity: &Identity) {
        assert_eq!(common_names(identity), [UNIVERSAL, "Example Push CA", "Example Root CA"]);
        assert_eq!(identity.private_key_der(), universal().private_key_der());
    }

    #[test]
    fn b82_old_and_new_encryption_is_read() {
        for (name, bytes) in [
            ("PBES2, AES-256, SHA-256", fixture!("modern.p12")),
            ("RC2-40, Triple DES, SHA-1", fixture!("legacy.p12")),
            ("Triple DES, SHA-1", fixture!("3des.p12")),
            ("no MAC", fixture!("no-mac.p12")),
            ("BER, as NSS writes it", fixture!("ber.p12")),
        ] {
            let identity = Identity::from_pkcs12(bytes, PASSWORD).unwrap_or_else(|error| panic!("{name}: {error}"));
            full_chain(&identity);
            assert_eq!(Identity::from_bytes(bytes, Some(PASSWORD)), Ok(identity), "{name}");
        }
    }

    #[test]
    fn b82_a_p12_in_base64_is_read() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = STANDARD.encode(fixture!("modern.p12"));
        full_chain(&Identity::from_bytes(text.as_bytes(), Some(PASSWORD)).unwrap());
        full_chain(&Identity::from_pkcs12(text.as_bytes(), PASSWORD).unwrap());
    }

    #[test]
    fn b82_an_empty_password_is_a_password_and_need_not_be_given() {
        full_chain(&Identity::from_pkcs12(fixture!("empty-password.p12"), "").unwrap());
        full_chain(&Identity::from_bytes(fixture!("empty-password.p12"), None).unwrap());
    }

    #[test]
    fn b82_a_wrong_password_is_told_from_a_missing_one() {
        let part = Part::Pkcs12;
        for bytes in [
            fixture!("modern.p12"),
            fixture!("legacy.p12"),
            fixture!("no-mac.p12"),
            fixture!("ber.p12"),
            fixture!("empty-password.p12"),
        ] {
            assert_eq!(Identity::from_pkcs12(bytes, "wrong"), Err(IdentityError::WrongPassword { part }));
        }
        let error = Identity::from_bytes(fixture!("modern.p12"), None).unwrap_err();
        assert_eq!(error, IdentityError::PasswordRequired { part });
    }

    /// Where the padding is all that shows it, one wrong password in 256 looks right at first.
    #[test]
    fn b82_every_wrong_password_is_told_even_without_a_mac() {
        for number in 0..400 {
            let error = Identity::from_pkcs12(fixture!("no-mac.p12"), &format!("wrong {number}")).unwrap_err();
            assert_eq!(error, IdentityError::WrongPassword { part: Part::Pkcs12 }, "{number}");
        }
    }

    #[test]
    fn b82_an_algorithm_that_is_not_supported_is_named() {
        let part = Part::Pkcs12;
        for (bytes, algorithm) in
            [(fixture!("rc4.p12"), "128-bit RC4 with SHA-1"), (fixture!("md5-mac.p12"), "an MD5 MAC")]
        {
            let error = Identity::from_pkcs12(bytes, PASSWORD).unwrap_err();
            assert_eq!(error, IdentityError::UnsupportedEncryption { part, algorithm: algorithm.to_owned() });
        }
    }

    #[test]
    fn b82_two_keys_in_one_file_are_both_offered() {
        for bytes in [fixture!("two-keys.p12"), fixture!("two-keys-legacy.p12")] {
            let error = Identity::from_pkcs12(bytes, PASSWORD).unwrap_err();
            let IdentityError::SeveralIdentities { subjects } = error else { panic!("{error:?}") };
            assert_eq!(subjects.len(), 2);
            let all = Identities::from_pkcs12(bytes, PASSWORD).unwrap();
            full_chain(&all.clone().with_subject("com.example.app").unwrap());
            let chosen = all.with_subject("com.example.dev").unwrap();
            assert_eq!(chosen.private_key_der(), development().private_key_der(), "Java leaves out the public half");
        }
    }

    /// Two keys, of which the first has no certificate here: the wrong pair would be caught only by the server.
    #[test]
    fn b83_key_a_key_b_certificate_b_gives_b() {
        use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
        let development = development();
        let certificate = Certificate::from_der(development.certificate().der()).unwrap();
        let entry = |id: &str, key: &[u8], certificates: &[Certificate]| {
            let key = PrivateKey::from_der(key).unwrap();
            KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id, key, certificates.to_vec()))
        };
        let mut store = KeyStore::new();
        // Even where the local key ids claim the opposite.
        store.add_entry("a", entry("1", fixture!("universal.key.der"), &[certificate]));
        store.add_entry("b", entry("2", development.private_key_der(), &[]));
        let bytes = store.writer(PASSWORD).write().unwrap();
        let identity = Identity::from_pkcs12(&bytes, PASSWORD).unwrap();
        assert_eq!(identity, development);
        assert_eq!(identity.private_key_der(), development.private_key_der());
    }

    #[test]
    fn b81_pkcs12_where_pem_is_expected_is_told_and_the_other_way_round() {
        let error = pem_error(fixture!("modern.p12"), None, Some(PASSWORD));
        assert_eq!(error, IdentityError::IsPkcs12);
        assert!(error.to_string().contains("this is PKCS#12"), "{error}");
        let error = pem_error(fixture!("universal.cert.pem"), Some(fixture!("ber.p12")), Some(PASSWORD));
        assert_eq!(error, IdentityError::IsPkcs12);
        for (bytes, found) in
            [(fixture!("universal.cert.pem"), "PEM"), (fixture!("universal.cer"), "a certificate in DER")]
        {
            assert_eq!(Identity::from_pkcs12(bytes, PASSWORD), Err(IdentityError::NotPkcs12 { found }));
        }
    }

    #[test]
    fn n17_line_ends_behind_a_p12_are_left_out_and_nothing_else_is() {
        for name in [fixture!("modern.p12"), fixture!("ber.p12"), fixture!("no-mac.p12")] {
            for more in ["\n", "\r\n", " \n\n"] {
                let file = [name, more.as_bytes()].concat();
                assert_eq!(Identity::from_pkcs12(&file, PASSWORD), Identity::from_pkcs12(name, PASSWORD));
            }
            let file = [name, b"x"].concat();
            let error = Identity::from_pkcs12(&file, PASSWORD).unwrap_err();
            assert!(matches!(error, IdentityError::Malformed { part: Part::Pkcs12, .. }), "{error}");
        }
    }

    #[test]
    fn half_a_p12_is_told() {
        let error = Identity::from_pkcs12(fixture!("no-key.p12"), PASSWORD).unwrap_err();
        assert!(matches!(error, IdentityError::CertificateWithoutKey { .. }), "{error:?}");
        let error = Identity::from_pkcs12(fixture!("no-certificate.p12"), PASSWORD).unwrap_err();
        assert_eq!(error, IdentityError::Pkcs12WithoutCertificate);
    }

    #[test]
    fn encrypted_pkcs8_is_read() {
        let certificate = fixture!("universal.cert.pem");
        for key in [
            fixture!("universal.encrypted.pem"),
            fixture!("universal.encrypted-3des.pem"),
            fixture!("universal.encrypted-scrypt.pem"),
        ] {
            let identity = Identity::from_pem(certificate, Some(key), Some(PASSWORD)).unwrap();
            assert_eq!(identity.private_key_der(), universal().private_key_der());
            let part = Part::PrivateKey;
            assert_eq!(pem_error(certificate, Some(key), Some("wrong")), IdentityError::WrongPassword { part });
            assert_eq!(pem_error(certificate, Some(key), None), IdentityError::PasswordRequired { part });
        }
        let error = pem_error(certificate, Some(fixture!("universal.encrypted-rc4.pem")), Some(PASSWORD));
        let algorithm = "128-bit RC4 with SHA-1".to_owned();
        assert_eq!(error, IdentityError::UnsupportedEncryption { part: Part::PrivateKey, algorithm });
    }

    #[test]
    fn nothing_panics_on_a_cut_or_flipped_p12() {
        // Without a MAC, so that what is damaged is read and not turned away at the door; with unencrypted bags last.
        let whole = fixture!("no-mac.p12");
        for position in 0..whole.len() {
            assert!(Identity::from_pkcs12(&whole[..position], PASSWORD).is_err());
        }
        for position in (0..whole.len()).step_by(17) {
            let mut flipped = whole.to_vec();
            flipped[position] ^= 1;
            let _ = Identity::from_pkcs12(&flipped, PASSWORD);
        }
    }

    #[test]
    fn no_password_is_ever_shown() {
        for bytes in [fixture!("modern.p12"), fixture!("rc4.p12"), fixture!("no-mac.p12")] {
            let error = Identity::from_pkcs12(bytes, "hunter2").unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
    }
}
