//! What happens when time passes.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Client, Phase, Waiting};
use crate::http2::Exchange;
use crate::http2::engine::client::{Fate as WireFate, Reset};
use crate::http2::keep_alive::Due;
use crate::{CloseReason, ConnectionEvent, Fate, NotSentCause, Now, Outcome, Submission, UnknownCause};

/// After so many requests in a row without an answer the service is asked with a PING whether it is there.
const UNANSWERED: u32 = 3;

impl<K, M: Exchange> Client<K, M> {
    /// The earliest of all deadlines.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.connection_deadline(), self.waiting_ends()].into_iter().flatten().min()
    }

    /// The earliest of those that say something about the connection, and not only about what waits to be sent on it.
    pub(super) fn connection_deadline(&self) -> Option<Instant> {
        [
            self.write_stalls(),
            self.drain_deadline,
            self.greeting_ends(),
            self.token_retry(),
            self.refusals.until(),
            self.request_ends(),
            self.life_ends(),
            self.keep_alive.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub(super) fn pass_deadlines(&mut self, now: Now) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now.instant);
        if passed(self.write_stalls()) {
            return self.abandon(now, CloseReason::WriteStalled);
        }
        if passed(self.drain_deadline) || passed(self.greeting_ends()) {
            return self.abandon(now, CloseReason::NoAnswer);
        }
        if passed(self.token_retry())
            && let Some(trouble) = &mut self.token_trouble
        {
            trouble.until = None;
        }
        self.refusals.pass(now.instant);
        self.give_up_requests(now);
        if passed(self.waiting_ends()) {
            self.give_up_waiting(now);
        }
        if passed(self.life_ends()) {
            self.retire(CloseReason::Finished);
        }
        match self.keep_alive.due(now) {
            Due::Nothing => {}
            Due::Ping(opaque) => self.engine.ping(opaque),
            Due::Dead => self.abandon(now, CloseReason::NoAnswer),
        }
    }

    /// Gives up the requests that have waited long enough.
    fn give_up_requests(&mut self, now: Now) {
        while let Some((stream, oldest)) = self.in_flight.first() {
            if oldest.since.checked_add(self.config.request_timeout()).is_none_or(|due| due > now.instant) {
                return;
            }
            match self.give_up_request(now, stream) {
                None => {}
                Some((submission, WireFate::NotProcessed)) => {
                    // The service took the head, and for so long opened no window for the body; or the transport took
                    // next to nothing. The same would happen to what is sent behind it.
                    let outcome = Outcome::NotSent { cause: NotSentCause::OutOfTime };
                    self.events.push_back(ConnectionEvent::Settled(submission.settle_unsent(outcome)));
                    self.retire(CloseReason::NoAnswer);
                }
                Some((submission, WireFate::Unknown)) => {
                    if !self.answered {
                        self.events.push_back(ConnectionEvent::Silent);
                    }
                    self.give_back(submission, Fate::Unknown(UnknownCause::NoAnswer));
                    self.unanswered += 1;
                }
            }
            if self.unanswered >= UNANSWERED
                && let Some(opaque) = self.keep_alive.probe(now)
            {
                self.unanswered = 0;
                self.engine.ping(opaque);
            }
        }
    }

    /// Resets the stream of a request. `None` where there is an answer after all.
    fn give_up_request(&mut self, now: Now, stream: u32) -> Option<(Submission<K, M>, WireFate)> {
        let reset = self.engine.reset(stream);
        if reset.is_none() {
            // Its event is waiting.
            self.pump(now);
        }
        let sent = self.in_flight.remove(stream)?;
        match reset {
            Some(Reset::Answered(response)) => {
                self.on_answer(now, sent, response);
                None
            }
            Some(Reset::Unanswered(fate)) => Some((sent.submission, fate)),
            None => Some((sent.submission, WireFate::Unknown)),
        }
    }

    /// Gives back what has a lower mark than this.
    pub(super) fn give_up_marked(&mut self, now: Now, mark: u64) {
        let (given_up, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.submission.mark < mark);
        self.waiting = kept;
        for Waiting { submission, .. } in given_up.into_iter().rev() {
            self.give_back(submission, Fate::NotWritten);
        }
        let streams: Vec<u32> =
            self.in_flight.iter().filter(|(_, sent)| sent.submission.mark < mark).map(|(stream, _)| stream).collect();
        for stream in streams {
            match self.give_up_request(now, stream) {
                None => {}
                Some((submission, WireFate::NotProcessed)) => self.give_back(submission, Fate::NotWritten),
                Some((submission, WireFate::Unknown)) => {
                    self.give_back(submission, Fate::Unknown(UnknownCause::NoAnswer));
                }
            }
        }
        self.pump(now);
    }

    /// Nothing was sent for as long as a request may take, although something waits.
    fn give_up_waiting(&mut self, now: Now) {
        let reason = match &self.token_trouble {
            Some(trouble) => CloseReason::NoToken { why: trouble.error.to_string().into() },
            None => CloseReason::NoAnswer,
        };
        if self.in_flight.is_empty() { self.abandon(now, reason) } else { self.retire(reason) }
    }

    fn write_stalls(&self) -> Option<Instant> {
        self.handed?.checked_add(self.config.write_timeout())
    }

    fn greeting_ends(&self) -> Option<Instant> {
        let greeted = self.engine.settings().is_some();
        self.opened.checked_add(self.config.greeting_timeout()).filter(|_| !greeted)
    }

    fn request_ends(&self) -> Option<Instant> {
        self.in_flight.first()?.1.since.checked_add(self.config.request_timeout())
    }

    fn waiting_ends(&self) -> Option<Instant> {
        self.waiting.front()?.since.max(self.used).checked_add(self.config.request_timeout())
    }

    fn life_ends(&self) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        let unused = self.waiting.is_empty() && self.in_flight.is_empty();
        let idle = self.used.checked_add(self.config.max_idle()).filter(|_| unused);
        [idle, self.opened.checked_add(self.config.max_age())].into_iter().flatten().min()
    }

    fn token_retry(&self) -> Option<Instant> {
        self.token_trouble.as_ref().and_then(|trouble| trouble.until)
    }
}
