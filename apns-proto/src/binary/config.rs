//! How a binary connection behaves.

use std::time::Duration;

use super::{Format, Limits};

/// Settings of a binary connection. All have a default; setters can be chained.
///
/// ```
/// use std::time::Duration;
/// use apns_proto::binary::{Config, Format};
///
/// let config = Config::default().with_format(Format::Enhanced).with_quiet_time(Duration::from_secs(5));
/// assert_eq!(config.quiet_time(), Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    format: Format,
    limits: Limits,
    window_count: usize,
    window_bytes: usize,
    quiet_time: Duration,
    answer_timeout: Duration,
    write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::default(),
            limits: Limits::FROM_2014,
            window_count: 100_000,
            window_bytes: 16 * 1024 * 1024,
            quiet_time: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The format that notifications are written in. Default: command 2, the only one with a priority.
    ///
    /// Command 0 carries no identifier: a refusal cannot be attributed, and leaves all in the window in doubt.
    #[must_use]
    pub const fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// The limits on token and payload. Default: those in force from 2014 on, payloads up to 2048 bytes.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The most notifications without an outcome on one connection. Default: 100 000; at least 1. Each costs about 250
    /// bytes of memory beside its payload.
    #[must_use]
    pub fn with_window_count(mut self, count: usize) -> Self {
        self.window_count = count.max(1);
        self
    }

    /// The most bytes, as written, without an outcome on one connection. Default: 16 MiB. One notification is always
    /// taken.
    #[must_use]
    pub const fn with_window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// How long the gateway must stay silent after the transport took a notification until it is presumed accepted.
    /// Default: 3 s. Error responses have been seen to take 200 ms and more.
    #[must_use]
    pub const fn with_quiet_time(mut self, time: Duration) -> Self {
        self.quiet_time = time;
        self
    }

    /// How long to wait for the answer to a probe. Default: 30 s.
    #[must_use]
    pub const fn with_answer_timeout(mut self, time: Duration) -> Self {
        self.answer_timeout = time;
        self
    }

    /// How long the transport may take no bytes while there are some for it. Default: 30 s.
    #[must_use]
    pub const fn with_write_timeout(mut self, time: Duration) -> Self {
        self.write_timeout = time;
        self
    }

    /// The format that notifications are written in.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// The limits on token and payload.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// The most notifications without an outcome on one connection.
    #[must_use]
    pub const fn window_count(&self) -> usize {
        self.window_count
    }

    /// The most bytes without an outcome on one connection.
    pub(crate) const fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// The quiet time.
    #[must_use]
    pub const fn quiet_time(&self) -> Duration {
        self.quiet_time
    }

    /// How long to wait for the answer to a probe.
    pub(crate) const fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// How long the transport may take no bytes.
    pub(crate) const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }
}
