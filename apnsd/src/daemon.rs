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

use crate::bridge::{Bridge, Ports as BridgePorts};
use crate::config::{Config, ConfigError, PyapnsConfig};
use crate::delivery::Snapshot;
use crate::http;
use crate::listen::{Port, ServerCertificate};
use crate::pyapns::Pyapns;
use crate::server_files::ServerFiles;
use crate::service::{Service, StartError};
use crate::signals::{Signal, Signals};

/// A running daemon.
///
/// ```no_run
/// use apnsd::{Daemon, config::Config};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let daemon = Daemon::start(Config::load("apnsd.toml".as_ref())?).await?;
/// println!("the JSON API is at {:?}", daemon.addresses().api);
/// daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Daemon {
    service: Service,
    addresses: Addresses,
    stop: watch::Sender<bool>,
    ports: Vec<JoinHandle<()>>,
    bridge: Option<Bridge>,
    certificate: Option<Arc<ServerCertificate>>,
    server_files: Arc<ServerFiles>,
    watching_files: JoinHandle<()>,
    stop_within: Duration,
}

/// Where the interfaces listen; `None` for those that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Addresses {
    /// The JSON API.
    pub api: Option<SocketAddr>,
    /// The JSON API with TLS.
    pub api_tls: Option<SocketAddr>,
    /// The XML-RPC interface of pyapns.
    pub pyapns: Option<SocketAddr>,
    /// The REST interface of pyapns.
    pub pyapns_rest: Option<SocketAddr>,
    /// The bridge's push gateway.
    pub bridge: Option<SocketAddr>,
    /// The bridge's feedback service.
    pub bridge_feedback: Option<SocketAddr>,
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
    pub async fn start(mut config: Config) -> Result<Self, DaemonError> {
        if let Some(bridge) = &mut config.bridge {
            bridge.beside_tokens(!config.tokens.is_empty());
        }
        config.check()?;
        let limits = config.api.limits;
        let mut api_ports = Vec::new();
        let mut addresses = Addresses::default();
        if let Some(address) = config.api.listen {
            let port = bound("api.listen", address, Port::bind(address, limits).await)?;
            addresses.api = port.address().ok();
            api_ports.push(port);
        }
        let mut certificate = None;
        if let Some(tls) = &config.api.tls {
            let shared = certificate.insert(ServerCertificate::new(ServerCertificate::read(tls)?));
            let port = Port::bind_tls(tls.listen, shared.clone(), limits).await;
            let port = bound("api.tls.listen", tls.listen, port)?;
            addresses.api_tls = port.address().ok();
            api_ports.push(port);
        }
        let settings = config.pyapns.clone();
        let mut rpc_port = None;
        if let Some(address) = settings.as_ref().and_then(|settings| settings.listen) {
            let port = rpc_port.insert(bound("pyapns.listen", address, Port::bind(address, limits).await)?);
            addresses.pyapns = port.address().ok();
        }
        let mut rest_port = None;
        if let Some(address) = settings.as_ref().and_then(|settings| settings.rest_listen) {
            let port = rest_port.insert(bound("pyapns.rest_listen", address, Port::bind(address, limits).await)?);
            addresses.pyapns_rest = port.address().ok();
        }
        let bridge_ports = match &config.bridge {
            Some(bridge) => {
                let ports = BridgePorts::bind(bridge)?;
                (addresses.bridge, addresses.bridge_feedback) = ports.addresses();
                let certificate = Bridge::certificate(bridge, &config.data)?;
                Some((ports, bridge.clone(), certificate))
            }
            None => None,
        };
        let service = Service::start(&config).await?;
        let (stop, stopping) = watch::channel(false);
        let bridge = bridge_ports
            .map(|(ports, bridge, certificate)| Bridge::start(ports, bridge, certificate, service.clone(), &stopping));
        let refusals = service.refusals().clone();
        let bounded = |router| http::shares::bounded(router, service.clone(), limits);
        let router = refusals.watch(bounded(http::router(service.clone(), limits)), "api");
        let mut served: Vec<_> = api_ports.into_iter().map(|port| (port, router.clone())).collect();
        if let Some(settings) = settings {
            let pyapns = Pyapns::new(service.clone(), limits, settings);
            served.extend(rpc_port.map(|port| (port, refusals.watch(bounded(pyapns.rpc()), "xmlrpc"))));
            served.extend(rest_port.map(|port| (port, refusals.watch(bounded(pyapns.rest()), "rest"))));
        }
        let ports = served
            .into_iter()
            .map(|(port, router)| tokio::spawn(port.serve(router, stopping.clone(), config.stop_within + GRACE)))
            .collect();
        let server_files = Arc::<ServerFiles>::default();
        server_files.follow(&config, certificate.as_ref(), bridge.as_ref().map(Bridge::server_certificate));
        let watching_files = tokio::spawn(server_files.clone().watch());
        let stop_within = config.stop_within;
        Ok(Self { service, addresses, stop, ports, bridge, certificate, server_files, watching_files, stop_within })
    }

    /// The service.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Takes what changed in the configuration, as [`Service::reload`] does, the certificate of the port with TLS, and
    /// whom the bridge lets in.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field; everything is what it was then.
    pub async fn reload(&self, config: &Config) -> Result<(), ConfigError> {
        let config = &self.at_its_ports(config);
        // This port stays open also where the file has nothing of it any more.
        if config.tokens.is_empty() && self.addresses.api_tls.is_some_and(|address| !address.ip().is_loopback()) {
            let problem = "its port is open to others until the daemon is started anew, so access tokens are needed";
            return Err(ConfigError::at("api.tls.listen", problem));
        }
        let renewed = match (&self.certificate, config.api.tls.clone()) {
            (Some(certificate), Some(tls)) => {
                let read = tokio::task::spawn_blocking(move || ServerCertificate::read(&tls));
                let read = read.await.unwrap_or_else(|_| Err(ConfigError::whole("the service is stopping")))?;
                Some((certificate, read))
            }
            (None, _) | (_, None) => None,
        };
        let bridge = match (&self.bridge, config.bridge.clone()) {
            (Some(running), Some(bridge)) => {
                let server = bridge.server.clone();
                let read = tokio::task::spawn_blocking(move || {
                    server
                        .map(|(certificate, key)| ServerCertificate::read_files("bridge", &certificate, &key))
                        .transpose()
                });
                let read = read.await.unwrap_or_else(|_| Err(ConfigError::whole("the service is stopping")))?;
                Some((running, bridge, read))
            }
            (None, _) | (_, None) => None,
        };
        self.service.reload(config).await?;
        if let Some((running, bridge, read)) = bridge {
            running.admit(&bridge);
            if let Some(read) = read {
                running.server_certificate().replace(read);
            }
        }
        if let Some((certificate, read)) = renewed {
            certificate.replace(read);
        }
        let shown = self.bridge.as_ref().map(Bridge::server_certificate);
        self.server_files.follow(config, self.certificate.as_ref(), shown);
        Ok(())
    }

    /// The configuration with the ports that there are. They stay as they were started, and whether others can reach them
    /// decides what is needed.
    fn at_its_ports(&self, config: &Config) -> Config {
        let mut config = config.clone();
        let Addresses { api, api_tls, pyapns, pyapns_rest, bridge, bridge_feedback } = self.addresses;
        config.api.listen = api;
        if let (Some(tls), Some(address)) = (&mut config.api.tls, api_tls) {
            tls.listen = address;
        }
        let (listen, rest_listen) = (pyapns, pyapns_rest);
        match &mut config.pyapns {
            Some(pyapns) => (pyapns.listen, pyapns.rest_listen) = (listen, rest_listen),
            None => config.pyapns = Some(PyapnsConfig::new(listen, rest_listen)),
        }
        let tokens = !config.tokens.is_empty();
        if let (Some(config), Some(gateway), Some(feedback)) = (&mut config.bridge, bridge, bridge_feedback) {
            config.beside_tokens(tokens);
            (config.listen, config.feedback_listen) = (gateway, feedback);
        }
        config
    }

    /// Closes the ports, settles what is under way within the configured time, and keeps the rest on disk.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.watching_files.abort();
        let service = self.service.clone();
        // What clients of the bridge believe accepted is stored before nothing is taken any more.
        if let Some(bridge) = &self.bridge {
            bridge.stored().await;
            self.tell_of_bridge();
        }
        let ports = async {
            for port in self.ports {
                // A port that failed has ended.
                drop(port.await);
            }
            if let Some(bridge) = self.bridge {
                bridge.ended().await;
            }
        };
        // Streams of outcomes end with their apps, and requests that wait with their outcomes.
        tokio::join!(ports, service.stop(self.stop_within));
    }

    /// Runs until the process is told to stop (SIGTERM, SIGINT); told so again, it ends without settling anything more.
    /// SIGHUP has the file read again; what is wrong with it is said, and the configuration in force stays.
    pub async fn run(self, file: Option<PathBuf>, mut signals: Signals) {
        self.told_to_stop(file.as_deref(), &mut signals).await;
        tracing::info!("stopping: what is under way is settled, the rest stays on disk");
        tokio::select! {
            () = self.stop() => {}
            () = signals.told_to_stop() => tracing::warn!("ending at once: what is on its way is in doubt"),
        }
    }
}

impl Daemon {
    /// What the bridge did, for whoever reads the log.
    fn tell_of_bridge(&self) {
        for app in self.service.list() {
            let Ok(Snapshot { bridge, .. }) = self.service.snapshot(&app.name) else { continue };
            if bridge.recognised > 0 || !bridge.responses.is_empty() {
                let responses: u64 = bridge.responses.values().sum();
                tracing::info!(
                    "bridge: app {}: {responses} error responses, and {} recognised that were sent again",
                    app.name,
                    bridge.recognised
                );
            }
        }
    }

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

impl From<crate::bridge::NoPort> for DaemonError {
    fn from(no: crate::bridge::NoPort) -> Self {
        Self::Port { field: no.field, address: no.address, source: no.source }
    }
}

fn bound(field: &'static str, address: SocketAddr, port: io::Result<Port>) -> Result<Port, DaemonError> {
    port.map_err(|source| DaemonError::Port { field, address, source })
}
