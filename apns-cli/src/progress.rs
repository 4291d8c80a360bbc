//! How far the sending has come, on a standard error that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::reading::{Extent, Seen};
use crate::row::Tally;

/// A bar that draws itself on a terminal, and is nothing at all elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    extent: Extent,
    seen: Seen,
}

/// How many more have ended when the bar moves.
const STEP: u64 = 64;

impl Progress {
    /// A bar for so much. For a single notification it is not worth it.
    pub(crate) fn new(extent: Extent, seen: Seen) -> Self {
        let length = match extent {
            Extent::Notifications(0 | 1) => return Self { bar: ProgressBar::hidden(), extent, seen },
            Extent::Notifications(length) | Extent::Bytes(length) => Some(length),
            Extent::Unknown => None,
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10));
        let template = match extent {
            Extent::Notifications(_) | Extent::Bytes(_) => "{bar:30} {percent}%  {msg}  {eta} left",
            Extent::Unknown => "{spinner} {msg}  {elapsed}",
        };
        // The templates are good; a bar without one is no reason not to send.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, extent, seen }
    }

    /// One more has ended.
    pub(crate) fn ended(&self, tally: &Tally) {
        let ended = tally.total();
        if self.bar.is_hidden() || !(ended.is_multiple_of(STEP) || ended < STEP) {
            return;
        }
        self.bar.set_message(tally.to_string());
        match self.extent {
            Extent::Notifications(_) => self.bar.set_position(ended),
            Extent::Bytes(_) => self.bar.set_position(self.seen.bytes_of(ended)),
            Extent::Unknown => {}
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
