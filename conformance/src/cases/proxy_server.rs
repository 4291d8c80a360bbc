//! A proxy of HTTP (`CONNECT`) and SOCKS version 5, on threads of its own, so that it is the same for every transport.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apns_driver::{Proxy, Roots};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The user and the password that a proxy may want.
pub(crate) const CREDENTIALS: &str = "me:s3cret";

/// The same as HTTP has it.
const BASIC: &str = "basic bWU6czNjcmV0";

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Http,
    Socks5,
}

/// What a proxy does once it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) enum Does {
    /// It opens a tunnel.
    #[default]
    Opens,
    /// It says that it does, and closes.
    OpensAndCloses,
    /// It says this, and closes.
    Says(Vec<u8>),
    /// Nothing.
    Waits,
}

/// How a proxy behaves; it may change while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// Whether [`CREDENTIALS`] are wanted.
    pub(crate) wants_credentials: bool,
    pub(crate) does: Does,
    /// Which names it knows, with their addresses. Addresses it knows always.
    pub(crate) names: Vec<(&'static str, SocketAddr)>,
}

#[derive(Debug)]
struct Shared {
    speech: Speech,
    manner: Mutex<Manner>,
    asked: Mutex<Vec<String>>,
}

/// Runs until it is dropped.
pub(crate) struct ProxyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    runtime: Option<Runtime>,
}

impl ProxyServer {
    pub(crate) fn start(speech: Speech, tls: Option<Arc<ServerConfig>>, manner: Manner) -> Self {
        let shared = Arc::new(Shared { speech, manner: Mutex::new(manner), asked: Mutex::default() });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Self { address, shared, tls, runtime: None };
        server.run();
        server
    }

    /// Ends all its connections, and listens again at the same place.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.run();
    }

    fn run(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("the system has threads");
        let (send, receive) = std::sync::mpsc::channel();
        let (address, shared, acceptor) = (self.address, self.shared.clone(), self.tls.clone().map(TlsAcceptor::from));
        runtime.spawn(async move {
            // The socket of a run before may not be gone yet.
            let listener = loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            };
            drop(send.send(listener.local_addr()));
            while let Ok((tcp, _)) = listener.accept().await {
                let (shared, acceptor) = (shared.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(tcp, &shared).await,
                        Some(acceptor) => serve(acceptor.accept(tcp).await?, &shared).await,
                    }
                });
            }
        });
        self.address = receive.recv().expect("it listens").expect("it is bound");
        self.runtime = Some(runtime);
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with [`CREDENTIALS`] or without.
    pub(crate) fn url(&self, with_credentials: bool) -> Proxy {
        let scheme = match (self.shared.speech, &self.tls) {
            (Speech::Socks5, _) => "socks5h",
            (Speech::Http, None) => "http",
            (Speech::Http, Some(_)) => "https",
        };
        let credentials = if with_credentials { format!("{CREDENTIALS}@") } else { String::new() };
        format!("{scheme}://{credentials}{}", self.address).parse().expect("a URL")
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.manner.lock());
    }

    /// Which hosts and ports it was asked for since this was called last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock())
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let authority = match shared.speech {
        Speech::Http => read_connect(&mut stream, shared).await?,
        Speech::Socks5 => read_socks(&mut stream, shared).await?,
    };
    let Some(authority) = authority else { return Ok(()) };
    shared.asked.lock().push(authority.clone());
    let Manner { does, names, .. } = shared.manner.lock().clone();
    let yes: &[u8] = match shared.speech {
        Speech::Http => b"HTTP/1.1 200 Connection established\r\n\r\n",
        Speech::Socks5 => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    };
    match does {
        Does::Waits => std::future::pending().await,
        Does::Says(words) => finish(stream, &words).await,
        Does::OpensAndCloses => finish(stream, yes).await,
        Does::Opens => {
            let known = names.iter().find(|(name, _)| *name == authority).map(|(_, address)| *address);
            let Some(address) = known.or_else(|| authority.parse().ok()) else {
                let no: &[u8] = match shared.speech {
                    Speech::Http => b"HTTP/1.1 503 Unknown host\r\n\r\n",
                    Speech::Socks5 => &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
                };
                return finish(stream, no).await;
            };
            let mut service = TcpStream::connect(address).await?;
            stream.write_all(yes).await?;
            stream.flush().await?;
            copy_bidirectional(&mut stream, &mut service).await.map(drop)
        }
    }
}

/// Says the last word, and waits until the other side has read it.
async fn finish(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// What was asked for, unless it was refused.
async fn read_connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let authority = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n"));
    let authority = authority.map(|(authority, _)| authority.to_owned());
    let wants = shared.manner.lock().wants_credentials;
    let shows =
        head.to_ascii_lowercase().contains(&format!("\r\nproxy-authorization: {}\r\n", BASIC.to_ascii_lowercase()));
    if wants && !shows {
        let no = b"HTTP/1.1 407 Who is there\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        finish(stream, no).await?;
        return Ok(None);
    }
    Ok(authority)
}

async fn read_socks(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), shared: &Shared) -> io::Result<Option<String>> {
    let wants = shared.manner.lock().wants_credentials;
    let mut methods = vec![0; usize::from(stream.read_u16().await? as u8)];
    stream.read_exact(&mut methods).await?;
    let method = if wants { 2 } else { 0 };
    if !methods.contains(&method) {
        finish(stream, &[5, 0xff]).await?;
        return Ok(None);
    }
    stream.write_all(&[5, method]).await?;
    if wants {
        stream.read_u8().await?;
        let (user, password) = (read_short(stream).await?, read_short(stream).await?);
        if format!("{user}:{password}") != CREDENTIALS {
            finish(stream, &[1, 1]).await?;
            return Ok(None);
        }
        stream.write_all(&[1, 0]).await?;
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head[..3], [5, 1, 0]);
    let host = match head[3] {
        1 => IpAddr::from(stream.read_u32().await?.to_be_bytes()).to_string(),
        4 => format!("[{}]", IpAddr::from(stream.read_u128().await?.to_be_bytes())),
        _ => read_short(stream).await?,
    };
    Ok(Some(format!("{host}:{}", stream.read_u16().await?)))
}

async fn read_short(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A certificate for 127.0.0.1 and `localhost`, and whom to trust for it.
pub(crate) struct ProxyCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    pub(crate) roots: Roots,
}

fn params() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("two names")
}

impl ProxyCertificate {
    /// Issued by an authority of its own.
    pub(crate) fn issued() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        // Of one name with what it issues it would be taken for the same.
        authority.distinguished_name.push(DnType::CommonName, "Pretend Proxy Authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let trusted = authority.self_signed(&authority_key).expect("an authority");
        let certificate = params().signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
        let roots = Roots::Only(vec![trusted.der().to_vec()]);
        Self { chain: vec![certificate.der().clone()], key: key.serialize_der(), roots }
    }

    /// Signed by nobody but itself, and trusted as it is.
    pub(crate) fn given() -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params().self_signed(&key).expect("a certificate");
        let roots = Roots::Only(vec![certificate.der().to_vec()]);
        Self { chain: vec![certificate.der().clone()], key: key.serialize_der(), roots }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.with(tokio_rustls::rustls::ALL_VERSIONS, false)
    }

    /// One that wants a client certificate.
    pub(crate) fn wanting_certificates(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        self.with(&[version], true)
    }

    fn with(&self, versions: &[&'static SupportedProtocolVersion], wants_certificates: bool) -> Arc<ServerConfig> {
        let provider: Arc<CryptoProvider> = ring::default_provider().into();
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).expect("versions that ring has");
        let builder = if wants_certificates {
            let mut clients = RootCertStore::empty();
            clients.add_parsable_certificates(self.roots.given().iter().map(|der| CertificateDer::from(der.clone())));
            let verifier = WebPkiClientVerifier::builder_with_provider(clients.into(), provider).build();
            builder.with_client_cert_verifier(verifier.expect("an authority"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(self.key.clone()).into();
        builder.with_single_cert(self.chain.clone(), key).expect("a certificate and its key").into()
    }
}
