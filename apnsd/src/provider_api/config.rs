//! The table `[provider_api]`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{INTERFACE, ProviderApi, router, within_bounds};
use crate::config::{Config, ConfigError, Limits, Span, TlsConfig, at_least, set};
use crate::daemon::DaemonError;
use crate::interface::{Bound, Interface, bind_plain_and_tls, check_port};
use crate::listen::{CertificateFiles, Port, Versions};

/// Apple's provider API, for clients that are given this machine in place of Apple's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderApiConfig {
    /// Where it listens without TLS; `None` for not at all.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS.
    pub tls: Option<TlsConfig>,
    /// How long a caller waits for Apple's answer. Default: 30 s; at most 5 min.
    pub answer_within: Duration,
    /// The most requests that are under way on one connection of HTTP/2. Default: 1000, as at Apple's servers.
    pub streams: u32,
    /// The most requests that are under way on all connections. Default: 20 000.
    pub requests: usize,
}

impl Default for ProviderApiConfig {
    fn default() -> Self {
        Self { listen: None, tls: None, answer_within: Duration::from_secs(30), streams: 1000, requests: 20_000 }
    }
}

/// The table as it stands in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderApiTable {
    listen: Option<SocketAddr>,
    tls: Option<TlsConfig>,
    answer_within: Option<Span>,
    max_streams: Option<u32>,
    max_requests: Option<usize>,
}

/// The longest time that a caller waits for Apple's answer.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The most of a body that is read. The largest payload has 5120 bytes.
const BODY: usize = 64 << 10;

impl Interface for ProviderApiConfig {
    type Table = ProviderApiTable;

    fn read(table: Option<ProviderApiTable>, base: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let Some(table) = table else { return Ok(config) };
        config.listen = table.listen;
        config.tls = table.tls.map(|tls| tls.rebased(base));
        set(&mut config.answer_within, table.answer_within.map(|span| span.0));
        if config.answer_within > LONGEST {
            return Err(ConfigError::at("provider_api.answer_within", "it has to be 5 minutes at most"));
        }
        if table.max_streams == Some(0) {
            return Err(ConfigError::at("provider_api.max_streams", "it has to be 1 at least"));
        }
        set(&mut config.streams, table.max_streams);
        set(&mut config.requests, at_least("provider_api.max_requests", table.max_requests, 1)?);
        Ok(config)
    }

    fn check(&self, tokens: bool) -> Result<(), ConfigError> {
        check_port("provider_api.listen", self.listen, tokens)?;
        check_port("provider_api.tls.listen", self.tls.as_ref().map(|tls| tls.listen), tokens)
    }

    fn certificate(&self) -> Option<CertificateFiles> {
        self.tls.as_ref().map(|tls| tls.files("provider_api.tls"))
    }

    fn bind(&self, config: &Config) -> Result<Bound, DaemonError> {
        let versions = Versions::Both { streams: self.streams };
        // One token may use half of what there is, so that others are served.
        let token_requests = self.requests.div_ceil(2);
        let limits = Limits { body: BODY, token_requests, ..config.api.limits };
        let (ports, certificate) = bind_plain_and_tls(
            self.listen,
            self.tls.as_ref().map(|tls| tls.listen).zip(self.certificate()),
            |address, shown| {
                let (field, what) = match shown {
                    None => ("provider_api.listen", "Apple's provider API"),
                    Some(_) => ("provider_api.tls.listen", "Apple's provider API with TLS"),
                };
                Port::bind_for(versions, field, what, address, shown, limits)
            },
        )?;
        let settings = self.clone();
        Ok(Bound {
            ports: ports.iter().map(|port| port.shown).collect(),
            certificate,
            start: Some(Box::new(move |starting| {
                let api = ProviderApi::new(starting.service.clone(), limits, settings);
                for port in ports {
                    starting.answer_bounded(port, router(&api), INTERFACE, |router| within_bounds(&api, router));
                }
            })),
        })
    }
}
