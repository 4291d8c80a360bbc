//! Wakers that only take a note.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// Whether the engine asked to be polled again.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    /// Raises the flag.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Reads the flag and lowers it.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

/// What has something to tell, by number, so that polling costs what is ready and not what is open.
#[derive(Debug)]
pub(super) struct ReadyList<N>(Mutex<VecDeque<N>>);

impl<N> Default for ReadyList<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<N: Copy + Send + Sync + 'static> ReadyList<N> {
    /// Puts a number on the list.
    pub(super) fn push(&self, number: N) {
        self.0.lock().push_back(number);
    }

    /// Takes the one that has waited longest.
    pub(super) fn pop(&self) -> Option<N> {
        self.0.lock().pop_front()
    }

    /// A waker that puts a number on the list.
    pub(super) fn waker(self: &Arc<Self>, number: N) -> Waker {
        Waker::from(Arc::new(ListWaker { list: Arc::clone(self), number }))
    }
}

struct ListWaker<N> {
    list: Arc<ReadyList<N>>,
    number: N,
}

impl<N: Copy + Send + Sync + 'static> Wake for ListWaker<N> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.push(self.number);
    }
}
