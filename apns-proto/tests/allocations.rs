//! What a notification costs in allocations once everything has grown to its size.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use std::alloc::System;

use apns_proto::binary::{Client, Config};
use apns_proto::{Connection, ConnectionEvent, Machine, Now, Submission, Transmit};
use bytes::BytesMut;
use pretend::{after, notification, secs, start};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUND: u32 = 1000;

/// Submits, writes, waits, and takes the outcomes of one round.
fn round(client: &mut Client<u32>, now: Now, out: &mut BytesMut, submissions: &mut Vec<Submission<u32>>) -> usize {
    for submission in submissions.drain(..) {
        assert!(client.submit(now, submission).is_ok());
    }
    loop {
        out.clear();
        if client.poll_transmit(now, out) == Transmit::Idle {
            break;
        }
    }
    client.handle_timeout(after(now, secs(3)));
    let mut settled = 0;
    while let Some(event) = client.poll_event() {
        settled += usize::from(matches!(event, ConnectionEvent::Settled(_)));
    }
    settled
}

// The only test of this file: another one beside it would allocate in between.
#[test]
fn a_notification_costs_the_binary_machine_no_allocation() {
    let mut now = start();
    let mut client = Client::new(Config::default(), now);
    let mut out = BytesMut::new();
    let mut submissions = Vec::with_capacity(ROUND as usize);
    let mut allocated = Vec::new();
    for _ in 0..3 {
        submissions.extend((0..ROUND).map(|n| Submission::new(n, notification(n))));
        let region = Region::new(ALLOCATOR);
        let settled = round(&mut client, now, &mut out, &mut submissions);
        let change = region.change();
        assert_eq!(settled, ROUND as usize);
        allocated.push(change.allocations + change.reallocations);
        now = after(now, secs(3));
    }
    assert!(allocated[0] > 0, "the count does not count: window and buffer had to grow in the first round");
    assert_eq!(allocated[1..], [0, 0], "in the steady state");
}
