//! From settings to a connection: where to, whom to trust, whom to be, with all files read.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::encoding;
use apns_proto::http2::{Authentication, KeyId, Requests, TeamId, TokenPolicy};
use apns_proto::proxy::{Proxy, ProxyUrlError};
use apns_proto::{TextError, WallTime};
use apns_tokio::{
    CertificateEnvironment, Client, Credentials, Endpoint, Environment, Http2Builder, Identity, IdentityWarning,
    Purpose, Roots,
};

use crate::exit::Failure;
use crate::input::{Source, read_file};
use crate::output::say;
use crate::proxy::ProxyChoice;
use crate::settings::{CertificateFiles, CredentialFiles, KeyFile, Place, Settings, SettingsError};

/// The most that is read of a file with certificate authorities; all of a system's are well below it.
const LARGEST_AUTHORITIES: u64 = 16 * 1024 * 1024;

/// The most that is read of a file with a password.
const LARGEST_PASSWORD: u64 = 64 * 1024;

/// The most that is read of a client certificate or its key: a PKCS#12 file with a long chain has some ten kilobytes.
const LARGEST_CERTIFICATE: u64 = 1024 * 1024;

/// The most that is read of a file with a signing key.
const LARGEST_KEY: u64 = 64 * 1024;

/// The longest that one attempt to connect may take, whatever the timeout.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);

/// How to get to a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    pub(crate) proxy: Option<Proxy>,
    /// Whom to trust where TLS is spoken to the proxy.
    pub(crate) roots: Roots,
}

/// All that it takes to connect, but for who to be.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) endpoint: Endpoint,
    pub(crate) roots: Roots,
    pub(crate) way: Way,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// A service of the binary protocol. There is no host to fall back on: Apple's are gone.
    pub(crate) fn binary(&self) -> Result<(Connection, Identity), Failure> {
        let (Place::Host(host), port) = self.place()? else {
            return Err(Failure::Usage("no --host: Apple's binary service is gone, so name the one to use".to_owned()));
        };
        let Some(port) = port else {
            return Err(Failure::Usage("no --port: name that of the service, such as 2195 or 2196".to_owned()));
        };
        let Some(files) = self.certificate() else {
            return Err(Failure::Usage("no --cert: the binary protocol takes a client certificate".to_owned()));
        };
        let identity = files.read(None)?;
        Ok((self.connection(Endpoint::new(host, port))?, identity))
    }

    /// A service of the provider API. `apple` says where Apple has it.
    pub(crate) fn provider(
        &self,
        apple: fn(Environment) -> Endpoint,
    ) -> Result<(Connection, Credentials, Requests), Failure> {
        let (place, port) = self.place()?;
        let (endpoint, environment) = match place {
            Place::Host(host) => (Endpoint::new(host, apns_proto::http2::host::PORT), None),
            Place::Sandbox => (apple(Environment::Sandbox), Some(Environment::Sandbox)),
            Place::Production => (apple(Environment::Production), Some(Environment::Production)),
        };
        self.provider_at(endpoint, port, environment)
    }

    /// The provider API in one of Apple's environments, whichever the settings name.
    pub(crate) fn provider_in(&self, environment: Environment) -> Result<(Connection, Credentials, Requests), Failure> {
        let (_, port) = self.place()?;
        self.provider_at(Endpoint::provider_api(environment), port, Some(environment))
    }

    fn provider_at(
        &self,
        endpoint: Endpoint,
        port: Option<u16>,
        environment: Option<Environment>,
    ) -> Result<(Connection, Credentials, Requests), Failure> {
        let endpoint = match port {
            Some(port) => endpoint.with_port(port),
            None => endpoint,
        };
        let (credentials, requests) = match self.credential()? {
            Some(CredentialFiles::Certificate(files)) => {
                let identity = files.read(environment)?;
                let requests = Requests::new(endpoint.host(), Authentication::Certificate)
                    .with_certificate_topics(identity.certificate().push_topics());
                (identity.into(), requests)
            }
            Some(CredentialFiles::Key(file)) => {
                // Commands that follow each other show the service one token.
                (file.read(TokenPolicy::shared())?.into(), Requests::new(endpoint.host(), Authentication::Token))
            }
            None => {
                let message = "no credentials: give a signing key with --p8, or a client certificate with --cert";
                return Err(Failure::Usage(message.to_owned()));
            }
        };
        Ok((self.connection(endpoint)?, credentials, requests))
    }

    fn connection(&self, endpoint: Endpoint) -> Result<Connection, Failure> {
        let roots = match self.ca() {
            Some(path) => read_authorities(path)?,
            None => Roots::Platform,
        };
        let way = self.way(&endpoint)?;
        Ok(Connection { endpoint, roots, way, timeout: self.timeout() })
    }

    /// The way to this service. Where no layer says anything, it is for the variables that all programs have.
    pub(crate) fn way(&self, endpoint: &Endpoint) -> Result<Way, Failure> {
        let proxy = match self.proxy() {
            Some((_, ProxyChoice::Off, _)) => None,
            Some((layer, ProxyChoice::Url(url), password_file)) => {
                let unusable = |error: ProxyUrlError| SettingsError::Proxy { layer, error };
                let proxy: Proxy = url.expose().parse().map_err(unusable)?;
                Some(match password_file {
                    Some(path) => proxy.with_password(&read_password(&path)?).map_err(unusable)?,
                    None => proxy,
                })
            }
            None => Proxy::from_variables(endpoint.host(), endpoint.port(), |name| env::var(name).ok())
                .map_err(SettingsError::ProxyVariable)?,
        };
        let roots = match self.proxy_ca() {
            Some(path) => read_authorities(path)?,
            None => Roots::Platform,
        };
        Ok(Way { proxy, roots })
    }
}

impl CertificateFiles {
    /// Reads the files, and warns of what may be wrong with the certificate for this environment of Apple's, if it is for
    /// one. What keeps it from being used at all is said by the client.
    fn read(&self, environment: Option<Environment>) -> Result<Identity, Failure> {
        let password = match &self.password_file {
            Some(path) => Some(read_password(path)?),
            None => None,
        };
        let certificate = self.cert.read(LARGEST_CERTIFICATE)?;
        let identity = match &self.key {
            Some(key) => Identity::from_pem(&certificate, Some(&key.read(LARGEST_CERTIFICATE)?), password.as_deref()),
            None => Identity::from_bytes(&certificate, password.as_deref()),
        };
        let identity = identity.map_err(|error| Failure::Identity { place: self.cert.to_string(), error })?;
        let now = WallTime::from(std::time::SystemTime::now());
        for warning in identity.judge(Purpose::default().with_environment(environment), now).warnings {
            let remedy = match warning {
                // Private gateways have certificates of their own.
                IdentityWarning::NoPushCertificate { .. } if environment.is_none() => continue,
                IdentityWarning::OtherEnvironment { certificate: CertificateEnvironment::Development } => {
                    "; use --sandbox"
                }
                IdentityWarning::OtherEnvironment { .. } => "; leave --sandbox out",
                _ => "",
            };
            say(format_args!("apns: {}: {warning}{remedy}", self.cert));
        }
        Ok(identity)
    }
}

impl KeyFile {
    /// Reads the key, and completes the ids.
    pub(crate) fn read(&self, policy: TokenPolicy) -> Result<SigningSource, Failure> {
        let key_id = match &self.key_id {
            Some(text) => text.parse::<KeyId>().map_err(|error| id_failure("--key-id", &error))?,
            None => self.named_id().ok_or_else(|| {
                Failure::Usage("no --key-id, and the key's file is not called AuthKey_ID.p8".to_owned())
            })?,
        };
        let Some(team_id) = &self.team_id else {
            return Err(Failure::Usage("no --team-id: the developer account shows it under membership".to_owned()));
        };
        let team_id = team_id.parse::<TeamId>().map_err(|error| id_failure("--team-id", &error))?;
        let bytes = self.p8.read(LARGEST_KEY)?;
        let key = SigningKey::read(&bytes).map_err(|error| Failure::Key { place: self.p8.to_string(), error })?;
        Ok(SigningSource::with_policy(key, key_id, team_id, policy))
    }

    /// The id in the name of the file.
    pub(crate) fn named_id(&self) -> Option<KeyId> {
        KeyId::from_file_name(&self.p8.path()?.to_string_lossy())
    }
}

fn id_failure(option: &str, error: &TextError) -> Failure {
    Failure::Usage(format!("{option}: {error}"))
}

impl Connection {
    /// Begins a handle for channels or broadcasts.
    pub(crate) fn reach(self, credentials: Credentials) -> Http2Builder {
        let connect_timeout = self.connect_timeout();
        Client::http2(self.endpoint, credentials)
            .roots(self.roots)
            .proxy(self.way.proxy)
            .proxy_roots(self.way.roots)
            .connect_timeout(connect_timeout)
            .patience(self.timeout)
            .request_timeout(self.timeout)
    }

    /// The time for one attempt to connect.
    pub(crate) fn connect_timeout(&self) -> Duration {
        // A little less than the whole, so that a hanging attempt is known for what it is before patience ends.
        (self.timeout - self.timeout / 10).min(LONGEST_ATTEMPT)
    }
}

/// The certificate authorities in a file, to be trusted alone.
pub(crate) fn read_authorities(path: PathBuf) -> Result<Roots, Failure> {
    Roots::only_pem(&read_file(&path, LARGEST_AUTHORITIES)?).map_err(|error| Failure::Roots { path, error })
}

/// The first line of a file, which is a password.
pub(crate) fn read_password(path: &Path) -> Result<String, Failure> {
    let bytes = read_file(path, LARGEST_PASSWORD)?;
    encoding::first_line(&bytes).map(str::to_owned).map_err(|error| Source::File(path.to_owned()).not_text(error))
}
