//! A client that speaks in frames (RFC 9113 section 4.1), to see what a library for HTTP/2 does not hand out.

use std::io;

use apns_sim::Simulator;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::client::Request;
use crate::support::{self, Identity, PATIENCE, tls_offering};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) struct Raw {
    client: support::Client,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    fn read(head: &[u8; 9]) -> (Self, usize) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        (Self { kind: head[3], flags: head[4], stream, payload: Vec::new() }, length)
    }

    /// The number at this place of the payload.
    pub(crate) fn number(&self, place: usize) -> u32 {
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }

    /// What a SETTINGS frame says about this one.
    pub(crate) fn setting(&self, identifier: u16) -> Option<u32> {
        assert_eq!((self.kind, self.stream), (SETTINGS, 0));
        let pairs = self.payload.chunks_exact(6);
        let mut found = pairs.filter(|pair| pair[..2] == identifier.to_be_bytes());
        found.next_back().map(|pair| u32::from_be_bytes(pair[2..].try_into().unwrap()))
    }

    /// Last stream, code and debug data of a GOAWAY frame.
    pub(crate) fn go_away(&self) -> (u32, u32, &str) {
        assert_eq!((self.kind, self.stream), (GOAWAY, 0));
        (self.number(0), self.number(4), str::from_utf8(&self.payload[8..]).unwrap())
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What every client says first.
pub(crate) fn greeting() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A request in HEADERS and DATA, each field a literal without indexing (RFC 7541 section 6.2.2).
pub(crate) fn request(stream: u32, request: &Request) -> Vec<u8> {
    let mut block = Vec::new();
    let mut field = |name: &str, value: &str| {
        block.push(0);
        for text in [name, value] {
            write_length(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    };
    field(":method", request.method);
    field(":scheme", "https");
    field(":path", &request.path);
    field(":authority", "localhost");
    for (name, value) in &request.headers {
        field(name, value);
    }
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &block);
    bytes.extend(frame(DATA, END_STREAM, stream, &request.body));
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn write_length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

impl Raw {
    /// With a certificate, and greeted.
    pub(crate) async fn new(simulator: &Simulator) -> Self {
        let mut raw = Self::silent(simulator).await;
        raw.write(&greeting()).await;
        raw
    }

    /// With a certificate, and nothing said yet.
    pub(crate) async fn silent(simulator: &Simulator) -> Self {
        Self::connect(simulator, Identity::Given).await
    }

    pub(crate) async fn silent_without_certificate(simulator: &Simulator) -> Self {
        Self::connect(simulator, Identity::None).await
    }

    async fn connect(simulator: &Simulator, identity: Identity) -> Self {
        let address = simulator.http2_address();
        Self { client: tls_offering(simulator, address, identity, &[b"h2"]).await.unwrap() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.client.write(bytes).await;
    }

    pub(crate) async fn send(&mut self, stream: u32, what: &Request) {
        self.write(&request(stream, what)).await;
    }

    pub(crate) async fn next(&mut self) -> Frame {
        self.try_next().await.unwrap()
    }

    async fn try_next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.client.stream.read_exact(&mut head)).await.expect("a frame comes")?;
        let (mut frame, length) = Frame::read(&head);
        frame.payload = vec![0; length];
        timeout(PATIENCE, self.client.stream.read_exact(&mut frame.payload)).await.expect("the frame ends")?;
        Ok(frame)
    }

    /// The next frame of this kind.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Everything up to the end, and how it ended.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, io::Result<()>) {
        self.client.read_to_end().await
    }
}
