//! One timer for whatever deadline comes next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::Clock;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Wakes a task when a deadline that keeps moving has come, and says when deadlines may be judged.
///
/// A timer that is armed too early is left alone: the task wakes, finds nothing due and arms it anew. So deadlines that
/// move on with every packet cost nothing.
///
/// Bytes that are there are read before a deadline is judged. That takes two things after the process has stood still: the
/// runtime must have looked which sockets have something, and the task must have read them empty. A timer that goes off
/// does not say the first: the runtime may wake with its timers alone (`epoll_wait` is interrupted where a stopped process
/// goes on). So a second, short timer is set then. Before it can go off, the runtime has waited for its sockets once more.
/// The task says the second.
pub(crate) struct Alarm<C> {
    clock: C,
    armed: Option<(Instant, Sleep)>,
    /// The timer went off, and the runtime is to look at its sockets.
    look: Option<Look>,
    /// It has, and nothing was judged since.
    rung: bool,
    /// How often there was still something to read since.
    looks: u32,
}

/// The runtime's look at its sockets.
struct Look {
    due: Instant,
    sleep: Sleep,
    tries: u32,
}

/// How long a look takes.
const LOOK: Duration = Duration::from_millis(1);

/// A look that ends so much too late was interrupted as well, and is taken again, for so many times.
const LATE: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;

/// After so many looks deadlines are judged although there is more to read: a look takes up to 128 KiB, and no socket holds
/// 16 MiB, so what is read now was not there when the timer went off.
const LOOKS: u32 = 128;

impl<C: Clock> Alarm<C> {
    pub(crate) fn new(clock: C) -> Self {
        Self { clock, armed: None, look: None, rung: false, looks: 0 }
    }

    /// Ready when a deadline has come and the runtime has looked at its sockets since: look at the clock, read, and ask
    /// again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        if let Some(look) = &mut self.look {
            if look.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let (tries, late) = (look.tries, self.clock.now().instant.saturating_duration_since(look.due) > LATE);
            self.look = None;
            if late && tries < TRIES {
                return self.poll_look(cx, tries + 1);
            }
            self.rung = true;
            return Poll::Ready(());
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.armed.as_ref().is_none_or(|(at, _)| *at > deadline) {
            self.armed = Some((deadline, Box::pin(self.clock.sleep_until(deadline))));
        }
        let Some((_, sleep)) = &mut self.armed else { return Poll::Pending };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.armed = None;
        self.poll_look(cx, 1)
    }

    fn poll_look(&mut self, cx: &mut Context<'_>, tries: u32) -> Poll<()> {
        let due = self.clock.now().instant + LOOK;
        let mut sleep: Sleep = Box::pin(self.clock.sleep_until(due));
        // Nothing lets it go off at once but a clock that stands still for nobody; then the look is over.
        let poll = sleep.as_mut().poll(cx);
        if poll.is_pending() {
            self.look = Some(Look { due, sleep, tries });
        } else {
            self.rung = true;
        }
        poll
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
