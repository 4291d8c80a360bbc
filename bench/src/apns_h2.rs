//! The client `apns-h2` from crates.io, as it is shipped. It knows Apple's host names alone and port 443 (see
//! `with-apple-hosts`), and trusts what `SSL_CERT_FILE` names.

use std::time::Instant;

use apns_h2::{Client, ClientConfig, DefaultNotificationBuilder, Endpoint, NotificationBuilder, NotificationOptions};

use crate::task::{Row, TOPIC, Task, all_at_once, hex, token};

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
        let payload = DefaultNotificationBuilder::new().body(&*body).build(&token, options);
        (client.send(payload).await.is_ok(), submitted)
    };
    all_at_once(task, &clients, send).await
}
