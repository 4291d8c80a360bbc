//! The store that several daemons share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::app::{FilesToldTo, first_line};
use super::file::set;
use super::span::Span;
use super::{ConfigError, Secret};

/// The PostgreSQL that several daemons keep their outbox in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Where it is, and as whom: `postgres://apnsd@db1,db2/apnsd?sslmode=verify-full`.
    /// Without a password.
    pub url: String,
    /// The file with the password of the role, in its first line.
    pub password_file: Option<PathBuf>,
    /// The file with the certificate authorities that vouch for the server; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// The name of this daemon among the others; the host's where there is none.
    pub node: Option<String>,
    /// How long this daemon may be silent until the others take over what it delivers.
    pub lease: Duration,
    /// How many connections it has to the server.
    pub connections: usize,
}

/// The shortest lease, and the longest.
pub(super) const LEASE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// The fewest connections, and the most.
pub(super) const CONNECTIONS: (usize, usize) = (5, 100);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreSection {
    url: String,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    node: Option<String>,
    lease: Option<Span>,
    connections: Option<usize>,
}

impl StoreConfig {
    /// A store at this URL, with everything else by default.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            ca: None,
            node: None,
            lease: Duration::from_secs(20),
            connections: 8,
        }
    }

    pub(super) fn read(section: StoreSection, base: &Path) -> Self {
        let mut store = Self::new(section.url);
        store.password_file = section.password_file.map(|file| base.join(file));
        store.ca = section.ca.map(|file| base.join(file));
        store.node = section.node;
        set(&mut store.lease, section.lease.map(|span| span.0));
        set(&mut store.connections, section.connections);
        store
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(LEASE.0..=LEASE.1).contains(&self.lease) {
            return Err(ConfigError::at("store.lease", "it has to be from 5 seconds to 2 minutes"));
        }
        if !(CONNECTIONS.0..=CONNECTIONS.1).contains(&self.connections) {
            let (least, most) = CONNECTIONS;
            return Err(ConfigError::at(
                "store.connections",
                format_args!("it has to be a number from {least} to {most}"),
            ));
        }
        if self.node.as_ref().is_some_and(|node| !is_name(node)) {
            let expected = "the name of a node has 1 to 100 letters, digits, dots, hyphens and underscores";
            return Err(ConfigError::at("store.node", expected));
        }
        #[cfg(feature = "postgres")]
        crate::outbox::postgres::PostgresSettings::new(&self.url, "").map_err(|error| match error {
            crate::outbox::postgres::SettingsError::Tls(_) => ConfigError::at("store.ca", error),
            _ => ConfigError::at("store.url", error),
        })?;
        Ok(())
    }

    /// The name of this daemon.
    ///
    /// # Errors
    ///
    /// Where none is given and the host has none that can be used.
    pub fn node(&self) -> Result<String, ConfigError> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let host = host_name().filter(|name| is_name(name));
        host.ok_or_else(|| ConfigError::at("store.node", "this host has no name: give this daemon one"))
    }

    /// The password, where a file has one.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn password(&self) -> Result<Option<Secret>, ConfigError> {
        let read = |path: &PathBuf| first_line("store.password_file", path, FilesToldTo::Owner);
        self.password_file.as_ref().map(read).transpose()
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(fits)
}

fn host_name() -> Option<String> {
    #[cfg(unix)]
    return Some(rustix::system::uname().nodename().to_str().ok()?.to_owned());
    #[cfg(not(unix))]
    std::env::var("COMPUTERNAME").ok()
}

#[cfg(feature = "postgres")]
impl StoreConfig {
    /// All that a connection needs, with the files read.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub(crate) fn settings(&self) -> Result<crate::outbox::postgres::PostgresSettings, ConfigError> {
        use crate::outbox::postgres::PostgresSettings;
        use apns_driver::Roots;
        let roots = match &self.ca {
            None => Roots::Platform,
            Some(path) => Roots::only_pem(&super::read_file("store.ca", path, FilesToldTo::Owner)?)
                .map_err(|error| ConfigError::at("store.ca", error))?,
        };
        let settings = PostgresSettings::trusting(&self.url, self.node()?, roots)
            .map_err(|error| ConfigError::at("store.url", error))?
            .with_lease(self.lease)
            .with_connections(self.connections);
        Ok(match self.password()? {
            Some(password) => settings.with_password(password.expose()),
            None => settings,
        })
    }
}
