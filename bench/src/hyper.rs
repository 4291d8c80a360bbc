//! The stack that most clients are made of: hyper-util's client, with `TCP_NODELAY` set.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::task::{Row, TOPIC, Task, all_at_once, hex, payload, tls, token};

pub async fn run(task: &Task) -> Row {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = || {
        hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(task))
            .https_only()
            .enable_http2()
            .wrap_connector(tcp.clone())
    };
    // It has one connection to a host; more are more clients.
    let clients: Vec<Client<_, Full<Bytes>>> = (0..task.connections)
        .map(|_| Client::builder(TokioExecutor::new()).http2_only(true).build(connector()))
        .collect();
    let payload = payload(task);
    let send = async |client: &Client<_, Full<Bytes>>, n: u32| {
        let submitted = Instant::now();
        let request = http::Request::post(format!("https://localhost:{}/3/device/{}", task.port, hex(token(n))))
            .header("apns-push-type", "alert")
            .header("apns-topic", TOPIC)
            .body(Full::new(payload.clone()))
            .unwrap();
        let response = client.request(request).await.unwrap();
        let ok = response.status() == http::StatusCode::OK;
        response.into_body().collect().await.unwrap();
        (ok, submitted)
    };
    all_at_once(task, &clients, send).await
}
