//! `apns serve`: the provider daemon.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use apns_credentials::disclosure::shown;
use apnsd::Daemon;
use clap::{Args, ValueEnum};

use super::daemon::{ServeFailure, load, serve};
use super::scratch::{TOKEN, Trial};
use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::runtime::block_on;

/// The options of `apns serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// The configuration: TOML, or pyapns's own JSON file. Without it, the daemon starts in a scratch folder and sends to a
    /// simulator on this machine
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
    trial.run(|_, daemon| to_try(daemon)).await
}

fn to_try(daemon: &Daemon) -> String {
    let mut text = String::new();
    let mut add = |line: String| writeln!(text, "\n  {line}").expect("a text takes everything");
    if let Some(address) = daemon.address("pyapns.listen") {
        add(format!(
            "python3 -c 'import xmlrpc.client as x; x.ServerProxy(\"http://{address}/\", allow_none=True)\
             .notify(\"demo\", \"{TOKEN}\", {{\"aps\": {{\"alert\": \"Tea is ready\"}}}})'"
        ));
    }
    if let Some(address) = daemon.address("api.listen") {
        add(format!(
            "curl -H 'Content-Type: application/json' 'http://{address}/v1/apps/demo/notifications?wait=10s' \
             -d '{{\"token\": \"{TOKEN}\", \"payload\": {{\"aps\": {{\"alert\": \"Tea is ready\"}}}}}}'"
        ));
        add(format!("open http://{address}/ in a browser"));
    }
    text
}
