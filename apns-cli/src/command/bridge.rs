//! `apns bridge`: old binary clients deliver over today's API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use apns_credentials::disclosure::shown;
use apnsd::AppName;
use apnsd::config::{AppDefinition, BridgeClient, BridgeConfig, BridgeErrors, Config, ConfigError, PyapnsConfig};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::daemon::{ServeFailure, load, serve};
use super::scratch::{TOKEN, Trial};
use crate::arguments::parse_address;
use crate::exit::{Exit, Failure};
use crate::proxy::ProxyChoice;
use crate::runtime::block_on;
use crate::settings::{CredentialFiles, Place, ProviderFlags, Settings};
use crate::stored::Stored;

/// The options of `apns bridge`.
#[derive(Debug, Args)]
pub(crate) struct BridgeFlags {
    /// The configuration of `apns serve`, of which only the bridge and the apps are used. Without it, the options say what
    /// to send with; without those, the bridge starts in a scratch folder and sends to a simulator on this machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "client_cert", "listen", "feedback", "errors", "data",
        "server_cert", "host", "port", "ca", "proxy", "no_proxy", "cert", "p8", "sandbox", "profile"])]
    config: Option<PathBuf>,
    /// The app's bundle id; by default what the certificate says
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// A PEM file with the certificate that an old client connects with; may be given again. Without any, those are let
    /// in whose certificate names the topic
    #[arg(long, value_name = "FILE")]
    client_cert: Vec<PathBuf>,
    /// Where the push gateway listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Where the feedback service listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    feedback: Option<SocketAddr>,
    /// What becomes of a bad device token: an error response that ends the connection, or a place in the feedback list
    #[arg(long, value_enum)]
    errors: Option<Errors>,
    /// The directory of the outbox and of the bridge's own certificate; by default apns-bridge-data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The bridge's certificate in PEM, in place of one that it makes for itself
    #[arg(long, value_name = "FILE", requires = "server_key")]
    server_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    server_key: Option<PathBuf>,
    #[command(flatten)]
    provider: ProviderFlags,
}

/// What becomes of a bad device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Errors {
    Frame,
    Feedback,
}

impl From<Errors> for BridgeErrors {
    fn from(errors: Errors) -> Self {
        match errors {
            Errors::Frame => Self::Frame,
            Errors::Feedback => Self::Feedback,
        }
    }
}

/// What the app is called when there is only one.
const APP: &str = "app";

impl BridgeFlags {
    pub(crate) fn run(mut self) -> Result<Exit, Failure> {
        if let Some(path) = self.config {
            let mut config = load(&path)?;
            alone(&mut config);
            config.bridge.get_or_insert_default();
            return block_on(serve(config, Some(path)))?;
        }
        let settings = std::mem::take(&mut self.provider).settings()?;
        match settings.credential()? {
            Some(credential) => {
                let config = self.config(&settings, &credential)?;
                block_on(serve(config, None))?
            }
            None => block_on(self.scratch())?,
        }
    }

    fn config(&self, settings: &Settings, credential: &CredentialFiles) -> Result<Config, Failure> {
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from("apns-bridge-data"));
        let mut config = Config::new(data);
        alone(&mut config);
        let definition = definition(settings, credential, self.topic.clone())?;
        config.apps.insert(app_name(), definition);
        config.bridge = Some(self.bridge()?);
        // Now, and not when the first old client wonders why nothing arrives.
        config.check_apps().map_err(unusable)?;
        Ok(config)
    }

    fn bridge(&self) -> Result<BridgeConfig, Failure> {
        let mut bridge = BridgeConfig::default();
        bridge.listen = self.listen.unwrap_or(bridge.listen);
        bridge.feedback_listen = self.feedback.unwrap_or(bridge.feedback_listen);
        bridge.errors = self.errors.map_or(bridge.errors, BridgeErrors::from);
        bridge.server = self.server_cert.clone().zip(self.server_key.clone());
        for path in &self.client_cert {
            let client = BridgeClient::with_certificate_file(app_name(), path).map_err(unusable)?;
            bridge.clients.push(client);
        }
        if !bridge.clients.is_empty() {
            bridge.by_topic = Some(false);
        }
        Ok(bridge)
    }

    /// With a simulator, and an app to send with.
    async fn scratch(self) -> Result<Exit, Failure> {
        let trial = Trial {
            name: "bridge",
            listen: "[api]\nenabled = false\n[pyapns]\nenabled = false\n",
            bridge: Some(self.bridge()?),
            invitation: "Something to try:",
        };
        trial.run(|folder, daemon| to_try(folder, daemon.address("bridge.listen"))).await
    }
}

/// Nothing but the bridge.
fn alone(config: &mut Config) {
    config.api.listen = None;
    config.api.tls = None;
    config.pyapns = PyapnsConfig::new(None, None);
}

fn app_name() -> AppName {
    APP.parse().expect("three letters are a name")
}

fn unusable(error: ConfigError) -> Failure {
    ServeFailure::Options(error).into()
}

/// The app that the options describe.
fn definition(
    settings: &Settings,
    credential: &CredentialFiles,
    topic: Option<String>,
) -> Result<AppDefinition, Failure> {
    let (place, port) = settings.place()?;
    let mut members = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let path = |path: &Path| Some(Value::from(path.to_string_lossy()));
    let (environment, host) = match place {
        // Which of the two a host of one's own is makes no difference.
        Place::Host(host) => ("production", Some(host)),
        Place::Sandbox => ("sandbox", None),
        Place::Production => ("production", None),
    };
    set("environment", Some(environment.into()));
    set("host", host.map(Value::from));
    set("port", port.map(Value::from));
    set("ca", settings.ca().as_deref().and_then(path));
    set("proxy_ca", settings.proxy_ca().as_deref().and_then(path));
    match settings.proxy() {
        Some((_, ProxyChoice::Off, _)) => {}
        Some((_, ProxyChoice::Url(url), password_file)) => {
            set("proxy", Some(url.expose().into()));
            set("proxy_password_file", password_file.as_deref().and_then(path));
        }
        None => set("proxy", Some("environment".into())),
    }
    set("topic", topic.or_else(|| settings.topic()).map(Value::from));
    match credential {
        CredentialFiles::Certificate(files) => {
            set_credential("certificate", &files.cert, &mut set);
            if let Some(key) = &files.key {
                set_credential("key", key, &mut set);
            }
            set("password_file", files.password_file.as_deref().and_then(path));
        }
        CredentialFiles::Key(file) => {
            let named = || file.named_id().map(|id| id.as_str().to_owned());
            set_credential("signing_key", &file.p8, &mut set);
            set("key_id", file.key_id.clone().or_else(named).map(Value::from));
            set("team_id", file.team_id.clone().map(Value::from));
        }
    }
    AppDefinition::from_json(Value::from(members).to_string().as_bytes()).map_err(unusable)
}

/// The path of a credential, or the credential itself under the name for that.
fn set_credential(name: &str, stored: &Stored, set: &mut impl FnMut(&str, Option<Value>)) {
    match stored {
        Stored::File(path) => set(name, Some(path.to_string_lossy().into())),
        Stored::Variable { text, .. } => set(&format!("{name}_data"), Some(text.expose().into())),
    }
}

fn to_try(folder: &Path, gateway: Option<SocketAddr>) -> String {
    let Some(gateway) = gateway else { return String::new() };
    let (host, port, folder) = (gateway.ip(), gateway.port(), shown(folder));
    format!(
        "\n  apns send --binary --host {host} --port {port} --ca {folder}/data/bridge-tls/ca.pem \
         --cert {folder}/client.pem --cert-key {folder}/client.key --token {TOKEN} --body 'Tea is ready'\n\n  \
         any client of the binary protocol: point it at {host}, port {port}, with {folder}/client.pem and client.key\n"
    )
}
