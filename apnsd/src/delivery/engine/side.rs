//! One environment of an app: its client, and what of the app's notifications it takes.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::{DeviceToken, Environment};
use apns_tokio::{BuildError, IdentityError};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::client_run::ClientRun;
use super::{Engine, Order};
use crate::config::{App, Destination, EnvironmentChoice};
use crate::delivery::Health;
use crate::delivery::client::start;
use crate::delivery::judge::is_found_out;
use crate::delivery::pace::Pace;
use crate::delivery::router::{Router, Step, TokenKey, other};
use crate::outbox::{Lane, Route, Routes, Share};

/// The wait before a client that cannot be started, for what its settings are, is tried anew.
const RESTART: Duration = Duration::from_secs(30);
/// The same where only the clock may be wrong, by which a certificate is not valid now.
const CLOCK_LOOK: Duration = Duration::from_secs(5);
/// One in so many that are claimed may be a guess.
const GUESSES: usize = 4;

/// What both environments of an app share while it is what it is.
#[derive(Debug)]
pub(super) struct Shared {
    /// How fast the app may send.
    pub(super) pace: Mutex<Pace>,
    signals: [Signals; 2],
    /// Something waits for an environment that the app does not have.
    pub(super) stranded: Notify,
}

/// What one side is told.
#[derive(Debug, Default)]
struct Signals {
    wake: Notify,
    mended: Notify,
}

impl Shared {
    pub(super) fn new(app: &App) -> Self {
        let pace = Mutex::new(Pace::new(app.send_rate, std::time::Instant::now()));
        Self { pace, signals: Default::default(), stranded: Notify::new() }
    }

    /// Something may be claimed.
    pub(super) fn wake(&self) {
        self.signals.iter().for_each(|signals| signals.wake.notify_one());
    }

    /// The credential may have been mended.
    pub(super) fn mended(&self) {
        self.signals.iter().for_each(|signals| signals.mended.notify_one());
    }

    const fn of(&self, environment: Environment) -> &Signals {
        match environment {
            Environment::Production => &self.signals[0],
            Environment::Sandbox => &self.signals[1],
        }
    }
}

/// An app in one environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) engine: &'a Engine,
    pub(super) lane: &'a Arc<dyn Lane>,
    pub(super) app: &'a App,
    pub(super) to: &'a Destination,
    pub(super) shared: &'a Shared,
}

impl<'a> Side<'a> {
    /// Delivers until there is another order, or the lane has to be left.
    pub(super) async fn run(&self, mut orders: watch::Receiver<Order>) {
        let mut left = self.lane.left();
        loop {
            let error = match start(self.app, self.to, &self.engine.keys) {
                Ok(client) => {
                    let has_to_leave = ClientRun::new(*self, client).run(&mut orders).await;
                    self.router().give_up(self.to.environment);
                    if has_to_leave || orders.has_changed().unwrap_or(true) {
                        return;
                    }
                    continue;
                }
                Err(error) => error,
            };
            let pause = match &error {
                BuildError::Identity(IdentityError::Expired { .. } | IdentityError::NotYetValid { .. }) => CLOCK_LOOK,
                _ => RESTART,
            };
            self.note(Health::Failing { why: error.to_string() });
            tokio::select! {
                () = sleep(pause) => {}
                () = self.mended() => {}
                _left = &mut left => return,
                _changed = orders.changed() => return,
            }
        }
    }

    /// Something may be claimed.
    pub(super) async fn woken(&self) {
        self.shared.of(self.to.environment).wake.notified().await;
    }

    /// The credential may have been mended.
    pub(super) async fn mended(&self) {
        self.shared.of(self.to.environment).mended.notified().await;
    }

    /// Has the other environment look what it may claim.
    pub(super) fn wake_other(&self) {
        self.shared.of(other(self.to.environment)).wake.notify_one();
    }

    /// Notes how the app stands here.
    pub(super) fn note(&self, health: Health) {
        let before = self.app.has_both().then(|| self.is_usable());
        self.engine.note(self.app, self.to.environment, health);
        // What is to be found out is found out by the one that can.
        if before.is_some_and(|usable| usable != self.is_usable()) {
            self.wake_other();
        }
    }

    /// No connection can be had.
    pub(super) fn note_trouble(&self, why: &dyn std::fmt::Display) {
        self.note(Health::NoConnection { why: why.to_string() });
    }

    fn is_usable(&self) -> bool {
        self.engine.standing.is_usable(self.to.environment)
    }

    pub(super) fn router(&self) -> MutexGuard<'a, Router> {
        self.engine.router.lock()
    }

    /// What goes here and nowhere else. What is for an environment that the app does not have any more waits until it has it.
    fn own_routes(&self) -> Routes {
        let here = self.to.environment;
        let routes = Routes::only_for(here);
        if self.app.environment.environment() == Some(here) { routes.with(Route::Default) } else { routes }
    }

    /// What waits until it is found out where it goes, and may be found out at once.
    fn open_routes(&self) -> Routes {
        let routes = Routes::from([Route::Auto]);
        if self.app.environment == EnvironmentChoice::Auto { routes.with(Route::Default) } else { routes }
    }

    /// Whether it is this side that finds out: the likelier environment, unless nothing can be sent there.
    fn finds_out(&self, router: &Router) -> bool {
        if !self.app.has_both() {
            return true;
        }
        let first = router.likelier();
        first == self.to.environment || !self.engine.standing.is_usable(first)
    }

    /// What is ended as an attempt in vain where this environment cannot be reached.
    pub(super) fn routes_in_vain(&self) -> Routes {
        let own = self.own_routes();
        if self.app.has_both() && self.engine.standing.is_usable(other(self.to.environment)) {
            return own;
        }
        own.and(self.open_routes()).with(Route::Probe)
    }

    /// What is claimed where there is room for so many.
    pub(super) fn shares(&self, room: usize) -> Vec<Share> {
        let own = self.own_routes();
        let mut router = self.router();
        if !self.finds_out(&router) {
            return vec![Share { routes: own, limit: room }];
        }
        let routes = own.and(self.open_routes());
        let guesses = if router.held_back { router.guesses(std::time::Instant::now()) } else { 0 };
        if guesses == 0 {
            return vec![Share { routes, limit: room }];
        }
        let guesses = guesses.min(if room >= GUESSES { room / GUESSES } else { router.turn(room) });
        let probes = Share { routes: [Route::Probe].into(), limit: guesses };
        vec![probes, Share { routes, limit: room - guesses }]
    }

    /// Something waits for a guess still.
    pub(super) fn guesses_wait(&self) {
        let mut router = self.router();
        router.held_back = true;
        // Whose turn it has become meanwhile may have asked for none of it.
        if !self.finds_out(&router) {
            self.wake_other();
        }
    }

    /// What to do with a notification that was claimed.
    pub(super) fn step(&self, token: &DeviceToken, route: Route) -> (Option<TokenKey>, Step) {
        if !is_found_out(self.app, route) {
            return (None, Step::Send { guess: false });
        }
        let token = TokenKey::of(token);
        let step = self.router().step(token, route, self.to.environment, std::time::Instant::now());
        (Some(token), step)
    }

    /// When the next guess may be made, where some wait for it and nothing but time has to pass.
    pub(super) fn next_guess(&self) -> Option<std::time::Instant> {
        let mut router = self.router();
        let waits = router.held_back && router.guesses(std::time::Instant::now()) == 0;
        self.engine.standing.note_probes(|probes| probes.waits = waits);
        if waits && self.finds_out(&router) { router.next_guess() } else { None }
    }
}
