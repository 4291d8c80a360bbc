//! One timer for whatever deadline comes next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::Clock;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Wakes a task when a deadline that keeps moving has come.
///
/// A timer that is armed too early is left alone: the task wakes, finds nothing due and arms it anew. So deadlines that
/// move on with every packet cost nothing.
pub(crate) struct Alarm<C> {
    clock: C,
    armed: Option<(Instant, Sleep)>,
}

impl<C: Clock> Alarm<C> {
    pub(crate) fn new(clock: C) -> Self {
        Self { clock, armed: None }
    }

    /// Ready when a timer went off: look at the clock and ask again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.armed.as_ref().is_none_or(|(at, _)| *at > deadline) {
            self.armed = Some((deadline, Box::pin(self.clock.sleep_until(deadline))));
        }
        let Some((_, sleep)) = &mut self.armed else { return Poll::Pending };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.armed = None;
        Poll::Ready(())
    }
}

impl<C> fmt::Debug for Alarm<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("armed", &self.armed.as_ref().map(|(at, _)| at)).finish_non_exhaustive()
    }
}
