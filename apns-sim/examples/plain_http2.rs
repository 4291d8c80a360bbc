//! A server that is nothing but the `h2` crate, or hyper, under tokio: takes every push whose body arrived whole, and writes
//! its path to standard output.
//!
//! It knows nothing of this project's own HTTP/2, so it can tell whether that is any good:
//!
//! ```text
//! plain_http2 KEY CERTIFICATE LENGTH h2
//! plain_http2 KEY CERTIFICATE LENGTH hyper [STREAMS STREAM-WINDOW CONNECTION-WINDOW FRAME]
//! ```
//!
//! LENGTH is that of the alert's text, in bytes. The rest is what the server announces.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a server of hyper announces.
#[derive(Debug, Clone, Copy)]
struct Announced {
    streams: u32,
    stream_window: u32,
    connection_window: u32,
    frame: u32,
}

#[derive(Debug, Clone, Copy)]
enum Engine {
    H2,
    Hyper(Option<Announced>),
}

impl Engine {
    fn from_arguments(arguments: &[String]) -> Result<Self, Error> {
        let numbers = arguments.iter().skip(1).map(|text| text.parse()).collect::<Result<Vec<u32>, _>>()?;
        match (arguments.first().map(String::as_str), &numbers[..]) {
            (Some("h2"), []) => Ok(Self::H2),
            (Some("hyper"), []) => Ok(Self::Hyper(None)),
            (Some("hyper"), &[streams, stream_window, connection_window, frame]) => {
                Ok(Self::Hyper(Some(Announced { streams, stream_window, connection_window, frame })))
            }
            _ => Err("give `h2`, or `hyper` with four numbers or none".into()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, certificate, length, engine @ ..] = &arguments[..] else {
        return Err("give the files of a private key and of a certificate, in PEM, and the length of the texts".into());
    };
    let (length, engine) = (length.parse()?, Engine::from_arguments(engine)?);
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("listens at {}", listener.local_addr()?.port()))?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that leaves in the middle is its own affair.
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            drop(match engine {
                Engine::H2 => serve(stream, length).await,
                Engine::Hyper(announced) => serve_by_hyper(stream, length, announced).await,
            });
        });
    }
}

async fn serve(stream: TlsStream<TcpStream>, length: usize) -> Result<(), Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let mut whole = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                drop(body.flow_control().release_capacity(piece.len()));
                whole.extend_from_slice(&piece);
            }
            let answer = http::Response::builder().status(take(&head, &whole, length)).body(());
            let answer = answer.expect("nothing in it can be wrong");
            let _: Result<h2::SendStream<Bytes>, _> = respond.send_response(answer, true);
        });
    }
    Ok(())
}

async fn serve_by_hyper(
    stream: TlsStream<TcpStream>,
    length: usize,
    announced: Option<Announced>,
) -> Result<(), Error> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    if let Some(Announced { streams, stream_window, connection_window, frame }) = announced {
        builder
            .max_concurrent_streams(streams)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_frame_size(frame);
    }
    let answer = service_fn(move |request: http::Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let whole = body.collect().await?.to_bytes();
        let answer = http::Response::builder().status(take(&head, &whole, length)).body(Empty::<Bytes>::new());
        Ok::<_, hyper::Error>(answer.expect("nothing in it can be wrong"))
    });
    builder.serve_connection(TokioIo::new(stream), answer).await?;
    Ok(())
}

/// Writes down a push whose body is whole; the status to answer with.
fn take(head: &http::request::Parts, body: &[u8], length: usize) -> u16 {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if body["aps"]["alert"]["body"].as_str().map(str::len) != Some(length) {
        return 500;
    }
    drop(say(&format!("{} {}", head.method, head.uri.path())));
    200
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
