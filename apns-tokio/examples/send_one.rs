//! Sends one notification over the HTTP/2 provider API, and says how it ended.
//!
//! ```text
//! cargo run -p apns-tokio --example send_one
//! cargo run -p apns-tokio --example send_one -- production AuthKey_ABCDE12345.p8 ABCDE12345 TEAM123456 com.example.app TOKEN
//! ```
//!
//! Without arguments it sends to a simulator on this machine. Otherwise: `production` or `sandbox`, the key for
//! provider tokens with its id and team, the topic, and a device token.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::time::Duration;

use apns_sim::Simulator;

use apns_tokio::proto::http2::{KeyId, TeamId};
use apns_tokio::proto::{DeviceToken, Notification, Outcome, Payload, Topic};
use apns_tokio::{Client, Endpoint, Environment, Roots, SigningKey, SigningSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            let simulator = Simulator::builder().start_on_thread()?;
            let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
            let roots = Roots::only_pem(simulator.ca_pem().as_bytes())?;
            let tokens = tokens(simulator.signing_key_pem(), simulator.key_id(), simulator.team_id())?;
            let device = DeviceToken::from_bytes([7; 32])?;
            let outcome = send(endpoint, roots, tokens, Topic::new("com.example.app")?, device).await?;
            assert!(outcome.is_accepted(), "{outcome:?}");
            assert_eq!(simulator.requests().len(), 1);
        }
        [environment, key, key_id, team, topic, device] => {
            let environment = match environment.as_str() {
                "production" => Environment::Production,
                "sandbox" => Environment::Sandbox,
                other => return Err(format!("{other:?} is neither production nor sandbox").into()),
            };
            let tokens = tokens(&std::fs::read_to_string(key)?, key_id, team)?;
            let endpoint = Endpoint::provider_api(environment);
            drop(send(endpoint, Roots::Platform, tokens, Topic::new(topic.as_str())?, device.parse()?).await?);
        }
        _ => return Err("no arguments, or ENVIRONMENT KEY-FILE KEY-ID TEAM-ID TOPIC DEVICE-TOKEN".into()),
    }
    Ok(())
}

fn tokens(key: &str, key_id: &str, team: &str) -> Result<SigningSource, Box<dyn Error>> {
    Ok(SigningSource::new(SigningKey::read(key.as_bytes())?, KeyId::new(key_id)?, TeamId::new(team)?))
}

async fn send(
    endpoint: Endpoint,
    roots: Roots,
    tokens: SigningSource,
    topic: Topic,
    device: DeviceToken,
) -> Result<Outcome, Box<dyn Error>> {
    let client = Client::http2(endpoint, tokens).roots(roots).topic(topic).start()?;
    let payload = Payload::builder().title("Kitchen").body("Tea is ready").badge(1).build()?;
    let outcome = client.send(Notification::new(device, payload)).await;
    drop(client.close(Duration::from_secs(10)).await);
    match &outcome {
        Outcome::Accepted { proof, .. } => println!("accepted, {}", proof.word()),
        Outcome::Rejected(rejection) => println!("rejected: {} ({})", rejection.reason(), rejection.status()),
        other => println!("{}: {other:?}", other.word()),
    }
    Ok(outcome)
}
