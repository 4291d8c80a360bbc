//! What is said of a credential is the same everywhere: `apns check`, `apns send` and `apns serve --check`.

use std::fs;
use std::path::{Path, PathBuf};

use apns_sim::{ProviderAuth, Simulator};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Folder, Run, Sim, apns, finish, run, token};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../apns-credentials/tests/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap()
}

/// A simulator that takes any certificate, and a folder for files.
struct Desk {
    sim: Sim,
    folder: Folder,
}

impl Desk {
    fn new() -> Self {
        let sim = Sim::built(Simulator::builder().provider_auth(ProviderAuth::AnyCertificate));
        let folder = Folder::new();
        folder.write("password", "correct horse\n");
        Self { sim, folder }
    }

    fn check(&self, file: &str, more: &[&str]) -> Run {
        run(["check", file].iter().chain(more))
    }

    fn send(&self, file: &str, more: &[&str]) -> Run {
        let mut arguments =
            self.sim.to_provider(&["send", "--topic", "com.example.app", "--body", "x", "--cert", file]);
        arguments.extend(["--token".to_owned(), token(1)]);
        arguments.extend(more.iter().map(ToString::to_string));
        run(arguments)
    }

    fn serve(&self, file: &str, more: &str) -> Run {
        let config = format!(
            "[api]\nlisten = \"127.0.0.1:0\"\n[apps.shop]\nenvironment = \"production\"\ncertificate = \"{file}\"\n\
             topic = \"com.example.app\"\n{more}"
        );
        let config = self.folder.write("apnsd.toml", config);
        run(["serve", "--check", "--config", &config])
    }

    /// All three refuse it, with these words.
    #[track_caller]
    fn assert_refused(&self, file: &str, password: bool, words: &str) {
        let secret = self.folder.path("password");
        let (check, send, serve) = if password {
            (
                self.check(file, &["--password-file", &secret]),
                self.send(file, &["--cert-password-file", &secret]),
                self.serve(file, &format!("password_file = \"{secret}\"\n")),
            )
        } else {
            (self.check(file, &[]), self.send(file, &[]), self.serve(file, ""))
        };
        assert_eq!((check.status, send.status > 1, serve.status), (1, true, 2), "{check:?}\n{send:?}\n{serve:?}");
        for (who, said) in [("check", &check.stdout), ("send", &send.stderr), ("serve", &serve.stderr)] {
            assert!(said.contains(words), "{who}: {file}: no {words:?} in {said}");
        }
        assert!(self.sim.simulator.requests().is_empty(), "{file}: nothing leaves");
    }

    /// All three take it.
    #[track_caller]
    fn assert_taken(&self, file: &str) {
        let (check, send, serve) = (self.check(file, &[]), self.send(file, &[]), self.serve(file, ""));
        assert_eq!((check.status, send.status, serve.status), (0, 0, 0), "{check:?}\n{send:?}\n{serve:?}");
    }

    /// A certificate and its key in one file.
    fn pair(&self, name: &str) -> String {
        let both = [format!("{name}.cert.pem"), format!("{name}.key.pem")].map(|part| fixture(&part)).concat();
        self.folder.write(&format!("{name}.pem"), both)
    }
}

#[test]
fn n5_n6_n7_check_send_and_serve_agree_on_certificates() {
    let desk = Desk::new();
    for (name, words) in [
        ("short", "the key is RSA with 1024 bits"),
        ("p521", "the key is ECDSA on P-521"),
        ("exponent-3", "a public exponent below 65537"),
        ("dsa", "the key is DSA"),
        ("code-signing", "is for signing code, not for push notifications"),
        ("expired", "expired at 2019-01-01T00:00:00Z"),
        ("early", "is not valid before 2099-01-01T00:00:00Z"),
    ] {
        desk.assert_refused(&desk.pair(name), false, words);
    }
    for name in ["universal", "version-1", "odd"] {
        desk.assert_taken(&desk.pair(name));
    }
    let accepted = desk.sim.simulator.requests().len();
    assert_eq!(accepted, 3);
}

#[test]
fn n13_n17_n18_check_send_and_serve_agree_on_containers() {
    let desk = Desk::new();
    let write = |name: &str| desk.folder.write(name, fixture(name));
    for (name, words) in [
        ("no-certificate.p12", "holds a private key without its certificate"),
        ("no-key.p12", "came without its private key"),
        (
            "rc4.p12",
            "uses 128-bit RC4 with SHA-1, which is not supported; encrypt it anew with AES-256: `openssl pkcs12",
        ),
        ("md5-mac.p12", "uses an MD5 MAC, which is not supported; encrypt it anew with AES-256: `openssl pkcs12"),
    ] {
        desk.assert_refused(&write(name), true, words);
    }
    desk.assert_refused(&write("modern.p12"), false, "is encrypted and needs a password");
    // Encrypted keys.
    let with_key =
        |key: &str| desk.folder.write(&format!("with-{key}"), [fixture("universal.cert.pem"), fixture(key)].concat());
    for (key, words) in [
        ("universal.encrypted-rc4.pem", "uses 128-bit RC4 with SHA-1, which is not supported; encrypt it anew"),
        ("universal.encrypted-traditional.pem", "OpenSSL's old encryption"),
    ] {
        desk.assert_refused(&with_key(key), true, words);
    }
    // What an editor or a form adds at the end does not matter.
    let secret = desk.folder.path("password");
    let file = desk.folder.write("newline.p12", [fixture("modern.p12"), b"\n".to_vec()].concat());
    let told = desk.check(&file, &["--password-file", &secret]).expect(0);
    assert!(told.stdout.contains("com.example.app"), "{told:?}");
    desk.send(&file, &["--cert-password-file", &secret]).expect(0);
    desk.serve(&file, &format!("password_file = \"{secret}\"\n")).expect(0);
}

#[test]
fn the_configuration_is_judged_by_all_that_its_certificates_say() {
    let desk = Desk::new();
    let (expired, code) = (desk.pair("expired"), desk.pair("code-signing"));
    // Every app is judged, not only up to the first that is wrong.
    let config = desk.folder.write(
        "two.toml",
        format!(
            "[apps.one]\nenvironment = \"production\"\ncertificate = \"{expired}\"\n\
             [apps.two]\nenvironment = \"sandbox\"\ncertificate = \"{code}\"\n"
        ),
    );
    let said = run(["serve", "--check", "--config", &config]).expect(2).stderr;
    for words in ["apps.one.certificate: ", "expired at 2019", "apps.two.certificate: ", "for signing code"] {
        assert!(said.contains(words), "{said}");
    }
    // A list of topics has the last word, a name only a word.
    let universal = desk.pair("universal");
    let app = |file: &str, environment: &str, topic: &str| {
        let text =
            format!("[apps.shop]\nenvironment = \"{environment}\"\ncertificate = \"{file}\"\ntopic = \"{topic}\"\n");
        let config = desk.folder.write("one.toml", text);
        run(["serve", "--check", "--config", &config])
    };
    let said = app(&universal, "sandbox", "com.example.other").expect(2).stderr;
    assert!(said.contains("not for the topic com.example.other, only for com.example.app, "), "{said}");
    let said = app(&desk.pair("production"), "sandbox", "com.example.other").expect(0).stderr;
    for words in ["warning: ", "not for the topic com.example.other", "the certificate is for production only"] {
        assert!(said.contains(words), "{said}");
    }
    let said = app(&desk.pair("plain"), "sandbox", "com.example.other").expect(0).stderr;
    assert!(said.contains("warning: ") && said.contains("is no push certificate of Apple"), "{said}");
}

/// The simulator's signing key in a form, by file and by variable.
#[test]
fn n8_n10_a_signing_key_is_read_in_every_form_by_file_and_by_variable() {
    let sim = Sim::start();
    let pem = sim.simulator.signing_key_pem().to_owned();
    let inside: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let wrapped = |text: &str| -> String {
        text.as_bytes().chunks(76).map(|line| String::from_utf8(line.to_vec()).unwrap() + "\n").collect()
    };
    let send = |p8: &str| {
        let mut arguments =
            sim.to_provider(&["send", "--topic", "com.example.app", "--body", "x", "--token", &token(1)]);
        for (flag, id) in [("--key-id", sim.simulator.key_id()), ("--team-id", sim.simulator.team_id())] {
            arguments.extend([flag.to_owned(), id.to_owned()]);
        }
        let mut command = apns(&arguments);
        command.env("APNS_P8", p8);
        finish(command.spawn().unwrap())
    };
    let texts = [
        pem.clone(),
        pem.replace('\n', "\\n"),
        STANDARD.encode(&pem),
        STANDARD.encode(&pem) + "\n",
        wrapped(&STANDARD.encode(&pem)),
        inside.clone(),
        wrapped(&inside),
    ];
    for text in &texts {
        let file = sim.folder.write("some.p8", text);
        run(["check", &file]).expect(0);
        send(&file).expect(0);
        send(text).expect(0);
    }
    let der = sim.folder.write("der.p8", STANDARD.decode(&inside).unwrap());
    run(["check", &der]).expect(0);
    send(&der).expect(0);
    let utf16: Vec<u8> = "\u{feff}".encode_utf16().chain(pem.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let utf16 = sim.folder.write("utf16.p8", utf16);
    for (who, said) in [("check", run(["check", &utf16]).expect(1).stdout), ("send", send(&utf16).expect(2).stderr)] {
        assert!(said.contains("UTF-16"), "{who}: {said}");
    }
    // What is none is named by its variable, and not shown.
    let said = send("-----BEGIN PRIVATE KEY-----\nAAECAwQF\n-----END PRIVATE KEY-----\n").expect(2).stderr;
    assert!(said.contains("the variable APNS_P8") && !said.contains("AAECAwQF"), "{said}");
}

#[test]
fn a_certificate_and_its_key_may_stand_in_variables() {
    let sim = Sim::start();
    let arguments = sim.to_provider(&["send", "--body", "x", "--token", &token(1)]);
    let read = |name: &str| fs::read_to_string(sim.folder.path(name)).unwrap();
    let mut command = apns(&arguments);
    command.env("APNS_CERT", read("client.pem")).env("APNS_CERT_KEY", STANDARD.encode(read("client.key")));
    finish(command.spawn().unwrap()).expect(0);
}
