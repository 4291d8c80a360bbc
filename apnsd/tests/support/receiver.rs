//! A receiver of webhooks: verifies each request by itself, and behaves as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::hmac;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The secret that requests are signed with.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// How a receiver behaves.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "not every program has receivers of every kind")]
pub(crate) enum Mode {
    Take,
    /// Takes it, and then waits so long before it says so.
    Slow(Duration),
    /// Takes nothing, and answers this, with headers and a body.
    Refuse(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Reads, and says nothing.
    Hang,
    /// Closes the connection in the place of an answer.
    Cut,
}

/// A request that was verified.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "not every program looks at everything")]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) signatures: usize,
    pub(crate) event: Value,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) mode: Mutex<Mode>,
    pub(crate) taken: Mutex<Vec<Taken>>,
    /// Connections that were opened.
    pub(crate) connections: AtomicUsize,
    /// Requests that came, whatever was answered.
    pub(crate) asked: AtomicUsize,
}

/// Ends with this value, at once and whatever it is doing.
#[derive(Debug)]
#[allow(dead_code, reason = "some programs have receivers in processes of their own")]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    _serving: JoinSet<()>,
}

#[allow(dead_code, reason = "some programs have receivers in processes of their own")]
impl Receiver {
    pub(crate) async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            mode: Mutex::new(Mode::Take),
            taken: Mutex::default(),
            connections: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        });
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, state.clone(), |_| {}));
        Self { address, state, _serving: serving }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.state.mode.lock() = mode;
    }

    /// The outcomes that it took, in the order in which they came.
    pub(crate) fn outcomes(&self) -> Vec<Value> {
        let taken = self.state.taken.lock();
        let outcomes = taken.iter().filter_map(|taken| taken.event["data"]["outcomes"].as_array());
        outcomes.flatten().cloned().collect()
    }
}

/// Serves until it is dropped. `keep` is called for each request that is taken, before it is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    keep: impl Fn(&Taken) + Clone + Send + Sync + 'static,
) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        state.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, state, keep) = (tls.clone(), state.clone(), keep.clone());
        connections.spawn(async move {
            match tls {
                None => answer_all(tcp, state, keep).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(tcp).await {
                        answer_all(stream, state, keep).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_all<S>(stream: S, state: Arc<State>, keep: impl Fn(&Taken) + Clone)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = service_fn(move |request| {
        let (state, keep) = (state.clone(), keep.clone());
        async move { answer(&state, request, keep).await }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
}

async fn answer(
    state: &State,
    request: Request<Incoming>,
    keep: impl Fn(&Taken),
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Err(std::io::Error::other("the request was cut"));
    };
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let taken = verify(&header("webhook-id"), &header("webhook-timestamp"), &header("webhook-signature"), &body);
    assert_eq!(header("content-type"), "application/json");
    let mode = state.mode.lock().clone();
    match mode {
        Mode::Take | Mode::Slow(_) => {
            keep(&taken);
            state.taken.lock().push(taken);
            if let Mode::Slow(wait) = mode {
                tokio::time::sleep(wait).await;
            }
            Ok(reply(StatusCode::NO_CONTENT, &[], ""))
        }
        Mode::Refuse(status, headers, body) => Ok(reply(StatusCode::from_u16(status).unwrap(), headers, body)),
        Mode::Hang => std::future::pending().await,
        Mode::Cut => Err(std::io::Error::other("as it was told")),
    }
}

fn reply(status: StatusCode, headers: &[(&str, &str)], body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body)).unwrap()
}

/// As a receiver is to do it: the time is near, and one of the signatures fits.
fn verify(id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> Taken {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(timestamp.parse().unwrap()) < 300, "{timestamp}");
    let secret = base64::engine::general_purpose::STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let fits = |signature: &str| {
        let tag = signature.strip_prefix("v1,").unwrap();
        let tag = base64::engine::general_purpose::STANDARD.decode(tag).unwrap();
        hmac::verify(&key, &signed, &tag).is_ok()
    };
    assert!(signatures.split(' ').any(fits), "{signatures}");
    let signatures = signatures.split(' ').count();
    Taken { id: id.to_owned(), signatures, event: serde_json::from_slice(body).unwrap() }
}
