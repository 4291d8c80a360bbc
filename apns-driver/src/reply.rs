//! How an outcome finds its way back to whoever submitted.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use apns_proto::{NotSentCause, Notification, Outcome, Settled, UnknownCause};
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;

/// How a notification ended, with what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "only the outcome says whether the service took it"]
pub struct Delivery {
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was written. More than once where an error response threw it away, or where the loss policy sent it
    /// again.
    pub attempts: u32,
    /// How often it was written again although nobody knew what became of the copy before: each may have made a
    /// duplicate.
    pub replays: u32,
    /// The notification, when the service did not take it.
    pub returned: Option<Box<Notification>>,
}

impl Delivery {
    /// For a notification that no session took.
    pub(crate) fn not_sent(cause: NotSentCause, notification: Notification) -> Self {
        Self { outcome: Outcome::NotSent { cause }, attempts: 0, replays: 0, returned: Some(Box::new(notification)) }
    }

    /// For a notification whose session is gone: the runtime dropped its task before it could finish.
    fn abandoned() -> Self {
        let outcome = Outcome::Unknown { cause: UnknownCause::Closed };
        Self { outcome, attempts: 0, replays: 0, returned: None }
    }
}

impl<K> From<Settled<K>> for Delivery {
    fn from(settled: Settled<K>) -> Self {
        let Settled { outcome, attempts, replays, returned, .. } = settled;
        Self { outcome, attempts, replays, returned }
    }
}

/// The outcome of one notification, to be awaited. Dropping it forgets the outcome, not the notification.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Delivery>);

impl Future for Pending {
    type Output = Delivery;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Delivery> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Delivery::abandoned()))
    }
}

/// Where the outcome goes. Answers exactly once, also when it is dropped.
pub(crate) struct Reply(Option<Target>);

enum Target {
    One(oneshot::Sender<Delivery>),
    Bulk(Arc<BulkSink>, u32),
}

impl Reply {
    pub(crate) fn one() -> (Self, Pending) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Target::One(sender))), Pending(receiver))
    }

    pub(crate) fn bulk(sink: Arc<BulkSink>, slot: u32) -> Self {
        Self(Some(Target::Bulk(sink, slot)))
    }

    pub(crate) fn send(mut self, delivery: Delivery) {
        self.answer(delivery);
    }

    fn answer(&mut self, delivery: Delivery) {
        match self.0.take() {
            // Nobody waits for it any more, which is their right.
            Some(Target::One(sender)) => drop(sender.send(delivery)),
            Some(Target::Bulk(sink, slot)) => sink.push(slot, delivery),
            None => {}
        }
    }

    /// Taken back: the submission did not happen.
    pub(crate) fn revoke(mut self) {
        self.0 = None;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.answer(Delivery::abandoned());
        }
    }
}

impl fmt::Debug for Reply {
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
#[derive(Debug, Default)]
pub(crate) struct BulkSink {
    done: Mutex<VecDeque<(u32, Delivery)>>,
    waker: AtomicWaker,
}

impl BulkSink {
    fn push(&self, slot: u32, delivery: Delivery) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push_back((slot, delivery));
        self.waker.wake();
    }

    /// Moves at most so many over to a list that is looked through without a lock.
    pub(crate) fn take(&self, most: usize, ready: &mut VecDeque<(u32, Delivery)>) {
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
