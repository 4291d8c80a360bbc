//! One timer for whatever deadline comes next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::Clock;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Wakes a task when a deadline that keeps moving has come, and says when deadlines may be judged.
///
/// A timer that is armed too early is left alone: the task wakes, finds nothing due and arms it anew. So deadlines that
/// move on with every packet cost nothing.
///
/// Bytes that are there are read before a deadline is judged. That takes two things after the process has stood still: the
/// runtime must have looked which sockets have something, and the task must have read them empty. A timer that goes off
/// says the first, because a runtime looks at its sockets before its timers; the task says the second.
pub(crate) struct Alarm<C> {
    clock: C,
    armed: Option<(Instant, Sleep)>,
    /// A timer went off, and nothing was judged since.
    rung: bool,
    /// How often there was still something to read since.
    looks: u32,
}

/// After so many looks deadlines are judged although there is more to read: a look takes up to 128 KiB, and no socket holds
/// 16 MiB, so what is read now was not there when the timer went off.
const LOOKS: u32 = 128;

impl<C: Clock> Alarm<C> {
    pub(crate) fn new(clock: C) -> Self {
        Self { clock, armed: None, rung: false, looks: 0 }
    }

    /// Ready when a timer went off: look at the clock, read, and ask again.
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
        self.rung = true;
        Poll::Ready(())
    }

    /// Whether to judge deadlines now, with the time that was read before the sockets were. `drained` says that nothing
    /// was left to read.
    pub(crate) fn may_judge(&mut self, drained: bool) -> bool {
        if !self.rung {
            return false;
        }
        self.looks += 1;
        let judges = drained || self.looks > LOOKS;
        if judges {
            self.rung = false;
            self.looks = 0;
        }
        judges
    }
}

impl<C> fmt::Debug for Alarm<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("armed", &self.armed.as_ref().map(|(at, _)| at)).finish_non_exhaustive()
    }
}
