//! The binary protocol: frames, and the client machine with its window, beside a plain copy of the same bytes.

#![allow(missing_docs, reason = "the macros of criterion make public functions")]

mod pretend;

use std::hint::black_box;
use std::time::Duration;

use apns_proto::binary::{Client, Config, ErrorResponse, Format, Frame, Limits, NotificationDecoder, Status, encode};
use apns_proto::{Connection, ConnectionEvent, Machine, Now, Submission, Transmit};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pretend::{ROUND, payload, round, start, token};

/// Payload sizes: a short alert, and the most that the protocol takes.
const SIZES: [usize; 2] = [100, 2048];

/// Longer than the quiet time, and not noticed late.
const QUIET: Duration = Duration::from_secs(3);

fn frame<'a>(token: &'a [u8], payload: &'a [u8]) -> Frame<'a> {
    Frame { format: Format::Items, identifier: 7, expiration: None, priority: None, token, payload }
}

fn encoded(size: usize) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&frame(token(7).as_bytes(), payload(size).as_bytes()), &mut out).expect("it fits the length fields");
    out
}

/// The yardstick: the bytes of each notification, copied.
fn copy(c: &mut Criterion) {
    let mut group = c.benchmark_group("binary/copy");
    for size in SIZES {
        let bytes = encoded(size);
        let mut out = BytesMut::with_capacity(ROUND * bytes.len());
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..ROUND {
                    out.extend_from_slice(black_box(&bytes));
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

fn encode_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("binary/encode");
    for size in SIZES {
        let (token, payload) = (token(7), payload(size));
        let mut out = BytesMut::with_capacity(ROUND * (size + 100));
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..ROUND {
                    encode(black_box(&frame(token.as_bytes(), payload.as_bytes())), &mut out)
                        .expect("it fits the length fields");
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

fn decode_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("binary/decode");
    for size in SIZES {
        let stream = encoded(size).repeat(ROUND);
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter(|| {
                let mut decoder = NotificationDecoder::new(Limits::default());
                let mut input = black_box(&stream[..]);
                let mut count = 0;
                while let Some(notification) = decoder.decode(&mut input).expect("it was encoded here") {
                    black_box(&notification);
                    count += 1;
                }
                assert_eq!(count, ROUND);
            });
        });
    }
    group.finish();
}

/// A connection that sends for ever, and whose gateway is content.
struct Steady {
    client: Client<u32>,
    now: Now,
    out: BytesMut,
}

impl Steady {
    fn new() -> Self {
        let now = start();
        let mut steady = Self { client: Client::new(Config::default(), now), now, out: BytesMut::new() };
        // Whatever grows to its size has grown after this.
        for size in SIZES {
            steady.round(round(&payload(size)));
        }
        steady
    }

    /// Submitted, written, presumed accepted, told.
    fn round(&mut self, submissions: Vec<Submission<u32>>) {
        for submission in submissions {
            assert!(self.client.submit(self.now, submission).is_ok(), "the window has room");
        }
        loop {
            self.out.clear();
            if self.client.poll_transmit(self.now, &mut self.out) == Transmit::Idle {
                break;
            }
            black_box(&self.out);
        }
        self.now = Now::new(self.now.instant + QUIET, self.now.wall.saturating_add(QUIET));
        self.client.handle_timeout(self.now);
        let mut settled = 0;
        while let Some(event) = self.client.poll_event() {
            settled += usize::from(matches!(event, ConnectionEvent::Settled(_)));
        }
        assert_eq!(settled, ROUND);
    }
}

/// Everything that a notification goes through in the machine, from submission to outcome.
fn machine(c: &mut Criterion) {
    let mut group = c.benchmark_group("binary/machine");
    for size in SIZES {
        let payload = payload(size);
        let mut steady = Steady::new();
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter_batched(|| round(&payload), |submissions| steady.round(submissions), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// What an error response in the middle of a full window means, worked out and told.
fn plan(c: &mut Criterion) {
    const WINDOW: usize = 10_000;
    let payload = payload(100);
    let now = start();
    let mut error = BytesMut::new();
    ErrorResponse { status: Status::INVALID_TOKEN, identifier: WINDOW as u32 / 2 }.emit(&mut error);
    let mut group = c.benchmark_group("binary/plan");
    group.throughput(Throughput::Elements(WINDOW as u64));
    group.bench_function(format!("window of {WINDOW}"), |b| {
        let full = || {
            let mut client = Client::new(Config::default(), now);
            for submission in std::iter::repeat_with(|| round(&payload)).flatten().take(WINDOW) {
                assert!(client.submit(now, submission).is_ok(), "the window has room");
            }
            let mut out = BytesMut::new();
            while client.poll_transmit(now, &mut out) == Transmit::Ready {
                out.clear();
            }
            client
        };
        b.iter_batched(
            full,
            |mut client| {
                client.handle_input(now, &error);
                let mut events = 0;
                while let Some(event) = client.poll_event() {
                    black_box(&event);
                    events += 1;
                }
                assert_eq!(events, WINDOW / 2 + 2, "an answer, the settled half, the end");
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, copy, encode_frames, decode_frames, machine, plan);
criterion_main!(benches);
