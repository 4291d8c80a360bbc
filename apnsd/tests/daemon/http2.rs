//! A caller that speaks HTTP/2 and is as plain as can be.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer2 {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Its stream ended with the headers.
    pub(crate) ends_with_headers: bool,
}

impl Answer2 {
    pub(crate) fn reason(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        json["reason"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A connection.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<()>,
    origin: String,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), "http://localhost").await
    }

    /// With TLS, and HTTP/2 by ALPN or without a word of it.
    pub(crate) async fn connect_tls(address: SocketAddr, authority: &rcgen::Certificate, alpn: &[&[u8]]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().copied());
        Self::over(stream, "https://localhost").await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, origin: &str) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection, origin: origin.to_owned() }
    }

    /// Another name for the server.
    pub(crate) fn calling(mut self, host: &str) -> Self {
        self.origin = format!("https://{host}");
        self
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer2 {
        self.try_post(path, headers, body).await.unwrap()
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer2, h2::Error> {
        let mut request = Request::post(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut stream) = sender.send_request(request.body(()).unwrap(), body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        }
        let (parts, mut stream) = answer.await?.into_parts();
        let ends_with_headers = stream.is_end_stream();
        let mut body = Vec::new();
        while let Some(part) = stream.data().await {
            body.extend_from_slice(&part?);
        }
        let body = String::from_utf8(body).unwrap();
        Ok(Answer2 { status: parts.status.as_u16(), headers: parts.headers, body, ends_with_headers })
    }

    /// Whether the server has closed it.
    pub(crate) async fn closed(self) {
        drop(self.sender);
        self.connection.await.unwrap();
    }

    /// Goes away without a word.
    pub(crate) fn hang_up(self) {
        self.connection.abort();
    }
}
