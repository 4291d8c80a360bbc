//! Settings of a client of the HTTP/2 provider API, and its start.

use std::sync::Arc;
use std::time::Duration;

use apns_credentials::SigningSource;
use apns_proto::http2::{
    AfterRejection, AuthorityError, BundleId, CertificateTopics, ClockSkew, Config, Credential, Exchange, ProviderApi,
    ProviderToken, Reason, TokenError, TokenSource,
};
use apns_proto::{Now, Topic};

use crate::builder::{BuildError, Common, common_settings};
use crate::channels::{Broadcasts, Channels};
use crate::stats::TokenAge;
use crate::tls::TlsSettings;
use crate::{Client, Endpoint, Identity, Runtime};

/// How a client proves to the provider API who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// With a client certificate in the TLS handshake.
    Certificate(Identity),
    /// With a provider token in each request. Give clones of one source to all clients that use the key: the service
    /// counts changes of the token.
    Token(Arc<dyn TokenSource>),
}

impl From<Identity> for Credentials {
    fn from(identity: Identity) -> Self {
        Self::Certificate(identity)
    }
}

impl From<SigningSource> for Credentials {
    fn from(source: SigningSource) -> Self {
        Self::Token(Arc::new(source))
    }
}

impl From<Arc<dyn TokenSource>> for Credentials {
    fn from(source: Arc<dyn TokenSource>) -> Self {
        Self::Token(source)
    }
}

impl Credentials {
    /// What TLS has to know, and what the protocol has to know.
    pub(crate) fn into_parts(self) -> (Option<Identity>, Credential) {
        match self {
            Self::Certificate(identity) => (Some(identity), Credential::Certificate),
            Self::Token(source) => (None, Credential::Token(source)),
        }
    }
}

/// What ALPN has to choose.
pub(crate) const HTTP2: &[u8] = b"h2";

/// The provider API under the name of this server.
pub(crate) fn provider_api(
    endpoint: &Endpoint,
    credential: Credential,
    config: Config,
) -> Result<ProviderApi, AuthorityError> {
    let host = if endpoint.host().contains(':') { format!("[{}]", endpoint.host()) } else { endpoint.host().into() };
    let authority =
        if endpoint.port() == apns_proto::http2::host::PORT { host } else { format!("{host}:{}", endpoint.port()) };
    Ok(ProviderApi::new(&authority, credential)?.with_config(config))
}

/// Settings of a client of the HTTP/2 provider API. All have a default; [`start`](Self::start) ends the chain.
#[derive(Debug, Clone)]
pub struct Http2Builder<R> {
    common: Common<R>,
    credential: Credential,
    topic: Option<Topic>,
    certificate: Option<CertificateTopics>,
    config: Config,
}

impl<R: Runtime> Http2Builder<R> {
    common_settings!();

    /// Begins a client of the HTTP/2 provider API on this runtime. [`Client::http2`] does so on the default one.
    #[must_use]
    pub fn on(runtime: R, endpoint: Endpoint, credentials: impl Into<Credentials>) -> Self {
        let (identity, credential) = credentials.into().into_parts();
        let certificate = identity.as_ref().map(|identity| identity.certificate().push_topics());
        let tls = TlsSettings { identity, alpn: vec![HTTP2.to_vec()], ..TlsSettings::default() };
        Self {
            common: Common::new(runtime, endpoint, tls),
            credential,
            topic: None,
            certificate,
            config: Config::default(),
        }
    }

    /// The topic of notifications that have none of their own: the bundle id, without the suffix of a push type.
    /// Default: the one of the certificate's subject; none with a provider token.
    #[must_use]
    pub fn topic(mut self, topic: Topic) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Everything that concerns one connection: deadlines, keep-alive, age, streams.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The time for one request, from its last byte out to its answer. Default: 30 s.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.config = self.config.with_request_timeout(limit);
        self
    }

    /// Which refused notifications are sent again automatically. Default: none.
    #[must_use]
    pub fn retry(mut self, policy: apns_proto::RetryPolicy) -> Self {
        self.common.session = self.common.session.with_retry(policy);
        self
    }

    /// Starts the client on the runtime. It connects when there is something to send.
    ///
    /// # Errors
    ///
    /// When the client certificate has expired or is not valid yet, the host name cannot stand in a request, or the
    /// TLS settings cannot be used.
    ///
    /// # Panics
    ///
    /// Where the runtime panics when a task is spawned outside of it.
    pub fn start(self) -> Result<Client<R>, BuildError> {
        self.start_with(|api| api)
    }

    /// Starts a client that sends broadcasts. It connects when there is something to send, and closes a connection that was
    /// not used for a minute: broadcasts are rare.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    pub fn broadcasts(self) -> Result<Broadcasts<R>, BuildError> {
        self.seldom().start_with(ProviderApi::of)
    }

    /// Starts a handle that manages the channels of one app, at [`Endpoint::channels`]. It connects when there is something
    /// to ask.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    pub fn channels(self, bundle_id: BundleId) -> Result<Channels<R>, BuildError> {
        Ok(Channels::new(self.seldom().start_with(ProviderApi::of)?, bundle_id))
    }

    /// A new connection is cheap where requests are rare.
    fn seldom(mut self) -> Self {
        let idle = self.config.max_idle().min(IDLE);
        self.config = self.config.with_max_idle(idle);
        self
    }

    fn start_with<M: Exchange>(
        mut self,
        of: impl FnOnce(ProviderApi) -> ProviderApi<M>,
    ) -> Result<Client<R, M>, BuildError> {
        let credential = match self.credential {
            Credential::Token(source) => {
                Credential::Token(Arc::new(Watched { source, age: self.common.token.clone() }))
            }
            other => other,
        };
        // Each is answered on its own, so it is enough that the next ones are at hand when answers come in; what is under
        // way stays small enough for the processor's cache.
        self.common.under_way = self.common.connections.saturating_mul(2 * self.config.max_streams());
        let mut api = provider_api(&self.common.endpoint, credential, self.config)?;
        if let Some(topic) = self.topic {
            api = api.with_topic(topic);
        }
        if let Some(topics) = self.certificate {
            api = api.with_certificate_topics(topics);
        }
        let api = of(api);
        self.common.start(Some(HTTP2), || api.clone())
    }
}

/// How long a connection for rare requests stays open without one.
const IDLE: Duration = Duration::from_secs(60);

/// A token source, and a note of how old its token is.
#[derive(Debug)]
struct Watched {
    source: Arc<dyn TokenSource>,
    age: TokenAge,
}

impl TokenSource for Watched {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        let token = self.source.token(now)?;
        self.age.note(token.issued_at());
        Ok(token)
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        self.source.rejected(now, token, reason, skew)
    }
}
