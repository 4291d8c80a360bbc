//! The proxy of an app.

use std::path::PathBuf;

use apns_proto::proxy::Proxy;
use apns_tokio::{Endpoint, Roots};

use super::app::{FilesToldTo, first_line, read};
use super::{AppDefinition, ConfigError};

/// The word for the proxy that environment variables name, if they do.
const ENVIRONMENT: &str = "environment";

/// How an app gets to its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The proxy to the service.
    pub(crate) proxy: Option<Proxy>,
    /// The proxy to the feedback service.
    pub(crate) feedback: Option<Proxy>,
    /// Whom to trust where TLS is spoken to the proxy.
    pub(crate) roots: Roots,
}

impl Way {
    pub(super) fn resolve(
        definition: &AppDefinition,
        service: &Endpoint,
        feedback: &Endpoint,
        told: FilesToldTo,
    ) -> Result<Self, ConfigError> {
        let password = definition.proxy_password_file.as_ref();
        let (proxy, feedback) = match definition.proxy.as_ref().map(super::Secret::expose) {
            None if password.is_some() => {
                return Err(ConfigError::at(
                    "proxy_password_file",
                    "it is the password for a proxy, and there is none",
                ));
            }
            None => (None, None),
            Some(ENVIRONMENT) if password.is_some() => {
                return Err(ConfigError::at(
                    "proxy_password_file",
                    "the variables of the environment have the password",
                ));
            }
            Some(ENVIRONMENT) => (from_environment(service)?, from_environment(feedback)?),
            Some(url) => {
                let proxy = given(url, password, told)?;
                (Some(proxy.clone()), Some(proxy))
            }
        };
        let roots = match &definition.proxy_ca {
            None => Roots::Platform,
            Some(path) => {
                Roots::only_pem(&read("proxy_ca", path, told)?).map_err(|error| ConfigError::at("proxy_ca", error))?
            }
        };
        Ok(Self { proxy, feedback, roots })
    }
}

fn given(url: &str, password_file: Option<&PathBuf>, told: FilesToldTo) -> Result<Proxy, ConfigError> {
    let proxy: Proxy = url.parse().map_err(|error| ConfigError::at("proxy", error))?;
    match password_file {
        None => Ok(proxy),
        Some(path) => {
            let password = first_line("proxy_password_file", path, told)?;
            proxy.with_password(password.expose()).map_err(|error| ConfigError::at("proxy_password_file", error))
        }
    }
}

fn from_environment(endpoint: &Endpoint) -> Result<Option<Proxy>, ConfigError> {
    Proxy::from_variables(endpoint.host(), endpoint.port(), |name| std::env::var(name).ok())
        .map_err(|error| ConfigError::at("proxy", error))
}
