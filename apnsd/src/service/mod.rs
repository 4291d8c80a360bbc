//! The service: apps, and the way of a notification through it. Every interface stands on this.

mod apps;
mod bells;
mod brake;
mod broadcast;
mod error;
mod later;
mod opening;
mod pass_on;
mod search;
mod store;
mod stream;
mod submit;
mod summary;
mod validation;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apns_proto::{Expiration, Notification, WallTime};
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use apps::{AppInfo, EnvironmentInfo, Origin, ProvisionError};
pub use brake::{Cancelled, Purged};
pub(crate) use broadcast::BroadcastError;
pub use error::{SubmitError, UnknownApp};
pub use later::SendAtError;
pub(crate) use pass_on::PassedOn;
use store::Store;
pub use store::StoreHealth;
pub use stream::OutcomeStream;
pub use submit::Submission;

use crate::access::Access;
use crate::config::{App, AppDefinition, Config, ConfigError, FileState};
use crate::delivery::{
    Announcer, BridgeFigures, Health, KeyRing, Listener, Order, Snapshot, Standing, Waiters, clocks, now,
};
use crate::http::shares::Shares;
use crate::http::watched::Refusals;
use crate::outbox::{AppPause, Counts, Cursor, FeedbackPage, Outbox, OutboxError, OutcomeRecord, State, Tracked};
use crate::rate::RateLimit;
use crate::webhook::{self, Webhooks};
use crate::{AppName, NotificationId};

/// A handle to the running service; cheap to clone.
///
/// ```no_run
/// use std::time::Duration;
///
/// use apns_proto::{DeviceToken, Notification, Payload};
/// use apnsd::config::Config;
/// use apnsd::Service;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::load("apnsd.toml".as_ref())?;
/// let service = Service::start(&config).await?;
/// let token: DeviceToken = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".parse()?;
/// let notification = Notification::new(token, Payload::alert("Tea is ready"));
/// let shop = "shop".parse()?;
/// let accepted = service.submit(&shop, vec![notification.into()]).await?;
/// // It is on disk. What became of it, if that is known within ten seconds:
/// if let Some(record) = service.wait(accepted[0].id, Duration::from_secs(10)).await? {
///     println!("{}", record.outcome);
/// }
/// service.stop(Duration::from_secs(20)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    outbox: Arc<dyn Outbox>,
    store: Arc<Store>,
    keys: Arc<KeyRing>,
    waiters: Arc<Waiters>,
    room: Arc<Notify>,
    access: RwLock<Arc<Access>>,
    apps: RwLock<BTreeMap<AppName, Arc<RunningApp>>>,
    /// Held while apps come and go, so that they do so one after another.
    changing: Mutex<()>,
    /// The apps that are paused by order, whether they run or not.
    paused: parking_lot::Mutex<BTreeMap<AppName, AppPause>>,
    /// The apps that the configuration file defined when it was last read.
    filed: parking_lot::Mutex<BTreeMap<AppName, AppDefinition>>,
    /// What is done from time to time, without being asked.
    housekeeping: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    /// By when the service stops; from then on nothing is accepted any more.
    stop_by: watch::Sender<Option<tokio::time::Instant>>,
    /// Held by callers who wait for the service's answer, so that they take back what has not left before the outbox closes.
    passing: tokio::sync::RwLock<()>,
    /// Nothing ends any more.
    stopped: CancellationToken,
    started: WallTime,
    refusals: Refusals,
    shares: Shares,
    webhooks: Webhooks,
}

/// An app, its engine, and what both sides share.
#[derive(Debug)]
struct RunningApp {
    name: AppName,
    standing: Arc<Standing>,
    wake: Arc<Notify>,
    mended: Arc<Notify>,
    announcer: Announcer,
    orders: watch::Sender<Order>,
    rate: RateLimit,
    current: RwLock<Current>,
    /// It was removed. Who still holds it may have stored something after everything that waited was ended.
    removed: AtomicBool,
    /// It was said that an expiration in the past was given.
    past_told: AtomicBool,
    /// What was said of its payloads.
    told: validation::Told,
    broadcasts: broadcast::Kept,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

/// What an app is at the moment.
#[derive(Debug, Clone)]
struct Current {
    app: Arc<App>,
    definition: AppDefinition,
    /// What the files that it names were when they were read.
    files: Vec<FileState>,
    origin: Origin,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("outbox", &self.0.outbox).finish_non_exhaustive()
    }
}

/// How often what is too old is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether the wall clock was set back.
const CLOCK_EVERY: Duration = Duration::from_secs(2);

/// By how much it has to go back to count as set.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// How often it is looked whether files that apps name have changed.
const FILES_EVERY: Duration = Duration::from_secs(15);

impl Service {
    /// Opens the outbox that the configuration names and starts an engine for each app.
    ///
    /// # Errors
    ///
    /// When the outbox cannot be opened, or an app of the configuration cannot be used.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let outbox = opening::open(config).await?;
        Self::start_with(config, outbox).await
    }

    /// The same with an outbox of one's own.
    ///
    /// # Errors
    ///
    /// When an app of the configuration cannot be used, or the outbox fails.
    pub async fn start_with(config: &Config, outbox: Arc<dyn Outbox>) -> Result<Self, StartError> {
        let webhooks = Webhooks::new(outbox.clone(), webhook::load_all(config.webhooks.clone()).await?);
        let service = Self(Arc::new(Inner {
            store: Arc::new(Store::new(outbox.clone())),
            outbox,
            keys: Arc::default(),
            waiters: Arc::default(),
            room: Arc::default(),
            access: RwLock::new(Arc::new(Access::new(&config.tokens))),
            apps: RwLock::default(),
            changing: Mutex::new(()),
            paused: parking_lot::Mutex::default(),
            filed: parking_lot::Mutex::default(),
            housekeeping: parking_lot::Mutex::default(),
            stop_by: watch::Sender::new(None),
            passing: tokio::sync::RwLock::default(),
            stopped: CancellationToken::new(),
            started: now(),
            refusals: Refusals::default(),
            shares: Shares::default(),
            webhooks,
        }));
        service.start_apps(config).await?;
        service.0.webhooks.start_left(|app| service.knows(app)).await?;
        service.start_housekeeping();
        Ok(service)
    }

    fn start_housekeeping(&self) {
        let inner = Arc::downgrade(&self.0);
        let looking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(FILES_EVERY).await;
                let Some(inner) = inner.upgrade() else { return };
                let service = Self(inner);
                service.look_at_files().await;
                service.0.webhooks.look_at_files(|| service.changes()).await;
            }
        });
        let store = self.0.store.clone();
        let watching = tokio::spawn(async move { store.watch().await });
        let outbox = self.0.outbox.clone();
        let inner = Arc::downgrade(&self.0);
        let sweeping = tokio::spawn(async move {
            loop {
                // A store that fails is asked again like one that has no more to do.
                while outbox.sweep(now()).await == Ok(true) {}
                // An engine that waits for a time has it from a clock that may have been set since.
                if let Some(inner) = inner.upgrade() {
                    Self(inner).wake_engines();
                }
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        });
        let inner = Arc::downgrade(&self.0);
        let comparing = tokio::spawn(async move {
            let mut before = clocks::both();
            loop {
                tokio::time::sleep(CLOCK_EVERY).await;
                let now = clocks::both();
                let by = clocks::set_back_by(before, now);
                if by >= CLOCK_STEP {
                    let Some(inner) = inner.upgrade() else { return };
                    // A store that fails is asked again.
                    if inner.outbox.clock_set_back(by, now.wall).await.is_err() {
                        continue;
                    }
                    Self(inner).wake_engines();
                }
                before = now;
            }
        });
        let tasks = [looking, watching, sweeping, comparing];
        self.0.housekeeping.lock().extend(tasks.into_iter().chain(bells::listen(&self.0)));
    }

    /// Has the engines look again what is due.
    fn wake_engines(&self) {
        let apps = self.0.apps.read();
        apps.values().for_each(|app| app.wake.notify_one());
    }

    fn app(&self, name: &AppName) -> Result<Arc<RunningApp>, UnknownApp> {
        let apps = self.0.apps.read();
        apps.get(name).cloned().ok_or(UnknownApp)
    }

    /// Looks at each app, in the order of their names.
    pub(crate) fn each_app(&self, mut look: impl FnMut(&AppName, &Arc<App>)) {
        for (name, running) in self.0.apps.read().iter() {
            look(name, &running.current.read().app);
        }
    }

    /// Whether there is an app of this name. Cheap, however often it is asked.
    #[must_use]
    pub fn knows(&self, app: &AppName) -> bool {
        self.app(app).is_ok()
    }

    /// Whether the service takes nothing any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stop_by.borrow().is_some()
    }

    /// Waits until something leaves the outbox, or the time is over. For callers that were told that it is full.
    pub async fn room(&self, limit: Duration) {
        // The time being over is an answer like the other.
        let _over = tokio::time::timeout(limit, self.0.room.notified()).await;
    }

    /// Waits for the outcome of a notification; `None` when there is none within `limit`, the notification is not known, or
    /// the service stops.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn wait(&self, id: NotificationId, limit: Duration) -> Result<Option<OutcomeRecord>, OutboxError> {
        Ok(self.wait_all(&[id], limit).await?.pop().flatten())
    }

    /// The same for many, in the order of the ids.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn wait_all(
        &self,
        ids: &[NotificationId],
        limit: Duration,
    ) -> Result<Vec<Option<OutcomeRecord>>, OutboxError> {
        let deadline = tokio::time::Instant::now() + limit;
        let _forgotten = Forget { waiters: &self.0.waiters, ids };
        let receivers: Vec<_> = ids.iter().map(|id| self.0.waiters.register(*id)).collect();
        let known = self.0.outbox.lookup(ids.to_vec()).await?;
        let mut records = Vec::with_capacity(ids.len());
        for (tracked, receiver) in known.into_iter().zip(receivers) {
            records.push(match tracked.map(|tracked| tracked.state) {
                None => None,
                Some(State::Settled(record)) => Some(*record),
                Some(State::Waiting { .. } | State::InFlight { .. }) => {
                    tokio::select! {
                        biased;
                        told = receiver => told.ok(),
                        () = tokio::time::sleep_until(deadline) => None,
                        () = self.0.stopped.cancelled() => None,
                    }
                }
            });
        }
        Ok(records)
    }

    /// Has these told of their outcomes as they come, also of those that are there already.
    ///
    /// # Errors
    ///
    /// When the outbox fails. They are told all the same, but for those that ended before this call.
    pub(crate) async fn listen(&self, listeners: Vec<(NotificationId, Arc<dyn Listener>)>) -> Result<(), OutboxError> {
        for (id, listener) in &listeners {
            self.0.waiters.listen(*id, listener.clone());
        }
        let known = self.0.outbox.lookup(listeners.iter().map(|(id, _)| *id).collect()).await?;
        for tracked in known.into_iter().flatten() {
            if let State::Settled(record) = tracked.state {
                self.0.waiters.tell(&record);
            }
        }
        Ok(())
    }

    /// Where a notification stands; `None` when it is not known, or was forgotten.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn lookup(&self, id: NotificationId) -> Result<Option<Tracked>, OutboxError> {
        Ok(self.0.outbox.lookup(vec![id]).await?.pop().flatten())
    }

    /// The outcomes of an app from behind a cursor on, as they come; without a cursor those that are still to come.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn outcomes(&self, app: &AppName, after: Option<Cursor>) -> Result<OutcomeStream, SubmitError> {
        let running = self.app(app)?;
        let changes = running.announcer.outcomes.subscribe();
        let after = match after {
            Some(after) => after,
            None => self.0.outbox.newest_outcome(app).await?,
        };
        // A cursor of somebody else's is refused now, and not in the middle of the stream.
        self.0.outbox.outcomes(app, &after, 0).await?;
        Ok(OutcomeStream::new(self.0.outbox.clone(), app.clone(), after, changes))
    }

    /// Device tokens on which the app is gone, found at `since` or later, behind a cursor; nothing is cleared by this.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn invalid_tokens(
        &self,
        app: &AppName,
        after: &Cursor,
        since: WallTime,
        limit: usize,
    ) -> Result<FeedbackPage, SubmitError> {
        self.app(app)?;
        Ok(self.0.outbox.gone(app, after, since, limit).await?)
    }

    /// Device tokens on which the app is gone and that this reader has not read yet, oldest first. Each reader has a
    /// place of its own: `pyapns` does not take from `bridge`. What came of it is cleared by
    /// [`feedback_read`](Self::feedback_read), once it is safely with the reader.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn feedback(&self, app: &AppName, reader: &str, limit: usize) -> Result<FeedbackPage, SubmitError> {
        self.app(app)?;
        Ok(self.0.outbox.unread(app, reader, limit).await?)
    }

    /// The reader has what stands up to this place.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn feedback_read(&self, app: &AppName, reader: &str, upto: &Cursor) -> Result<(), SubmitError> {
        self.app(app)?;
        Ok(self.0.outbox.mark_read(app, reader, upto).await?)
    }

    /// How much of an app waits and is in flight.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn counts(&self, app: &AppName) -> Result<Counts, OutboxError> {
        self.0.outbox.counts(app).await
    }

    /// How much of everything waits and is in flight.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn total(&self) -> Result<Counts, OutboxError> {
        self.0.outbox.total().await
    }

    /// How an app stands.
    ///
    /// # Errors
    ///
    /// When the app is not known.
    pub fn snapshot(&self, app: &AppName) -> Result<Snapshot, UnknownApp> {
        Ok(self.app(app)?.standing.snapshot())
    }

    /// The bridge did something for an app.
    pub(crate) fn note_bridge(&self, app: &AppName, note: impl FnOnce(&mut BridgeFigures)) {
        if let Ok(running) = self.app(app) {
            running.standing.note_bridge(note);
        }
    }

    /// The apps that cannot send until a person acts, and why.
    #[must_use]
    pub fn failing(&self) -> Vec<(AppName, String)> {
        let apps = self.0.apps.read();
        apps.values()
            .filter_map(|app| match app.standing.health() {
                Health::Failing { why } => Some((app.name.clone(), why)),
                Health::Untried | Health::Working | Health::NoConnection { .. } => None,
            })
            .collect()
    }

    /// How the outbox stands. It is asked now, by storing something.
    pub async fn store_health(&self) -> StoreHealth {
        self.0.store.ask().await
    }

    /// When the oldest notification of an app that waits was accepted.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn oldest_waiting(&self, app: &AppName) -> Result<Option<WallTime>, OutboxError> {
        self.0.outbox.oldest_waiting(app).await
    }

    /// The access tokens in force.
    #[must_use]
    pub fn access(&self) -> Arc<Access> {
        self.0.access.read().clone()
    }

    /// What its callers take up.
    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// What its interfaces refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// When this service started.
    #[must_use]
    pub fn started(&self) -> WallTime {
        self.0.started
    }

    /// Takes what changed in the configuration: access tokens, webhooks, and the apps whose definitions are not what they were.
    /// When something is wrong with any of it, all stays as it was.
    ///
    /// The data directory, the bounds of the outbox and the ports are read at the start only.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub async fn reload(&self, config: &Config) -> Result<(), ConfigError> {
        config.check()?;
        let webhooks = webhook::load_all(config.webhooks.clone()).await?;
        self.reload_apps(config.apps.clone()).await?;
        self.0.webhooks.replace(webhooks, &self.changes());
        *self.0.access.write() = Arc::new(Access::new(&config.tokens));
        Ok(())
    }

    /// Settles what is under way, within `limit`, and keeps the rest on disk. Nothing can be submitted afterwards.
    pub async fn stop(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        self.0.stop_by.send_replace(Some(deadline));
        // At once, so that all have the same time, also where an app is being removed.
        self.stop_engines(deadline);
        let _apps_stay = self.0.changing.lock().await;
        // Once more for those that came or changed meanwhile.
        self.stop_engines(deadline);
        // The time being over is an end like the other.
        drop(tokio::time::timeout_at(deadline, self.0.passing.write()).await);
        let apps = std::mem::take(&mut *self.0.apps.write());
        for app in apps.values() {
            let task = app.task.lock().take();
            if let Some(task) = task {
                // An engine that failed has nothing to settle.
                drop(task.await);
            }
            if let Ok(counts) = self.0.outbox.counts(&app.name).await
                && let Some(summary) = summary::of(&app.standing.snapshot(), counts)
            {
                tracing::info!("app {}: {summary}", app.name);
            }
        }
        self.0.webhooks.stop(deadline).await;
        self.0.stopped.cancel();
        for task in self.0.housekeeping.lock().drain(..) {
            task.abort();
        }
        // A store that is gone is closed.
        drop(self.0.outbox.close().await);
    }

    fn stop_engines(&self, deadline: tokio::time::Instant) {
        for app in self.0.apps.read().values() {
            app.orders.send_replace(Order::Stop { deadline });
        }
    }

    /// Waits until the service is told to stop, and says by when.
    async fn told_to_stop(&self) -> tokio::time::Instant {
        let mut stop_by = self.0.stop_by.subscribe();
        loop {
            let told = *stop_by.borrow_and_update();
            match told {
                Some(deadline) => return deadline,
                // The sender is there for as long as the service is.
                None => drop(stop_by.changed().await),
            }
        }
    }
}

/// Why a service could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The outbox cannot be opened.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
}

impl RunningApp {
    /// Says once that somebody gives expirations in the past.
    fn note_expiration(&self, notification: &Notification, at: WallTime) {
        let Expiration::At(time) = notification.expiration() else { return };
        if time <= at && !self.past_told.swap(true, Ordering::Relaxed) {
            let (name, seconds) = (&self.name, time.as_secs());
            tracing::warn!(
                "app {name}: an expiration in the past was given ({seconds} seconds since 1970); what has one is tried \
                 once. A caller gives spans where times are meant, or its clock is wrong"
            );
        }
    }

    fn set_origin(&self, origin: Origin) {
        self.current.write().origin = origin;
    }

    fn now(&self) -> Current {
        self.current.read().clone()
    }
}

/// Forgets, also when nobody waits any more.
struct Forget<'a> {
    waiters: &'a Waiters,
    ids: &'a [NotificationId],
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiters.prune(self.ids);
    }
}

/// Carries something out to its end, also when nobody waits for it any more. A panic in it, or a runtime that ends, counts
/// as a store that is closed.
async fn in_a_task<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<OutboxError> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|_| Err(OutboxError::Closed.into()))
}
