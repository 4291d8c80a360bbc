//! The measurements for the eye.

use super::Protocol;
use super::plan::What;
use super::row::Row;
use crate::output::Output;

/// Prints one line for each row.
pub(super) fn print(output: &mut Output, rows: &[Row]) {
    output.line(format_args!(
        "{:<8} {:<10} {:<10} {:>8} {:>6} {:>5} {:>4} {:>9} {:>9} {:>8} {:>8} {:>8}",
        "protocol",
        "what",
        "sender",
        "count",
        "bytes",
        "each",
        "con.",
        "per sec.",
        "CPU ns",
        "p50 us",
        "p99 us",
        "peak MiB"
    ));
    for row in rows {
        let task = &row.task;
        let protocol = match task.protocol {
            Protocol::Binary => "binary",
            Protocol::Http2 => "http2",
        };
        let what = match task.what {
            What::Throughput => "throughput",
            What::Latency => "latency",
            What::Memory => "memory",
        };
        let peak = row.peak_kib.map_or_else(|| "?".into(), |kib| format!("{:.1}", kib as f64 / 1024.0));
        output.line(format_args!(
            "{protocol:<8} {what:<10} {:<10} {:>8} {:>6} {:>5} {:>4} {:>9.0} {:>9} {:>8} {:>8} {peak:>8}",
            row.sender,
            task.count,
            task.payload,
            if task.distinct { "own" } else { "one" },
            task.connections,
            row.rate(),
            row.cpu_ns,
            row.p50_us,
            row.p99_us,
        ));
        if !row.is_complete() {
            output.line(format_args!("         only {} of them were accepted", row.accepted));
        }
    }
}
