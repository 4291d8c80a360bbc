//! Many notifications in, many outcomes out, with bounded memory.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apns_proto::Notification;
use event_listener::EventListener;
use futures_core::Stream;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::queue::{Job, Refusal};
use crate::reply::{BulkSink, Delivery, Reply};
use crate::{Client, Runtime};

/// The most notifications of one run that are under way or wait to be yielded. Enough for two full windows.
const UNDER_WAY: usize = 200_000;

/// How many notifications one call takes from the source before others get their turn.
const A_TURN: usize = 512;

type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// The outcomes of [`Client::send_all`], each under its key, in the order in which they become known.
    pub struct SendAll<R: Runtime, S, K> {
        client: Client<R>,
        #[pin]
        source: Option<S>,
        keys: Slab<K>,
        sink: Arc<BulkSink>,
        // Taken from the source, and waiting for room.
        held: Option<Job>,
        room: Option<EventListener>,
        proof: Option<Proof>,
    }
}

impl<R: Runtime, S, K> SendAll<R, S, K> {
    pub(crate) fn new(client: Client<R>, source: S) -> Self {
        Self {
            client,
            source: Some(source),
            keys: Slab::new(),
            sink: Arc::new(BulkSink::default()),
            held: None,
            room: None,
            proof: None,
        }
    }
}

impl<R: Runtime, S, K> fmt::Debug for SendAll<R, S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAll").field("under_way", &self.keys.len()).finish_non_exhaustive()
    }
}

impl<R, S, K> SendAll<R, S, K>
where
    R: Runtime,
    S: Stream<Item = (K, Notification)>,
{
    /// Moves from the source into the queue what fits.
    fn poll_feed(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        for _ in 0..A_TURN {
            if let Some(room) = this.room.as_mut() {
                if Pin::new(room).poll(cx).is_pending() {
                    return;
                }
                *this.room = None;
            }
            let job = match this.held.take() {
                Some(job) => job,
                None => {
                    if this.keys.len() >= UNDER_WAY {
                        return;
                    }
                    let Some(source) = this.source.as_mut().as_pin_mut() else { return };
                    match source.poll_next(cx) {
                        Poll::Ready(Some((key, notification))) => {
                            let slot = this.keys.insert(key) as u32;
                            Job { notification, reply: Reply::bulk(this.sink.clone(), slot) }
                        }
                        Poll::Ready(None) => {
                            this.source.set(None);
                            *this.proof = Some(this.client.proven());
                            return;
                        }
                        Poll::Pending => return,
                    }
                }
            };
            // Listening before trying: room that comes in between is not missed.
            let room = this.client.room();
            match this.client.try_push(job) {
                Ok(()) => {}
                Err((job, Refusal::Full)) => {
                    *this.held = Some(job);
                    *this.room = Some(room);
                }
                Err((job, Refusal::Closed)) => job.reply.send(this.client.core().too_late(job.notification)),
            }
        }
        cx.waker().wake_by_ref();
    }
}

impl<R, S, K> Stream for SendAll<R, S, K>
where
    R: Runtime,
    S: Stream<Item = (K, Notification)>,
{
    type Item = (K, Delivery);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(K, Delivery)>> {
        self.sink.register(cx);
        self.as_mut().poll_feed(cx);
        let this = self.project();
        if this.proof.as_mut().is_some_and(|proof| proof.as_mut().poll(cx).is_ready()) {
            *this.proof = None;
        }
        match this.sink.pop() {
            Some((slot, delivery)) => Poll::Ready(Some((this.keys.remove(slot as usize), delivery))),
            None if this.source.is_none() && this.keys.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
