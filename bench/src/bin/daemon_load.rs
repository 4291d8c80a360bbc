//! Callers of the daemon: as many as are asked for hand in notifications for so long, each the next one as soon as it
//! has the answer to the one before. Prints one line of JSON.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const USAGE: &str = "usage: apns-daemon-load URL single|batch|xmlrpc --callers N --seconds S [--pid PID]\n\
    URL: of the app's notifications, or of the XML-RPC port; PID: whose memory is looked at";

/// How many notifications are in one array.
const BATCH: u32 = 1000;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
enum Shape {
    Single,
    Batch,
    XmlRpc,
}

struct Task {
    url: http::Uri,
    shape: Shape,
    callers: u32,
    seconds: u64,
    pid: Option<u32>,
}

fn task() -> Option<Task> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next()?.parse().ok()?;
    let shape = match &*arguments.next()? {
        "single" => Shape::Single,
        "batch" => Shape::Batch,
        "xmlrpc" => Shape::XmlRpc,
        _ => return None,
    };
    let mut task = Task { url, shape, callers: 10, seconds: 30, pid: None };
    while let Some(option) = arguments.next() {
        let number = arguments.next()?;
        match &*option {
            "--callers" => task.callers = number.parse().ok()?,
            "--seconds" => task.seconds = number.parse().ok()?,
            "--pid" => task.pid = Some(number.parse().ok()?),
            _ => return None,
        }
    }
    Some(task)
}

impl Shape {
    fn count(self) -> u32 {
        if matches!(self, Self::Batch) { BATCH } else { 1 }
    }

    fn media_type(self) -> &'static str {
        if matches!(self, Self::XmlRpc) { "text/xml" } else { "application/json" }
    }

    fn body(self, first: u32) -> String {
        let json = |out: &mut String, number: u32| {
            write!(out, r#"{{"token":"{}","payload":{{"aps":{{"alert":"Tea is ready"}}}}}}"#, token(number)).unwrap();
        };
        let mut body = String::new();
        match self {
            Self::Single => json(&mut body, first),
            Self::Batch => {
                for number in first..first + BATCH {
                    body.push(if number == first { '[' } else { ',' });
                    json(&mut body, number);
                }
                body.push(']');
            }
            Self::XmlRpc => write!(
                body,
                "<?xml version='1.0'?>\n<methodCall>\n<methodName>notify</methodName>\n<params>\n\
                 <param>\n<value><string>shop</string></value>\n</param>\n\
                 <param>\n<value><string>{}</string></value>\n</param>\n\
                 <param>\n<value><struct>\n<member>\n<name>aps</name>\n<value><struct>\n<member>\n<name>alert</name>\n\
                 <value><string>Tea is ready</string></value>\n</member>\n</struct></value>\n</member>\n</struct></value>\n\
                 </param>\n</params>\n</methodCall>\n",
                token(first)
            )
            .unwrap(),
        }
        body
    }
}

fn token(number: u32) -> String {
    format!("{number:08x}{}", "ab".repeat(28))
}

/// What one caller saw.
#[derive(Default)]
struct Seen {
    accepted: u64,
    refused: u64,
    took: Vec<Duration>,
}

async fn call(client: Client<HttpConnector, Full<Bytes>>, task: Arc<Task>, next: Arc<AtomicU32>, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let body = task.shape.body(next.fetch_add(task.shape.count(), Ordering::Relaxed));
        let request = http::Request::post(task.url.clone())
            .header("content-type", task.shape.media_type())
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let begin = Instant::now();
        let response = client.request(request).await.unwrap();
        let status = response.status();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        seen.took.push(begin.elapsed());
        let fault = matches!(task.shape, Shape::XmlRpc) && answer.windows(7).any(|window| window == b"<fault>");
        if status.is_success() && !fault {
            seen.accepted += u64::from(task.shape.count());
        } else {
            seen.refused += u64::from(task.shape.count());
            // As the answers of a full outbox ask for.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    seen
}

/// Kilobytes that a process has in memory.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

async fn watch(pid: Option<u32>, end: Instant) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(pid) = pid
        && Instant::now() < end
    {
        tokio::time::sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        found.extend(resident(pid));
    }
    found
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(task) = task() else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let task = Arc::new(task);
    let client = Client::builder(TokioExecutor::new()).build_http();
    // Another run at the same daemon has other tokens.
    let next = Arc::new(AtomicU32::new(std::process::id() << 12));
    let begin = Instant::now();
    let end = begin + Duration::from_secs(task.seconds);
    let callers: Vec<_> = (0..task.callers)
        .map(|_| tokio::spawn(call(client.clone(), Arc::clone(&task), Arc::clone(&next), end)))
        .collect();
    let memory = tokio::spawn(watch(task.pid, end));
    let mut all = Seen::default();
    for caller in callers {
        let one = caller.await.unwrap();
        all.accepted += one.accepted;
        all.refused += one.refused;
        all.took.extend(one.took);
    }
    let seconds = begin.elapsed().as_secs_f64();
    all.took.sort_unstable();
    let at = |share: f64| {
        let index = ((all.took.len() as f64 * share) as usize).min(all.took.len().saturating_sub(1));
        all.took.get(index).map_or(0.0, Duration::as_secs_f64) * 1000.0
    };
    let row = serde_json::json!({
        "callers": task.callers,
        "seconds": seconds,
        "accepted": all.accepted,
        "refused": all.refused,
        "per_second": all.accepted as f64 / seconds,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "most_ms": at(1.0),
        "resident_kib": memory.await.unwrap(),
    });
    println!("{row}");
}
