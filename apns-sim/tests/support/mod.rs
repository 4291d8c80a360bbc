//! A client that knows no more than TLS: what it says and hears are bytes.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::binary::{ErrorResponse, Format, Frame, Status, encode, encode_probe};
use apns_sim::Simulator;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longer than anything here takes; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    pub stream: TlsStream<TcpStream>,
}

pub enum Identity {
    /// The simulator's own.
    Given,
    /// A certificate and its key, in PEM.
    Pem(String, String),
    None,
}

pub async fn tls(simulator: &Simulator, address: SocketAddr, identity: Identity) -> io::Result<Client> {
    tls_offering(simulator, address, identity, &[]).await
}

/// With these protocols offered by ALPN.
pub async fn tls_offering(
    simulator: &Simulator,
    address: SocketAddr,
    identity: Identity,
    protocols: &[&[u8]],
) -> io::Result<Client> {
    let identity = match identity {
        Identity::Given => {
            Identity::Pem(simulator.client_certificate_pem().to_owned(), simulator.client_key_pem().to_owned())
        }
        other => other,
    };
    tls_trusting(simulator.ca_pem(), address, identity, protocols).await
}

/// A client that knows nothing of the simulator but an authority to trust.
pub async fn tls_trusting(
    authority: &str,
    address: SocketAddr,
    identity: Identity,
    protocols: &[&[u8]],
) -> io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Identity::Pem(certificate, key) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
        Identity::Given => panic!("whose?"),
        Identity::None => config.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("gateway.push.apple.com").unwrap();
    let stream = timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap()?;
    Ok(Client { stream })
}

pub async fn gateway(simulator: &Simulator) -> Client {
    tls(simulator, simulator.gateway_address(), Identity::Given).await.unwrap()
}

pub async fn feedback(simulator: &Simulator) -> Client {
    tls(simulator, simulator.feedback_address(), Identity::Given).await.unwrap()
}

impl Client {
    pub async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, async {
            self.stream.write_all(bytes).await.unwrap();
            self.stream.flush().await.unwrap();
        })
        .await
        .unwrap();
    }

    /// Everything up to the end, and how it ended.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut all = Vec::new();
        let end = timeout(PATIENCE, self.stream.read_to_end(&mut all)).await.expect("the end comes");
        (all, end.map(drop))
    }

    /// Everything up to an orderly end.
    pub async fn read_all(&mut self) -> Vec<u8> {
        let (all, end) = self.read_to_end().await;
        end.unwrap();
        all
    }

    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }
}

pub const PAYLOAD: &[u8] = br#"{"aps":{"alert":"Hi"}}"#;

pub fn notification(identifier: u32, token: &[u8], payload: &[u8]) -> Vec<u8> {
    in_format(Format::Items, identifier, token, payload)
}

pub fn in_format(format: Format, identifier: u32, token: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let (expiration, priority) = (Some(1_700_000_000), Some(10));
    encode(&Frame { format, identifier, expiration, priority, token, payload }, &mut out).unwrap();
    out.to_vec()
}

/// A token that begins with its number.
pub fn token(number: u32) -> Vec<u8> {
    let mut token = vec![0xee; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    token
}

/// Notifications with these identifiers, each to the token of that number.
pub fn notifications(identifiers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    identifiers.into_iter().flat_map(|identifier| notification(identifier, &token(identifier), PAYLOAD)).collect()
}

pub fn probe(identifier: u32) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_probe(identifier, &mut out);
    out.to_vec()
}

pub fn response(bytes: &[u8]) -> (u8, u32) {
    let ErrorResponse { status, identifier } = ErrorResponse::parse(bytes).unwrap();
    (status.raw(), identifier)
}

pub fn emitted(status: Status, identifier: u32) -> Vec<u8> {
    let mut out = BytesMut::new();
    ErrorResponse { status, identifier }.emit(&mut out);
    out.to_vec()
}

/// Waits for something with a limit.
pub async fn seen(simulator: &Simulator, predicate: impl FnMut(&apns_sim::Log) -> bool) {
    timeout(PATIENCE, simulator.wait_for(predicate)).await.unwrap_or_else(|_| {
        panic!("it never happened; seen so far: {:?}", simulator.counts());
    });
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
