//! Settings in layers: the options of the command line, then `APNS_*` environment variables, then a profile of the
//! configuration file. The first layer that says something about a matter decides it.

use std::collections::BTreeMap;
use std::env::{self, VarError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_proto::proxy::{ProxyUrlError, ProxyVariableError};
use apnsd::config::{ChosenNames, Kind, Preset, Span, TomlError, toml_reader};
use clap::Args;
use serde::{Deserialize, Deserializer};

use crate::duration;
use crate::exit::Failure;
use crate::input::Source;
use crate::proxy::{ProxyChoice, ProxyFlags};
use crate::stored::Stored;

/// The service, TLS, and a client certificate.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConnectionFlags {
    /// The table of ~/.config/apns/config.toml, or of the file that APNS_CONFIG names, to take settings from that no option
    /// and no variable gives
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) profile: Option<String>,
    /// The service's host name; its certificate has to be for this name
    #[arg(long, value_name = "H", help_heading = "Connection")]
    pub(crate) host: Option<String>,
    /// The service's port
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Connection")]
    pub(crate) port: Option<u16>,
    /// A PEM file with the certificate authorities to trust, in place of those of the system
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca: Option<PathBuf>,
    /// The client certificate: PEM or PKCS#12, with its key unless that has a file of its own
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of the client certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    pub(crate) cert_key: Option<PathBuf>,
    /// A file whose first line is the password of the key or of the PKCS#12 file
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    pub(crate) cert_password_file: Option<PathBuf>,
    /// How long to be without a connection, to wait for an answer, and to wait while nothing can be written; by
    /// default 30s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_wait, help_heading = "Connection")]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) proxy: ProxyFlags,
}

/// What the HTTP/2 provider API knows beside that: its two environments, and signing keys.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProviderFlags {
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    /// Apple's development environment in place of production, for the tokens of development builds
    #[arg(long, conflicts_with = "host", help_heading = "Connection")]
    pub(crate) sandbox: bool,
    #[command(flatten)]
    pub(crate) key: KeyFlags,
}

/// A signing key for provider tokens.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeyFlags {
    /// The signing key for provider tokens, as Apple gives it out: AuthKey_….p8
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    pub(crate) p8: Option<PathBuf>,
    /// The id of the signing key, 10 characters; by default the one in the name of the file AuthKey_….p8
    #[arg(long, value_name = "ID", help_heading = "Credentials")]
    pub(crate) key_id: Option<String>,
    /// The id of the team that the key belongs to, 10 characters
    #[arg(long, value_name = "ID", help_heading = "Credentials")]
    pub(crate) team_id: Option<String>,
}

/// What one layer says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    host: Option<String>,
    port: Option<u16>,
    sandbox: Option<bool>,
    ca: Option<PathBuf>,
    proxy: Option<ProxyChoice>,
    proxy_password_file: Option<PathBuf>,
    proxy_ca: Option<PathBuf>,
    cert: Option<Stored>,
    cert_key: Option<Stored>,
    cert_password_file: Option<PathBuf>,
    p8: Option<Stored>,
    key_id: Option<String>,
    team_id: Option<String>,
    topic: Option<String>,
    #[serde(default, deserialize_with = "read_wait")]
    timeout: Option<Duration>,
}

/// A setting, as the help and `docs/configuration.md` tell of it. Its option has `-` between words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Its name in a profile.
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the page of all settings, which a test writes, has it"))]
    pub(crate) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the page of all settings, which a test writes, has it"))]
    pub(crate) preset: Preset,
}

impl Setting {
    /// The variable that gives it.
    pub(crate) fn variable(self) -> String {
        format!("APNS_{}", self.name.to_ascii_uppercase())
    }
}

const fn setting(name: &'static str, kind: Kind, preset: Preset) -> Setting {
    Setting { name, kind, preset }
}

/// All settings that a profile may have.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("host", Kind::Text, Preset::Words("Apple's for the environment; has to be given with `--binary`")),
    setting("port", Kind::Number { least: 1, most: Some(65_535) }, Preset::Words("443")),
    setting("sandbox", Kind::Flag, Preset::Value("false")),
    setting("ca", Kind::File, Preset::Words("the system's authorities")),
    setting("proxy", Kind::Secret, Preset::Words("what `HTTPS_PROXY` or `ALL_PROXY` names")),
    setting("proxy_password_file", Kind::File, Preset::Nothing),
    setting("proxy_ca", Kind::File, Preset::Words("the system's authorities")),
    setting("cert", Kind::File, Preset::Nothing),
    setting("cert_key", Kind::File, Preset::Nothing),
    setting("cert_password_file", Kind::File, Preset::Nothing),
    setting("p8", Kind::File, Preset::Nothing),
    setting("key_id", Kind::Text, Preset::Words("that in the name of the file `AuthKey_….p8`")),
    setting("team_id", Kind::Text, Preset::Nothing),
    setting("topic", Kind::Text, Preset::Words("what the certificate tells")),
    setting("timeout", Kind::Span { least: duration::SHORTEST_WAIT, most: duration::DAY }, Preset::Value("\"30s\"")),
];

/// A setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A variable has a value that it cannot have.
    #[error("{name}: {problem}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The configuration file is not what it has to be.
    #[error("{}: {problem}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// The configuration file has no such table.
    #[error("{} has no profile of the name that was asked for{}", shown(path), known_profiles(known))]
    NoProfile {
        /// The file.
        path: PathBuf,
        /// The names that are there.
        known: Vec<String>,
    },
    /// What stands for a host is none.
    #[error("the host in {layer}: {problem}")]
    Host {
        /// Which layer.
        layer: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A proxy cannot be used.
    #[error("the proxy in {layer}: {error}")]
    Proxy {
        /// Which layer.
        layer: &'static str,
        /// What is wrong with its URL.
        error: ProxyUrlError,
    },
    /// A variable that names a proxy for all programs cannot be used.
    #[error("{0}; --no-proxy does without it")]
    ProxyVariable(ProxyVariableError),
    /// A profile is wanted, and nothing says where the file is.
    #[error("there is no home directory to look for a configuration file in: name the file in APNS_CONFIG")]
    NoHome,
    /// One layer names two credentials, so neither is the first.
    #[error("{layer} name both a certificate (`cert`) and a signing key (`p8`): one of them is enough")]
    TwoCredentials {
        /// Which layer.
        layer: &'static str,
    },
    /// One layer says where to send in two ways.
    #[error("{layer} name both a host and the sandbox: one of them is enough")]
    TwoPlaces {
        /// Which layer.
        layer: &'static str,
    },
}

fn known_profiles(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; those that are there: {}", known.join(", ")) }
}

/// What keeps a text from being a host, where that can be seen.
fn no_host(text: &str) -> Option<&'static str> {
    let colons = text.matches(':').count();
    if text.contains("://") {
        Some("it is a URL: give the name alone, without https:// and without a path; the port goes to --port")
    } else if text.contains('/') {
        Some("it has a path: give the name alone")
    } else if colons == 1 || text.contains("]:") {
        Some("it has a port: give the name alone, and the port with --port")
    } else if text.is_empty() || text.contains(char::is_whitespace) {
        Some("it is no name: nothing is in it, or white space")
    } else {
        None
    }
}

/// Where to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Some host, which may be one's own.
    Host(String),
    /// Apple's development environment.
    Sandbox,
    /// Apple's production environment.
    Production,
}

/// How to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialFiles {
    /// With a client certificate.
    Certificate(CertificateFiles),
    /// With provider tokens.
    Key(KeyFile),
}

/// Where a client certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) cert: Stored,
    pub(crate) key: Option<Stored>,
    pub(crate) password_file: Option<PathBuf>,
}

/// Where a signing key is, and the ids that go with it as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFile {
    pub(crate) p8: Stored,
    pub(crate) key_id: Option<String>,
    pub(crate) team_id: Option<String>,
}

/// All layers, the first first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    layers: Vec<(&'static str, Layer)>,
}

const OPTIONS: &str = "the options";
const VARIABLES: &str = "the APNS_ variables";
const PROFILE: &str = "the profile";

/// The most that is read of a configuration file.
const LARGEST_FILE: u64 = 1024 * 1024;

/// How long to wait where nothing says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

impl ConnectionFlags {
    /// These options, and behind them the variables and the profile.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        ProviderFlags { connection: self, ..ProviderFlags::default() }.settings()
    }
}

impl ProviderFlags {
    /// These options, and behind them the variables and the profile.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        let profile = self.connection.profile.clone();
        Settings::gather(self.into_layer(), profile, &|name| env::var(name))
    }

    /// The options that only the provider API knows and that were given.
    pub(crate) const fn first_of_provider(&self) -> Option<&'static str> {
        if self.sandbox {
            Some("--sandbox")
        } else if self.key.p8.is_some() {
            Some("--p8")
        } else if self.key.key_id.is_some() {
            Some("--key-id")
        } else if self.key.team_id.is_some() {
            Some("--team-id")
        } else {
            None
        }
    }

    fn into_layer(self) -> Layer {
        let ConnectionFlags { profile: _, host, port, ca, cert, cert_key, cert_password_file, timeout, proxy } =
            self.connection;
        let KeyFlags { p8, key_id, team_id } = self.key;
        let sandbox = self.sandbox.then_some(true);
        let topic = None;
        let (cert, cert_key, p8) = (cert.map(Stored::from), cert_key.map(Stored::from), p8.map(Stored::from));
        Layer {
            host,
            port,
            sandbox,
            ca,
            proxy: proxy.choice(),
            proxy_password_file: proxy.proxy_password_file,
            proxy_ca: proxy.proxy_ca,
            cert,
            cert_key,
            cert_password_file,
            p8,
            key_id,
            team_id,
            topic,
            timeout,
        }
    }
}

/// Reads a variable; [`env::var`] outside of tests.
type Lookup<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

impl Settings {
    fn gather(options: Layer, profile: Option<String>, lookup: Lookup<'_>) -> Result<Self, Failure> {
        let mut layers = vec![(OPTIONS, options), (VARIABLES, Layer::from_variables(lookup)?)];
        let profile = match profile {
            Some(profile) => Some(profile),
            None => looked_up(lookup, "APNS_PROFILE")?,
        };
        if let Some(name) = profile {
            layers.push((PROFILE, Layer::from_file(&config_file(lookup)?, &name)?));
        }
        Ok(Self { layers })
    }

    /// What the first layer says that says something, and which layer that is.
    fn first<T>(&self, matter: impl Fn(&Layer) -> Option<T>) -> Option<(usize, T)> {
        self.layers.iter().enumerate().find_map(|(index, (_, layer))| Some((index, matter(layer)?)))
    }

    /// The same, from this layer or one that goes before it: what belongs to a matter must not come from a layer
    /// behind it.
    fn first_within<T>(&self, last: usize, matter: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        self.first(matter).filter(|(index, _)| *index <= last).map(|(_, value)| value)
    }

    /// Where to send. Without a word about it that is Apple's production environment.
    pub(crate) fn place(&self) -> Result<(Place, Option<u16>), SettingsError> {
        for (layer, said) in &self.layers {
            if said.host.is_some() && said.sandbox == Some(true) {
                return Err(SettingsError::TwoPlaces { layer });
            }
        }
        let place = self.first(|layer| match layer {
            Layer { host: Some(host), .. } => Some(Place::Host(host.clone())),
            Layer { sandbox: Some(true), .. } => Some(Place::Sandbox),
            Layer { sandbox: Some(false), .. } => Some(Place::Production),
            _ => None,
        });
        let (index, place) = place.unwrap_or((usize::MAX, Place::Production));
        if let Place::Host(host) = &place
            && let Some(problem) = no_host(host)
        {
            return Err(SettingsError::Host { layer: self.layers[index].0, problem });
        }
        Ok((place, self.first_within(index, |layer| layer.port)))
    }

    /// The certificate authorities to trust.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.first(|layer| layer.ca.clone()).map(|(_, path)| path)
    }

    /// What the first layer says that says something about the proxy, which layer that is, and the file with the password.
    pub(crate) fn proxy(&self) -> Option<(&'static str, ProxyChoice, Option<PathBuf>)> {
        let (index, choice) = self.first(|layer| layer.proxy.clone())?;
        let password_file = self.first_within(index, |layer| layer.proxy_password_file.clone());
        Some((self.layers[index].0, choice, password_file))
    }

    /// The certificate authorities to trust for the proxy.
    pub(crate) fn proxy_ca(&self) -> Option<PathBuf> {
        self.first(|layer| layer.proxy_ca.clone()).map(|(_, path)| path)
    }

    /// The client certificate.
    pub(crate) fn certificate(&self) -> Option<CertificateFiles> {
        let (index, cert) = self.first(|layer| layer.cert.clone())?;
        let key = self.first_within(index, |layer| layer.cert_key.clone());
        let password_file = self.first_within(index, |layer| layer.cert_password_file.clone());
        Some(CertificateFiles { cert, key, password_file })
    }

    /// The signing key.
    pub(crate) fn key(&self) -> Option<KeyFile> {
        let (index, p8) = self.first(|layer| layer.p8.clone())?;
        let key_id = self.first_within(index, |layer| layer.key_id.clone());
        let team_id = self.first(|layer| layer.team_id.clone()).map(|(_, id)| id);
        Some(KeyFile { p8, key_id, team_id })
    }

    /// The credential of the first layer that has one.
    pub(crate) fn credential(&self) -> Result<Option<CredentialFiles>, SettingsError> {
        for (layer, said) in &self.layers {
            match (&said.cert, &said.p8) {
                (Some(_), Some(_)) => return Err(SettingsError::TwoCredentials { layer }),
                (Some(_), None) => return Ok(self.certificate().map(CredentialFiles::Certificate)),
                (None, Some(_)) => return Ok(self.key().map(CredentialFiles::Key)),
                (None, None) => {}
            }
        }
        Ok(None)
    }

    /// The topic of notifications that name none.
    pub(crate) fn topic(&self) -> Option<String> {
        self.first(|layer| layer.topic.clone()).map(|(_, topic)| topic)
    }

    /// How long to wait.
    pub(crate) fn timeout(&self) -> Duration {
        self.first(|layer| layer.timeout).map_or(TIMEOUT, |(_, timeout)| timeout)
    }
}

impl Layer {
    fn from_variables(lookup: Lookup<'_>) -> Result<Self, SettingsError> {
        let text = |name| looked_up(lookup, name);
        let path = |name| Ok(looked_up(lookup, name)?.map(PathBuf::from));
        let stored = |name| Ok(looked_up(lookup, name)?.map(|value| Stored::in_variable(name, value)));
        Ok(Self {
            host: text("APNS_HOST")?,
            port: parsed(lookup, "APNS_PORT", |text| {
                let port = text.parse::<u16>().ok().filter(|port| *port > 0);
                port.ok_or_else(|| "it has to be a number from 1 to 65535".to_owned())
            })?,
            sandbox: parsed(lookup, "APNS_SANDBOX", |text| match text {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err("it has to be true or false".to_owned()),
            })?,
            ca: path("APNS_CA")?,
            proxy: text("APNS_PROXY")?.map(ProxyChoice::from),
            proxy_password_file: path("APNS_PROXY_PASSWORD_FILE")?,
            proxy_ca: path("APNS_PROXY_CA")?,
            cert: stored("APNS_CERT")?,
            cert_key: stored("APNS_CERT_KEY")?,
            cert_password_file: path("APNS_CERT_PASSWORD_FILE")?,
            p8: stored("APNS_P8")?,
            key_id: text("APNS_KEY_ID")?,
            team_id: text("APNS_TEAM_ID")?,
            topic: text("APNS_TOPIC")?,
            timeout: parsed(lookup, "APNS_TIMEOUT", |text| {
                duration::parse_wait(text).map_err(|error| error.to_string())
            })?,
        })
    }

    fn from_file(path: &Path, name: &str) -> Result<Self, Failure> {
        let broken = |problem| SettingsError::File { path: path.to_owned(), problem };
        let text = Source::File(path.to_owned()).read_text(LARGEST_FILE)?;
        let reader = toml_reader(&text, ChosenNames::Outermost).map_err(|error| broken(error.to_string()))?;
        let mut profiles = BTreeMap::<String, Self>::deserialize(reader)
            .map_err(|error| broken(TomlError::new(&text, &error).to_string()))?;
        let Some(layer) = profiles.remove(name) else {
            let known = profiles.into_keys().collect();
            return Err(SettingsError::NoProfile { path: path.to_owned(), known }.into());
        };
        if layer.port == Some(0) {
            return Err(broken(format!("profile `{name}`: the port has to be from 1 to 65535")).into());
        }
        // So that a profile works from every directory.
        let beside = |file: PathBuf| path.parent().map_or_else(|| file.clone(), |folder| folder.join(&file));
        Ok(Self {
            ca: layer.ca.map(beside),
            proxy_password_file: layer.proxy_password_file.map(beside),
            proxy_ca: layer.proxy_ca.map(beside),
            cert: layer.cert.map(|cert| cert.within(path.parent())),
            cert_key: layer.cert_key.map(|key| key.within(path.parent())),
            cert_password_file: layer.cert_password_file.map(beside),
            p8: layer.p8.map(|key| key.within(path.parent())),
            ..layer
        })
    }
}

/// A variable of the environment; an empty one is as good as none.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, SettingsError> {
    looked_up(&|name| env::var(name), name)
}

/// An empty variable is as good as none.
fn looked_up(lookup: Lookup<'_>, name: &'static str) -> Result<Option<String>, SettingsError> {
    match lookup(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(SettingsError::Variable { name, problem: "it is not UTF-8".to_owned() }),
    }
}

fn parsed<T>(
    lookup: Lookup<'_>,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, SettingsError> {
    let value = looked_up(lookup, name)?;
    value.map(|text| read(&text)).transpose().map_err(|problem| SettingsError::Variable { name, problem })
}

/// `APNS_CONFIG`, or `apns/config.toml` where the person's configuration is.
fn config_file(lookup: Lookup<'_>) -> Result<PathBuf, SettingsError> {
    if let Some(path) = looked_up(lookup, "APNS_CONFIG")? {
        return Ok(path.into());
    }
    let folder = match looked_up(lookup, "XDG_CONFIG_HOME")? {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&looked_up(lookup, "HOME")?.ok_or(SettingsError::NoHome)?).join(".config"),
    };
    Ok(folder.join("apns").join("config.toml"))
}

fn read_wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Span(span) = Span::deserialize(deserializer)?;
    duration::check_wait(span).map(Some).map_err(serde::de::Error::custom)
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Result<String, VarError> {
        Err(VarError::NotPresent)
    }

    fn layer(text: &str) -> Layer {
        toml::from_str(text).unwrap()
    }

    fn layers(options: &str, variables: &str, profile: &str) -> Settings {
        Settings { layers: vec![(OPTIONS, layer(options)), (VARIABLES, layer(variables)), (PROFILE, layer(profile))] }
    }

    #[test]
    fn the_first_layer_that_says_something_decides() {
        let settings = layers("timeout = '1s'", "topic = 'com.example.a'", "timeout = '2s'\ntopic = 'com.example.b'");
        assert_eq!(settings.timeout(), Duration::from_secs(1));
        assert_eq!(settings.topic().as_deref(), Some("com.example.a"));
        assert_eq!(layers("", "", "").timeout(), TIMEOUT);
    }

    #[test]
    fn a_port_belongs_to_the_host_of_its_layer() {
        let (place, port) = layers("host = 'a'", "", "host = 'b'\nport = 8443").place().unwrap();
        assert_eq!((place, port), (Place::Host("a".to_owned()), None));
        let (place, port) = layers("port = 2197", "", "sandbox = true").place().unwrap();
        assert_eq!((place, port), (Place::Sandbox, Some(2197)));
        let (place, port) = layers("", "port = 2197", "").place().unwrap();
        assert_eq!((place, port), (Place::Production, Some(2197)));
        let (place, _) = layers("", "sandbox = false", "sandbox = true").place().unwrap();
        assert_eq!(place, Place::Production);
        let both = layers("", "host = 'a'\nsandbox = true", "").place();
        assert_eq!(both, Err(SettingsError::TwoPlaces { layer: VARIABLES }));
    }

    #[test]
    fn what_is_no_host_is_said_with_what_is_meant() {
        for (host, words) in [
            ("https://api.push.apple.com", "it is a URL"),
            ("https://api.push.apple.com:443/3/device", "it is a URL"),
            ("api.push.apple.com/3/device", "it has a path"),
            ("api.push.apple.com:2197", "it has a port"),
            ("[::1]:2197", "it has a port"),
            ("api push", "white space"),
        ] {
            let error = layers("", &format!("host = '{host}'"), "").place().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(VARIABLES) && !error.contains(host), "{error}");
        }
        for host in ["api.push.apple.com", "127.0.0.1", "::1", "[::1]", "localhost"] {
            assert!(layers(&format!("host = '{host}'"), "", "").place().is_ok(), "{host}");
        }
    }

    #[test]
    fn the_credential_is_that_of_the_first_layer_that_has_one() {
        let settings = layers("p8 = 'k.p8'", "team_id = 'TEAM'\ncert = 'c.pem'", "key_id = 'OTHER'");
        let expected = KeyFile { p8: PathBuf::from("k.p8").into(), key_id: None, team_id: Some("TEAM".to_owned()) };
        assert_eq!(settings.credential(), Ok(Some(CredentialFiles::Key(expected))));
        let settings =
            layers("cert = 'new.pem'\ncert_password_file = 'pw'", "", "cert = 'old.pem'\ncert_key = 'old.key'");
        let expected =
            CertificateFiles { cert: PathBuf::from("new.pem").into(), key: None, password_file: Some("pw".into()) };
        assert_eq!(settings.credential(), Ok(Some(CredentialFiles::Certificate(expected))));
        assert_eq!(layers("", "", "").credential(), Ok(None));
        let two = layers("", "", "cert = 'c.pem'\np8 = 'k.p8'").credential();
        assert_eq!(two, Err(SettingsError::TwoCredentials { layer: PROFILE }));
    }

    #[test]
    fn the_proxy_is_that_of_the_first_layer_that_names_one_or_none() {
        let url = |text: &str| ProxyChoice::from(text.to_owned());
        let settings = layers("", "proxy = 'http://a'", "proxy = 'http://b'\nproxy_password_file = 'pw'");
        assert_eq!(settings.proxy(), Some((VARIABLES, url("http://a"), None)), "the password is for another proxy");
        let settings = layers("proxy = 'none'", "", "proxy = 'http://b'");
        assert_eq!(settings.proxy(), Some((OPTIONS, ProxyChoice::Off, None)));
        let settings = layers("proxy_password_file = 'pw'", "", "proxy = 'http://me@b'");
        assert_eq!(settings.proxy(), Some((PROFILE, url("http://me@b"), Some("pw".into()))));
        assert_eq!(layers("", "", "").proxy(), None);
        assert!(!format!("{:?}", layers("proxy = 'http://me:s3cret@a'", "", "")).contains("s3cret"));
    }

    #[test]
    fn variables_are_read_and_their_mistakes_are_named() {
        let lookup = |name: &str| match name {
            "APNS_PORT" => Ok("2197".to_owned()),
            "APNS_SANDBOX" => Ok("true".to_owned()),
            "APNS_P8" => Ok("AuthKey.p8".to_owned()),
            "APNS_TEAM_ID" => Ok(String::new()),
            other => nothing(other),
        };
        let expected = layer("port = 2197\nsandbox = true\np8 = 'AuthKey.p8'");
        assert_eq!(Layer::from_variables(&lookup), Ok(expected));
        for (name, value, words) in [
            ("APNS_PORT", "0", "APNS_PORT: it has to be a number from 1 to 65535"),
            ("APNS_SANDBOX", "yes", "APNS_SANDBOX: it has to be true or false"),
            ("APNS_TIMEOUT", "5x", "APNS_TIMEOUT: a span of time ends with its unit"),
        ] {
            let lookup = |asked: &str| if asked == name { Ok(value.to_owned()) } else { nothing(asked) };
            let error = Layer::from_variables(&lookup).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn every_setting_is_a_variable_and_a_name_in_a_profile_in_both_spellings() {
        let example = |kind| match kind {
            Kind::Number { .. } => "2197",
            Kind::Flag => "true",
            Kind::Span { .. } => "5s",
            _ => "some.text",
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        for setting in SETTINGS {
            let value = example(setting.kind);
            let variable = setting.variable();
            let lookup = |name: &str| if name == variable { Ok(value.to_owned()) } else { nothing(name) };
            let by_variable = Layer::from_variables(&lookup).unwrap();
            assert_ne!(by_variable, Layer::default(), "{variable}");
            let value = if matches!(setting.kind, Kind::Number { .. } | Kind::Flag) {
                value.to_owned()
            } else {
                format!("'{value}'")
            };
            assert_eq!(by_variable, layer(&format!("{} = {value}", setting.name)), "{variable}");
            for name in [setting.name.to_owned(), setting.name.replace('_', "-")] {
                std::fs::write(&file, format!("[my-own]\n{name} = {value}\n")).unwrap();
                let by_file = Layer::from_file(&file, "my-own").unwrap();
                assert_ne!(by_file, Layer::default(), "{name}");
            }
        }
        let error = toml::from_str::<Layer>("no_such_name = 1").unwrap_err().to_string();
        let (_, taken) = error.split_once("expected one of").unwrap();
        let taken: Vec<&str> = taken.split('`').skip(1).step_by(2).collect();
        assert_eq!(taken, SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_ends_of_what_a_number_may_be_are_the_same_everywhere() {
        let port = |text: &str| {
            let lookup = |name: &str| if name == "APNS_PORT" { Ok(text.to_owned()) } else { nothing(name) };
            Layer::from_variables(&lookup).is_ok()
        };
        assert!(port("1") && port("65535") && !port("0") && !port("65536"));
        for (value, good) in [("1", true), ("'1ms'", true), ("'1d'", true), ("0", false), ("'86401s'", false)] {
            assert_eq!(toml::from_str::<Layer>(&format!("timeout = {value}")).is_ok(), good, "{value}");
        }
    }

    #[test]
    fn the_configuration_file_is_where_the_person_keeps_such_files() {
        let lookup = |name: &str| match name {
            "HOME" => Ok("/home/someone".to_owned()),
            other => nothing(other),
        };
        assert_eq!(config_file(&lookup), Ok(PathBuf::from("/home/someone/.config/apns/config.toml")));
        let lookup = |name: &str| match name {
            "XDG_CONFIG_HOME" => Ok("/etc/some".to_owned()),
            other => nothing(other),
        };
        assert_eq!(config_file(&lookup), Ok(PathBuf::from("/etc/some/apns/config.toml")));
        assert_eq!(config_file(&nothing), Err(SettingsError::NoHome));
    }
}
