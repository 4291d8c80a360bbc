//! A port for HTTP, with a bounded number of connections and no patience with those that say nothing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt as _;

/// How many connections there may be. A browser holds one for each page that is open, and tests one for each wait.
const CONNECTIONS: usize = 512;

/// How long a request's head may take, and a connection be without one.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long answers may take to end once the inbox is told to.
const GRACE: Duration = Duration::from_secs(2);

/// A port that is taken; nobody is answered there yet.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// A port that is answered.
pub(crate) struct Listening {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is told to stop.
    pub(crate) fn serve(self, router: Router, stop: watch::Sender<bool>) -> Listening {
        let task = tokio::spawn(accept(self.listener, router, stop.subscribe()));
        Listening { stop, task }
    }
}

impl Listening {
    /// Ends it; answers that have begun may end.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        // It ends itself, within its grace.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        // Who finds no place waits in the system's queue.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => drop(tasks.spawn(converse(stream, router.clone(), place, stop.clone()))),
            // Out of file descriptors, most likely: the others have to end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tasks.shutdown().await;
    }
}

async fn converse(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit, mut stop: watch::Receiver<bool>) {
    // Only speed is lost without it.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<Response<Body>, Infallible> = router.oneshot(request).await;
            answered
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(64 * 1024);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        tokio::select! {
            // Whatever went wrong, it is over.
            _ended = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
