//! Broadcasts, which are passed on to the service and not stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apns_proto::http2::Broadcast;
use apns_proto::{ApnsId, Outcome};
use apns_tokio::Environment;
use apns_tokio::channels::Broadcasts;

use super::{RunningApp, Service, UnknownApp};
use crate::AppName;
use crate::config::{App, Destination, EnvironmentChoice, Transport};
use crate::delivery::{KeyRing, start_broadcasts};

/// Why a broadcast was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BroadcastError {
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    #[error("the app is paused, and nothing of it is sent until it is resumed")]
    Paused,
    #[error("the app sends over the binary protocol, which has no broadcasts")]
    Binary,
    #[error(
        "a channel is in one environment, and the app sends to both: name it, by Apple's host name or in apnsd-environment"
    )]
    Environment,
    #[error("the app takes no more at the moment")]
    TooFast { wait: Duration },
    #[error("it cannot be sent: {0}")]
    Client(String),
    #[error("the daemon is stopping")]
    Stopping,
    /// It may have been sent.
    #[error("it may have left, and there is no answer yet")]
    InDoubt,
}

/// What sends broadcasts of an app, in each environment, as the app was when it was made.
pub(super) type Kept = parking_lot::Mutex<Vec<(Arc<App>, Environment, Broadcasts)>>;

impl RunningApp {
    /// The client for broadcasts. It has a connection only while there is something to send.
    fn broadcasts(
        &self,
        app: &Arc<App>,
        to: &Destination,
        keys: &KeyRing,
        patience: Duration,
    ) -> Result<Broadcasts, BroadcastError> {
        let mut kept = self.broadcasts.lock();
        kept.retain(|(made_for, ..)| Arc::ptr_eq(made_for, app));
        if let Some((.., client)) = kept.iter().find(|(_, environment, _)| *environment == to.environment) {
            return Ok(client.clone());
        }
        let made =
            start_broadcasts(app, to, keys, patience).map_err(|error| BroadcastError::Client(error.to_string()))?;
        kept.push((app.clone(), to.environment, made.clone()));
        Ok(made)
    }
}

impl Service {
    /// Sends a broadcast, and gives what the service said within this time, with the `apns-request-id` of the answer. It is nowhere stored: what has no answer is the
    /// caller's to send again.
    pub(crate) async fn broadcast(
        &self,
        app: &AppName,
        environment: Option<EnvironmentChoice>,
        broadcast: Broadcast,
        limit: Duration,
    ) -> Result<(Outcome, Option<ApnsId>), BroadcastError> {
        let _passing = self.0.passing.read().await;
        if self.is_stopping() {
            return Err(BroadcastError::Stopping);
        }
        let running = self.app(app)?;
        if running.standing.is_paused() {
            return Err(BroadcastError::Paused);
        }
        let current = running.now().app;
        if current.transport == Transport::Binary {
            return Err(BroadcastError::Binary);
        }
        let [to] = current.destinations_of(environment)[..] else { return Err(BroadcastError::Environment) };
        running.rate.take(1, Instant::now()).map_err(|wait| BroadcastError::TooFast { wait })?;
        let client = running.broadcasts(&current, to, &self.0.keys, limit)?;
        tokio::select! {
            delivery = async { client.submit(broadcast).await.await } => Ok((delivery.outcome, delivery.answer)),
            // The client gives up a little earlier what has not left.
            () = tokio::time::sleep(limit + SLACK) => Err(BroadcastError::InDoubt),
            () = self.0.stopped.cancelled() => Err(BroadcastError::InDoubt),
        }
    }
}

/// What the client may take to say that something has not left.
const SLACK: Duration = Duration::from_millis(500);
