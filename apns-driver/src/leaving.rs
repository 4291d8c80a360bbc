//! Which notifications are about to leave, for callers that keep a journal.

use std::sync::Arc;

use apns_proto::Message;
use parking_lot::Mutex;

use crate::reply::BulkSink;

/// Who is told of the notifications of one bulk run that are about to leave, by their places in it.
pub(crate) trait Watch: Send + Sync {
    fn leaving(&self, slots: &[u32]);
}

/// The names that the caller of a bulk run gave, by place.
pub(crate) struct Tags<T, F> {
    tags: Mutex<Vec<Option<T>>>,
    hook: F,
}

impl<T: Copy, F: Fn(&[T])> Tags<T, F> {
    pub(crate) const fn new(hook: F) -> Self {
        Self { tags: Mutex::new(Vec::new()), hook }
    }

    pub(crate) fn set(&self, slot: u32, tag: T) {
        let mut tags = self.tags.lock();
        let slot = slot as usize;
        if tags.len() <= slot {
            tags.resize(slot + 1, None);
        }
        tags[slot] = Some(tag);
    }
}

impl<T: Copy + Send, F: Fn(&[T]) + Send + Sync> Watch for Tags<T, F> {
    fn leaving(&self, slots: &[u32]) {
        let tags = self.tags.lock();
        let named: Vec<T> = slots.iter().filter_map(|slot| *tags.get(*slot as usize)?).collect();
        drop(tags);
        (self.hook)(&named);
    }
}

/// What leaves together, gathered for each bulk run.
pub(crate) struct Leaving<M: Message> {
    sink: Option<Arc<BulkSink<M>>>,
    slots: Vec<u32>,
}

impl<M: Message> Leaving<M> {
    pub(crate) const fn new() -> Self {
        Self { sink: None, slots: Vec::new() }
    }

    pub(crate) fn add(&mut self, sink: &Arc<BulkSink<M>>, slot: u32) {
        if !self.sink.as_ref().is_some_and(|current| Arc::ptr_eq(current, sink)) {
            self.tell();
            self.sink = Some(sink.clone());
        }
        self.slots.push(slot);
    }

    pub(crate) fn tell(&mut self) {
        if let Some(watch) = self.sink.take().as_ref().and_then(|sink| sink.watch()) {
            watch.leaving(&self.slots);
        }
        self.slots.clear();
    }
}
