//! A caller of the JSON API that is as plain as can be.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

    /// The fields that a problem document names.
    pub(crate) fn fields(&self) -> Vec<String> {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// Sends a request, headers as given, and reads the answer to its end.
pub(crate) async fn call(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that has made up its mind closes before all is written.
    drop(stream.write_all(body.as_bytes()).await);
    read_answer(&mut stream).await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    call(address, "GET", path, "", "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, json: &str) -> Answer {
    call(address, "POST", path, "Content-Type: application/json\r\n", json).await
}

/// Reads an answer up to the end of the connection.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // What came before a reset is the answer.
    drop(stream.read_to_end(&mut bytes).await);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunked(&answer.body);
    }
    answer
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = after.get(length + 2..).unwrap_or_default();
    }
    body
}

/// The events of a stream, one at a time.
pub(crate) struct EventSource {
    stream: TcpStream,
    text: String,
}

impl EventSource {
    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut source = Self { stream, text: String::new() };
        while !source.text.contains("retry: ") {
            source.read().await;
        }
        assert!(source.text.starts_with("HTTP/1.1 200 "), "{}", source.text);
        source
    }

    async fn read(&mut self) {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "the stream ended: {}", self.text);
        self.text.push_str(str::from_utf8(&bytes[..count]).unwrap());
    }

    /// The id and the data of the next event.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(start) = self.text.find("id: ")
                && let Some(end) = self.text[start..].find("\n\n")
            {
                let event = self.text[start..start + end].to_owned();
                self.text.drain(..start + end + 2);
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                return (line("id: ").to_owned(), serde_json::from_str(line("data: ")).unwrap());
            }
            self.read().await;
        }
    }
}
