//! The numbers of a client for Prometheus, over HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use apns_tokio::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::exit::Failure;
use crate::output::say;

/// The most that is read of a request; Prometheus sends some hundred bytes.
const LARGEST_REQUEST: usize = 8 * 1024;

/// How long one reader may take. Others wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the numbers until it is dropped.
#[derive(Debug)]
pub(crate) struct Metrics(JoinHandle<()>);

impl Metrics {
    /// Binds the address and says where the numbers are.
    pub(crate) async fn serve(address: SocketAddr, client: Client) -> Result<Self, Failure> {
        let failed = |error| Failure::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        say(format_args!("metrics are at http://{}/metrics", listener.local_addr().map_err(failed)?));
        Ok(Self(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    // A reader that fails or dawdles is its own trouble.
                    Ok((stream, _)) => drop(tokio::time::timeout(PATIENCE, answer(stream, &client)).await),
                    // Out of descriptors, say: not the business of those who send.
                    Err(_) => tokio::time::sleep(PATIENCE).await,
                }
            }
        })))
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers one request and closes.
async fn answer(mut stream: TcpStream, client: &Client) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if request.len() > LARGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", client.stats().to_string())
    } else {
        ("404 Not Found", "The numbers are at /metrics.\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
