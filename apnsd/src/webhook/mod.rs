//! Webhooks: outcomes are told to others by POST, in batches, in order for each app, once at least.
//!
//! A [`Worker`](worker::Worker) tells the outcomes of one app to one webhook. It has no memory of its own: its place is in the
//! store, and what it sends is read from there. So it holds up nobody, and a receiver may be away for as long as outcomes are
//! kept.

mod batch;
mod config;
mod failure;
mod network;
mod schedule;
mod secret;
mod sender;
mod standing;
mod target;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use config::{WebhookConfig, WebhookFilter};
pub(crate) use config::{WebhookSection, read};
pub use failure::WebhookFailure;
pub use network::{Network, NetworkError};
pub use standing::{WebhookFigures, WebhookState};
pub use target::{Target, TargetError};

use self::batch::test_event;
use self::config::Webhook;
use self::standing::Standing;
use self::worker::Worker;
use crate::AppName;
use crate::config::{ConfigError, FileState};
use crate::delivery::now;
use crate::outbox::{Outbox, OutboxError};

/// How long the end of a worker is waited for that is to make way, before it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// The webhooks of a service.
#[derive(Debug)]
pub(crate) struct Webhooks {
    outbox: Arc<dyn Outbox>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hooks: BTreeMap<String, Loaded>,
    workers: BTreeMap<(String, AppName), Running>,
    stopping: bool,
}

/// A webhook whose files were read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    config: WebhookConfig,
    hook: Arc<Webhook>,
    /// What the files were just before.
    files: Vec<FileState>,
}

#[derive(Debug)]
struct Running {
    hook: Arc<Webhook>,
    /// As the worker has it: the next one is to see the end of the app as well.
    changes: watch::Receiver<u64>,
    standing: Arc<Standing>,
    mended: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is told of a webhook and one app.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookInfo {
    /// Its name.
    pub name: String,
    /// Where it is, without a query.
    pub url: String,
    /// The app whose outcomes it is told.
    pub app: AppName,
    /// How it stands.
    pub state: WebhookState,
    /// What this process did for it.
    pub figures: WebhookFigures,
}

impl WebhookInfo {
    /// The name under which the store keeps its place.
    pub(crate) fn reader(&self) -> String {
        config::reader(&self.name)
    }
}

/// Reads the files of a webhook. Blocks for as long as the file system takes.
fn load(config: WebhookConfig) -> Result<Loaded, ConfigError> {
    let files = config.files().map(FileState::of).collect();
    let hook = Arc::new(config.resolve()?);
    Ok(Loaded { config, hook, files })
}

fn at(index: usize, error: ConfigError) -> ConfigError {
    error.within(&format!("webhook[{index}]"))
}

/// What is wrong with the files of webhooks. Blocks for as long as the file system takes.
pub(crate) fn check_files(configs: &[WebhookConfig]) -> Vec<ConfigError> {
    let problems = configs.iter().enumerate();
    problems.filter_map(|(index, config)| config.resolve().err().map(|error| at(index, error))).collect()
}

/// Reads the files of webhooks on a thread that may block.
pub(crate) async fn load_all(configs: Vec<WebhookConfig>) -> Result<Vec<Loaded>, ConfigError> {
    let loaded = tokio::task::spawn_blocking(move || {
        configs.into_iter().enumerate().map(|(index, config)| load(config).map_err(|error| at(index, error))).collect()
    });
    loaded.await.unwrap_or_else(|_| Err(ConfigError::whole("the service is stopping")))
}

impl Webhooks {
    pub(crate) fn new(outbox: Arc<dyn Outbox>, hooks: Vec<Loaded>) -> Self {
        let hooks = hooks.into_iter().map(|hook| (hook.config.name.clone(), hook)).collect();
        Self { outbox, state: Mutex::new(State { hooks, ..State::default() }) }
    }

    fn hooks(&self) -> Vec<Arc<Webhook>> {
        self.state.lock().hooks.values().map(|loaded| loaded.hook.clone()).collect()
    }

    /// Gives an app its place at each webhook before anything of it can end.
    pub(crate) async fn attend(&self, app: &AppName) -> Result<(), OutboxError> {
        let hooks = self.hooks();
        let noted = hooks.iter().filter(|hook| hook.takes(app)).map(|hook| {
            let reader = hook.reader();
            async move { self.outbox.begin_reading(app, &reader, hook.from, now()).await }
        });
        // Together, so that they share a sync.
        try_join_all(noted).await.map(drop)
    }

    /// Tells the outcomes of an app from now on. `changes` counts how often some were added; it ends with the app.
    pub(crate) fn start(&self, app: &AppName, changes: &watch::Receiver<u64>) {
        let mut state = self.state.lock();
        let hooks: Vec<_> = state.hooks.values().map(|loaded| loaded.hook.clone()).collect();
        hooks.into_iter().for_each(|hook| self.start_one(&mut state, hook, app, changes.clone()));
    }

    /// Goes on with what was not told of apps that are not there any more.
    pub(crate) async fn start_left(&self, known: impl Fn(&AppName) -> bool) -> Result<(), OutboxError> {
        if self.state.lock().hooks.is_empty() {
            return Ok(());
        }
        for (app, reader) in self.outbox.readers().await?.into_iter().filter(|(app, _)| !known(app)) {
            let mut state = self.state.lock();
            let hook = state.hooks.values().map(|loaded| loaded.hook.clone()).find(|hook| hook.reader() == reader);
            if let Some(hook) = hook {
                // Of an app that is not there, nothing is added but what ends it.
                let (_, ended) = watch::channel(0);
                self.start_one(&mut state, hook, &app, ended);
            }
        }
        Ok(())
    }

    fn start_one(&self, state: &mut State, hook: Arc<Webhook>, app: &AppName, changes: watch::Receiver<u64>) {
        let key = (hook.name.clone(), app.clone());
        let before = state.workers.remove(&key);
        if !hook.takes(app) || state.stopping {
            if let Some(before) = before {
                tokio::spawn(end(before, GRACE));
            }
            return;
        }
        let standing = before.as_ref().map(|running| running.standing.clone()).unwrap_or_default();
        let (stop, stopping) = watch::channel(false);
        let mended = Arc::new(Notify::new());
        let worker = Worker {
            outbox: self.outbox.clone(),
            hook: hook.clone(),
            app: app.clone(),
            standing: standing.clone(),
            changes: changes.clone(),
            mended: mended.clone(),
            stopping,
        };
        let task = tokio::spawn(async move {
            // One at a time.
            if let Some(before) = before {
                end(before, GRACE).await;
            }
            worker.run().await;
        });
        state.workers.insert(key, Running { hook, changes, standing, mended, stop, task });
    }

    /// Has a webhook as it is now told the outcomes of `apps`, which run, and of those that are gone and have some left. What
    /// is the same goes on, and its receiver is tried at once.
    fn go_on(&self, state: &mut State, hook: &Arc<Webhook>, apps: &[(AppName, watch::Receiver<u64>)]) {
        let is_left =
            |app: &AppName, running: &Running| !running.task.is_finished() && apps.iter().all(|(one, _)| one != app);
        let of_hook = state.workers.iter().filter(|((name, _), _)| *name == hook.name);
        let left: Vec<_> = of_hook
            .filter(|((_, app), running)| is_left(app, running))
            .map(|((_, app), running)| (app.clone(), running.changes.clone()))
            .collect();
        for (app, changes) in apps.iter().chain(&left) {
            let running = state.workers.get(&(hook.name.clone(), app.clone()));
            match running.filter(|running| Arc::ptr_eq(&running.hook, hook) && !running.task.is_finished()) {
                Some(running) => running.mended.notify_one(),
                None => self.start_one(state, hook.clone(), app, changes.clone()),
            }
        }
    }

    /// Takes other webhooks in the place of those that there are. What is the same goes on, and a receiver that failed is tried
    /// at once. `apps` are those that run.
    pub(crate) fn replace(&self, hooks: Vec<Loaded>, apps: &[(AppName, watch::Receiver<u64>)]) {
        let mut state = self.state.lock();
        let kept = |mut loaded: Loaded| {
            let before = state.hooks.get(&loaded.config.name);
            if let Some(before) = before.filter(|one| one.config == loaded.config && one.files == loaded.files) {
                loaded.hook = before.hook.clone();
            }
            (loaded.config.name.clone(), loaded)
        };
        let hooks: BTreeMap<_, _> = hooks.into_iter().map(kept).collect();
        let gone: Vec<_> = state.workers.keys().filter(|(name, _)| !hooks.contains_key(name)).cloned().collect();
        for key in gone {
            if let Some(running) = state.workers.remove(&key) {
                tokio::spawn(end(running, GRACE));
            }
        }
        state.hooks = hooks;
        let hooks: Vec<_> = state.hooks.values().map(|loaded| loaded.hook.clone()).collect();
        hooks.iter().for_each(|hook| self.go_on(&mut state, hook, apps));
    }

    /// Looks at the files that webhooks name, and takes those that changed since they were read.
    pub(crate) async fn look_at_files(&self, apps: impl Fn() -> Vec<(AppName, watch::Receiver<u64>)>) {
        let loaded: Vec<Loaded> = self.state.lock().hooks.values().cloned().collect();
        let look = tokio::task::spawn_blocking(move || {
            let changed = loaded.into_iter().filter_map(|mut loaded| {
                let found: Vec<_> = loaded.config.files().map(FileState::of).collect();
                if found == loaded.files {
                    return None;
                }
                let read = load(loaded.config.clone());
                loaded.files = found;
                Some((loaded, read))
            });
            changed.collect::<Vec<_>>()
        });
        for (seen, read) in look.await.unwrap_or_default() {
            let name = seen.config.name.clone();
            let changed = match read {
                Ok(read) => {
                    tracing::info!("webhook {name}: its files changed, and it is signed with the new ones");
                    read
                }
                Err(error) => {
                    tracing::warn!(
                        "webhook {name}: its files changed and cannot be used, so the old ones stay: {error}"
                    );
                    seen
                }
            };
            let mut state = self.state.lock();
            // It may have been replaced meanwhile.
            let Some(loaded) = state.hooks.get_mut(&name).filter(|loaded| loaded.config == changed.config) else {
                continue;
            };
            let other = !Arc::ptr_eq(&loaded.hook, &changed.hook);
            *loaded = changed.clone();
            if other {
                self.go_on(&mut state, &changed.hook, &apps());
            }
        }
    }

    /// What was refused may be mended, and is tried at once.
    pub(crate) fn mended(&self) {
        self.state.lock().workers.values().for_each(|running| running.mended.notify_one());
    }

    /// Sends an event that says that it is a test. `None` where there is no webhook of this name.
    pub(crate) async fn test(&self, name: &str) -> Option<Result<u16, WebhookFailure>> {
        let hook = self.state.lock().hooks.get(name)?.hook.clone();
        let answered = hook.sender.post(&mut None, &test_event(&hook, now())).await;
        if answered.is_ok() {
            self.mended();
        }
        Some(answered)
    }

    /// The webhooks with each of their apps.
    pub(crate) fn list(&self) -> Vec<WebhookInfo> {
        let state = self.state.lock();
        let told = state.workers.iter().filter_map(|((name, app), running)| {
            let hook = &state.hooks.get(name)?.hook;
            // One that has told the last outcome of an app that is gone.
            let ended = running.task.is_finished();
            let (state, figures) = running.standing.snapshot();
            (!ended).then(|| WebhookInfo {
                name: name.clone(),
                url: hook.sender.shown(),
                app: app.clone(),
                state,
                figures,
            })
        });
        told.collect()
    }

    /// The names and addresses of all webhooks.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        self.state.lock().hooks.iter().map(|(name, loaded)| (name.clone(), loaded.hook.sender.shown())).collect()
    }

    /// Finishes what is under way soon, and by then; the rest stays in the store.
    pub(crate) async fn stop(&self, deadline: Instant) {
        let running = {
            let mut state = self.state.lock();
            state.stopping = true;
            std::mem::take(&mut state.workers)
        };
        let limit = deadline.saturating_duration_since(Instant::now()).min(GRACE);
        join_all(running.into_values().map(|running| end(running, limit))).await;
    }
}

/// Tells a worker to end, and ends it where that takes too long: what it was at is told again by the next one.
async fn end(running: Running, within: Duration) {
    running.stop.send_replace(true);
    let mut task = running.task;
    if tokio::time::timeout(within, &mut task).await.is_err() {
        task.abort();
        // Whether it ended by itself at the last moment says nothing.
        drop(task.await);
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::{DeviceToken, Notification, Payload, WallTime};
    use tempfile::TempDir;

    use super::*;
    use crate::config::Config;
    use crate::outbox::sqlite::SqliteOutbox;
    use crate::outbox::{Bounds, NewEntry, ReadFrom, Route};

    const READER: &str = "webhook:crm";

    /// An outbox with an outcome of an app that is gone, which a webhook is to be told.
    struct Left {
        folder: TempDir,
        outbox: Arc<SqliteOutbox>,
        app: AppName,
    }

    impl Left {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let outbox = Arc::new(SqliteOutbox::open(folder.path(), Bounds::default()).unwrap());
            let app: AppName = "shop".parse().unwrap();
            outbox.begin_reading(&app, READER, ReadFrom::Newest, now()).await.unwrap();
            let token = DeviceToken::from_bytes([7; 32]).unwrap();
            let entry = NewEntry {
                notification: Notification::new(token, Payload::alert("Tea is ready")),
                idempotency_key: None,
                digest: None,
                tag: None,
                at: now(),
                send_at: None,
                route: Route::Default,
            };
            outbox.accept(&app, vec![entry]).await.unwrap();
            assert_eq!(outbox.abandon(&app, "it is gone", now()).await.unwrap().len(), 1);
            let left = Self { folder, outbox, app };
            left.write("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
            left
        }

        fn write(&self, secret: &str) {
            std::fs::write(self.folder.path().join("secret"), secret).unwrap();
        }

        /// The webhook at an address that nobody allowed: it fails until somebody mends it.
        async fn hooks(&self, path: &str) -> Vec<Loaded> {
            let table = format!("name = \"crm\"\nurl = \"http://127.0.0.1:1/{path}\"\nsecret_files = [\"secret\"]");
            let config = Config::parse(&format!("[[webhook]]\n{table}"), self.folder.path()).unwrap();
            load_all(config.webhooks).await.unwrap()
        }

        async fn start(&self) -> Webhooks {
            let hooks = Webhooks::new(self.outbox.clone(), self.hooks("a").await);
            hooks.start_left(|_| false).await.unwrap();
            hooks
        }

        async fn stop(self, hooks: Webhooks) {
            assert!(hooks.state.lock().workers.values().all(|running| !running.task.is_finished()));
            hooks.stop(Instant::now()).await;
            self.outbox.close().await.unwrap();
        }
    }

    /// A worker of an app that is gone has nobody who starts it anew but what replaces the webhook.
    #[tokio::test]
    async fn a_worker_of_an_app_that_is_gone_has_the_webhook_as_it_is_now() {
        let left = Left::new().await;
        let hooks = left.start().await;
        let of_worker = || hooks.state.lock().workers[&("crm".to_owned(), left.app.clone())].hook.clone();
        let is_now = || Arc::ptr_eq(&of_worker(), &hooks.hooks()[0]);
        let first = of_worker();
        left.write("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n");
        hooks.look_at_files(Vec::new).await;
        let second = of_worker();
        assert!(!Arc::ptr_eq(&first, &second) && is_now(), "its files changed");
        hooks.replace(left.hooks("b").await, &[]);
        let third = of_worker();
        assert!(!Arc::ptr_eq(&second, &third) && is_now(), "its table changed");
        hooks.replace(left.hooks("b").await, &[]);
        assert!(Arc::ptr_eq(&third, &of_worker()), "what is the same goes on");
        left.stop(hooks).await;
    }

    /// However long its receiver fails, a webhook is there, and its place is kept.
    #[tokio::test(start_paused = true)]
    async fn the_place_of_a_webhook_that_fails_is_not_forgotten() {
        let left = Left::new().await;
        let hooks = left.start().await;
        while !matches!(hooks.list()[0].state, WebhookState::Failing { .. }) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // As if it had been failing for that long.
        let long_ago = WallTime::from_secs(now().as_secs() - 200 * 24 * 60 * 60);
        left.outbox.begin_reading(&left.app, READER, ReadFrom::Newest, long_ago).await.unwrap();
        let (commits, begun) = (left.outbox.commits(), std::time::Instant::now());
        while left.outbox.commits() == commits {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is noted");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        left.outbox.sweep(now()).await.unwrap();
        assert_eq!(left.outbox.readers().await.unwrap(), [(left.app.clone(), READER.to_owned())]);
        left.stop(hooks).await;
    }
}
