//! Secrets that stand in the wrong place are in no output. The options are taken from the command's own help, so that a new
//! one is tried without a word here.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Folder, apns, run};

const PEM: &str = include_str!("../../../apns-credentials/tests/keys/p8.pem");

/// What people paste, and a part of it that must not come out.
fn secrets() -> Vec<(&'static str, String, String)> {
    let inside: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let piece = inside[40..60].to_owned();
    let base64 = {
        // Base64 of the PEM, as stores for secrets hold it. What it is filled up with parts a key from its value elsewhere.
        use std::fmt::Write as _;
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = PEM.as_bytes().chunks(3).fold(String::new(), |mut text, chunk| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                let digit = alphabet[(bits >> (18 - 6 * place) & 63) as usize];
                write!(text, "{}", char::from(digit)).unwrap();
            }
            text
        });
        format!("{digits}=")
    };
    let base64_piece = base64[40..60].to_owned();
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJURUFNIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
    vec![
        ("PEM", PEM.to_owned(), piece.clone()),
        ("base64 of PEM", base64, base64_piece),
        ("one line", inside, piece),
        ("password", "hunter2secret=x".to_owned(), "hunter2secret".to_owned()),
        ("provider token", jwt.to_owned(), "c2lnbmF0dXJl".to_owned()),
    ]
}

/// The commands, those of commands included.
fn commands() -> Vec<Vec<String>> {
    let below = |path: &[String]| -> Vec<Vec<String>> {
        let help = run(path.iter().map(String::as_str).chain(["--help"])).expect(0).stdout;
        let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
        let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
            let name = line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty() && *name != "help")?;
            Some([path, &[name.to_owned()]].concat())
        });
        names.collect()
    };
    let mut all = below(&[]);
    assert!(all.len() >= 13, "{all:?}");
    for command in all.clone() {
        all.extend(below(&command));
    }
    all
}

/// The options that take a value.
fn options(command: &[String]) -> Vec<String> {
    let help = run(command.iter().map(String::as_str).chain(["--help"])).expect(0).stdout;
    let options = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("-q, ").unwrap_or(line);
        let (name, value) = line.split_once(' ')?;
        (name.starts_with("--") && value.starts_with('<')).then(|| name.to_owned())
    });
    options.collect()
}

/// What a command needs to get as far as it can without a service.
fn base(command: &[String], folder: &Folder) -> Vec<(String, Vec<String>)> {
    let closed = ["--port", "1", "--host", "127.0.0.1", "--timeout", "100ms", "--ca", &folder.path("ca.pem")]
        .map(str::to_owned)
        .to_vec();
    let key = ["--p8", &folder.path("key.p8"), "--key-id", "ABCDE12345", "--team-id", "FGHIJ67890"]
        .map(str::to_owned)
        .to_vec();
    let topic = ["--topic", "com.example.app"].map(str::to_owned).to_vec();
    let pairs = match &*command[0] {
        "send" => [closed, key, topic, ["--token", "aabb", "--body", "x"].map(str::to_owned).to_vec()].concat(),
        "broadcast" => {
            [closed, key, topic, ["--channel", "AAAA", "--content-state", "{}"].map(str::to_owned).to_vec()].concat()
        }
        "channels" if command.len() > 1 => [closed, key, topic].concat(),
        "feedback" => closed,
        "token" => key,
        // Their ports are those of services that run already, so these end soon.
        "sim" => ["--certs", &folder.path("certs"), "--gateway", "192.0.2.1:1"].map(str::to_owned).to_vec(),
        "bridge" => ["--listen", "192.0.2.1:1"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    pairs.chunks(2).map(|pair| (pair[0].clone(), pair.to_vec())).collect()
}

/// Everything that it says, until it ends or is ended.
fn all_output(mut child: Child) -> String {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [
        thread::spawn(move || {
            let mut text = Vec::new();
            stdout.read_to_end(&mut text).map(|_| text)
        }),
        thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).map(|_| text)
        }),
    ];
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // A server runs until it is told to stop, also one that a command started for itself.
    if child.try_wait().unwrap().is_none() {
        let group = format!("-{}", child.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
        drop(child.kill());
    }
    child.wait().unwrap();
    readers.map(|reader| String::from_utf8_lossy(&reader.join().unwrap().unwrap()).into_owned()).concat()
}

#[test]
fn no_option_brings_a_secret_out() {
    let folder = Folder::new();
    folder.write("key.p8", PEM);
    folder.write("ca.pem", include_str!("../../../apns-credentials/tests/keys/certificate.pem"));
    let (mut tried, mut shown) = (0, Vec::new());
    for command in commands() {
        for option in options(&command) {
            // What is made under a name that was given is told by this name; a host is told when it is not reached.
            if matches!(&*option, "--certs" | "--data" | "--host" | "--proxy") {
                continue;
            }
            for (kind, secret, piece) in secrets() {
                let mut arguments = command.clone();
                for (_, pair) in base(&command, &folder).into_iter().filter(|(name, _)| *name != option) {
                    arguments.extend(pair);
                }
                // As its own argument, as after a quote that was forgotten, and joined.
                let joined = (kind == "PEM").then(|| vec![format!("{option}={secret}")]);
                for given in [Some(vec![option.clone(), secret.clone()]), joined].into_iter().flatten() {
                    let mut run = apns(arguments.iter().chain(&given));
                    // What an earlier one wrote under the name is not to be found by the next.
                    let place = Folder::new();
                    run.current_dir(place.path("")).env("TMPDIR", place.path("")).process_group(0);
                    let said = all_output(run.spawn().unwrap());
                    if said.contains(&piece) {
                        shown.push(format!("{command:?} {option} with {kind}: {said}"));
                    }
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn no_stray_argument_and_no_variable_brings_a_secret_out() {
    let folder = Folder::new();
    folder.write("key.p8", PEM);
    let mut shown = Vec::new();
    let variables = [
        "APNS_HOST",
        "APNS_PORT",
        "APNS_SANDBOX",
        "APNS_CA",
        "APNS_PROXY",
        "APNS_PROXY_PASSWORD_FILE",
        "APNS_PROXY_CA",
        "APNS_CERT",
        "APNS_CERT_KEY",
        "APNS_CERT_PASSWORD_FILE",
        "APNS_P8",
        "APNS_KEY_ID",
        "APNS_TEAM_ID",
        "APNS_TOPIC",
        "APNS_TIMEOUT",
        "APNS_PROFILE",
        "APNS_CONFIG",
    ];
    for (kind, secret, piece) in secrets() {
        let lines: Vec<&str> = secret.split_whitespace().collect();
        for arguments in [
            [&["send", "--p8"][..], &lines].concat(),
            [&["send", "--body", "x"][..], &lines].concat(),
            lines.clone(),
            vec!["explain", &secret],
            vec!["check", &secret],
            vec!["decode", &secret],
        ] {
            let said = all_output(apns(&arguments).spawn().unwrap());
            if said.contains(&piece) {
                shown.push(format!("{kind}: {arguments:?}: {said}"));
            }
        }
        for variable in variables {
            if matches!(variable, "APNS_HOST" | "APNS_PROXY") {
                continue;
            }
            for more in [&[][..], &["--profile", "x"]] {
                let mut send = apns(["send", "--token", "aabb", "--body", "x"].iter().chain(more));
                send.env("APNS_PORT", "1")
                    .env("APNS_HOST", "127.0.0.1")
                    .env("APNS_TIMEOUT", "100ms")
                    .env("HOME", folder.path(""));
                let said = all_output(send.env(variable, &secret).spawn().unwrap());
                if said.contains(&piece) {
                    shown.push(format!("{variable} with {kind}: {said}"));
                }
            }
        }
        for field in [
            "host",
            "port",
            "sandbox",
            "ca",
            "proxy",
            "proxy_password_file",
            "proxy_ca",
            "cert",
            "cert_key",
            "cert_password_file",
            "p8",
            "key_id",
            "team_id",
            "topic",
            "timeout",
        ] {
            // As a text, as what is no TOML, and as the name of a field.
            let text = serde_json::to_string(&secret).unwrap();
            for profile in [
                format!("{field} = {text}"),
                format!("{field} = {secret}"),
                format!("{text} = 1"),
                format!("{field} = {{ {text} = 1 }}"),
            ] {
                // A word in the place of a name is taken for a name, and a host that can be one is told.
                let is_host = matches!(field, "host" | "proxy");
                if kind == "password" && (is_host || !profile.starts_with(field) || profile.contains('{')) {
                    continue;
                }
                let config = folder.write("config.toml", format!("[x]\n{profile}\n"));
                let mut send = apns(["send", "--token", "aabb", "--body", "x", "--profile", "x"]);
                let said = all_output(send.env("APNS_CONFIG", config).env("APNS_TIMEOUT", "100ms").spawn().unwrap());
                if said.contains(&piece) {
                    shown.push(format!("{profile} with {kind}: {said}"));
                }
            }
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}
