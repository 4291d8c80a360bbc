//! Who is told of outcomes, as interfaces see it.

use tokio::sync::watch;

use super::Service;
use crate::AppName;
use crate::outbox::{Backlog, OutboxError};
use crate::webhook::{WebhookFailure, WebhookInfo};

impl Service {
    /// What counts the changes of each app that runs.
    pub(super) fn changes(&self) -> Vec<(AppName, watch::Receiver<u64>)> {
        let apps = self.0.apps.read();
        apps.iter().map(|(name, running)| (name.clone(), running.announcer.outcomes.subscribe())).collect()
    }

    /// How webhooks stand, with each app whose outcomes they are told.
    #[must_use]
    pub fn webhooks(&self) -> Vec<WebhookInfo> {
        self.0.webhooks.list()
    }

    /// The names of all webhooks, with where they are.
    #[must_use]
    pub fn webhook_names(&self) -> Vec<(String, String)> {
        self.0.webhooks.names()
    }

    /// How much a webhook was not told of an app.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn webhook_backlog(&self, webhook: &WebhookInfo) -> Result<Backlog, OutboxError> {
        let backlog = self.0.outbox.backlog(&webhook.app, &webhook.reader()).await?;
        Ok(backlog.unwrap_or_default())
    }

    /// Sends a test event to a webhook, and gives the status of the answer; `None` where there is none of this name. Where the
    /// receiver takes it, what waits for it is tried at once.
    pub async fn test_webhook(&self, name: &str) -> Option<Result<u16, WebhookFailure>> {
        self.0.webhooks.test(name).await
    }
}
