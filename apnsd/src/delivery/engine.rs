//! The engine of one app: out of the outbox, through the client, and back into the outbox.

mod client_run;
mod side;
mod sorting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::{Environment, Now};
use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use self::side::{Shared, Side};
use super::clocks::now;
use super::{Announcer, Health, KeyRing, Router, Standing};
use crate::AppName;
use crate::config::App;
use crate::outbox::{Lane, Outbox, OutboxError, Routes, Share};

/// What an engine is to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Send, as this says.
    Run(Arc<App>),
    /// Settle what is under way, by this time, and end. What is left stays in the outbox.
    Stop {
        /// By when.
        deadline: Instant,
    },
}

/// Everything that the engine of one app works with.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: AppName,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) announcer: Announcer,
    /// Something was accepted for this app.
    pub(crate) wake: Arc<Notify>,
    /// The credential may have been mended.
    pub(crate) mended: Arc<Notify>,
    /// The store failed.
    pub(crate) store_doubt: Arc<Notify>,
    /// When it was made.
    pub(crate) begun: Now,
    /// Where device tokens belong, as far as that was learned.
    pub(crate) router: Mutex<Router>,
}

/// The wait before a store that failed is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether something waits for an environment that the app does not have.
const STRANDED_LOOK: Duration = Duration::from_secs(60);
/// The same where something does.
const STRANDED_AGAIN: Duration = Duration::from_secs(5);
/// How long giving a lane back may take.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);

pub(super) type Asked<'a, T> = Option<Pin<Box<dyn Future<Output = Result<T, OutboxError>> + Send + 'a>>>;
impl Engine {
    /// Runs until it is told to stop.
    pub(crate) async fn run(self, mut orders: watch::Receiver<Order>) {
        while let Some(lane) = self.hold(&mut orders).await {
            if self.recover(&*lane, &mut orders).await {
                self.deliver(&lane, &mut orders).await;
                // That is for its next holder to say.
                self.standing.set_stranded(None);
            }
            // One that cannot be given back now is the next holder's when this process's time with it is over.
            drop(timeout(RELEASED_WITHIN, lane.release()).await);
        }
    }

    /// Waits until this process is the one that delivers the app; `None` when it is told to stop.
    async fn hold(&self, orders: &mut watch::Receiver<Order>) -> Option<Arc<dyn Lane>> {
        let mut holding = self.outbox.clone().hold(&self.name);
        loop {
            let order = orders.borrow_and_update().clone();
            let Order::Run(_) = order else { return None };
            tokio::select! {
                held = &mut holding => match held {
                    Ok(lane) => return Some(lane),
                    Err(OutboxError::Closed) => return None,
                    Err(_) => {
                        self.store_doubt.notify_one();
                        sleep(STORE_RETRY).await;
                        holding = self.outbox.clone().hold(&self.name);
                    }
                },
                changed = orders.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    orders.mark_changed();
                }
            }
        }
    }

    /// Delivers until it is told to stop, or the lane has to be left.
    async fn deliver(&self, lane: &Arc<dyn Lane>, orders: &mut watch::Receiver<Order>) {
        let mut left = lane.left();
        // An earlier holder of the lane may have left some.
        self.router.lock().held_back = true;
        loop {
            if left.as_mut().now_or_never().is_some() || orders.has_changed().is_err() {
                return;
            }
            let order = orders.borrow_and_update().clone();
            let Order::Run(app) = order else { return };
            self.router.lock().set_bound(app.wrong_probes);
            let shared = Shared::new(&app);
            let sides: Vec<Side<'_>> =
                app.destinations.iter().map(|to| Side { engine: self, lane, app: &app, to, shared: &shared }).collect();
            let runs = join_all(sides.iter().map(|side| side.run(orders.clone())));
            tokio::select! {
                _ended = runs => {}
                never = self.pass_on(&shared) => match never {},
                never = self.look_for_stranded(&**lane, &app, &shared) => match never {},
            }
        }
    }

    /// Tells each side what the engine is told.
    async fn pass_on(&self, shared: &Shared) -> std::convert::Infallible {
        loop {
            tokio::select! {
                () = self.wake.notified() => shared.wake(),
                () = self.mended.notified() => shared.mended(),
            }
        }
    }

    /// Looks whether something waits for an environment that the app does not have, and has its health say so.
    async fn look_for_stranded(&self, lane: &dyn Lane, app: &App, shared: &Shared) -> std::convert::Infallible {
        let both = [Environment::Production, Environment::Sandbox];
        let Some(absent) = both.into_iter().find(|environment| app.to(*environment).is_none()) else {
            self.standing.set_stranded(None);
            return std::future::pending().await;
        };
        loop {
            let share = Share { routes: Routes::only_for(absent), limit: 0 };
            let (stranded, pause) = match lane.claim_from(vec![share], now()).await {
                Ok(looked) if looked.waits == Routes::default() => (None, STRANDED_LOOK),
                Ok(_) => (Some(absent), STRANDED_AGAIN),
                Err(_) => {
                    self.store_doubt.notify_one();
                    (self.standing.stranded(), STRANDED_AGAIN)
                }
            };
            if self.standing.set_stranded(stranded)
                && let Some(why) = self.standing.health().why()
            {
                tracing::error!("app {}: {why}", self.name);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.stranded.notified(), if stranded.is_none() => {}
            }
        }
    }

    /// Takes care of what an earlier holder left in flight. Says whether to go on.
    async fn recover(&self, lane: &dyn Lane, orders: &mut watch::Receiver<Order>) -> bool {
        let mut left = lane.left();
        loop {
            let order = orders.borrow_and_update().clone();
            let Order::Run(app) = order else { return false };
            match lane.recover(app.loss, now()).await {
                Ok(recovered) => {
                    self.announcer.publish(&recovered.reported);
                    return true;
                }
                // That is not the app's fault, and its health does not speak of it.
                Err(_) => self.store_doubt.notify_one(),
            }
            tokio::select! {
                () = sleep(STORE_RETRY) => {}
                _left = &mut left => return false,
                changed = orders.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// Notes how the app stands with an environment, and says so when that is news.
    fn note(&self, app: &App, environment: Environment, health: Health) {
        let line = match &health {
            Health::Failing { why } => format!("it cannot send until somebody acts: {why}"),
            Health::NoConnection { why } => format!("no connection: {why}"),
            Health::Untried | Health::Working => "it sends".to_owned(),
        };
        let news = match &health {
            Health::NoConnection { why } => self.standing.no_connection(environment, why),
            Health::Untried | Health::Working | Health::Failing { .. } => self.standing.set_health(environment, health),
        };
        if news {
            let name = self.name.as_str();
            let place = if app.has_both() { format!(" ({})", environment.word()) } else { String::new() };
            match self.standing.health_in(environment) {
                Health::Untried | Health::Working => tracing::info!("app {name}{place}: {line}"),
                Health::NoConnection { .. } => tracing::warn!("app {name}{place}: {line}"),
                Health::Failing { .. } => tracing::error!("app {name}{place}: {line}"),
            }
        }
    }
}

/// Waits for what was asked of the store, and forgets it then.
pub(super) async fn asked<T>(question: &mut Asked<'_, T>) -> Result<T, OutboxError> {
    match question {
        Some(answer) => {
            let answer = answer.await;
            *question = None;
            answer
        }
        None => std::future::pending().await,
    }
}
