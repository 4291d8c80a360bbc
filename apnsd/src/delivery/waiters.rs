//! Who waits for the outcome of which notification.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use apns_proto::Rejection;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::NotificationId;
use crate::outbox::OutcomeRecord;

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<HashMap<NotificationId, Vec<Waiter>>>);

/// Is told of an outcome, however long that takes.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// It ended. May be called twice for the same outcome; called where nothing may block.
    fn ended(&self, record: &OutcomeRecord);
}

/// What a caller is told who wants the service's first answer.
#[derive(Debug)]
pub(crate) enum Answered {
    /// It ended.
    Ended(Box<OutcomeRecord>),
    /// The service refused it for the time being, and it waits in the outbox.
    Refused(Box<Rejection>),
}

#[derive(Debug)]
enum Waiter {
    /// A caller, who may leave.
    Caller(oneshot::Sender<OutcomeRecord>),
    /// The same, who wants the first answer.
    Impatient(oneshot::Sender<Answered>),
    Listener(Arc<dyn Listener>),
}

impl Waiters {
    /// Begins to wait. What was settled before is not told: look it up after this call.
    pub(crate) fn register(&self, id: NotificationId) -> oneshot::Receiver<OutcomeRecord> {
        let (sender, receiver) = oneshot::channel();
        self.add(id, Waiter::Caller(sender));
        receiver
    }

    /// The same for a caller who wants the service's first answer, also where it is tried again.
    pub(crate) fn attend(&self, id: NotificationId) -> oneshot::Receiver<Answered> {
        let (sender, receiver) = oneshot::channel();
        self.add(id, Waiter::Impatient(sender));
        receiver
    }

    /// Whether somebody wants the first answer.
    pub(crate) fn is_attended(&self, id: NotificationId) -> bool {
        let waiting = self.0.lock();
        let mut waiters = waiting.get(&id).into_iter().flatten();
        waiters.any(|waiter| matches!(waiter, Waiter::Impatient(_)))
    }

    /// The service refused it for the time being.
    pub(crate) fn refused(&self, id: NotificationId, rejection: &Rejection) {
        let mut waiting = self.0.lock();
        let Some(waiters) = waiting.remove(&id) else { return };
        let mut left = Vec::new();
        for waiter in waiters {
            match waiter {
                // Who left does not want to know.
                Waiter::Impatient(sender) => drop(sender.send(Answered::Refused(Box::new(rejection.clone())))),
                waiter => left.push(waiter),
            }
        }
        if !left.is_empty() {
            waiting.insert(id, left);
        }
    }

    /// The same for one who never leaves.
    pub(crate) fn listen(&self, id: NotificationId, listener: Arc<dyn Listener>) {
        self.add(id, Waiter::Listener(listener));
    }

    fn add(&self, id: NotificationId, waiter: Waiter) {
        self.0.lock().entry(id).or_default().push(waiter);
    }

    /// Forgets those that have left.
    pub(crate) fn prune(&self, ids: &[NotificationId]) {
        let mut waiting = self.0.lock();
        for id in ids {
            if let Some(waiters) = waiting.get_mut(id) {
                waiters.retain(|waiter| match waiter {
                    Waiter::Caller(sender) => !sender.is_closed(),
                    Waiter::Impatient(sender) => !sender.is_closed(),
                    Waiter::Listener(_) => true,
                });
                if waiters.is_empty() {
                    waiting.remove(id);
                }
            }
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Tells the caller that waits for it.
    pub(crate) fn tell(&self, record: &OutcomeRecord) {
        let waiters = self.0.lock().remove(&record.id);
        for waiter in waiters.into_iter().flatten() {
            match waiter {
                // Who left does not want to know.
                Waiter::Caller(sender) => drop(sender.send(record.clone())),
                Waiter::Impatient(sender) => drop(sender.send(Answered::Ended(Box::new(record.clone())))),
                Waiter::Listener(listener) => listener.ended(record),
            }
        }
    }
}
