//! The provider API: requests, answers, and a client machine that talks to a server machine in memory.

#![allow(missing_docs, reason = "the macros of criterion make public functions")]

mod pretend;

use std::hint::black_box;

use apns_proto::http2::{Api, Authentication, Client, Credential, ProviderApi, ProviderToken, Requests, Response};
use apns_proto::{ApnsId, Connection, ConnectionEvent, Machine, Now, Submission, Topic, Transmit};
use apns_sim::machine::{Answer, Judge, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pretend::{ROUND, payload, round, start};

/// Payload sizes: a short alert, and the most that the service takes.
const SIZES: [usize; 2] = [100, 4096];

fn topic() -> Topic {
    Topic::new("com.example.app").expect("it is a bundle id")
}

fn requests(c: &mut Criterion) {
    let now = start();
    // Header, claims and signature of the right form; nobody checks the signature here.
    let jwt = "eyJhbGciOiJFUzI1NiIsImtpZCI6IkFCQzEyM0RFRkcifQ.eyJpc3MiOiJERUYxMjNHSElKIiwiaWF0IjoxNzAwMDAwMDAwfQ.c2ln";
    let token = ProviderToken::from_jwt(jwt, now).expect("it has the form of a token");
    let submissions = round(&payload(100));
    let mut group = c.benchmark_group("http2/request");
    group.throughput(Throughput::Elements(ROUND as u64));
    for (name, authentication, token) in
        [("certificate", Authentication::Certificate, None), ("provider token", Authentication::Token, Some(&token))]
    {
        let mut requests = Requests::new("api.push.apple.com", authentication).with_topic(topic());
        group.bench_function(name, |b| {
            b.iter(|| {
                for Submission { notification, .. } in &submissions {
                    let request = requests.device(black_box(notification), token, now.wall);
                    black_box(request.expect("it can be sent"));
                }
            });
        });
    }
    group.finish();
}

fn responses(c: &mut Criterion) {
    let wall = start().wall;
    let mut group = c.benchmark_group("http2/response");
    let id: &[(&str, &[u8])] = &[("apns-id", b"EC1BF194-B3B2-424A-89A9-5A918A6E6B5A")];
    group.bench_function("200", |b| {
        b.iter(|| Response::parse(Api::Device, wall, 200, black_box(id).iter().copied(), bytes::Bytes::new()));
    });
    group.bench_function("410", |b| {
        let body = bytes::Bytes::from_static(br#"{"reason":"Unregistered","timestamp":1700000000000}"#);
        b.iter(|| Response::parse(Api::Device, wall, 410, black_box(id).iter().copied(), body.clone()).into_outcome());
    });
    group.finish();
}

/// Takes everything.
struct Content;

impl Judge for Content {
    fn judge(&mut self, _now: Now, _request: &ProviderRequest) -> Verdict {
        Verdict::answer(Answer::accepted(ApnsId::from_bytes([7; 16])))
    }
}

/// A connection, with both of its ends in memory.
struct Pair {
    now: Now,
    client: Client<u32>,
    server: ProviderServer<Content>,
    bytes: BytesMut,
}

impl Pair {
    fn new() -> Self {
        let now = start();
        let api = ProviderApi::new("api.push.apple.com", Credential::Certificate)
            .expect("it is a host name")
            .with_topic(topic());
        let server = ProviderServer::new(Content, &ServerConfig::default().with_stream_limit(1000));
        let mut pair = Self { now, client: api.connect(now), server, bytes: BytesMut::new() };
        for size in SIZES {
            pair.round(round(&payload(size)));
        }
        pair
    }

    /// Submitted, sent, answered, told.
    fn round(&mut self, submissions: Vec<Submission<u32>>) {
        for submission in submissions {
            assert!(self.client.submit(self.now, submission).is_ok(), "it is open and has room");
        }
        let mut settled = 0;
        while settled < ROUND {
            self.bytes.clear();
            if self.client.poll_transmit(self.now, &mut self.bytes) == Transmit::Ready {
                self.server.handle_input(self.now, &self.bytes);
            }
            while self.server.poll_event().is_some() {}
            self.bytes.clear();
            if self.server.poll_transmit(self.now, &mut self.bytes) == Transmit::Ready {
                self.client.handle_input(self.now, &self.bytes);
            }
            while let Some(event) = self.client.poll_event() {
                settled += usize::from(matches!(event, ConnectionEvent::Settled(_)));
            }
        }
    }
}

fn machines(c: &mut Criterion) {
    let mut group = c.benchmark_group("http2/both machines");
    group.throughput(Throughput::Elements(ROUND as u64));
    for size in SIZES {
        let payload = payload(size);
        let mut pair = Pair::new();
        group.bench_function(size.to_string(), |b| {
            b.iter_batched(|| round(&payload), |submissions| pair.round(submissions), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, requests, responses, machines);
criterion_main!(benches);
