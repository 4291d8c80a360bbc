//! A client that knows no more than HTTP/2.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use apns_driver::apns_credentials::SigningKey;
use apns_proto::http2::{KeyId, TeamId};
use apns_proto::{Now, WallTime};
use apns_sim::Simulator;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{Client as Tls, Identity, PATIENCE, PAYLOAD, tls_offering};

pub(crate) const TOKEN: &str = "00aa11bb22cc33dd00aa11bb22cc33dd00aa11bb22cc33dd00aa11bb22cc33dd";
pub(crate) const TOPIC: &str = "com.example.app";

pub(crate) struct Client {
    send: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// A request; without changes one that is taken.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the stream ended on HEADERS.
    pub(crate) ended_on_headers: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn reason(&self) -> String {
        if self.body.is_empty() { String::new() } else { self.json()["reason"].as_str().unwrap().to_owned() }
    }

    /// Status and reason.
    pub(crate) fn told(&self) -> (u16, String) {
        (self.status, self.reason())
    }
}

pub(crate) fn now() -> WallTime {
    SystemTime::now().into()
}

/// The value of `authorization` for a token that was signed so many seconds ago.
pub(crate) fn bearer(simulator: &Simulator, age_s: u64) -> String {
    bearer_of(simulator, simulator.key_id(), simulator.team_id(), age_s)
}

/// Signed once and used again, as a connection does not take a new one each second.
pub(crate) fn bearer_of(simulator: &Simulator, key_id: &str, team_id: &str, age_s: u64) -> String {
    static SIGNED: Mutex<BTreeMap<(String, String, String, u64), String>> = Mutex::new(BTreeMap::new());
    let pem = simulator.signing_key_pem();
    let place = (pem.to_owned(), key_id.to_owned(), team_id.to_owned(), age_s);
    let sign = || {
        let key = SigningKey::read(pem.as_bytes()).unwrap();
        let wall = WallTime::from_secs(now().as_secs() - age_s);
        let now = Now::new(std::time::Instant::now(), wall);
        let token = key.provider_token(&KeyId::new(key_id).unwrap(), &TeamId::new(team_id).unwrap(), now);
        String::from_utf8(token.authorization().to_vec()).unwrap()
    };
    SIGNED.lock().unwrap().entry(place).or_insert_with(sign).clone()
}

impl Request {
    /// To this device, without a credential.
    pub(crate) fn bare(token: &str) -> Self {
        let headers = vec![("apns-topic", TOPIC.to_owned()), ("apns-push-type", "alert".to_owned())];
        Self { method: "POST", path: format!("/3/device/{token}"), headers, body: PAYLOAD.to_vec() }
    }

    /// With a fresh provider token.
    pub(crate) fn push(simulator: &Simulator, token: &str) -> Self {
        Self::bare(token).with("authorization", bearer(simulator, 0))
    }

    pub(crate) fn empty(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a header, in the place of those of the same name.
    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    /// Adds a header, whatever there is.
    pub(crate) fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Client {
    /// Without a certificate.
    pub(crate) async fn new(simulator: &Simulator) -> Self {
        Self::with(simulator, Identity::None, &[b"h2"]).await
    }

    pub(crate) async fn certified(simulator: &Simulator) -> Self {
        Self::with(simulator, Identity::Given, &[b"h2"]).await
    }

    /// A client that knows the service waits for what SETTINGS allow.
    pub(crate) async fn with(simulator: &Simulator, identity: Identity, protocols: &[&[u8]]) -> Self {
        Self::connect(simulator, identity, protocols, 1).await
    }

    /// Without a certificate, and with no regard for the limit of streams until SETTINGS arrived.
    pub(crate) async fn hasty(simulator: &Simulator) -> Self {
        Self::connect(simulator, Identity::None, &[b"h2"], 100).await
    }

    async fn connect(simulator: &Simulator, identity: Identity, protocols: &[&[u8]], streams: usize) -> Self {
        let tls = tls_offering(simulator, simulator.http2_address(), identity, protocols).await.unwrap();
        Self::begun(tls, streams).await
    }

    /// Over a connection whose TLS handshake is over.
    pub(crate) async fn over(tls: Tls) -> Self {
        Self::begun(tls, 1).await
    }

    async fn begun(tls: Tls, streams: usize) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_max_send_streams(streams);
        let (send, connection) = timeout(PATIENCE, builder.handshake(tls.stream)).await.unwrap().unwrap();
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Begins a request as soon as there is room for it.
    pub(crate) async fn begin(&mut self, request: &Request) -> Result<ResponseFuture, h2::Error> {
        let mut send = timeout(PATIENCE, self.send.clone().ready()).await.unwrap()?;
        let mut head = http::Request::builder()
            .method(request.method)
            .uri(format!("https://localhost{}", request.path))
            .version(http::Version::HTTP_2);
        for (name, value) in &request.headers {
            head = head.header(*name, value);
        }
        let (answer, mut body) = send.send_request(head.body(()).unwrap(), request.body.is_empty())?;
        if !request.body.is_empty() {
            body.send_data(Bytes::copy_from_slice(&request.body), true)?;
        }
        Ok(answer)
    }

    pub(crate) async fn try_send(&mut self, request: &Request) -> Result<Answer, h2::Error> {
        let answer = self.begin(request).await?;
        finish(answer).await
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// How many streams the server allows at the moment.
    pub(crate) fn limit(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Waits until the server allows so many streams.
    pub(crate) async fn wait_for_limit(&self, limit: usize) {
        let waiting = async {
            while self.limit() != limit {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("the limit is {}, not {limit}", self.limit()));
    }
}

pub(crate) async fn finish(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut incoming) = timeout(PATIENCE, answer).await.expect("an answer comes")?.into_parts();
    let ended_on_headers = incoming.is_end_stream();
    let mut body = Vec::new();
    while let Some(data) = timeout(PATIENCE, incoming.data()).await.expect("a body ends") {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.into(), ended_on_headers })
}
