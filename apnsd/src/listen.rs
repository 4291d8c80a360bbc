//! Ports: TCP or TLS, a bounded number of connections, and no patience with the idle.

mod heard;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apns_driver::tls::rustls::certified_key;
use apns_tokio::{Identity, IdentityError};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig, SignatureAlgorithm};

use self::heard::Heard;
use crate::config::{ConfigError, Limits};
use crate::daemon::DaemonError;
use crate::http::shares::Spare;
use crate::http::watched::Peer;
use crate::interface::ListeningPort;
use crate::service_manager;

/// Takes a port for an interface, with keep-alive, which connections inherit: a peer that is gone without a word does not
/// keep its place for ever. One that the service manager opened at this address is used as it is.
pub(crate) fn listen(
    field: &'static str,
    what: &'static str,
    scheme: Option<&'static str>,
    address: SocketAddr,
) -> Result<(TcpListener, ListeningPort), DaemonError> {
    let bound = || {
        if let Some(passed) = service_manager::take(address) {
            passed.set_nonblocking(true)?;
            return Ok((TcpListener::from_std(passed)?, ListeningPort { field, what, scheme, address }));
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if cfg!(unix) {
            socket.set_reuseaddr(true)?;
        }
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        Ok((listener, ListeningPort { field, what, scheme, address }))
    };
    bound().map_err(|source| DaemonError::Port { field, address, source })
}

/// A port for HTTP that is listened at, and does not answer yet.
pub(crate) struct Port {
    listener: TcpListener,
    pub(crate) shown: ListeningPort,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    versions: Versions,
}

/// Which HTTP is spoken at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/1.1.
    One,
    /// HTTP/1.1 and HTTP/2, as the client's first bytes say.
    Both {
        /// How many requests may be under way on one connection of HTTP/2.
        streams: u32,
    },
}

impl Port {
    /// Listens, with TLS where there is a certificate.
    pub(crate) fn bind(
        field: &'static str,
        what: &'static str,
        address: SocketAddr,
        certificate: Option<Arc<ServerCertificate>>,
        limits: Limits,
    ) -> Result<Self, DaemonError> {
        Self::bind_for(Versions::One, field, what, address, certificate, limits)
    }

    /// The same for other versions of HTTP.
    pub(crate) fn bind_for(
        versions: Versions,
        field: &'static str,
        what: &'static str,
        address: SocketAddr,
        certificate: Option<Arc<ServerCertificate>>,
        limits: Limits,
    ) -> Result<Self, DaemonError> {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let (listener, shown) = listen(field, what, Some(scheme), address)?;
        let tls = certificate.map(|certificate| TlsAcceptor::from(tls_settings(certificate, versions)));
        Ok(Self { listener, shown, tls, limits, versions })
    }

    /// Answers until `stop` says so. Then requests that have begun may go on for `grace`.
    pub(crate) async fn serve(self, router: Router, mut stop: watch::Receiver<bool>, grace: Duration) {
        let connections = Arc::new(Connections::new(self.limits.connections));
        let spare = Arc::new(Connections::spare());
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            while tasks.try_join_next().is_some() {}
            let (stream, from) = match accepted {
                Ok((stream, from)) => (stream, from.ip()),
                Err(_) => {
                    // Out of file descriptors, most likely. The idle make room.
                    connections.evict();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let Some(place) = connections.take().or_else(|| spare.take()) else {
                // Nobody is idle: this one is turned away without a word, which costs the least.
                drop(stream);
                continue;
            };
            let manners = Manners { limits: self.limits, versions: self.versions };
            tasks.spawn(converse(stream, from, self.tls.clone(), manners, router.clone(), place, stop.clone()));
        }
        drop(self.listener);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tasks.shutdown().await;
        }
    }
}

/// How a port speaks with its clients.
#[derive(Debug, Clone, Copy)]
struct Manners {
    limits: Limits,
    versions: Versions,
}

impl Manners {
    fn http(self) -> auto::Builder<TokioExecutor> {
        let mut http = auto::Builder::new(TokioExecutor::new());
        let read = self.limits.head_within;
        http.http1().timer(TokioTimer::new()).header_read_timeout(read).max_buf_size(64 * 1024);
        let Versions::Both { streams } = self.versions else { return http.http1_only() };
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(self.limits.head_within);
        http
    }
}

/// What a client of HTTP/2 may write of one body, and of all on a connection, before it is read.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// The most bytes of the headers of a request.
const HEADER_LIST: u32 = 16 << 10;
/// How often an idle client of HTTP/2 is asked whether it is still there. It may keep its connection for as long as it is.
const PING_EVERY: Duration = Duration::from_secs(60);
/// So many bytes say which version is spoken (RFC 9113 section 3.4).
const PREFACE: usize = 24;

async fn converse(
    stream: TcpStream,
    from: IpAddr,
    tls: Option<TlsAcceptor>,
    manners: Manners,
    router: Router,
    place: Place,
    stop: watch::Receiver<bool>,
) {
    // Only speed is lost without it.
    drop(stream.set_nodelay(true));
    match tls {
        None => talk_http(stream, from, manners, router, place, stop).await,
        Some(acceptor) => {
            let shake = tokio::time::timeout(manners.limits.head_within, acceptor.accept(stream));
            let shaken = tokio::select! {
                shaken = shake => shaken,
                () = place.slot.leave.notified() => return,
            };
            if let Ok(Ok(stream)) = shaken {
                talk_http(stream, from, manners, router, place, stop).await;
            }
        }
    }
}

async fn talk_http<S>(
    stream: S,
    from: IpAddr,
    manners: Manners,
    router: Router,
    place: Place,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slot = place.slot.clone();
    let spare = place.connections.spare;
    let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(from));
        if spare {
            request.extensions_mut().insert(Spare);
        }
        let busy = Busy::new(slot.clone());
        let answer = answer(router.clone(), request);
        async move {
            let (parts, body) = answer.await.into_parts();
            // A long answer keeps its connection busy until its end.
            let body = body.map_frame(move |frame| {
                let _busy = &busy;
                frame
            });
            Ok::<_, std::convert::Infallible>(Response::from_parts(parts, Body::new(body)))
        }
    });
    let http = manners.http();
    let both = manners.versions != Versions::One;
    let heard = Arc::new(AtomicUsize::new(0));
    let stream = Heard { stream, bytes: heard.clone() };
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut linger = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    // A client that does not say which version it speaks is not waited for.
    let mut silent = std::pin::pin!(tokio::time::sleep(manners.limits.head_within));
    let (mut stopping, mut closing, mut leaving, mut undecided) = (false, false, false, both);
    loop {
        tokio::select! {
            // Whatever went wrong, it is over.
            _ended = connection.as_mut() => return,
            () = place.slot.leave.notified(), if !leaving => {
                if !both {
                    return;
                }
                // A request may be on its way: the client is told that it is not taken.
                (leaving, closing) = (true, true);
                connection.as_mut().graceful_shutdown();
                silent.as_mut().reset(tokio::time::Instant::now() + LINGER);
            }
            () = silent.as_mut(), if leaving || undecided => {
                let idle = place.slot.busy.load(Ordering::Relaxed) == 0;
                if leaving || (idle && heard.load(Ordering::Relaxed) < PREFACE) {
                    return;
                }
                undecided = false;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                let idle = place.slot.busy.load(Ordering::Relaxed) == 0;
                let wait = if idle { LINGER } else { Duration::ZERO };
                linger.as_mut().reset(tokio::time::Instant::now() + wait);
            }
            // The answer to this request says that the connection closes.
            () = place.slot.begun.notified(), if stopping && !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = linger.as_mut(), if stopping && !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// How long an idle connection is kept after the order to stop. A request may be on its way over it, and one that finds
/// the connection closed is lost for a caller that does not send it again.
const LINGER: Duration = Duration::from_millis(500);

async fn answer(router: Router, request: Request<Incoming>) -> Response {
    use tower::ServiceExt as _;
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// How many connections are kept free for `/healthz` and `/readyz`.
const SPARE: usize = 8;

/// The connections of one port.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    /// They are beyond those that callers may take up.
    spare: bool,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    /// The longest there first.
    taken: BTreeMap<u64, Arc<Slot>>,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Requests that have begun and not ended.
    busy: AtomicUsize,
    /// One begins.
    begun: Notify,
    pub(crate) leave: Notify,
}

/// A place among the connections, given back when dropped.
pub(crate) struct Place {
    number: u64,
    pub(crate) slot: Arc<Slot>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, spare: false, slots: Mutex::default() }
    }

    /// A few more, for those who ask after the health while all others are busy.
    fn spare() -> Self {
        Self { spare: true, ..Self::new(SPARE) }
    }

    /// A place for a new connection. Where all are taken, the one that is there the longest without a request leaves.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let mut slots = self.slots.lock();
        if slots.taken.len() >= self.limit {
            slots.evict().then_some(())?;
        }
        let number = slots.next;
        slots.next += 1;
        let slot = Arc::new(Slot::default());
        slots.taken.insert(number, slot.clone());
        Some(Place { number, slot, connections: self.clone() })
    }

    pub(crate) fn evict(&self) -> bool {
        self.slots.lock().evict()
    }
}

impl Slots {
    fn evict(&mut self) -> bool {
        let idle = |(_, slot): &(&u64, &Arc<Slot>)| slot.busy.load(Ordering::Relaxed) == 0;
        let Some(number) = self.taken.iter().find(idle).map(|(number, _)| *number) else { return false };
        if let Some(slot) = self.taken.remove(&number) {
            slot.leave.notify_one();
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.connections.slots.lock();
        slots.taken.remove(&self.number);
    }
}

/// A request that is being answered: its connection is not idle.
pub(crate) struct Busy(Arc<Slot>);

impl Busy {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        slot.busy.fetch_add(1, Ordering::Relaxed);
        slot.begun.notify_waiters();
        Self(slot)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The certificate of a port with TLS; another one can take its place while the port is open.
pub(crate) struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// The files of a certificate and its key, and the table of the configuration that names them.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) table: &'static str,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl CertificateFiles {
    /// Reads certificate and key, and checks that they belong together.
    pub(crate) fn read(&self) -> Result<Arc<CertifiedKey>, ConfigError> {
        let Self { table, certificate, key } = self;
        let at = |field: &str, problem: &dyn std::fmt::Display| ConfigError::at(format!("{table}.{field}"), problem);
        let identity = Identity::from_files(certificate, Some(key), None).map_err(|error| match &error {
            IdentityError::Io { path, .. } if path == key => at("key", &error),
            _ => at("certificate", &error),
        })?;
        let provider = rustls::crypto::ring::default_provider();
        certified_key(&identity, &provider).map_err(|error| at("key", &error))
    }
}

impl ServerCertificate {
    pub(crate) fn new(certified: Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(certified)))
    }

    /// What kind of key it has, which decides about the suites of TLS 1.2.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        self.0.read().key.algorithm()
    }

    /// New connections get this one.
    pub(crate) fn replace(&self, certified: Arc<CertifiedKey>) {
        *self.0.write() = certified;
    }
}

/// The settings of a port with TLS: 1.2 and 1.3.
fn tls_settings(certificate: Arc<ServerCertificate>, versions: Versions) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    let one = b"http/1.1".to_vec();
    config.alpn_protocols = match versions {
        Versions::One => vec![one],
        Versions::Both { .. } => vec![b"h2".to_vec(), one],
    };
    Arc::new(config)
}
