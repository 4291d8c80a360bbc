//! The handle that applications hold.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use apns_proto::{Expiration, Message, NotSentCause, Notification, Outcome, Pause};
use parking_lot::{Mutex, MutexGuard};

use crate::bulk::SendAll;
use crate::events::{Events, Subscribers};
use crate::queue::{Job, Queue, Refusal};
use crate::reply::{Delivery, Pending, Reply};
use crate::stats::{Meter, Stats, Tally, TokenAge};
use crate::{BinaryBuilder, Endpoint, Identity, Runtime, trace};

/// Sends notifications and reports their outcomes.
///
/// A `Client` is a handle that is cheap to clone. All clones share one bounded queue and its connections. Each accepted
/// notification has exactly one [`Outcome`]. When the last handle is dropped, queued notifications are still sent in the
/// background; then the connections close.
pub struct Client<R: Runtime, M: Message = Notification> {
    runtime: R,
    handle: Arc<Handle<M>>,
}

impl<R: Runtime, M: Message> Clone for Client<R, M> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), handle: self.handle.clone() }
    }
}

impl<R: Runtime, M: Message> fmt::Debug for Client<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("queued", &self.handle.core.queue.len()).finish_non_exhaustive()
    }
}

/// Dropped with the last clone of a client.
#[derive(Debug)]
struct Handle<M: Message> {
    core: Arc<Core<M>>,
}

impl<M: Message> Drop for Handle<M> {
    fn drop(&mut self) {
        self.core.queue.close(None);
    }
}

/// What handles and session tasks share.
#[derive(Debug)]
pub(crate) struct Core<M: Message = Notification> {
    pub(crate) queue: Queue<M>,
    /// The most notifications of one bulk run that are under way or wait to be yielded.
    pub(crate) under_way: usize,
    pub(crate) subscribers: Subscribers,
    pub(crate) meter: Meter,
    /// What ended as unknown or not sent while closing.
    leftovers: Mutex<Option<Vec<Leftover<M>>>>,
    settled: AtomicU64,
    /// A bulk run wants to know what is about to leave.
    watched: AtomicBool,
    /// Why the first session that stopped has stopped.
    stopped: OnceLock<NotSentCause>,
    pauses: Mutex<Pauses>,
}

/// The sessions that pause.
#[derive(Debug, Default)]
struct Pauses {
    sessions: BTreeMap<usize, Pausing>,
    latest: LatestPause,
}

/// The last pause that began in any session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LatestPause {
    /// How many there were.
    pub(crate) number: u64,
    /// When it ends.
    pub(crate) until: Option<Instant>,
}

/// How a session stands that pauses.
#[derive(Debug)]
struct Pausing {
    pause: Pause,
    /// It has something to send.
    has_work: bool,
}

impl Pauses {
    /// The session which tries the credential for all that pause: the first that has something to send. The others would
    /// only be refused as well.
    fn trying(&self) -> Option<(&usize, &Pausing)> {
        self.sessions.iter().find(|(_, pausing)| pausing.has_work).or_else(|| self.sessions.first_key_value())
    }
}

/// A notification that [`Client::close`] could not settle for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover<M = Notification> {
    /// The notification.
    pub notification: M,
    /// How it ended: [`Outcome::Unknown`] or [`Outcome::NotSent`].
    pub outcome: Outcome,
}

/// The result of [`Client::close`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it lists what was not sent, and what nobody knows about"]
pub struct CloseReport<M = Notification> {
    /// Everything that ended as unknown or not sent after closing began. Callers that wait for one of these get its outcome
    /// too.
    pub unsettled: Vec<Leftover<M>>,
}

/// Why a client did not accept a notification. The error returns it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError<M = Notification> {
    /// The queue is full: wait, or shed load.
    #[error("the queue is full")]
    Full(Box<M>),
    /// The client was closed, or has stopped.
    #[error("the client is closed")]
    Closed(Box<M>),
}

impl<M> TrySendError<M> {
    /// The notification.
    #[must_use]
    pub fn into_notification(self) -> M {
        match self {
            Self::Full(notification) | Self::Closed(notification) => *notification,
        }
    }
}

impl<M: Message> Core<M> {
    pub(crate) fn new(queue: Queue<M>, under_way: usize, token: TokenAge) -> Self {
        Self {
            queue,
            under_way,
            subscribers: Subscribers::default(),
            meter: Meter::new(token),
            leftovers: Mutex::new(None),
            settled: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            stopped: OnceLock::new(),
            pauses: Mutex::default(),
        }
    }

    pub(crate) fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(crate) fn note_over(&self, cause: &NotSentCause) {
        if matches!(cause, NotSentCause::Stopped(_) | NotSentCause::CredentialRefused(_)) {
            self.stopped.get_or_init(|| cause.clone());
        }
    }

    /// Notes how a session stands, and whether a pause began now.
    pub(crate) fn note_pause(&self, session: usize, pause: Option<Pause>, began: bool) {
        let mut pauses = self.pauses();
        if began {
            let number = pauses.latest.number + 1;
            pauses.latest = LatestPause { number, until: pause.as_ref().map(|pause| pause.until) };
        }
        match pause {
            Some(pause) => {
                let has_work = pauses.sessions.get(&session).is_some_and(|pausing| pausing.has_work);
                pauses.sessions.insert(session, Pausing { pause, has_work });
            }
            None => _ = pauses.sessions.remove(&session),
        }
        drop(pauses);
        self.queue.look_again();
    }

    /// Whether a session that pauses is the one that tries the credential.
    pub(crate) fn tries(&self, session: usize, has_work: bool) -> bool {
        let mut pauses = self.pauses();
        let Some(pausing) = pauses.sessions.get_mut(&session) else { return true };
        let changed = std::mem::replace(&mut pausing.has_work, has_work) != has_work;
        let tries = pauses.trying().is_some_and(|(number, _)| *number == session);
        drop(pauses);
        if changed {
            // It may be another one now.
            self.queue.look_again();
        }
        tries
    }

    /// Whether a session pauses.
    pub(crate) fn is_pausing(&self) -> bool {
        !self.pauses().sessions.is_empty()
    }

    pub(crate) fn latest_pause(&self) -> LatestPause {
        self.pauses().latest
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock()
    }

    /// For a notification that no session takes any more.
    pub(crate) fn too_late(&self, notification: M) -> Delivery<M> {
        Delivery::not_sent(self.stopped.get().cloned().unwrap_or(NotSentCause::Closed), notification)
    }

    /// Adds what a session counted on its own, and sets that to nothing.
    pub(crate) fn note_tally(&self, tally: &mut Tally) {
        self.settled.fetch_add(tally.settled(), Ordering::Relaxed);
        self.meter.add(tally);
    }

    pub(crate) fn note_settled(&self, delivery: &Delivery<M>) {
        self.settled.fetch_add(1, Ordering::Relaxed);
        self.meter.note_settled(delivery);
        trace::settled(&delivery.outcome, delivery.attempts);
        if !matches!(delivery.outcome, Outcome::Unknown { .. } | Outcome::NotSent { .. }) {
            return;
        }
        let mut leftovers = self.leftovers.lock();
        if let (Some(leftovers), Some(notification)) = (leftovers.as_mut(), delivery.returned.as_deref()) {
            leftovers.push(Leftover { notification: notification.clone(), outcome: delivery.outcome.clone() });
        }
    }
}

impl<R: Runtime + Default> Client<R> {
    /// Builds a client of a binary gateway.
    ///
    /// Apple switched its gateway off in March 2021; private gateways, test setups and bridges use this protocol.
    ///
    /// ```
    /// use apns_driver::{BuildError, Client, Endpoint, Identity, Runtime};
    ///
    /// // `R` is the runtime of a transport, such as `apns_tokio::Tokio`, whose `Client` has it already.
    /// fn start<R: Runtime + Default>(identity: Identity) -> Result<Client<R>, BuildError> {
    ///     Client::binary(Endpoint::new("gateway.example.com", 2195), identity).start()
    /// }
    /// ```
    #[must_use]
    pub fn binary(endpoint: Endpoint, identity: Identity) -> BinaryBuilder<R> {
        BinaryBuilder::on(R::default(), endpoint, identity)
    }

    /// Builds a client of Apple's HTTP/2 provider API.
    ///
    /// ```
    /// use apns_driver::apns_credentials::SigningSource;
    /// use apns_driver::{BuildError, Client, Endpoint, Environment, Runtime};
    ///
    /// fn start<R: Runtime + Default>(source: SigningSource) -> Result<Client<R>, BuildError> {
    ///     Client::http2(Endpoint::provider_api(Environment::Production), source).connections(2).start()
    /// }
    /// ```
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(endpoint: Endpoint, credentials: impl Into<crate::Credentials>) -> crate::Http2Builder<R> {
        crate::Http2Builder::on(R::default(), endpoint, credentials)
    }
}

impl<R: Runtime, M: Message> Client<R, M> {
    pub(crate) fn new(runtime: R, core: Arc<Core<M>>) -> Self {
        Self { runtime, handle: Arc::new(Handle { core }) }
    }

    fn queue(&self) -> &Queue<M> {
        &self.handle.core.queue
    }

    /// Sends one notification and waits for its outcome. If the queue is full, it waits for room first.
    ///
    /// In the binary protocol silence means acceptance, so this takes the quiet time (3 s by default) unless
    /// [`prove`](Self::prove) or [`close`](Self::close) settles the notification earlier.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    /// use apns_proto::{DeviceToken, Notification, Outcome, Payload};
    ///
    /// async fn tea<R: Runtime>(client: &Client<R>, token: DeviceToken) {
    ///     match client.send(Notification::new(token, Payload::alert("Tea is ready"))).await {
    ///         Outcome::Accepted { apns_id, .. } => println!("accepted as {apns_id:?}"),
    ///         Outcome::Rejected(rejection) => println!("{rejection}: {}", rejection.explain().to_do),
    ///         other => println!("{other}"),
    ///     }
    /// }
    /// ```
    pub async fn send(&self, notification: M) -> Outcome {
        self.submit(notification).await.await.outcome
    }

    /// Waits for room in the queue and submits a notification. If the client is closed, the [`Pending`] returns that the
    /// notification was not sent.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    /// use apns_proto::Notification;
    ///
    /// async fn both<R: Runtime>(client: &Client<R>, one: Notification, two: Notification) {
    ///     // Both are under way before the first outcome is waited for.
    ///     let (one, two) = (client.submit(one).await, client.submit(two).await);
    ///     println!("{}, {}", one.await.outcome, two.await.outcome);
    /// }
    /// ```
    pub async fn submit(&self, mut notification: M) -> Pending<M> {
        self.note_handed_over(&mut notification);
        let (reply, pending) = Reply::one();
        if let Err(job) = self.queue().push(Job { notification, reply }).await {
            job.reply.send(self.handle.core.too_late(job.notification));
        }
        pending
    }

    /// Submits a notification if the queue has room now.
    ///
    /// # Errors
    ///
    /// Returns the notification if the queue is full or the client is closed.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime, TrySendError};
    /// use apns_proto::Notification;
    ///
    /// fn offer<R: Runtime>(client: &Client<R>, notification: Notification) -> Result<(), Notification> {
    ///     match client.try_send(notification) {
    ///         // The outcome goes unread; the notification is sent all the same.
    ///         Ok(_pending) => Ok(()),
    ///         Err(TrySendError::Full(notification)) => Err(*notification),
    ///         Err(closed) => Err(closed.into_notification()),
    ///     }
    /// }
    /// ```
    pub fn try_send(&self, notification: M) -> Result<Pending<M>, TrySendError<M>> {
        let original = notification.expiration();
        let mut notification = notification;
        self.note_handed_over(&mut notification);
        let (reply, pending) = Reply::one();
        match self.queue().try_push(Job { notification, reply }) {
            Ok(()) => Ok(pending),
            Err((job, refusal)) => {
                job.reply.revoke();
                // Not taken, so its span has not begun.
                let mut notification = Box::new(job.notification);
                notification.set_expiration(original);
                Err(match refusal {
                    Refusal::Full => TrySendError::Full(notification),
                    Refusal::Closed => TrySendError::Closed(notification),
                })
            }
        }
    }

    /// Sends everything that the stream yields, and yields the outcomes with the caller's keys as they arrive.
    ///
    /// Memory is bounded by the notifications in flight: the source is polled only when there is room, and the run continues
    /// only while outcomes are taken. When the source ends, the rest is proven at once instead of after the quiet time.
    /// Dropping the stream discards outcomes, but the notifications are still sent.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    /// use apns_proto::{DeviceToken, Notification, Payload};
    /// use futures_util::{StreamExt, stream};
    ///
    /// async fn everybody<R: Runtime>(client: &Client<R>, tokens: Vec<(u64, DeviceToken)>) {
    ///     let payload = Payload::alert("Tea is ready");
    ///     let source = stream::iter(tokens).map(|(user, token)| (user, Notification::new(token, payload.clone())));
    ///     let mut outcomes = std::pin::pin!(client.send_all(source));
    ///     while let Some((user, delivery)) = outcomes.next().await {
    ///         println!("{user}: {}", delivery.outcome);
    ///     }
    /// }
    /// ```
    pub fn send_all<S, K>(&self, source: S) -> SendAll<R, S, K, M>
    where
        S: futures_core::Stream<Item = (K, M)>,
    {
        SendAll::new(self.clone(), source)
    }

    /// Settles everything submitted so far as soon as possible, and waits for this. What is not settled within `limit` ends
    /// as unknown or not sent.
    ///
    /// In the binary protocol this costs a connection, because the gateway only answers when it closes.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use apns_driver::{Client, Runtime};
    ///
    /// async fn checkpoint<R: Runtime>(client: &Client<R>) {
    ///     client.prove(Duration::from_secs(10)).await;
    ///     println!("{} have their outcome", client.settled());
    /// }
    /// ```
    pub async fn prove(&self, limit: Duration) {
        let deadline = self.runtime.now().instant.checked_add(limit);
        self.queue().prove(deadline).await;
    }

    /// Accepts no more notifications, settles those that were submitted, and closes all connections, within `limit`.
    ///
    /// What is not settled by then ends as unknown or not sent, and is listed in the report.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use apns_driver::{Client, Runtime};
    /// use apns_proto::Notification;
    ///
    /// async fn stop<R: Runtime>(client: Client<R>) -> Vec<Notification> {
    ///     let report = client.close(Duration::from_secs(10)).await;
    ///     report.unsettled.into_iter().map(|leftover| leftover.notification).collect()
    /// }
    /// ```
    pub async fn close(&self, limit: Duration) -> CloseReport<M> {
        let core = &self.handle.core;
        core.leftovers.lock().get_or_insert_default();
        core.queue.close(self.runtime.now().instant.checked_add(limit));
        core.queue.finished().await;
        core.subscribers.end();
        let unsettled = core.leftovers.lock().take();
        CloseReport { unsettled: unsettled.unwrap_or_default() }
    }

    /// Opens this many connections before anything is submitted, at most as many as the pool has. The request stays in force
    /// until they are open or until another call replaces it; 0 cancels it.
    ///
    /// This is for callers that must know that a submission can be written at once: see [`capacity`](Self::capacity).
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn warm<R: Runtime>(client: &Client<R>) {
    ///     client.connect(1);
    /// }
    /// ```
    pub fn connect(&self, connections: usize) {
        self.queue().want(connections);
    }

    /// The approximate number of notifications that the client can have without one of them waiting: those that have no
    /// outcome, and those that could be written now because the peer has room for them. 0 without a connection.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn has_room<R: Runtime>(client: &Client<R>) -> bool {
    ///     client.capacity() > client.queued()
    /// }
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.queue().capacity()
    }

    /// Waits until [`capacity`](Self::capacity) differs from `seen`.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// async fn connected<R: Runtime>(client: &Client<R>) -> usize {
    ///     client.connect(1);
    ///     client.capacity_changed(0).await
    /// }
    /// ```
    pub async fn capacity_changed(&self, seen: usize) -> usize {
        self.queue().capacity_changed(seen).await
    }

    /// Subscribes to events of the connections from now on.
    ///
    /// ```
    /// use apns_driver::{Client, ClientEvent, Runtime};
    /// use futures_util::StreamExt;
    ///
    /// async fn watch<R: Runtime>(client: &Client<R>) {
    ///     let mut events = client.events();
    ///     while let Some(event) = events.next().await {
    ///         if let ClientEvent::Paused { cause, .. } = event {
    ///             println!("nothing is sent for now: {cause}");
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.handle.core.subscribers.subscribe()
    }

    /// Returns why some or all sessions pause: the service refuses the credential, or the server is not the intended one.
    /// `None` if no session pauses. If several sessions pause, one tries for all of them, and this is its pause.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn health<R: Runtime>(client: &Client<R>) -> String {
    ///     client.pause().map_or_else(|| "good".to_owned(), |pause| pause.cause.to_string())
    /// }
    /// ```
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.handle.core.pauses().trying().map(|(_, pausing)| pausing.pause.clone())
    }

    /// Tells the client that the credential was corrected, or may have been: pausing sessions try again at once.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// // Called when the file of the key was replaced.
    /// fn reload<R: Runtime>(client: &Client<R>) {
    ///     client.credential_changed();
    /// }
    /// ```
    pub fn credential_changed(&self) {
        self.queue().credential_changed();
    }

    /// The number of notifications that wait for a connection with free capacity.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn is_idle<R: Runtime>(client: &Client<R>) -> bool {
    ///     client.queued() == 0
    /// }
    /// ```
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue().len()
    }

    /// The number of notifications that have an outcome so far.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn progress<R: Runtime>(client: &Client<R>, of: u64) -> String {
    ///     format!("{} of {of}", client.settled())
    /// }
    /// ```
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.handle.core.settled.load(Ordering::Relaxed)
    }

    /// Returns a snapshot of all metrics. It costs a lock and some loads, which is negligible once a second.
    ///
    /// ```
    /// use apns_driver::{Client, Runtime};
    ///
    /// fn metrics<R: Runtime>(client: &Client<R>) -> String {
    ///     client.stats().to_string()
    /// }
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = &self.handle.core;
        core.meter.read(self.runtime.now().wall, core.queue.levels())
    }

    /// The span of an expiration begins where the caller hands the notification over, and not when it leaves the queue;
    /// one that is in the past there is one attempt.
    pub(crate) fn note_handed_over(&self, notification: &mut M) {
        if matches!(notification.expiration(), Expiration::After(_) | Expiration::At(_)) {
            notification.hand_over(self.runtime.now().wall);
        }
    }

    pub(crate) fn try_push_all(&self, jobs: &mut VecDeque<Job<M>>) -> Result<(), Refusal> {
        self.queue().try_push_all(jobs)
    }

    pub(crate) fn core(&self) -> &Core<M> {
        &self.handle.core
    }

    pub(crate) fn room(&self) -> event_listener::EventListener {
        self.queue().room()
    }

    pub(crate) fn proven(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let core = self.handle.core.clone();
        Box::pin(async move { core.queue.prove(None).await })
    }
}
