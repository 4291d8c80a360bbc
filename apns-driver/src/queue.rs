//! The bounded queue between callers and sessions, with the orders that concern all sessions.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use apns_proto::Notification;
use event_listener::Event;

use crate::reply::Reply;

/// A notification that waits for a session.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) notification: Notification,
    pub(crate) reply: Reply,
}

/// How much went through, and how much is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) queued: u64,
    pub(crate) pushed: u64,
    pub(crate) popped: u64,
    pub(crate) connected: u64,
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Room became free, or the queue closed.
    room: Event,
    /// A session finished something that others wait for.
    progress: Event,
    /// Another number of jobs may be with the sessions.
    capacity: Event,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    capacity: usize,
    /// Jobs ever taken in and ever handed out.
    pushed: u64,
    popped: u64,
    closing: Option<Closing>,
    proof: Option<ProofOrder>,
    /// So many connections are wanted, although nothing may wait for them.
    wanted: usize,
    consumers: Vec<Consumer>,
}

#[derive(Debug, Default)]
struct Consumer {
    waker: Option<Waker>,
    /// The last proof order that it carried out.
    proven: u64,
    connected: bool,
    /// How many jobs may be with it without one of them waiting there.
    capacity: usize,
    /// It sends nothing any more.
    over: bool,
    /// And what it left is settled.
    gone: bool,
}

/// So many jobs that wait are work for one more connection.
const CROWD: usize = 256;

/// What a session may do before it has anything to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Take jobs, to open a connection for them where it has none.
    pub(crate) to_take: bool,
    /// Open a connection although nothing waits.
    pub(crate) to_connect: bool,
}

/// How near a session is to sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has a connection.
    Connected,
    /// It would open one at once.
    CanDial,
    /// It has to wait before it opens one.
    BackingOff,
}

/// Close by this time; `None` to take as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) deadline: Option<Instant>,
}

/// Have everything that was pushed before `up_to` settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProofOrder {
    pub(crate) number: u64,
    pub(crate) deadline: Option<Instant>,
    up_to: u64,
}

impl Queue {
    pub(crate) fn new(capacity: usize, consumers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                capacity: capacity.max(1),
                pushed: 0,
                popped: 0,
                closing: None,
                proof: None,
                wanted: 0,
                consumers: (0..consumers).map(|_| Consumer::default()).collect(),
            }),
            room: Event::new(),
            progress: Event::new(),
            capacity: Event::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_push(&self, job: Job) -> Result<(), (Job, Refusal)> {
        let mut state = self.lock();
        if let Some(refusal) = state.refusal() {
            return Err((job, refusal));
        }
        state.jobs.push_back(job);
        state.pushed += 1;
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
        Ok(())
    }

    /// Takes as many as there is room for, from the front, under one lock. What is left was refused.
    pub(crate) fn try_push_all(&self, jobs: &mut VecDeque<Job>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let refusal = state.refusal();
        let room = if refusal.is_none() { state.capacity - state.jobs.len() } else { 0 };
        let count = jobs.len().min(room);
        if count > 0 {
            state.jobs.extend(jobs.drain(..count));
            state.pushed += count as u64;
            let wakers = state.take_wakers();
            drop(state);
            wake(wakers);
        }
        if jobs.is_empty() { Ok(()) } else { Err(refusal.unwrap_or(Refusal::Full)) }
    }

    /// Waits for room.
    pub(crate) async fn push(&self, mut job: Job) -> Result<(), Job> {
        loop {
            let listener = self.room.listen();
            match self.try_push(job) {
                Ok(()) => return Ok(()),
                Err((back, Refusal::Closed)) => return Err(back),
                Err((back, Refusal::Full)) => job = back,
            }
            listener.await;
        }
    }

    /// A listener for room; ask again after making it.
    pub(crate) fn room(&self) -> event_listener::EventListener {
        self.room.listen()
    }

    /// Hands out the next jobs, at most so many.
    pub(crate) fn pop(&self, most: usize, out: &mut Vec<Job>) {
        let mut state = self.lock();
        let count = state.jobs.len().min(most);
        out.extend(state.jobs.drain(..count));
        state.popped += count as u64;
        drop(state);
        // As many places became free: as many callers can use them. Waking all would make the others fail.
        if count > 0 {
            self.room.notify(count);
        }
    }

    /// Registers a session's task to be woken for anything new.
    pub(crate) fn register(&self, consumer: usize, cx: &Context<'_>) {
        let mut state = self.lock();
        let slot = &mut state.consumers[consumer].waker;
        if slot.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *slot = Some(cx.waker().clone());
        }
    }

    /// Says whether a session has a connection; and whether it may take a job without one, to open one for it. Not when
    /// another session of the pool has one, unless there is work for more and this one would connect at once. Of those
    /// without a connection the first ones open those that are [wanted](Self::want).
    pub(crate) fn set_connected(&self, consumer: usize, readiness: Readiness) -> Leave {
        let mut state = self.lock();
        let connected = readiness == Readiness::Connected;
        let was_connected = std::mem::replace(&mut state.consumers[consumer].connected, connected);
        let to_take = match readiness {
            Readiness::Connected => true,
            Readiness::CanDial if state.jobs.len() >= CROWD => true,
            Readiness::CanDial | Readiness::BackingOff => !state.consumers.iter().any(|other| other.connected),
        };
        let to_connect = !connected && state.is_wanted(consumer);
        if was_connected && !connected {
            // The others may take without a connection from here on.
            let wakers = state.take_wakers();
            drop(state);
            wake(wakers);
        }
        Leave { to_take, to_connect }
    }

    /// So many connections are wanted, although nothing may wait for them: until there are so many, or another number is
    /// wanted.
    pub(crate) fn want(&self, connections: usize) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.wanted, connections) != connections {
            let wakers = state.take_wakers();
            drop(state);
            wake(wakers);
        }
    }

    /// Says how many jobs may be with a session without one of them waiting there.
    pub(crate) fn set_capacity(&self, consumer: usize, capacity: usize) {
        self.lock().consumers[consumer].capacity = capacity;
        self.capacity.notify(usize::MAX);
    }

    /// How many jobs may be with the sessions.
    pub(crate) fn capacity(&self) -> usize {
        self.lock().consumers.iter().map(|consumer| consumer.capacity).sum()
    }

    /// Waits until that is another number than this one.
    pub(crate) async fn capacity_changed(&self, seen: usize) -> usize {
        loop {
            let listener = self.capacity.listen();
            let capacity = self.capacity();
            if capacity != seen {
                return capacity;
            }
            listener.await;
        }
    }

    /// Whether a session has a connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.lock().consumers.iter().any(|consumer| consumer.connected)
    }

    /// Takes jobs back from a session that cannot connect. They are the next ones.
    pub(crate) fn take_back(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut state = self.lock();
        for job in jobs.rev() {
            state.jobs.push_front(job);
            state.popped -= 1;
        }
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
    }

    /// A proof order that this session has not carried out, once all jobs that it concerns were handed out.
    pub(crate) fn proof_due(&self, consumer: usize) -> Option<ProofOrder> {
        let state = self.lock();
        let order = state.proof?;
        (state.consumers[consumer].proven < order.number && state.popped >= order.up_to).then_some(order)
    }

    pub(crate) fn proof_done(&self, consumer: usize, number: u64) {
        let mut state = self.lock();
        let consumer = &mut state.consumers[consumer];
        consumer.proven = consumer.proven.max(number);
        drop(state);
        self.progress.notify(usize::MAX);
    }

    /// Orders everything pushed so far to be settled, and waits until it is.
    pub(crate) async fn prove(&self, deadline: Option<Instant>) {
        let number = {
            let mut state = self.lock();
            let number = state.proof.map_or(1, |order| order.number + 1);
            let earlier = state.proof.and_then(|order| order.deadline);
            let pending = state.consumers.iter().any(|consumer| !consumer.gone && consumer.proven + 1 < number);
            // An order that still runs is widened, so its earlier deadline must not cut off the new one's.
            let deadline = if pending { earlier.zip(deadline).map(|(one, other)| one.max(other)) } else { deadline };
            state.proof = Some(ProofOrder { number, deadline, up_to: state.pushed });
            let wakers = state.take_wakers();
            drop(state);
            wake(wakers);
            number
        };
        loop {
            let listener = self.progress.listen();
            if self.lock().consumers.iter().all(|consumer| consumer.gone || consumer.proven >= number) {
                return;
            }
            listener.await;
        }
    }

    pub(crate) fn close(&self, deadline: Option<Instant>) {
        let mut state = self.lock();
        let earlier = state.closing.and_then(|closing| closing.deadline);
        state.closing = Some(Closing { deadline: [earlier, deadline].into_iter().flatten().min() });
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
        self.room.notify(usize::MAX);
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        self.lock().closing
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    /// A session sends nothing any more. The jobs come back when it was the last; once they are settled, say
    /// [`gone`](Self::gone).
    pub(crate) fn leave(&self, consumer: usize) -> VecDeque<Job> {
        let mut state = self.lock();
        state.consumers[consumer].over = true;
        state.consumers[consumer].connected = false;
        state.consumers[consumer].capacity = 0;
        let jobs = if state.all_over() { state.take_jobs() } else { VecDeque::new() };
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
        self.room.notify(usize::MAX);
        self.capacity.notify(usize::MAX);
        jobs
    }

    /// A session has left, and nothing it took is without an end.
    pub(crate) fn gone(&self, consumer: usize) {
        self.lock().consumers[consumer].gone = true;
        self.progress.notify(usize::MAX);
    }

    /// A session had no connection for too long. The jobs come back when no other session has one.
    pub(crate) fn abandon(&self) -> VecDeque<Job> {
        let mut state = self.lock();
        if state.consumers.iter().any(|consumer| consumer.connected) {
            return VecDeque::new();
        }
        let jobs = state.take_jobs();
        drop(state);
        self.room.notify(usize::MAX);
        jobs
    }

    /// Waits until every session has left and what they left is settled.
    pub(crate) async fn finished(&self) {
        loop {
            let listener = self.progress.listen();
            if self.lock().consumers.iter().all(|consumer| consumer.gone) {
                return;
            }
            listener.await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    pub(crate) fn levels(&self) -> Levels {
        let state = self.lock();
        Levels {
            queued: state.jobs.len() as u64,
            pushed: state.pushed,
            popped: state.popped,
            connected: state.consumers.iter().filter(|consumer| consumer.connected).count() as u64,
        }
    }
}

impl State {
    /// Why no job is taken now.
    fn refusal(&self) -> Option<Refusal> {
        match () {
            () if self.closing.is_some() || self.all_over() => Some(Refusal::Closed),
            () if self.jobs.len() >= self.capacity => Some(Refusal::Full),
            () => None,
        }
    }

    /// Whether this session, which has no connection, is to open one of those that are wanted.
    fn is_wanted(&mut self, consumer: usize) -> bool {
        let connected = self.consumers.iter().filter(|one| one.connected).count();
        if connected >= self.wanted {
            self.wanted = 0;
            return false;
        }
        let before = self.consumers[..consumer].iter().filter(|one| !one.connected && !one.over).count();
        connected + before < self.wanted
    }

    fn all_over(&self) -> bool {
        self.consumers.iter().all(|consumer| consumer.over)
    }

    fn take_jobs(&mut self) -> VecDeque<Job> {
        self.popped += self.jobs.len() as u64;
        std::mem::take(&mut self.jobs)
    }

    fn take_wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        // Few enough for the stack in all but the largest pools.
        let wakers: smallvec::SmallVec<[Waker; 4]> =
            self.consumers.iter_mut().filter_map(|consumer| consumer.waker.take()).collect();
        wakers.into_iter()
    }
}

fn wake(wakers: impl Iterator<Item = Waker>) {
    wakers.for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_end_is_told_when_everything_that_was_left_is_settled() {
        let queue = Queue::new(10, 1);
        let (mut finished, mut proven) = (Box::pin(queue.finished()), Box::pin(queue.prove(None)));
        assert_eq!((finished.as_mut().now_or_never(), proven.as_mut().now_or_never()), (None, None));
        // Between these two the session settles what was left.
        assert!(queue.leave(0).is_empty());
        assert_eq!((finished.as_mut().now_or_never(), proven.as_mut().now_or_never()), (None, None));
        queue.gone(0);
        assert_eq!((finished.now_or_never(), proven.now_or_never()), (Some(()), Some(())));
    }
}
