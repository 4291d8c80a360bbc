//! A series of connections as one value.

mod config;
mod dial;
mod ending;
mod event;
mod held;
mod progress;
mod proofs;
mod standing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

pub use config::SessionConfig;
pub use dial::{DialFailure, DialStep, TlsCause};
pub use event::{LinkId, LinkReport, SessionEvent};
pub use standing::Pause;

use self::held::Held;
use self::proofs::Proofs;
use self::standing::{CANDIDATES, Standing};
use crate::{
    Backoff, Connection, ConnectionEvent, End, Machine, Message, NotSentCause, Now, Outcome, Submission, Transmit,
};

/// Creates the connections of a session, and observes their events.
pub trait Opener<K> {
    /// The type of the messages that are sent.
    type Message: Message;
    /// The machine of one connection.
    type Connection: Connection<K, Message = Self::Message>;

    /// Creates the machine for a connection that was just opened.
    fn open(&mut self, now: Now) -> Self::Connection;

    /// Observes every event of every connection, before the session acts on it.
    fn observe(&mut self, now: Now, event: &ConnectionEvent<K, Self::Message>);
}

/// Sends notifications over one connection after another, until each has its outcome.
///
/// A session requests a connection when it has something to send and none is open; it backs off when that fails; it sends
/// again what a connection returned; and it lets a connection prove its window while the next one already sends. It does no
/// I/O.
///
/// # A refused credential
///
/// A refusal of the credential says nothing about a notification. The session pauses ([`SessionEvent::Paused`]). After 1 s,
/// doubling to 5 min, it opens a connection and tries one notification. With the first answer that is not such a refusal,
/// it continues ([`SessionEvent::Resumed`]). A provider token that the service calls expired is first replaced, once,
/// without a pause. The session tries at once after [`credential_changed`](Self::credential_changed), and when the wall
/// clock was set by more than a minute. [`RefusalPolicy`](crate::RefusalPolicy) decides what happens to waiting
/// notifications. The same applies to a server that is not trusted or does not speak the protocol, and to a proxy that
/// refuses this client.
///
/// # Contract
///
/// Every connection is a *link* with a [`LinkId`]. For each open link the driver follows the contract of [`Machine`], with
/// the methods of the same names here, which take the link. For the whole session:
///
/// 1. Call [`poll_event`](Self::poll_event) until it returns `None`. On [`SessionEvent::Dial`] connect, then call
///    [`connected`](Self::connected) or [`dial_failed`](Self::dial_failed).
/// 2. For each open link, call [`handle_input`](Self::handle_input) with all bytes that the transport has, and
///    [`poll_transmit`](Self::poll_transmit) if the transport has taken all bytes of the previous call.
/// 3. Call [`handle_timeout`](Self::handle_timeout) if the time from [`poll_timeout`](Self::poll_timeout) has come and no
///    link has unread bytes.
/// 4. While [`can_submit`](Self::can_submit) returns true, [`submit`](Self::submit) waiting notifications.
///
/// Repeat until nothing changes, then wait. A link is over when [`poll_transmit`](Self::poll_transmit) returns
/// [`Transmit::Shutdown`].
#[derive(Debug)]
pub struct Session<P: Opener<K>, K> {
    opener: P,
    config: SessionConfig,
    /// To be sent when there is a connection with room; what must be sent again comes first.
    backlog: VecDeque<Submission<K, P::Message>>,
    /// To be sent again later, as the retry policy has it.
    held: Held<K, P::Message>,
    links: Vec<Link<P::Connection>>,
    next_link: u64,
    events: VecDeque<SessionEvent<K, P::Message>>,
    backoff: Backoff,
    /// No attempt before this time.
    not_before: Option<Instant>,
    /// Something waits without a working connection since this time.
    waiting_since: Option<Instant>,
    last_failure: Option<Arc<str>>,
    phase: Phase,
    /// Why nothing more is ever sent.
    stopped: Option<NotSentCause>,
    /// Whether the service takes the credential.
    standing: Standing,
    /// Gives each decision to send again a jitter of its own.
    retries_decided: u64,
    /// A connection is wanted although nothing waits for one.
    wanted: bool,
    proofs: Proofs,
    /// The latest time seen: a clock that goes backwards stands still here, for new connections too.
    latest: Option<Now>,
    /// A connection that has ended has more to say.
    more: bool,
}

#[derive(Debug)]
struct Link<C> {
    id: LinkId,
    state: LinkState<C>,
    /// Whether new submissions go here.
    taking: bool,
    /// Whether it ever answered.
    answered: bool,
    /// It never did, and something was given up on it.
    silent: bool,
    /// The lowest mark of what it was given since it had nothing.
    oldest: u64,
    /// It goes away because its window was full.
    full: bool,
}

#[derive(Debug)]
enum LinkState<C> {
    Dialling,
    Open(C),
    /// Its terminal event was taken; the driver may still be closing the transport.
    Over(Option<C>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Closing { deadline: Option<Instant> },
    Finished,
}

/// The room for events that is kept when all were taken; and so many gather before a connection that has ended keeps to
/// itself what else it has to say. A proven window brings a hundred thousand outcomes.
const EVENTS_KEPT: usize = 4096;

/// The most connections beyond [`SessionConfig::links`] that may be open at once, because others go away.
const LEAVING: usize = 14;

impl<P: Opener<K>, K> Session<P, K> {
    /// A session without a connection. It dials when it has something to send.
    #[must_use]
    pub fn new(opener: P, config: SessionConfig) -> Self {
        Self {
            opener,
            backoff: config.backoff(),
            standing: Standing::new(config.seed()),
            config,
            backlog: VecDeque::new(),
            held: Held::new(),
            links: Vec::new(),
            next_link: 0,
            events: VecDeque::new(),
            not_before: None,
            waiting_since: None,
            last_failure: None,
            phase: Phase::Running,
            stopped: None,
            retries_decided: 0,
            wanted: false,
            proofs: Proofs::new(),
            latest: None,
            more: false,
        }
    }

    /// Time never goes backwards in here.
    fn forward(&mut self, now: Now) -> Now {
        let instant = self.latest.map_or(now.instant, |latest| latest.instant.max(now.instant));
        let now = Now { instant, ..now };
        self.latest = Some(now);
        now
    }

    /// Whether a submission would be useful now: nothing waits before it. It goes to the connection that takes; it has
    /// one opened where there is none; and where that is full, it has the full one proven and the next one opened.
    #[must_use]
    pub fn can_submit(&self) -> bool {
        let running = self.phase == Phase::Running && self.stopped.is_none();
        let candidates = if self.standing.is_paused() { CANDIDATES } else { 1 };
        running && self.backlog.len() < candidates
    }

    /// How many submissions would be useful now, about: what the connection that takes has room for, and otherwise the
    /// one that [`can_submit`](Self::can_submit) speaks of.
    #[must_use]
    pub fn room(&self) -> usize {
        if !self.can_submit() {
            return 0;
        }
        if self.is_refusing() {
            return usize::MAX;
        }
        if self.standing.is_paused() {
            return CANDIDATES - self.backlog.len();
        }
        self.taking().and_then(Link::connection).map_or(1, |connection| connection.room().max(1))
    }

    /// How many submissions may be with the session without one of them waiting in it, about: those without an outcome,
    /// and those that could be written now. Without a connection that takes, none could.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let unsettled = self.unsettled();
        match self.taking().and_then(Link::connection) {
            // One until the service has taken the credential.
            Some(_) if self.can_submit() && self.standing.is_paused() => unsettled.max(1),
            Some(connection) if self.can_submit() => unsettled - connection.unsettled() + connection.capacity(),
            _ => unsettled,
        }
    }

    /// Says whether a connection is wanted although nothing was submitted: so that a caller who must know that what it
    /// submits can be written has one before it submits anything. It holds until it is taken back, and counts as long as
    /// there is no connection that takes.
    pub fn want_connection(&mut self, now: Now, wanted: bool) {
        if std::mem::replace(&mut self.wanted, wanted) != wanted && wanted {
            let now = self.forward(now);
            self.advance(now);
        }
    }

    /// Takes a notification under the caller's key. It is taken in every state; in one that sends nothing any more it
    /// is settled at once.
    pub fn submit(&mut self, now: Now, key: K, mut notification: P::Message) {
        let now = self.forward(now);
        notification.resolve_expiration(now.wall);
        let mark = self.proofs.submitted();
        let submission = Submission { since: Some(now.instant), mark, ..Submission::new(key, notification) };
        match self.not_sending().or_else(|| self.refusing(now.instant).cloned()) {
            Some(cause) => self.settle(submission, Outcome::NotSent { cause }),
            None => {
                if let Some(submission) = self.pass_on(now, submission) {
                    self.backlog.push_back(submission);
                    self.advance(now);
                }
            }
        }
    }

    /// Whether a connection that is wanted would be opened at once, and not after a wait.
    #[must_use]
    pub fn may_dial(&self, now: Now) -> bool {
        self.not_before.is_none_or(|time| time <= now.instant) && !self.standing.rests(now.instant)
    }

    /// Whether what is submitted ends at once, because the credential is refused and no attempt is due.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.latest.is_some_and(|now| self.refusing(now.instant).is_some())
    }

    /// Takes back what waits for a connection and was never written, in the order of submission, so that somebody else
    /// can send it.
    pub fn take_back(&mut self) -> Vec<(K, P::Message)> {
        let (fresh, kept) = std::mem::take(&mut self.backlog).into_iter().partition(|waiting| waiting.attempts == 0);
        self.backlog = kept;
        fresh.iter().for_each(|submission: &Submission<K, P::Message>| self.proofs.settled(submission.mark));
        self.tell_proofs();
        if self.unsettled() == 0 {
            self.waiting_since = None;
        }
        let taken = |submission: Submission<K, P::Message>| (submission.key, submission.notification);
        fresh.into_iter().map(taken).collect()
    }

    /// How many submissions have no outcome yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        let waiting = self.backlog.len() + self.held.len();
        waiting + self.links.iter().filter_map(Link::connection).map(Connection::unsettled).sum::<usize>()
    }

    /// Has everything submitted so far settled as soon as possible; what is not by `deadline` is unknown, or not sent.
    /// [`SessionEvent::Proven`] says when it is done, once for each call and in their order.
    ///
    /// What is submitted later goes on and is no part of it. A notification that was refused and is held until it is sent
    /// again is none either.
    pub fn prove(&mut self, now: Now, deadline: Option<Instant>) {
        let now = self.forward(now);
        self.proofs.ask(deadline);
        self.advance(now);
    }

    /// Takes no more, sends and settles what it has, and closes. [`SessionEvent::Finished`] says when it is done; at
    /// `deadline` what is left is unknown, or not sent.
    pub fn close(&mut self, now: Now, deadline: Option<Instant>) {
        let now = self.forward(now);
        match self.phase {
            Phase::Running => self.phase = Phase::Closing { deadline },
            Phase::Closing { deadline: earlier } => {
                let deadline = [earlier, deadline].into_iter().flatten().min();
                self.phase = Phase::Closing { deadline };
            }
            Phase::Finished => {}
        }
        self.end_overdue_closing(now);
        self.advance(now);
    }

    /// The link that was asked for is open. Says whether it is still wanted; if not, close the transport.
    pub fn connected(&mut self, now: Now, id: LinkId) -> bool {
        let now = self.forward(now);
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return false };
        let link = &mut self.links[index];
        if let LinkState::Dialling = link.state {
            if self.stopped.is_some() || !link.taking {
                self.links.swap_remove(index);
                return false;
            }
            link.state = LinkState::Open(self.opener.open(now));
            self.events.push_back(SessionEvent::Connected { link: id });
        }
        self.advance(now);
        true
    }

    /// The link that was asked for could not be opened.
    pub fn dial_failed(&mut self, now: Now, id: LinkId, failure: DialFailure) {
        let now = self.forward(now);
        let dialling = |link: &Link<_>| link.id == id && matches!(link.state, LinkState::Dialling);
        let Some(index) = self.links.iter().position(dialling) else { return };
        self.links.swap_remove(index);
        self.note_dial_failure(now, id, failure);
        self.advance(now);
    }

    /// As [`Machine::handle_input`] of the link.
    pub fn handle_input(&mut self, now: Now, id: LinkId, bytes: &[u8]) {
        self.with_connection(now, id, |now, connection| connection.handle_input(now, bytes));
    }

    /// As [`Machine::handle_end`] of the link.
    pub fn handle_end(&mut self, now: Now, id: LinkId, end: End) {
        self.with_connection(now, id, |now, connection| connection.handle_end(now, end));
    }

    /// As [`Machine::handle_write_failure`] of the link.
    pub fn handle_write_failure(&mut self, now: Now, id: LinkId, unsent: usize) {
        self.with_connection(now, id, |now, connection| connection.handle_write_failure(now, unsent));
    }

    /// As [`Machine::poll_transmit`] of the link. After [`Transmit::Shutdown`] the session forgets the link.
    #[must_use = "bytes that were appended have to be written, and a shutdown carried out"]
    pub fn poll_transmit(&mut self, now: Now, id: LinkId, out: &mut BytesMut) -> Transmit {
        let now = self.forward(now);
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return Transmit::Shutdown };
        let transmit = match &mut self.links[index].state {
            LinkState::Open(connection) => connection.poll_transmit(now, out),
            LinkState::Dialling => Transmit::Idle,
            // Its last word, and then the end whatever it says.
            LinkState::Over(connection) => {
                if let Some(connection) = connection {
                    let _ = connection.poll_transmit(now, out);
                }
                Transmit::Shutdown
            }
        };
        self.collect(now, index);
        let is_told = !matches!(self.links[index].state, LinkState::Open(_));
        if transmit == Transmit::Shutdown && is_told {
            self.links.retain(|link| link.id != id);
        }
        self.advance(now);
        // A connection that has ended stays until all that it has to say was taken.
        if transmit == Transmit::Shutdown && !is_told { Transmit::Idle } else { transmit }
    }

    /// Goes through the keys of the submissions of which [`poll_transmit`](Self::poll_transmit) of the link handed out the
    /// last byte when it was called last. Until then the service cannot have taken a submission: a journal that is written
    /// here, before these bytes are, says after a crash what may have left.
    pub fn just_sent(&self, id: LinkId, mut each: impl FnMut(&K)) {
        if let Some(connection) = self.links.iter().find(|link| link.id == id).and_then(Link::connection) {
            connection.just_sent(&mut each);
        }
    }

    /// The next event, in order.
    #[must_use = "an event that is dropped is lost, with the outcome that it tells"]
    pub fn poll_event(&mut self) -> Option<SessionEvent<K, P::Message>> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            if self.events.capacity() > 2 * EVENTS_KEPT {
                self.events = VecDeque::new();
            }
            self.collect_the_rest();
        }
        event.or_else(|| self.events.pop_front())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let closing = match self.phase {
            Phase::Closing { deadline } => deadline,
            Phase::Running | Phase::Finished => None,
        };
        let proof = self.proofs.next_deadline();
        let redial = self.not_before.max(self.standing.until()).filter(|_| self.wants_link());
        let look = self.standing.look().filter(|_| self.phase == Phase::Running);
        let links = self.links.iter().filter_map(|link| link.connection()?.poll_timeout());
        [closing, proof, redial, self.patience_ends(), self.held.due(), look].into_iter().flatten().chain(links).min()
    }

    /// Time has passed. Harmless when early.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.forward(now);
        for index in 0..self.links.len() {
            if let LinkState::Open(connection) = &mut self.links[index].state {
                connection.handle_timeout(now);
                self.collect(now, index);
            }
        }
        while let Some(mut submission) = self.held.pop_due(now.instant) {
            submission.mark = self.proofs.submitted();
            self.backlog.push_back(submission);
        }
        self.look_at_clocks(now);
        if self.patience_ends().is_some_and(|end| end <= now.instant) {
            self.give_up();
        }
        self.end_overdue_proofs(now);
        self.end_overdue_closing(now);
        self.advance(now);
    }

    fn end_overdue_closing(&mut self, now: Now) {
        if matches!(self.phase, Phase::Closing { deadline: Some(deadline) } if deadline <= now.instant) {
            self.settle_all(now);
        }
    }

    /// Why sending has stopped for good, if it has: only with [`RefusalPolicy::Stop`](crate::RefusalPolicy::Stop).
    #[must_use]
    pub const fn stopped(&self) -> Option<&NotSentCause> {
        self.stopped.as_ref()
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::Finished)
    }

    /// Whether [`SessionEvent::Finished`] was produced.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Whether a link is open and takes notifications, and is not one on which the service has left the first request
    /// without an answer.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.taking().is_some_and(Link::works)
    }

    fn taking(&self) -> Option<&Link<P::Connection>> {
        self.links.iter().find(|link| link.taking)
    }

    fn not_sending(&self) -> Option<NotSentCause> {
        match (&self.stopped, self.phase) {
            (Some(cause), _) => Some(cause.clone()),
            (None, Phase::Running) => None,
            (None, Phase::Closing { .. } | Phase::Finished) => Some(NotSentCause::Closed),
        }
    }

    fn with_connection(&mut self, now: Now, id: LinkId, call: impl FnOnce(Now, &mut P::Connection)) {
        let now = self.forward(now);
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return };
        if let LinkState::Open(connection) = &mut self.links[index].state {
            call(now, connection);
        }
        self.collect(now, index);
        self.advance(now);
    }

    fn patience_ends(&self) -> Option<Instant> {
        // Waiting for a credential is no waiting for a connection.
        if self.has_working_link() || self.standing.has_attempt_ahead() {
            return None;
        }
        self.waiting_since?.checked_add(self.config.patience())
    }

    fn wants_link(&self) -> bool {
        self.stopped.is_none()
            && self.phase != Phase::Finished
            && !self.standing.stands_by()
            && (!self.backlog.is_empty() || self.wanted && self.phase == Phase::Running)
            && self.taking().is_none()
            && self.may_open_another()
    }

    /// Connections that are going away and are not full do not count against the limit, which bounds the memory: what they
    /// wait for is the peer's business, and what comes behind them must not wait for it too.
    fn may_open_another(&self) -> bool {
        let (in_use, limit) = (self.links_in_use(), self.config.links());
        let full = self.links.iter().filter(|link| link.full && !matches!(link.state, LinkState::Over(_))).count();
        in_use < limit || (full < limit && limit > 1 && in_use < limit.saturating_add(LEAVING))
    }

    fn has_working_link(&self) -> bool {
        self.links.iter().any(Link::works)
    }

    fn links_in_use(&self) -> usize {
        self.links.iter().filter(|link| !matches!(link.state, LinkState::Over(_))).count()
    }
}

impl<C> Link<C> {
    /// Whether it is open, and not known to be of no use.
    const fn works(&self) -> bool {
        self.connection().is_some() && !self.silent
    }

    const fn connection(&self) -> Option<&C> {
        match &self.state {
            LinkState::Open(connection) => Some(connection),
            LinkState::Dialling | LinkState::Over(_) => None,
        }
    }
}
