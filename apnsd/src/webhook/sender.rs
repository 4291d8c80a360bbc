//! Sends one request, signed, and judges the answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use apns_driver::Roots;
use apns_driver::tls::TlsSettings;
use apns_driver::tls::rustls::client;
use apns_proto::WallTime;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::batch::Event;
use super::config::WebhookConfig;
use super::failure::WebhookFailure;
use super::network::{Network, is_public};
use super::secret::SigningSecret;
use super::target::{Target, shown};
use crate::config::ConfigError;
use crate::delivery::now;

/// A connection that may be used again.
pub(super) type Line = http1::SendRequest<Full<Bytes>>;

/// What is kept of the head of an answer at most, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// What is read of the body of an answer at most, in bytes: more, and the connection is not used again.
const LONGEST_BODY: usize = 16 * 1024;
/// How long the body of an answer may take. The status has said all.
const BODY_WITHIN: Duration = Duration::from_secs(2);
/// How many characters of an answer that refuses are told.
const WORDS: usize = 200;
/// How many characters of the address of a redirect are told.
const LONGEST_LOCATION: usize = 500;

/// Sends to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    target: Target,
    authority: HeaderValue,
    secrets: Vec<SigningSecret>,
    tls: Option<Tls>,
    allow: Vec<Network>,
    connect_within: Duration,
    answer_within: Duration,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(config: &WebhookConfig, secrets: Vec<SigningSecret>, roots: Roots) -> Result<Self, ConfigError> {
        let target = config.url.clone();
        let tls = if target.tls {
            let wrong = |failure| ConfigError::at("url", failure);
            let settings = TlsSettings { roots, identity: None, alpn: vec![b"http/1.1".to_vec()] };
            let connector = TlsConnector::from(client::Base::Ring.config(&settings).map_err(wrong)?);
            Some(Tls { connector, name: client::server_name(&target.host).map_err(wrong)? })
        } else {
            None
        };
        Ok(Self {
            authority: HeaderValue::from_str(&target.authority).map_err(|error| ConfigError::at("url", error))?,
            target,
            secrets,
            tls,
            allow: config.allow.clone(),
            connect_within: config.connect_within,
            answer_within: config.answer_within,
        })
    }

    /// Where it sends, without what may be secret.
    pub(super) fn shown(&self) -> String {
        self.target.to_string()
    }

    /// Sends an event, over a connection that is kept if there is one, and gives the status of the answer.
    pub(super) async fn post(&self, kept: &mut Option<Line>, event: &Event) -> Result<u16, WebhookFailure> {
        if let Some(line) = kept.take().filter(|line| !line.is_closed()) {
            match self.exchange(line, event).await {
                // The receiver gave up a connection that was idle. The same request may come again.
                Err(WebhookFailure::Cut(_)) => {}
                Err(failure) => return Err(failure),
                Ok((status, line)) => {
                    *kept = line;
                    return Ok(status);
                }
            }
        }
        let connected = timeout(self.connect_within, self.connect()).await;
        let line = connected.map_err(|_| WebhookFailure::ConnectTime(self.connect_within))??;
        let (status, line) = self.exchange(line, event).await?;
        *kept = line;
        Ok(status)
    }

    /// Whether an address may be connected to.
    fn permits(&self, address: IpAddr) -> bool {
        let is_public = self.tls.is_some() && is_public(address);
        is_public || self.allow.iter().any(|network| network.contains(address))
    }

    async fn connect(&self) -> Result<Line, WebhookFailure> {
        let Target { host, port, .. } = &self.target;
        let unresolved = |why: String| WebhookFailure::Resolve { host: host.clone(), why };
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        let found: Vec<SocketAddr> = found.map_err(|error| unresolved(error.to_string()))?.collect();
        let Some(first) = found.first().map(SocketAddr::ip) else {
            return Err(unresolved("it has no address".to_owned()));
        };
        // What was looked at is what is connected to: the name is not resolved again.
        let permitted: Vec<SocketAddr> = found.into_iter().filter(|address| self.permits(address.ip())).collect();
        if permitted.is_empty() {
            let (host, address) = (host.clone(), first);
            let plain = self.tls.is_none() && is_public(address);
            return Err(match plain {
                true => WebhookFailure::Plain { host, address },
                false => WebhookFailure::Address { host, address },
            });
        }
        let tcp = self.reach(&permitted).await?;
        // Where that is not possible it is only slower.
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => handshake(tcp).await,
            Some(Tls { connector, name }) => match connector.connect(name.clone(), tcp).await {
                Ok(stream) => handshake(stream).await,
                Err(error) => Err(WebhookFailure::Tls(client::failure(host, &error).message)),
            },
        }
    }

    /// Tries each address, with a share of the time: one that is dead must not take all of it.
    async fn reach(&self, addresses: &[SocketAddr]) -> Result<TcpStream, WebhookFailure> {
        let share = self.connect_within / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut troubles = Vec::new();
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => troubles.push(format!("{address}: {error}")),
                Err(_) => troubles.push(format!("{address}: no answer in time")),
            }
        }
        Err(WebhookFailure::Connect(troubles.join("; ")))
    }

    fn request(&self, event: &Event) -> Request<Full<Bytes>> {
        let timestamp = now().as_secs();
        let signatures: Vec<String> =
            self.secrets.iter().map(|secret| secret.sign(&event.id, timestamp, &event.body)).collect();
        Request::post(&self.target.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("apnsd/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(Full::new(event.body.clone()))
            .expect("the path is that of a URL, and the headers are visible ASCII")
    }

    /// Gives the connection back where it can be used again.
    async fn exchange(&self, mut line: Line, event: &Event) -> Result<(u16, Option<Line>), WebhookFailure> {
        let deadline = Instant::now() + self.answer_within;
        let answered = timeout_at(deadline, async {
            line.ready().await?;
            line.send_request(self.request(event)).await
        });
        let response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(WebhookFailure::Cut(words_of(&error))),
            Err(_) => return Err(WebhookFailure::AnswerTime(self.answer_within)),
        };
        let (head, mut body) = response.into_parts();
        let body_by = deadline.min(Instant::now() + BODY_WITHIN);
        let status = head.status.as_u16();
        if head.status.is_success() {
            let whole = timeout_at(body_by, beginning(&mut body)).await.is_ok_and(|(_, whole)| whole);
            return Ok((status, whole.then_some(line)));
        }
        if head.status.is_redirection() {
            let location = head.headers.get(LOCATION).map(|location| {
                // What is secret goes first: of half of it nothing would be recognised.
                let address = shown(&String::from_utf8_lossy(location.as_bytes()));
                self.target.blanked(&address).chars().take(LONGEST_LOCATION).collect()
            });
            return Err(WebhookFailure::Redirect { status, location });
        }
        if head.status == StatusCode::GONE {
            return Err(WebhookFailure::Gone);
        }
        let (bytes, _) = timeout_at(body_by, beginning(&mut body)).await.unwrap_or_default();
        let words = self.target.blanked(String::from_utf8_lossy(&bytes).trim()).chars().take(WORDS).collect();
        Err(WebhookFailure::Status { status, words, retry_after: retry_after(&head.headers, now()) })
    }
}

async fn handshake<S>(stream: S) -> Result<Line, WebhookFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(stream)).await;
    let (line, connection) = opened.map_err(|error| WebhookFailure::Cut(words_of(&error)))?;
    // It ends with the line.
    tokio::spawn(connection);
    Ok(line)
}

fn words_of(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// How a body begins, and whether that is all of it.
async fn beginning(body: &mut Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match body.frame().await {
            None => return (bytes, true),
            Some(Err(_)) => return (bytes, false),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let room = LONGEST_BODY - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    return (bytes, false);
                }
            }
        }
    }
}

/// What the header says: seconds, or a time.
fn retry_after(headers: &HeaderMap, now: WallTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let time = WallTime::from_millis(u64::try_from(time.as_millisecond()).ok()?);
    Some(time.saturating_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::config::tests::webhook;

    #[test]
    fn only_public_addresses_and_those_that_are_named_are_connected_to() {
        let public: IpAddr = "1.1.1.1".parse().unwrap();
        let inside: IpAddr = "10.1.2.3".parse().unwrap();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let permitted = |url: &str, allow: &str| {
            let mut config = crate::config::Config::parse(
                &format!("[[webhook]]\nname = \"a\"\nurl = \"{url}\"\nsecret_files = [\"a\"]\nallow = [{allow}]"),
                "/".as_ref(),
            )
            .unwrap();
            let roots = Roots::only_pem(
                rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem().as_bytes(),
            );
            let sender = Sender::new(&config.webhooks.remove(0), Vec::new(), roots.unwrap()).unwrap();
            [public, inside, loopback].map(|address| sender.permits(address))
        };
        assert_eq!(permitted("https://a.example", ""), [true, false, false]);
        assert_eq!(permitted("https://a.example", "\"10.0.0.0/8\""), [true, true, false]);
        assert_eq!(permitted("http://a.example", ""), [false; 3], "nothing is sent over the internet in the open");
        assert_eq!(permitted("http://a.example", "\"127.0.0.0/8\""), [false, false, true]);
        assert_eq!(permitted("http://a.example", "\"0.0.0.0/0\""), [true; 3]);
    }

    #[test]
    fn a_receiver_may_say_when_in_either_form() {
        let now = WallTime::from_secs(784_111_777 - 90);
        let read = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(read("Tue, 06 Nov 1984 08:49:37 GMT"), Some(Duration::ZERO), "it has passed");
        for odd in ["", "soon", "-1", "1.5"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let hook = webhook("");
        assert!(!format!("{hook:?}").contains("MfKQ9r8GKY"), "{hook:?}");
    }
}
