//! From a host name to a secured stream, through a proxy where there is one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use apns_proto::{DialFailure, DialStep};

use crate::builder::BuildError;
use crate::proxied::{Hop, ProxySettings};
use crate::tls::{TlsCause, TlsFailure, TlsSettings};
use crate::{Alpn, Endpoint, Identity, Runtime, Secured, Wire};

/// What a connection is to, and how it is made.
#[derive(Debug, Clone)]
pub(crate) struct Target<R: Runtime> {
    pub(crate) endpoint: Endpoint,
    connector: R::Connector,
    /// The proxy on the way.
    hop: Option<Hop<R>>,
    /// What the server has to choose by ALPN.
    protocol: Option<&'static [u8]>,
    /// The time for one attempt.
    limit: Duration,
    /// Who to be. It was valid at the start, but may expire while the process runs.
    pub(crate) identity: Option<Identity>,
}

impl<R: Runtime> Target<R> {
    /// Says early what can be known before the first attempt: a client certificate that cannot be used now, and TLS
    /// settings that cannot be used. `protocol` is what the server has to choose by ALPN.
    pub(crate) fn new(
        runtime: &R,
        endpoint: Endpoint,
        tls: TlsSettings,
        proxy: ProxySettings,
        protocol: Option<&'static [u8]>,
        limit: Duration,
    ) -> Result<Self, BuildError> {
        if let Some(identity) = &tls.identity {
            identity.ensure_usable(runtime.now().wall)?;
        }
        let connector = runtime.connector(&tls)?;
        let hop = proxy.hop(runtime, &endpoint)?;
        Ok(Self { endpoint, connector, hop, protocol, limit, identity: tls.identity })
    }
}

/// Resolves afresh, tries every address, goes through the proxy, and does the handshake, all within the time for one attempt.
pub(crate) async fn dial<R: Runtime>(runtime: &R, target: &Target<R>) -> Result<Secured<R::Tls>, DialFailure> {
    let Target { endpoint, connector, hop, protocol, limit, identity } = target;
    if let Some(identity) = identity {
        let usable = identity.ensure_usable(runtime.now().wall);
        usable.map_err(|error| DialFailure::identity(error.to_string()))?;
    }
    let deadline = runtime.now().instant.checked_add(*limit);
    let peer = Peer { endpoint, connector, hop: hop.as_ref() };
    let secured = match secure(runtime, &peer, deadline).await? {
        Some(Ok(secured)) => check_protocol(endpoint, *protocol, secured),
        Some(Err(failure)) => Err(DialFailure::tls(failure.cause, failure.message)),
        None => Err(DialFailure::passing(
            DialStep::Tls,
            format!("{endpoint} did not finish the handshake within {limit:?}"),
        )),
    };
    secured.map_err(|failure| match hop {
        Some(hop) => hop.behind(&failure),
        None => failure,
    })
}

/// Who is at the end of one TLS connection: the service, or the proxy on the way to it.
struct Peer<'a, R: Runtime> {
    endpoint: &'a Endpoint,
    connector: &'a R::Connector,
    /// The proxy on the way to it.
    hop: Option<&'a Hop<R>>,
}

/// Connects, and does the handshake: `None` when the time was over in the middle of it. Where the TLS library needs another
/// connection to look at the server's certificate once more, that is made in the same way.
async fn secure<R: Runtime>(
    runtime: &R,
    peer: &Peer<'_, R>,
    deadline: Option<Instant>,
) -> Result<Option<Result<Secured<R::Tls>, TlsFailure>>, DialFailure> {
    let host = peer.endpoint.host();
    let wire = connect(runtime, peer, deadline).await?;
    let secured = within(runtime, deadline, runtime.secure(peer.connector, wire, host)).await;
    if let Some(Err(failure)) = &secured
        && let Some(other) = R::second_look(peer.connector, failure)
        && let Ok(wire) = connect(runtime, peer, deadline).await
    {
        return Ok(within(runtime, deadline, runtime.secure(&other, wire, host)).await);
    }
    Ok(secured)
}

async fn connect<R: Runtime>(
    runtime: &R,
    peer: &Peer<'_, R>,
    deadline: Option<Instant>,
) -> Result<Wire<R::Tcp>, DialFailure> {
    match peer.hop {
        None => reach(runtime, peer.endpoint, deadline).await.map(Wire::tcp),
        Some(hop) => tunnel(runtime, hop, peer.endpoint, deadline).await,
    }
}

type Opening<'a, R> = Pin<Box<dyn Future<Output = Result<Wire<<R as Runtime>::Tcp>, DialFailure>> + Send + 'a>>;

/// A connection to the service through the proxy. Boxed, since TLS to the proxy comes about as TLS to the service does.
fn tunnel<'a, R: Runtime>(
    runtime: &'a R,
    hop: &'a Hop<R>,
    service: &'a Endpoint,
    deadline: Option<Instant>,
) -> Opening<'a, R> {
    Box::pin(async move {
        let mut wire = match &hop.connector {
            None => reach(runtime, &hop.endpoint, deadline).await.map(Wire::tcp),
            Some(connector) => {
                let peer = Peer { endpoint: &hop.endpoint, connector, hop: None };
                match secure(runtime, &peer, deadline).await {
                    Ok(Some(Ok(secured))) => Ok(Wire::tls(secured.stream)),
                    Ok(Some(Err(failure))) => return Err(DialFailure::proxy_tls(failure.cause, failure.message)),
                    Ok(None) => {
                        let late = format!("{} did not finish the handshake in time", hop.endpoint);
                        return Err(DialFailure::passing(DialStep::ProxyTls, late));
                    }
                    Err(failure) => Err(failure),
                }
            }
        }
        .map_err(|failure| Hop::<R>::before(failure))?;
        hop.open(runtime, &mut wire, service, deadline).await?;
        Ok(wire)
    })
}

fn check_protocol<S>(
    endpoint: &Endpoint,
    wanted: Option<&[u8]>,
    secured: Secured<S>,
) -> Result<Secured<S>, DialFailure> {
    let Some(wanted) = wanted else { return Ok(secured) };
    let chosen = match &secured.alpn {
        // The machine will see by the first bytes.
        Alpn::Untold => return Ok(secured),
        Alpn::Chosen(chosen) if chosen == wanted => return Ok(secured),
        Alpn::Chosen(chosen) => format!("chose {:?}", String::from_utf8_lossy(chosen)),
        Alpn::None => "chose nothing".to_owned(),
    };
    let wanted = String::from_utf8_lossy(wanted);
    let message = format!("{endpoint} was offered {wanted:?} (ALPN) and {chosen}: check host and port");
    Err(DialFailure::tls(TlsCause::NoCommonProtocol, message))
}

async fn reach<R: Runtime>(runtime: &R, endpoint: &Endpoint, deadline: Option<Instant>) -> Result<R::Tcp, DialFailure> {
    let addresses = match within(runtime, deadline, runtime.resolve(endpoint.host(), endpoint.port())).await {
        Some(Ok(addresses)) if addresses.is_empty() => {
            return Err(DialFailure::passing(DialStep::Resolve, format!("{} has no address", endpoint.host())));
        }
        Some(Ok(addresses)) => addresses,
        Some(Err(error)) => {
            return Err(DialFailure::passing(DialStep::Resolve, format!("{}: {error}", endpoint.host())));
        }
        None => return Err(DialFailure::passing(DialStep::Resolve, format!("{}: no answer in time", endpoint.host()))),
    };
    let mut troubles = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        // A dead address must not eat the time of those behind it.
        let now = runtime.now().instant;
        let share = deadline.map(|deadline| {
            now + deadline.saturating_duration_since(now) / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX)
        });
        match within(runtime, share, runtime.dial(*address)).await {
            Some(Ok(tcp)) => return Ok(tcp),
            Some(Err(error)) => troubles.push(format!("{address}: {error}")),
            None => troubles.push(format!("{address}: no answer in time")),
        }
    }
    Err(DialFailure::passing(DialStep::Connect, troubles.join("; ")))
}

/// `None` when the deadline came first; without one, never.
pub(crate) async fn within<R: Runtime, T>(
    runtime: &R,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let Some(deadline) = deadline else { return Some(work.await) };
    let mut work = pin!(work);
    let mut sleep = pin!(runtime.sleep_until(deadline));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
