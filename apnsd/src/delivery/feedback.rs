//! The feedback service of a private gateway.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;

use super::clocks::now;
use super::engine::Engine;
use crate::config::{App, Credential, Transport};
use crate::outbox::GoneToken;

/// The wait before a store that failed is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Reads the feedback service of a private gateway from time to time. The provider API has none: there the answers tell.
pub(super) async fn read_feedback(engine: &Engine, app: &App) {
    let to = app.main();
    let (Transport::Binary, Credential::Certificate(identity)) = (app.transport, &to.credential) else {
        return std::future::pending().await;
    };
    loop {
        let fetch = apns_tokio::feedback::fetch(to.feedback.clone(), identity.clone())
            .roots(app.roots.clone())
            .proxy(to.way.feedback.clone())
            .proxy_roots(to.way.roots.clone());
        if let Ok(records) = fetch.start() {
            let found_at = now();
            let tokens: Vec<GoneToken> = records
                .filter_map(|record| async move {
                    let record = record.ok()?;
                    Some(GoneToken {
                        token: apns_proto::DeviceToken::from_bytes(&record.token).ok()?,
                        topic: None,
                        since: Some(record.timestamp),
                        found_at,
                        reason: "feedback".into(),
                    })
                })
                .collect()
                .await;
            // The service has forgotten what it told: this is tried until it is kept.
            while !tokens.is_empty() && engine.outbox.note_gone(&engine.name, tokens.clone()).await.is_err() {
                sleep(STORE_RETRY).await;
            }
        }
        sleep(app.feedback_every).await;
    }
}
