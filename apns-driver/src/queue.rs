//! The bounded queue between callers and sessions, with the orders that concern all sessions.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

use apns_proto::{Message, Notification};
use event_listener::{Event, IntoNotification};
use parking_lot::{Mutex, MutexGuard};

use crate::reply::Reply;

/// A notification that waits for a session.
#[derive(Debug)]
pub(crate) struct Job<M: Message = Notification> {
    pub(crate) notification: M,
    pub(crate) reply: Reply<M>,
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
pub(crate) struct Queue<M: Message = Notification> {
    state: Mutex<State<M>>,
    /// Room became free, or the queue closed.
    room: Event,
    /// A session finished something that others wait for.
    progress: Event,
    /// Another number of jobs may be with the sessions.
    capacity: Event,
}

#[derive(Debug)]
struct State<M: Message> {
    jobs: VecDeque<Job<M>>,
    capacity: usize,
    /// Jobs ever taken in and ever handed out.
    pushed: u64,
    popped: u64,
    closing: Option<Closing>,
    /// How often the credential was, or may have been, mended.
    credential_changes: u64,
    /// How often a session that had paused found that the service takes the credential.
    resumptions: u64,
    /// So many connections are wanted, although nothing may wait for them.
    wanted: usize,
    /// The proofs that were asked for and are not done, in their order.
    proofs: VecDeque<ProofOrder>,
    /// How many proofs were asked for.
    asked: u64,
    consumers: Vec<Consumer>,
}

#[derive(Debug, Default)]
struct Consumer {
    waker: Option<Waker>,
    /// The last proof order that it was given, and the last one that it has carried out.
    given: u64,
    proven: u64,
    /// What it carries out counts for orders of this round alone: jobs that come back begin a new one.
    round: u64,
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
struct ProofOrder {
    number: u64,
    deadline: Option<Instant>,
    up_to: u64,
}

/// A proof that a session has to carry out: of all that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    number: u64,
    round: u64,
    pub(crate) deadline: Option<Instant>,
}

impl<M: Message> Queue<M> {
    pub(crate) fn new(capacity: usize, consumers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                capacity: capacity.max(1),
                pushed: 0,
                popped: 0,
                closing: None,
                credential_changes: 0,
                resumptions: 0,
                wanted: 0,
                proofs: VecDeque::new(),
                asked: 0,
                consumers: (0..consumers).map(|_| Consumer::default()).collect(),
            }),
            room: Event::new(),
            progress: Event::new(),
            capacity: Event::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing between lock and unlock can leave the state half changed.
        self.state.lock()
    }

    pub(crate) fn try_push(&self, job: Job<M>) -> Result<(), (Job<M>, Refusal)> {
        let mut state = self.lock();
        if let Some(refusal) = state.refusal() {
            return Err((job, refusal));
        }
        state.jobs.push_back(job);
        state.pushed += 1;
        wake_sessions(state);
        Ok(())
    }

    /// Takes as many as there is room for, from the front, under one lock. What is left was refused.
    pub(crate) fn try_push_all(&self, jobs: &mut VecDeque<Job<M>>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let refusal = state.refusal();
        let room = if refusal.is_none() { state.capacity - state.jobs.len() } else { 0 };
        let count = jobs.len().min(room);
        if count > 0 {
            if count == jobs.len() {
                state.jobs.append(jobs);
            } else {
                state.jobs.extend(jobs.drain(..count));
            }
            state.pushed += count as u64;
            wake_sessions(state);
        }
        if jobs.is_empty() { Ok(()) } else { Err(refusal.unwrap_or(Refusal::Full)) }
    }

    /// Waits for room.
    pub(crate) async fn push(&self, mut job: Job<M>) -> Result<(), Job<M>> {
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

    /// Hands out the next jobs to a session in an empty list, at most so many, and none from behind the mark of a proof
    /// that it was not given yet.
    pub(crate) fn pop(&self, consumer: usize, most: usize, out: &mut VecDeque<Job<M>>) {
        let mut state = self.lock();
        let count = state.jobs.len().min(most).min(state.before_next_proof(consumer));
        if count == state.jobs.len() && out.is_empty() {
            std::mem::swap(&mut state.jobs, out);
        } else {
            out.extend(state.jobs.drain(..count));
        }
        let wakers = state.note_popped(count);
        drop(state);
        wake(wakers);
        self.make_room(count);
    }

    /// So many places became free: as many more callers are told of them. Telling all would make the others fail.
    fn make_room(&self, count: usize) {
        if count > 0 {
            self.room.notify(count.additional());
        }
    }

    /// Tells further callers of room that those who were told before have not taken: they may never look again. Says
    /// whether there was anybody to tell.
    pub(crate) fn offer_room(&self) -> bool {
        let state = self.lock();
        let room = if state.refusal().is_none() { state.capacity - state.jobs.len() } else { 0 };
        drop(state);
        room > 0 && self.room.notify(room.additional()) > 0
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
            wake_sessions(state);
        }
        Leave { to_take, to_connect }
    }

    /// So many connections are wanted, although nothing may wait for them: until there are so many, or another number is
    /// wanted.
    pub(crate) fn want(&self, connections: usize) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.wanted, connections) != connections {
            wake_sessions(state);
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
    pub(crate) fn take_back(&self, jobs: impl DoubleEndedIterator<Item = Job<M>>) {
        let mut state = self.lock();
        for job in jobs.rev() {
            state.jobs.push_front(job);
            state.popped -= 1;
        }
        state.begin_round();
        wake_sessions(state);
    }

    /// The next proof that this session has to carry out, once all jobs that it concerns were handed out.
    pub(crate) fn proof_due(&self, consumer: usize) -> Option<Proof> {
        let mut state = self.lock();
        let order = state.next_proof(consumer).filter(|order| order.up_to <= state.popped)?;
        let consumer = &mut state.consumers[consumer];
        consumer.given = order.number;
        Some(Proof { number: order.number, round: consumer.round, deadline: order.deadline })
    }

    pub(crate) fn proof_done(&self, consumer: usize, proof: Proof) {
        let mut state = self.lock();
        let consumer = &mut state.consumers[consumer];
        if consumer.round == proof.round {
            consumer.proven = consumer.proven.max(proof.number);
        }
        state.forget_proofs();
        drop(state);
        self.progress.notify(usize::MAX);
    }

    /// Orders everything pushed so far to be settled, and waits until it is.
    pub(crate) async fn prove(&self, deadline: Option<Instant>) {
        let number = {
            let mut state = self.lock();
            let up_to = state.pushed;
            let last = state.proofs.back().filter(|last| (last.up_to, last.deadline) == (up_to, deadline));
            match last {
                // The same again, as when many runs end while nothing is sent.
                Some(last) => last.number,
                None => {
                    state.asked += 1;
                    let number = state.asked;
                    state.proofs.push_back(ProofOrder { number, deadline, up_to });
                    state.forget_proofs();
                    wake_sessions(state);
                    number
                }
            }
        };
        loop {
            let listener = self.progress.listen();
            if self.lock().has_proven(number) {
                return;
            }
            listener.await;
        }
    }

    /// Takes out what waits for a proof whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> VecDeque<Job<M>> {
        let mut state = self.lock();
        let late = state.proofs.iter().rev().find(|order| order.deadline.is_some_and(|deadline| deadline <= now));
        let count = late.map_or(0, |order| order.up_to.saturating_sub(state.popped) as usize).min(state.jobs.len());
        if count == 0 {
            return VecDeque::new();
        }
        let rest = state.jobs.split_off(count);
        let jobs = std::mem::replace(&mut state.jobs, rest);
        let wakers = state.note_popped(count);
        drop(state);
        wake(wakers);
        self.make_room(count);
        jobs
    }

    /// The nearest deadline that a session cannot know: it is told of a proof when it has all that the proof concerns,
    /// and of closing when nothing waits any more.
    pub(crate) fn next_deadline(&self, consumer: usize) -> Option<Instant> {
        let state = self.lock();
        let given = state.consumers[consumer].given;
        let proofs = state.proofs.iter().filter(|order| order.number > given).filter_map(|order| order.deadline);
        proofs.chain(state.closing.and_then(|closing| closing.deadline)).min()
    }

    pub(crate) fn close(&self, deadline: Option<Instant>) {
        let mut state = self.lock();
        let earlier = state.closing.and_then(|closing| closing.deadline);
        state.closing = Some(Closing { deadline: [earlier, deadline].into_iter().flatten().min() });
        wake_sessions(state);
        self.room.notify(usize::MAX);
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        self.lock().closing
    }

    /// Has every session that pauses try again.
    pub(crate) fn credential_changed(&self) {
        let mut state = self.lock();
        state.credential_changes += 1;
        wake_sessions(state);
    }

    /// How often that was said.
    pub(crate) fn credential_changes(&self) -> u64 {
        self.lock().credential_changes
    }

    /// The service takes the credential again: no session has to pause.
    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        state.resumptions += 1;
        wake_sessions(state);
    }

    /// How often that was said.
    pub(crate) fn resumptions(&self) -> u64 {
        self.lock().resumptions
    }

    /// Has every session look again whether there is something to do.
    pub(crate) fn look_again(&self) {
        wake_sessions(self.lock());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    /// A session sends nothing any more. The jobs come back when it was the last; once they are settled, say
    /// [`gone`](Self::gone).
    pub(crate) fn leave(&self, consumer: usize) -> VecDeque<Job<M>> {
        let mut state = self.lock();
        state.consumers[consumer].over = true;
        state.consumers[consumer].connected = false;
        state.consumers[consumer].capacity = 0;
        let jobs = if state.all_over() { state.take_jobs() } else { VecDeque::new() };
        wake_sessions(state);
        self.room.notify(usize::MAX);
        self.capacity.notify(usize::MAX);
        jobs
    }

    /// A session has left, and nothing it took is without an end.
    pub(crate) fn gone(&self, consumer: usize) {
        let mut state = self.lock();
        state.consumers[consumer].gone = true;
        state.forget_proofs();
        drop(state);
        self.progress.notify(usize::MAX);
    }

    /// A session had no connection for too long. The jobs come back when no other session has one.
    pub(crate) fn abandon(&self) -> VecDeque<Job<M>> {
        let mut state = self.lock();
        if state.consumers.iter().any(|consumer| consumer.connected) {
            return VecDeque::new();
        }
        let jobs = state.take_jobs();
        // Proofs have nothing to wait for in here any more.
        wake_sessions(state);
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

impl<M: Message> State<M> {
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

    /// The first proof that a session was not given yet.
    fn next_proof(&self, consumer: usize) -> Option<ProofOrder> {
        let given = self.consumers[consumer].given;
        self.proofs.iter().find(|order| order.number > given).copied()
    }

    /// How many jobs come before the mark of that proof.
    fn before_next_proof(&self, consumer: usize) -> usize {
        let left = |order: ProofOrder| order.up_to.saturating_sub(self.popped);
        self.next_proof(consumer).map_or(usize::MAX, |order| usize::try_from(left(order)).unwrap_or(usize::MAX))
    }

    /// So many jobs were handed out. Where that reaches the mark of a proof, all sessions have to look.
    fn note_popped(&mut self, count: usize) -> impl Iterator<Item = Waker> + use<M> {
        let before = self.popped;
        self.popped += count as u64;
        let reached = self.proofs.iter().any(|order| before < order.up_to && order.up_to <= self.popped);
        reached.then(|| self.take_wakers()).into_iter().flatten()
    }

    /// Jobs came back that proofs concern: who has carried these out has to do it once more.
    fn begin_round(&mut self) {
        let Some(first) = self.proofs.iter().find(|order| order.up_to > self.popped) else { return };
        let before = first.number - 1;
        for consumer in &mut self.consumers {
            consumer.proven = consumer.proven.min(before);
            consumer.given = consumer.proven;
            consumer.round += 1;
        }
    }

    fn has_proven(&self, number: u64) -> bool {
        self.consumers.iter().all(|consumer| consumer.gone || consumer.proven >= number)
    }

    fn forget_proofs(&mut self) {
        while self.proofs.front().is_some_and(|first| self.has_proven(first.number)) {
            self.proofs.pop_front();
        }
    }

    fn take_jobs(&mut self) -> VecDeque<Job<M>> {
        self.popped += self.jobs.len() as u64;
        std::mem::take(&mut self.jobs)
    }

    fn take_wakers(&mut self) -> impl Iterator<Item = Waker> + use<M> {
        // Few enough for the stack in all but the largest pools.
        let wakers: smallvec::SmallVec<[Waker; 4]> =
            self.consumers.iter_mut().filter_map(|consumer| consumer.waker.take()).collect();
        wakers.into_iter()
    }
}

/// Wakes the tasks of all sessions, with the lock released.
fn wake_sessions<M: Message>(mut state: MutexGuard<'_, State<M>>) {
    let wakers = state.take_wakers();
    drop(state);
    wake(wakers);
}

fn wake(wakers: impl Iterator<Item = Waker>) {
    wakers.for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
