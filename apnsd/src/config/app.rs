//! One app: what it is, and what becomes of it when its files are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_driver::files::open_regular;
use apns_proto::{LossPolicy, RetryPolicy, Topic, encoding};
use apns_tokio::{Environment, Roots};
use serde::{Deserialize, Serialize};

use super::destination::{Credential, Destination, EnvironmentChoice, EnvironmentDefinition};
use super::span::Span;
use super::{ConfigError, Secret};
use apns_credentials::is_path;

/// An app as it is written in the configuration file, in a request that provisions it, and in the store.
///
/// Either a client certificate (`certificate`, with its `key` where that is apart) or a signing key with `key_id` and
/// `team_id`; in `production` and `sandbox` where each environment has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppDefinition {
    /// Production, sandbox, or to be found out for each device token: where notifications go that name none.
    pub environment: EnvironmentChoice,
    /// What is the app's for production alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<EnvironmentDefinition>,
    /// What is the app's for the sandbox alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<EnvironmentDefinition>,
    /// How many device tokens at most the wrong environment is asked for in a minute, where the daemon finds out. Default:
    /// 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_probes: Option<u32>,
    /// The file with the client certificate: PEM or PKCS#12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The client certificate itself: PEM, or PKCS#12 in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_data: Option<Secret>,
    /// The file with the certificate's key in PEM, where it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The certificate's key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_data: Option<Secret>,
    /// The password of the key or the PKCS#12 file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The file whose first line is that password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The file with the key that signs provider tokens (`.p8`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<PathBuf>,
    /// That key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_data: Option<Secret>,
    /// The name of the signing key: ten characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The team that the signing key belongs to: ten characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The topic of notifications that name none. Default: what the certificate tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The protocol. Default: HTTP/2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub transport: Transport,
    /// Where to connect. Default: Apple's name for the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A PEM file with the authorities to trust, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The URL of the proxy to go through, or `environment` for the one that environment variables name. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// The file whose first line is the password for the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// A PEM file with the authorities to trust for a proxy with TLS, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_ca: Option<PathBuf>,
    /// Where the feedback service is, with the binary transport. Default: Apple's name for the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_host: Option<String>,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_port: Option<u16>,
    /// How often the feedback service is read, with the binary transport. Default: every hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) feedback_every: Option<Span>,
    /// How many connections send at the same time. Default: 1; at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// How many notifications may be with the client at once: what is in doubt after a crash. Default: 2000 for each
    /// connection, with the binary transport 20 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<usize>,
    /// How long a notification may wait for a connection in one go. Default: 60 s. It waits again afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<Span>,
    /// What is sent again after the service refused it for the time being.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetryDefinition,
    /// What becomes of a notification that may have left without an answer. Default: it is reported.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Loss,
    /// How often it is sent again at most, with `loss = "resend"`. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_at_most: Option<u32>,
    /// What becomes of a payload that a device would drop. Default: it is sent; payloads are not looked at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validate: Validate,
    /// What the provider API answers to a notification of this app. Default: Apple's answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub provider_api: ProviderApiMode,
    /// How many notifications a second are taken from callers. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// How many notifications a second are sent to the service. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_rate: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// [`Environment`] in the words of pyapns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentWord {
    /// For apps from the App Store and TestFlight.
    #[default]
    Production,
    /// For apps built for development.
    Sandbox,
}

impl From<EnvironmentWord> for Environment {
    fn from(word: EnvironmentWord) -> Self {
        match word {
            EnvironmentWord::Production => Self::Production,
            EnvironmentWord::Sandbox => Self::Sandbox,
        }
    }
}

impl From<Environment> for EnvironmentWord {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Production => Self::Production,
            Environment::Sandbox => Self::Sandbox,
        }
    }
}

/// A protocol to send by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Transport {
    /// Today's provider API.
    #[default]
    Http2,
    /// The binary protocol, for a private gateway.
    Binary,
}

impl Transport {
    /// The word in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http2 => "http2",
            Self::Binary => "binary",
        }
    }
}

/// What becomes of a notification of which nobody knows whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Loss {
    /// It is reported as unknown.
    #[default]
    Report,
    /// It is sent again, and may arrive twice.
    Resend,
}

/// What becomes of a payload that the service accepts and a device drops, by all that Apple documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Validate {
    /// Payloads are not looked at.
    #[default]
    Off,
    /// It is sent; the answer to the caller and the log say what is wrong.
    Warn,
    /// It is not taken. What is only doubtful is, as with [`Warn`](Self::Warn).
    Refuse,
}

/// What the provider API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProviderApiMode {
    /// Apple's answer, late by one hop.
    #[default]
    Through,
    /// 200 once the notification is on disk. Its outcome is told elsewhere.
    Stored,
}

/// What is sent again after the service refused it for the time being.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryDefinition {
    /// How often. Default: 5; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// For how long after it was accepted. Default: one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<Span>,
    /// The longest wait between two attempts, unless the service asks for more. Default: one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) longest_wait: Option<Span>,
}

/// An app with all its files read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct App {
    /// Where notifications go that name no environment.
    pub(crate) environment: EnvironmentChoice,
    /// One for each environment that it sends to: one or two.
    pub(crate) destinations: Vec<Destination>,
    pub(crate) transport: Transport,
    pub(crate) topic: Option<Topic>,
    pub(crate) feedback_every: Duration,
    pub(crate) roots: Roots,
    /// How many device tokens the wrong environment is asked for in a minute at most.
    pub(crate) wrong_probes: u32,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) patience: Duration,
    pub(crate) retry: RetryPolicy,
    /// For how long after its time began something is tried, and how far ahead it may begin.
    pub(crate) retry_within: Duration,
    /// How many notifications a second are sent to the service.
    pub(crate) send_rate: Option<u32>,
    pub(crate) loss: LossPolicy,
    pub(crate) validate: Validate,
    pub(crate) provider_api: ProviderApiMode,
    pub(crate) rate: Option<u32>,
}

impl App {
    /// What it has for an environment.
    pub(crate) fn to(&self, environment: Environment) -> Option<&Destination> {
        self.destinations.iter().find(|one| one.environment == environment)
    }

    /// Where it sends by default, which is one of both where that is found out.
    pub(crate) fn main(&self) -> &Destination {
        let named = self.environment.environment().and_then(|environment| self.to(environment));
        named.or(self.destinations.first()).expect("an app has a destination")
    }

    /// Whether it sends to both environments.
    pub(crate) fn has_both(&self) -> bool {
        self.destinations.len() > 1
    }

    /// Where a notification may go whose caller made this choice; nothing where the app lacks what it needs.
    pub(crate) fn destinations_of(&self, choice: Option<EnvironmentChoice>) -> Vec<&Destination> {
        match choice.unwrap_or(self.environment).environment() {
            Some(environment) => self.to(environment).into_iter().collect(),
            None if self.has_both() => self.destinations.iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The most wrong probes of one app in a minute.
const MOST_WRONG_PROBES: u32 = 10_000;
/// The most connections of one app.
const MOST_CONNECTIONS: usize = 64;
/// The most notifications in flight of one app.
const MOST_IN_FLIGHT: usize = 200_000;
/// The most that is read of a file named by a definition.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

impl AppDefinition {
    /// A definition with a client certificate in a file (with its key), and all else as it is by default.
    #[must_use]
    pub fn with_certificate_file(environment: Environment, certificate: PathBuf) -> Self {
        Self { environment: environment.into(), certificate: Some(certificate), ..Self::default() }
    }

    /// A definition with a client certificate and its key as PEM, or as PKCS#12 in base64.
    #[must_use]
    pub fn with_certificate_data(environment: Environment, certificate: Secret) -> Self {
        Self { environment: environment.into(), certificate_data: Some(certificate), ..Self::default() }
    }

    /// The environment and the credential of this one, and all else of another.
    pub(crate) fn with_the_rest_of(self, other: Self) -> Self {
        Self {
            environment: self.environment,
            production: None,
            sandbox: None,
            certificate: self.certificate,
            certificate_data: self.certificate_data,
            key: self.key,
            key_data: self.key_data,
            signing_key: self.signing_key,
            signing_key_data: self.signing_key_data,
            key_id: self.key_id,
            team_id: self.team_id,
            ..other
        }
    }

    /// With another time that a notification may wait for a connection in one go.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(Span(patience));
        self
    }

    /// Reads a definition from JSON, as a request brings it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let definition = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| ConfigError::parsed(&error.path().to_string(), &error.inner().to_string()))?;
        reader.end().map_err(ConfigError::whole)?;
        Ok(definition)
    }

    /// Makes relative paths start at this directory.
    pub(crate) fn rebase(&mut self, base: &Path) {
        let paths = [
            &mut self.certificate,
            &mut self.key,
            &mut self.password_file,
            &mut self.signing_key,
            &mut self.ca,
            &mut self.proxy_password_file,
            &mut self.proxy_ca,
        ];
        let others = [&mut self.production, &mut self.sandbox];
        let others = others.into_iter().flatten().flat_map(EnvironmentDefinition::paths_mut);
        for path in paths.into_iter().chain(others).flatten() {
            *path = base.join(&*path);
        }
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let paths = [
            &self.certificate,
            &self.key,
            &self.password_file,
            &self.signing_key,
            &self.ca,
            &self.proxy_password_file,
            &self.proxy_ca,
        ];
        let others = [&self.production, &self.sandbox].into_iter().flatten().flat_map(EnvironmentDefinition::paths);
        paths.into_iter().chain(others).filter_map(|path| path.as_deref())
    }

    /// Reads the files and checks what can be checked without a connection. Blocks: deriving a key from a password
    /// alone may take a second.
    pub(crate) fn resolve(&self, told: FilesToldTo) -> Result<App, ConfigError> {
        let destinations = self.destinations(told)?;
        let topic = match &self.topic {
            Some(topic) => Some(Topic::new(topic.as_str()).map_err(|error| ConfigError::at("topic", error))?),
            // A certificate whose name is no topic may still be good for notifications that name their own.
            None => destinations.iter().find_map(|destination| match &destination.credential {
                Credential::Certificate(identity) => identity.default_topic().and_then(|topic| Topic::new(topic).ok()),
                Credential::SigningKey { .. } => None,
            }),
        };
        let roots = match &self.ca {
            None => Roots::Platform,
            Some(path) => Roots::only_pem(&read("ca", path, told)?).map_err(|error| ConfigError::at("ca", error))?,
        };
        let connections = self.connections.unwrap_or(1);
        if !(1..=MOST_CONNECTIONS).contains(&connections) {
            let expected = format!("it has to be a number from 1 to {MOST_CONNECTIONS}");
            return Err(ConfigError::at("connections", expected));
        }
        let in_flight = self.in_flight.unwrap_or(match self.transport {
            Transport::Http2 => 2000 * connections,
            Transport::Binary => (20_000 * connections).min(MOST_IN_FLIGHT),
        });
        if !(1..=MOST_IN_FLIGHT).contains(&in_flight) {
            return Err(ConfigError::at("in_flight", format!("it has to be a number from 1 to {MOST_IN_FLIGHT}")));
        }
        let wrong_probes = self.wrong_probes.unwrap_or(100);
        if !(1..=MOST_WRONG_PROBES).contains(&wrong_probes) {
            let expected = format!("it has to be a number from 1 to {MOST_WRONG_PROBES}");
            return Err(ConfigError::at("wrong_probes", expected));
        }
        if self.rate == Some(0) {
            return Err(ConfigError::at("rate", "it has to be above zero; leave it out for no limit"));
        }
        if self.send_rate == Some(0) {
            return Err(ConfigError::at("send_rate", "it has to be above zero; leave it out for no limit"));
        }
        let span = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let feedback_every = span(self.feedback_every, HOUR);
        if feedback_every < Duration::from_secs(1) {
            return Err(ConfigError::at("feedback_every", "it has to be a second at least"));
        }
        let retry_within = span(self.retry.within, 24 * HOUR);
        Ok(App {
            environment: self.environment,
            destinations,
            transport: self.transport,
            topic,
            feedback_every,
            roots,
            wrong_probes,
            connections,
            in_flight,
            patience: span(self.patience, Duration::from_secs(60)).max(Duration::from_millis(100)),
            retry_within,
            send_rate: self.send_rate,
            retry: RetryPolicy::default()
                .with_retries(self.retry.attempts.unwrap_or(5))
                .with_budget(retry_within)
                .with_longest_wait(span(self.retry.longest_wait, HOUR)),
            loss: match self.loss {
                Loss::Report => LossPolicy::Report,
                Loss::Resend => LossPolicy::Resend { at_most: self.resend_at_most.unwrap_or(3) },
            },
            validate: self.validate,
            provider_api: self.provider_api,
            rate: self.rate,
        })
    }
}

/// Who hears of what is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilesToldTo {
    /// The author of the configuration: everything.
    Owner,
    /// A caller who provisions an app: not whether a file is there that may not be read.
    Caller,
}

/// Reads a small file.
pub(crate) fn read(field: &str, path: &Path, told: FilesToldTo) -> Result<zeroize::Zeroizing<Vec<u8>>, ConfigError> {
    use std::io::Read as _;
    // A key that stands where its path belongs is not to come out in an error.
    if !path.to_str().is_none_or(is_path) {
        return Err(ConfigError::at(field, "it has to be the path of a file, and this is no path"));
    }
    let cannot = |error: std::io::Error| {
        ConfigError::at(
            field,
            match told {
                FilesToldTo::Owner => format!("{} cannot be read: {error}", shown(path)),
                FilesToldTo::Caller => "it is no file that the daemon can read".to_owned(),
            },
        )
    };
    let file = open_regular(path).map_err(cannot)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(ConfigError::at(field, format_args!("{} is larger than {LARGEST_FILE} bytes", shown(path))));
    }
    Ok(bytes)
}

/// The first line of a file that holds a secret.
pub(crate) fn first_line(field: &str, path: &Path, told: FilesToldTo) -> Result<Secret, ConfigError> {
    let bytes = read(field, path, told)?;
    let cannot = |error| ConfigError::at(field, format_args!("{} cannot be read: {error}", shown(path)));
    encoding::first_line(&bytes).map(Secret::new).map_err(cannot)
}
