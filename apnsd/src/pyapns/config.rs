//! The table `[pyapns]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Deserialize;

use super::Pyapns;
use crate::config::{AppDefinition, Config, ConfigError};
use crate::daemon::DaemonError;
use crate::interface::{Bound, Interface, check_port};
use crate::listen::Port;

/// The interfaces of pyapns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PyapnsConfig {
    /// Where XML-RPC listens; `None` for not at all.
    pub listen: Option<SocketAddr>,
    /// Where the REST interface listens; `None` for not at all.
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

impl Default for PyapnsConfig {
    fn default() -> Self {
        let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self::new(local(7077), local(8088))
    }
}

/// The table as it stands in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct PyapnsTable {
    enabled: Option<bool>,
    listen: Option<SocketAddr>,
    rest_listen: Option<SocketAddr>,
    #[serde(default)]
    local_time: bool,
    #[serde(default)]
    keep_apps: bool,
    app: Option<toml::Table>,
}

impl Interface for PyapnsConfig {
    type Table = PyapnsTable;

    fn read(table: Option<PyapnsTable>, base: &Path) -> Result<Self, ConfigError> {
        let Some(table) = table else { return Ok(Self::default()) };
        let PyapnsTable { enabled, listen, rest_listen, local_time, keep_apps, app } = table;
        if enabled == Some(false) {
            return Ok(Self::new(None, None));
        }
        let usual = Self::default();
        Ok(Self {
            listen: listen.or(usual.listen),
            rest_listen: rest_listen.or(usual.rest_listen),
            local_time,
            keep_apps,
            app: app.map(|app| app_template(app, base)).transpose()?.map(Box::new),
        })
    }

    fn check(&self, tokens: bool) -> Result<(), ConfigError> {
        check_port("pyapns.listen", self.listen, tokens)?;
        check_port("pyapns.rest_listen", self.rest_listen, tokens)
    }

    fn bind(&self, config: &Config) -> Result<Bound, DaemonError> {
        let bind = |field, what, address: Option<SocketAddr>| {
            address.map(|address| Port::bind(field, what, address, None, config.api.limits)).transpose()
        };
        let rpc = bind("pyapns.listen", "XML-RPC", self.listen)?;
        let rest = bind("pyapns.rest_listen", "the REST interface of pyapns", self.rest_listen)?;
        let settings = self.clone();
        Ok(Bound {
            ports: [&rpc, &rest].into_iter().flatten().map(|port| port.shown).collect(),
            certificate: None,
            start: Some(Box::new(move |starting| {
                let pyapns = Pyapns::new(starting.service.clone(), starting.config.api.limits, settings);
                rpc.into_iter().for_each(|port| starting.answer(port, pyapns.rpc(), "xmlrpc"));
                rest.into_iter().for_each(|port| starting.answer(port, pyapns.rest(), "rest"));
            })),
        })
    }
}

/// What apps have that are provisioned by pyapns's interfaces. Clients name environment and credential.
fn app_template(mut table: toml::Table, base: &Path) -> Result<AppDefinition, ConfigError> {
    const NAMED: [&str; 9] = [
        "environment",
        "production",
        "sandbox",
        "certificate",
        "certificate_data",
        "key",
        "key_data",
        "signing_key",
        "signing_key_data",
    ];
    for field in NAMED {
        if table.contains_key(field) {
            return Err(ConfigError::at(format!("pyapns.app.{field}"), "the client that provisions an app names it"));
        }
    }
    // What every definition has to have; it is never looked at.
    table.insert("environment".to_owned(), "sandbox".into());
    let mut app: AppDefinition = serde_path_to_error::deserialize(table)
        .map_err(|error| ConfigError::parsed(&error.path().to_string(), error.inner().message()))
        .map_err(|error| error.within("pyapns.app"))?;
    app.rebase(base);
    Ok(app)
}
