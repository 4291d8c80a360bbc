//! Client and simulator, each in a process of its own.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Protocol;
use super::plan::Task;
use super::row::Row;
use crate::command::scratch::scratch_folder;
use crate::exit::Failure;

/// A simulator, which ends with this value.
pub(super) struct Server {
    child: Child,
    gateway: u16,
    http2: u16,
    certs: TempDir,
}

impl Server {
    /// Starts `apns sim` and waits until it listens.
    pub(super) fn start(program: &Path, http2_port: u16) -> Result<Self, Failure> {
        let certs = scratch_folder("bench")?;
        let mut child = Command::new(program)
            // What an inbox keeps would be measured with the rest.
            .args(["sim", "--inbox", "off", "--gateway", "127.0.0.1:0", "--feedback", "127.0.0.1:0", "--http2"])
            .arg(format!("127.0.0.1:{http2_port}"))
            .arg("--certs")
            .arg(certs.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(program, error))?;
        let said = child.stderr.take().expect("it was asked to be a pipe");
        let mut server = Self { child, gateway: 0, http2: 0, certs };
        let mut lines = BufReader::new(said).lines();
        for line in &mut lines {
            let line = line.map_err(|error| cannot_run(program, error))?;
            let port = |service: &str| {
                let address: SocketAddr = line.strip_prefix(service)?.strip_prefix(" listens at ")?.parse().ok()?;
                Some(address.port())
            };
            server.gateway = port("gateway").unwrap_or(server.gateway);
            server.http2 = port("http2").unwrap_or(server.http2);
            if line.starts_with("certificates are in ") {
                break;
            }
        }
        if server.gateway == 0 || server.http2 == 0 {
            return Err(cannot_run(program, io::Error::other("the simulator did not say where it listens")));
        }
        // What it says from here on must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(server)
    }

    /// The same task, with where to send to.
    pub(super) fn task(&self, task: &Task) -> Task {
        let port = match task.protocol {
            Protocol::Binary => self.gateway,
            Protocol::Http2 => self.http2,
        };
        Task { port, certs: self.certs.path().to_owned(), ..task.clone() }
    }

    pub(super) fn stop(&mut self) {
        // It is gone already, or is now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a program that does the task and prints a row.
pub(super) fn measure(program: &Path, arguments: &[impl AsRef<OsStr>], task: &Task) -> Result<Row, Failure> {
    let json = serde_json::to_string(task).expect("a task has nothing that JSON cannot say");
    let mut child = Command::new(program)
        .args(arguments)
        .args(["--task", &json])
        // For those that trust what the system trusts.
        .env("SSL_CERT_FILE", task.certs.join("ca.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_run(program, error))?;
    let mut printed = String::new();
    let mut stdout = child.stdout.take().expect("it was asked to be a pipe");
    let read = stdout.read_to_string(&mut printed).and_then(|_| child.wait());
    let status = read.map_err(|error| cannot_run(program, error))?;
    if !status.success() {
        return Err(cannot_run(program, io::Error::other(format!("it ended with {status}"))));
    }
    serde_json::from_str(printed.trim()).map_err(|error| cannot_run(program, error.into()))
}

fn cannot_run(program: &Path, error: io::Error) -> Failure {
    Failure::Program { path: program.to_owned(), error }
}
