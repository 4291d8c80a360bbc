//! How far the sending has come: a bar on a standard error that is a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use apnsd::span;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::say;
use crate::reading::{Extent, Seen};
use crate::row::Tally;

/// Tells how far it is. For a single notification that is nothing at all.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    extent: Extent,
    seen: Seen,
    pace: Pace,
    /// When the next line is due, where there is no bar.
    line_due: Option<Instant>,
}

/// How many more have ended when the bar moves.
const STEP: u64 = 64;

/// The time between two lines, where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Whether a person wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    Everything,
    Nothing,
}

impl Progress {
    /// For so much.
    pub(crate) fn new(extent: Extent, seen: Seen, telling: Telling) -> Self {
        let length = match extent {
            Extent::Notifications(length) | Extent::Bytes(length) => Some(length),
            Extent::Unknown => None,
        };
        let bar = match (extent, telling) {
            (Extent::Notifications(0 | 1), _) | (_, Telling::Nothing) => ProgressBar::hidden(),
            _ => ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10)),
        };
        let template = match extent {
            Extent::Notifications(_) | Extent::Bytes(_) => "{bar:30} {percent}%  {msg}",
            Extent::Unknown => "{spinner} {msg}  {elapsed}",
        };
        // The templates are good; a bar without one is no reason not to send.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = bar.is_hidden() && telling == Telling::Everything && !matches!(extent, Extent::Notifications(_));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let line_due = lines.then(|| Instant::now() + BETWEEN_LINES);
        Self { bar, extent, seen, pace: Pace::default(), line_due }
    }

    /// One more has ended.
    pub(crate) fn ended(&mut self, tally: &Tally) {
        let ended = tally.total();
        let nobody = self.bar.is_hidden() && self.line_due.is_none();
        if nobody || !(ended.is_multiple_of(STEP) || ended < STEP) {
            return;
        }
        let (done, whole) = match self.extent {
            Extent::Notifications(whole) => (ended, Some(whole)),
            Extent::Bytes(whole) => (self.seen.bytes_of(ended), Some(whole)),
            Extent::Unknown => (ended, None),
        };
        let now = Instant::now();
        self.pace.note(now, ended, done);
        let about = About { tally, pace: &self.pace, done, whole };
        if !self.bar.is_hidden() {
            self.bar.set_message(about.to_string());
            if whole.is_some() {
                self.bar.set_position(done);
            }
        } else if self.line_due.is_some_and(|due| due <= now) {
            match whole.filter(|whole| *whole > 0) {
                Some(whole) => say(format_args!("apns: {}%  {about}", u128::from(done) * 100 / u128::from(whole))),
                None => say(format_args!("apns: {about}")),
            }
            self.line_due = Some(now + BETWEEN_LINES);
        }
    }

    /// Does something to the terminal without the bar in its way.
    pub(crate) fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.bar.suspend(act)
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The outcomes so far, the rate, and the time left.
struct About<'a> {
    tally: &'a Tally,
    pace: &'a Pace,
    done: u64,
    whole: Option<u64>,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tally)?;
        if let Some(rate) = self.pace.rate() {
            write!(f, "; {rate} a second")?;
        }
        if let Some(left) = self.whole.and_then(|whole| self.pace.left(whole.saturating_sub(self.done))) {
            write!(f, ", {} left", span::text(left))?;
        }
        Ok(())
    }
}

/// How many looks back the pace is measured over, and how far they are apart.
const LOOKS: usize = 15;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The pace of the last quarter of a minute: outcomes can come in bursts of some seconds, and what was an hour ago tells
/// nothing of now.
#[derive(Debug, Default)]
struct Pace {
    looks: VecDeque<Look>,
    last: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    ended: u64,
    done: u64,
}

impl Pace {
    fn note(&mut self, at: Instant, ended: u64, done: u64) {
        let look = Look { at, ended, done };
        self.last = Some(look);
        if self.looks.back().is_none_or(|last| at.saturating_duration_since(last.at) >= BETWEEN_LOOKS) {
            if self.looks.len() == LOOKS {
                self.looks.pop_front();
            }
            self.looks.push_back(look);
        }
    }

    /// The first and the last look, far enough apart to say something.
    fn span(&self) -> Option<(Look, Look, f64)> {
        let (first, last) = (*self.looks.front()?, self.last?);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        (seconds >= BETWEEN_LOOKS.as_secs_f64()).then_some((first, last, seconds))
    }

    /// So many end in a second.
    fn rate(&self) -> Option<u64> {
        let (first, last, seconds) = self.span()?;
        Some(((last.ended - first.ended) as f64 / seconds).round() as u64)
    }

    /// How long it takes at this pace until so much more is done, in whole seconds.
    fn left(&self, more: u64) -> Option<Duration> {
        let (first, last, seconds) = self.span()?;
        let done = last.done.checked_sub(first.done).filter(|done| *done > 0)?;
        Some(Duration::from_secs((more as f64 * seconds / done as f64).ceil() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!((pace.rate(), pace.left(5)), (None, None));
        pace.note(start, 500_000, 70_000_000);
        assert_eq!((pace.rate(), pace.left(5)), (None, None));
        // Fast at first, then a tenth of that.
        for second in 1..=30 {
            pace.note(start + Duration::from_secs(second), 500_000 + 1000 * second, 70_000_000 + 200_000 * second);
        }
        assert_eq!((pace.rate(), pace.left(600_000)), (Some(1000), Some(Duration::from_secs(3))));
        for second in 31..=60 {
            let more = second - 30;
            pace.note(start + Duration::from_secs(second), 530_000 + 100 * more, 76_000_000 + 20_000 * more);
        }
        assert_eq!((pace.rate(), pace.left(600_001)), (Some(100), Some(Duration::from_secs(31))));
    }

    #[test]
    fn it_is_told_in_words() {
        let start = Instant::now();
        let mut tally = Tally::default();
        tally.add("accepted");
        tally.add("rejected");
        let mut pace = Pace::default();
        let about = About { tally: &tally, pace: &pace, done: 0, whole: Some(900) };
        assert_eq!(about.to_string(), "2 notifications: 1 accepted, 1 rejected");
        pace.note(start, 0, 0);
        pace.note(start + Duration::from_secs(2), 20, 300);
        let about = About { tally: &tally, pace: &pace, done: 300, whole: Some(900) };
        assert_eq!(about.to_string(), "2 notifications: 1 accepted, 1 rejected; 10 a second, 4s left");
        let about = About { whole: None, ..about };
        assert_eq!(about.to_string(), "2 notifications: 1 accepted, 1 rejected; 10 a second");
    }
}
