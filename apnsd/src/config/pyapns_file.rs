//! pyapns's own configuration file, in JSON, as it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_credentials::is_path;
use apns_tokio::Environment;
use serde::Deserialize;

use super::file::default_data;
use super::{AppDefinition, Config, ConfigError, EnvironmentWord, PyapnsConfig, Secret};
use crate::AppName;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "xml_rpc_port")]
    port: u16,
    #[serde(default = "rest_port")]
    rest_port: u16,
    /// pyapns took an empty text for all addresses.
    host: Option<String>,
    #[serde(default)]
    autoprovision: Vec<App>,
    // This daemon logs to standard error and leaves files to its operator.
    #[serde(default, rename = "log_file_name")]
    _log_file_name: serde::de::IgnoredAny,
    #[serde(default, rename = "log_file_dir")]
    _log_file_dir: serde::de::IgnoredAny,
    #[serde(default, rename = "log_file_rotate_length")]
    _log_file_rotate_length: serde::de::IgnoredAny,
    #[serde(default, rename = "log_file_mode")]
    _log_file_mode: serde::de::IgnoredAny,
    #[serde(default, rename = "log_file_max_rotate")]
    _log_file_max_rotate: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    app_id: AppName,
    cert: Secret,
    environment: EnvironmentWord,
    /// The time to wait for a connection, in seconds.
    #[serde(default = "timeout")]
    timeout: f64,
}

const fn timeout() -> f64 {
    15.0
}

const fn xml_rpc_port() -> u16 {
    7077
}

const fn rest_port() -> u16 {
    8088
}

pub(super) fn parse(text: &str, base: &Path) -> Result<Config, ConfigError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let file: File = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| ConfigError::parsed(&error.path().to_string(), &error.inner().to_string()))?;
    reader.end().map_err(ConfigError::whole)?;
    let host: IpAddr = match file.host.as_deref() {
        None | Some("localhost") => Ipv4Addr::LOCALHOST.into(),
        Some("") => Ipv4Addr::UNSPECIFIED.into(),
        Some(text) => text
            .parse()
            .map_err(|_| ConfigError::at("host", "it has to be an address of this machine, such as 127.0.0.1"))?,
    };
    let mut config = Config::new(default_data(base));
    let at = |port| Some(SocketAddr::new(host, port));
    config.pyapns = PyapnsConfig::new(at(file.port), at(file.rest_port));
    for (index, app) in file.autoprovision.into_iter().enumerate() {
        let environment = Environment::from(app.environment);
        let at = |field: &str, problem: &dyn std::fmt::Display| {
            ConfigError::at(format!("autoprovision[{index}].{field}"), problem)
        };
        let timeout = Duration::try_from_secs_f64(app.timeout).map_err(|error| at("timeout", &error))?;
        let mut definition = certificate_or_path(environment, &app.cert).with_patience(timeout);
        definition.rebase(base);
        let name = match config.apps.get(&app.app_id) {
            // The REST interface tells apps of one name apart by their environment.
            Some(other) if other.environment != environment.into() => {
                app.app_id.in_environment(environment).map_err(|error| at("app_id", &error))?
            }
            _ => app.app_id,
        };
        if config.apps.insert(name, definition).is_some() {
            return Err(at("app_id", &"this app was there before"));
        }
    }
    Ok(config)
}

/// pyapns tells a certificate from the path of one by the words at its beginning. What cannot be a path counts as a
/// certificate as well: it may be a key, and a path is shown to people.
pub(crate) fn certificate_or_path(environment: Environment, text: &Secret) -> AppDefinition {
    if is_path(text.expose()) {
        AppDefinition::with_certificate_file(environment, PathBuf::from(text.expose()))
    } else {
        AppDefinition::with_certificate_data(environment, text.clone())
    }
}
