//! A client as old ones are: it writes frames, and reads six bytes when there are some.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apns_driver::Identity;
use apns_driver::tls::rustls::certified_key;
use apns_proto::DeviceToken;
use apns_proto::binary::{ErrorResponse, FeedbackDecoder, FeedbackRecord, Format, Frame, encode};
use bytes::BytesMut;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};

use crate::support::SOON;
use crate::world::Bridged;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// How a client shows itself.
pub(crate) struct Manners {
    /// The certificate and its key in PEM; without it, it shows none.
    pub(crate) identity: Option<(String, String)>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) suites: &'static [SupportedCipherSuite],
}

impl Manners {
    pub(crate) fn usual(bridged: &Bridged) -> Self {
        let simulator = &bridged.world.simulator;
        Self::with(simulator.client_certificate_pem(), simulator.client_key_pem())
    }

    pub(crate) fn with(certificate: &str, key: &str) -> Self {
        let identity = Some((certificate.to_owned(), key.to_owned()));
        Self { identity, versions: BOTH, suites: ring::ALL_CIPHER_SUITES }
    }
}

pub(crate) struct Old {
    stream: TlsStream<TcpStream>,
}

impl Old {
    pub(crate) async fn connect(bridged: &Bridged) -> Self {
        Self::connect_as(bridged, bridged.gateway(), &Manners::usual(bridged)).await.unwrap()
    }

    pub(crate) async fn connect_as(bridged: &Bridged, to: SocketAddr, manners: &Manners) -> std::io::Result<Self> {
        Self::connect_with(&bridged.ca(), to, manners).await
    }

    pub(crate) async fn connect_with(ca: &str, to: SocketAddr, manners: &Manners) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = CryptoProvider { cipher_suites: manners.suites.to_vec(), ..ring::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(manners.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match &manners.identity {
            Some((certificate, key)) => {
                let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).unwrap();
                let key = certified_key(&identity, &ring::default_provider()).unwrap();
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from("gateway.push.apple.com").unwrap();
        Ok(Self { stream: TlsConnector::from(Arc::new(config)).connect(name, stream).await? })
    }

    pub(crate) fn suite(&self) -> Option<CipherSuite> {
        self.stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        tokio::time::timeout(SOON, async {
            self.stream.write_all(bytes).await.unwrap();
            self.stream.flush().await.unwrap();
        })
        .await
        .unwrap();
    }

    /// Writes what it can; a gateway that closes ends that.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) {
        let _ended = tokio::time::timeout(SOON, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
        .unwrap();
    }

    /// Everything that comes until the other side closes, and how it did.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, std::io::Result<()>) {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(SOON, self.stream.read_to_end(&mut bytes)).await.expect("it ends");
        (bytes, ended.map(|_| ()))
    }

    /// The error response, behind which nothing comes, and no reset.
    pub(crate) async fn response(mut self) -> ErrorResponse {
        let (bytes, ended) = self.read_to_end().await;
        ended.expect("a proper end");
        ErrorResponse::parse(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"))
    }

    /// Nothing comes for a while.
    pub(crate) async fn hears_nothing_for(&mut self, time: Duration) {
        let mut byte = [0];
        let read = tokio::time::timeout(time, self.stream.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?}");
    }

    /// Whether not a byte waits in the socket.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        let read = self.stream.get_ref().0.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// What the feedback service says.
    pub(crate) async fn records(mut self) -> Vec<FeedbackRecord> {
        let (bytes, ended) = self.read_to_end().await;
        ended.expect("a proper end");
        let mut decoder = FeedbackDecoder::default();
        let mut input = &bytes[..];
        let mut records = Vec::new();
        while let Some(record) = decoder.decode(&mut input).unwrap() {
            records.push(record);
        }
        decoder.finish().unwrap();
        records
    }

    pub(crate) async fn close(mut self) {
        let _ended = self.stream.shutdown().await;
    }
}

/// A payload that can be told from others.
pub(crate) fn payload(number: u32) -> String {
    format!("{{\"aps\":{{\"alert\":\"Notification {number}\"}}}}")
}

/// One notification as command 2.
pub(crate) fn frame(identifier: u32, token: &DeviceToken, payload: &str) -> Vec<u8> {
    frame_as(Format::Items, identifier, token, payload, Some(2_000_000_000))
}

pub(crate) fn frame_as(
    format: Format,
    identifier: u32,
    token: &DeviceToken,
    payload: &str,
    expiration: Option<u32>,
) -> Vec<u8> {
    let mut out = BytesMut::new();
    let (token, payload) = (token.as_bytes(), payload.as_bytes());
    encode(&Frame { format, identifier, expiration, priority: None, token, payload }, &mut out).unwrap();
    out.to_vec()
}
