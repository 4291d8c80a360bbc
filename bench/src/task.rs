//! What is to be done, what was found, and what all ways have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cpu_time::ProcessTime;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// As `apns bench` tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub protocol: String,
    pub what: String,
    pub count: u32,
    pub payload: u32,
    pub distinct: bool,
    pub connections: u16,
    pub port: u16,
    pub certs: PathBuf,
}

/// As `apns bench` reads it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub sender: String,
    pub task: Task,
    pub accepted: u32,
    pub seconds: f64,
    pub cpu_ns: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub peak_kib: Option<u64>,
}

/// Requests open at once on one connection: what the simulator allows, and the client under test uses.
pub const OPEN: usize = 1000;

/// How many go first, before the clocks run.
pub const WARM_UP: u32 = 200;

pub const TOPIC: &str = "com.example.app";

/// Both clocks, and how long each one took.
pub struct Clocks {
    wall: Instant,
    cpu: ProcessTime,
    latencies: Vec<u32>,
}

impl Clocks {
    pub fn start(task: &Task) -> Self {
        let latencies = Vec::with_capacity(task.count as usize);
        Self { wall: Instant::now(), cpu: ProcessTime::now(), latencies }
    }

    pub fn answered(&mut self, submitted: Instant) {
        self.latencies.push(submitted.elapsed().as_micros() as u32);
    }

    pub fn took(&mut self, times: Vec<Duration>) {
        self.latencies.extend(times.into_iter().map(|time| time.as_micros() as u32));
    }

    pub fn row(mut self, task: &Task, accepted: u32) -> Row {
        let (seconds, cpu) = (self.wall.elapsed().as_secs_f64(), self.cpu.elapsed());
        self.latencies.sort_unstable();
        let quantile = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(index.min(self.latencies.len().saturating_sub(1))).map_or(0, |&micros| u64::from(micros))
        };
        let (p50_us, p99_us) = (quantile(0.5), quantile(0.99));
        Row { p50_us, p99_us, ..Row::of(task, accepted, seconds, cpu) }
    }
}

impl Row {
    pub fn of(task: &Task, accepted: u32, seconds: f64, cpu: Duration) -> Self {
        Self {
            sender: String::new(),
            task: task.clone(),
            accepted,
            seconds,
            cpu_ns: (cpu.as_nanos() / u128::from(task.count)) as u64,
            p50_us: 0,
            p99_us: 0,
            peak_kib: peak_kib(),
        }
    }
}

fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The device token of the n-th, the same as in the client under test.
pub fn token(n: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = u64::from(n);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// The token in hexadecimal, by a table.
pub fn hex(token: [u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    token
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

pub fn payload(task: &Task) -> Bytes {
    let room = (task.payload as usize).saturating_sub(20);
    let text = "0".repeat(room.min(10));
    format!(r#"{{"aps":{{"alert":"{text:x<room$}"}}}}"#).into()
}

/// The TLS settings of the client under test: rustls on ring, one authority, a client certificate.
pub fn tls(task: &Task) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(task.certs.join("ca.pem")).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(task.certs.join("client.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(task.certs.join("client.key")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

pub async fn connect(task: &Task, alpn: Option<&[u8]>) -> TlsStream<TcpStream> {
    let mut config = tls(task);
    config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    let tcp = TcpStream::connect(("127.0.0.1", task.port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

/// Sends all with so many open on each client, after the warm-up. `send` gives whether one was accepted, and when it was
/// submitted.
pub async fn all_at_once<C>(task: &Task, clients: &[C], send: impl AsyncFn(&C, u32) -> (bool, Instant)) -> Row {
    for client in clients {
        for n in 0..WARM_UP {
            send(client, u32::MAX - n).await;
        }
    }
    let mut clocks = Clocks::start(task);
    let (mut accepted, mut open, mut next) = (0, FuturesUnordered::new(), 0);
    loop {
        while open.len() < OPEN * clients.len() && next < task.count {
            open.push(send(&clients[next as usize % clients.len()], next));
            next += 1;
        }
        let Some((ok, submitted)) = open.next().await else { break };
        accepted += u32::from(ok);
        clocks.answered(submitted);
    }
    clocks.row(task, accepted)
}
