//! The task behind a handle: one connection after the other, and what waits for them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apns_proto::http2::{Ask, NoResponse, ProviderApi, Reason, RequestClient, RequestEvent, Response};
use apns_proto::{Backoff, CloseReason, DialFailure, Machine, Now, Rejection, Retry};
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;

use super::ChannelFailure;
use crate::alarm::Alarm;
use crate::dial::{Target, dial};
use crate::pump::{Pump, Pumped};
use crate::{Runtime, Secured};

/// One request and who waits for its answer.
pub(super) struct Job {
    ask: Ask,
    reply: oneshot::Sender<Result<Response, ChannelFailure>>,
    /// Without a connection since.
    since: Instant,
    /// It was on a connection before.
    again: bool,
}

impl Job {
    pub(super) fn new(ask: Ask, reply: oneshot::Sender<Result<Response, ChannelFailure>>, now: Now) -> Self {
        Self { ask, reply, since: now.instant, again: false }
    }

    fn answer(self, result: Result<Response, ChannelFailure>) {
        // Whoever does not wait any more has the right to.
        drop(self.reply.send(result));
    }
}

/// How many requests are under way on a connection at the same time, and how many wait here for their turn.
const MOST: usize = 100;

/// How long a connection stays open without a request: it has no keep-alive, and a new one is cheap where requests are
/// rare.
const IDLE: Duration = Duration::from_secs(60);

/// How many connections may wait for their peer's last word.
const LINGERING: usize = 4;

/// How many turns one wake-up may take before other tasks get theirs.
const TURNS: usize = 16;

pub(super) struct Task<R: Runtime> {
    runtime: R,
    api: ProviderApi,
    target: Arc<Target<R>>,
    patience: Duration,
    inbox: mpsc::Receiver<Job>,
    /// The last handle is gone.
    closing: bool,
    waiting: VecDeque<Job>,
    dialling: Option<Dialling<R>>,
    /// The last attempt to connect failed for this reason.
    trouble: Option<DialFailure>,
    backoff: Backoff,
    not_before: Option<Instant>,
    links: Vec<Link<R>>,
    alarm: Alarm<R>,
}

type Dialling<R> = Pin<Box<dyn Future<Output = Result<Secured<<R as Runtime>::Tls>, DialFailure>> + Send>>;

/// One connection.
struct Link<R: Runtime> {
    machine: RequestClient<Job>,
    pump: Pump<R::Tls>,
    /// It takes more requests.
    takes: bool,
    /// The service answered something on it.
    answered: bool,
    /// It had something to do until then.
    busy: Instant,
    closed: Option<CloseReason>,
    /// Without an answer, and without the reason for that.
    orphans: Vec<(Job, NoResponse)>,
}

impl<R: Runtime> Task<R> {
    pub(super) fn new(
        runtime: R,
        api: ProviderApi,
        target: Target<R>,
        patience: Duration,
        inbox: mpsc::Receiver<Job>,
    ) -> Self {
        let seed = runtime.now().wall.as_millis() ^ (u64::from(std::process::id()) << 32);
        Self {
            alarm: Alarm::new(runtime.clone()),
            runtime,
            api,
            target: Arc::new(target),
            patience,
            inbox,
            closing: false,
            waiting: VecDeque::new(),
            dialling: None,
            trouble: None,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed),
            not_before: None,
            links: Vec::new(),
        }
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Looked at also where the connections never rest.
        let deadline = self.deadline(self.runtime.now());
        let _ = self.alarm.poll(cx, deadline);
        for _ in 0..TURNS {
            let now = self.runtime.now();
            let mut moved = self.take_jobs(cx);
            moved |= self.poll_dial(cx, now);
            // Before reading: a connection that ends at once has to have what it was opened for.
            moved |= self.hand_out(now);
            moved |= self.poll_links(cx, now);
            if self.alarm.may_judge(self.links.iter().all(|link| link.pump.is_drained())) {
                self.give_up(now);
                self.links.iter_mut().for_each(|link| link.pass_deadlines(now));
                moved = true;
            }
            if self.closing && self.links.is_empty() {
                return Poll::Ready(());
            }
            if moved {
                continue;
            }
            let deadline = self.deadline(now);
            if self.alarm.poll(cx, deadline).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.closing && self.waiting.len() < MOST {
            match self.inbox.poll_next_unpin(cx) {
                Poll::Ready(Some(job)) => self.waiting.push_back(job),
                Poll::Ready(None) => self.close(),
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    /// Nobody is left to wait for anything; what is under way may end.
    fn close(&mut self) {
        self.closing = true;
        self.waiting.clear();
        self.dialling = None;
        for link in &mut self.links {
            link.machine.finish();
        }
    }

    /// Ends what has waited for a connection long enough.
    fn give_up(&mut self, now: Now) {
        self.waiting.retain(|job| !job.reply.is_canceled());
        let late = |job: &Job| now.instant.saturating_duration_since(job.since) >= self.patience;
        while self.waiting.front().is_some_and(late) {
            let Some(job) = self.waiting.pop_front() else { return };
            let failure = match &self.trouble {
                Some(trouble) => ChannelFailure::Dial(trouble.clone()),
                None => ChannelFailure::NotProcessed("it could not be sent in time".into()),
            };
            job.answer(Err(failure));
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.dialling.is_none() {
            let due = self.not_before.is_none_or(|time| time <= now.instant);
            if self.waiting.is_empty() || !due || self.links.iter().any(|link| link.takes) {
                return false;
            }
            let (runtime, target) = (self.runtime.clone(), self.target.clone());
            self.dialling = Some(Box::pin(async move { dial(&runtime, &target).await }));
        }
        let Some(dialling) = &mut self.dialling else { return false };
        let Poll::Ready(dialled) = dialling.as_mut().poll(cx) else { return false };
        self.dialling = None;
        match dialled {
            Ok(secured) => {
                self.trouble = None;
                self.links.push(Link {
                    machine: self.api.connect_requests(now),
                    pump: Pump::new(secured.stream, R::end_of),
                    takes: true,
                    answered: false,
                    busy: now.instant,
                    closed: None,
                    orphans: Vec::new(),
                });
            }
            Err(failure) => {
                self.not_before = now.instant.checked_add(self.backoff.failed());
                if failure.fatal {
                    for job in self.waiting.drain(..) {
                        job.answer(Err(failure.clone().into()));
                    }
                }
                self.trouble = Some(failure);
            }
        }
        true
    }

    fn hand_out(&mut self, now: Now) -> bool {
        let Some(link) = self.links.iter_mut().find(|link| link.takes) else { return false };
        let mut moved = false;
        while link.machine.unsettled() < MOST {
            let Some(job) = self.waiting.pop_front() else { break };
            let ask = job.ask.clone();
            link.machine.ask(now, job, ask);
            link.busy = now.instant;
            moved = true;
        }
        moved
    }

    fn poll_links(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut moved = false;
        for mut link in std::mem::take(&mut self.links) {
            let pumped = link.poll(cx, now);
            moved |= pumped != Pumped::Idle;
            let answered = link.answered;
            moved |= link.settle(now, &mut self.waiting);
            if !answered && link.answered {
                self.backoff.succeeded();
                self.not_before = None;
            }
            if pumped != Pumped::Over {
                self.links.push(link);
            } else if !link.answered {
                self.not_before = now.instant.checked_add(self.backoff.failed());
            }
        }
        let lingering = self.links.iter().filter(|link| link.pump.is_lingering()).count();
        for _ in LINGERING..lingering {
            if let Some(oldest) = self.links.iter().position(|link| link.pump.is_lingering()) {
                self.links.remove(oldest);
            }
        }
        moved
    }

    fn deadline(&self, now: Now) -> Option<Instant> {
        let links = self.links.iter().flat_map(Link::deadlines).flatten();
        let patience = self.waiting.front().and_then(|job| job.since.checked_add(self.patience));
        let dial = self.not_before.filter(|time| *time > now.instant && !self.waiting.is_empty());
        links.chain(patience).chain(dial).min()
    }
}

impl<R: Runtime> Link<R> {
    fn poll(&mut self, cx: &mut Context<'_>, now: Now) -> Pumped {
        let pumped = self.pump.poll(cx, now, &mut self.machine);
        if self.machine.unsettled() > 0 {
            self.busy = now.instant;
        }
        pumped
    }

    fn pass_deadlines(&mut self, now: Now) {
        if self.machine.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.machine.handle_timeout(now);
        }
        if self.machine.unsettled() == 0 && self.idle_ends().is_some_and(|end| end <= now.instant) {
            self.machine.finish();
        }
    }

    fn idle_ends(&self) -> Option<Instant> {
        self.busy.checked_add(IDLE).filter(|_| self.takes)
    }

    fn deadlines(&self) -> [Option<Instant>; 3] {
        let idle = self.idle_ends().filter(|_| self.machine.unsettled() == 0);
        [self.machine.poll_timeout(), self.pump.deadline(), idle]
    }

    /// Takes what the machine has to say; what may be asked on another connection goes back to those that wait.
    fn settle(&mut self, now: Now, waiting: &mut VecDeque<Job>) -> bool {
        let mut answers = Vec::new();
        let mut moved = false;
        while let Some(event) = self.machine.poll_event() {
            moved = true;
            match event {
                RequestEvent::Ended { key, result: Ok(response) } => {
                    // One that refuses the credential is no sign of a working connection: the next is opened after a wait.
                    self.answered |= !refuses_credential(&response);
                    answers.push((key, response));
                }
                RequestEvent::Ended { key, result: Err(NoResponse::Invalid(invalid)) } => {
                    key.answer(Err(invalid.into()));
                }
                RequestEvent::Ended { key, result: Err(failure) } => self.orphans.push((key, failure)),
                RequestEvent::Retired => self.takes = false,
                RequestEvent::Closed(reason) => {
                    self.takes = false;
                    self.closed = Some(reason);
                }
                // The machine asks its source again by itself.
                _ => {}
            }
        }
        for (job, response) in answers {
            if !self.takes && !job.again && wants_another_connection(&response) {
                ask_again(job, now, waiting);
            } else {
                job.answer(Ok(response));
            }
        }
        for (job, failure) in std::mem::take(&mut self.orphans) {
            self.settle_without_answer(job, failure, now, waiting);
        }
        moved
    }

    fn settle_without_answer(&mut self, job: Job, failure: NoResponse, now: Now, waiting: &mut VecDeque<Job>) {
        // A refusal in the handshake of TLS 1.3 comes behind the first requests, none of which was looked at.
        let refused = !self.answered && matches!(self.closed, Some(CloseReason::Refused(_)));
        match (failure, &self.closed) {
            (NoResponse::Unknown(_), Some(reason)) if refused => {
                job.answer(Err(ChannelFailure::Disconnected(reason.clone())));
            }
            (NoResponse::NotProcessed(_), Some(reason)) if refused || reason.is_fatal() => {
                job.answer(Err(ChannelFailure::Disconnected(reason.clone())));
            }
            (NoResponse::Unknown(cause), _) => job.answer(Err(ChannelFailure::Unknown(cause))),
            (NoResponse::NotProcessed(why), _) if self.takes => {
                job.answer(Err(ChannelFailure::NotProcessed(why)));
            }
            (NoResponse::NotProcessed(_), _) if !job.again => ask_again(job, now, waiting),
            (NoResponse::NotProcessed(_), Some(reason)) => {
                job.answer(Err(ChannelFailure::Disconnected(reason.clone())));
            }
            // The reason comes with the end.
            (failure @ NoResponse::NotProcessed(_), None) => self.orphans.push((job, failure)),
            (other, _) => job.answer(Err(ChannelFailure::NotProcessed(other.to_string().into()))),
        }
    }
}

fn ask_again(job: Job, now: Now, waiting: &mut VecDeque<Job>) {
    waiting.push_back(Job { again: true, since: now.instant, ..job });
}

/// Whether the service refused the connection or its provider token, and not the request.
fn wants_another_connection(response: &Response) -> bool {
    if response.is_success() {
        return false;
    }
    let rejection = response.clone().into_rejection();
    let updates = matches!(
        &rejection,
        Rejection::Provider(provider) if provider.reason() == Some(&Reason::TooManyProviderTokenUpdates)
    );
    updates || matches!(rejection.retry(), Retry::NewToken | Retry::NewConnection)
}

fn refuses_credential(response: &Response) -> bool {
    !response.is_success() && response.clone().into_rejection().refuses_credential()
}

/// Owned by the runtime until the last handle is gone and the connections are closed.
pub(super) async fn run<R: Runtime>(task: Task<R>) {
    let mut task = task;
    std::future::poll_fn(|cx| task.poll_run(cx)).await;
}
