//! Restarts under load, with a port that stays open: the test is the service manager.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use apns_sim::Simulator;
use command_fds::{CommandFdExt, FdMapping};

use crate::victim::{SOON, Victim, config_text, post, token};

const RESTARTS: usize = 10;
const CALLERS: u64 = 8;

/// What the daemon tells its manager.
struct Told(UnixDatagram);

impl Told {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    /// Waits until it says this.
    fn wait_for(&self, state: &str) {
        let mut bytes = [0; 256];
        loop {
            let length = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("it never said {state}: {error}"));
            if String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == state) {
                return;
            }
        }
    }
}

/// Starts a daemon as systemd does, with this port as the first of its sockets.
fn start(config: &Path, port: &TcpListener, notify: &Path) -> Victim {
    let log = config.with_extension("log");
    let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut command = Command::new("sh");
    // The process has to find its own number in the environment.
    command.args(["-c", r#"LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" daemon "$1""#]);
    command.arg(std::env::current_exe().unwrap()).arg(config);
    command.env("LISTEN_FDS", "1").env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "200000");
    let parent_fd = OwnedFd::from(port.try_clone().unwrap());
    command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
    Victim::of(command.stdin(Stdio::null()).stderr(file).spawn().unwrap(), log)
}

/// Hands in one notification after another, each over a connection of its own, until it is told to stop.
async fn call(api: SocketAddr, first: u64, stop: Arc<AtomicBool>, accepted: Arc<AtomicU64>) -> Vec<u64> {
    let mut taken = Vec::new();
    let mut number = first;
    while !stop.load(Ordering::Relaxed) {
        let body = format!(r#"{{"token": "{}", "payload": {{"aps": {{"alert": "x"}}}}}}"#, token(number));
        loop {
            let mut connection = None;
            let answer = post(&mut connection, api, "/v1/apps/reports/notifications", &body).await;
            let (status, body) = answer.unwrap_or_else(|| panic!("{number}: the connection was refused or reset"));
            match status {
                202 => break,
                // The process that took the connection ends.
                503 => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => panic!("{status}: {body}"),
            }
        }
        taken.push(number);
        accepted.fetch_add(1, Ordering::Relaxed);
        number += CALLERS;
    }
    taken
}

pub(crate) async fn restarts_refuse_and_reset_no_connection() {
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = port.local_addr().unwrap();
    let config = folder.path().join("apnsd.toml");
    std::fs::write(&config, config_text(&simulator, api)).unwrap();
    // A path of a socket has to be short.
    let short = tempfile::tempdir().unwrap();
    let notify = short.path().join("notify");
    let told = Told::new(&notify);

    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // They call before anybody is there: the port is open.
    let callers: Vec<_> =
        (0..CALLERS).map(|first| tokio::spawn(call(api, first, stop.clone(), accepted.clone()))).collect();
    for _ in 0..=RESTARTS {
        let before = accepted.load(Ordering::Relaxed);
        let mut daemon = tokio::task::block_in_place(|| {
            let daemon = start(&config, &port, &notify);
            told.wait_for("READY=1");
            told.wait_for("WATCHDOG=1");
            daemon
        });
        while accepted.load(Ordering::Relaxed) < before + 5 * CALLERS {
            assert!(callers.iter().all(|caller| !caller.is_finished()), "a caller has failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::block_in_place(|| {
            daemon.signal("-TERM");
            told.wait_for("STOPPING=1");
            assert!(daemon.child.wait().unwrap().success(), "{}", daemon.log());
        });
    }
    stop.store(true, Ordering::Relaxed);
    let last = tokio::task::block_in_place(|| {
        let daemon = start(&config, &port, &notify);
        told.wait_for("READY=1");
        daemon
    });
    let mut taken = Vec::new();
    for caller in callers {
        taken.extend(caller.await.unwrap());
    }
    for number in taken {
        let bytes = u128::from(number).to_be_bytes();
        let is_meant = |token: &Option<bytes::Bytes>| token.as_ref().is_some_and(|token| token.ends_with(&bytes[8..]));
        let arrived = || simulator.inspect(|log| log.requests().filter(|request| is_meant(&request.token)).count());
        let deadline = std::time::Instant::now() + SOON;
        while arrived() == 0 {
            assert!(std::time::Instant::now() < deadline, "{number} was acknowledged and never arrived");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(arrived(), 1, "{number}");
    }
    drop(last);
}
