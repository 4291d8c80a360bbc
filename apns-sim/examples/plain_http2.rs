//! A server that is nothing but the `h2` crate under tokio: takes every push, and writes its path to standard output.
//!
//! It knows nothing of this project's own HTTP/2, so it can tell whether that is any good:
//!
//! ```text
//! cargo run -p apns-sim --example plain_http2 -- server.key server.pem
//! ```

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(key), Some(certificate)) = (arguments.next(), arguments.next()) else {
        return Err("give the files of a private key and of a certificate, in PEM".into());
    };
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
            let _ = serve(acceptor, tcp).await;
        });
    }
}

async fn serve(acceptor: TlsAcceptor, tcp: tokio::net::TcpStream) -> Result<(), Error> {
    let mut connection = h2::server::handshake(acceptor.accept(tcp).await?).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            while let Some(Ok(piece)) = body.data().await {
                drop(body.flow_control().release_capacity(piece.len()));
            }
            drop(say(&format!("{} {}", head.method, head.uri.path())));
            let answer = http::Response::builder().status(200).body(()).expect("nothing in it can be wrong");
            let _: Result<h2::SendStream<Bytes>, _> = respond.send_response(answer, true);
        });
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
