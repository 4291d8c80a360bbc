//! When to ask whether the service is still there.

use std::time::{Duration, Instant};

use super::Config;
use crate::Now;

/// Follows the silence of the service and the pings that break it. Pure: it sends nothing itself.
///
/// | when | what |
/// |---|---|
/// | requests are open and nothing was heard for a while (10 s) | PING |
/// | a request comes after a long silence (5 min) | PING, and the request waits for the answer |
/// | nothing is open and nothing was heard for long (1 h) | PING |
/// | a PING has no answer (10 s) | the connection is dead |
#[derive(Debug)]
pub(super) struct KeepAlive {
    when_silent: Duration,
    before_use: Duration,
    when_idle: Duration,
    timeout: Duration,
    heard: Now,
    /// Requests are open since this time.
    busy_since: Option<Instant>,
    outstanding: Option<Outstanding>,
    pings: u64,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    opaque: [u8; 8],
    sent: Instant,
    /// No request is sent before the answer.
    holds: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a PING with these bytes.
    Ping([u8; 8]),
    /// The service has not answered: it is gone.
    Dead,
}

impl KeepAlive {
    pub(super) fn new(config: &Config, now: Now) -> Self {
        Self {
            when_silent: config.ping_when_silent().max(Config::LEAST_SILENCE),
            before_use: config.ping_before_use().max(Config::LEAST_SILENCE),
            when_idle: config.ping_when_idle().max(Config::LEAST_SILENCE),
            timeout: config.ping_timeout(),
            heard: now,
            busy_since: None,
            outstanding: None,
            pings: 0,
        }
    }

    /// Bytes came.
    pub(super) const fn heard(&mut self, now: Now) {
        self.heard = now;
    }

    /// Whether requests are open.
    pub(super) fn set_busy(&mut self, now: Now, busy: bool) {
        match (busy, self.busy_since) {
            (true, None) => self.busy_since = Some(now.instant),
            (false, Some(_)) => self.busy_since = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// A PING was answered.
    pub(super) fn pong(&mut self, opaque: [u8; 8]) {
        if self.outstanding.is_some_and(|ping| ping.opaque == opaque) {
            self.outstanding = None;
        }
    }

    /// Before a request is sent: whether that has to wait for the answer to a PING. `Some` is one to be sent now.
    pub(super) fn hold(&mut self, now: Now) -> (bool, Option<[u8; 8]>) {
        if let Some(ping) = &mut self.outstanding {
            // One that only asks whether open requests are still being answered holds nothing up.
            ping.holds |= self.busy_since.is_none();
            return (ping.holds, None);
        }
        // The wall clock goes on while a computer sleeps; the monotonic one may not.
        let silence = now.instant.saturating_duration_since(self.heard.instant);
        let silence = silence.max(now.wall.saturating_since(self.heard.wall));
        if self.busy_since.is_some() || silence < self.before_use {
            return (false, None);
        }
        (true, Some(self.ping(now, true)))
    }

    /// Asks now, whatever was heard.
    pub(super) fn probe(&mut self, now: Now) -> Option<[u8; 8]> {
        self.outstanding.is_none().then(|| self.ping(now, false))
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Now) -> Due {
        if self.next().is_none_or(|time| time > now.instant) {
            return Due::Nothing;
        }
        if self.outstanding.is_some() { Due::Dead } else { Due::Ping(self.ping(now, false)) }
    }

    /// When [`due`](Self::due) has something.
    pub(super) fn next(&self) -> Option<Instant> {
        if let Some(ping) = self.outstanding {
            return ping.sent.checked_add(self.timeout);
        }
        match self.busy_since {
            Some(since) => since.max(self.heard.instant).checked_add(self.when_silent),
            None => self.heard.instant.checked_add(self.when_idle),
        }
    }

    fn ping(&mut self, now: Now, holds: bool) -> [u8; 8] {
        self.pings += 1;
        let opaque = self.pings.to_be_bytes();
        self.outstanding = Some(Outstanding { opaque, sent: now.instant, holds });
        opaque
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WallTime;
    use crate::testing::{after, start};

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn silence_with_open_requests_is_asked_about_after_ten_seconds() {
        let begin = start();
        let mut alive = KeepAlive::new(&Config::default(), begin);
        let opened = after(begin, seconds(100));
        alive.set_busy(opened, true);
        assert_eq!(alive.next(), Some(opened.instant + seconds(10)), "silence before the request does not count");
        assert_eq!(alive.due(after(opened, seconds(9))), Due::Nothing);
        alive.heard(after(opened, seconds(9)));
        assert_eq!(alive.due(after(opened, seconds(18))), Due::Nothing);
        let Due::Ping(opaque) = alive.due(after(opened, seconds(19))) else { panic!("ten seconds of silence") };
        assert_eq!(alive.due(after(opened, seconds(28))), Due::Nothing);
        alive.pong([0; 8]);
        assert_eq!(alive.next(), Some(opened.instant + seconds(29)), "that was no answer");
        alive.pong(opaque);
        alive.heard(after(opened, seconds(28)));
        assert_eq!(alive.next(), Some(opened.instant + seconds(38)));
    }

    #[test]
    fn b124_a_ping_without_an_answer_means_death() {
        let begin = start();
        let mut alive = KeepAlive::new(&Config::default(), begin);
        alive.set_busy(begin, true);
        assert!(matches!(alive.due(after(begin, seconds(10))), Due::Ping(_)));
        alive.heard(after(begin, seconds(15)));
        assert_eq!(alive.due(after(begin, seconds(19))), Due::Nothing);
        assert_eq!(alive.due(after(begin, seconds(20))), Due::Dead);
    }

    #[test]
    fn b111_the_first_request_after_five_idle_minutes_waits_for_an_answer() {
        let begin = start();
        let mut alive = KeepAlive::new(&Config::default(), begin);
        assert_eq!(alive.hold(after(begin, seconds(299))), (false, None));
        let later = after(begin, seconds(300));
        let (true, Some(opaque)) = alive.hold(later) else { panic!("five minutes of silence") };
        assert_eq!(alive.hold(later), (true, None), "asked once");
        alive.heard(after(later, seconds(1)));
        alive.pong(opaque);
        assert_eq!(alive.hold(after(later, seconds(1))), (false, None));
    }

    #[test]
    fn an_idle_connection_is_asked_every_hour() {
        let begin = start();
        let mut alive = KeepAlive::new(&Config::default(), begin);
        assert_eq!(alive.next(), Some(begin.instant + seconds(3600)));
        assert!(matches!(alive.due(after(begin, seconds(3600))), Due::Ping(_)));
        // A request that comes now must wait for this very answer.
        assert_eq!(alive.hold(after(begin, seconds(3601))), (true, None));
    }

    #[test]
    fn b52_a_sleep_that_only_the_wall_clock_saw_counts() {
        let begin = start();
        let mut alive = KeepAlive::new(&Config::default(), begin);
        let woken = Now::new(begin.instant + seconds(1), WallTime::from_secs(begin.wall.as_secs() + 3600));
        assert!(matches!(alive.hold(woken), (true, Some(_))));
    }

    #[test]
    fn never_is_never() {
        let config = Config::default()
            .with_ping_when_silent(Duration::MAX)
            .with_ping_when_idle(Duration::MAX)
            .with_ping_before_use(Duration::MAX);
        let begin = start();
        let mut alive = KeepAlive::new(&config, begin);
        assert_eq!(alive.next(), None);
        alive.set_busy(begin, true);
        assert_eq!(alive.next(), None);
        assert_eq!(alive.due(after(begin, seconds(1_000_000))), Due::Nothing);
        alive.set_busy(begin, false);
        assert_eq!(alive.hold(after(begin, seconds(1_000_000))), (false, None));
    }
}
