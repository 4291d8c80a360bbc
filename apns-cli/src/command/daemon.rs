//! Running the daemon, for the commands that do.

use std::path::{Path, PathBuf};

use apns_credentials::disclosure::shown;
use apnsd::config::{Config, ConfigError};
use apnsd::{Daemon, DaemonError, Signals};

use crate::exit::{Exit, Failure};
use crate::output::say;

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeFailure {
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

impl From<ServeFailure> for Failure {
    fn from(error: ServeFailure) -> Self {
        Self::Special(Box::new(error))
    }
}

/// One behind the colon, several each on a line of its own.
fn listed(problems: &[ConfigError]) -> String {
    let gap = if problems.len() == 1 { " " } else { "\n  " };
    problems.iter().map(|problem| format!("{gap}{problem}")).collect()
}

/// Reads the file.
pub(super) fn load(path: &Path) -> Result<Config, ServeFailure> {
    Config::load(path).map_err(|error| ServeFailure::Config { path: path.to_owned(), error })
}

/// Runs until it is told to stop.
pub(super) async fn serve(config: Config, path: Option<PathBuf>) -> Result<Exit, Failure> {
    let signals = Signals::listen().map_err(ServeFailure::Signals)?;
    config.log.install();
    let daemon = Daemon::start(config).await.map_err(ServeFailure::Start)?;
    tell(&daemon);
    daemon.run(path, signals).await;
    Ok(Exit::Fine)
}

/// Says where the interfaces are.
pub(super) fn tell(daemon: &Daemon) {
    for port in daemon.ports() {
        match port.scheme {
            Some(scheme) => say(format_args!("{}: {scheme}://{}/", port.what, port.address)),
            None => say(format_args!("{} listens at {}", port.what, port.address)),
        }
    }
}
