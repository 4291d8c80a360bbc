//! What a measurement found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::latencies::Latencies;
use super::plan::Task;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Who sent.
    pub(super) sender: String,
    /// What was to be done.
    pub(super) task: Task,
    /// How many were accepted, and the service said so.
    pub(super) accepted: u32,
    /// From the first notification to the last outcome. The connection was opened before, as far as the sender can.
    pub(super) seconds: f64,
    /// Time of all processors for each notification, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// From submission to outcome, in microseconds.
    pub(super) p50_us: u64,
    /// The same, for all but one in a hundred.
    pub(super) p99_us: u64,
    /// The most memory that was resident, where the system tells.
    pub(super) peak_kib: Option<u64>,
}

impl Row {
    pub(super) fn new(task: &Task, accepted: u32, wall: Duration, cpu: Duration, latencies: &Latencies) -> Self {
        Self {
            sender: "apns".into(),
            task: task.clone(),
            accepted,
            seconds: wall.as_secs_f64(),
            cpu_ns: (cpu.as_nanos() / u128::from(task.count)) as u64,
            p50_us: latencies.quantile(0.5),
            p99_us: latencies.quantile(0.99),
            peak_kib: peak_kib(),
        }
    }

    /// Whether all were accepted.
    pub(super) fn is_complete(&self) -> bool {
        self.accepted == self.task.count
    }

    /// Notifications in a second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.task.count) / self.seconds
    }
}

/// The high water mark of this process, as Linux tells it.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
