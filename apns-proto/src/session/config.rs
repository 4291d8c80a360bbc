//! How a session behaves.

use std::time::Duration;

use crate::{Backoff, LossPolicy, RefusalPolicy, RetryPolicy};

/// Settings of a [`Session`](super::Session). All have a default; setters can be chained.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    loss_policy: LossPolicy,
    retry: RetryPolicy,
    refusal: RefusalPolicy,
    patience: Duration,
    links: usize,
    backoff_first: Duration,
    backoff_limit: Duration,
    seed: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            loss_policy: LossPolicy::Report,
            retry: RetryPolicy::default(),
            refusal: RefusalPolicy::default(),
            patience: Duration::from_secs(60),
            links: 2,
            backoff_first: Duration::from_secs(1),
            backoff_limit: Duration::from_secs(60),
            seed: 0,
        }
    }
}

impl SessionConfig {
    /// What happens to a notification whose fate is unknown. Default: it is reported.
    #[must_use]
    pub const fn with_loss_policy(mut self, policy: LossPolicy) -> Self {
        self.loss_policy = policy;
        self
    }

    /// Which refused notifications are sent again automatically. Default: none.
    #[must_use]
    pub const fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// What happens to notifications that wait while the credential is refused. Default: they are reported as not sent.
    #[must_use]
    pub const fn with_refusal_policy(mut self, policy: RefusalPolicy) -> Self {
        self.refusal = policy;
        self
    }

    /// How long a notification may wait without a connection, attempts and back-off included. Default: 60 s. After that
    /// all that wait are not sent.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many connections may be open at once while they hold full windows: one that sends, the others proving what
    /// they sent. Default: 2; at least 1.
    ///
    /// With 2 and more, connections that are going away for another reason than a full window do not keep the next one from
    /// being opened; up to 14 more are open then.
    #[must_use]
    pub fn with_links(mut self, links: usize) -> Self {
        self.links = links.max(1);
        self
    }

    /// The wait after a failed attempt: the first, and the limit to which it doubles. Default: 1 s and 60 s; at least
    /// 10 ms.
    #[must_use]
    pub const fn with_backoff(mut self, first: Duration, limit: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_limit = limit;
        self
    }

    /// Seeds the jitter, so that processes that fail together come back apart. Default: 0.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What happens to a notification whose fate is unknown.
    pub(crate) const fn loss_policy(&self) -> LossPolicy {
        self.loss_policy
    }

    /// Which refused notifications are sent again automatically.
    #[must_use]
    pub const fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// What happens to notifications that wait while the credential is refused.
    pub(crate) const fn refusal_policy(&self) -> RefusalPolicy {
        self.refusal
    }

    /// How long a notification may wait without a connection.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// How many connections may be open at once.
    pub(crate) const fn links(&self) -> usize {
        self.links
    }

    /// The seed of the jitter.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) const fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_first, self.backoff_limit, self.seed)
    }
}
