//! What a client holds, over real sockets and TLS: memory by an allocator that counts, tasks and sockets by what the
//! system says. The simulator in the same process counts along.

use std::alloc::System;
use std::fs;
use std::pin::pin;

use apns_conformance::common::{self, LIMIT, good};
use apns_sim::{Keep, Simulator};
use apns_tokio::proto::Payload;
use apns_tokio::{Client, Tokio};
use futures_util::{StreamExt, stream};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1024 * 1024;

/// What is counted belongs to the whole process, so one test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// Bytes that are held.
fn held() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn gateway(simulator: &Simulator) -> Client {
    common::client::<Tokio>(simulator).start().expect("the settings are good")
}

fn provider(simulator: &Simulator) -> Client {
    common::with_token::<Tokio>(simulator).start().expect("the settings are good")
}

/// Sends so many, and gives the most that was held during the first fifth and after it.
async fn send(client: &Client, count: u32) -> (usize, usize) {
    let before = held();
    let payload = Payload::alert("Tea is ready");
    let mut run = pin!(client.send_all(stream::iter((0..count).map(|number| (number, good(number, &payload))))));
    let (mut first, mut later, mut ended) = (0, 0, 0);
    while let Some((number, delivery)) = run.next().await {
        assert!(delivery.outcome.is_accepted(), "{number}: {delivery:?}");
        ended += 1;
        if ended % 128 == 0 {
            let most = if ended < count / 5 { &mut first } else { &mut later };
            *most = held().saturating_sub(before).max(*most);
        }
    }
    assert_eq!(ended, count);
    (first, later)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_through_a_bounded_queue_leave_memory_flat() {
    let _alone = alone().await;
    let simulator = Simulator::builder().keep(Keep::Counts).start().await.unwrap();
    let client = gateway(&simulator);
    let (first, later) = send(&client, 1_000_000).await;
    drop(client.close(LIMIT).await);
    // Two windows of 100 000 and the keys of as many.
    assert!(first.max(later) < 150 * MIB, "{} MiB were held", first.max(later) / MIB);
    assert!(later < first + first / 2 + 8 * MIB, "{} MiB at first, {} MiB later", first / MIB, later / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_over_http2_leave_memory_flat() {
    let _alone = alone().await;
    let simulator = Simulator::builder().keep(Keep::Counts).start().await.unwrap();
    let client = provider(&simulator);
    let (first, later) = send(&client, 100_000).await;
    drop(client.close(LIMIT).await);
    assert!(first.max(later) < 150 * MIB, "{} MiB were held", first.max(later) / MIB);
    assert!(later < first + first / 2 + 8 * MIB, "{} MiB at first, {} MiB later", first / MIB, later / MIB);
}

/// Sockets of this process, by number.
#[cfg(target_os = "linux")]
fn sockets() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("Linux tells what a process has open");
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Timers belong to tasks, so where no task is left no timer is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn closing_leaves_no_task_and_no_socket() {
    let _alone = alone().await;
    let simulator = Simulator::builder().keep(Keep::Counts).start().await.unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // A test before this one may still be giving up its own, so the least that was seen counts.
    let mut before = (tasks(), sockets());
    let mut memory = Vec::new();
    for round in 0..30 {
        for client in [gateway(&simulator), provider(&simulator)] {
            let payload = Payload::alert("x");
            let pendings: Vec<_> =
                (0..50).map(|number| client.try_send(good(number, &payload)).expect("it has room")).collect();
            drop(client.close(LIMIT).await);
            for pending in pendings {
                assert!(pending.await.outcome.is_accepted());
            }
        }
        // The simulator's ends of the connections close a moment later.
        tokio::time::timeout(LIMIT, async {
            while tasks() > before.0 || sockets() > before.1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("round {round}: {:?} before, {:?} left", before, (tasks(), sockets())));
        before = (before.0.min(tasks()), before.1.min(sockets()));
        memory.push(held());
    }
    // What caches and session tickets hold is there after some rounds; then it stays.
    let (early, late) = (memory[9], memory[29]);
    assert!(late < early + MIB, "{early} bytes after ten rounds, {late} after thirty");
}
