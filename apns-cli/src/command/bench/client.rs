//! The process that sends, and measures itself.

use std::time::{Duration, Instant};

use apns_credentials::disclosure::shown;
use apns_tokio::{Client, Endpoint, Identity, Roots};
use cpu_time::ProcessTime;
use futures_util::{StreamExt, stream};

use super::Protocol;
use super::latencies::Latencies;
use super::load::Load;
use super::plan::{Task, What};
use super::row::Row;
use crate::exit::Failure;
use crate::input::read_file;

/// How many notifications open the connections and warm everything up before the clock runs.
const WARM_UP: u32 = 200;

/// How long the end may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The most that is read of a certificate.
const LARGEST: u64 = 1024 * 1024;

/// Sends what the task says and tells what it took.
pub(super) fn run(task: &Task) -> Result<Row, Failure> {
    // One thread: what a notification costs is not blurred by how threads are woken.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(send(task))
}

async fn send(task: &Task) -> Result<Row, Failure> {
    let client = start(task)?;
    let load = Load::new(task);
    match task.what {
        What::Throughput | What::Memory => Ok(all_at_once(task, &client, &load).await),
        What::Latency => Ok(one_by_one(task, &client, &load).await),
    }
}

fn start(task: &Task) -> Result<Client, Failure> {
    let ca = task.certs.join("ca.pem");
    let roots = Roots::only_pem(&read_file(&ca, LARGEST)?).map_err(|error| Failure::Roots { path: ca, error })?;
    let (certificate, key) = (task.certs.join("client.pem"), task.certs.join("client.key"));
    let identity = Identity::from_files(&certificate, Some(&key), None)
        .map_err(|error| Failure::Identity { place: shown(&certificate).to_string(), error })?;
    let endpoint = Endpoint::new("localhost", task.port);
    let connections = usize::from(task.connections);
    let client = match task.protocol {
        Protocol::Binary => Client::binary(endpoint, identity).roots(roots).connections(connections).start(),
        Protocol::Http2 => {
            let topic = apns_proto::Topic::new("com.example.app").expect("it is a bundle id");
            Client::http2(endpoint, identity).roots(roots).topic(topic).connections(connections).start()
        }
    };
    client.map_err(Failure::Start)
}

async fn all_at_once(task: &Task, client: &Client, load: &Load) -> Row {
    let warm_up = stream::iter((0..WARM_UP).map(|n| ((), load.notification(u32::MAX - n))));
    client.send_all(warm_up).for_each(async |_| ()).await;

    let mut latencies = Latencies::new();
    let mut accepted = 0;
    let (begun, cpu) = (Instant::now(), ProcessTime::now());
    let source = stream::iter((0..task.count).map(|n| (Instant::now(), load.notification(n))));
    let mut outcomes = std::pin::pin!(client.send_all(source));
    while let Some((submitted, delivery)) = outcomes.next().await {
        latencies.add(submitted.elapsed());
        accepted += u32::from(delivery.outcome.is_accepted());
    }
    let (wall, cpu) = (begun.elapsed(), cpu.elapsed());
    drop(client.close(LIMIT).await);
    Row::new(task, accepted, wall, cpu, &latencies)
}

async fn one_by_one(task: &Task, client: &Client, load: &Load) -> Row {
    for n in 0..WARM_UP {
        drop(client.send(load.notification(u32::MAX - n)).await);
    }
    let mut latencies = Latencies::new();
    let mut accepted = 0;
    let (begun, cpu) = (Instant::now(), ProcessTime::now());
    for n in 0..task.count {
        let notification = load.notification(n);
        let submitted = Instant::now();
        let outcome = client.send(notification).await;
        latencies.add(submitted.elapsed());
        accepted += u32::from(outcome.is_accepted());
    }
    let (wall, cpu) = (begun.elapsed(), cpu.elapsed());
    drop(client.close(LIMIT).await);
    Row::new(task, accepted, wall, cpu, &latencies)
}
