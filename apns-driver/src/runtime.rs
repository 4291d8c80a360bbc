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
/// This is all that the client needs of a runtime. Trying all addresses, deadlines, and everything that speaks a
/// protocol live elsewhere, once.
///
/// A runtime that is one for the whole process is [`Default`] as well, and nobody has to name it. One that is a value, such
/// as a handle of an executor, is given to [`BinaryBuilder::on`](crate::BinaryBuilder::on) and its sisters.
///
/// Tasks are [`Send`]: a session's task has a part in a queue that every handle of the client may use from any thread, and
/// its wakers go where that queue goes. A runtime of one thread for each core spawns such a task on the thread it is on,
/// which is where its sockets are; what it cannot do is to bring a stream that is not `Send`. Machines and sessions of
/// `apns-proto` ask for neither: see its `guide` for a loop without a driver.
pub trait Runtime: Clock {
    /// A connected TCP stream.
    type Tcp: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A TLS stream over a [`Wire`], which is such a stream or a tunnel through a proxy.
    type Tls: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// TLS settings in the form that the TLS library wants, made once for many connections.
    type Connector: Clone + Send + Sync + 'static;

    /// Runs a task in the background.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Finds the addresses of a host, afresh each time.
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

    /// What a failed read says about how the peer's side ended: a TLS alert is a refusal in the peer's own words.
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
    /// The protocol that ALPN chose, as far as the TLS library tells.
    pub alpn: Alpn,
}

/// What a TLS library tells about the choice of protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alpn {
    /// It tells nothing.
    Untold,
    /// The server chose none.
    None,
    /// The server chose this one.
    Chosen(Vec<u8>),
}
