//! What a transport has to bring.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use apns_proto::{End, Now};
use futures_io::{AsyncRead, AsyncWrite};

use crate::Wire;
use crate::tls::{TlsFailure, TlsSettings};

/// The clocks and timers of one asynchronous runtime.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Reads both clocks. The monotonic one is the runtime's own, so that a test can pause it.
    fn now(&self) -> Now;

    /// Waits until this time.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static;
}

/// Tasks, sockets and TLS of one asynchronous runtime, beside its clocks.
///
/// This is everything that the client needs from a runtime. Trying several addresses, deadlines and the protocols are
/// implemented once, in this crate and in `apns-proto`.
///
/// A runtime that exists once per process implements [`Default`] too, and applications need not name it. A runtime that is a
/// value, such as a handle of an executor, is passed to [`BinaryBuilder::on`](crate::BinaryBuilder::on) or to the same
/// method of the other builders.
///
/// Tasks are [`Send`], because the task of a session shares a queue with all handles of the client, which may be on other
/// threads. A thread-per-core runtime can spawn such a task on the current thread, which has its sockets; but its streams
/// must be `Send`. The machines and sessions of `apns-proto` do not require this: see its `guide` for a loop without a
/// driver.
pub trait Runtime: Clock {
    /// A connected TCP stream.
    type Tcp: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A TLS stream over a [`Wire`], which is such a stream or a tunnel through a proxy.
    type Tls: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// TLS settings in the form that the TLS library needs, created once for many connections.
    type Connector: Clone + Send + Sync + 'static;

    /// Runs a task in the background.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Resolves the addresses of a host, without a cache.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Connects to one address, with `TCP_NODELAY`.
    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Prepares TLS.
    ///
    /// # Errors
    ///
    /// When roots or identity cannot be used.
    fn connector(&self, settings: &TlsSettings) -> Result<Self::Connector, TlsFailure>;

    /// Does the TLS handshake as the client of this host.
    fn secure(
        &self,
        connector: &Self::Connector,
        wire: Wire<Self::Tcp>,
        host: &str,
    ) -> impl Future<Output = Result<Secured<Self::Tls>, TlsFailure>> + Send;

    /// What to try on another connection after a handshake that failed so, where the TLS library cannot judge the server's
    /// certificate in one. Default: nothing; the failure stands.
    fn second_look(connector: &Self::Connector, failure: &TlsFailure) -> Option<Self::Connector> {
        let _ = (connector, failure);
        None
    }

    /// Interprets a failed read as the end of the peer's side: a TLS alert is a refusal with the peer's text.
    fn end_of(error: &io::Error) -> End {
        let _ = error;
        End::Cut
    }
}

/// A TLS stream after its handshake.
#[derive(Debug)]
pub struct Secured<S> {
    /// The stream.
    pub stream: S,
    /// The protocol that ALPN selected, if the TLS library reports it.
    pub alpn: Alpn,
}

/// What a TLS library reports about the protocol that ALPN selected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alpn {
    /// The library reports nothing.
    Untold,
    /// The server selected none.
    None,
    /// The server selected this one.
    Chosen(Vec<u8>),
}
