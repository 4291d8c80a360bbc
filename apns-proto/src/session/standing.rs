//! Whether the service takes the credential, and what is tried where it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DialFailure, DialStep, LinkId, LinkState, Opener, Phase, Session, SessionEvent};
use crate::{Backoff, CloseReason, Connection, CredentialRefusal, NotSentCause, Now, RefusalPolicy};

/// Why a session sends nothing for now, and when it tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// [`NotSentCause::CredentialRefused`], or [`NotSentCause::Stopped`] where the server is not the one that is meant or
    /// cannot be trusted, or a proxy does not let this client through.
    pub cause: NotSentCause,
    /// How many attempts failed so, in a row.
    pub attempts: u32,
    /// When the next attempt is due. It needs something to send.
    pub until: Instant,
}

/// The wait after a refusal: the first, and the limit to which it doubles.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// How often the clocks are compared during a pause: what is refused for a wrong clock goes on soon after that is set.
const CLOCK_LOOK: Duration = Duration::from_secs(5);

/// A wall clock that moves so much against the monotonic one was set.
const CLOCK_STEP: Duration = Duration::from_secs(60);

/// How many notifications a session that waits holds, so that each attempt is made with another one: what is wrong may be
/// wrong with one of them alone.
pub(super) const CANDIDATES: usize = 16;

#[derive(Debug)]
pub(super) struct Standing {
    pause: Option<State>,
    backoff: Backoff,
    /// What older links than this one say about the credential is no news.
    since: LinkId,
    /// The credential changed, or may have, after older links than this one were asked for: that these are refused is no
    /// news either.
    changed: LinkId,
    /// The service refused a provider token, and another one is tried.
    renewing: bool,
    /// Another session makes the attempts.
    stands_by: bool,
}

#[derive(Debug)]
struct State {
    pause: Pause,
    /// The attempt that was due has begun.
    tried: bool,
    /// The clocks as they were.
    clocks: Now,
    /// When they are compared.
    look: Instant,
}

impl Standing {
    pub(super) const fn new(seed: u64) -> Self {
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1, seed);
        let none = LinkId(0);
        Self { pause: None, backoff, since: none, changed: none, renewing: false, stands_by: false }
    }

    /// Whether what this link says against the credential is known, or about an older one.
    const fn is_no_news(&self, link: LinkId) -> bool {
        link.0 < self.since.0 || link.0 < self.changed.0
    }

    pub(super) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref().map(|state| &state.pause)
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Whether the next attempt is another session's.
    pub(super) const fn stands_by(&self) -> bool {
        self.stands_by && self.is_paused()
    }

    /// Until when nothing is tried.
    pub(super) fn until(&self) -> Option<Instant> {
        self.pause.as_ref().map(|state| state.pause.until)
    }

    /// Whether nothing is to be tried at this time.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| until > now)
    }

    /// When the clocks are compared: not once the next attempt is due anyway.
    pub(super) fn look(&self) -> Option<Instant> {
        self.pause.as_ref().map(|state| state.look).filter(|look| self.rests(*look))
    }

    /// Whether the next attempt has not begun.
    pub(super) fn has_attempt_ahead(&self) -> bool {
        self.pause.as_ref().is_some_and(|state| !state.tried)
    }

    /// An attempt begins. Says whether it is the one that was due after the pause.
    pub(super) fn begin(&mut self) -> bool {
        self.pause.as_mut().is_some_and(|state| !std::mem::replace(&mut state.tried, true))
    }
}

impl<P: Opener<K>, K> Session<P, K> {
    /// Why nothing is sent for now: the service refuses the credential, the server is not the one that is meant, or a proxy
    /// does not let this client through.
    #[must_use]
    pub fn pause(&self) -> Option<&Pause> {
        self.standing.pause()
    }

    /// Says whether another session with the same credential makes the attempts for this one as well: while this one
    /// pauses, it opens no connection then. Sessions that share a credential would otherwise try it once each.
    pub fn stand_by(&mut self, now: Now, stands_by: bool) {
        if std::mem::replace(&mut self.standing.stands_by, stands_by) && !stands_by {
            let now = self.forward(now);
            self.advance(now);
        }
    }

    /// The service refused the credential of another session again: this one, if it pauses, tries no earlier than that.
    pub fn rest(&mut self, until: Instant) {
        if let Some(state) = &mut self.standing.pause {
            state.pause.until = state.pause.until.max(until);
        }
    }

    /// The service took the credential from another session: this one pauses no longer. Says whether it did; there is no
    /// [`Resumed`](SessionEvent::Resumed) for it.
    pub fn resume(&mut self, now: Now) -> bool {
        let paused = self.standing.pause.take().is_some();
        if paused {
            let now = self.forward(now);
            self.standing.renewing = false;
            self.standing.backoff.succeeded();
            self.not_before = None;
            self.advance(now);
        }
        paused
    }

    /// The credential was mended, or may have been: what waits for that is tried at once, and not after the back-off.
    pub fn credential_changed(&mut self, now: Now) {
        let now = self.forward(now);
        self.standing.changed = LinkId(self.next_link);
        let Some(state) = &mut self.standing.pause else { return };
        state.clocks = now;
        state.tried = false;
        state.pause.until = now.instant;
        let cause = state.pause.cause.clone();
        self.standing.backoff.succeeded();
        self.not_before = None;
        self.events.push_back(SessionEvent::Paused { cause, retry_in: Duration::ZERO });
        self.advance(now);
    }

    /// Compares the clocks when that is due.
    pub(super) fn look_at_clocks(&mut self, now: Now) {
        let Some(state) = self.standing.pause.as_mut().filter(|state| state.look <= now.instant) else { return };
        state.look = now.instant + CLOCK_LOOK;
        if now.stepped_since(state.clocks) > CLOCK_STEP {
            self.credential_changed(now);
        }
    }

    /// The service gave an answer that is no refusal of the credential.
    pub(super) fn credential_taken(&mut self, link: LinkId) {
        if link < self.standing.since {
            return;
        }
        self.standing.since = link;
        self.standing.renewing = false;
        if self.standing.pause.take().is_some() {
            self.standing.backoff.succeeded();
            self.events.push_back(SessionEvent::Resumed);
        }
    }

    /// The service refused the credential on this link. With `renewed` there may be another provider token, which is tried
    /// once without a pause.
    pub(super) fn credential_refused(
        &mut self,
        now: Now,
        link: LinkId,
        refusal: Arc<CredentialRefusal>,
        renewed: bool,
    ) {
        if self.standing.is_no_news(link) || self.stopped.is_some() {
            return;
        }
        if renewed && !self.standing.renewing && !self.standing.is_paused() {
            self.standing.since = LinkId(self.next_link);
            self.standing.renewing = true;
            // It answered: the connection that is waited for next is another one.
            self.waiting_since = None;
            // A token signed in the same second would be the same one.
            if !self.links.iter().any(|open| open.id == link && open.answered) {
                self.failed(now, Arc::from(refusal.to_string()));
            }
            return;
        }
        self.pause_for(now, link, NotSentCause::CredentialRefused(refusal));
    }

    /// Going on at once is pointless: a person has to act, or a clock to be set.
    pub(super) fn pause_for(&mut self, now: Now, link: LinkId, cause: NotSentCause) {
        if self.standing.is_no_news(link) || self.stopped.is_some() {
            return;
        }
        self.standing.since = LinkId(self.next_link);
        // What these would say of the credential is known. One that is being opened is not wanted any more.
        for link in &mut self.links {
            link.taking = false;
            if let LinkState::Open(connection) = &mut link.state {
                connection.drain(now, None);
            }
        }
        if self.config.refusal_policy() == RefusalPolicy::Stop {
            return self.stop(cause);
        }
        let retry_in = self.standing.backoff.failed();
        self.standing.pause = Some(State {
            pause: Pause {
                cause: cause.clone(),
                attempts: self.standing.backoff.failures(),
                until: now.instant + retry_in,
            },
            tried: false,
            clocks: now,
            look: now.instant + CLOCK_LOOK,
        });
        self.events.push_back(SessionEvent::Paused { cause, retry_in });
    }

    /// What a connection that ended, or could not be opened, says about the credential and the server.
    pub(super) fn note_ending(&mut self, now: Now, link: LinkId, reason: &CloseReason) -> bool {
        if let Some(refusal) = reason.credential_refusal() {
            let renewed = refusal.reason() == Some(EXPIRED);
            self.credential_refused(now, link, refusal, renewed);
        } else if reason.is_fatal() {
            self.pause_for(now, link, NotSentCause::Stopped(Arc::from(reason.to_string())));
        } else {
            return false;
        }
        true
    }

    /// The same for an attempt to connect.
    pub(super) fn note_dial_failure(&mut self, now: Now, link: LinkId, failure: DialFailure) {
        self.events.push_back(SessionEvent::DialFailed { link, failure: failure.clone() });
        let refusal = match failure.step {
            _ if !failure.fatal => return self.failed(now, Arc::from(failure.to_string())),
            DialStep::Certificate => CredentialRefusal::Tls(failure.message),
            DialStep::Identity => CredentialRefusal::NotValidNow(failure.message),
            _ => return self.pause_for(now, link, NotSentCause::Stopped(Arc::from(failure.to_string()))),
        };
        self.credential_refused(now, link, Arc::new(refusal), false);
    }

    /// Why what waits ends now instead of waiting for a credential that is taken.
    pub(super) fn refusing(&self, now: Instant) -> Option<&NotSentCause> {
        let pause = self.standing.pause().filter(|pause| pause.until > now)?;
        let waits = self.config.refusal_policy() == RefusalPolicy::Wait && self.phase == Phase::Running;
        (!waits).then_some(&pause.cause)
    }
}

/// A GOAWAY frame may give this reason as well, and then as well a new token may be taken.
const EXPIRED: &str = "ExpiredProviderToken";
