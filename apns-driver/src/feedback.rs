//! Reading the feedback service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use apns_proto::binary::{FeedbackClient, FeedbackEnd, FeedbackEvent, FeedbackRecord};
use apns_proto::{DialFailure, Machine};
use futures_core::Stream;

use crate::alarm::Alarm;
use crate::builder::BuildError;
use crate::dial::{Target, dial};
use crate::proxied::{ProxySettings, proxy_settings};
use crate::pump::{Pump, Pumped};
use crate::tls::{Roots, TlsSettings};
use crate::{Endpoint, Identity, Runtime, Secured};

/// How to read the feedback service once. [`start`](Self::start) ends the chain.
#[derive(Debug, Clone)]
pub struct Fetch<R> {
    runtime: R,
    endpoint: Endpoint,
    tls: TlsSettings,
    proxy: ProxySettings,
    connect_timeout: Duration,
    idle_time: Duration,
}

/// Begins a reading of the feedback service: the devices on which the app is gone.
///
/// The service clears its list by being read, so store what comes before anything else, and read from one place only.
pub fn fetch<R: Runtime + Default>(endpoint: Endpoint, identity: Identity) -> Fetch<R> {
    Fetch::on(R::default(), endpoint, identity)
}

impl<R: Runtime> Fetch<R> {
    /// Begins a reading on this runtime. [`fetch`] does so on the default one.
    #[must_use]
    pub fn on(runtime: R, endpoint: Endpoint, identity: Identity) -> Self {
        Self {
            runtime,
            endpoint,
            tls: TlsSettings { identity: Some(identity), ..TlsSettings::default() },
            proxy: ProxySettings::default(),
            connect_timeout: Duration::from_secs(10),
            idle_time: FeedbackClient::IDLE_TIME,
        }
    }

    proxy_settings!();

    /// Whom to trust. Default: the certificate authorities of the operating system.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.tls.roots = roots;
        self
    }

    /// The time to connect, from the name to the end of the handshake. Default: 10 s.
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the service may stay silent. Silence behind a record ends the list as complete. Default: 30 s.
    #[must_use]
    pub const fn idle_time(mut self, limit: Duration) -> Self {
        self.idle_time = limit;
        self
    }

    /// Connects, and yields the records as they come.
    ///
    /// # Errors
    ///
    /// When the client certificate has expired or the TLS settings cannot be used.
    pub fn start(self) -> Result<FeedbackStream<R>, BuildError> {
        let target = Target::new(&self.runtime, self.endpoint, self.tls, self.proxy, None, self.connect_timeout)?;
        let runtime = self.runtime.clone();
        let dialling = Box::pin(async move { dial(&runtime, &target).await });
        Ok(FeedbackStream {
            alarm: Alarm::new(self.runtime.clone()),
            runtime: self.runtime,
            idle_time: self.idle_time,
            state: State::Dialling(dialling),
        })
    }
}

/// Why a reading of the feedback service is not complete. What came before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackFailure {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialFailure),
    /// The list ended before its time.
    #[error(transparent)]
    Incomplete(#[from] FeedbackEnd),
}

/// The records of one reading; ends with an error when the list is not complete.
pub struct FeedbackStream<R: Runtime> {
    runtime: R,
    alarm: Alarm<R>,
    idle_time: Duration,
    state: State<R>,
}

type Dialling<R> = Pin<Box<dyn Future<Output = Result<Secured<<R as Runtime>::Tls>, DialFailure>> + Send>>;

enum State<R: Runtime> {
    Dialling(Dialling<R>),
    Reading { machine: FeedbackClient, pump: Box<Pump<R::Tls>> },
    Done,
}

impl<R: Runtime> fmt::Debug for FeedbackStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Dialling(_) => "FeedbackStream(connecting)",
            State::Reading { .. } => "FeedbackStream(reading)",
            State::Done => "FeedbackStream(done)",
        })
    }
}

impl<R: Runtime + Unpin> Stream for FeedbackStream<R> {
    type Item = Result<FeedbackRecord, FeedbackFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let now = this.runtime.now();
            match &mut this.state {
                State::Dialling(dialling) => match dialling.as_mut().poll(cx) {
                    Poll::Ready(Ok(secured)) => {
                        let machine = FeedbackClient::new(now).with_idle_time(this.idle_time);
                        this.state = State::Reading { machine, pump: Box::new(Pump::new(secured.stream, R::end_of)) };
                    }
                    Poll::Ready(Err(failure)) => {
                        this.state = State::Done;
                        return Poll::Ready(Some(Err(failure.into())));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Reading { machine, pump } => {
                    match machine.poll_event() {
                        Some(FeedbackEvent::Record(record)) => return Poll::Ready(Some(Ok(record))),
                        Some(FeedbackEvent::End(end)) => {
                            this.state = State::Done;
                            let failure = (!end.is_complete()).then(|| Err(end.into()));
                            return Poll::Ready(failure);
                        }
                        Some(_) | None => {}
                    }
                    let pumped = pump.poll(cx, now, machine);
                    if this.alarm.may_judge(pump.is_drained()) {
                        machine.handle_timeout(now);
                        continue;
                    }
                    if pumped == Pumped::Idle {
                        let deadline = [machine.poll_timeout(), pump.deadline()].into_iter().flatten().min();
                        if this.alarm.poll(cx, deadline).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}
