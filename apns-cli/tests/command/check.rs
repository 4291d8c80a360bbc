//! Files of credentials: what they are, and the true cause where they cannot be used.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Folder, Run, run};

/// A folder with a file `password` that has the password of the fixtures.
fn with_password() -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.write("password", "correct horse\n");
    (folder, path)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/fixtures").join(name)
}

fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/keys").join(name)
}

fn check(path: &Path, options: &[&str]) -> Run {
    let path = path.to_str().unwrap();
    run(["check", path, "--json"].iter().chain(options))
}

/// The only finding of a run that ended so.
#[track_caller]
fn finding(run: Run, status: i32) -> Value {
    let run = run.expect(status);
    let mut lines = run.stdout.lines();
    let (Some(line), None) = (lines.next(), lines.next()) else { panic!("{run:?}") };
    serde_json::from_str(line).unwrap()
}

#[track_caller]
fn problem(path: &Path, options: &[&str]) -> String {
    let finding = finding(check(path, options), 1);
    assert_eq!(finding["usable"], false);
    let problems = finding["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{finding}");
    problems[0]["what"].as_str().unwrap().to_owned()
}

#[test]
fn a_signing_key_is_told_with_the_id_in_its_name() {
    let key = finding(check(&fixture("AuthKey_EXAMPLE001.p8"), &[]), 0);
    assert_eq!(key["kind"], "signing key for provider tokens");
    assert_eq!((&key["key"], &key["key_id"]), (&json!("ECDSA on P-256"), &json!("EXAMPLE001")));
    assert_eq!((&key["usable"], &key["warnings"]), (&json!(true), &json!([])));

    let folder = Folder::new();
    let renamed = folder.write("key.p8", fs::read(fixture("AuthKey_EXAMPLE001.p8")).unwrap());
    let renamed = run(["check", &renamed]).expect(0);
    assert!(renamed.stdout.contains("Give it with --key-id"), "{}", renamed.stdout);
    assert!(renamed.stdout.contains("until it is revoked"), "{}", renamed.stdout);
}

#[test]
fn a_push_certificate_is_told_with_all_that_it_says() {
    let folder = Folder::new();
    let both =
        [fixture("universal.cert.pem"), fixture("universal.key.pem")].map(|path| fs::read(path).unwrap()).concat();
    let file = folder.write("push.pem", both);
    let told = finding(check(Path::new(&file), &[]), 0);
    for (name, value) in [
        ("kind", json!("client certificate with its private key")),
        ("key", json!("RSA with 2048 bits")),
        ("team_id", json!("TEAMID0001")),
        ("topics", json!(["com.example.app", "com.example.app.voip", "com.example.app.complication"])),
        ("environment", json!("sandbox and production")),
        ("not_after", json!(4_733_510_400_u64)),
        ("problems", json!([])),
        ("expired_days", Value::Null),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    let warnings = told["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{told}");
    assert_eq!(warnings[0]["what"], "it was not issued by Apple, but by CN=Example Push CA,O=Example,C=XX");
    assert!(told["days_left"].as_u64().unwrap() > 20_000);
    let shown = run(["check", &file]).expect(0).stdout;
    for words in ["Apple Push Services: com.example.app", "to 2120-01-01T00:00:00Z, ", " days left", "can be used"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
}

#[test]
fn b82_pkcs12_of_every_age_is_read() {
    let (_folder, password) = with_password();
    for name in ["modern.p12", "legacy.p12", "3des.p12", "ber.p12", "no-mac.p12"] {
        let told = finding(check(&fixture(name), &["--password-file", &password]), 0);
        assert_eq!(told["topics"][0], "com.example.app", "{name}");
        assert_eq!(told["issuers"], 2, "{name}");
    }
    finding(check(&fixture("empty-password.p12"), &[]), 0);
    finding(check(&fixture("bag-attributes.pem"), &[]), 0);
}

#[test]
fn the_password_is_the_first_line_of_a_file() {
    let (path, folder) = (fixture("modern.p12"), Folder::new());
    for right in ["correct horse", "correct horse\n", "correct horse\r\nand what follows\n"] {
        let file = folder.write("password", right);
        assert_eq!(finding(check(&path, &["--password-file", &file]), 0)["usable"], true, "{right:?}");
    }
    let wrong = folder.write("password", "wrong");
    assert!(problem(&path, &["--password-file", &wrong]).contains("the password does not open"));
    assert!(problem(&path, &[]).contains("needs a password"));
    let missing = run(["check", path.to_str().unwrap(), "--password-file", &folder.path("missing.txt")]).expect(2);
    assert!(missing.stderr.contains("missing.txt cannot be read"), "{}", missing.stderr);
}

#[test]
fn b82_encryptions_that_are_not_read_are_named() {
    let (_folder, password) = with_password();
    for (name, words) in [("rc4.p12", "RC4"), ("md5-mac.p12", "MD5")] {
        let what = problem(&fixture(name), &["--password-file", &password]);
        assert!(what.contains(words) && what.contains("not supported"), "{name}: {what}");
    }
    let old = fixture("universal.encrypted-traditional.pem");
    let old =
        problem(&fixture("universal.cert.pem"), &["--cert-key", old.to_str().unwrap(), "--password-file", &password]);
    assert!(old.contains("OpenSSL's old encryption") && old.contains("openssl pkcs8 -topk8"), "{old}");
}

#[test]
fn b81_line_ends_and_what_stands_around_do_not_matter() {
    let folder = Folder::new();
    for source in [
        fs::read_to_string(fixture("AuthKey_EXAMPLE001.p8")).unwrap(),
        [fixture("universal.cert.pem"), fixture("universal.key.pem")]
            .map(|path| fs::read_to_string(path).unwrap())
            .concat(),
        fs::read_to_string(fixture("bag-attributes.pem")).unwrap(),
    ] {
        for (what, text) in [
            ("CRLF", source.replace('\n', "\r\n")),
            ("CR", source.replace('\n', "\r")),
            ("no final newline", source.trim_end().to_owned()),
            ("escaped", source.replace('\n', "\\n")),
        ] {
            let file = folder.write("AuthKey_EXAMPLE001.p8", text);
            assert_eq!(finding(check(Path::new(&file), &[]), 0)["usable"], true, "{what}");
        }
    }
}

#[test]
fn b83_of_two_keys_none_is_guessed() {
    let (_folder, password) = with_password();
    for name in ["two-keys.p12", "two-keys-legacy.p12"] {
        let run = check(&fixture(name), &["--password-file", &password]).expect(1);
        let findings: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(findings.len(), 2, "{name}: both are told");
        for finding in findings {
            let what = finding["problems"][0]["what"].as_str().unwrap();
            assert!(what.contains("there are several identities"), "{name}: {what}");
        }
    }
    // Of two keys with one certificate there is only one that fits.
    let folder = Folder::new();
    let three = ["development.key.pem", "production.key.pem", "production.cert.pem"]
        .map(|name| fs::read(fixture(name)).unwrap());
    let file = folder.write("three.pem", three.concat());
    let told = finding(check(Path::new(&file), &[]), 0);
    assert_eq!((&told["topics"][0], &told["environment"]), (&json!("com.example.old"), &json!("production")));
}

#[test]
fn the_key_may_have_a_file_of_its_own_and_has_to_fit() {
    let (certificate, good, bad) =
        (fixture("development.cert.pem"), fixture("development.key.pem"), fixture("production.key.pem"));
    let told = finding(check(&certificate, &["--cert-key", good.to_str().unwrap()]), 0);
    assert_eq!((&told["environment"], &told["key"]), (&json!("sandbox"), &json!("ECDSA on P-256")));
    let foreign = problem(&certificate, &["--cert-key", bad.to_str().unwrap()]);
    assert!(foreign.contains("the private key belongs to none of the certificates"), "{foreign}");
}

#[test]
fn b84_a_certificate_out_of_its_time_cannot_be_used() {
    for (name, words) in [("expired", "expired at 2019-01-01T00:00:00Z"), ("early", "not valid before 2099-01-01")] {
        let key = fixture(&format!("{name}.key.pem"));
        let what = problem(&fixture(&format!("{name}.cert.pem")), &["--cert-key", key.to_str().unwrap()]);
        assert!(what.contains(words), "{name}: {what}");
    }
}

#[test]
fn how_long_ago_a_certificate_ended_is_said() {
    let (file, key) = (fixture("expired.cert.pem"), fixture("expired.key.pem"));
    let shown = run([Path::new("check"), &file, Path::new("--cert-key"), &key]).expect(1).stdout;
    assert!(shown.contains("to 2019-01-01T00:00:00Z, expired ") && shown.contains(" years ago"), "{shown}");
    let told = finding(check(&file, &["--cert-key", key.to_str().unwrap()]), 1);
    assert!(told["expired_days"].as_u64().unwrap() > 2000, "{told}");
}

#[test]
fn a_key_alone_is_named_so() {
    let told = finding(check(&fixture("universal.key.pem"), &[]), 1);
    assert_eq!(told["kind"], "private key without a certificate");
}

#[test]
fn a_certificate_without_its_key_is_shown_and_refused() {
    let (_folder, password) = with_password();
    for name in ["universal.cer", "universal.cert.pem", "universal.trusted.pem"] {
        let told = finding(check(&fixture(name), &[]), 1);
        assert_eq!(told["kind"], "certificate without its private key", "{name}");
        assert_eq!(told["topics"][0], "com.example.app", "{name}");
        let what = told["problems"][0]["what"].as_str().unwrap();
        assert!(what.contains("a .cer file never contains it"), "{name}: {what}");
    }
    let told = finding(check(&fixture("no-key.p12"), &["--password-file", &password]), 1);
    assert_eq!(told["topics"][0], "com.example.app");
}

#[test]
fn a_certificate_of_a_private_gateway_is_warned_of() {
    let key = fixture("plain.key.pem");
    let told = finding(check(&fixture("plain.cert.pem"), &["--cert-key", key.to_str().unwrap()]), 0);
    assert!(told["warnings"][0]["what"].as_str().unwrap().contains("no push certificate of Apple"), "{told}");
}

#[test]
fn what_is_no_credential_is_named_for_what_it_is() {
    let folder = Folder::new();
    let empty = folder.write("empty.p8", "");
    let junk = folder.write("junk.p8", [0x89, b'P', b'N', b'G', 0, 1, 2, 3]);
    let cut = fs::read_to_string(fixture("AuthKey_EXAMPLE001.p8")).unwrap();
    let cut = folder.write("AuthKey_EXAMPLE001.p8", &cut[..cut.len() / 2]);
    for (path, words) in [
        (fixture("request.pem"), "CERTIFICATE REQUEST"),
        (key("request.pem"), "CERTIFICATE REQUEST"),
        (key("encrypted.pem"), "encrypted"),
        (key("rsa.pem"), "an RSA key"),
        (key("rsa-pkcs1.pem"), "an RSA key"),
        (key("p384.pem"), "another curve (P-384)"),
        (key("p384-sec1.pem"), "another curve (P-384)"),
        (key("ed25519.pem"), "another algorithm"),
        (key("public.pem"), "a public key"),
        (PathBuf::from(empty), "is empty"),
        (PathBuf::from(junk), "neither PEM nor PKCS#12"),
        (PathBuf::from(cut), "cut off"),
    ] {
        let what = problem(&path, &[]);
        assert!(what.contains(words), "{}: {what}", path.to_str().unwrap());
    }
    let missing = run(["check", &folder.path("missing.p8")]).expect(2);
    assert!(missing.stderr.contains("cannot be read"), "{}", missing.stderr);
}

#[test]
fn key_material_and_passwords_are_never_printed() {
    let (folder, password) = with_password();
    let wrong = folder.write("wrong", "wrong horse");
    let secrets: Vec<String> =
        ["AuthKey_EXAMPLE001.p8", "universal.key.pem", "universal.pkcs1.pem", "development.sec1.pem"]
            .iter()
            .flat_map(|name| {
                let text = fs::read_to_string(fixture(name)).unwrap();
                let lines = text.lines().filter(|line| line.len() >= 24 && !line.starts_with('-')).map(str::to_owned);
                lines.collect::<Vec<_>>()
            })
            .collect();
    assert!(secrets.len() > 20);
    for entry in fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        for options in [&[][..], &["--password-file", &password], &["--password-file", &wrong]] {
            for arguments in [vec!["check", path.to_str().unwrap()], vec!["check", path.to_str().unwrap(), "--json"]] {
                let run = run(arguments.iter().chain(options));
                assert!(matches!(run.status, 0 | 1), "{run:?}");
                for text in [&run.stdout, &run.stderr] {
                    assert!(!text.contains("horse"), "{}: {text}", path.to_str().unwrap());
                    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{}", path.to_str().unwrap());
                }
            }
        }
    }
}
