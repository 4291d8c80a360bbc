//! The provider API as a session sees it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::{Authentication, CertificateTopics, Client, Config, Exchange, RequestWarning, Requests, TokenSource};
use crate::Opener;
use crate::{ConnectionEvent, Notification, Now, Topic};

/// How a connection proves who it is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// By a client certificate in the TLS handshake.
    Certificate,
    /// By a provider token in each request. All connections share the source.
    Token(Arc<dyn TokenSource>),
}

impl Credential {
    pub(super) const fn authentication(&self) -> Authentication {
        match self {
            Self::Certificate => Authentication::Certificate,
            Self::Token(_) => Authentication::Token,
        }
    }
}

/// Which kind it is, and nothing more.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "Certificate",
            Self::Token(_) => "Token",
        })
    }
}

/// The name of a server that cannot stand in a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no name of a server: give the host, with a colon and the port where that is not 443")]
pub struct AuthorityError {
    /// The text.
    pub name: Box<str>,
}

/// Opens [`Client`] connections to the provider API, for a [`Session`](crate::Session) or by hand.
///
/// ```
/// use apns_proto::http2::{Config, Credential, ProviderApi, host};
/// use apns_proto::{Session, SessionConfig, Topic};
///
/// let api = ProviderApi::new(host::PRODUCTION, Credential::Certificate)?
///     .with_topic(Topic::new("com.example.app")?)
///     .with_config(Config::default().with_max_streams(100));
/// let session: Session<ProviderApi, u64> = Session::new(api, SessionConfig::default());
/// assert!(session.can_submit());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProviderApi<M = Notification> {
    pub(super) authority: Bytes,
    pub(super) credential: Credential,
    pub(super) topic: Option<Topic>,
    certificate: Option<Arc<CertificateTopics>>,
    pub(super) config: Config,
    pub(super) told: Told,
    message: PhantomData<fn(M)>,
}

/// Which kinds of [`RequestWarning`] were told already. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<AtomicU32>);

impl Told {
    /// Whether this is the first of its kind.
    pub(super) fn is_news(&self, warning: &RequestWarning) -> bool {
        let kind = 1 << warning.kind();
        self.0.fetch_or(kind, Ordering::Relaxed) & kind == 0
    }
}

impl ProviderApi {
    /// For a server under this name, with `:` and the port where that is not 443.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] when it is not a host name or address, perhaps with a port.
    pub fn new(authority: &str, credential: Credential) -> Result<Self, AuthorityError> {
        if !is_authority(authority) {
            return Err(AuthorityError { name: authority.into() });
        }
        let authority = Bytes::copy_from_slice(authority.as_bytes());
        Ok(Self {
            authority,
            credential,
            topic: None,
            certificate: None,
            config: Config::default(),
            told: Told::default(),
            message: PhantomData,
        })
    }

    /// Sets the topic of notifications that have none of their own. Default: none.
    #[must_use]
    pub fn with_topic(mut self, topic: Topic) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Sets what the client certificate says about topics; see
    /// [`Requests::with_certificate_topics`]. Default: nothing.
    #[must_use]
    pub fn with_certificate_topics(mut self, topics: CertificateTopics) -> Self {
        self.certificate = Some(Arc::new(topics));
        self
    }

    /// Sets how connections behave.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same for other messages: a [`Broadcast`](super::Broadcast), or a [`ChannelCall`](super::ChannelCall), which go
    /// to servers of their own (see [`host`](super::host)).
    ///
    /// ```
    /// use apns_proto::http2::{BundleId, ChannelCall, ChannelRequest, Credential, ProviderApi, host};
    /// use apns_proto::{Connection, Machine, Now, Submission, Transmit};
    /// use bytes::BytesMut;
    /// use std::time::{Instant, SystemTime};
    ///
    /// let authority = format!("{}:{}", host::CHANNELS_SANDBOX, host::CHANNELS_SANDBOX_PORT);
    /// let api = ProviderApi::new(&authority, Credential::Certificate)?.of::<ChannelCall>();
    /// let now = Now::new(Instant::now(), SystemTime::now().into());
    /// let mut client = api.connect(now);
    /// let list = ChannelRequest::List.of(BundleId::new("com.example.app")?);
    /// assert!(client.submit(now, Submission::new("list", list)).is_ok());
    /// let mut out = BytesMut::new();
    /// assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready); // … write `out` to the TLS stream, and so on
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of<M: Exchange>(self) -> ProviderApi<M> {
        let Self { authority, credential, topic, certificate, config, told, .. } = self;
        ProviderApi { authority, credential, topic, certificate, config, told, message: PhantomData }
    }
}

impl<M: Exchange> ProviderApi<M> {
    /// A connection whose transport was just opened.
    #[must_use]
    pub fn connect<K>(&self, now: Now) -> Client<K, M> {
        Client::new(self, now)
    }

    pub(super) fn requests(&self) -> Requests {
        let mut requests = Requests::of(self.authority.clone(), self.credential.authentication());
        if let Some(topics) = &self.certificate {
            requests = requests.with_certificate_topics(Arc::clone(topics));
        }
        match &self.topic {
            Some(topic) => requests.with_topic(topic.clone()),
            None => requests,
        }
    }
}

/// A host and perhaps a port (RFC 3986 section 3.2, without user information).
fn is_authority(text: &str) -> bool {
    // The colons of an address in brackets are its own.
    let colon = text.rfind(':').filter(|colon| text.rfind(']').is_none_or(|bracket| bracket < *colon));
    let (host, port) = colon.map_or((text, "443"), |colon| (&text[..colon], &text[colon + 1..]));
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte))
        }
    };
    good && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

impl<K, M: Exchange> Opener<K> for ProviderApi<M> {
    type Message = M;
    type Connection = Client<K, M>;

    fn open(&mut self, now: Now) -> Client<K, M> {
        self.connect(now)
    }

    fn observe(&mut self, _now: Now, _event: &ConnectionEvent<K, M>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers_are_checked() {
        for good in ["api.push.apple.com", "api.push.apple.com:2197", "127.0.0.1:8443", "[::1]:8443", "localhost"] {
            assert!(ProviderApi::new(good, Credential::Certificate).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://api.push.apple.com",
            "a b",
            "user@host",
            "host/path",
            ":443",
            "a\r\nb",
            "host:",
            "host:99999",
            "host:+1",
            "::1",
            "[::1",
            "[]:443",
            "[host]",
        ] {
            let error = ProviderApi::new(bad, Credential::Certificate).unwrap_err();
            assert_eq!(&*error.name, bad);
        }
    }
}
