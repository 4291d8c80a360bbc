//! Where an app sends: one of Apple's environments, and the credential that is used there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apns_credentials::SigningKey;
use apns_proto::http2::{Authentication, CertificateTopics, KeyId, Requests, TeamId};
use apns_proto::{Topic, WallTime};
use apns_tokio::{Endpoint, Environment, Identity, Purpose, Verdict};
use serde::{Deserialize, Serialize};

use super::app::{App, FilesToldTo, Transport, first_line, read};
use super::proxy::Way;
use super::{AppDefinition, ConfigError, Secret};

/// Which environment notifications go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentChoice {
    /// For apps from the App Store and TestFlight.
    #[default]
    Production,
    /// For apps built for development.
    #[serde(alias = "development")]
    Sandbox,
    /// The daemon finds out where each device token belongs.
    Auto,
}

impl EnvironmentChoice {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Auto => "auto",
        }
    }

    /// The choice of a word: `production`, `sandbox`, which is `development` as well, or `auto`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "production" => Some(Self::Production),
            "sandbox" | "development" => Some(Self::Sandbox),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }

    /// The environment, where it is one.
    #[must_use]
    pub const fn environment(self) -> Option<Environment> {
        match self {
            Self::Production => Some(Environment::Production),
            Self::Sandbox => Some(Environment::Sandbox),
            Self::Auto => None,
        }
    }
}

impl From<Environment> for EnvironmentChoice {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Production => Self::Production,
            Environment::Sandbox => Self::Sandbox,
        }
    }
}

/// The credential of a definition: the settings have the same names in each.
macro_rules! given {
    ($of:expr) => {
        Given {
            certificate: $of.certificate.as_deref(),
            certificate_data: $of.certificate_data.as_ref(),
            key: $of.key.as_deref(),
            key_data: $of.key_data.as_ref(),
            password: $of.password.as_ref(),
            password_file: $of.password_file.as_deref(),
            signing_key: $of.signing_key.as_deref(),
            signing_key_data: $of.signing_key_data.as_ref(),
            key_id: $of.key_id.as_deref(),
            team_id: $of.team_id.as_deref(),
        }
    };
}

/// What an app has for one environment alone: a credential of its own, and where to connect.
///
/// Without a certificate and a signing key the app's own credential is used. The team is the app's where none is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentDefinition {
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
    /// The team that the signing key belongs to: ten characters. Default: that of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// Where to connect. Default: Apple's name for the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl EnvironmentDefinition {
    pub(super) fn paths(&self) -> [&Option<PathBuf>; 4] {
        [&self.certificate, &self.key, &self.password_file, &self.signing_key]
    }

    pub(super) fn paths_mut(&mut self) -> [&mut Option<PathBuf>; 4] {
        [&mut self.certificate, &mut self.key, &mut self.password_file, &mut self.signing_key]
    }

    const fn has_credential(&self) -> bool {
        self.certificate.is_some()
            || self.certificate_data.is_some()
            || self.signing_key.is_some()
            || self.signing_key_data.is_some()
    }

    fn given<'a>(&'a self, app: &'a AppDefinition) -> Given<'a> {
        Given { team_id: self.team_id.as_deref().or(app.team_id.as_deref()), ..given!(self) }
    }
}

/// How an app proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Certificate(Identity),
    SigningKey { key: SigningKey, key_id: KeyId, team_id: TeamId },
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => one == other,
            (Self::SigningKey { key, key_id, team_id }, Self::SigningKey { key: other, key_id: id, team_id: team }) => {
                key.public_key() == other.public_key() && key_id == id && team_id == team
            }
            (Self::Certificate(_), Self::SigningKey { .. }) | (Self::SigningKey { .. }, Self::Certificate(_)) => false,
        }
    }
}

/// An environment that an app sends to, with all files read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Destination {
    pub(crate) environment: Environment,
    pub(crate) credential: Credential,
    /// What the certificate says about topics.
    pub(crate) certificate_topics: Option<Arc<CertificateTopics>>,
    pub(crate) endpoint: Endpoint,
    pub(crate) feedback: Endpoint,
    pub(crate) way: Way,
}

impl Destination {
    /// How its client turns notifications into requests; `None` on the binary protocol. Whom they go to makes no difference
    /// here.
    pub(crate) fn requests(&self, app: &App) -> Option<Requests> {
        let authentication = match (app.transport, &self.credential) {
            (Transport::Binary, _) => return None,
            (Transport::Http2, Credential::SigningKey { .. }) => Authentication::Token,
            (Transport::Http2, Credential::Certificate(_)) => Authentication::Certificate,
        };
        let mut requests = Requests::new("", authentication);
        if let Some(topic) = &app.topic {
            requests = requests.with_topic(topic.clone());
        }
        Some(match &self.certificate_topics {
            Some(topics) => requests.with_certificate_topics(Arc::clone(topics)),
            None => requests,
        })
    }

    /// What there is to say about its certificate before it is used. The topic is none of it where the app does not name
    /// one, and where nobody looks at it, as the binary protocol does not.
    pub(crate) fn judge(&self, app: &App, now: WallTime) -> Option<Verdict> {
        let Credential::Certificate(identity) = &self.credential else { return None };
        let topic = match app.transport {
            Transport::Http2 => app.topic.as_ref().map(Topic::as_str),
            Transport::Binary => None,
        };
        let purpose = Purpose::default().with_topic(topic).with_environment(Some(self.environment));
        Some(identity.judge(purpose, now))
    }
}

impl AppDefinition {
    /// What the app has for one environment alone.
    #[must_use]
    pub const fn of(&self, environment: Environment) -> Option<&EnvironmentDefinition> {
        match environment {
            Environment::Production => self.production.as_ref(),
            Environment::Sandbox => self.sandbox.as_ref(),
        }
    }

    /// Whether an environment has a credential that the app's own is not.
    pub(super) fn has_credential_of_its_own(&self, environment: Environment) -> bool {
        self.of(environment).is_some_and(EnvironmentDefinition::has_credential)
    }

    /// The environments that it sends to, production first.
    fn environments(&self) -> Vec<Environment> {
        let both = self.environment == EnvironmentChoice::Auto;
        let is_its_own = |environment: &Environment| {
            both || self.environment.environment() == Some(*environment) || self.of(*environment).is_some()
        };
        [Environment::Production, Environment::Sandbox].into_iter().filter(is_its_own).collect()
    }

    pub(super) fn destinations(&self, told: FilesToldTo) -> Result<Vec<Destination>, ConfigError> {
        let environments = self.environments();
        if environments.len() > 1 && self.transport == Transport::Binary {
            return Err(ConfigError::at("environment", "the binary transport goes to one environment"));
        }
        let without_table = environments.iter().filter(|one| self.of(**one).is_none()).count();
        if without_table > 1 && (self.host.is_some() || self.port.is_some()) {
            let field = if self.host.is_some() { "host" } else { "port" };
            let problem =
                "it is for one environment, and there are two: give it in their tables, production and sandbox";
            return Err(ConfigError::at(field, problem));
        }
        environments.into_iter().map(|environment| self.destination(environment, told)).collect()
    }

    fn destination(&self, environment: Environment, told: FilesToldTo) -> Result<Destination, ConfigError> {
        let own = self.of(environment);
        let (given, field) = match own {
            Some(own) if own.has_credential() => (own.given(self), Some(environment.word())),
            _ => (self.given(), None),
        };
        let within = |error: ConfigError| match field {
            Some(field) => error.within(field),
            None => error,
        };
        let credential = given.credential(told).map_err(within)?;
        if matches!((&credential, self.transport), (Credential::SigningKey { .. }, Transport::Binary)) {
            return Err(within(ConfigError::at("signing_key", "the binary transport needs a certificate")));
        }
        let certificate_topics = match &credential {
            Credential::Certificate(identity) => Some(Arc::new(identity.certificate().push_topics())),
            Credential::SigningKey { .. } => None,
        };
        let at = |endpoint: Endpoint, host: &Option<String>, port: Option<u16>| {
            Endpoint::new(host.as_deref().unwrap_or(endpoint.host()), port.unwrap_or(endpoint.port()))
        };
        let standard = match self.transport {
            Transport::Http2 => Endpoint::provider_api(environment),
            Transport::Binary => Endpoint::gateway(environment),
        };
        let (host, port) = own.map_or((&self.host, self.port), |own| (&own.host, own.port));
        if port == Some(0) || self.feedback_port == Some(0) {
            return Err(ConfigError::at("port", "a port is a number from 1 to 65535"));
        }
        let endpoint = at(standard, host, port);
        let feedback = at(Endpoint::feedback(environment), &self.feedback_host, self.feedback_port);
        let way = Way::resolve(self, &endpoint, &feedback, told)?;
        Ok(Destination { environment, credential, certificate_topics, endpoint, feedback, way })
    }

    fn given(&self) -> Given<'_> {
        given!(self)
    }
}

/// What is given of a credential, wherever it stands.
struct Given<'a> {
    certificate: Option<&'a Path>,
    certificate_data: Option<&'a Secret>,
    key: Option<&'a Path>,
    key_data: Option<&'a Secret>,
    password: Option<&'a Secret>,
    password_file: Option<&'a Path>,
    signing_key: Option<&'a Path>,
    signing_key_data: Option<&'a Secret>,
    key_id: Option<&'a str>,
    team_id: Option<&'a str>,
}

impl Given<'_> {
    fn credential(&self, told: FilesToldTo) -> Result<Credential, ConfigError> {
        let certificate = either("certificate", self.certificate, self.certificate_data, told)?;
        let signing_key = either("signing_key", self.signing_key, self.signing_key_data, told)?;
        match (certificate, signing_key) {
            (Some(certificate), None) => self.identity(&certificate, told).map(Credential::Certificate),
            (None, Some(signing_key)) => {
                let key = SigningKey::read(&signing_key).map_err(|error| ConfigError::at("signing_key", error))?;
                let key_id = self.key_id.ok_or_else(|| ConfigError::at("key_id", "a signing key needs it"))?;
                let team_id = self.team_id.ok_or_else(|| ConfigError::at("team_id", "a signing key needs it"))?;
                Ok(Credential::SigningKey {
                    key,
                    key_id: KeyId::new(key_id).map_err(|error| ConfigError::at("key_id", error))?,
                    team_id: TeamId::new(team_id).map_err(|error| ConfigError::at("team_id", error))?,
                })
            }
            (Some(_), Some(_)) => Err(ConfigError::at("signing_key", "give a certificate or a signing key, not both")),
            (None, None) => Err(ConfigError::at("certificate", "a certificate or a signing key is needed")),
        }
    }

    fn identity(&self, certificate: &[u8], told: FilesToldTo) -> Result<Identity, ConfigError> {
        let password = match (self.password, self.password_file) {
            (Some(_), Some(_)) => return Err(ConfigError::at("password", "give a password or a file, not both")),
            (Some(password), None) => Some(password.clone()),
            (None, Some(path)) => Some(first_line("password_file", path, told)?),
            (None, None) => None,
        };
        let password = password.as_ref().map(Secret::expose);
        let key = either("key", self.key, self.key_data, told)?;
        let identity = match key {
            Some(key) => Identity::from_pem(certificate, Some(&key), password),
            None => Identity::from_bytes(certificate, password),
        };
        identity.map_err(|error| ConfigError::at("certificate", error))
    }
}

/// A thing that is in a file or in the definition itself.
fn either(
    field: &str,
    path: Option<&Path>,
    data: Option<&Secret>,
    told: FilesToldTo,
) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, ConfigError> {
    match (path, data) {
        (Some(_), Some(_)) => Err(ConfigError::at(field, format_args!("give {field} or {field}_data, not both"))),
        (Some(path), None) => read(field, path, told).map(Some),
        (None, Some(data)) => Ok(Some(data.expose().as_bytes().to_vec().into())),
        (None, None) => Ok(None),
    }
}
