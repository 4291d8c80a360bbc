//! Apps come, change and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apns_proto::WallTime;
use futures_util::future::{join_all, try_join_all};
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::{Current, RunningApp, Service, StartError, UnknownApp, in_a_task};
use crate::AppName;
use crate::config::{App, AppDefinition, Config, ConfigError, EnvironmentChoice, FileState, FilesToldTo, Transport};
use crate::delivery::{Announcer, Credential, Engine, Health, Order, Router, Standing, clocks, now};
use crate::outbox::{AppPause, OutboxError, StoredApp};
use crate::rate::RateLimit;

/// Who defined an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration file.
    File,
    /// A caller, while the service was running. It is kept in the outbox.
    Provisioned,
}

impl Origin {
    /// A stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Provisioned => "provisioned",
        }
    }
}

/// What may be told of an app. There is no key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppInfo {
    /// Its name.
    pub name: AppName,
    /// Which environment notifications go to that name none.
    pub environment: EnvironmentChoice,
    /// What it has for each environment that it sends to.
    pub environments: Vec<EnvironmentInfo>,
    /// By which protocol.
    pub transport: Transport,
    /// Where it connects, by default.
    pub endpoint: String,
    /// The URL of the proxy that it goes through, without user and password.
    pub proxy: Option<String>,
    /// The topic of notifications that name none.
    pub topic: Option<String>,
    /// How it proves who it is, by default.
    pub credential: Credential,
    /// How long one notification may wait for a connection in one go.
    pub patience: Duration,
    /// Who defined it.
    pub origin: Origin,
    /// How it stands with the service: the worst of its environments.
    pub health: Health,
    /// Somebody ordered that nothing is sent for now.
    pub pause: Option<AppPause>,
}

/// What may be told of an app in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentInfo {
    /// The environment.
    pub environment: apns_tokio::Environment,
    /// Where it connects.
    pub endpoint: String,
    /// The URL of the proxy that it goes through, without user and password.
    pub proxy: Option<String>,
    /// How it proves who it is.
    pub credential: Credential,
    /// How it stands with the service there.
    pub health: Health,
}

/// Why an app was not provisioned, replaced or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The definition cannot be used.
    #[error(transparent)]
    Definition(#[from] ConfigError),
    /// There is no app of this name.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    /// It is defined in the configuration file, and can only be removed there.
    #[error("this app is defined in the configuration file: remove it there and have the file read again")]
    Filed,
    /// The outbox fails.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// An app with its files read.
pub(super) struct Resolved {
    pub(super) definition: AppDefinition,
    pub(super) app: App,
    /// What the files were just before.
    pub(super) files: Vec<FileState>,
}

/// Reads the files of a definition on a thread that may block.
async fn resolve(definition: AppDefinition, told: FilesToldTo) -> Result<Resolved, ConfigError> {
    let resolved = tokio::task::spawn_blocking(move || {
        let files = definition.files().map(FileState::of).collect();
        let app = definition.resolve(told)?;
        Ok(Resolved { definition, app, files })
    });
    resolved.await.unwrap_or_else(|_| Err(ConfigError::whole("the service is stopping")))
}

impl Service {
    pub(super) async fn start_apps(&self, config: &Config) -> Result<(), StartError> {
        let _one_after_another = self.0.changing.lock().await;
        let mut apps = BTreeMap::new();
        for (name, definition) in &config.apps {
            let resolved = resolve(definition.clone(), FilesToldTo::Owner)
                .await
                .map_err(|error| error.within(&format!("apps.{name}")))?;
            apps.insert(name.clone(), (resolved, Origin::File));
        }
        for StoredApp { name, definition } in self.0.outbox.kept_apps().await? {
            // What was provisioned once may not be usable any more, when its file is gone: others are not to suffer.
            let Ok(definition) = AppDefinition::from_json(definition.as_bytes()) else { continue };
            match resolve(definition, FilesToldTo::Owner).await {
                Ok(resolved) => drop(apps.insert(name, (resolved, Origin::Provisioned))),
                Err(error) => tracing::warn!("app {name} cannot be used as it was provisioned: {error}"),
            }
        }
        *self.0.paused.lock() = self.0.outbox.pauses().await?.into_iter().collect();
        try_join_all(apps.keys().map(|name| self.0.webhooks.attend(name))).await?;
        for (name, (resolved, origin)) in apps {
            self.install(&name, resolved, origin);
        }
        *self.0.filed.lock() = config.apps.clone();
        Ok(())
    }

    /// Takes the definitions and pauses that the store has, where another daemon may have changed them.
    pub(super) async fn take_registry(&self) -> Result<(), OutboxError> {
        let _one_after_another = self.0.changing.lock().await;
        let (kept, pauses) = (self.0.outbox.kept_apps().await?, self.0.outbox.pauses().await?);
        if self.is_stopping() {
            return Ok(());
        }
        *self.0.paused.lock() = pauses.into_iter().collect();
        let is_known = |app: &StoredApp| {
            let current = self.app(&app.name).map(|running| running.now());
            let text = current.map(|current| (current.origin, serde_json::to_string(&current.definition)));
            text.is_ok_and(|(origin, text)| {
                origin == Origin::Provisioned && text.is_ok_and(|text| *text == *app.definition)
            })
        };
        for app in kept.iter().filter(|app| !is_known(app)) {
            let Ok(definition) = AppDefinition::from_json(app.definition.as_bytes()) else { continue };
            match resolve(definition, FilesToldTo::Owner).await {
                Ok(resolved) => self.install(&app.name, resolved, Origin::Provisioned),
                Err(error) => tracing::warn!("app {} cannot be used as it was provisioned: {error}", app.name),
            }
        }
        let provisioned = |running: &RunningApp| running.now().origin == Origin::Provisioned;
        let running: Vec<_> = self.0.apps.read().values().cloned().collect();
        for running in running {
            let name = &running.name;
            if provisioned(&running) && !kept.iter().any(|app| app.name == *name) {
                match self.filed(name) {
                    // The daemon that removed it ends what waits for it. It may now be in a file that this process has not read.
                    None => drop(self.uninstall(name).await),
                    Some(definition) => match resolve(definition, FilesToldTo::Owner).await {
                        Ok(resolved) => self.install(name, resolved, Origin::File),
                        Err(error) => tracing::warn!("app {name} cannot be used as its file defines it: {error}"),
                    },
                }
            }
            let pause = self.0.paused.lock().get(name).cloned();
            if running.standing.pause() != pause {
                running.standing.set_pause(pause);
                running.wake.notify_one();
            }
        }
        Ok(())
    }

    /// Starts an app, or replaces what it is.
    fn install(&self, name: &AppName, resolved: Resolved, origin: Origin) {
        let Resolved { definition, app, files } = resolved;
        let app = Arc::new(app);
        let current = Current { app: app.clone(), definition, files, origin };
        if let Ok(running) = self.app(name) {
            *running.current.write() = current;
            running.rate.set(app.rate, Instant::now());
            running.standing.begin(app.destinations.iter().map(|to| to.environment));
            running.orders.send_replace(Order::Run(app));
            return;
        }
        let (orders, inbox) = watch::channel(Order::Run(app.clone()));
        let standing = Arc::new(Standing::new());
        standing.begin(app.destinations.iter().map(|to| to.environment));
        standing.set_pause(self.0.paused.lock().get(name).cloned());
        let router = Router::new(app.wrong_probes);
        let announcer = Announcer {
            standing: standing.clone(),
            waiters: self.0.waiters.clone(),
            outcomes: watch::Sender::new(0),
            room: self.0.room.clone(),
        };
        let running = Arc::new(RunningApp {
            name: name.clone(),
            standing,
            wake: Arc::new(Notify::new()),
            mended: Arc::new(Notify::new()),
            announcer,
            orders,
            rate: RateLimit::new(app.rate, Instant::now()),
            current: RwLock::new(current),
            removed: AtomicBool::new(false),
            past_told: AtomicBool::new(false),
            told: super::validation::Told::default(),
            broadcasts: super::broadcast::Kept::default(),
            task: parking_lot::Mutex::new(None),
        });
        let engine = Engine {
            begun: clocks::both(),
            name: name.clone(),
            outbox: self.0.outbox.clone(),
            keys: self.0.keys.clone(),
            standing: running.standing.clone(),
            announcer: running.announcer.clone(),
            wake: running.wake.clone(),
            mended: running.mended.clone(),
            store_doubt: self.0.store.doubt.clone(),
            router: parking_lot::Mutex::new(router),
        };
        let task = tokio::spawn(engine.run(inbox));
        *running.task.lock() = Some(task);
        self.0.webhooks.start(name, &running.announcer.outcomes.subscribe());
        self.0.apps.write().insert(name.clone(), running);
    }

    /// Takes an app out, and waits until its engine has ended.
    async fn uninstall(&self, name: &AppName) -> Option<Arc<RunningApp>> {
        let running = self.0.apps.write().remove(name)?;
        running.removed.store(true, Ordering::SeqCst);
        let deadline = tokio::time::Instant::now() + REMOVED_WITHIN;
        running.orders.send_replace(Order::Stop { deadline });
        let task = running.task.lock().take();
        if let Some(mut task) = task {
            // An engine that failed has ended.
            tokio::select! {
                _ended = &mut task => {}
                stop = self.told_to_stop() => {
                    running.orders.send_replace(Order::Stop { deadline: deadline.min(stop) });
                    drop(task.await);
                }
            }
        }
        Some(running)
    }

    /// Provisions an app, or replaces the one of this name; what waits for it is sent as the new definition says. The
    /// definition is kept on disk, keys included, and holds until it is replaced, removed, or changed in the
    /// configuration file.
    ///
    /// # Errors
    ///
    /// [`ProvisionError::Definition`] names the field that cannot be used; the app is what it was.
    pub async fn provision(&self, name: &AppName, definition: AppDefinition) -> Result<AppInfo, ProvisionError> {
        let resolved = resolve(definition, FilesToldTo::Caller).await?;
        let (service, name) = (self.clone(), name.clone());
        in_a_task(async move {
            let _one_after_another = service.0.changing.lock().await;
            let running = service.app(&name);
            let known = running.as_ref().is_ok_and(|running| running.now().definition == resolved.definition);
            // The text may be the same while the files that it names are others.
            let same = known && running.as_ref().is_ok_and(|running| *running.now().app == resolved.app);
            if !known || running.as_ref().is_ok_and(|running| running.now().origin == Origin::File) {
                let text = serde_json::to_string(&resolved.definition).map_err(ConfigError::whole)?;
                service.0.webhooks.attend(&name).await?;
                service.0.outbox.keep_app(StoredApp { name: name.clone(), definition: text.into() }).await?;
            }
            match running {
                // A client that provisions at each of its starts shall not cost a connection each time.
                Ok(running) if same => {
                    running.set_origin(Origin::Provisioned);
                    // It may have been mended at the service.
                    running.mended.notify_one();
                }
                Ok(_) | Err(UnknownApp) => service.install(&name, resolved, Origin::Provisioned),
            }
            Ok(service.info(&name)?)
        })
        .await
    }

    /// Removes an app. What is under way is settled; what waits for it ends as not sent.
    ///
    /// # Errors
    ///
    /// [`ProvisionError::Filed`] for one that the configuration file defines.
    pub async fn remove(&self, name: &AppName) -> Result<(), ProvisionError> {
        let (service, name) = (self.clone(), name.clone());
        // A caller that gives up must not leave an engine that ends beside one that begins.
        in_a_task(async move {
            let _one_after_another = service.0.changing.lock().await;
            service.app(&name)?;
            if service.0.filed.lock().contains_key(&name) {
                return Err(ProvisionError::Filed);
            }
            service.0.outbox.forget_app(&name).await?;
            service.take_out(&name).await;
            Ok(())
        })
        .await
    }

    /// Ends an app and everything that waits for it. What cannot be settled now is settled when the store works again.
    async fn take_out(&self, name: &AppName) {
        let Some(running) = self.uninstall(name).await else { return };
        // One that comes back under this name is another.
        let was_paused = self.0.paused.lock().remove(name).is_some();
        if was_paused && let Err(error) = self.0.outbox.set_pause(name, None).await {
            tracing::warn!("app {name} was removed, and is still noted as paused: {error}");
        }
        self.abandon_or_later(name).await;
        // Who watches its outcomes has seen those of the last ones now.
        running.announcer.outcomes.send_modify(|outcomes| *outcomes += 1);
    }

    /// Settles what is left of an app that was removed. Where it came back, its engine sends it.
    pub(super) async fn settle_removed(&self, name: &AppName) {
        let _one_after_another = self.0.changing.lock().await;
        match self.app(name) {
            Ok(running) => running.wake.notify_one(),
            Err(UnknownApp) => self.abandon_or_later(name).await,
        }
    }

    async fn abandon_or_later(&self, name: &AppName) {
        let Err(error) = self.abandon(name).await else { return };
        tracing::warn!(
            "app {name} was removed, and what is left of it cannot be settled yet: {error}; this is tried again"
        );
        let (service, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(STORE_RETRY).await;
                let _one_after_another = service.0.changing.lock().await;
                if service.knows(&name) {
                    return;
                }
                match service.abandon(&name).await {
                    Ok(()) | Err(OutboxError::Closed) => return,
                    Err(_) => {}
                }
            }
        });
    }

    async fn abandon(&self, name: &AppName) -> Result<(), OutboxError> {
        loop {
            // Another daemon may have provisioned it again.
            if self.0.outbox.kept_apps().await?.iter().any(|app| app.name == *name) {
                return Ok(());
            }
            let settled = self.0.outbox.abandon(name, "its app was removed", now()).await?;
            if settled.is_empty() {
                break;
            }
            for (_, record) in &settled {
                self.0.waiters.tell(record);
            }
        }
        self.0.room.notify_waiters();
        Ok(())
    }

    pub(super) async fn reload_apps(&self, apps: BTreeMap<AppName, AppDefinition>) -> Result<(), ConfigError> {
        let service = self.clone();
        let reloaded = in_a_task(async move { service.reload_all(apps).await.map_err(ProvisionError::from) });
        reloaded.await.map_err(|error| match error {
            ProvisionError::Definition(error) => error,
            other => ConfigError::whole(other),
        })
    }

    async fn reload_all(&self, apps: BTreeMap<AppName, AppDefinition>) -> Result<(), ConfigError> {
        let _one_after_another = self.0.changing.lock().await;
        let before = self.0.filed.lock().clone();
        let mut changed = Vec::new();
        for (name, definition) in &apps {
            // Also where the text is the same: the files that it names may have changed.
            let resolved = resolve(definition.clone(), FilesToldTo::Owner)
                .await
                .map_err(|error| error.within(&format!("apps.{name}")))?;
            let running = self.app(name).map(|running| running.now());
            let overridden = running.as_ref().is_ok_and(|current| current.origin == Origin::Provisioned);
            let same_text = before.get(name) == Some(&resolved.definition);
            let same = running.is_ok_and(|current| same_text && (overridden || *current.app == resolved.app));
            if !same {
                changed.push((name.clone(), resolved));
            }
        }
        // All that can fail comes first: where it does, no app is another one than before.
        for (name, _) in &changed {
            self.0.webhooks.attend(name).await.map_err(ConfigError::whole)?;
            self.0.outbox.forget_app(name).await.map_err(ConfigError::whole)?;
        }
        for (name, resolved) in changed {
            self.install(&name, resolved, Origin::File);
        }
        self.renew(true).await;
        let gone = before.keys().filter(|name| {
            !apps.contains_key(*name) && self.app(name).is_ok_and(|running| running.now().origin == Origin::File)
        });
        // Together, because each may take as long as what is under way takes.
        join_all(gone.map(|name| self.take_out(name))).await;
        *self.0.filed.lock() = apps;
        Ok(())
    }

    /// Looks at the files that apps name, and takes those that changed since they were read.
    pub(super) async fn look_at_files(&self) {
        let _one_after_another = self.0.changing.lock().await;
        self.renew(false).await;
    }

    /// Reads all files that apps name again.
    pub(crate) async fn read_files_again(&self) {
        let _one_after_another = self.0.changing.lock().await;
        self.renew(true).await;
        self.0.webhooks.mended();
        tracing::info!("the files of all apps were read again");
    }

    /// Reads the files of apps again, of all or of those whose files changed, and has those that are others than before
    /// send with them. One that cannot be used changes nothing: its other half may still be on its way.
    async fn renew(&self, all: bool) {
        let apps: Vec<_> = {
            let apps = self.0.apps.read();
            apps.values().map(|running| (running.name.clone(), running.now())).collect()
        };
        for (name, Current { app, definition, files, origin }) in apps {
            let looked_at = definition.clone();
            let look = tokio::task::spawn_blocking(move || looked_at.files().map(FileState::of).collect::<Vec<_>>());
            let Ok(found) = look.await else { return };
            if !all && found == files || self.is_stopping() {
                continue;
            }
            match resolve(definition, FilesToldTo::Owner).await {
                Ok(resolved) if resolved.app == *app => {
                    self.saw(&name, resolved.files);
                    // Somebody believes the credential to be right, which may have been mended elsewhere: it is tried at once.
                    self.mended(&name);
                }
                Ok(resolved) => {
                    tracing::info!("app {name}: its files changed, and it sends with the new ones");
                    self.install(&name, resolved, origin);
                }
                Err(error) if found == files => {
                    tracing::debug!("app {name}: {error}");
                    self.mended(&name);
                }
                Err(error) => {
                    tracing::warn!("app {name}: its files changed and cannot be used, so the old ones stay: {error}");
                    self.saw(&name, found);
                }
            }
        }
    }

    /// What is refused may be mended, and is tried at once.
    fn mended(&self, name: &AppName) {
        if let Ok(running) = self.app(name) {
            running.mended.notify_one();
        }
    }

    fn saw(&self, name: &AppName, files: Vec<FileState>) {
        if let Ok(running) = self.app(name) {
            running.current.write().files = files;
        }
    }

    /// What the configuration file says of an app, where it does.
    pub(crate) fn filed(&self, name: &AppName) -> Option<AppDefinition> {
        self.0.filed.lock().get(name).cloned()
    }

    /// What may be told of an app.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn info(&self, name: &AppName) -> Result<AppInfo, UnknownApp> {
        let running = self.app(name)?;
        let Current { app, origin, .. } = running.now();
        Ok(AppInfo {
            name: name.clone(),
            environment: app.environment,
            environments: app
                .destinations
                .iter()
                .map(|to| EnvironmentInfo {
                    environment: to.environment,
                    endpoint: to.endpoint.to_string(),
                    proxy: to.way.proxy.as_ref().map(ToString::to_string),
                    credential: Credential::of(to),
                    health: running.standing.health_in(to.environment),
                })
                .collect(),
            transport: app.transport,
            endpoint: app.main().endpoint.to_string(),
            proxy: app.main().way.proxy.as_ref().map(ToString::to_string),
            topic: app.topic.as_ref().map(|topic| topic.as_str().to_owned()),
            credential: Credential::of(app.main()),
            patience: app.patience,
            origin,
            health: running.standing.health(),
            pause: running.standing.pause(),
        })
    }

    /// All apps, by name.
    #[must_use]
    pub fn list(&self) -> Vec<AppInfo> {
        let names: Vec<AppName> = self.0.apps.read().keys().cloned().collect();
        names.iter().filter_map(|name| self.info(name).ok()).collect()
    }
}

impl AppInfo {
    /// When the first of its credentials ends, if that is within thirty days or over.
    #[must_use]
    pub fn expires_soon(&self, now: WallTime) -> Option<WallTime> {
        self.environments.iter().filter_map(|one| one.credential.expires_soon(now)).min()
    }
}

/// How long what is under way may take when an app is removed.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// The wait before a store that fails is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
