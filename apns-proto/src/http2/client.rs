//! The client's side of one connection to the provider API.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::ending::Ending;
use super::in_flight::{InFlight, Sent};
use super::keep_alive::{Due, KeepAlive};
use super::refusals::Refusals;
use super::to_wire::{from_wire, to_wire};
use super::wire::client::{
    Config as WireConfig, Connection as Wire, Event, Failure, Fate as WireFate, Reset, Response as WireResponse,
    SendError,
};
use super::wire::frame::ErrorCode;
use super::wire::{CloseReason as WireClose, GoAway};
use super::{
    AfterRejection, Api, Config, Credential, ProviderApi, ProviderToken, Reason, Requests, TokenBinding, TokenChoice,
    TokenError, TokenPolicy,
};
use crate::{
    CloseReason, Closed, Connection, ConnectionEvent, End, Fate, InvalidNotification, Machine, NotSentCause, Now,
    Outcome, Reaction, Refused, Rejection, Submission, SubmitError, Transmit, UnknownCause, Unsettled, Warning,
};

/// One connection to the provider API, as a [`Machine`].
///
/// Every request gets an answer of its own, so each notification ends in one of three ways: answered; certainly not
/// processed, and sent again by itself (refused unprocessed, above the last stream of a GOAWAY frame, or not wholly
/// written); or unknown (written, and no answer came), where the [`LossPolicy`](crate::LossPolicy) decides.
///
/// [`ProviderApi::connect`] makes one. A [`Session`](crate::Session) opens one connection after another and sends again
/// what has to be; use this type alone to do that yourself.
///
/// # When it retires
///
/// It takes no more notifications, finishes what is open and closes: after a GOAWAY frame; when its provider token may not
/// be changed yet and gets too old, or is refused; when it is too old or idle for its [`Config`], or has no stream
/// identifiers left; when the service takes no requests; after [`drain`](Connection::drain).
///
/// # Example
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use apns_proto::http2::{Credential, ProviderApi, host};
/// use apns_proto::{Connection, DeviceToken, Machine, Notification, Now, Payload, Submission, Topic, Transmit};
/// use bytes::BytesMut;
///
/// let api = ProviderApi::new(host::SANDBOX, Credential::Certificate)?.with_topic(Topic::new("com.example.app")?);
/// let now = Now::new(Instant::now(), SystemTime::now().into());
/// let mut client = api.connect(now);
/// let mut out = BytesMut::new();
/// assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready); // … write `out` to the TLS stream …
/// client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0"); // the service's SETTINGS
///
/// let token = DeviceToken::from_hex("00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0")?;
/// let submission = Submission::new("tea", Notification::new(token, Payload::alert("Tea is ready")));
/// assert!(client.submit(now, submission).is_ok());
/// assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready); // … and the request with it
/// assert_eq!(client.unsettled(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client<K> {
    config: Config,
    wire: Wire,
    requests: Requests,
    credential: Credential,
    binding: TokenBinding,
    /// Taken and not sent yet.
    waiting: VecDeque<Waiting<K>>,
    in_flight: InFlight<K>,
    keep_alive: KeepAlive,
    refusals: Refusals,
    events: VecDeque<ConnectionEvent<K>>,
    phase: Phase,
    opened: Instant,
    /// The last time that something was submitted, sent or answered.
    used: Instant,
    /// Bytes are with the transport since this time, and it has not taken all of them yet.
    handed: Option<Instant>,
    answered: bool,
    /// The service has answered a request whose provider token it took.
    token_proven: bool,
    /// Requests that were given up in a row, with no answer between.
    unanswered: u32,
    token_trouble: Option<TokenTrouble>,
    token_warned: bool,
    drain_deadline: Option<Instant>,
    ending: Ending,
    /// What failed together with the connection; none is `ConnectionLost` for the reason that comes at the end.
    failed: Vec<(Submission<K>, Option<Fate>)>,
}

#[derive(Debug)]
struct Waiting<K> {
    submission: Submission<K>,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes submissions.
    Open,
    /// Takes no more, and sends what it has.
    Draining,
    /// Sends nothing more.
    Retired,
    /// The terminal event was produced.
    Closed,
}

#[derive(Debug)]
struct TokenTrouble {
    error: TokenError,
    /// The source is not asked before this time.
    until: Option<Instant>,
}

/// How often a token source that has no token is asked again while something waits for one.
const TOKEN_RETRY: Duration = Duration::from_secs(1);

/// After so many requests in a row without an answer the service is asked with a PING whether it is there.
const UNANSWERED: u32 = 3;

impl<K> Client<K> {
    pub(super) fn new(api: &ProviderApi, now: Now) -> Self {
        let config = api.config.clone();
        let wire =
            WireConfig::new(api.authority.clone()).max_streams(config.max_streams()).last_stream(config.last_stream());
        Self {
            wire: Wire::new(wire),
            requests: api.requests(),
            credential: api.credential.clone(),
            binding: TokenBinding::new(),
            waiting: VecDeque::new(),
            in_flight: InFlight::new(),
            keep_alive: KeepAlive::new(&config, now),
            refusals: Refusals::default(),
            events: VecDeque::new(),
            phase: Phase::Open,
            opened: now.instant,
            used: now.instant,
            handed: None,
            answered: false,
            token_proven: matches!(api.credential, Credential::Certificate),
            unanswered: 0,
            token_trouble: None,
            token_warned: false,
            drain_deadline: None,
            ending: Ending::default(),
            failed: Vec::new(),
            config,
        }
    }

    /// How many requests may be open now.
    fn limit(&self) -> usize {
        let limit = self.wire.stream_limit();
        let limit = self.refusals.limit().map_or(limit, |refused| limit.min(refused));
        // One until the first answer (Apple, "Sending notification requests to APNs").
        if self.token_proven { limit } else { limit.min(1) }
    }

    /// Gives requests to the wire for as long as it takes them.
    fn fill(&mut self, now: Now) {
        let mut token = None;
        while matches!(self.phase, Phase::Open | Phase::Draining) {
            let Some(first) = self.waiting.front() else { return };
            if first.submission.notification.expiration().has_passed(now.wall) {
                self.settle_front(Outcome::Expired);
                continue;
            }
            match self.wire.refusal() {
                None => {}
                Some(SendError::StreamsExhausted) => {
                    self.retire(CloseReason::Finished);
                    return;
                }
                // The others pass, or an event tells what follows from them.
                Some(_) => return,
            }
            if self.in_flight.len() >= self.limit() || self.refusals.until().is_some() || self.must_ask_first(now) {
                return;
            }
            if token.is_none() {
                let Some(found) = self.token(now) else { return };
                token = Some(found);
            }
            self.send_front(now, token.as_ref().and_then(Option::as_ref));
        }
    }

    fn must_ask_first(&mut self, now: Now) -> bool {
        let (hold, ping) = self.keep_alive.hold(now);
        if let Some(opaque) = ping {
            self.wire.ping(opaque);
        }
        hold
    }

    /// The token for requests that are sent now: `Some(None)` where none is needed, `None` where nothing can be sent.
    fn token(&mut self, now: Now) -> Option<Option<ProviderToken>> {
        let Credential::Token(source) = &self.credential else { return Some(None) };
        if self.token_trouble.as_ref().is_some_and(|trouble| trouble.until.is_some()) {
            return None;
        }
        match source.token(now) {
            Ok(offered) => {
                self.token_trouble = None;
                match self.binding.choose(now, &offered) {
                    TokenChoice::Use(token) => Some(Some(token)),
                    TokenChoice::Replace => {
                        self.retire(CloseReason::Finished);
                        None
                    }
                }
            }
            Err(error) => {
                if self.token_trouble.is_none() {
                    self.events.push_back(ConnectionEvent::TokenWanted);
                }
                self.token_trouble = Some(TokenTrouble { error, until: now.instant.checked_add(TOKEN_RETRY) });
                None
            }
        }
    }

    fn send_front(&mut self, now: Now, token: Option<&ProviderToken>) {
        let Some(first) = self.waiting.front() else { return };
        let sent = match self.requests.device(&first.submission.notification, token, now.wall) {
            Ok(request) => self.wire.send_request(to_wire(request)),
            Err(invalid) => {
                self.settle_front(Outcome::NotSent { cause: NotSentCause::Invalid(invalid) });
                return;
            }
        };
        match sent {
            Ok(stream) => {
                let Some(Waiting { mut submission, .. }) = self.waiting.pop_front() else { return };
                submission.attempts += 1;
                self.in_flight.insert(stream, Sent { submission, since: now.instant, token: token.cloned() });
                self.used = now.instant;
                self.keep_alive.set_busy(now, true);
            }
            Err(SendError::HeadersTooLarge { size, limit }) => {
                let invalid = InvalidNotification::HeadersTooLarge { size, limit: limit as usize };
                self.settle_front(Outcome::NotSent { cause: NotSentCause::Invalid(invalid) });
            }
            Err(SendError::Malformed) => {
                let invalid = InvalidNotification::NotAHeader;
                self.settle_front(Outcome::NotSent { cause: NotSentCause::Invalid(invalid) });
            }
            // The wire said that there is room for one.
            Err(_) => {}
        }
    }

    fn settle_front(&mut self, outcome: Outcome) {
        if let Some(Waiting { submission, .. }) = self.waiting.pop_front() {
            self.events.push_back(ConnectionEvent::Settled(submission.settle_unsent(outcome)));
        }
    }

    /// Takes what the wire has to say.
    fn pump(&mut self, now: Now) {
        while let Some(event) = self.wire.poll() {
            match event {
                // Read where it matters: the limit and the size of headers.
                Event::Settings(_) => {}
                Event::Response { stream, response } => {
                    if let Some(sent) = self.in_flight.take(stream) {
                        self.on_answer(now, sent, response);
                    }
                }
                Event::Failed { stream, failure, fate } => {
                    if let Some(sent) = self.in_flight.take(stream) {
                        self.on_failure(now, sent.submission, failure, fate);
                    }
                }
                Event::GoAway(said) => self.on_go_away(now, &said),
                Event::Pong(opaque) => self.keep_alive.pong(opaque),
                Event::Closed(reason) => self.on_closed(reason),
            }
        }
        self.keep_alive.set_busy(now, !self.in_flight.is_empty());
        if self.phase == Phase::Draining && self.waiting.is_empty() {
            self.phase = Phase::Retired;
            self.wire.finish();
            self.pump(now);
        }
    }

    fn on_answer(&mut self, now: Now, sent: Sent<K>, response: WireResponse) {
        self.used = now.instant;
        self.unanswered = 0;
        self.refusals.answered();
        let response = from_wire(Api::Device, now.wall, response);
        let skew = response.clock_skew();
        let outcome = response.into_outcome();
        let Sent { mut submission, token, .. } = sent;

        if let (Some(reason), Some(token), Credential::Token(source)) =
            (token_reason(&outcome), &token, &self.credential)
        {
            match source.rejected(now, token, &reason, skew) {
                AfterRejection::NewConnection => {
                    if submission.token_refusals == 0 {
                        submission.token_refusals += 1;
                        self.give_back(submission, Fate::Discarded);
                    } else {
                        if reason == Reason::ExpiredProviderToken {
                            self.warn_about_token(TokenError::Clock { skew });
                        }
                        self.events.push_back(ConnectionEvent::Settled(submission.settle(outcome)));
                    }
                    self.retire(CloseReason::TokenRefused { reason: reason.as_str().into() });
                    return;
                }
                AfterRejection::Stop(error) => self.warn_about_token(error),
            }
        } else {
            self.token_proven = true;
        }

        if !self.answered {
            self.answered = true;
            self.events.push_back(ConnectionEvent::Answered);
        }
        let replace = self.is_to_be_replaced(now, &outcome);
        self.events.push_back(ConnectionEvent::Settled(submission.settle(outcome)));
        if replace {
            self.retire(CloseReason::Finished);
        }
    }

    /// Whether an answer says that the connection, and not only the request, is at its end.
    fn is_to_be_replaced(&self, now: Now, outcome: &Outcome) -> bool {
        let Outcome::Rejected(rejection) = outcome else { return false };
        match rejection.reaction() {
            Reaction::Reconnect => true,
            // Seen on connections that outlived their first provider token: all that follows gets the same answer.
            Reaction::Retry if rejection.status() == 500 && matches!(self.credential, Credential::Token(_)) => {
                now.instant.saturating_duration_since(self.opened) >= TokenPolicy::MIN_INTERVAL
            }
            Reaction::Retry
            | Reaction::DropToken
            | Reaction::FixRequest
            | Reaction::FixCredentials
            | Reaction::RefreshToken
            | Reaction::BackOff => false,
        }
    }

    fn warn_about_token(&mut self, error: TokenError) {
        if !self.token_warned {
            self.token_warned = true;
            self.events.push_back(ConnectionEvent::Warning(Warning::Token(error)));
        }
    }

    fn on_failure(&mut self, now: Now, submission: Submission<K>, failure: Failure, fate: WireFate) {
        let fate = match (fate, failure) {
            (WireFate::NotProcessed, Failure::Refused | Failure::AboveLastStream) => Some(Fate::Discarded),
            (WireFate::NotProcessed, _) => Some(Fate::NotWritten),
            (WireFate::Unknown, Failure::Reset(code) | Failure::Violation(code)) => {
                Some(Fate::Unknown(UnknownCause::BrokenOff { code: code.0 }))
            }
            (WireFate::Unknown, Failure::ConnectionEnded | Failure::Refused | Failure::AboveLastStream) => None,
        };
        match fate {
            Some(fate) if !self.wire.is_closed() => self.give_back(submission, fate),
            fate => self.failed.push((submission, fate)),
        }
        match failure {
            Failure::Refused if self.refusals.refused(now.instant, self.in_flight.len()) => {
                self.retire(CloseReason::RefusesRequests);
            }
            Failure::Violation(code) => self.retire(CloseReason::Violation { code: code.0 }),
            Failure::Refused | Failure::Reset(_) | Failure::AboveLastStream | Failure::ConnectionEnded => {}
        }
    }

    fn on_go_away(&mut self, now: Now, said: &GoAway) {
        let reason = self.ending.said(said);
        if let (Some(reason), Some(token), Credential::Token(source)) =
            (&reason, self.binding.token(), &self.credential)
            && is_about_token(reason)
        {
            // What follows from it shows on the next connection.
            let _ = source.rejected(now, token, reason, None);
        }
        self.retire(CloseReason::Finished);
    }

    fn give_back(&mut self, submission: Submission<K>, fate: Fate) {
        self.events.push_back(ConnectionEvent::Returned(Unsettled { submission, fate }));
    }

    /// Sends nothing more; what is open goes on.
    fn retire(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Retired | Phase::Closed) {
            return;
        }
        self.stop_taking();
        self.phase = Phase::Retired;
        self.ending.own.get_or_insert(reason);
        self.wire.finish();
    }

    /// Takes no more, and gives back what was not sent.
    fn stop_taking(&mut self) {
        if self.phase == Phase::Open {
            self.events.push_back(ConnectionEvent::Retired);
        }
        // From the back, because each goes to the front of what waits elsewhere.
        while let Some(Waiting { submission, .. }) = self.waiting.pop_back() {
            self.give_back(submission, Fate::NotWritten);
        }
    }

    /// Ends the connection now.
    fn abandon(&mut self, now: Now, reason: CloseReason) {
        self.ending.own = Some(reason);
        self.wire.abandon(ErrorCode::NO_ERROR);
        self.pump(now);
    }

    fn on_closed(&mut self, wire: WireClose) {
        let reason = self.ending.reason(wire);
        let lost = match &reason {
            CloseReason::ClosedHere => UnknownCause::Closed,
            CloseReason::NoAnswer => UnknownCause::NoAnswer,
            other => UnknownCause::ConnectionLost(Arc::from(other.to_string())),
        };
        let failed = std::mem::take(&mut self.failed).into_iter().map(|(submission, fate)| Unsettled {
            submission,
            fate: fate.unwrap_or_else(|| Fate::Unknown(lost.clone())),
        });
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|waiting| Unsettled { submission: waiting.submission, fate: Fate::NotWritten });
        let unsettled = failed.chain(waiting).collect();
        debug_assert!(self.in_flight.is_empty(), "the wire settles all streams before it closes");
        self.phase = Phase::Closed;
        self.handed = None;
        self.events.push_back(ConnectionEvent::Closed(Closed { reason, unsettled }));
    }

    /// Gives up the requests that have waited long enough.
    fn give_up_requests(&mut self, now: Now) {
        while let Some((stream, since)) = self.in_flight.oldest() {
            if since.checked_add(self.config.request_timeout()).is_none_or(|due| due > now.instant) {
                return;
            }
            let reset = self.wire.reset(stream);
            if reset.is_none() {
                // Its event is waiting.
                self.pump(now);
            }
            let Some(sent) = self.in_flight.take(stream) else { continue };
            match reset {
                Some(Reset::Answered(response)) => self.on_answer(now, sent, response),
                Some(Reset::Unanswered(WireFate::NotProcessed)) => self.give_back(sent.submission, Fate::NotWritten),
                Some(Reset::Unanswered(WireFate::Unknown)) | None => {
                    self.give_back(sent.submission, Fate::Unknown(UnknownCause::NoAnswer));
                    self.unanswered += 1;
                }
            }
            if self.unanswered >= UNANSWERED
                && let Some(opaque) = self.keep_alive.probe(now)
            {
                self.unanswered = 0;
                self.wire.ping(opaque);
            }
        }
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
        let greeted = self.wire.settings().is_some();
        self.opened.checked_add(self.config.greeting_timeout()).filter(|_| !greeted)
    }

    fn request_ends(&self) -> Option<Instant> {
        self.in_flight.oldest()?.1.checked_add(self.config.request_timeout())
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

/// The reason of a refusal that is about the provider token.
fn token_reason(outcome: &Outcome) -> Option<Reason> {
    let Outcome::Rejected(Rejection::Provider(rejection)) = outcome else { return None };
    rejection.known_reason().filter(|reason| is_about_token(reason)).cloned()
}

pub(super) const fn is_about_token(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::ExpiredProviderToken
            | Reason::InvalidProviderToken
            | Reason::TooManyProviderTokenUpdates
            | Reason::UnrelatedKeyIdInToken
            | Reason::BadEnvironmentKeyIdInToken
    )
}

impl<K> Machine for Client<K> {
    type Event = ConnectionEvent<K>;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if self.phase == Phase::Closed || bytes.is_empty() {
            return;
        }
        self.keep_alive.heard(now);
        self.wire.receive(bytes);
        self.pump(now);
    }

    fn handle_end(&mut self, now: Now, end: End) {
        if self.phase == Phase::Closed {
            return;
        }
        self.ending.end = Some(end);
        self.wire.receive_end();
        self.pump(now);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        if self.phase == Phase::Closed {
            return;
        }
        self.handed = None;
        self.wire.write_failed(unsent);
        self.stop_taking();
        // Not finished: answers, and the reason, may still come.
        self.phase = Phase::Retired;
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now.instant);
        if self.phase == Phase::Closed {
            return;
        }
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
            Due::Ping(opaque) => self.wire.ping(opaque),
            Due::Dead => self.abandon(now, CloseReason::NoAnswer),
        }
        self.pump(now);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        self.handed = None;
        self.fill(now);
        let mut more = self.wire.transmit(out);
        self.pump(now);
        if self.phase == Phase::Closed {
            while more {
                more = self.wire.transmit(out);
            }
            return Transmit::Shutdown;
        }
        if !more {
            return Transmit::Idle;
        }
        self.handed = Some(now.instant);
        Transmit::Ready
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent<K>> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        [
            self.write_stalls(),
            self.drain_deadline,
            self.greeting_ends(),
            self.token_retry(),
            self.refusals.until(),
            self.request_ends(),
            self.waiting_ends(),
            self.life_ends(),
            self.keep_alive.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl<K> Connection<K> for Client<K> {
    fn submit(&mut self, now: Now, mut submission: Submission<K>) -> Result<(), Refused<K>> {
        let cause = if self.phase != Phase::Open {
            SubmitError::Retired
        } else if !self.has_room() {
            SubmitError::Full
        } else if let Err(invalid) = self.requests.check(&submission.notification) {
            SubmitError::Invalid(invalid)
        } else {
            submission.notification.resolve_expiration(now.wall);
            if self.waiting.is_empty() && self.in_flight.is_empty() {
                self.used = now.instant;
            }
            self.waiting.push_back(Waiting { submission, since: now.instant });
            return Ok(());
        };
        Err(Refused { submission, cause })
    }

    /// One may wait even where nothing can be sent yet, so that its wait has an end.
    fn has_room(&self) -> bool {
        self.phase == Phase::Open && self.in_flight.len() + self.waiting.len() < self.limit().max(1)
    }

    fn unsettled(&self) -> usize {
        self.in_flight.len() + self.waiting.len()
    }

    /// Answers come by themselves.
    fn make_room(&mut self, _now: Now) {}

    /// Answers come by themselves.
    fn prove(&mut self, _now: Now, _deadline: Option<Instant>) {}

    fn drain(&mut self, now: Now, deadline: Option<Instant>) {
        if self.phase == Phase::Closed {
            return;
        }
        self.drain_deadline = [self.drain_deadline, deadline].into_iter().flatten().min();
        if self.phase == Phase::Open {
            self.events.push_back(ConnectionEvent::Retired);
            self.phase = Phase::Draining;
        }
        self.pump(now);
    }

    fn close(&mut self, now: Now) {
        if self.phase != Phase::Closed {
            self.abandon(now, CloseReason::ClosedHere);
        }
    }

    fn token_ready(&mut self, _now: Now) {
        if let Some(trouble) = &mut self.token_trouble {
            trouble.until = None;
        }
    }

    fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }
}

impl<K> fmt::Debug for Client<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("phase", &self.phase)
            .field("waiting", &self.waiting.len())
            .field("in_flight", &self.in_flight.len())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
