//! What the builders of both protocols have in common.

use std::sync::Arc;
use std::time::Duration;

use apns_credentials::IdentityError;
use apns_proto::Opener;
use apns_proto::proxy::ProxyTargetError;
use apns_proto::{Message, Session, SessionConfig};

use crate::client::Core;
use crate::dial::Target;
use crate::proxied::ProxySettings;
use crate::queue::Queue;
use crate::reply::Reply;
use crate::session_task::{SessionTask, run};
use crate::stats::TokenAge;
use crate::tls::{TlsFailure, TlsSettings};
use crate::{Client, Endpoint, Runtime, trace};

/// Why a client could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The host name cannot stand in a request.
    #[cfg(feature = "http2")]
    #[error(transparent)]
    Host(#[from] apns_proto::http2::AuthorityError),
    /// The TLS settings cannot be used.
    #[error("the TLS settings cannot be used: {0}")]
    Tls(#[from] TlsFailure),
    /// The TLS settings for the proxy cannot be used.
    #[error("the TLS settings for the proxy cannot be used: {0}")]
    ProxyTls(#[source] TlsFailure),
    /// The service's host cannot be given to a proxy.
    #[error(transparent)]
    ProxyTarget(#[from] ProxyTargetError),
}

/// Settings that clients of either protocol have.
#[derive(Debug, Clone)]
pub(crate) struct Common<R> {
    pub(crate) runtime: R,
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: TlsSettings,
    pub(crate) proxy: ProxySettings,
    pub(crate) session: SessionConfig,
    pub(crate) connections: usize,
    pub(crate) queue: usize,
    /// The most notifications of one bulk run that are under way or wait to be yielded.
    pub(crate) under_way: usize,
    pub(crate) connect_timeout: Duration,
    /// Where the age of the provider token is noted.
    pub(crate) token: TokenAge,
}

impl<R: Runtime> Common<R> {
    pub(crate) fn new(runtime: R, endpoint: Endpoint, tls: TlsSettings) -> Self {
        // Processes that fail together shall come back apart.
        let seed = runtime.now().wall.as_millis() ^ (u64::from(std::process::id()) << 32);
        Self {
            runtime,
            endpoint,
            tls,
            proxy: ProxySettings::default(),
            session: SessionConfig::default().with_seed(seed),
            connections: 1,
            queue: 10_000,
            under_way: 0,
            connect_timeout: Duration::from_secs(10),
            token: TokenAge::default(),
        }
    }

    /// `alpn` is what the server has to choose.
    pub(crate) fn start<P, M>(
        self,
        alpn: Option<&'static [u8]>,
        protocol: impl Fn() -> P,
    ) -> Result<Client<R, M>, BuildError>
    where
        M: Message,
        P: Opener<Reply<M>, Message = M> + Send + 'static,
        P::Connection: Send + 'static,
    {
        let target = Target::new(&self.runtime, self.endpoint, self.tls, self.proxy, alpn, self.connect_timeout)?;
        let target = Arc::new(target);
        let core = Arc::new(Core::new(Queue::new(self.queue, self.connections), self.under_way, self.token));
        for number in 0..self.connections {
            let config = self.session.clone().with_seed(self.session.seed().wrapping_add(number as u64));
            let task = SessionTask::new(
                self.runtime.clone(),
                core.clone(),
                number,
                Session::new(protocol(), config),
                target.clone(),
            );
            self.runtime.spawn(trace::session(number, &target.endpoint, run(task)));
        }
        Ok(Client::new(self.runtime, core))
    }
}

/// The setters that both builders have. Everything else differs by protocol.
macro_rules! common_settings {
    () => {
        $crate::proxied::proxy_settings!(common);

        /// The certificate authorities to trust. Default: those of the operating system.
        #[must_use]
        pub fn roots(mut self, roots: $crate::Roots) -> Self {
            self.common.tls.roots = roots;
            self
        }

        /// What happens to a notification of which it is unknown whether it arrived. Default: it is reported.
        #[must_use]
        pub fn loss_policy(mut self, policy: apns_proto::LossPolicy) -> Self {
            self.common.session = self.common.session.with_loss_policy(policy);
            self
        }

        /// What happens to waiting notifications while the credential is refused. Default: they are reported as not sent.
        #[must_use]
        pub fn refusal_policy(mut self, policy: apns_proto::RefusalPolicy) -> Self {
            self.common.session = self.common.session.with_refusal_policy(policy);
            self
        }

        /// How many sessions send concurrently. Default: 1; at least 1. Each has its own connection, and temporarily a second
        /// one while it proves a full window.
        #[must_use]
        pub fn connections(mut self, count: usize) -> Self {
            self.common.connections = count.max(1);
            self
        }

        /// How many notifications may wait for a connection with free capacity. Default: 10 000; at least 1.
        #[must_use]
        pub fn queue(mut self, notifications: usize) -> Self {
            self.common.queue = notifications.max(1);
            self
        }

        /// The time limit for one connection attempt, from name resolution to the end of the handshake. Default: 10 s.
        #[must_use]
        pub fn connect_timeout(mut self, limit: std::time::Duration) -> Self {
            self.common.connect_timeout = limit;
            self
        }

        /// How long a notification may wait without a connection, including attempts and back-off. Default: 60 s.
        #[must_use]
        pub fn patience(mut self, limit: std::time::Duration) -> Self {
            self.common.session = self.common.session.with_patience(limit);
            self
        }

        /// The delay after a failed attempt: the first one, and the limit up to which it doubles. Default: 1 s and 60 s, each
        /// with a jitter of up to 20 %.
        #[must_use]
        pub fn backoff(mut self, first: std::time::Duration, limit: std::time::Duration) -> Self {
            self.common.session = self.common.session.with_backoff(first, limit);
            self
        }
    };
}

pub(crate) use common_settings;
