//! The table `[api]`: where the JSON API listens, and what callers of any interface may take up.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::router;
use crate::config::{Config, ConfigError, Span, at_least, set};
use crate::daemon::DaemonError;
use crate::interface::{Bound, Interface, bind_plain_and_tls, check_port};
use crate::listen::{CertificateFiles, Port};

/// The JSON API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiConfig {
    /// Where it listens without TLS; `None` for not at all.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS.
    pub tls: Option<TlsConfig>,
    /// What callers may take up.
    pub limits: Limits,
}

/// A port with TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// The PEM file with the certificate's key.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Makes relative paths start at this directory.
    pub(crate) fn rebased(self, base: &Path) -> Self {
        Self { listen: self.listen, certificate: base.join(self.certificate), key: base.join(self.key) }
    }

    /// What is shown at the port, which this table of the configuration is about.
    pub(crate) fn files(&self, table: &'static str) -> CertificateFiles {
        CertificateFiles { table, certificate: self.certificate.clone(), key: self.key.clone() }
    }
}

/// What callers may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body in bytes, of anything but JSON lines. Default: 16 MiB.
    pub body: usize,
    /// The longest line of JSON lines in bytes. Default: 64 KiB.
    pub line: usize,
    /// The most notifications in one array. Default: 10 000.
    pub batch: usize,
    /// The most connections of one port. Default: 800. The longest idle one makes room for a new one.
    pub connections: usize,
    /// The most bytes of bodies, of anything but JSON lines, that are held at a time of all callers. Default: 256 MiB.
    pub bodies: usize,
    /// The most of these of one access token. Default: half of them.
    pub token_bodies: usize,
    /// The most requests of one access token that are answered at a time. Default: half of the connections of a port.
    pub token_requests: usize,
    /// The most event streams of one access token. Default: 100.
    pub token_streams: usize,
    /// How long the head of a request may take, and how long a connection may be idle. Default: 15 s.
    pub head_within: Duration,
    /// How long a body may bring nothing. Default: 30 s.
    pub body_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            line: 64 << 10,
            batch: 10_000,
            connections: 800,
            bodies: 256 << 20,
            token_bodies: 128 << 20,
            token_requests: 400,
            token_streams: 100,
            head_within: Duration::from_secs(15),
            body_idle: Duration::from_secs(30),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        let listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)));
        Self { listen, tls: None, limits: Limits::default() }
    }
}

/// The table as it stands in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiTable {
    listen: Option<SocketAddr>,
    enabled: Option<bool>,
    tls: Option<TlsConfig>,
    max_body: Option<usize>,
    max_line: Option<usize>,
    max_batch: Option<usize>,
    max_connections: Option<usize>,
    max_bodies: Option<usize>,
    max_bodies_per_token: Option<usize>,
    max_requests_per_token: Option<usize>,
    max_streams_per_token: Option<usize>,
    head_within: Option<Span>,
    body_idle: Option<Span>,
}

impl Interface for ApiConfig {
    type Table = ApiTable;

    fn read(table: Option<ApiTable>, base: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let Some(table) = table else { return Ok(config) };
        match (table.enabled, table.listen) {
            (Some(false), Some(_)) => {
                return Err(ConfigError::at("api.listen", "it says where, and `enabled` says not at all"));
            }
            (Some(false), None) => config.listen = None,
            (_, listen) => config.listen = listen.or(config.listen),
        }
        config.tls = table.tls.map(|tls| tls.rebased(base));
        let limits = &mut config.limits;
        set(&mut limits.body, at_least("api.max_body", table.max_body, 1024)?);
        set(&mut limits.line, at_least("api.max_line", table.max_line, 1024)?);
        set(&mut limits.batch, at_least("api.max_batch", table.max_batch, 1)?);
        set(&mut limits.connections, at_least("api.max_connections", table.max_connections, 1)?);
        set(&mut limits.bodies, at_least("api.max_bodies", table.max_bodies, limits.body)?);
        limits.token_bodies = limits.bodies.div_ceil(2).max(limits.body);
        set(&mut limits.token_bodies, at_least("api.max_bodies_per_token", table.max_bodies_per_token, limits.body)?);
        limits.token_requests = limits.connections.div_ceil(2);
        set(&mut limits.token_requests, at_least("api.max_requests_per_token", table.max_requests_per_token, 1)?);
        set(&mut limits.token_streams, at_least("api.max_streams_per_token", table.max_streams_per_token, 1)?);
        set(&mut limits.head_within, table.head_within.map(|span| span.0));
        set(&mut limits.body_idle, table.body_idle.map(|span| span.0));
        Ok(config)
    }

    fn check(&self, tokens: bool) -> Result<(), ConfigError> {
        check_port("api.listen", self.listen, tokens)?;
        check_port("api.tls.listen", self.tls.as_ref().map(|tls| tls.listen), tokens)
    }

    fn certificate(&self) -> Option<CertificateFiles> {
        self.tls.as_ref().map(|tls| tls.files("api.tls"))
    }

    fn bind(&self, _: &Config) -> Result<Bound, DaemonError> {
        let (ports, certificate) = bind_plain_and_tls(
            self.listen,
            self.tls.as_ref().map(|tls| tls.listen).zip(self.certificate()),
            |address, shown| {
                let (field, what) = match shown {
                    None => ("api.listen", "the JSON API and the status page"),
                    Some(_) => ("api.tls.listen", "the JSON API with TLS"),
                };
                Port::bind(field, what, address, shown, self.limits)
            },
        )?;
        Ok(Bound {
            ports: ports.iter().map(|port| port.shown).collect(),
            certificate,
            start: Some(Box::new(move |starting| {
                let router = router(starting.service.clone(), starting.config.api.limits);
                ports.into_iter().for_each(|port| starting.answer(port, router.clone(), "api"));
            })),
        })
    }
}
