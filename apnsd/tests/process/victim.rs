//! A daemon in a process of its own, and how it is talked to.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The apps of [`config_text`].
pub(crate) const APPS: [&str; 2] = ["reports", "resends"];
/// Nothing here takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// Long enough for what does not depend on how much there is to do.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A child that does not outlive the test. What it logs is in a file beside its configuration, of which the name ends in
/// `.log`.
pub(crate) struct Victim {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Victim {
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(config, &[])
    }

    /// One that was started in another way, and logs there.
    #[cfg(unix)]
    pub(crate) fn of(child: Child, log: PathBuf) -> Self {
        Self { child, log }
    }

    /// With variables in its environment.
    pub(crate) fn start_with(config: &Path, variables: &[(&str, &str)]) -> Self {
        let log = config.with_extension("log");
        let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("daemon").arg(config).envs(variables.iter().copied());
        Self { child: command.stdin(Stdio::null()).stderr(file).spawn().unwrap(), log }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("it logged:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Splitmix: numbers that look random, the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The token of a notification names it.
pub(crate) fn token(number: u64) -> String {
    format!("{:048x}{number:016x}", 0xab)
}

/// An address whose port that was free a moment ago, and stays the same from one daemon to the next.
pub(crate) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn config_text(simulator: &Simulator, api: SocketAddr) -> String {
    config_text_to(simulator, simulator.http2_address().port(), api)
}

pub(crate) fn config_text_to(simulator: &Simulator, port: u16, api: SocketAddr) -> String {
    let mut text = format!("data = \"data\"\n[api]\nlisten = \"{api}\"\n[pyapns]\nenabled = false\n");
    for app in APPS {
        text.push_str(&format!(
            "[apps.{app}]\nenvironment = \"sandbox\"\nsigning_key = \"AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\n\
             team_id = \"{}\"\ntopic = \"com.example.app\"\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\n",
            simulator.key_id(),
            simulator.team_id(),
        ));
        if app == "resends" {
            text.push_str("loss = \"resend\"\nresend_at_most = 1000\n");
        }
    }
    text
}

/// One request over a connection that is kept; `None` when the connection is lost before the answer is whole.
pub(crate) async fn post(
    connection: &mut Option<TcpStream>,
    api: SocketAddr,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(TcpStream::connect(api).await.ok()?),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some((status, String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// All outcomes of an app, from the very first on, until there are so many.
pub(crate) async fn read_outcomes(api: SocketAddr, app: &str, expected: usize) -> Vec<Value> {
    let mut stream = loop {
        match TcpStream::connect(api).await {
            Ok(stream) => break stream,
            // It is being started.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let head = format!("GET /v1/apps/{app}/outcomes?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut outcomes = Vec::with_capacity(expected);
    let mut bytes = Vec::new();
    while outcomes.len() < expected {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the stream goes on");
        let mut done = 0;
        // Each event is a chunk of its own, so its lines are whole.
        while let Some(end) = bytes[done..].iter().position(|byte| *byte == b'\n') {
            if let Some(data) = bytes[done..done + end].strip_prefix(b"data: ") {
                outcomes.push(serde_json::from_slice(data).unwrap());
            }
            done += end + 1;
        }
        bytes.drain(..done);
    }
    outcomes
}

/// Asks again and again, until the answer is as wanted.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One request over a connection of its own: status and body of the answer, `None` while nobody answers.
pub(crate) async fn call(api: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(api).await.ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// What is answered to a GET; empty while nobody answers.
pub(crate) async fn get(api: SocketAddr, path: &str) -> String {
    call(api, "GET", path, "").await.map(|(_, body)| body).unwrap_or_default()
}
