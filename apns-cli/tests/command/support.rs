//! Runs the command, and a simulator beside it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use apns_sim::{Script, Simulator};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Tokens that look real, each its own.
pub(crate) fn token(n: u32) -> String {
    format!("00fc13adff785122b4ad28809a3420982341241421348097878e577c{n:08x}")
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The rows, in the order of their numbers.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut rows: Vec<Value> = self.stdout.lines().map(row).collect();
        rows.sort_by_key(|row| row["n"].as_u64());
        rows
    }

    /// The only row.
    pub(crate) fn row(&self) -> Value {
        let rows = self.rows();
        assert_eq!(rows.len(), 1, "{self:?}");
        rows.into_iter().next().unwrap()
    }

    /// The outcomes, in the order of the numbers.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        self.rows().iter().map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// Panics with everything that is known unless the exit status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// The command with these arguments.
pub(crate) fn apns<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apns"));
    // What the person who runs the tests has set up is not what is tested.
    for (name, _) in std::env::vars_os() {
        let bytes = name.as_encoded_bytes().to_ascii_uppercase();
        if bytes.starts_with(b"APNS_") || bytes.ends_with(b"_PROXY") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Run {
    finish(apns(arguments).spawn().unwrap())
}

/// Runs it to its end with this on standard input.
pub(crate) fn run_with_stdin<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>, stdin: &[u8]) -> Run {
    let mut child = apns(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let (mut pipe, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
    let writer = thread::spawn(move || pipe.write_all(&bytes));
    let run = finish(child);
    // A command that has seen enough closes its end.
    drop(writer.join().unwrap());
    run
}

/// Waits for its end.
pub(crate) fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // No exit status: killed by a signal.
    let status = output.status.code().unwrap_or(-1);
    Run { status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Sends a signal, as a terminal or a supervisor would.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A directory of its own.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

/// A simulator in this process, with its certificates in files.
pub(crate) struct Sim {
    pub(crate) simulator: Simulator,
    pub(crate) folder: Folder,
    // Behind the simulator, which needs it while it is dropped.
    _runtime: Runtime,
}

impl Sim {
    pub(crate) fn start() -> Self {
        Self::with(Script::default())
    }

    pub(crate) fn scripted(script: &str) -> Self {
        Self::with(Script::from_json(script).unwrap())
    }

    pub(crate) fn with(script: Script) -> Self {
        Self::built(Simulator::builder().script(script))
    }

    pub(crate) fn built(builder: apns_sim::Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let simulator = runtime.block_on(builder.start()).unwrap();
        let folder = Folder::new();
        simulator.write_certificates(folder.path("")).unwrap();
        Self { simulator, folder, _runtime: runtime }
    }

    fn connection(&self, command: &[&str], port: u16) -> Vec<String> {
        let mut arguments: Vec<String> = command.iter().map(ToString::to_string).collect();
        arguments.extend(["--host", "localhost", "--port"].map(str::to_owned));
        arguments.push(port.to_string());
        for (flag, file) in [("--ca", "ca.pem"), ("--cert", "client.pem"), ("--cert-key", "client.key")] {
            arguments.extend([flag.to_owned(), self.folder.path(file)]);
        }
        arguments
    }

    /// `apns send` to its gateway with JSON rows, and with these options.
    pub(crate) fn send(&self, options: &[&str]) -> Vec<String> {
        let port = self.simulator.gateway_address().port();
        let mut arguments = self.connection(&["send", "--binary", "--json"], port);
        arguments.extend(options.iter().map(ToString::to_string));
        arguments
    }

    /// `apns send` to its provider API with a signing key and JSON rows, and with these options.
    pub(crate) fn provider(&self, options: &[&str]) -> Vec<String> {
        let mut arguments = self.to_provider(&["send", "--json", "--topic", "com.example.app"]);
        arguments.extend(["--p8".to_owned(), self.folder.path("AuthKey_SIMULATOR0.p8")]);
        for (flag, id) in [("--key-id", self.simulator.key_id()), ("--team-id", self.simulator.team_id())] {
            arguments.extend([flag.to_owned(), id.to_owned()]);
        }
        arguments.extend(options.iter().map(ToString::to_string));
        arguments
    }

    /// A command that goes to its provider API, without credentials.
    pub(crate) fn to_provider(&self, command: &[&str]) -> Vec<String> {
        let port = self.simulator.http2_address().port().to_string();
        let ca = self.folder.path("ca.pem");
        let place = ["--host", "localhost", "--port", &port, "--ca", &ca];
        command.iter().chain(&place).map(ToString::to_string).collect()
    }

    /// `apns feedback` from its feedback service, with these options.
    pub(crate) fn feedback(&self, options: &[&str]) -> Vec<String> {
        let mut arguments = self.connection(&["feedback"], self.simulator.feedback_address().port());
        arguments.extend(options.iter().map(ToString::to_string));
        arguments
    }

    /// The tokens that were taken, in order.
    pub(crate) fn accepted(&self) -> Vec<String> {
        let received = self.simulator.received();
        received.iter().filter(|record| record.accepted()).map(apns_sim::Record::token_hex).collect()
    }
}
