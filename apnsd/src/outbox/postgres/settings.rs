//! Which server, and as whom.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apns_driver::tls::TlsSettings;
use apns_driver::tls::rustls::client::Base;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connections::Address;

/// How a node finds its server, and how long its lease is.
#[derive(Clone)]
pub struct PostgresSettings {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    node: String,
    lease: Duration,
    connections: usize,
}

/// Shows no password.
impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings").field("node", &self.node).field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// What is wrong with the settings of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The address is none.
    #[error("it is not the URL of a PostgreSQL server: {0}")]
    Url(String),
    /// A secret in the open.
    #[error("it has a password in it: leave it out and give password_file")]
    Password,
    /// The address cannot be verified, and what is sent there can be read on the way.
    #[error(
        "{host} is another machine: add sslmode=verify-full, so that the server is who it says and nobody reads along"
    )]
    Unverified {
        /// The host.
        host: String,
    },
    /// A word for the protection that is not known, or none.
    #[error("sslmode={0} is not known: verify-full, or disable for a server on this machine")]
    Mode(String),
    /// TLS cannot be used.
    #[error("{0}")]
    Tls(String),
}

/// How an address says that it is to be protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Unsaid,
    Off,
    Full,
}

/// Takes the parameter for the protection out of a URL; the library knows fewer words for it.
fn take_protection(url: &str) -> Result<(String, Protection), SettingsError> {
    let Some((front, query)) = url.split_once('?') else { return Ok((url.to_owned(), Protection::Unsaid)) };
    let mut protection = Protection::Unsaid;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("sslmode=") {
            None => rest.push(pair),
            Some("verify-full") => protection = Protection::Full,
            Some("disable") => protection = Protection::Off,
            Some(other) => return Err(SettingsError::Mode(other.chars().take(20).collect())),
        }
    }
    let rest = rest.join("&");
    Ok((if rest.is_empty() { front.to_owned() } else { format!("{front}?{rest}") }, protection))
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => apns_credentials::disclosure::shown(path).to_string(),
    }
}

impl PostgresSettings {
    /// From a URL such as `postgres://apnsd@db1,db2/apnsd?sslmode=verify-full`, and this node's name, which no
    /// other node has. Of several hosts it is the one that accepts writes. Authorities are those of the system; the lease is
    /// 20 s, and there are 8 connections.
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    pub fn new(url: &str, node: impl Into<String>) -> Result<Self, SettingsError> {
        Self::trusting(url, node, apns_driver::Roots::Platform)
    }

    /// The same with authorities of one's own.
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    pub fn trusting(url: &str, node: impl Into<String>, roots: apns_driver::Roots) -> Result<Self, SettingsError> {
        let (url, protection) = take_protection(url)?;
        let mut config: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            SettingsError::Url(why)
        })?;
        if config.get_password().is_some() {
            return Err(SettingsError::Password);
        }
        if config.get_hosts().is_empty() {
            return Err(SettingsError::Url("it names no host".to_owned()));
        }
        // With `hostaddr`, that is where it connects, and the host is only a name.
        let elsewhere = config.get_hosts().iter().find(|host| !is_here(host)).map(shown);
        let address = config.get_hostaddrs().iter().find(|address| !address.is_loopback());
        if let Some(host) = elsewhere.or_else(|| address.map(ToString::to_string))
            && protection != Protection::Full
        {
            return Err(SettingsError::Unverified { host });
        }
        config.ssl_mode(if protection == Protection::Full { SslMode::Require } else { SslMode::Disable });
        // A server that was the primary and is a standby now is passed over, by whichever session.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(Duration::from_secs(5));
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(Duration::from_secs(10));
        let settings = TlsSettings { roots, identity: None, alpn: Vec::new() };
        let tls = Base::Ring.config(&settings).map_err(|error| SettingsError::Tls(error.to_string()))?;
        let tls = MakeRustlsConnect::new(tokio_rustls::rustls::ClientConfig::clone(&Arc::unwrap_or_clone(tls)));
        Ok(Self { config, tls, node: node.into(), lease: Duration::from_secs(20), connections: 8 })
    }

    /// The password of the role.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// How long the node may be silent until others take over what it delivers: 2 s to 2 minutes. Default: 20 s.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_secs(2), Duration::from_secs(120));
        self
    }

    /// How many connections: 5 to 100. One is for the lease, one for news, a third of the rest for what comes in. Default: 8.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.clamp(5, 100);
        self
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) const fn lease(&self) -> Duration {
        self.lease
    }

    /// The connections for what comes in, and those for everything else.
    pub(super) const fn shares(&self) -> (usize, usize) {
        let rest = self.connections - 2;
        let intake = rest / 3;
        (intake, rest - intake)
    }

    /// The way to the server, for one process of the node.
    pub(super) fn address(&self, incarnation: i64) -> Address {
        let mut config = self.config.clone();
        config.application_name(session_name(incarnation));
        Address { config, tls: self.tls.clone() }
    }
}

/// The name that all sessions of one process have at the server.
pub(super) fn session_name(incarnation: i64) -> String {
    format!("apnsd {:016x}", incarnation.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PostgresSettings, SettingsError> {
        PostgresSettings::new(url, "one")
    }

    #[test]
    fn another_machine_is_verified_and_a_password_is_not_in_the_open() {
        for url in ["postgres://a@127.0.0.1/a", "postgres://a@localhost:1/a", "postgres://a@%2Frun%2Fpg/a"] {
            read(url).unwrap();
        }
        let unverified = SettingsError::Unverified { host: "db1".to_owned() };
        assert_eq!(read("postgres://a@db1/a").unwrap_err(), unverified);
        assert_eq!(read("postgres://a@localhost,db1/a?sslmode=disable").unwrap_err(), unverified);
        for address in ["10.0.0.7", "127.0.0.1,10.0.0.7"] {
            let url = format!("postgres://a@localhost,localhost/a?hostaddr={address}");
            assert_eq!(read(&url).unwrap_err(), SettingsError::Unverified { host: "10.0.0.7".to_owned() });
        }
        read("postgres://a@localhost/a?hostaddr=127.0.0.1").unwrap();
        assert_eq!(read("postgres://a@db1/a?sslmode=require").unwrap_err(), SettingsError::Mode("require".to_owned()));
        let both = read("postgres://a@db1,db2/a?sslmode=verify-full&target_session_attrs=any").unwrap();
        assert_eq!((both.config.get_ssl_mode(), both.config.get_hosts().len()), (SslMode::Require, 2));
        assert_eq!(both.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(read("postgres://a:secret@localhost/a").unwrap_err(), SettingsError::Password);
        assert!(matches!(read("mysql://localhost"), Err(SettingsError::Url(_))));
        assert!(!format!("{:?}", read("postgres://a@localhost/a").unwrap().with_password("secret")).contains("secret"));
    }

    #[test]
    fn connections_are_shared_out() {
        let shares = |count| read("postgres://a@localhost/a").unwrap().with_connections(count).shares();
        assert_eq!([shares(0), shares(8), shares(1000)], [(1, 2), (2, 4), (32, 66)]);
    }
}
