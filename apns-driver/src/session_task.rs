//! The task that drives one session: its connections, its share of the queue, its deadlines.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use apns_proto::Opener;
use apns_proto::{
    DialFailure, End, LinkId, Message, NotSentCause, Now, Session, SessionEvent, Settled, Transmit, WallTime,
};
use bytes::BytesMut;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::alarm::Alarm;
use crate::client::{Core, LatestPause};
use crate::dial::{Target, dial};
use crate::events::ClientEvent;
use crate::leaving::Leaving;
use crate::pump::{Port, Pump, Pumped};
use crate::queue::{Job, Proof, Readiness};
use crate::reply::{Batch, Delivery, Reply};
use crate::stats::Tally;
use crate::{Runtime, Secured, Validity, trace};

type Dialled<S> = (LinkId, Result<Secured<S>, DialFailure>);
type Dial<S> = Pin<Box<dyn Future<Output = Dialled<S>> + Send>>;

pub(crate) struct SessionTask<R: Runtime, P: Opener<Reply<M>, Message = M>, M: Message> {
    runtime: R,
    core: Arc<Core<M>>,
    number: usize,
    session: Session<P, Reply<M>>,
    target: Arc<Target<R>>,
    pumps: Vec<(LinkId, Pump<R::Tls>)>,
    dials: FuturesUnordered<Dial<R::Tls>>,
    alarm: Alarm<R>,
    /// Jobs on their way from the queue to the session; empty between two calls.
    jobs: VecDeque<Job<M>>,
    /// Outcomes on their way to the caller; empty between two calls.
    batch: Batch<M>,
    /// What is to be counted of them.
    tally: Tally,
    /// What the queue was told of how many jobs may be with the session.
    capacity: usize,
    /// The proofs that the session works on, in their order.
    proving: VecDeque<Proof>,
    /// How many changes of the credential the session knows of.
    credential_changes: u64,
    /// How many resumptions it knows of.
    resumptions: u64,
    /// How many pauses of all sessions it knows of.
    pauses: u64,
    left: bool,
}

/// One link of the session, as a pump sees it.
struct LinkPort<'a, P: Opener<Reply<M>, Message = M>, M: Message> {
    session: &'a mut Session<P, Reply<M>>,
    link: LinkId,
    watched: bool,
}

impl<P: Opener<Reply<M>, Message = M>, M: Message> Port for LinkPort<'_, P, M> {
    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        self.session.handle_input(now, self.link, bytes);
    }

    fn handle_end(&mut self, now: Now, end: End) {
        self.session.handle_end(now, self.link, end);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        self.session.handle_write_failure(now, self.link, unsent);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        let transmit = self.session.poll_transmit(now, self.link, out);
        if self.watched {
            let mut leaving = Leaving::new();
            self.session.just_sent(self.link, |reply| reply.note_leaving(&mut leaving));
            leaving.tell();
        }
        transmit
    }
}

/// How many jobs are taken from the queue between two looks at the sockets.
const JOBS_A_TURN: usize = 256;

/// How many connections may wait for their peer's last word. Nothing depends on it any more, so the oldest go first
/// when a peer makes them many by never closing.
const LINGERING: usize = 8;

/// How many events are passed on before those who wait for them get their turn: a proven window brings a hundred thousand
/// outcomes at once, and they would gather here.
const EVENTS_A_TURN: usize = 4096;

/// How many turns one wake-up may take before other tasks get theirs.
const TURNS: usize = 16;

impl<R: Runtime, P: Opener<Reply<M>, Message = M>, M: Message> SessionTask<R, P, M> {
    pub(crate) fn new(
        runtime: R,
        core: Arc<Core<M>>,
        number: usize,
        session: Session<P, Reply<M>>,
        target: Arc<Target<R>>,
    ) -> Self {
        Self {
            alarm: Alarm::new(runtime.clone()),
            runtime,
            core,
            number,
            session,
            target,
            pumps: Vec::new(),
            dials: FuturesUnordered::new(),
            jobs: VecDeque::new(),
            batch: Batch::new(),
            tally: Tally::default(),
            capacity: 0,
            proving: VecDeque::new(),
            credential_changes: 0,
            resumptions: 0,
            pauses: 0,
            left: false,
        }
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before looking, so that nothing that comes meanwhile is missed.
        self.core.queue.register(self.number, cx);
        // Looked at also where something moves turn after turn.
        let deadline = self.deadline();
        let _ = self.alarm.poll(cx, deadline);
        for _ in 0..TURNS {
            let now = self.runtime.now();
            let mut moved = self.hear_of_others(now);
            moved |= self.poll_dials(cx, now);
            moved |= self.poll_pumps(cx, now);
            if self.alarm.may_judge(self.pumps.iter().all(|(_, pump)| pump.is_drained())) {
                self.pass_deadlines(now);
                moved = true;
            }
            moved |= self.take_orders(now);
            let tries = self.session.pause().is_none() || self.core.tries(self.number, self.session.unsettled() > 0);
            self.session.stand_by(now, !tries);
            // One that was not refused yet would be, unless it has a connection already.
            let untried = self.session.pause().is_none() && !self.session.is_connected();
            moved |= self.take_jobs(now, tries && !(untried && self.core.is_pausing()));
            // Before the outcomes are told: who hears of one may want to know what there is room for.
            self.tell_capacity();
            let events = self.take_events(now);
            moved |= events > 0;
            // There may be more, also behind the last word of the session.
            if events == EVENTS_A_TURN {
                break;
            }
            if self.left && self.pumps.is_empty() {
                return Poll::Ready(());
            }
            if moved {
                continue;
            }
            let deadline = self.deadline();
            if self.alarm.poll(cx, deadline).is_pending() {
                if !self.core.queue.offer_room() {
                    return Poll::Pending;
                }
                // Whether those take it shows when they had their turn.
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The nearest of all deadlines: of the session, of connections that linger, and of the orders that callers gave.
    fn deadline(&self) -> Option<Instant> {
        let lingering = self.pumps.iter().filter_map(|(_, pump)| pump.deadline());
        let ordered = (!self.left).then(|| self.core.queue.next_deadline(self.number)).flatten();
        self.session.poll_timeout().into_iter().chain(ordered).chain(lingering).min()
    }

    /// All that was there has been read.
    fn pass_deadlines(&mut self, now: Now) {
        if !self.left {
            self.refuse(self.core.queue.overdue(now.instant), &NotSentCause::OutOfTime);
            if let Some(closing) = self.core.queue.closing()
                && closing.deadline.is_some_and(|deadline| deadline <= now.instant)
            {
                // What the transport was not even offered has not left.
                let (session, watched) = (&mut self.session, self.core.is_watched());
                for (link, pump) in &mut self.pumps {
                    pump.stop_writing(now, &mut LinkPort { session: &mut *session, link: *link, watched });
                }
                self.session.close(now, closing.deadline);
            }
        }
        if self.session.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.session.handle_timeout(now);
        }
    }

    fn poll_dials(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some((link, dialled))) = self.dials.poll_next_unpin(cx) {
            moved = true;
            match dialled {
                Ok(secured) if self.session.connected(now, link) => {
                    self.pumps.push((link, Pump::new(secured.stream, R::end_of)));
                }
                // Not wanted any more: dropping the stream closes it.
                Ok(_) => {}
                Err(failure) => self.session.dial_failed(now, link, failure),
            }
        }
        moved
    }

    /// What other sessions found out about the credential. Heard first: what comes after it is news.
    fn hear_of_others(&mut self, now: Now) -> bool {
        let resumptions = self.core.queue.resumptions();
        let resumed = std::mem::replace(&mut self.resumptions, resumptions) != resumptions && self.session.resume(now);
        if self.session.pause().is_some() {
            let LatestPause { number, until } = self.core.latest_pause();
            if std::mem::replace(&mut self.pauses, number) != number
                && let Some(until) = until
            {
                self.session.rest(until);
            }
        }
        if resumed {
            self.core.note_pause(self.number, None, false);
            self.tell(&ClientEvent::Resumed { session: self.number });
        }
        resumed
    }

    fn take_orders(&mut self, now: Now) -> bool {
        let mut moved = false;
        while !self.left
            && let Some(proof) = self.core.queue.proof_due(self.number)
        {
            self.proving.push_back(proof);
            self.session.prove(now, proof.deadline);
            moved = true;
        }
        let changes = self.core.queue.credential_changes();
        if std::mem::replace(&mut self.credential_changes, changes) != changes {
            self.session.credential_changed(now);
            moved = true;
        }
        if let Some(closing) = self.core.queue.closing() {
            // Its deadline is judged elsewhere.
            let over = closing.deadline.is_some_and(|deadline| deadline <= now.instant);
            if !over && self.core.queue.is_empty() {
                // Harmless when repeated; only a nearer deadline changes anything.
                moved |= !self.session.is_closing();
                self.session.close(now, closing.deadline);
            }
        }
        moved
    }

    fn take_jobs(&mut self, now: Now, tries: bool) -> bool {
        let connected = self.session.is_connected();
        let readiness = match () {
            () if connected => Readiness::Connected,
            () if self.session.may_dial(now) => Readiness::CanDial,
            () => Readiness::BackingOff,
        };
        let leave = self.core.queue.set_connected(self.number, readiness);
        self.session.want_connection(now, leave.to_connect);
        // What is refused at once needs no attempt.
        if !leave.to_take || !tries && !self.session.is_refusing() {
            return false;
        }
        let mut left = if connected || self.session.is_refusing() { JOBS_A_TURN } else { 1 };
        let mut moved = false;
        while left > 0 {
            // No more than there is room for: what waits in here cannot go to another session.
            self.core.queue.pop(self.number, self.session.room().min(left), &mut self.jobs);
            if self.jobs.is_empty() {
                break;
            }
            moved = true;
            left -= self.jobs.len();
            for Job { notification, reply } in self.jobs.drain(..) {
                self.session.submit(now, reply, notification);
            }
        }
        moved
    }

    fn tell_capacity(&mut self) {
        let capacity = if self.left { 0 } else { self.session.capacity() };
        if std::mem::replace(&mut self.capacity, capacity) != capacity {
            self.core.queue.set_capacity(self.number, capacity);
        }
    }

    fn poll_pumps(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut moved = false;
        let (session, watched) = (&mut self.session, self.core.is_watched());
        self.pumps.retain_mut(|(link, pump)| {
            let pumped = pump.poll(cx, now, &mut LinkPort { session: &mut *session, link: *link, watched });
            moved |= pumped != Pumped::Idle;
            pumped != Pumped::Over
        });
        let lingering = self.pumps.iter().filter(|(_, pump)| pump.is_lingering()).count();
        for _ in LINGERING..lingering {
            if let Some(oldest) = self.pumps.iter().position(|(_, pump)| pump.is_lingering()) {
                self.pumps.remove(oldest);
            }
        }
        moved
    }

    /// Says how many there were.
    fn take_events(&mut self, now: Now) -> usize {
        let session = self.number;
        for taken in 0..EVENTS_A_TURN {
            let event = match self.session.poll_event() {
                Some(SessionEvent::Settled(settled)) => {
                    self.answer(now, settled);
                    continue;
                }
                other => other,
            };
            // In their order: who hears that a proof is done finds the outcomes there.
            self.tell_outcomes();
            let Some(event) = event else { return taken };
            let told = match event {
                SessionEvent::Dial { link } => {
                    self.start_dialling(link);
                    ClientEvent::Dialling { session, link }
                }
                SessionEvent::Connected { link } => {
                    self.tell(&ClientEvent::Connected { session, link });
                    let Some(at) = self.certificate_ends_soon() else { continue };
                    ClientEvent::CertificateExpiresSoon { session, at }
                }
                SessionEvent::DialFailed { failure, .. } => {
                    self.hand_over();
                    ClientEvent::DialFailed { session, failure }
                }
                SessionEvent::Closed(report) => ClientEvent::Closed { session, report },
                SessionEvent::Warning { warning, .. } => ClientEvent::Warning { session, warning },
                SessionEvent::TokenWanted { .. } => ClientEvent::TokenWanted { session },
                SessionEvent::GaveUp { why } => {
                    self.refuse(self.core.queue.abandon(), &NotSentCause::NoConnection(why.clone()));
                    ClientEvent::GaveUp { session, why }
                }
                SessionEvent::Paused { cause, retry_in } => {
                    // One that is cut short is none that began.
                    self.core.note_pause(session, self.session.pause().cloned(), !retry_in.is_zero());
                    self.hand_over();
                    ClientEvent::Paused { session, cause, retry_in }
                }
                SessionEvent::Resumed => {
                    self.core.note_pause(session, None, false);
                    // What is good here is good for the others.
                    self.core.queue.resume();
                    ClientEvent::Resumed { session }
                }
                SessionEvent::Stopped { cause } => {
                    // Told before the queue is left: who waits for the end may stop watching then.
                    self.tell(&ClientEvent::Stopped { session, cause: cause.clone() });
                    self.leave(&cause);
                    continue;
                }
                SessionEvent::Proven => {
                    if let Some(proof) = self.proving.pop_front() {
                        self.core.queue.proof_done(self.number, proof);
                    }
                    continue;
                }
                SessionEvent::Finished => {
                    self.leave(&NotSentCause::Closed);
                    continue;
                }
                _ => continue,
            };
            self.tell(&told);
        }
        self.tell_outcomes();
        EVENTS_A_TURN
    }

    fn certificate_ends_soon(&self) -> Option<WallTime> {
        match self.target.identity.as_ref()?.validity(self.runtime.now().wall) {
            Validity::ExpiresSoon { at } => Some(at),
            Validity::Ok | Validity::Expired { .. } | Validity::NotYet { .. } => None,
        }
    }

    /// What waits here for a connection goes to a session that has one.
    fn hand_over(&mut self) {
        if self.core.queue.is_connected() {
            let jobs = self.session.take_back().into_iter();
            self.core.queue.take_back(jobs.map(|(reply, notification)| Job { notification, reply }));
        }
    }

    fn start_dialling(&self, link: LinkId) {
        let (runtime, target) = (self.runtime.clone(), self.target.clone());
        let dialled = async move { (link, dial(&runtime, &target).await) };
        self.dials.push(Box::pin(trace::dialling(link, dialled)));
    }

    fn tell(&self, event: &ClientEvent) {
        self.core.meter.note_event(event);
        trace::event(event);
        self.core.subscribers.send(event);
    }

    fn answer(&mut self, now: Now, settled: Settled<Reply<M>, M>) {
        let Settled { key, outcome, answer, attempts, replays, returned, since, .. } = settled;
        let delivery = Delivery { outcome, answer, attempts, replays, returned };
        if !self.batch.takes(&key) {
            self.tell_outcomes();
        }
        // Counted before it is told.
        if let Some(since) = since {
            self.tally.took(now.instant, since);
        }
        if !key.is_of_a_run() || !self.tally.counts(&delivery) {
            self.core.note_settled(&delivery);
        }
        if !key.is_of_a_run() {
            self.core.note_tally(&mut self.tally);
        }
        self.batch.add(key, delivery);
    }

    /// Counts and tells what gathered.
    fn tell_outcomes(&mut self) {
        self.core.note_tally(&mut self.tally);
        self.batch.tell();
    }

    /// Nothing more is sent here; what waits in the queue is refused where no other session is left to take it.
    fn leave(&mut self, cause: &NotSentCause) {
        if self.left {
            return;
        }
        self.left = true;
        self.core.note_pause(self.number, None, false);
        self.core.note_over(cause);
        self.dials.clear();
        self.refuse(self.core.queue.leave(self.number), cause);
        self.core.queue.gone(self.number);
    }

    fn refuse(&self, jobs: impl IntoIterator<Item = Job<M>>, cause: &NotSentCause) {
        for Job { notification, reply } in jobs {
            let delivery = Delivery::not_sent(cause.clone(), notification);
            self.core.note_settled(&delivery);
            reply.send(delivery);
        }
    }
}

impl<R: Runtime, P: Opener<Reply<M>, Message = M>, M: Message> Drop for SessionTask<R, P, M> {
    fn drop(&mut self) {
        // Also when the runtime throws the task away: nobody may wait for it for ever.
        self.leave(&NotSentCause::Closed);
    }
}

/// Owned by the runtime until the session is finished.
pub(crate) async fn run<R, P, M>(task: SessionTask<R, P, M>)
where
    R: Runtime,
    M: Message,
    P: Opener<Reply<M>, Message = M> + Send,
    P::Connection: Send,
{
    let mut task = task;
    std::future::poll_fn(|cx| task.poll_run(cx)).await;
}
