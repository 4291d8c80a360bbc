//! How a connection to the provider API behaves.

use std::time::Duration;

/// Settings of a [`Client`](super::Client). All have a default; setters can be chained. A span of [`Duration::MAX`] means
/// never.
///
/// ```
/// use std::time::Duration;
/// use apns_proto::http2::Config;
///
/// let config = Config::default().with_request_timeout(Duration::from_secs(10)).with_max_streams(200);
/// assert_eq!(config.max_streams(), 200);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    request_timeout: Duration,
    greeting_timeout: Duration,
    write_timeout: Duration,
    ping_when_silent: Duration,
    ping_before_use: Duration,
    ping_when_idle: Duration,
    ping_timeout: Duration,
    max_idle: Duration,
    max_age: Duration,
    max_streams: usize,
    max_requests: u32,
}

/// How many streams one connection can have: the odd identifiers up to 2^31 - 1 (RFC 9113 section 5.1.1).
const ALL_STREAMS: u32 = 1 << 30;

/// With less, connections would end before they are of use.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

impl Default for Config {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            greeting_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            ping_when_silent: Duration::from_secs(10),
            ping_before_use: Duration::from_secs(5 * 60),
            ping_when_idle: Duration::from_secs(60 * 60),
            ping_timeout: Duration::from_secs(10),
            max_idle: Duration::MAX,
            max_age: Duration::MAX,
            max_streams: 1000,
            max_requests: ALL_STREAMS,
        }
    }
}

impl Config {
    /// With a shorter one, a connection would be nothing but PINGs.
    pub(super) const LEAST_SILENCE: Duration = Duration::from_secs(1);

    /// How long a request waits for its answer before it is given up. Default: 30 s.
    #[must_use]
    pub const fn with_request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// How long the service may take for its first word (SETTINGS) after the connection was opened. Default: 10 s.
    #[must_use]
    pub const fn with_greeting_timeout(mut self, time: Duration) -> Self {
        self.greeting_timeout = time;
        self
    }

    /// How long the transport may take no bytes while there are some for it. Default: 30 s.
    #[must_use]
    pub const fn with_write_timeout(mut self, time: Duration) -> Self {
        self.write_timeout = time;
        self
    }

    /// After how much silence a PING asks whether the service is still there while requests are open. Default: 10 s; at
    /// least a second counts.
    #[must_use]
    pub const fn with_ping_when_silent(mut self, time: Duration) -> Self {
        self.ping_when_silent = time;
        self
    }

    /// After how much silence an unused connection is asked with a PING before it is used again. The request waits for the
    /// answer, so that it is not lost on a connection that died unnoticed. Default: 5 min; at least a second counts.
    #[must_use]
    pub const fn with_ping_before_use(mut self, time: Duration) -> Self {
        self.ping_before_use = time;
        self
    }

    /// After how much silence an unused connection is asked with a PING anyway. Default: 1 h, which is Apple's advice
    /// (*Sending notification requests to APNs*); at least a second counts.
    #[must_use]
    pub const fn with_ping_when_idle(mut self, time: Duration) -> Self {
        self.ping_when_idle = time;
        self
    }

    /// How long a PING waits for its answer before the connection is given up. Default: 10 s.
    #[must_use]
    pub const fn with_ping_timeout(mut self, time: Duration) -> Self {
        self.ping_timeout = time;
        self
    }

    /// After how long without a request the connection is closed. Default: never; Apple asks to keep connections open. At
    /// least a second.
    #[must_use]
    pub fn with_max_idle(mut self, time: Duration) -> Self {
        self.max_idle = time.max(SHORTEST_LIFE);
        self
    }

    /// How old a connection gets before another one takes over. Default: no limit; at least a second. Apple takes
    /// connections that come and go quickly for an attack.
    #[must_use]
    pub fn with_max_age(mut self, time: Duration) -> Self {
        self.max_age = time.max(SHORTEST_LIFE);
        self
    }

    /// The most requests open at once, whatever the service allows. Default: 1000, as many as the service has been seen to
    /// allow; at least 1. Each costs about two kilobytes beside its payload.
    #[must_use]
    pub fn with_max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams.max(1);
        self
    }

    /// How many requests one connection carries before another one takes over. Default: 2^30, where the identifiers of
    /// HTTP/2 run out; at least 1.
    #[must_use]
    pub fn with_max_requests(mut self, requests: u32) -> Self {
        self.max_requests = requests.clamp(1, ALL_STREAMS);
        self
    }

    /// How long a request waits for its answer.
    pub(crate) const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// How long the service may take for its first word.
    pub(crate) const fn greeting_timeout(&self) -> Duration {
        self.greeting_timeout
    }

    /// How long the transport may take no bytes.
    pub(crate) const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// After how much silence a PING is sent while requests are open.
    pub(crate) const fn ping_when_silent(&self) -> Duration {
        self.ping_when_silent
    }

    /// After how much silence a PING is sent before the next request.
    pub(crate) const fn ping_before_use(&self) -> Duration {
        self.ping_before_use
    }

    /// After how much silence a PING is sent in any case.
    pub(crate) const fn ping_when_idle(&self) -> Duration {
        self.ping_when_idle
    }

    /// How long a PING waits for its answer.
    pub(crate) const fn ping_timeout(&self) -> Duration {
        self.ping_timeout
    }

    /// After how long without a request the connection is closed.
    #[must_use]
    pub const fn max_idle(&self) -> Duration {
        self.max_idle
    }

    /// How old a connection gets.
    pub(crate) const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The most requests open at once.
    #[must_use]
    pub const fn max_streams(&self) -> usize {
        self.max_streams
    }

    /// The last stream identifier that is used.
    pub(super) const fn last_stream(&self) -> u32 {
        2 * (self.max_requests - 1) + 1
    }
}
