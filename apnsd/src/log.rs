//! The log: to standard error, where a service manager picks it up, a line or a JSON object for each event.

use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for each event: time, level, target, text.
    #[default]
    Text,
    /// A JSON object for each event, in a line.
    Json,
}

/// How much the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What a person has to look at now.
    Error,
    /// And what may need a look.
    Warn,
    /// And what happens in the ordinary course.
    #[default]
    Info,
    /// And details.
    Debug,
}

/// The log of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogConfig {
    /// What it looks like. Default: text.
    pub format: LogFormat,
    /// How much it has. Default: info.
    pub level: LogLevel,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

impl LogConfig {
    /// Writes the events of the whole process to standard error from now on. Where another subscriber is installed, that
    /// one keeps them.
    pub fn install(self) {
        let targets = Targets::new().with_default(LevelFilter::WARN).with_target("apnsd", self.level);
        let fmt = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        let registry = tracing_subscriber::registry().with(targets);
        // An embedding program that has a log of its own keeps it.
        let _other = match self.format {
            LogFormat::Text => registry.with(fmt).try_init(),
            LogFormat::Json => registry.with(fmt.json().flatten_event(true)).try_init(),
        };
    }
}
