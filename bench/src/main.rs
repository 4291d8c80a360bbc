//! Other ways to do what `apns bench` measures. It runs this program and prints what it finds beside its own.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

#[cfg(feature = "apns-h2")]
mod apns_h2;
mod h2_bytes;
mod h2_loop;
mod h2load;
mod hyper;
mod task;
mod tls_write;

use task::{Row, Task};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let sender = arguments.next().unwrap_or_default();
    let task: Task = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--task"), Some(json)) => serde_json::from_str(&json).expect("a task"),
        _ => panic!("usage: apns-yardsticks SENDER --task JSON, as apns bench says it"),
    };
    // One thread, as the client that is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut row: Row = match (&*sender, &*task.what) {
        ("tls-write", "throughput") => runtime.block_on(tls_write::run(&task)),
        ("h2-bytes", "throughput") => runtime.block_on(h2_bytes::run(&task)),
        ("h2-loop", "throughput") => runtime.block_on(h2_loop::all_at_once(&task)),
        ("h2-loop", "latency") => runtime.block_on(h2_loop::one_by_one(&task)),
        #[cfg(feature = "apns-h2")]
        ("apns-h2", "throughput") => runtime.block_on(apns_h2::run(&task)),
        ("hyper", "throughput") => runtime.block_on(hyper::run(&task)),
        ("h2load", "throughput") => h2load::run(&task),
        (sender, what) => panic!("no yardstick {sender} for {what}"),
    };
    row.sender = sender;
    println!("{}", serde_json::to_string(&row).expect("a row is JSON"));
}
