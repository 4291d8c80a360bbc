//! A simulator with an inbox, senders, and a caller that is as plain as can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apns_inbox::{Inbox, Serving, Settings};
use apns_sim::Simulator;
use apns_tokio::proto::http2::{KeyId, TeamId};
use apns_tokio::proto::{CollapseId, DeviceToken, Notification, Outcome, Payload, PushType, Topic};
use apns_tokio::{Client, Endpoint, Identity, Roots, SigningKey, SigningSource};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes; what takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TOPIC: &str = "com.example.app";

pub(crate) struct World {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) inbox: Serving,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let inbox = Inbox::new(settings);
        let record = inbox.recorder();
        let builder = Simulator::builder().keep(apns_sim::Keep::Counts).on_entry(move |entry| record.note(entry));
        let simulator = Arc::new(builder.start().await.unwrap());
        let inbox = inbox.serve("127.0.0.1:0".parse().unwrap(), Arc::clone(&simulator)).await.unwrap();
        Self { simulator, inbox }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.inbox.address()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(self.address(), "GET", path, "", "").await
    }

    /// A body of JSON.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.address(), method, path, "Content-Type: application/json\r\n", body).await
    }

    /// The pushes that fit, once there are so many.
    pub(crate) async fn pushes(&self, count: usize, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/pushes?wait=30s&count={count}&{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["pushes"].as_array().unwrap().clone()
    }

    pub(crate) fn client(&self) -> Client {
        let endpoint = Endpoint::new("localhost", self.simulator.http2_address().port());
        let roots = Roots::only_pem(self.simulator.ca_pem().as_bytes()).unwrap();
        let key = SigningKey::read(self.simulator.signing_key_pem().as_bytes()).unwrap();
        let (key_id, team_id) = (self.simulator.key_id(), self.simulator.team_id());
        let tokens = SigningSource::new(key, KeyId::new(key_id).unwrap(), TeamId::new(team_id).unwrap());
        Client::http2(endpoint, tokens).roots(roots).topic(Topic::new(TOPIC).unwrap()).start().unwrap()
    }

    pub(crate) fn binary_client(&self) -> Client {
        let endpoint = Endpoint::new("localhost", self.simulator.gateway_address().port());
        let roots = Roots::only_pem(self.simulator.ca_pem().as_bytes()).unwrap();
        let (certificate, key) = (self.simulator.client_certificate_pem(), self.simulator.client_key_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).unwrap();
        Client::binary(endpoint, identity).roots(roots).start().unwrap()
    }
}

/// A device token of 32 times this byte.
pub(crate) fn device(byte: u8) -> DeviceToken {
    DeviceToken::from_bytes([byte; 32]).unwrap()
}

/// The same in hexadecimal digits.
pub(crate) fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

pub(crate) fn alert(byte: u8, title: &str) -> Notification {
    Notification::new(device(byte), Payload::builder().title(title).body("It waits.").build().unwrap())
}

pub(crate) fn of_type(byte: u8, push_type: PushType, payload: &str) -> Notification {
    let payload = Payload::from_json(payload.to_owned()).unwrap();
    Notification::new(device(byte), payload).with_push_type(push_type)
}

pub(crate) fn collapsing(byte: u8, title: &str, id: &str) -> Notification {
    alert(byte, title).with_collapse_id(CollapseId::new(id).unwrap())
}

pub(crate) async fn sent(client: &Client, notification: Notification) -> Outcome {
    timeout(PATIENCE, client.send(notification)).await.unwrap()
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The kind of problem that the answer is.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and reads the answer to its end. A `Host` among the headers takes the place of the usual one.
pub(crate) async fn call(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host =
        if headers.to_ascii_lowercase().contains("host:") { String::new() } else { format!("Host: {address}\r\n") };
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that has made up its mind closes before all is written.
    drop(stream.write_all(body.as_bytes()).await);
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of the head: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    body
}
