//! What a profiler looks at: one thing, many times, and nothing beside it.
//!
//! ```text
//! apns-profile machine COUNT                        the HTTP/2 machine against the service's machine, in memory
//! apns-profile binary|http2 PORT CERTS COUNT        a whole client on one thread, against `apns sim --certs CERTS`
//! ```
//!
//! With valgrind, which counts instructions and so is not disturbed by other work on the computer:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*of_the_client*' apns-profile machine 20000
//! valgrind --tool=callgrind apns-profile binary 2195 certs 50000
//! callgrind_annotate --auto=no callgrind.out.*
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use apns_proto::http2::{Client as Machine, Credential, ProviderApi, host};
use apns_proto::{
    Connection as _, ConnectionEvent, DeviceToken, Machine as _, Notification, Now, Payload, Submission, Topic,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use apns_tokio::{Client, Endpoint, Identity, Roots};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};

/// Sent before anything is counted by the clock.
const WARM_UP: u32 = 200;

fn notification(number: u32, payload: &Payload) -> Notification {
    let mut token = [0xaa; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    Notification::new(DeviceToken::from_bytes(token).unwrap(), payload.clone())
}

/// About a hundred bytes.
fn payload() -> Payload {
    Payload::alert("Tea is ready, and there is more text here to make the payload a hundred bytes")
}

/// The client's half of a turn; the profiler counts only in functions of this name.
#[inline(never)]
fn work_of_the_client(
    client: &mut Machine<u32>,
    now: Now,
    input: &[u8],
    next: &mut std::ops::Range<u32>,
    payload: &Payload,
    out: &mut BytesMut,
) -> u32 {
    client.handle_input(now, input);
    let mut settled = 0;
    while let Some(event) = client.poll_event() {
        if let ConnectionEvent::Settled(one) = event {
            assert!(one.outcome.is_accepted());
            settled += 1;
        }
    }
    while client.has_room()
        && let Some(number) = next.next()
    {
        client.submit(now, Submission::new(number, notification(number, payload))).unwrap();
    }
    let _ = client.poll_transmit(now, out);
    settled
}

fn machine(count: u32) {
    let now = Now::new(Instant::now(), SystemTime::now().into());
    let api = ProviderApi::new(host::PRODUCTION, Credential::Certificate).unwrap();
    let mut client = api.with_topic(Topic::new("com.example.app").unwrap()).connect(now);
    let taken = |_: Now, _: &ProviderRequest| Verdict::answer(Answer::new(200));
    let mut server = ProviderServer::new(taken, &ServerConfig::default());
    let (payload, mut next, mut settled) = (payload(), 0..count, 0);
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    while settled < count {
        there.clear();
        settled += work_of_the_client(&mut client, now, &back, &mut next, &payload, &mut there);
        server.handle_input(now, &there);
        while server.poll_event().is_some() {}
        back.clear();
        let _ = server.poll_transmit(now, &mut back);
    }
}

async fn send(client: &Client, numbers: std::ops::Range<u32>, payload: &Payload) {
    let count = numbers.len();
    let mut run = pin!(client.send_all(stream::iter(numbers.map(|number| (number, notification(number, payload))))));
    let mut accepted = 0;
    while let Some((number, delivery)) = run.next().await {
        assert!(delivery.outcome.is_accepted(), "{number}: {delivery:?}");
        accepted += 1;
    }
    assert_eq!(accepted, count);
}

#[tokio::main(flavor = "current_thread")]
async fn client(protocol: &str, port: u16, certs: &Path, count: u32) {
    let read = |name| std::fs::read(certs.join(name)).unwrap();
    let identity = Identity::from_pem(&read("client.pem"), Some(&read("client.key")), None).unwrap();
    let (endpoint, roots) = (Endpoint::new("127.0.0.1", port), Roots::only_pem(&read("ca.pem")).unwrap());
    let client = match protocol {
        "binary" => Client::binary(endpoint, identity).roots(roots).start(),
        _ => Client::http2(endpoint, identity).roots(roots).topic(Topic::new("com.example.app").unwrap()).start(),
    };
    let (client, payload) = (client.unwrap(), payload());
    send(&client, 0..WARM_UP, &payload).await;
    send(&client, WARM_UP..WARM_UP + count, &payload).await;
    drop(client.close(Duration::from_secs(10)).await);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["machine", count] => machine(count.parse().unwrap()),
        [protocol @ ("binary" | "http2"), port, certs, count] => {
            client(protocol, port.parse().unwrap(), Path::new(certs), count.parse().unwrap());
        }
        _ => panic!("usage: apns-profile machine COUNT | binary|http2 PORT CERTS COUNT"),
    }
}
