//! The configuration file: TOML, or pyapns's own JSON file as it is.

mod app;
mod destination;
mod error;
mod file;
mod file_state;
mod proxy;
mod pyapns_file;
mod secret;
mod settings;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod toml_text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_proto::WallTime;
use apns_tokio::{Certificate, IdentityError, Validity};
use tokio_rustls::rustls::sign::CertifiedKey;

pub(crate) use app::{App, FilesToldTo, first_line, read as read_file};
pub use app::{AppDefinition, EnvironmentWord, Loss, ProviderApiMode, RetryDefinition, Transport, Validate};
pub(crate) use destination::{Credential, Destination};
pub use destination::{EnvironmentChoice, EnvironmentDefinition};
pub use error::ConfigError;
pub(crate) use file::{at_least, set};
pub(crate) use file_state::FileState;
pub(crate) use pyapns_file::certificate_or_path;
pub use secret::Secret;
pub use settings::{Kind, Preset, Setting, SettingsTable, tables};
pub use span::Span;
pub use store::StoreConfig;
pub use toml_text::{ChosenNames, TomlError, toml_reader};

use apns_credentials::disclosure::shown;
use apns_proto::encoding;

use crate::AppName;
pub use crate::bridge::{BridgeClient, BridgeConfig, BridgeErrors, BridgeLimits, KnownBy};
use crate::daemon::DaemonError;
pub use crate::http::{ApiConfig, Limits, TlsConfig};
use crate::interface::{Bound, Interface, interfaces};
use crate::listen::CertificateFiles;
use crate::log::LogConfig;
use crate::outbox::Bounds;
pub use crate::provider_api::ProviderApiConfig;
pub use crate::pyapns::PyapnsConfig;
pub use crate::webhook::{Network, NetworkError, Target, TargetError, WebhookConfig, WebhookFilter};

macro_rules! config {
    ($($(#[$doc:meta])* $name:ident: $interface:ty,)*) => {
        /// All that a daemon is told at its start.
        ///
        /// [`Config::load`] reads a file; [`Config::new`] is for tests and for embedding.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Config {
            /// The directory of the outbox.
            pub data: PathBuf,
            /// The PostgreSQL that has the outbox in the place of the directory, where several daemons share it.
            pub store: Option<StoreConfig>,
            /// How much the outbox holds, and for how long.
            pub bounds: Bounds,
            /// How long a graceful stop may take.
            pub stop_within: Duration,
            $($(#[$doc])* pub $name: $interface,)*
            /// The log.
            pub log: LogConfig,
            /// Who may do what. Empty on loopback: anybody may do anything.
            pub tokens: Vec<TokenConfig>,
            /// Who is told of outcomes.
            pub webhooks: Vec<WebhookConfig>,
            /// The apps that the file defines.
            pub apps: BTreeMap<AppName, AppDefinition>,
        }

        impl Config {
            /// Everything by default, without an app: the JSON API on 127.0.0.1:7080, XML-RPC on 7077, REST on 8088.
            #[must_use]
            pub fn new(data: impl Into<PathBuf>) -> Self {
                Self {
                    data: data.into(),
                    store: None,
                    bounds: Bounds::default(),
                    stop_within: Duration::from_secs(20),
                    $($name: Default::default(),)*
                    log: LogConfig::default(),
                    tokens: Vec::new(),
                    webhooks: Vec::new(),
                    apps: BTreeMap::new(),
                }
            }

            fn check_interfaces(&self) -> Result<(), ConfigError> {
                let tokens = !self.tokens.is_empty();
                $(self.$name.check(tokens)?;)*
                Ok(())
            }

            /// The files of the certificates that ports show.
            pub(crate) fn certificates(&self) -> Vec<CertificateFiles> {
                [$(self.$name.certificate()),*].into_iter().flatten().collect()
            }

            /// Takes the ports of all interfaces.
            pub(crate) fn bind(&self) -> Result<Vec<Bound>, DaemonError> {
                Ok(vec![$(self.$name.bind(self)?),*])
            }
        }
    };
}
interfaces!(config!);

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
                    for destination in &app.destinations {
                        let Some(verdict) = destination.judge(&app, now) else { continue };
                        let own = definition.has_credential_of_its_own(destination.environment);
                        let at = |what: &dyn std::fmt::Display| {
                            let error = ConfigError::at("certificate", what);
                            within(if own { error.within(destination.environment.word()) } else { error })
                        };
                        findings.problems.extend(verdict.problems.iter().map(|problem| at(problem)));
                        findings.warnings.extend(verdict.warnings.iter().map(|warning| at(warning)));
                    }
                }
                (Ok(_), None) => {}
            }
        }
        findings.problems.extend(crate::webhook::check_files(&self.webhooks));
        for files in self.certificates() {
            match files.read() {
                Ok(read) => {
                    let trouble = now.and_then(|now| out_of_its_time(&read, now));
                    let field = format!("{}.certificate", files.table);
                    findings.warnings.extend(trouble.map(|what| ConfigError::at(field, what)));
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
        self.check_interfaces()?;
        if let Some(store) = &self.store {
            store.check()?;
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
