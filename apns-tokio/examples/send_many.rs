//! Sends many notifications over a binary gateway with bounded memory, and counts how they ended.
//!
//! ```text
//! cargo run -p apns-tokio --example send_many
//! cargo run -p apns-tokio --example send_many -- HOST PORT CA.pem CERTIFICATE.pem KEY.pem TOKENS
//! ```
//!
//! Without arguments it sends to a simulator on this machine. Otherwise: a gateway, its certificate authority, the
//! client certificate with its key, and a file with a device token in each line. Over the HTTP/2 provider API only the
//! making of the client differs: see `send_one`.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use apns_sim::{Script, Simulator};
use futures_util::{StreamExt, stream};

use apns_tokio::proto::{DeviceToken, Notification, Outcome, Payload};
use apns_tokio::{Client, Endpoint, Identity, Roots};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            // Of a thousand devices, those whose token begins with bb are unknown to it.
            let script = Script::from_json(r#"{"invalid_tokens": ["bb*"]}"#)?;
            let simulator = Simulator::builder().script(script).start_on_thread()?;
            let endpoint = Endpoint::new("localhost", simulator.gateway_address().port());
            let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
            let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None)?;
            let roots = Roots::only_pem(simulator.ca_pem().as_bytes())?;
            let tokens = (0..1000_u32).map(|number| {
                let mut bytes = [if number % 100 == 50 { 0xbb } else { 0xaa }; 32];
                bytes[28..].copy_from_slice(&number.to_be_bytes());
                DeviceToken::from_bytes(bytes)
            });
            let counts = send(endpoint, identity, roots, tokens.collect::<Result<_, _>>()?).await?;
            assert_eq!(counts, BTreeMap::from([("accepted", 990), ("rejected", 10)]));
        }
        [host, port, ca, certificate, key, tokens] => {
            let roots = Roots::only_pem(&std::fs::read(ca)?)?;
            let identity = Identity::from_files(certificate.as_ref(), Some(key.as_ref()), None)?;
            let text = std::fs::read_to_string(tokens)?;
            let tokens: Vec<DeviceToken> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
            send(Endpoint::new(host, port.parse()?), identity, roots, tokens).await?;
        }
        _ => return Err("no arguments, or HOST PORT CA CERTIFICATE KEY TOKEN-FILE".into()),
    }
    Ok(())
}

async fn send(
    endpoint: Endpoint,
    identity: Identity,
    roots: Roots,
    tokens: Vec<DeviceToken>,
) -> Result<BTreeMap<&'static str, usize>, Box<dyn Error>> {
    let client = Client::binary(endpoint, identity).roots(roots).start()?;
    // Encoded once, shared by all.
    let payload = Payload::alert("Tea is ready");
    // The key that comes back with the outcome can be anything: here the place in the list.
    let source = tokens.into_iter().map(|token| Notification::new(token, payload.clone())).enumerate();
    let mut outcomes = pin!(client.send_all(stream::iter(source)));
    let mut counts = BTreeMap::new();
    while let Some((place, delivery)) = outcomes.next().await {
        if let Outcome::Rejected(rejection) = &delivery.outcome {
            println!("number {place} was rejected: {}", rejection.reason());
        }
        *counts.entry(delivery.outcome.word()).or_default() += 1;
    }
    for leftover in client.close(Duration::from_secs(10)).await.unsettled {
        println!("left: {:?}", leftover.outcome);
    }
    println!("{counts:?}");
    Ok(counts)
}
