//! What the daemon knows of its interfaces: each is a table of the configuration that takes ports and answers there.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError};
use crate::daemon::DaemonError;
use crate::http::shares::{Counted, bounded};
use crate::listen::{CertificateFiles, Port, ServerCertificate};
use crate::service::Service;

/// The interfaces: the table of each in the configuration, and the type of that. Nothing else knows how many there are: a
/// new one is its module and a line here.
macro_rules! interfaces {
    ($for_all:ident!) => {
        $for_all! {
            /// The JSON API, with the status page and the figures for Prometheus.
            api: crate::http::ApiConfig,
            /// Apple's provider API, as Apple has it.
            provider_api: crate::provider_api::ProviderApiConfig,
            /// The interfaces of pyapns.
            pyapns: crate::pyapns::PyapnsConfig,
            /// The bridge from the binary protocol; `None` for not at all.
            bridge: Option<crate::bridge::BridgeConfig>,
        }
    };
}
pub(crate) use interfaces;

/// The configuration of an interface.
pub(crate) trait Interface: Default {
    /// Its table in the file.
    type Table: DeserializeOwned;

    /// Reads the table, if there is one. Relative paths begin at `base`.
    fn read(table: Option<Self::Table>, base: &Path) -> Result<Self, ConfigError>;

    /// Checks what concerns more than one field. Without access tokens, callers have to be on this machine.
    fn check(&self, tokens: bool) -> Result<(), ConfigError>;

    /// The files of the certificate that its ports show, if they show one.
    fn certificate(&self) -> Option<CertificateFiles> {
        None
    }

    /// Takes the ports. Nobody is answered there yet.
    fn bind(&self, config: &Config) -> Result<Bound, DaemonError>;
}

/// A port that an interface listens at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListeningPort {
    /// The field of the configuration that names it, such as `api.listen`.
    pub field: &'static str,
    /// What answers there, in words.
    pub what: &'static str,
    /// `http` or `https`; `None` where another protocol is spoken.
    pub scheme: Option<&'static str>,
    /// Where it is.
    pub address: SocketAddr,
}

impl ListeningPort {
    /// Whether only access tokens keep others from calling here. Who speaks another protocol shows a certificate.
    pub(crate) fn needs_tokens(&self) -> bool {
        self.scheme.is_some() && !self.address.ip().is_loopback()
    }
}

/// What ports with TLS show, with the table of the configuration that names the files.
pub(crate) type Shown = (&'static str, Arc<ServerCertificate>);

/// An interface whose ports are taken.
#[derive(Default)]
pub(crate) struct Bound {
    pub(crate) ports: Vec<ListeningPort>,
    pub(crate) certificate: Option<Shown>,
    /// Answers from now on.
    pub(crate) start: Option<Start>,
}

/// Takes the ports of an interface that listens without TLS, with it, or both; and reads what it shows there.
pub(crate) fn bind_plain_and_tls(
    plain: Option<SocketAddr>,
    tls: Option<(SocketAddr, CertificateFiles)>,
    bind: impl Fn(SocketAddr, Option<Arc<ServerCertificate>>) -> Result<Port, DaemonError>,
) -> Result<(Vec<Port>, Option<Shown>), DaemonError> {
    let mut ports = Vec::new();
    if let Some(address) = plain {
        ports.push(bind(address, None)?);
    }
    let mut certificate = None;
    if let Some((address, files)) = tls {
        let (_, shown) = certificate.insert((files.table, ServerCertificate::new(files.read()?)));
        ports.push(bind(address, Some(shown.clone()))?);
    }
    Ok((ports, certificate))
}

pub(crate) type Start = Box<dyn FnOnce(&mut Starting<'_>) + Send>;

/// What an interface finds when it starts, and what it leaves there.
pub(crate) struct Starting<'a> {
    pub(crate) service: &'a Service,
    pub(crate) config: &'a Config,
    pub(crate) stopping: watch::Receiver<bool>,
    /// How long requests that have begun may go on after the order to stop.
    pub(crate) grace: Duration,
    /// What answers at the ports. Each ends some time after the order to stop.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) active: Vec<Box<dyn Active>>,
}

impl Starting<'_> {
    /// Answers at a port. What is refused is counted for this interface.
    pub(crate) fn answer(&mut self, port: Port, router: Router, interface: &'static str) {
        let bounded = bounded(router, self.service.clone(), self.config.api.limits, Counted::Calls);
        self.answer_bounded(port, bounded, interface, |router| router);
    }

    /// The same for a router that has bounds of its own. What is put around it counts answers that are held back as well.
    pub(crate) fn answer_bounded(
        &mut self,
        port: Port,
        router: Router,
        interface: &'static str,
        around: impl FnOnce(Router) -> Router,
    ) {
        let router = around(self.service.refusals().watch(router, interface));
        self.tasks.push(tokio::spawn(port.serve(router, self.stopping.clone(), self.grace)));
    }
}

/// An interface that has something to do besides answering.
pub(crate) trait Active: Debug + Send + Sync {
    /// Checks what a new configuration says. What is returned puts it in force.
    fn reload(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>, ConfigError>;

    /// After the order to stop: waits until what callers believe accepted is stored.
    fn stored(&self) -> BoxFuture<'_, ()>;
}

/// Checks that a port which callers use with access tokens is not open to others without any.
pub(crate) fn check_port(field: &str, address: Option<SocketAddr>, tokens: bool) -> Result<(), ConfigError> {
    if tokens || address.is_none_or(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    let problem = "an address that others can reach needs access tokens: give a [[token]], or listen on 127.0.0.1";
    Err(ConfigError::at(field, problem))
}
