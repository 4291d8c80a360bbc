//! What is measured, in which order.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BenchFlags, Protocol};

/// One measurement, as it is told to the process that does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) protocol: Protocol,
    pub(crate) what: What,
    pub(crate) count: u32,
    /// The size of each payload in bytes.
    pub(crate) payload: u32,
    /// Whether each notification has a payload of its own.
    pub(crate) distinct: bool,
    pub(crate) connections: u16,
    /// The port on `localhost`.
    #[serde(default)]
    pub(crate) port: u16,
    /// Where the certificates are: `ca.pem`, `client.pem`, `client.key`.
    #[serde(default)]
    pub(crate) certs: PathBuf,
}

/// What is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// All at once.
    Throughput,
    /// One after the other on an open connection.
    Latency,
    /// As throughput, for the peak of memory.
    Memory,
}

impl Task {
    /// As it stands on the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The other ways to do it.
    pub(crate) const fn yardsticks(&self) -> &'static [&'static str] {
        match (self.protocol, self.what) {
            (Protocol::Binary, What::Throughput) => &["tls-write"],
            (Protocol::Http2, What::Throughput) if self.port == HTTPS => &["h2-loop", "hyper", "apns-h2"],
            (Protocol::Http2, What::Throughput) => &["h2-loop", "hyper"],
            (Protocol::Http2, What::Latency) => &["h2-loop"],
            (Protocol::Binary, What::Latency) | (_, What::Memory) => &[],
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, payload, connections, .. } = self;
        let protocol = match self.protocol {
            Protocol::Binary => "binary",
            Protocol::Http2 => "http2",
        };
        let what = match self.what {
            What::Throughput => "throughput",
            What::Latency => "latency",
            What::Memory => "memory",
        };
        let own = if self.distinct { " each" } else { "" };
        write!(f, "{protocol} {what}: {count} of {payload} bytes{own}, {connections} connections")
    }
}

/// The port at which alone some clients look for the service.
const HTTPS: u16 = 443;

/// The most that the binary protocol takes.
const BINARY_PAYLOAD: u32 = 2048;

/// All measurements that were asked for.
pub(super) fn tasks(flags: &BenchFlags) -> Vec<Task> {
    let mut tasks = Vec::new();
    for &protocol in &flags.protocol {
        let task = |what, count, payload, distinct, connections| Task {
            protocol,
            what,
            count,
            payload,
            distinct,
            connections,
            port: 0,
            certs: PathBuf::new(),
        };
        let fits = |payload: &&u32| protocol == Protocol::Http2 || **payload <= BINARY_PAYLOAD;
        for &payload in flags.payload.iter().filter(fits) {
            for &connections in &flags.connections {
                tasks.push(task(What::Throughput, flags.count, payload, false, connections));
            }
            if flags.latency > 0 && protocol == Protocol::Http2 {
                tasks.push(task(What::Latency, flags.latency, payload, false, 1));
            }
            if flags.memory {
                for distinct in [false, true] {
                    for count in [flags.count, flags.count.saturating_mul(10)] {
                        tasks.push(task(What::Memory, count, payload, distinct, 1));
                    }
                }
            }
        }
    }
    tasks
}
