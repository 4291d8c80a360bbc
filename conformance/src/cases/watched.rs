//! A runtime that counts its tasks, and whose name service says what a test wants.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{Clock, Runtime, Secured, Wire};
use apns_proto::{End, Now};
use parking_lot::Mutex;

/// Runtimes are made by default, so what they are told and tell is kept here. Tests that use it hold this lock.
pub(crate) static ONE_AT_A_TIME: futures_util::lock::Mutex<()> = futures_util::lock::Mutex::new(());

static TASKS: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static ADDRESSES: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

/// How many tasks there are now.
pub(crate) fn tasks() -> usize {
    TASKS.load(Ordering::SeqCst)
}

/// How often the name service was asked since its answer was set.
pub(crate) fn asked() -> usize {
    ASKED.load(Ordering::SeqCst)
}

pub(crate) fn answer_with(addresses: Vec<SocketAddr>) {
    *ADDRESSES.lock() = addresses;
    ASKED.store(0, Ordering::SeqCst);
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Watched<R>(R);

/// Counts also the tasks that are thrown away.
struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        TASKS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<R: Runtime> Clock for Watched<R> {
    fn now(&self) -> Now {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep_until(deadline)
    }
}

impl<R: Runtime> Runtime for Watched<R> {
    type Tcp = R::Tcp;
    type Tls = R::Tls;
    type Connector = R::Connector;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        TASKS.fetch_add(1, Ordering::SeqCst);
        let alive = Alive;
        self.0.spawn(async move {
            task.await;
            drop(alive);
        });
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        let addresses = ADDRESSES.lock().clone();
        if addresses.is_empty() { self.0.resolve(host, port).await } else { Ok(addresses) }
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Tcp> {
        self.0.dial(address).await
    }

    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure> {
        self.0.connector(settings)
    }

    async fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<Self::Tcp>,
        host: &str,
    ) -> Result<Secured<Self::Tls>, TlsFailure> {
        self.0.secure(connector, wire, host).await
    }

    fn second_look(connector: &Self::Connector, failure: &TlsFailure) -> Option<Self::Connector> {
        R::second_look(connector, failure)
    }

    fn end_of(error: &io::Error) -> End {
        R::end_of(error)
    }
}
