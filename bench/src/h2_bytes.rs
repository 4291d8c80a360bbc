//! The bytes of all requests, made before, written through the same TLS stream at the pace that the service allows; answers
//! are counted by the heads of their frames. What no client can do with less: the limit.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::task::{Clocks, OPEN, Row, TOPIC, Task, WARM_UP, connect, hex, payload, token};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// As much as the client under test offers at once.
const OFFER: usize = 16 * 1024;

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const SETTINGS: u8 = 4;
    pub const WINDOW_UPDATE: u8 = 8;
}

const END_STREAM: u8 = 1;
const ACK: u8 = 1;

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    assert!(text.len() < 127, "one byte of length is enough here");
    block.push(text.len() as u8);
    block.extend_from_slice(text);
}

/// All requests and where each one ends. The first brings the fields that come back into the table.
fn requests(task: &Task, numbers: impl Iterator<Item = u32>) -> (Vec<u8>, Vec<usize>) {
    let (payload, authority) = (payload(task), format!("localhost:{}", task.port));
    let (mut all, mut ends, mut block) = (Vec::new(), Vec::new(), Vec::new());
    for (index, n) in numbers.enumerate() {
        block.clear();
        // POST, https.
        block.extend_from_slice(&[0x83, 0x87]);
        let first = index == 0;
        if first {
            block.push(0x41);
            text(&mut block, authority.as_bytes());
        } else {
            block.push(0xc0);
        }
        block.push(0x04);
        text(&mut block, format!("/3/device/{}", hex(token(n))).as_bytes());
        for (name, value, indexed) in [("apns-push-type", "alert", 0xbf), ("apns-topic", TOPIC, 0xbe)] {
            if first {
                block.push(0x40);
                text(&mut block, name.as_bytes());
                text(&mut block, value.as_bytes());
            } else {
                block.push(indexed);
            }
        }
        let stream = 2 * index as u32 + 1;
        // END_HEADERS.
        head(&mut all, block.len(), kind::HEADERS, 4, stream);
        all.extend_from_slice(&block);
        head(&mut all, payload.len(), kind::DATA, END_STREAM, stream);
        all.extend_from_slice(&payload);
        ends.push(all.len());
    }
    (all, ends)
}

/// What the service said, frame by frame.
#[derive(Default)]
struct Service {
    input: BytesMut,
    answered: usize,
    window: i64,
    stream_window: i64,
    streams: usize,
    settings: u32,
}

impl Service {
    fn read(&mut self) {
        while let Some(&[a, b, c, kind, flags, s1, s2, s3, s4, ..]) =
            self.input.get(..9).map(|head| <&[u8; 9]>::try_from(head).unwrap())
        {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if self.input.len() < 9 + length {
                return;
            }
            let frame = self.input.split_to(9 + length);
            let payload = &frame[9..];
            match kind {
                kind::DATA | kind::HEADERS => self.answered += usize::from(flags & END_STREAM != 0),
                kind::SETTINGS if flags & ACK == 0 => {
                    self.settings += 1;
                    for setting in payload.chunks_exact(6) {
                        let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
                        match setting[1] {
                            3 => self.streams = OPEN.min(value as usize),
                            4 => self.stream_window = i64::from(value),
                            _ => {}
                        }
                    }
                }
                kind::WINDOW_UPDATE if [s1, s2, s3, s4] == [0; 4] => {
                    self.window += i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
                }
                _ => {}
            }
        }
    }

    async fn hear(&mut self, stream: &mut TlsStream<TcpStream>) {
        self.input.reserve(OFFER);
        assert!(stream.read_buf(&mut self.input).await.unwrap() > 0, "the service closed");
        let before = self.settings;
        self.read();
        for _ in before..self.settings {
            stream.write_all(SETTINGS_ACK).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}

pub async fn run(task: &Task) -> Row {
    let numbers = (0..WARM_UP).map(|n| u32::MAX - n).chain(0..task.count);
    let (all, ends) = requests(task, numbers);
    let body = payload(task).len() as i64;
    let mut stream = connect(task, Some(b"h2")).await;
    let mut service = Service { window: 65_535, stream_window: 65_535, streams: OPEN, ..Service::default() };
    stream.write_all(PREFACE).await.unwrap();
    stream.flush().await.unwrap();
    while service.settings == 0 {
        service.hear(&mut stream).await;
    }
    assert!(service.stream_window >= body, "a body fits into the window of its stream");
    let (mut sent, mut at, mut clocks) = (0, 0, None);
    let warm_up = WARM_UP as usize;
    while service.answered < ends.len() {
        if service.answered >= warm_up {
            clocks.get_or_insert_with(|| Clocks::start(task));
        }
        let until = if service.answered < warm_up { warm_up } else { ends.len() };
        let mut to = sent;
        while to < until
            && to - service.answered < service.streams
            && service.window >= body
            && ends[to] - at < OFFER + body as usize
        {
            service.window -= body;
            to += 1;
        }
        if to > sent {
            stream.write_all(&all[at..ends[to - 1]]).await.unwrap();
            stream.flush().await.unwrap();
            (sent, at) = (to, ends[to - 1]);
            // More may fit before anything has to be heard.
            if to < until && to - service.answered < service.streams && service.window >= body {
                continue;
            }
        }
        service.hear(&mut stream).await;
    }
    clocks.unwrap().row(task, task.count)
}
