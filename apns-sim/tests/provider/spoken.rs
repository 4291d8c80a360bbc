//! Clients that do not speak what the provider API speaks.

use apns_sim::{Entry, Simulator};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{Client, Request, TOKEN};
use crate::support::{Identity, seen, tls_offering};

/// Waits for the line about it.
async fn told(simulator: &Simulator, event: &str) -> (String, String) {
    let line = |log: &apns_sim::Log| {
        let lines = log.entries().iter().map(|entry| serde_json::from_str::<Value>(&entry.to_json()).unwrap());
        lines.filter(|line| line["event"] == event).last()
    };
    seen(simulator, |log| line(log).is_some()).await;
    let line = simulator.inspect(line).unwrap();
    let did = if event == "misspoken" { &line["did"] } else { &line["error"] };
    (did.as_str().unwrap().to_owned(), line["should"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn plain_text_is_named_at_every_port() {
    for (bytes, did) in [
        (&b"POST /3/device/00 HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "it spoke HTTP/1.1 in plain text"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it spoke HTTP/2 in plain text"),
        (&[2, 0, 0, 0, 9, 1, 0, 0, 0, 3], "it sent bytes that begin no TLS handshake"),
    ] {
        let simulator = Simulator::start().await.unwrap();
        for address in [simulator.http2_address(), simulator.gateway_address()] {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            tcp.write_all(bytes).await.unwrap();
            let (told, should) = told(&simulator, "handshake_failed").await;
            assert_eq!(told, did);
            assert!(should.contains("TLS"), "{should}");
        }
    }
}

#[tokio::test]
async fn http1_over_tls_is_named() {
    let simulator = Simulator::start().await.unwrap();
    let offered = tls_offering(&simulator, simulator.http2_address(), Identity::None, &[b"http/1.1"]).await;
    assert!(offered.is_err());
    let (did, should) = told(&simulator, "handshake_failed").await;
    assert!(did.contains("h2 is not among them") && should.contains("HTTP/2 alone"), "{did}; {should}");

    let mut client = tls_offering(&simulator, simulator.http2_address(), Identity::None, &[]).await.unwrap();
    client.write(b"POST /3/device/00 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    seen(&simulator, |log| {
        log.entries().iter().any(|entry| matches!(entry, Entry::Misspoken { did, .. } if did.contains("HTTP/1.1")))
    })
    .await;
}

#[tokio::test]
async fn a_client_without_alpn_is_let_in_and_named() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::with(&simulator, Identity::Given, &[]).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    let (did, should) = told(&simulator, "misspoken").await;
    assert!(did.contains("ALPN") && should.contains("h2"), "{did}; {should}");

    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    assert!(simulator.inspect(|log| log.entries().iter().all(|entry| !matches!(entry, Entry::Misspoken { .. }))));
}
