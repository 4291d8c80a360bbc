//! What a notification costs in allocations over HTTP/2 once everything has grown to its size.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::alloc::System;
use std::time::Instant;

use apns_proto::http2::{Authentication, Client, Credential, ProviderApi, Requests, host};
use apns_proto::{
    Connection, ConnectionEvent, DeviceToken, Machine, Notification, Now, Payload, Submission, Topic, WallTime,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUND: u32 = 1000;

fn topic() -> Topic {
    Topic::new("com.example.app").unwrap()
}

fn notification(number: u32, payload: &Payload) -> Notification {
    let mut token = [0xaa; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    Notification::new(DeviceToken::from_bytes(token).unwrap(), payload.clone())
}

/// How often something was allocated meanwhile.
fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

// The only test of this file: another one beside it would allocate in between.
#[test]
fn a_notification_allocates_nothing() {
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    let now = Now::new(Instant::now(), WallTime::from_secs(1_700_000_000));
    let api = ProviderApi::new(host::PRODUCTION, Credential::Certificate).unwrap().with_topic(topic());
    let mut client: Client<u32> = api.connect(now);
    let taken = |_: Now, _: &ProviderRequest| {
        Verdict::answer(Answer::accepted("00000000-0000-0000-0000-000000000001".parse().unwrap()))
    };
    let mut server = ProviderServer::new(taken, &ServerConfig::default());
    let payload = Payload::alert("Tea is ready");
    let (mut there, mut back) = (BytesMut::with_capacity(1 << 17), BytesMut::with_capacity(1 << 17));
    let (mut counted, mut submissions) = (Vec::new(), Vec::with_capacity(ROUND as usize));
    for round in 0..4 {
        let (mut settled, mut count) = (0, 0);
        submissions.extend((0..ROUND).map(|number| Submission::new(number, notification(number, &payload))));
        while settled < ROUND {
            there.clear();
            count += allocations(|| {
                client.handle_input(now, &back);
                while let Some(event) = client.poll_event() {
                    settled += u32::from(matches!(event, ConnectionEvent::Settled(one) if one.outcome.is_accepted()));
                }
                while client.has_room()
                    && let Some(submission) = submissions.pop()
                {
                    assert!(client.submit(now, submission).is_ok());
                }
                let _ = client.poll_transmit(now, &mut there);
            });
            server.handle_input(now, &there);
            while server.poll_event().is_some() {}
            back.clear();
            let _ = server.poll_transmit(now, &mut back);
        }
        if round > 1 {
            counted.push(count);
        }
    }
    // A request that is handed out has to own its parts.
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Certificate).with_topic(topic());
    let one = notification(0, &payload);
    assert!(allocations(|| drop(requests.device(&one, None, now.wall).unwrap())) > 0, "the count does not count");
    assert_eq!(counted, [0, 0], "the engine and the machine around it allocate nothing");
}
