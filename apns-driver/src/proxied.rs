//! The proxy that a connection goes through.

use std::time::Instant;

use apns_proto::proxy::{Proxy, ProxyVariableError, Tunnel, TunnelEvent};
use apns_proto::{DialFailure, DialStep};
use bytes::BytesMut;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use crate::builder::BuildError;
use crate::dial::within;
use crate::tls::TlsSettings;
use crate::wire::Wire;
use crate::{Endpoint, Roots, Runtime};

/// What a builder is told about a proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxySettings {
    pub(crate) proxy: Option<Proxy>,
    /// Whom to trust, where TLS is spoken to it.
    pub(crate) roots: Roots,
}

/// The same, ready for many connections.
#[derive(Debug, Clone)]
pub(crate) struct Hop<R: Runtime> {
    proxy: Proxy,
    pub(crate) endpoint: Endpoint,
    /// Where TLS is spoken to it.
    pub(crate) connector: Option<R::Connector>,
}

impl ProxySettings {
    /// The proxy that environment variables name for this service.
    pub(crate) fn from_env(endpoint: &Endpoint) -> Result<Option<Proxy>, ProxyVariableError> {
        let lookup = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Proxy::from_variables(endpoint.host(), endpoint.port(), lookup)
    }

    pub(crate) fn hop<R: Runtime>(self, runtime: &R, service: &Endpoint) -> Result<Option<Hop<R>>, BuildError> {
        let Some(proxy) = self.proxy else { return Ok(None) };
        Tunnel::new(&proxy, service.host(), service.port())?;
        let connector = if proxy.scheme().is_tls() {
            let settings = TlsSettings { roots: self.roots, identity: None, alpn: vec![b"http/1.1".to_vec()] };
            Some(runtime.connector(&settings).map_err(BuildError::ProxyTls)?)
        } else {
            None
        };
        let endpoint = Endpoint::new(proxy.host(), proxy.port());
        Ok(Some(Hop { proxy, endpoint, connector }))
    }
}

impl<R: Runtime> Hop<R> {
    /// Has the proxy at the other end of this wire open a tunnel to the service.
    pub(crate) async fn open(
        &self,
        runtime: &R,
        wire: &mut Wire<R::Tcp>,
        service: &Endpoint,
        deadline: Option<Instant>,
    ) -> Result<(), DialFailure> {
        let mut tunnel = Tunnel::new(&self.proxy, service.host(), service.port())
            .map_err(|error| DialFailure::passing(DialStep::Proxy, error.to_string()))?;
        match within(runtime, deadline, converse(&mut tunnel, wire)).await {
            Some(TunnelEvent::Open { early }) => {
                wire.put_back(early);
                Ok(())
            }
            Some(TunnelEvent::Failed(failure)) => Err(DialFailure::proxy(failure)),
            None => Err(DialFailure::proxy(tunnel.timed_out())),
        }
    }

    /// A failure on the way to the proxy.
    pub(crate) fn before(failure: DialFailure) -> DialFailure {
        let step = match failure.step {
            DialStep::Resolve => DialStep::ProxyResolve,
            DialStep::Connect => DialStep::ProxyConnect,
            other => other,
        };
        DialFailure { step, ..failure }
    }

    /// A failure behind the tunnel, with the way that it took: a proxy may be what is wrong.
    pub(crate) fn behind(&self, failure: &DialFailure) -> DialFailure {
        let message = format!("{} (through the proxy {}, which had opened the tunnel)", failure.message, self.proxy);
        DialFailure { message: message.into(), ..failure.clone() }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(tunnel: &mut Tunnel, stream: &mut S) -> TunnelEvent {
    let (mut out, mut input) = (BytesMut::new(), vec![0; 4096]);
    loop {
        tunnel.poll_transmit(&mut out);
        if !out.is_empty() {
            // Where writing fails, the proxy may have said why.
            let _ = stream.write_all(&out).await;
            let _ = stream.flush().await;
            out.clear();
        }
        if let Some(event) = tunnel.poll_event() {
            return event;
        }
        match stream.read(&mut input).await {
            Ok(count) if count > 0 => tunnel.handle_input(&input[..count]),
            Ok(_) | Err(_) => tunnel.handle_end(),
        }
    }
}

/// The setters that all builders have. `$place` is where in the builder they are kept.
macro_rules! proxy_settings {
    ($($place:ident)?) => {
        /// The proxy that each connection goes through, whatever the service's host is. Default: none; no variable of the
        /// environment is looked at.
        ///
        /// The time to connect holds for the proxy and the service together.
        ///
        /// ```
        /// # use apns_driver::{Client, Credentials, Endpoint, Environment, Proxy, Runtime};
        /// # fn start<R: Runtime + Default>(credentials: Credentials) -> Result<(), Box<dyn std::error::Error>> {
        /// let proxy: Proxy = "http://proxy.example:3128".parse()?;
        /// let client = Client::<R>::http2(Endpoint::provider_api(Environment::Production), credentials).proxy(proxy).start()?;
        /// # Ok(())
        /// # }
        /// ```
        #[must_use]
        pub fn proxy(mut self, proxy: impl Into<Option<$crate::Proxy>>) -> Self {
            self.$($place.)?proxy.proxy = proxy.into();
            self
        }

        /// The proxy that environment variables name for the service, if they do: `HTTPS_PROXY`, `ALL_PROXY` and
        /// `NO_PROXY`, in lower case or upper case, by the rules of
        /// [`Proxy::from_variables`](apns_proto::proxy::Proxy::from_variables). They are read now.
        ///
        /// # Errors
        ///
        /// When a variable that names a proxy for the service cannot be used.
        pub fn proxy_from_env(mut self) -> Result<Self, apns_proto::proxy::ProxyVariableError> {
            self.$($place.)?proxy.proxy = $crate::proxied::ProxySettings::from_env(&self.$($place.)?endpoint)?;
            Ok(self)
        }

        /// Whom to trust where the proxy's URL begins with `https://`. Default: the certificate authorities of the
        /// operating system, whatever is trusted for the service.
        #[must_use]
        pub fn proxy_roots(mut self, roots: $crate::Roots) -> Self {
            self.$($place.)?proxy.roots = roots;
            self
        }
    };
}

pub(crate) use proxy_settings;
