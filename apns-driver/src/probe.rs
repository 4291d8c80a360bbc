//! Opening a connection as a client does, to see how far it comes.

use std::time::Duration;

use apns_proto::DialFailure;
use apns_proto::proxy::Proxy;

use crate::dial::{Target, dial};
use crate::proxied::ProxySettings;
use crate::tls::TlsSettings;
use crate::{BuildError, Endpoint, Roots, Runtime, Secured};

/// A connection to look at, for those who search what is wrong on the way to a service.
///
/// It comes about as every connection of a client does: by the same name service, addresses, proxy and TLS, each within the
/// time for one attempt.
#[derive(Debug, Clone)]
pub struct Probe {
    endpoint: Endpoint,
    tls: TlsSettings,
    proxy: ProxySettings,
    limit: Duration,
}

impl Probe {
    /// To this service, which has to choose `protocol` by ALPN. Without a proxy, trusting the system's authorities, within
    /// ten seconds.
    #[must_use]
    pub fn new(endpoint: Endpoint, protocol: &'static [u8]) -> Self {
        let tls = TlsSettings { alpn: vec![protocol.to_vec()], ..TlsSettings::default() };
        Self { endpoint, tls, proxy: ProxySettings::default(), limit: Duration::from_secs(10) }
    }

    /// Sets whom to trust. Default: the system's authorities.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.tls.roots = roots;
        self
    }

    /// Sets the proxy, and whom to trust where its URL begins with `https://`. Default: none.
    #[must_use]
    pub fn proxy(mut self, proxy: Option<Proxy>, roots: Roots) -> Self {
        self.proxy.proxy = proxy;
        self.proxy.roots = roots;
        self
    }

    /// Sets the time for all of it. Default: 10 s.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Opens it. What the server chose by ALPN is in the answer, whatever it is.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when roots or proxy cannot be used; inside, [`DialFailure`] names the step that failed and why.
    pub async fn open<R: Runtime>(self, runtime: &R) -> Result<Result<Secured<R::Tls>, DialFailure>, BuildError> {
        let target = Target::new(runtime, self.endpoint, self.tls, self.proxy, None, self.limit)?;
        Ok(dial(runtime, &target).await)
    }
}
