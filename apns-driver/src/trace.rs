//! Spans and events for `tracing`, with the feature of that name. Without it nothing of this is compiled in.
//!
//! No field holds a device token, a payload, a provider token or a key: what is told about is the connections, and how
//! notifications end.

#[cfg(feature = "tracing")]
pub(crate) use on::{dialling, event, session, settled};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{dialling, event, session, settled};

#[cfg(feature = "tracing")]
mod on {
    use std::future::Future;

    use apns_proto::{LinkId, Outcome};
    use tracing::{Instrument, debug, debug_span, info, info_span, trace, warn};

    use crate::{ClientEvent, Endpoint};

    /// The span in which a session lives.
    pub(crate) fn session<F: Future>(
        number: usize,
        endpoint: &Endpoint,
        run: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        run.instrument(info_span!("apns.session", session = number, host = endpoint.host(), port = endpoint.port()))
    }

    /// The span of one attempt to connect.
    pub(crate) fn dialling<F: Future>(link: LinkId, dial: F) -> impl Future<Output = F::Output> {
        dial.instrument(debug_span!("apns.dial", link = %link))
    }

    /// Something happened to a connection.
    pub(crate) fn event(event: &ClientEvent) {
        match event {
            ClientEvent::Dialling { link, .. } => debug!(link = %link, "connecting"),
            ClientEvent::Connected { link, .. } => info!(link = %link, "connected"),
            ClientEvent::DialFailed { failure, .. } => warn!(%failure, "no connection"),
            ClientEvent::Closed { report, .. } => info!(link = %report.link, reason = %report.reason, "closed"),
            ClientEvent::Warning { warning, .. } => warn!(%warning, "warning"),
            ClientEvent::CertificateExpiresSoon { at, .. } => {
                warn!(at = at.as_secs(), "the client certificate expires soon");
            }
            ClientEvent::TokenWanted { .. } => warn!("the token source has no provider token"),
            ClientEvent::GaveUp { why, .. } => warn!(%why, "gave up what waited"),
            ClientEvent::Paused { cause, retry_in, .. } => warn!(%cause, ?retry_in, "paused"),
            ClientEvent::Resumed { .. } => info!("resumed"),
            ClientEvent::Stopped { cause, .. } => warn!(%cause, "stopped"),
            ClientEvent::Missed { .. } => {}
        }
    }

    /// A notification ended.
    pub(crate) fn settled(outcome: &Outcome, attempts: u32) {
        let reason = match outcome {
            Outcome::Rejected(rejection) => rejection.reason(),
            _ => "",
        };
        trace!(outcome = outcome.word(), reason, attempts, "settled");
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::future::Future;

    use apns_proto::{LinkId, Outcome};

    use crate::{ClientEvent, Endpoint};

    pub(crate) fn session<F: Future>(_: usize, _: &Endpoint, run: F) -> F {
        run
    }

    pub(crate) fn dialling<F: Future>(_: LinkId, dial: F) -> F {
        dial
    }

    pub(crate) const fn event(_: &ClientEvent) {}

    pub(crate) const fn settled(_: &Outcome, _: u32) {}
}
