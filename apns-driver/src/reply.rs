//! How an outcome finds its way back to whoever submitted.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use apns_proto::{Message, NotSentCause, Notification, Outcome, Settled, UnknownCause};
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;

use crate::leaving::{Leaving, Watch};

/// How a notification ended, with what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "only the outcome says whether the service took it"]
pub struct Delivery<M: Message = Notification> {
    /// How it ended.
    pub outcome: Outcome,
    /// What the service said beside the outcome.
    pub answer: M::Answer,
    /// How often it was written. More than once where an error response threw it away, or where the loss policy sent it
    /// again.
    pub attempts: u32,
    /// How often it was written again although nobody knew what became of the copy before: each may have made a
    /// duplicate.
    pub replays: u32,
    /// The notification, when the service did not take it.
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

/// The outcome of one notification, to be awaited. Dropping it forgets the outcome, not the notification.
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

/// The room for outcomes that a run keeps when all were taken. A proven window brings many at one blow.
const KEPT: usize = 4096;

/// Where the outcomes of one bulk run gather: no channel and no task for each notification.
pub(crate) struct BulkSink<M: Message = Notification> {
    done: Mutex<VecDeque<(u32, Delivery<M>)>>,
    waker: AtomicWaker,
    watch: OnceLock<Arc<dyn Watch>>,
}

impl<M: Message> BulkSink<M> {
    pub(crate) fn new() -> Self {
        Self { done: Mutex::default(), waker: AtomicWaker::new(), watch: OnceLock::new() }
    }

    /// The first one stays.
    pub(crate) fn set_watch(&self, watch: Arc<dyn Watch>) {
        self.watch.get_or_init(|| watch);
    }

    pub(crate) fn watch(&self) -> Option<&dyn Watch> {
        self.watch.get().map(|watch| &**watch)
    }

    fn push(&self, slot: u32, delivery: Delivery<M>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push_back((slot, delivery));
        self.waker.wake();
    }

    /// Moves at most so many over to a list that is looked through without a lock.
    pub(crate) fn take(&self, most: usize, ready: &mut VecDeque<(u32, Delivery<M>)>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let count = done.len().min(most);
        ready.extend(done.drain(..count));
        if done.is_empty() && done.capacity() > KEPT {
            *done = VecDeque::new();
        }
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}
