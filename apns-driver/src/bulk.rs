//! Many notifications in, many outcomes out, with bounded memory.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apns_proto::{Message, Notification};
use event_listener::EventListener;
use futures_core::Stream;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::leaving::Tags;
use crate::queue::{Job, Refusal};
use crate::reply::{BulkSink, Delivery, Outcomes, Reply};
use crate::{Client, Runtime};

/// How many notifications one call takes from the source before others get their turn.
const A_TURN: usize = crate::reply::TOGETHER;

/// How many of them go into the queue at a time.
const TOGETHER: usize = 16;

type NoteTag<K> = Box<dyn Fn(u32, &K) + Send + Sync>;
type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// The outcomes of [`Client::send_all`], each under its key, in the order in which they become known.
    pub struct SendAll<R: Runtime, S, K, M: Message = Notification> {
        client: Client<R, M>,
        #[pin]
        source: Option<S>,
        keys: Slab<K>,
        sink: Arc<BulkSink<M>>,
        // Notes under which name the caller knows what is in a place.
        note_tag: Option<NoteTag<K>>,
        // Taken out of the sink together, and not yielded yet.
        ready: Outcomes<M>,
        // Taken from the source, and waiting for room.
        held: VecDeque<Job<M>>,
        room: Option<EventListener>,
        // The proof of the last ones was asked for.
        asked: bool,
        proof: Option<Proof>,
    }
}

impl<R: Runtime, S, K, M: Message> SendAll<R, S, K, M> {
    pub(crate) fn new(client: Client<R, M>, source: S) -> Self {
        Self {
            client,
            source: Some(source),
            keys: Slab::new(),
            sink: Arc::new(BulkSink::new()),
            note_tag: None,
            ready: VecDeque::new(),
            held: VecDeque::new(),
            room: None,
            asked: false,
            proof: None,
        }
    }
}

impl<R: Runtime, S, K, M: Message> SendAll<R, S, K, M> {
    /// Calls `hook` with the tags of notifications whose last bytes are about to be handed to the transport, each time
    /// before they are. To be set before the stream is polled.
    ///
    /// For callers that keep a journal of what may have left: after a crash, what was never named here has not reached the
    /// service. A notification that is written once more is named once more. Nothing is written before the hook returns,
    /// so it should be quick.
    ///
    /// ```
    /// # use apns_driver::{Client, Runtime};
    /// # use apns_proto::Notification;
    /// # fn example<R: Runtime>(client: &Client<R>, source: impl futures_core::Stream<Item = (u64, Notification)>) {
    /// let outcomes = client.send_all(source).before_leaving(|key| *key, |keys| println!("leaving: {keys:?}"));
    /// # let _ = outcomes;
    /// # }
    /// ```
    #[must_use]
    pub fn before_leaving<T: Copy + Send + 'static>(
        mut self,
        tag: impl Fn(&K) -> T + Send + Sync + 'static,
        hook: impl Fn(&[T]) + Send + Sync + 'static,
    ) -> Self {
        let tags = Arc::new(Tags::new(hook));
        self.sink.set_watch(tags.clone());
        self.client.core().watch();
        self.note_tag = Some(Box::new(move |slot, key| tags.set(slot, tag(key))));
        self
    }
}

impl<R: Runtime, S, K, M: Message> fmt::Debug for SendAll<R, S, K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAll").field("under_way", &self.keys.len()).finish_non_exhaustive()
    }
}

impl<R, S, K, M> SendAll<R, S, K, M>
where
    R: Runtime,
    S: Stream<Item = (K, M)>,
    M: Message,
{
    /// Moves from the source into the queue what fits.
    fn poll_feed(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        for _ in 0..A_TURN / TOGETHER {
            if let Some(room) = this.room.as_mut() {
                if Pin::new(room).poll(cx).is_pending() {
                    return;
                }
                *this.room = None;
            }
            // Several cross the lock at a time; none is taken while others wait to go on.
            let mut dry = false;
            if this.held.is_empty() {
                while this.held.len() < TOGETHER && !dry {
                    let source = this.source.as_mut().as_pin_mut();
                    let under_way = this.keys.len() < this.client.core().under_way;
                    match source.filter(|_| under_way).map(|source| source.poll_next(cx)) {
                        Some(Poll::Ready(Some((key, mut notification)))) => {
                            this.client.note_handed_over(&mut notification);
                            let slot = this.keys.insert(key) as u32;
                            if let Some(note_tag) = this.note_tag {
                                note_tag(slot, &this.keys[slot as usize]);
                            }
                            this.held.push_back(Job { notification, reply: Reply::bulk(this.sink.clone(), slot) });
                        }
                        Some(Poll::Ready(None)) => {
                            this.source.set(None);
                            dry = true;
                        }
                        Some(Poll::Pending) | None => dry = true,
                    }
                }
            }
            // A listener costs an allocation, so there is none until the queue is full. Then it is tried once more: room
            // that came before anybody listened would be missed.
            if this.client.try_push_all(this.held) == Err(Refusal::Full) {
                let room = this.client.room();
                if this.client.try_push_all(this.held) == Err(Refusal::Full) {
                    *this.room = Some(room);
                    continue;
                }
            }
            // Left over where the client is closed.
            for job in this.held.drain(..) {
                job.reply.send(this.client.core().too_late(job.notification));
            }
            if this.source.is_none() && !*this.asked {
                *this.asked = true;
                *this.proof = Some(this.client.proven());
                return;
            }
            if dry {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }
}

impl<R, S, K, M> Stream for SendAll<R, S, K, M>
where
    R: Runtime,
    S: Stream<Item = (K, M)>,
    M: Message,
{
    type Item = (K, Delivery<M>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(K, Delivery<M>)>> {
        // The queue is filled up once for each turn of outcomes.
        if let Some((slot, delivery)) = self.as_mut().project().ready.pop_front() {
            let key = self.project().keys.remove(slot as usize);
            return Poll::Ready(Some((key, delivery)));
        }
        self.sink.register(cx);
        self.as_mut().poll_feed(cx);
        let this = self.project();
        this.sink.take(this.ready);
        if this.proof.as_mut().is_some_and(|proof| proof.as_mut().poll(cx).is_ready()) {
            *this.proof = None;
        }
        match this.ready.pop_front() {
            Some((slot, delivery)) => Poll::Ready(Some((this.keys.remove(slot as usize), delivery))),
            None if this.source.is_none() && this.keys.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
