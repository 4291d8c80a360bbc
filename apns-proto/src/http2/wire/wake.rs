//! Wakers that only take a note.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

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

/// The streams that have something to tell, so that polling costs what is ready and not what is open.
#[derive(Debug, Default)]
pub(super) struct ReadyList(Mutex<VecDeque<u32>>);

impl ReadyList {
    /// Puts a stream on the list.
    pub(super) fn push(&self, stream: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(stream);
    }

    /// Takes the stream that has waited longest.
    pub(super) fn pop(&self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// A waker that puts a stream on the list.
    pub(super) fn waker(self: &Arc<Self>, stream: u32) -> Waker {
        Waker::from(Arc::new(StreamWaker { list: Arc::clone(self), stream }))
    }
}

struct StreamWaker {
    list: Arc<ReadyList>,
    stream: u32,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.list.push(self.stream);
    }
}
