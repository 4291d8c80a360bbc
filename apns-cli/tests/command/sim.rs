//! The simulator in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

use serde_json::{Value, json};

use crate::support::{Folder, apns, finish, run, signal, token};

/// `apns sim` while it runs. It does not outlive its test.
pub(crate) struct Process {
    /// None once it was asked to stop.
    child: Option<Child>,
    stderr: BufReader<ChildStderr>,
    pub(crate) gateway: String,
    feedback: String,
    /// The port of the provider API.
    pub(crate) http2: String,
    /// The address of the inbox, where it was asked for.
    inbox: Option<String>,
}

impl Process {
    pub(crate) fn start(folder: &Folder, options: &[&str]) -> Self {
        let certs = folder.path("certs");
        let mut arguments = vec!["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--certs", &certs];
        arguments.extend(options);
        let with_inbox = options.contains(&"--inbox");
        if !with_inbox {
            arguments.extend(["--inbox", "off"]);
        }
        if !options.contains(&"--http2") {
            arguments.extend(["--http2", "127.0.0.1:0"]);
        }
        let mut child = apns(arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut port = |words: &str| {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            let address = line.trim_end().strip_prefix(words).unwrap_or_else(|| panic!("{line:?}"));
            address.rsplit(':').next().unwrap().to_owned()
        };
        let (gateway, feedback) = (port("gateway listens at "), port("feedback listens at "));
        let http2 = port("http2 listens at ");
        for _ in options.iter().filter(|option| **option == "--http2").skip(1) {
            port("http2 listens at ");
        }
        let mut line = String::new();
        while !line.starts_with("certificates are in ") {
            assert!(line.is_empty() || line.starts_with("provider tokens: "), "{line:?}");
            line.clear();
            stderr.read_line(&mut line).unwrap();
        }
        let inbox = with_inbox.then(|| {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            let address = line.trim_end().strip_prefix("the inbox: http://").and_then(|rest| rest.strip_suffix('/'));
            address.unwrap_or_else(|| panic!("{line:?}")).to_owned()
        });
        Self { child: Some(child), stderr, gateway, feedback, http2, inbox }
    }

    /// Asks it to stop. Gives the exit status, standard output, and what came on standard error.
    pub(crate) fn stop(mut self, name: &str) -> (i32, String, String) {
        let child = self.child.take().unwrap();
        signal(&child, name);
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let run = finish(child);
        (run.status, run.stdout, stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub(crate) fn client(command: &[&str], folder: &Folder, port: &str, options: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = command.iter().map(ToString::to_string).collect();
    let (ca, certificate, key) =
        (folder.path("certs/ca.pem"), folder.path("certs/client.pem"), folder.path("certs/client.key"));
    let connection = ["--host", "127.0.0.1", "--port", port, "--ca", &ca, "--cert", &certificate, "--cert-key", &key];
    arguments.extend(connection.iter().chain(options).map(ToString::to_string));
    arguments
}

#[test]
fn two_processes_play_a_script() {
    let folder = Folder::new();
    let script = json!({
        "invalid_tokens": [token(3)],
        "gateway": {"rules": [
            {"when": {"arrival": 1}, "then": "close", "times": 1},
            {"when": {"payload_contains": "maintenance"}, "then": {"accept_and_shut_down": {}}, "times": 1},
        ]},
        "feedback": {"records": [{"token": "deadbeef", "timestamp": 1_700_000_000}]},
    });
    let script = folder.write("script.json", script.to_string());
    let log = folder.path("log");
    let process = Process::start(&folder, &["--script", &script, "--log", &log]);

    let options =
        ["--token", &token(1), &token(2), &token(3), &token(4), "--body", "maintenance", "--on-loss", "resend"];
    let sent = run(client(&["send", "--binary", "--json"], &folder, &process.gateway, &options)).expect(1);
    assert_eq!(sent.outcomes(), ["accepted", "accepted", "rejected", "accepted"]);
    let listed = run(client(&["feedback", "--json"], &folder, &process.feedback, &[])).expect(0);
    assert_eq!(listed.stdout, "{\"token\":\"deadbeef\",\"timestamp\":1700000000}\n");

    let (status, stdout, stderr) = process.stop("TERM");
    assert_eq!((status, stdout.as_str()), (0, ""));
    assert!(stderr.contains("3 accepted, 1 refused"), "{stderr}");
    let lines: Vec<Value> =
        fs::read_to_string(log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["close", "accept_and_shut_down", "accept", "refuse", "accept"]);
    let refused = &lines[3];
    assert_eq!(
        (&refused["token"], &refused["status"], &refused["accepted"]),
        (&json!(token(3)), &json!(8), &json!(false))
    );
    assert_eq!(refused["payload"], json!({"aps": {"alert": {"body": "maintenance"}}}));
    assert_eq!((&refused["command"], &refused["event"]), (&json!(2), &json!("notification")));
}

#[test]
fn the_log_may_be_standard_output() {
    let folder = Folder::new();
    let mut process = Process::start(&folder, &["--log", "-", "--max-tls", "1.2"]);
    let options = ["--token", &token(1), "--body", "x"];
    run(client(&["send", "--binary"], &folder, &process.gateway, &options)).expect(0);
    let mut stdout = BufReader::new(process.child.as_mut().unwrap().stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["token"], &line["verdict"]), (&json!(token(1)), &json!("accept")));
    let (status, _, _) = process.stop("INT");
    assert_eq!(status, 0);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = Folder::new();
    let certs = folder.path("certs");
    let bad = folder.write("bad.json", r#"{"gateway": {"rules": [{"then": {"refuse": {"status": "no_such"}}}]}}"#);
    let free =
        ["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--http2", "127.0.0.1:0", "--certs", &certs];
    let scripted = run(free.iter().chain(&["--script", &bad])).expect(2);
    assert!(scripted.stderr.contains("gateway.rules[0].then"), "{}", scripted.stderr);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let bound =
        run(["sim", "--gateway", &address, "--feedback", "127.0.0.1:0", "--http2", "127.0.0.1:0", "--certs", &certs])
            .expect(2);
    assert!(bound.stderr.contains(&format!("the gateway cannot listen at {address}")), "{}", bound.stderr);
    let ports =
        ["--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--http2", "127.0.0.1:0", "--http2", &address];
    let bound = run(["sim", "--certs", &certs].iter().chain(&ports)).expect(2);
    let words = format!("the provider API cannot listen at {address}");
    assert!(bound.stderr.contains(&words) && bound.stderr.contains("take another port"), "{}", bound.stderr);

    let file = folder.write("file", "");
    let unwritable = run(["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--certs", &file]).expect(2);
    assert!(unwritable.stderr.contains(&file) && unwritable.stderr.contains("cannot be read"), "{}", unwritable.stderr);
    assert!(
        run(["sim", "--gateway", "nonsense", "--certs", &certs]).expect(2).stderr.contains("an address with a port")
    );
}

/// The body of what the inbox answers.
fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn the_inbox_shows_what_was_sent_by_the_names_it_was_given() {
    let folder = Folder::new();
    let names = folder.write("names.json", json!({"devices": {token(1): "Test phone 1"}}).to_string());
    let options = ["--http2", "127.0.0.1:0", "--inbox", "127.0.0.1:0", "--inbox-names", &names, "--inbox-keep", "2"];
    let process = Process::start(&folder, &options);
    let (address, port) = (process.inbox.clone().unwrap(), process.http2.clone());
    assert!(ask(&address, "/").contains(&format!("--port {port} --ca {}", folder.path("certs/ca.pem"))));
    for title in ["one", "two", "three"] {
        let options = ["--token", &token(1), "--topic", "com.example.app", "--title", title];
        run(client(&["send"], &folder, &port, &options)).expect(0);
    }
    let answer: Value = serde_json::from_str(&ask(&address, "/v1/pushes?wait=30s&q=three")).unwrap();
    assert_eq!(
        (&answer["pushes"][0]["device"], &answer["kept"], &answer["dropped"]),
        (&json!(token(1)), &json!(2), &json!(1))
    );
    assert!(ask(&address, "/").contains("Test phone 1"));
    // Who looks does not keep it from ending.
    let mut watching = TcpStream::connect(&address).unwrap();
    write!(watching, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    watching.read_exact(&mut first).unwrap();
    let (status, _, stderr) = process.stop("TERM");
    assert_eq!(status, 0, "{stderr}");
}

#[test]
fn an_inbox_in_a_file_is_there_after_a_restart() {
    let folder = Folder::new();
    let file = folder.path("pushes.inbox");
    let options = ["--http2", "127.0.0.1:0", "--inbox", "127.0.0.1:0", "--inbox-keep", &file, "--inbox-keep", "2"];
    for (round, title) in ["one", "two", "three"].into_iter().enumerate() {
        let process = Process::start(&folder, &options);
        let (address, port) = (process.inbox.clone().unwrap(), process.http2.clone());
        let sending = ["--token", &token(1), "--topic", "com.example.app", "--title", title];
        run(client(&["send"], &folder, &port, &sending)).expect(0);
        let found: Value = serde_json::from_str(&ask(&address, &format!("/v1/pushes?wait=30s&q={title}"))).unwrap();
        assert_eq!(found["pushes"][0]["seq"], json!(round + 1));
        let all: Value = serde_json::from_str(&ask(&address, "/v1/pushes")).unwrap();
        assert_eq!((&all["kept"], &all["dropped"]), (&json!(2.min(round + 1)), &json!(round.saturating_sub(1))));
        let status: Value = serde_json::from_str(&ask(&address, "/v1/status")).unwrap();
        assert_eq!(status["file"], json!({"path": file, "trouble": null}));
        if round == 0 {
            let second =
                ["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--certs", &folder.path("certs")];
            let second = run(second.iter().chain(&["--inbox-keep", &file])).expect(2);
            assert!(second.stderr.contains("another program has it open"), "{}", second.stderr);
        }
        let (status, _, stderr) = process.stop("TERM");
        assert_eq!(status, 0, "{stderr}");
    }
    let twice = run(["sim", "--inbox-keep", "1", "--inbox-keep", "2", "--certs", &folder.path("certs")]).expect(2);
    assert!(twice.stderr.contains("one number and one file"), "{}", twice.stderr);
}

#[test]
fn an_inbox_that_cannot_be_is_named() {
    let folder = Folder::new();
    let certs = folder.path("certs");
    let free =
        ["sim", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--http2", "127.0.0.1:0", "--certs", &certs];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let bound = run(free.iter().chain(&["--inbox", &address])).expect(2);
    assert!(bound.stderr.contains(&format!("the inbox cannot listen at {address}")), "{}", bound.stderr);
    let names = folder.write("names.json", r#"{"apps": {"com.example.app": 7}}"#);
    let wrong = run(free.iter().chain(&["--inbox-names", &names])).expect(2);
    assert!(wrong.stderr.contains("at apps.com.example.app: "), "{}", wrong.stderr);
    assert!(run(free.iter().chain(&["--inbox", "of"])).expect(2).stderr.contains("an address with a port"));
}

/// What a process in the background writes, line by line, until a line has these words.
fn until_said(process: &mut Process, words: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(process.stderr.read_line(&mut line).unwrap(), 0, "it ended without {words:?}");
        if line.contains(words) {
            return line;
        }
    }
}

#[test]
fn it_is_a_test_server_for_a_team() {
    let folder = Folder::new();
    let log = folder.path("log");
    let options = [
        "--http2",
        "127.0.0.1:0",
        "--http2",
        "127.0.0.1:0",
        "--topic",
        "com.example.one",
        "--topic",
        "com.example.two",
        "--names",
        "apns.test,push.test",
        "--readable",
        "--log",
        &log,
        "--lenient",
    ];
    let process = Process::start(&folder, &options);
    let device = token(1);
    for topic in ["com.example.one", "com.example.two.voip"] {
        let options = ["--token", &device, "--topic", topic, "--body", "x"];
        run(client(&["send"], &folder, &process.http2, &options)).expect(0);
    }
    let (status, _, stderr) = process.stop("TERM");
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("2 requests over HTTP/2: 2 accepted, 0 refused"), "{stderr}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o077;
        assert_eq!((mode("certs/client.key"), mode("certs/client.p12"), mode("certs/ca.key")), (0o044, 0o044, 0));
    }
    // What was handed out before a restart is as good as before.
    let before = fs::read_to_string(folder.path("certs/ca.pem")).unwrap();
    let process = Process::start(&folder, &["--topic", "com.example.one"]);
    assert_eq!(fs::read_to_string(folder.path("certs/ca.pem")).unwrap(), before);
    let options = ["--token", &device, "--topic", "com.example.one", "--body", "x"];
    run(client(&["send"], &folder, &process.http2, &options)).expect(0);
    assert_eq!(process.stop("TERM").0, 0);
}

#[test]
fn a_teams_own_key_is_taken_and_not_copied() {
    let folder = Folder::new();
    // A key that another simulator made.
    assert_eq!(Process::start(&folder, &[]).stop("TERM").0, 0);
    let key = folder.path("AuthKey_ABC123DEFG.p8");
    fs::rename(folder.path("certs/AuthKey_SIMULATOR0.p8"), &key).unwrap();
    let options = ["--p8", &key, "--key-id", "ABC123DEFG", "--team-id", "DEF123GHIJ"];
    let process = Process::start(&folder, &options);
    let ca = folder.path("certs/ca.pem");
    let device = token(1);
    let connection = ["send", "--host", "127.0.0.1", "--port", &process.http2, "--ca", &ca];
    let push = ["--topic", "com.example.app.push-type.liveactivity", "--token", &device, "--payload"];
    let payload = folder.write("push.json", r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{}}}"#);
    run(connection.iter().chain(&options).chain(&push).chain([&payload.as_str()])).expect(0);
    let written = fs::read_dir(folder.path("certs")).unwrap();
    let names: Vec<String> = written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with("AuthKey_")), "{names:?}");
    assert_eq!(process.stop("TERM").0, 0);
    let certs = folder.path("certs");
    let half = run(["sim", "--certs", &certs, "--p8", &key]).expect(2);
    assert!(half.stderr.contains("--key-id"), "{}", half.stderr);
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_script_again_and_a_wrong_one_changes_nothing() {
    let folder = Folder::new();
    let refusing = |token: &str| json!({"invalid_tokens": [token]}).to_string();
    let script = folder.write("script.json", refusing(&token(1)));
    let mut process = Process::start(&folder, &["--script", &script]);
    let outcome = |process: &Process, n: u32| {
        let options = ["--json", "--token", &token(n), "--topic", "com.example.app", "--body", "x"];
        run(client(&["send"], &folder, &process.http2, &options)).outcomes().remove(0)
    };
    assert_eq!((outcome(&process, 1), outcome(&process, 2)), ("rejected".to_owned(), "accepted".to_owned()));
    folder.write("script.json", refusing(&token(2)));
    signal(process.child.as_ref().unwrap(), "HUP");
    until_said(&mut process, "the script was read again");
    assert_eq!((outcome(&process, 1), outcome(&process, 2)), ("accepted".to_owned(), "rejected".to_owned()));
    folder.write("script.json", r#"{"invalid_token": []}"#);
    signal(process.child.as_ref().unwrap(), "HUP");
    let said = until_said(&mut process, "the script stays as it was");
    assert!(said.contains("invalid_token"), "{said}");
    assert_eq!(outcome(&process, 2), "rejected");
    assert_eq!(process.stop("TERM").0, 0);
}
