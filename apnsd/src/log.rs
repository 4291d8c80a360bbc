//! The log: to standard error, where a service manager picks it up, a line or a JSON object for each event.

use std::io::{self, Write};

use apns_proto::Escaped;
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
        let fmt = tracing_subscriber::fmt::layer().with_ansi(false);
        let registry = tracing_subscriber::registry().with(targets);
        // An embedding program that has a log of its own keeps it.
        let _other = match self.format {
            LogFormat::Text => registry.with(fmt.with_writer(|| OneLine(io::stderr()))).try_init(),
            LogFormat::Json => registry.with(fmt.json().flatten_event(true).with_writer(io::stderr)).try_init(),
        };
    }
}

/// Writes each event as one line, whatever words of a peer are in it: it comes in one call, with the end of its line.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        write!(self.0, "{}{end}", Escaped(line))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_a_peer_says() {
        let mut log = OneLine(Vec::new());
        log.write_all(b"WARN apnsd: shop: refused: Bad\n2026-01-01 INFO apnsd: all is well \x1b[2J\n").unwrap();
        let text = String::from_utf8(log.0).unwrap();
        assert_eq!(text, "WARN apnsd: shop: refused: Bad\\n2026-01-01 INFO apnsd: all is well \\u{1b}[2J\n");
    }
}
