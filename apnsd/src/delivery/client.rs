//! The client of an app.

use std::time::Duration;

use apns_proto::RetryPolicy;
use apns_tokio::channels::Broadcasts;
use apns_tokio::{BuildError, Client, Credentials};

use super::KeyRing;
use crate::config::{App, Credential, Destination, Transport};

/// What the client sends again on its own: only what wants no wait, such as a refused provider token. All else waits in
/// the outbox, where it outlives this process.
fn at_once(policy: RetryPolicy) -> RetryPolicy {
    let off = policy == policy.with_retries(0);
    RetryPolicy::default().with_retries(if off { 0 } else { 1 }).with_budget(Duration::from_secs(1))
}

/// Starts the client for the broadcasts of an app in one environment. What cannot be sent within `patience` is given back.
pub(crate) fn start_broadcasts(
    app: &App,
    to: &Destination,
    keys: &KeyRing,
    patience: Duration,
) -> Result<Broadcasts, BuildError> {
    Client::http2(to.endpoint.clone(), credentials(&to.credential, keys))
        .roots(app.roots.clone())
        .proxy(to.way.proxy.clone())
        .proxy_roots(to.way.roots.clone())
        .retry(at_once(app.retry))
        .patience(patience)
        .broadcasts()
}

fn credentials(credential: &Credential, keys: &KeyRing) -> Credentials {
    match credential {
        Credential::Certificate(identity) => identity.clone().into(),
        Credential::SigningKey { key, key_id, team_id } => keys.source(key, key_id, team_id).into(),
    }
}

/// Starts the client of an app for one environment.
pub(super) fn start(app: &App, to: &Destination, keys: &KeyRing) -> Result<Client, BuildError> {
    match (app.transport, &to.credential) {
        (Transport::Binary, Credential::Certificate(identity)) => Client::binary(to.endpoint.clone(), identity.clone())
            .roots(app.roots.clone())
            .proxy(to.way.proxy.clone())
            .proxy_roots(to.way.roots.clone())
            .connections(app.connections)
            .queue(app.in_flight)
            .loss_policy(app.loss)
            .patience(app.patience)
            .start(),
        (Transport::Http2 | Transport::Binary, credential) => {
            let mut builder = Client::http2(to.endpoint.clone(), credentials(credential, keys))
                .roots(app.roots.clone())
                .proxy(to.way.proxy.clone())
                .proxy_roots(to.way.roots.clone())
                .connections(app.connections)
                .queue(app.in_flight)
                .loss_policy(app.loss)
                .retry(at_once(app.retry))
                .patience(app.patience);
            if let Some(topic) = &app.topic {
                builder = builder.topic(topic.clone());
            }
            builder.start()
        }
    }
}
