//! Accepts connections and gets each through its handshake.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use apns_driver::{Clock as _, drive};
use apns_proto::machine::LINGER;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::server::TlsStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::clock::TokioClock;
use crate::junk::JunkServer;
use crate::log::Service;
use crate::provider::{self, Trust};
use crate::script::{Faults, HandshakeFault, Http2GoAway, Junk};
use crate::state::Core;
use crate::stream::FaultyStream;
use crate::tls::Tls;
use crate::{feedback, gateway, spoken};

/// A listening socket that can be closed from outside, at once.
#[derive(Debug)]
pub(crate) struct Listener(Mutex<Option<TcpListener>>);

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<(Arc<Self>, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((Arc::new(Self(Mutex::new(Some(listener)))), address))
    }

    pub(crate) fn close(&self) {
        drop(self.0.lock().take());
    }

    /// Ready with nothing once it was closed; closing it also ends the task that waits here.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        match &*self.0.lock() {
            Some(listener) => listener.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream))),
            None => Poll::Ready(None),
        }
    }
}

/// What a connection needs.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) core: Arc<Core>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) trust: Arc<Trust>,
    /// Changes when all connections of the moment shall be cut.
    pub(crate) cut: watch::Receiver<u64>,
    /// What the provider API says on all connections of the moment.
    pub(crate) go_away: watch::Receiver<Option<Http2GoAway>>,
}

/// Accepts connections until the listener is closed. Owns the tasks of its connections: when it is dropped they end.
/// `count` numbers the connections, from 1.
pub(crate) async fn run(shared: Shared, listener: Arc<Listener>, count: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    let mut cut = shared.cut.clone();
    loop {
        let accepted = tokio::select! {
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
            Some(_) = connections.join_next() => continue,
            // The listener may have been closed.
            _ = cut.changed() => continue,
        };
        match accepted {
            Some(Ok(tcp)) => {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(serve_until_cut(shared.clone(), number, tcp));
            }
            // Out of file descriptors, mostly: the others have to end first.
            Some(Err(_)) => sleep(Duration::from_millis(10)).await,
            None => break,
        }
    }
    connections.shutdown().await;
}

async fn serve_until_cut(shared: Shared, number: u64, tcp: TcpStream) {
    let mut cut = shared.cut.clone();
    cut.mark_unchanged();
    tokio::select! {
        () = serve(&shared, number, tcp) => {}
        // An error says that the simulator is gone.
        _ = cut.changed() => {
            let end = "cut from outside".to_owned();
            shared.core.closed(shared.service, number, end, 0, TokioClock.now().wall);
        }
    }
}

async fn serve(shared: &Shared, number: u64, tcp: TcpStream) {
    let Shared { service, core, .. } = shared;
    let faults = core.faults(*service, number);
    // Without it small pieces would be joined on their way. A socket that refuses it is gone already.
    let _ = tcp.set_nodelay(true);
    if faults.handshake_delay_ms > 0 {
        sleep(Duration::from_millis(faults.handshake_delay_ms)).await;
    }
    if let Some(Junk::BytesBeforeTls(length)) = faults.junk {
        let junk = JunkServer::random(core.seed(), length.get());
        return speak_junk(shared, number, junk, FaultyStream::new(tcp, &faults)).await;
    }
    let Some(tls) = handshake(shared, number, tcp, &faults).await else { return };
    let certified =
        tls.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|shown| shared.trust.topics_of(shown));
    let stream = FaultyStream::new(tls, &faults);
    match faults.junk {
        Some(Junk::Bytes(length)) => {
            speak_junk(shared, number, JunkServer::random(core.seed(), length.get()), stream).await;
        }
        Some(Junk::Hex(bytes)) => speak_junk(shared, number, JunkServer::bytes(bytes.0), stream).await,
        Some(Junk::BytesBeforeTls(_)) | None => match service {
            Service::Gateway => gateway::serve(core.clone(), number, faults.close_after, stream).await,
            Service::Feedback => feedback::serve(core.clone(), number, stream).await,
            Service::Http2 => {
                let trust = Arc::clone(&shared.trust);
                let go_away = shared.go_away.clone();
                provider::serve(core.clone(), trust, number, certified, faults.close_after, go_away, stream).await;
            }
        },
    }
}

async fn handshake(shared: &Shared, number: u64, mut tcp: TcpStream, faults: &Faults) -> Option<TlsStream<TcpStream>> {
    let Shared { service, core, tls, .. } = shared;
    let peer = tcp.peer_addr().ok();
    let config = match faults.handshake {
        None => Ok(tls.usual()),
        Some(HandshakeFault::Never) => {
            discard(&mut tcp).await;
            let error = "never answered, as the script wants it".to_owned();
            core.handshake_failed(*service, number, peer, error, None, TokioClock.now().wall);
            return None;
        }
        Some(fault) => tls.refusing(fault),
    };
    // Waits for the client's first bytes, as the handshake does.
    let mut first = [0; 24];
    let first = tcp.peek(&mut first).await.map_or(&[][..], |length| &first[..length]).to_vec();
    let accepted = match config {
        Ok(config) => TlsAcceptor::from(config).accept(tcp).into_fallible().await,
        Err(error) => Err((io::Error::other(error), tcp)),
    };
    match accepted {
        Ok(stream) => {
            let version = match stream.get_ref().1.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            };
            core.connected(*service, number, peer, version, TokioClock.now().wall);
            if *service == Service::Http2 && tls.expects_alpn() && stream.get_ref().1.alpn_protocol().is_none() {
                core.misspoken(number, spoken::NO_ALPN, TokioClock.now().wall);
            }
            Some(stream)
        }
        Err((error, mut tcp)) => {
            let advice = spoken::before_tls(&first).or_else(|| spoken::in_handshake(*service, &error));
            let told = advice.map_or_else(|| error.to_string(), |advice| advice.did.to_owned());
            let should = advice.map(|advice| advice.should);
            core.handshake_failed(*service, number, peer, told, should, TokioClock.now().wall);
            // Closing with unread input would reset the connection, and the client might miss the alert.
            let _ = tcp.shutdown().await;
            let _ = timeout(LINGER, discard(&mut tcp)).await;
            None
        }
    }
}

/// Reads until the client ends it.
async fn discard(tcp: &mut TcpStream) {
    let mut buffer = vec![0; 4096];
    while matches!(tcp.read(&mut buffer).await, Ok(1..)) {}
}

async fn speak_junk<S>(shared: &Shared, number: u64, mut junk: JunkServer, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    drive(TokioClock, stream.compat(), &mut junk, |_, event: Infallible| match event {}).await;
    shared.core.closed(shared.service, number, "junk was sent".to_owned(), 0, TokioClock.now().wall);
}
