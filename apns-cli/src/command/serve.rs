//! `apns serve`: the provider daemon.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use apns_credentials::disclosure::shown;
use apnsd::config::{Config, ConfigError};
use apnsd::{Addresses, Daemon, DaemonError, Signals};
use clap::{Args, ValueEnum};

use super::block_on;
use super::scratch::{TOKEN, Trial};
use crate::exit::{Exit, Failure};
use crate::output::say;

/// The options of `apns serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// The configuration: TOML, or pyapns's own JSON file. Without it, the daemon starts in a scratch folder and sends to a
    /// pretend Apple on this machine
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the configuration and the files that it names, say what is wrong with it, and do nothing
    #[arg(long, requires = "config")]
    check: bool,
    /// Without a configuration: listen at the usual ports, or at any that are free
    #[arg(long, value_enum, default_value = "usual", conflicts_with = "config")]
    ports: Ports,
}

/// Where to listen without a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ports {
    /// 7080, and 7077 and 8088 as pyapns did
    Usual,
    /// Any that are free
    Any,
}

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeFailure {
    /// The configuration.
    #[error("{} cannot be used: {error}", shown(path))]
    Config { path: PathBuf, error: ConfigError },
    /// What it names.
    #[error("{} cannot be used:{}", shown(path), listed(problems))]
    Unusable { path: PathBuf, problems: Vec<ConfigError> },
    /// The options that stand for a configuration.
    #[error("the options cannot be used: {0}")]
    Options(ConfigError),
    /// It could not be started.
    #[error("the daemon cannot start: {0}")]
    Start(#[from] DaemonError),
    /// The system does not hand out signals.
    #[error("the daemon cannot hear when to stop: {0}")]
    Signals(std::io::Error),
}

/// One behind the colon, several each on a line of its own.
fn listed(problems: &[ConfigError]) -> String {
    let gap = if problems.len() == 1 { " " } else { "\n  " };
    problems.iter().map(|problem| format!("{gap}{problem}")).collect()
}

impl ServeFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.config {
            Some(path) => {
                let config = load(&path)?;
                if self.check {
                    let findings = config.examine(Some(SystemTime::now().into()));
                    for warning in &findings.warnings {
                        say(format_args!("apns: {}: warning: {warning}", shown(&path)));
                    }
                    if !findings.problems.is_empty() {
                        return Err(ServeFailure::Unusable { path, problems: findings.problems }.into());
                    }
                    say(format_args!("apns: {} can be used", shown(&path)));
                    return Ok(Exit::Fine);
                }
                block_on(serve(config, Some(path)))?
            }
            None => block_on(scratch(self.ports))?,
        }
    }
}

pub(super) fn load(path: &Path) -> Result<Config, ServeFailure> {
    Config::load(path).map_err(|error| ServeFailure::Config { path: path.to_owned(), error })
}

/// Runs until it is told to stop.
pub(super) async fn serve(config: Config, path: Option<PathBuf>) -> Result<Exit, Failure> {
    let signals = Signals::listen().map_err(ServeFailure::Signals)?;
    config.log.install();
    let daemon = Daemon::start(config).await.map_err(ServeFailure::Start)?;
    tell(daemon.addresses());
    daemon.run(path, signals).await;
    Ok(Exit::Fine)
}

/// Says where the interfaces are.
pub(super) fn tell(addresses: Addresses) {
    let ports = [
        ("the JSON API and the status page", "http", addresses.api),
        ("the JSON API with TLS", "https", addresses.api_tls),
        ("XML-RPC", "http", addresses.pyapns),
        ("the REST interface of pyapns", "http", addresses.pyapns_rest),
    ];
    for (what, scheme, address) in ports {
        if let Some(address) = address {
            say(format_args!("{what}: {scheme}://{address}/"));
        }
    }
    if let Some(address) = addresses.bridge {
        say(format_args!("the bridge's push gateway listens at {address}"));
    }
    if let Some(address) = addresses.bridge_feedback {
        say(format_args!("the bridge's feedback service listens at {address}"));
    }
}

/// With an app to send with.
async fn scratch(ports: Ports) -> Result<Exit, Failure> {
    let trial = Trial {
        name: "serve",
        listen: match ports {
            Ports::Usual => "",
            Ports::Any => {
                "[api]\nlisten = \"127.0.0.1:0\"\n\n[pyapns]\nlisten = \"127.0.0.1:0\"\nrest_listen = \"127.0.0.1:0\"\n\n"
            }
        },
        bridge: None,
        invitation: "Three things to try:",
    };
    trial.run(|_, addresses| to_try(addresses)).await
}

fn to_try(addresses: Addresses) -> String {
    let mut text = String::new();
    let mut add = |line: String| writeln!(text, "\n  {line}").expect("a text takes everything");
    if let Some(address) = addresses.pyapns {
        add(format!(
            "python3 -c 'import xmlrpc.client as x; x.ServerProxy(\"http://{address}/\", allow_none=True)\
             .notify(\"demo\", \"{TOKEN}\", {{\"aps\": {{\"alert\": \"Tea is ready\"}}}})'"
        ));
    }
    if let Some(address) = addresses.api {
        add(format!(
            "curl -H 'Content-Type: application/json' 'http://{address}/v1/apps/demo/notifications?wait=10s' \
             -d '{{\"token\": \"{TOKEN}\", \"payload\": {{\"aps\": {{\"alert\": \"Tea is ready\"}}}}}}'"
        ));
        add(format!("open http://{address}/ in a browser"));
    }
    text
}
