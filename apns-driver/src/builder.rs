//! Settings of a client, and its start.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::binary::{Config, Format, Gateway};
use apns_proto::session::Protocol;
use apns_proto::{LossPolicy, Session, SessionConfig};

use crate::client::Core;
use crate::identity::IdentityError;
use crate::queue::Queue;
use crate::reply::Reply;
use crate::session_task::{SessionTask, run};
use crate::tls::{Roots, TlsFailure, TlsSettings};
use crate::{Client, Endpoint, Identity, Runtime};

/// Why a client could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The TLS settings cannot be used.
    #[error("the TLS settings cannot be used: {0}")]
    Tls(#[from] TlsFailure),
}

/// Settings that clients of either protocol have.
#[derive(Debug, Clone)]
pub(crate) struct Common<R> {
    pub(crate) runtime: R,
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: TlsSettings,
    pub(crate) session: SessionConfig,
    pub(crate) connections: usize,
    pub(crate) queue: usize,
    pub(crate) connect_timeout: Duration,
}

impl<R: Runtime> Common<R> {
    pub(crate) fn new(runtime: R, endpoint: Endpoint, tls: TlsSettings) -> Self {
        // Processes that fail together shall come back apart.
        let seed = runtime.now().wall.as_millis() ^ (u64::from(std::process::id()) << 32);
        Self {
            runtime,
            endpoint,
            tls,
            session: SessionConfig::default().with_seed(seed),
            connections: 1,
            queue: 10_000,
            connect_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn start<P>(self, protocol: impl Fn() -> P) -> Result<Client<R>, BuildError>
    where
        P: Protocol<Reply> + Send + 'static,
        P::Connection: Send + 'static,
    {
        let connector = self.runtime.connector(&self.tls)?;
        let core = Arc::new(Core::new(Queue::new(self.queue, self.connections)));
        for number in 0..self.connections {
            let config = self.session.clone().with_seed(self.session.seed().wrapping_add(number as u64));
            let task = SessionTask::new(
                self.runtime.clone(),
                core.clone(),
                number,
                Session::new(protocol(), config),
                connector.clone(),
                self.endpoint.clone(),
                self.connect_timeout,
            );
            self.runtime.spawn(run(task));
        }
        Ok(Client::new(self.runtime, core))
    }
}

/// Settings of a client of a binary gateway. All have a default; [`start`](Self::start) ends the chain.
#[derive(Debug, Clone)]
pub struct BinaryBuilder<R> {
    common: Common<R>,
    config: Config,
}

impl<R: Runtime> BinaryBuilder<R> {
    pub(crate) fn new(runtime: R, endpoint: Endpoint, identity: Identity) -> Self {
        let tls = TlsSettings { identity: Some(identity), ..TlsSettings::default() };
        Self { common: Common::new(runtime, endpoint, tls), config: Config::default() }
    }

    /// Whom to trust. Default: the certificate authorities of the operating system.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.common.tls.roots = roots;
        self
    }

    /// The format that notifications are written in. Default: command 2.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.config = self.config.with_format(format);
        self
    }

    /// Everything that concerns one connection: window, quiet time, limits, timeouts.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What happens to a notification whose fate is unknown. Default: it is reported.
    #[must_use]
    pub fn loss_policy(mut self, policy: LossPolicy) -> Self {
        self.common.session = self.common.session.with_loss_policy(policy);
        self
    }

    /// How many sessions send at the same time. Default: 1; at least 1. Each has a connection of its own, and for
    /// moments a second one while a full window is proven.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.common.connections = count.max(1);
        self
    }

    /// How many notifications may wait for a connection with room. Default: 10 000; at least 1.
    #[must_use]
    pub fn queue(mut self, notifications: usize) -> Self {
        self.common.queue = notifications.max(1);
        self
    }

    /// The time for one attempt to connect, from the name to the end of the handshake. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.common.connect_timeout = limit;
        self
    }

    /// How long a notification may wait without a connection, attempts and back-off included. Default: 60 s.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.common.session = self.common.session.with_patience(limit);
        self
    }

    /// The wait after a failed attempt: the first, and the limit to which it doubles. Default: 1 s and 60 s, each
    /// moved by up to 20 %.
    #[must_use]
    pub fn backoff(mut self, first: Duration, limit: Duration) -> Self {
        self.common.session = self.common.session.with_backoff(first, limit);
        self
    }

    /// Starts the client on the runtime. It connects when there is something to send.
    ///
    /// # Errors
    ///
    /// When the client certificate has expired or is not valid yet, or the TLS settings cannot be used.
    ///
    /// # Panics
    ///
    /// Where the runtime panics when a task is spawned outside of it.
    pub fn start(self) -> Result<Client<R>, BuildError> {
        if let Some(identity) = &self.common.tls.identity {
            identity.ensure_valid(self.common.runtime.now().wall)?;
        }
        let config = self.config;
        self.common.start(|| Gateway::new(config.clone()))
    }
}
