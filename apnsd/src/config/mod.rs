//! The configuration file: TOML, or pyapns's own JSON file as it is.

mod app;
mod bridge;
mod error;
mod file;
mod file_state;
mod pyapns_file;
mod secret;
mod span;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_proto::WallTime;
use apns_tokio::{Certificate, IdentityError, Validity};
use tokio_rustls::rustls::sign::CertifiedKey;

pub(crate) use app::{App, Credential, FilesToldTo};
pub use app::{AppDefinition, EnvironmentWord, Loss, RetryDefinition, Transport};
pub use bridge::{BridgeClient, BridgeConfig, BridgeErrors, BridgeLimits, KnownBy};
pub use error::ConfigError;
pub(crate) use file_state::FileState;
pub(crate) use pyapns_file::certificate_or_path;
pub use secret::Secret;
pub(crate) use span::Span;

use apns_credentials::disclosure::shown;
use apns_proto::encoding;

use crate::AppName;
use crate::listen::ServerCertificate;
use crate::log::LogConfig;
use crate::outbox::Bounds;

/// All that a daemon is told at its start.
///
/// [`Config::load`] reads a file; [`Config::new`] is for tests and for embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The directory of the outbox.
    pub data: PathBuf,
    /// How much the outbox holds, and for how long.
    pub bounds: Bounds,
    /// How long a graceful stop may take.
    pub stop_within: Duration,
    /// The JSON API.
    pub api: ApiConfig,
    /// The interfaces of pyapns; `None` for neither.
    pub pyapns: Option<PyapnsConfig>,
    /// The bridge from the binary protocol; `None` for not at all.
    pub bridge: Option<BridgeConfig>,
    /// The log.
    pub log: LogConfig,
    /// Who may do what. Empty on loopback: anybody may do anything.
    pub tokens: Vec<TokenConfig>,
    /// The apps that the file defines.
    pub apps: BTreeMap<AppName, AppDefinition>,
}

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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// The PEM file with the certificate's key.
    pub key: PathBuf,
}

/// The interfaces of pyapns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PyapnsConfig {
    /// Where XML-RPC listens.
    pub listen: Option<SocketAddr>,
    /// Where the REST interface listens.
    pub rest_listen: Option<SocketAddr>,
    /// Whether times of feedback are in local time, as those of pyapns 0.4.1 were, and not in UTC.
    pub local_time: bool,
    /// Whether apps that the file defines stay as they are when a client provisions them.
    pub keep_apps: bool,
    /// What apps that are provisioned here have besides what the client tells. Its environment and credential count for
    /// nothing.
    pub app: Option<Box<AppDefinition>>,
}

impl PyapnsConfig {
    /// The interfaces at these addresses, and all else as it is by default.
    #[must_use]
    pub const fn new(listen: Option<SocketAddr>, rest_listen: Option<SocketAddr>) -> Self {
        Self { listen, rest_listen, local_time: false, keep_apps: false, app: None }
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

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenConfig {
    /// A name for it, for logs.
    pub name: String,
    /// The token itself.
    pub secret: Secret,
    /// The apps that it is good for; `None` for all.
    pub apps: Option<Vec<AppName>>,
    /// Whether it may provision apps and see everything.
    pub admin: bool,
}

impl TokenConfig {
    /// A token for these apps; `None` for all.
    #[must_use]
    pub fn new(name: impl Into<String>, secret: Secret, apps: Option<Vec<AppName>>) -> Self {
        Self { name: name.into(), secret, apps, admin: false }
    }

    /// A token that may do everything.
    #[must_use]
    pub fn admin(name: impl Into<String>, secret: Secret) -> Self {
        Self { name: name.into(), secret, apps: None, admin: true }
    }
}

/// What [`Config::examine`] found in the files that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Findings {
    /// What keeps an app or a port from working.
    pub problems: Vec<ConfigError>,
    /// What may be wrong.
    pub warnings: Vec<ConfigError>,
}

/// What clients will say of a server's certificate, if it is about its dates. The rest depends on whom they trust.
fn out_of_its_time(server: &CertifiedKey, now: WallTime) -> Option<IdentityError> {
    let certificate = Certificate::from_der(server.cert.first()?).ok()?;
    let subject = || certificate.subject().to_owned();
    match certificate.validity(now) {
        Validity::Expired { at } => Some(IdentityError::Expired { subject: subject(), at }),
        Validity::NotYet { at } => Some(IdentityError::NotYetValid { subject: subject(), at }),
        Validity::Ok | Validity::ExpiresSoon { .. } => None,
    }
}

/// The most that is read of a configuration file.
const LARGEST: u64 = 16 * 1024 * 1024;

impl Config {
    /// Everything by default, without an app: the JSON API on 127.0.0.1:7080, XML-RPC on 7077, REST on 8088.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self {
            data: data.into(),
            bounds: Bounds::default(),
            stop_within: Duration::from_secs(20),
            api: ApiConfig { listen: local(7080), tls: None, limits: Limits::default() },
            pyapns: Some(PyapnsConfig::new(local(7077), local(8088))),
            bridge: None,
            log: LogConfig::default(),
            tokens: Vec::new(),
            apps: BTreeMap::new(),
        }
    }

    /// Reads a file: TOML, or pyapns's JSON where it begins with a brace. Relative paths in it start at its directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let cannot =
            |error: &dyn std::fmt::Display| ConfigError::whole(format_args!("{} cannot be read: {error}", shown(path)));
        let size = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
        if size > LARGEST {
            return Err(cannot(&format_args!("it is larger than {LARGEST} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| cannot(&error))?;
        let text = encoding::text(&bytes).map_err(|error| cannot(&error))?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(text, base)
    }

    /// Reads the text of a file; relative paths start at `base`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let text = encoding::text(text.as_bytes()).map_err(ConfigError::whole)?;
        let config =
            if text.trim_start().starts_with('{') { pyapns_file::parse(text, base)? } else { file::parse(text, base)? };
        config.check()?;
        Ok(config)
    }

    /// Reads the files that the apps and the TLS ports name.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn check_apps(&self) -> Result<(), ConfigError> {
        match self.examine(None).problems.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }

    /// Reads the files that the apps and the TLS ports name, and judges the certificates in them as clients do before
    /// they connect: their dates at this moment, their keys, what they are for. Where there is no moment to judge them at
    /// they are only read.
    #[must_use]
    pub fn examine(&self, now: Option<WallTime>) -> Findings {
        let mut findings = Findings::default();
        for (name, definition) in &self.apps {
            let within = |error: ConfigError| error.within(&format!("apps.{name}"));
            match (definition.resolve(FilesToldTo::Owner), now) {
                (Err(error), _) => findings.problems.push(within(error)),
                (Ok(app), Some(now)) => {
                    let Some(verdict) = app.judge(now) else { continue };
                    let at = |what: &dyn std::fmt::Display| within(ConfigError::at("certificate", what));
                    findings.problems.extend(verdict.problems.iter().map(|problem| at(problem)));
                    findings.warnings.extend(verdict.warnings.iter().map(|warning| at(warning)));
                }
                (Ok(_), None) => {}
            }
        }
        let api = self.api.tls.as_ref().map(|tls| ("api.tls", &tls.certificate, &tls.key));
        let bridge = self.bridge.as_ref().and_then(|bridge| bridge.server.as_ref());
        for (table, certificate, key) in api.into_iter().chain(bridge.map(|(one, key)| ("bridge", one, key))) {
            match ServerCertificate::read_files(table, certificate, key) {
                Ok(read) => {
                    let trouble = now.and_then(|now| out_of_its_time(&read, now));
                    findings.warnings.extend(trouble.map(|what| ConfigError::at(format!("{table}.certificate"), what)));
                }
                Err(error) => findings.problems.push(error),
            }
        }
        findings
    }

    /// Checks what concerns more than one field.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let pyapns = self.pyapns.as_ref();
        let ports = [
            ("api.listen", self.api.listen),
            ("api.tls.listen", self.api.tls.as_ref().map(|tls| tls.listen)),
            ("pyapns.listen", pyapns.and_then(|pyapns| pyapns.listen)),
            ("pyapns.rest_listen", pyapns.and_then(|pyapns| pyapns.rest_listen)),
        ];
        for (field, address) in ports {
            if self.tokens.is_empty() && address.is_some_and(|address| !address.ip().is_loopback()) {
                let problem =
                    "an address that others can reach needs access tokens: give a [[token]], or listen on 127.0.0.1";
                return Err(ConfigError::at(field, problem));
            }
        }
        if let Some(bridge) = &self.bridge {
            bridge.check()?;
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let length = token.secret.expose().len();
            if length < SHORTEST_TOKEN {
                let problem =
                    format!("an access token has {SHORTEST_TOKEN} characters at least, this one has {length}");
                return Err(ConfigError::at(format!("token[{index}].secret"), problem));
            }
        }
        Ok(())
    }
}

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;
