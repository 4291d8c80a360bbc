//! The client's side of one connection to the provider API.

mod answers;
mod deadlines;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::ending::Ending;
use super::engine::client::{Config as EngineConfig, Connection as Engine, SendError};
use super::keep_alive::KeepAlive;
use super::outgoing::Head;
use super::provider_api::Told;
use super::refusals::Refusals;
use super::streams::Streams;
use super::{
    Config, Credential, Exchange, ProviderApi, ProviderToken, Requests, TokenBinding, TokenChoice, TokenError,
};
use crate::{
    CloseReason, Connection, ConnectionEvent, End, Fate, InvalidNotification, Machine, Message, NotSentCause,
    Notification, Now, Outcome, Refused, Submission, SubmitError, Transmit,
};

/// One connection to the provider API, as a [`Machine`].
///
/// Every request gets an answer of its own, so each notification ends in one of three ways: answered; certainly not
/// processed, and sent again automatically (refused unprocessed, above the last stream of a GOAWAY frame, or not wholly
/// written); or unknown (written, and no answer came), where the [`LossPolicy`](crate::LossPolicy) decides.
///
/// What it sends is a [`Notification`], or with another `M` what [`ProviderApi::of`] says.
///
/// [`ProviderApi::connect`] makes one. A [`Session`](crate::Session) opens one connection after another and sends again
/// what has to be; use this type alone to do that yourself.
///
/// # When it retires
///
/// It takes no more notifications, finishes what is open and closes: after a GOAWAY frame; when its provider token may not
/// be changed yet and gets too old; when its credential is refused; when it is too old or idle for its [`Config`], or has no stream
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
pub struct Client<K, M: Message = Notification> {
    config: Config,
    engine: Engine,
    requests: Requests,
    told: Told,
    credential: Credential,
    binding: TokenBinding,
    /// Taken and not sent yet.
    waiting: VecDeque<Waiting<K, M>>,
    /// Sent, and waiting for the answer.
    in_flight: Streams<Sent<K, M>>,
    keep_alive: KeepAlive,
    refusals: Refusals,
    events: VecDeque<ConnectionEvent<K, M>>,
    phase: Phase,
    opened: Instant,
    /// The last time that something was submitted, sent or answered.
    used: Instant,
    /// Bytes are with the transport since this time, and it has not taken all of them yet.
    handed: Option<Instant>,
    /// The service has answered a request otherwise than by refusing the credential: it takes the credential.
    answered: bool,
    /// Requests that were given up in a row, with no answer between.
    unanswered: u32,
    token_trouble: Option<TokenTrouble>,
    token_warned: bool,
    drain_deadline: Option<Instant>,
    ending: Ending,
    /// What failed together with the connection; none is `ConnectionLost` for the reason that comes at the end.
    failed: Vec<(Submission<K, M>, Option<Fate>)>,
}

#[derive(Debug)]
struct Waiting<K, M: Message> {
    submission: Submission<K, M>,
    /// What its request has in common with others.
    head: Arc<Head>,
    since: Instant,
}

/// What was sent.
#[derive(Debug)]
struct Sent<K, M: Message> {
    submission: Submission<K, M>,
    since: Instant,
    /// The token it was sent with.
    token: Option<ProviderToken>,
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

impl<K, M: Exchange> Client<K, M> {
    pub(super) fn new(api: &ProviderApi<M>, now: Now) -> Self {
        let config = api.config.clone();
        let engine = EngineConfig::new(api.authority.clone())
            .max_streams(config.max_streams())
            .max_body(M::MAX_BODY)
            .last_stream(config.last_stream());
        Self {
            engine: Engine::new(engine),
            requests: api.requests(),
            told: api.told.clone(),
            credential: api.credential.clone(),
            binding: TokenBinding::new(),
            waiting: VecDeque::new(),
            in_flight: Streams::new(),
            keep_alive: KeepAlive::new(&config, now),
            refusals: Refusals::default(),
            events: VecDeque::new(),
            phase: Phase::Open,
            opened: now.instant,
            used: now.instant,
            handed: None,
            answered: false,
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
        let limit = self.engine.stream_limit();
        let limit = self.refusals.limit().map_or(limit, |refused| limit.min(refused));
        // One until the first answer (Apple, "Sending notification requests to APNs"), with a certificate too: what is
        // refused for it costs one request.
        if self.answered { limit } else { limit.min(1) }
    }

    /// Gives requests to the engine for as long as it takes them.
    fn fill(&mut self, now: Now) {
        if self.connection_deadline().is_some_and(|due| due <= now.instant) {
            // Judged first: what is sent on a connection that has failed would be in doubt. What has waited too long is sent
            // all the same where it can be: the process may have stood still, and what was waited for is there.
            return;
        }
        let mut token = None;
        while matches!(self.phase, Phase::Open | Phase::Draining) {
            let Some(first) = self.waiting.front() else { return };
            if first.submission.notification.expiration().has_passed(now.wall) {
                self.settle_front(Outcome::Expired);
                continue;
            }
            match self.engine.refusal() {
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
            self.engine.ping(opaque);
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
        let request = self.requests.outgoing(&first.head, &first.submission.notification, token, now.wall);
        match self.engine.send(request) {
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
            // The engine said that there is room for one.
            Err(_) => {}
        }
    }

    fn settle_front(&mut self, outcome: Outcome) {
        if let Some(Waiting { submission, .. }) = self.waiting.pop_front() {
            self.events.push_back(ConnectionEvent::Settled(submission.settle_unsent(outcome)));
        }
    }
}

impl<K, M: Exchange> Machine for Client<K, M> {
    type Event = ConnectionEvent<K, M>;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if self.phase == Phase::Closed || bytes.is_empty() {
            return;
        }
        self.keep_alive.heard(now);
        self.engine.receive(now.instant, bytes);
        self.pump(now);
    }

    fn handle_end(&mut self, now: Now, end: End) {
        if self.phase == Phase::Closed {
            return;
        }
        self.ending.end = Some(end);
        self.engine.receive_end();
        self.pump(now);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        if self.phase == Phase::Closed {
            return;
        }
        self.handed = None;
        self.engine.write_failed(unsent);
        self.stop_taking();
        // Not finished: answers, and the reason, may still come.
        self.phase = Phase::Retired;
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.phase != Phase::Closed {
            self.pass_deadlines(now);
            self.pump(now);
        }
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        self.handed = None;
        self.fill(now);
        let mut more = self.engine.transmit(out);
        self.pump(now);
        if self.phase == Phase::Closed {
            while more {
                more = self.engine.transmit(out);
            }
            return Transmit::Shutdown;
        }
        if !more {
            return Transmit::Idle;
        }
        self.handed = Some(now.instant);
        Transmit::Ready
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent<K, M>> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed { None } else { self.next_deadline() }
    }
}

impl<K, M: Exchange> Connection<K> for Client<K, M> {
    type Message = M;

    fn submit(&mut self, now: Now, mut submission: Submission<K, M>) -> Result<(), Refused<K, M>> {
        let cause = if self.phase != Phase::Open {
            SubmitError::Retired
        } else if !self.has_room() {
            SubmitError::Full
        } else {
            match submission.notification.examine(&mut self.requests) {
                Err(invalid) => SubmitError::Invalid(invalid),
                Ok((head, warnings)) => {
                    let news = warnings.into_iter().filter(|warning| self.told.is_news(warning));
                    self.events.extend(news.map(|warning| ConnectionEvent::Warning(warning.into())));
                    submission.notification.resolve_expiration(now.wall);
                    if self.waiting.is_empty() && self.in_flight.is_empty() {
                        self.used = now.instant;
                    }
                    self.waiting.push_back(Waiting { submission, head, since: now.instant });
                    return Ok(());
                }
            }
        };
        Err(Refused { submission, cause })
    }

    /// One may wait even where nothing can be sent yet, so that its wait has an end.
    fn room(&self) -> usize {
        let open = self.phase == Phase::Open;
        if open { self.limit().max(1).saturating_sub(self.in_flight.len() + self.waiting.len()) } else { 0 }
    }

    fn unsettled(&self) -> usize {
        self.in_flight.len() + self.waiting.len()
    }

    /// What the peer allows: nothing before its first SETTINGS.
    fn capacity(&self) -> usize {
        if self.phase == Phase::Open { self.limit() } else { self.unsettled() }
    }

    /// Answers come unasked.
    fn make_room(&mut self, _now: Now) {}

    /// Answers come unasked.
    fn prove(&mut self, _now: Now, _deadline: Option<Instant>) {}

    fn give_up(&mut self, now: Now, mark: u64) {
        if self.phase != Phase::Closed {
            self.give_up_marked(now, mark);
        }
    }

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

    fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn just_sent(&self, each: &mut dyn FnMut(&K)) {
        let sent = self.engine.just_sent().filter_map(|stream| self.in_flight.get(stream));
        sent.for_each(|sent| each(&sent.submission.key));
    }
}

impl<K, M: Exchange> fmt::Debug for Client<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("phase", &self.phase)
            .field("waiting", &self.waiting.len())
            .field("in_flight", &self.in_flight.len())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
