//! How far a batch has come, on a standard error that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::row::Tally;

/// A bar that draws itself on a terminal, and is nothing at all elsewhere.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many notifications, or one without an end where nobody knows how many there are.
    pub(crate) fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let template = match total {
            Some(_) => "{bar:30} {pos}/{len}  {msg}  {per_sec}  {eta} left",
            None => "{spinner} {pos}  {msg}  {per_sec}  {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self(bar)
    }

    /// None at all.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// One more has ended.
    pub(crate) fn ended(&self, tally: &Tally) {
        self.0.inc(1);
        if !self.0.is_hidden() && tally.total().is_multiple_of(64) {
            self.0.set_message(format!("{} accepted", tally.of("accepted")));
        }
    }

    /// Does something to the terminal without the bar in its way.
    pub(crate) fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.suspend(act)
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
