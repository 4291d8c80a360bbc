//! The client `apns-h2` from crates.io, as it is shipped. It knows Apple's host names alone and port 443 (see
//! `with-apple-hosts`), and trusts what `SSL_CERT_FILE` names.

use std::time::Instant;

use apns_h2::{Client, ClientConfig, DefaultNotificationBuilder, Endpoint, NotificationBuilder, NotificationOptions};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::task::{Clocks, OPEN, Row, TOPIC, Task, WARM_UP, hex, token};

pub async fn run(task: &Task) -> Row {
    let read = |name| std::fs::read(task.certs.join(name)).unwrap();
    // It has one connection to a host; more are more clients.
    let clients: Vec<Client> = (0..task.connections)
        .map(|_| {
            let config = ClientConfig::new(Endpoint::Production);
            Client::certificate_parts(&read("client.pem"), &read("client.key"), config).unwrap()
        })
        .collect();
    let room = (task.payload as usize).saturating_sub(20);
    let body = "x".repeat(room);
    let send = async |client: &Client, n: u32| {
        let submitted = Instant::now();
        let token = hex(token(n));
        let options = NotificationOptions { apns_topic: Some(TOPIC), ..Default::default() };
        let payload = DefaultNotificationBuilder::new().set_body(&*body).build(&token, options);
        (client.send(payload).await.is_ok(), submitted)
    };
    for client in &clients {
        for n in 0..WARM_UP {
            send(client, u32::MAX - n).await;
        }
    }
    let mut clocks = Clocks::start(task);
    let (mut accepted, mut open, mut next) = (0, FuturesUnordered::new(), 0);
    loop {
        while open.len() < OPEN * clients.len() && next < task.count {
            open.push(send(&clients[next as usize % clients.len()], next));
            next += 1;
        }
        let Some((ok, submitted)) = open.next().await else { break };
        accepted += u32::from(ok);
        clocks.answered(submitted);
    }
    clocks.row(task, accepted)
}
