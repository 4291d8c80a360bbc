//! From a host name to a secured stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use apns_proto::{DialFailure, DialStep};

use crate::builder::BuildError;
use crate::tls::{TlsCause, TlsSettings};
use crate::{Alpn, Endpoint, Identity, Runtime, Secured};

/// What a connection is to, and how it is made.
#[derive(Debug, Clone)]
pub(crate) struct Target<R: Runtime> {
    pub(crate) endpoint: Endpoint,
    pub(crate) connector: R::Connector,
    /// What the server has to choose by ALPN.
    pub(crate) protocol: Option<&'static [u8]>,
    /// The time for one attempt.
    pub(crate) limit: Duration,
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
        protocol: Option<&'static [u8]>,
        limit: Duration,
    ) -> Result<Self, BuildError> {
        if let Some(identity) = &tls.identity {
            identity.ensure_usable(runtime.now().wall)?;
        }
        let connector = runtime.connector(&tls)?;
        Ok(Self { endpoint, connector, protocol, limit, identity: tls.identity })
    }
}

/// Resolves afresh, tries every address, and does the handshake, all within the time for one attempt.
pub(crate) async fn dial<R: Runtime>(runtime: &R, target: &Target<R>) -> Result<Secured<R::Tls>, DialFailure> {
    let Target { endpoint, connector, protocol, limit, identity } = target;
    let limit = *limit;
    if let Some(identity) = identity {
        let usable = identity.ensure_usable(runtime.now().wall);
        usable.map_err(|error| DialFailure::identity(error.to_string()))?;
    }
    let deadline = runtime.now().instant.checked_add(limit);
    let tcp = reach(runtime, endpoint, deadline).await?;
    match within(runtime, deadline, runtime.secure(connector, tcp, endpoint.host())).await {
        Some(Ok(secured)) => check_protocol(endpoint, *protocol, secured),
        Some(Err(failure)) => Err(DialFailure::tls(failure.cause, failure.message)),
        None => Err(DialFailure::passing(
            DialStep::Tls,
            format!("{endpoint} did not finish the handshake within {limit:?}"),
        )),
    }
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
