//! Debian's `h2load`. It sends one body to a list of paths.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::task::{OPEN, Row, TOPIC, Task, hex, payload, token};

pub fn run(task: &Task) -> Row {
    let directory = std::env::temp_dir().join(format!("apns-h2load-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (paths, body) = (directory.join("paths"), directory.join("body"));
    std::fs::write(&body, payload(task)).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(&paths).unwrap());
    for n in 0..task.count {
        writeln!(file, "https://localhost:{}/3/device/{}", task.port, hex(token(n))).unwrap();
    }
    file.flush().unwrap();
    drop(file);
    let begun = Instant::now();
    let output = Command::new("h2load")
        .arg(format!("-n{}", task.count))
        .arg(format!("-c{}", task.connections))
        .arg(format!("-m{OPEN}"))
        .arg("-d")
        .arg(&body)
        .arg("-i")
        .arg(&paths)
        .args(["-H", "apns-push-type: alert", "-H"])
        .arg(format!("apns-topic: {TOPIC}"))
        .stderr(Stdio::inherit())
        .output()
        .expect("h2load, of Debian's nghttp2-client");
    let seconds = begun.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // "status codes: 100000 2xx, 0 3xx, 0 4xx, 0 5xx"
    let codes = said.lines().find_map(|line| line.strip_prefix("status codes: ")).unwrap_or_default();
    let accepted = codes.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    Row::of(task, accepted, seconds, children_cpu())
}

/// What the children of this process used, in ticks of 10 ms.
fn children_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = behind_name.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
