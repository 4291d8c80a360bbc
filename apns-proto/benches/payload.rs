//! Payloads: built, read, and cut to size.

#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use std::hint::black_box;

use apns_proto::{Payload, PayloadLimit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("payload");
    group.bench_function("build alert", |b| b.iter(|| Payload::alert(black_box("Tea is ready"))));
    group.bench_function("build title, body, badge, sound", |b| {
        b.iter(|| {
            Payload::builder()
                .title(black_box("Kitchen"))
                .body(black_box("Tea is ready"))
                .badge(1)
                .sound("default")
                .build()
                .expect("it is small")
        });
    });
    let long = "söze ".repeat(1000);
    group.bench_function("build and cut to 2048 bytes", |b| {
        b.iter(|| {
            Payload::builder().body(black_box(&*long)).fit(PayloadLimit::BINARY_2014).expect("a text can be cut")
        });
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("payload/read");
    for size in [100, 2048] {
        let json = format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(size - 20));
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter(|| Payload::from_json(black_box(json.clone())).expect("it is a payload"));
        });
    }
    group.finish();
}

criterion_group!(benches, build, read);
criterion_main!(benches);
