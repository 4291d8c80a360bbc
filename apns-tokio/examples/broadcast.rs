//! Makes a broadcast channel, sends a Live Activity update to all who follow it, and deletes the channel.
//!
//! ```text
//! cargo run -p apns-tokio --example broadcast
//! cargo run -p apns-tokio --example broadcast -- production AuthKey_ABCDE12345.p8 ABCDE12345 TEAM123456 com.example.app
//! ```
//!
//! Without arguments it talks to a simulator on this machine. Otherwise: `production` or `sandbox`, the key for
//! provider tokens with its id and team, and the bundle id of the app.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::sync::Arc;

use apns_sim::Simulator;

use apns_tokio::proto::Payload;
use apns_tokio::proto::http2::{Broadcast, BundleId, ChannelStorage, KeyId, TeamId, TokenSource};
use apns_tokio::{Client, Endpoint, Environment, Roots, SigningKey, SigningSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            let simulator = Simulator::builder().start_on_thread()?;
            // One server is both here; Apple has one for channels and one for broadcasts.
            let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
            let roots = Roots::only_pem(simulator.ca_pem().as_bytes())?;
            let tokens = tokens(simulator.signing_key_pem(), simulator.key_id(), simulator.team_id())?;
            broadcast([endpoint.clone(), endpoint], roots, tokens, BundleId::new("com.example.app")?).await?;
            assert_eq!(simulator.requests().len(), 3);
            assert!(simulator.channels("com.example.app").is_empty());
        }
        [environment, key, key_id, team, bundle_id] => {
            let environment = match environment.as_str() {
                "production" => Environment::Production,
                "sandbox" => Environment::Sandbox,
                other => return Err(format!("{other:?} is neither production nor sandbox").into()),
            };
            let tokens = tokens(&std::fs::read_to_string(key)?, key_id, team)?;
            let endpoints = [Endpoint::channels(environment), Endpoint::provider_api(environment)];
            broadcast(endpoints, Roots::Platform, tokens, BundleId::new(bundle_id.as_str())?).await?;
        }
        _ => return Err("no arguments, or ENVIRONMENT KEY-FILE KEY-ID TEAM-ID BUNDLE-ID".into()),
    }
    Ok(())
}

/// One source for both servers: the service counts changes of the token.
fn tokens(key: &str, key_id: &str, team: &str) -> Result<Arc<dyn TokenSource>, Box<dyn Error>> {
    Ok(Arc::new(SigningSource::new(SigningKey::read(key.as_bytes())?, KeyId::new(key_id)?, TeamId::new(team)?)))
}

async fn broadcast(
    [management, api]: [Endpoint; 2],
    roots: Roots,
    tokens: Arc<dyn TokenSource>,
    bundle_id: BundleId,
) -> Result<(), Box<dyn Error>> {
    let channels = Client::http2(management, tokens.clone()).roots(roots.clone()).channels(bundle_id.clone())?;
    let channel = channels.create(ChannelStorage::Nothing).await?;
    println!("the channel is {}", channel.as_str());

    let broadcasts = Client::http2(api, tokens).roots(roots).broadcasts()?;
    let payload = r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{"score":"2:1"}}}"#;
    let broadcast = Broadcast::new(bundle_id, channel.clone(), Payload::from_json(payload)?);
    let delivery = broadcasts.submit(broadcast).await.await;
    println!("{}, as {}", delivery.outcome, delivery.answer.map_or_else(String::new, |id| id.to_string()));

    channels.delete(&channel).await?;
    Ok(())
}
