//! The service with its ports: what `apns serve` runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apns_credentials::disclosure::shown;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError};
use crate::interface::{Active, Bound, ListeningPort, Start, Starting};
use crate::outbox::Outbox;
use crate::server_files::ServerFiles;
use crate::service::{Service, StartError};
use crate::service_manager::{self, State};
use crate::signals::{Signal, Signals};

/// A running daemon.
///
/// ```no_run
/// use apnsd::{Daemon, config::Config};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let daemon = Daemon::start(Config::load("apnsd.toml".as_ref())?).await?;
/// println!("the JSON API is at {:?}", daemon.address("api.listen"));
/// daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Daemon {
    service: Service,
    ports: Vec<ListeningPort>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    active: Vec<Box<dyn Active>>,
    server_files: Arc<ServerFiles>,
    watching_files: JoinHandle<()>,
    stop_within: Duration,
}

/// Why a daemon could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The service could not be started.
    #[error(transparent)]
    Service(#[from] StartError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port cannot be listened at.
    #[error("{field}: {address} cannot be listened at: {source}")]
    Port {
        /// The field that names it.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How long answers may take that are given when everything has been settled.
const GRACE: Duration = Duration::from_secs(2);

impl Daemon {
    /// Listens, and starts the service. Ports are taken first, so that nothing is sent by a daemon that nobody can reach.
    ///
    /// # Errors
    ///
    /// [`DaemonError`].
    pub async fn start(config: Config) -> Result<Self, DaemonError> {
        Self::start_on(config, None).await
    }

    /// The same with an outbox of one's own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(config: Config, outbox: Arc<dyn Outbox>) -> Result<Self, DaemonError> {
        Self::start_on(config, Some(outbox)).await
    }

    async fn start_on(config: Config, outbox: Option<Arc<dyn Outbox>>) -> Result<Self, DaemonError> {
        config.check()?;
        let (mut ports, mut certificates, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for Bound { ports: taken, certificate, start } in config.bind()? {
            ports.extend(taken);
            certificates.extend(certificate);
            starts.extend(start);
        }
        let server_files = Arc::new(ServerFiles::new(certificates));
        server_files.show(server_files.read(&config)?);
        let service = match outbox {
            Some(outbox) => Service::start_with(&config, outbox).await?,
            None => Service::start(&config).await?,
        };
        let (stop, stopping) = watch::channel(false);
        let (stop_within, tasks, active) = (config.stop_within, Vec::new(), Vec::new());
        let grace = stop_within + GRACE;
        let mut starting = Starting { service: &service, config: &config, stopping, grace, tasks, active };
        starts.into_iter().for_each(|start: Start| start(&mut starting));
        let Starting { tasks, active, .. } = starting;
        let watching_files = tokio::spawn(server_files.clone().watch());
        Ok(Self { service, ports, stop, tasks, active, server_files, watching_files, stop_within })
    }

    /// The service.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The ports that it listens at.
    #[must_use]
    pub fn ports(&self) -> &[ListeningPort] {
        &self.ports
    }

    /// Where it listens for this field of the configuration, such as `api.listen`.
    #[must_use]
    pub fn address(&self, field: &str) -> Option<SocketAddr> {
        self.ports.iter().find(|port| port.field == field).map(|port| port.address)
    }

    /// Takes what changed in the configuration, as [`Service::reload`] does, the certificates of the ports, and whom the
    /// bridge lets in.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field; everything is what it was then.
    pub async fn reload(&self, config: &Config) -> Result<(), ConfigError> {
        // Ports stay open also where the file has nothing of them any more.
        if let Some(open) = self.ports.iter().find(|port| config.tokens.is_empty() && port.needs_tokens()) {
            let problem = "its port is open to others until the daemon is started anew, so access tokens are needed";
            return Err(ConfigError::at(open.field, problem));
        }
        let (files, told) = (self.server_files.clone(), config.clone());
        let read = tokio::task::spawn_blocking(move || files.read(&told)).await;
        let certificates = read.unwrap_or_else(|_| Err(ConfigError::whole("the service is stopping")))?;
        let changes = self.active.iter().map(|interface| interface.reload(config)).collect::<Result<Vec<_>, _>>()?;
        self.service.reload(config).await?;
        changes.into_iter().for_each(|change| change());
        self.server_files.show(certificates);
        Ok(())
    }

    /// Closes the ports, settles what is under way within the configured time, and keeps the rest on disk.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.watching_files.abort();
        // What clients believe accepted is stored before nothing is taken any more.
        for interface in &self.active {
            interface.stored().await;
        }
        let ports = async {
            for task in self.tasks {
                // A port that failed has ended.
                drop(task.await);
            }
        };
        // Streams of outcomes end with their apps, and requests that wait with their outcomes.
        tokio::join!(ports, self.service.stop(self.stop_within));
    }

    /// Runs until the process is told to stop (SIGTERM, SIGINT); told so again, it ends without settling anything more.
    /// SIGHUP has the file read again; what is wrong with it is said, and the configuration in force stays.
    ///
    /// A service manager that wants to know is told when the daemon is ready, alive, and stopping.
    pub async fn run(self, file: Option<PathBuf>, mut signals: Signals) {
        for address in service_manager::left() {
            tracing::warn!("the service manager opened {address}, where no interface of the configuration listens");
        }
        service_manager::tell(State::Ready);
        let alive = tokio::spawn(tell_alive(self.service.clone()));
        self.told_to_stop(file.as_deref(), &mut signals).await;
        alive.abort();
        service_manager::tell(State::Stopping);
        tracing::info!("stopping: what is under way is settled, the rest stays on disk");
        tokio::select! {
            () = self.stop() => {}
            () = signals.told_to_stop() => tracing::warn!("ending at once: what is on its way is in doubt"),
        }
    }
}

/// Tells the service manager again and again that the daemon is alive, if it wants to know: that tasks run and that the
/// outbox answers, whatever it says. A disk that is full is no reason to begin anew.
async fn tell_alive(service: Service) {
    let Some(every) = service_manager::watchdog() else { return };
    loop {
        drop(service.store_health().await);
        service_manager::tell(State::Alive);
        tokio::time::sleep(every).await;
    }
}

impl Daemon {
    /// Waits for the order to stop. A file is read beside the signals: taking apps away has to wait for what is under way,
    /// and an order to stop must not.
    async fn told_to_stop(&self, file: Option<&Path>, signals: &mut Signals) {
        let mut rereading: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
        let mut once_more = false;
        loop {
            tokio::select! {
                signal = signals.next() => match (signal, file) {
                    (Signal::Stop, _) => return,
                    (Signal::Reread, Some(_)) if rereading.is_some() => once_more = true,
                    (Signal::Reread, Some(file)) => rereading = Some(Box::pin(self.reread(file))),
                    (Signal::Reread, None) => rereading = Some(Box::pin(async {
                        self.service.read_files_again().await;
                        self.server_files.look_now().await;
                    })),
                },
                () = async { if let Some(work) = &mut rereading { work.await } }, if rereading.is_some() => {
                    let again = std::mem::take(&mut once_more);
                    rereading = file.filter(|_| again).map(|file| Box::pin(self.reread(file)) as _);
                }
            }
        }
    }

    /// Reads the file again.
    async fn reread(&self, file: &Path) {
        let path = file.to_owned();
        let config = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let result = match config {
            Ok(Ok(config)) => self.reload(&config).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConfigError::whole("the service is stopping")),
        };
        let name = shown(file);
        match result {
            Ok(()) => tracing::info!("{name} was read again, and is in force"),
            Err(error) => tracing::warn!("{name} was read again and cannot be used, nothing has changed: {error}"),
        }
    }
}
