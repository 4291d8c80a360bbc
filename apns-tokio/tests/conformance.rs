//! What every transport has to show, shown on tokio and rustls.

use std::future::Future;

apns_conformance::tests!(apns_tokio::Tokio, crate::block_on);

fn block_on(behaviour: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system has threads").block_on(behaviour);
}
