//! The loop for one machine on one stream.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use apns_proto::{End, Machine};
use futures_io::{AsyncRead, AsyncWrite};

use crate::Clock;
use crate::alarm::Alarm;
use crate::pump::{Pump, Pumped};

/// How many turns one wake-up may take before other tasks get theirs.
const TURNS: usize = 16;

/// Drives a machine over a stream until both are done, handing out each event as it comes.
///
/// This is the loop that the [`Machine`] contract describes. It holds no protocol knowledge. The future is
/// cancel-safe in the sense that dropping it closes the stream; the machine then has had no end.
pub async fn drive<C, S, M>(clock: C, stream: S, machine: &mut M, mut on_event: impl FnMut(&mut M, M::Event))
where
    C: Clock,
    S: AsyncRead + AsyncWrite + Unpin,
    M: Machine,
{
    drive_with(clock, stream, |_: &io::Error| End::Cut, machine, &mut on_event).await;
}

pub(crate) async fn drive_with<C, S, M>(
    clock: C,
    stream: S,
    end_of: fn(&io::Error) -> End,
    machine: &mut M,
    on_event: &mut impl FnMut(&mut M, M::Event),
) where
    C: Clock,
    S: AsyncRead + AsyncWrite + Unpin,
    M: Machine,
{
    let mut pump = Pump::new(stream, end_of);
    let mut alarm = Alarm::new(clock.clone());
    let now = clock.now();
    if machine.poll_timeout().is_some_and(|due| due <= now.instant) {
        machine.handle_timeout(now);
    }
    poll_fn(|cx| {
        // Looked at also where the stream never rests.
        let deadline = [machine.poll_timeout(), pump.deadline()].into_iter().flatten().min();
        let _ = alarm.poll(cx, deadline);
        for _ in 0..TURNS {
            let now = clock.now();
            let before = machine.poll_timeout();
            let mut pumped = pump.poll(cx, now, machine);
            let deadline = machine.poll_timeout();
            // What was set just now for just now is no deadline that a peer could have kept.
            let at_once = deadline != before && pump.is_drained();
            let judges = alarm.may_judge(pump.is_drained()) || at_once;
            if judges && deadline.is_some_and(|due| due <= now.instant) {
                machine.handle_timeout(now);
                if pumped == Pumped::Idle {
                    pumped = Pumped::Moved;
                }
            }
            while let Some(event) = machine.poll_event() {
                on_event(machine, event);
            }
            match pumped {
                Pumped::Over => return Poll::Ready(()),
                Pumped::Moved => continue,
                Pumped::Idle => {}
            }
            let deadline = [machine.poll_timeout(), pump.deadline()].into_iter().flatten().min();
            if alarm.poll(cx, deadline).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
