//! How an outcome finds its way back to the caller.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use apns_proto::{Message, NotSentCause, Notification, Outcome, Settled, UnknownCause};
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};

use crate::leaving::{Leaving, Watch};

/// How a notification ended, and how often it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "only the outcome says whether the service took it"]
pub struct Delivery<M: Message = Notification> {
    /// How it ended.
    pub outcome: Outcome,
    /// The service's answer beyond the outcome.
    pub answer: M::Answer,
    /// How often it was written. More than once if the gateway discarded it after an error response, or if it was sent again
    /// according to the loss or retry policy.
    pub attempts: u32,
    /// How often it was written again although an earlier copy may have arrived: each may cause a duplicate.
    pub replays: u32,
    /// The notification, if the service did not accept it.
    pub returned: Option<Box<M>>,
}

impl<M: Message> Delivery<M> {
    /// For a notification that no session took.
    pub(crate) fn not_sent(cause: NotSentCause, notification: M) -> Self {
        Self { returned: Some(Box::new(notification)), ..Self::without_attempt(Outcome::NotSent { cause }) }
    }

    /// For a notification whose session is gone: the runtime dropped its task before it could finish.
    fn abandoned() -> Self {
        Self::without_attempt(Outcome::Unknown { cause: UnknownCause::Closed })
    }

    fn without_attempt(outcome: Outcome) -> Self {
        Self { outcome, answer: M::Answer::default(), attempts: 0, replays: 0, returned: None }
    }
}

impl<K, M: Message> From<Settled<K, M>> for Delivery<M> {
    fn from(settled: Settled<K, M>) -> Self {
        let Settled { outcome, answer, attempts, replays, returned, .. } = settled;
        Self { outcome, answer, attempts, replays, returned }
    }
}

/// A future of the outcome of one notification. If it is dropped, the notification is still sent.
#[derive(Debug)]
pub struct Pending<M: Message = Notification>(oneshot::Receiver<Delivery<M>>);

impl<M: Message> Future for Pending<M> {
    type Output = Delivery<M>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Delivery<M>> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Delivery::abandoned()))
    }
}

/// Where the outcome goes. Answers exactly once, also when it is dropped.
pub(crate) struct Reply<M: Message = Notification>(Option<Target<M>>);

enum Target<M: Message> {
    One(oneshot::Sender<Delivery<M>>),
    Bulk(Arc<BulkSink<M>>, u32),
}

impl<M: Message> Reply<M> {
    pub(crate) fn one() -> (Self, Pending<M>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Target::One(sender))), Pending(receiver))
    }

    pub(crate) fn bulk(sink: Arc<BulkSink<M>>, slot: u32) -> Self {
        Self(Some(Target::Bulk(sink, slot)))
    }

    pub(crate) fn send(mut self, delivery: Delivery<M>) {
        self.answer(delivery);
    }

    fn answer(&mut self, delivery: Delivery<M>) {
        match self.0.take() {
            // Nobody waits for it any more, which is their right.
            Some(Target::One(sender)) => drop(sender.send(delivery)),
            Some(Target::Bulk(sink, slot)) => sink.push(slot, delivery),
            None => {}
        }
    }

    /// It is about to leave.
    pub(crate) fn note_leaving(&self, leaving: &mut Leaving<M>) {
        match &self.0 {
            Some(Target::Bulk(sink, slot)) if sink.watch().is_some() => leaving.add(sink, *slot),
            _ => {}
        }
    }

    /// Taken back: the submission did not happen.
    pub(crate) fn revoke(mut self) {
        self.0 = None;
    }

    /// Whether it is one of many.
    pub(crate) const fn is_of_a_run(&self) -> bool {
        matches!(self.0, Some(Target::Bulk(..)))
    }
}

impl<M: Message> Drop for Reply<M> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.answer(Delivery::abandoned());
        }
    }
}

impl<M: Message> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(Target::One(_)) => "Reply(one)",
            Some(Target::Bulk(..)) => "Reply(bulk)",
            None => "Reply(answered)",
        })
    }
}

/// Outcomes with the places of their notifications in a run.
pub(crate) type Outcomes<M> = VecDeque<(u32, Delivery<M>)>;

/// How many outcomes change hands at a time.
pub(crate) const TOGETHER: usize = 512;

/// How many empty lists are kept for the outcomes that follow. A proven window brings many at once.
const SPARE: usize = 8;

/// Where the outcomes of one bulk run gather: no channel and no task for each notification.
pub(crate) struct BulkSink<M: Message = Notification> {
    done: Mutex<Done<M>>,
    waker: AtomicWaker,
    watch: OnceLock<Arc<dyn Watch>>,
}

#[derive(Debug)]
struct Done<M: Message> {
    /// None is empty. They change hands whole, so that an outcome is not copied on its way.
    lists: VecDeque<Outcomes<M>>,
    spare: Vec<Outcomes<M>>,
}

impl<M: Message> BulkSink<M> {
    pub(crate) fn new() -> Self {
        let done = Mutex::new(Done { lists: VecDeque::new(), spare: Vec::new() });
        Self { done, waker: AtomicWaker::new(), watch: OnceLock::new() }
    }

    /// The first one stays.
    pub(crate) fn set_watch(&self, watch: Arc<dyn Watch>) {
        self.watch.get_or_init(|| watch);
    }

    pub(crate) fn watch(&self) -> Option<&dyn Watch> {
        self.watch.get().map(|watch| &**watch)
    }

    fn lock(&self) -> MutexGuard<'_, Done<M>> {
        self.done.lock()
    }

    fn push(&self, slot: u32, delivery: Delivery<M>) {
        let mut done = self.lock();
        match done.lists.back_mut().filter(|last| last.len() < TOGETHER) {
            Some(last) => last.push_back((slot, delivery)),
            None => {
                let mut list = done.spare.pop().unwrap_or_default();
                list.push_back((slot, delivery));
                done.lists.push_back(list);
            }
        }
        drop(done);
        self.waker.wake();
    }

    /// Takes a list of outcomes over whole, and leaves an empty one.
    fn append(&self, list: &mut Outcomes<M>) {
        let mut done = self.lock();
        let empty = done.spare.pop().unwrap_or_default();
        done.lists.push_back(std::mem::replace(list, empty));
        drop(done);
        self.waker.wake();
    }

    /// Moves the next outcomes over to an empty list, which is looked through without a lock.
    pub(crate) fn take(&self, ready: &mut Outcomes<M>) {
        let mut done = self.lock();
        if let Some(list) = done.lists.pop_front() {
            let empty = std::mem::replace(ready, list);
            if done.spare.len() < SPARE {
                done.spare.push(empty);
            }
        }
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}

/// Outcomes of one bulk run on their way to it: one lock and one wake-up for many.
pub(crate) struct Batch<M: Message> {
    sink: Option<Arc<BulkSink<M>>>,
    list: Outcomes<M>,
}

impl<M: Message> Batch<M> {
    pub(crate) const fn new() -> Self {
        Self { sink: None, list: VecDeque::new() }
    }

    /// Whether the outcome that this reply is for may wait here, behind those that do.
    pub(crate) fn takes(&self, reply: &Reply<M>) -> bool {
        match &reply.0 {
            Some(Target::Bulk(sink, _)) => {
                self.list.len() < TOGETHER && self.sink.as_ref().is_none_or(|own| Arc::ptr_eq(own, sink))
            }
            Some(Target::One(_)) | None => false,
        }
    }

    /// Adds an outcome; one that may not wait here goes its way at once.
    pub(crate) fn add(&mut self, mut reply: Reply<M>, delivery: Delivery<M>) {
        if !self.takes(&reply) {
            return reply.send(delivery);
        }
        if let Some(Target::Bulk(sink, slot)) = reply.0.take() {
            self.sink.get_or_insert(sink);
            self.list.push_back((slot, delivery));
        }
    }

    /// Hands over what gathered.
    pub(crate) fn tell(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink.append(&mut self.list);
        }
    }
}
