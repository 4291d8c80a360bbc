//! Broadcasts and the management of channels, over one connection.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::ending::Ending;
use super::streams::Streams;
use super::wire::CloseReason as WireClose;
use super::wire::client::{
    Config as WireConfig, Connection as Wire, Event, Failure, Fate as WireFate, Reset, Response as WireResponse,
    SendError,
};
use super::wire::frame::ErrorCode;
use super::{
    Api, Broadcast, BundleId, ChannelRequest, Config, Credential, MAX_CHANNEL_LIST, ProviderApi, ProviderToken,
    Request, Requests, Response, TokenBinding, TokenChoice, TokenError,
};
use crate::{
    ApnsId, CloseReason, CredentialRefusal, End, InvalidNotification, Machine, Now, Outcome, Rejection, Transmit,
    UnknownCause,
};

/// What to ask of the service beside pushes to devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Send a broadcast to a channel. Goes to the same servers as pushes do.
    Broadcast(Broadcast),
    /// Make, read, delete or list channels. Goes to servers of its own, see [`host`](super::host).
    Channel {
        /// The app.
        bundle_id: BundleId,
        /// What to do.
        request: ChannelRequest,
        /// The name of the request, which comes back in the answer; `None` for none.
        id: Option<ApnsId>,
    },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoResponse {
    /// No service would take it.
    #[error(transparent)]
    Invalid(#[from] InvalidNotification),
    /// It was not sent, or the service is known not to have looked at it. It is safe to ask again.
    #[error("it was not processed: {0}")]
    NotProcessed(Arc<str>),
    /// It was sent, and nobody knows. A broadcast that is sent again may be shown twice.
    #[error(transparent)]
    Unknown(UnknownCause),
}

/// What a [`RequestClient`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestEvent<K> {
    /// One ended.
    Ended {
        /// The caller's key.
        key: K,
        /// The answer, good or bad: [`Response::is_success`] tells. [`ChannelRequest::answer`] reads one about channels.
        result: Result<Response, NoResponse>,
    },
    /// Nothing more is sent on this connection.
    Retired,
    /// Something waits and the token source has no provider token. Have the source get one, then say
    /// [`token_ready`](RequestClient::token_ready).
    TokenWanted,
    /// The end. Nothing follows, and everything asked has ended before.
    Closed(CloseReason),
}

/// Sends broadcasts and manages channels, over one connection: [`ProviderApi::connect_requests`] makes it.
///
/// Everything that is asked ends in one [`RequestEvent::Ended`]: with an answer, or with what is known without one. Nothing
/// is sent again by itself. One that has waited for [`Config::request_timeout`] since it was asked is given up.
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use apns_proto::http2::{Ask, BundleId, ChannelRequest, Credential, ProviderApi, host};
/// use apns_proto::{Machine, Now, Transmit};
/// use bytes::BytesMut;
///
/// let authority = format!("{}:{}", host::CHANNELS_SANDBOX, host::CHANNELS_SANDBOX_PORT);
/// let api = ProviderApi::new(&authority, Credential::Certificate)?;
/// let now = Now::new(Instant::now(), SystemTime::now().into());
/// let mut client = api.connect_requests(now);
/// let bundle_id = BundleId::new("com.example.app")?;
/// client.ask(now, "list", Ask::Channel { bundle_id, request: ChannelRequest::List, id: None });
/// client.finish();
/// let mut out = BytesMut::new();
/// assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready); // … write `out` to the TLS stream, and so on
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RequestClient<K> {
    config: Config,
    wire: Wire,
    requests: Requests,
    credential: Credential,
    binding: TokenBinding,
    waiting: VecDeque<Waiting<K>>,
    sent: Streams<Sent<K>>,
    events: VecDeque<RequestEvent<K>>,
    phase: Phase,
    opened: Instant,
    /// Bytes are with the transport since this time, and it has not taken all of them yet.
    handed: Option<Instant>,
    /// The service has answered a request otherwise than by refusing the credential: it takes the credential.
    answered: bool,
    /// The source had no token: what it said, and when it is asked again.
    token_trouble: Option<(TokenError, Option<Instant>)>,
    ending: Ending,
    /// Failed together with the connection, for the reason that comes at the end.
    lost: Vec<K>,
}

struct Waiting<K> {
    key: K,
    ask: Ask,
    since: Instant,
}

struct Sent<K> {
    key: K,
    since: Instant,
    token: Option<ProviderToken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Closes when all that was asked has ended.
    Finishing,
    /// Sends nothing more.
    Retired,
    Closed,
}

/// How often a token source that has no token is asked again while something waits for one.
const TOKEN_RETRY: Duration = Duration::from_secs(1);

impl<K> RequestClient<K> {
    pub(super) fn new(api: &ProviderApi, now: Now) -> Self {
        let config = api.config.clone();
        let wire = WireConfig::new(api.authority.clone())
            .max_streams(config.max_streams())
            .max_body(MAX_CHANNEL_LIST)
            .last_stream(config.last_stream());
        Self {
            wire: Wire::new(wire),
            requests: api.requests(),
            credential: api.credential.clone(),
            binding: TokenBinding::new(),
            waiting: VecDeque::new(),
            sent: Streams::new(),
            events: VecDeque::new(),
            phase: Phase::Open,
            opened: now.instant,
            handed: None,
            answered: false,
            token_trouble: None,
            ending: Ending::default(),
            lost: Vec::new(),
            config,
        }
    }

    /// Asks, in every state; where nothing is sent any more it ends at once as not processed.
    pub fn ask(&mut self, now: Now, key: K, mut ask: Ask) {
        if let Ask::Broadcast(broadcast) = &mut ask {
            let expires = broadcast.expiration().resolve(now.wall);
            *broadcast = broadcast.clone().with_expiration(expires);
        }
        if let Err(invalid) = self.request(&ask, None, now) {
            self.end(key, Err(NoResponse::Invalid(invalid)));
        } else if self.phase == Phase::Open {
            self.waiting.push_back(Waiting { key, ask, since: now.instant });
        } else {
            self.end(key, Err(not_processed("this connection takes no more")));
        }
    }

    /// Takes no more, and closes when everything asked has ended.
    pub fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Finishing;
            self.events.push_back(RequestEvent::Retired);
        }
    }

    /// Closes now.
    pub fn close(&mut self, now: Now) {
        if self.phase != Phase::Closed {
            self.abandon(now, CloseReason::ClosedHere);
        }
    }

    /// The token source has a provider token now.
    pub fn token_ready(&mut self) {
        if let Some((_, until)) = &mut self.token_trouble {
            *until = None;
        }
    }

    /// How much was asked and has not ended.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    /// Whether [`RequestEvent::Closed`] was produced; it may still be waiting in [`Machine::poll_event`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn request(&self, ask: &Ask, token: Option<&ProviderToken>, now: Now) -> Result<Request, InvalidNotification> {
        match ask {
            Ask::Broadcast(broadcast) => self.requests.broadcast(broadcast, token, now.wall),
            Ask::Channel { bundle_id, request, id } => Ok(self.requests.channel(bundle_id, request, *id, token)),
        }
    }

    fn end(&mut self, key: K, result: Result<Response, NoResponse>) {
        self.events.push_back(RequestEvent::Ended { key, result });
    }

    fn fill(&mut self, now: Now) {
        if self.next_deadline().is_some_and(|due| due <= now.instant) {
            // Judged first: what is sent on a connection that has failed would be in doubt.
            return;
        }
        while matches!(self.phase, Phase::Open | Phase::Finishing) && !self.waiting.is_empty() {
            match self.wire.refusal() {
                None => {}
                Some(SendError::StreamsExhausted) => return self.retire("the stream identifiers are used up"),
                Some(_) => return,
            }
            if !self.answered && !self.sent.is_empty() {
                return;
            }
            let Some(token) = self.token(now) else { return };
            let Some(Waiting { key, ask, since }) = self.waiting.pop_front() else { return };
            let sent = match self.request(&ask, token.as_ref(), now) {
                Ok(request) => self.wire.send_request(&request),
                Err(invalid) => {
                    self.end(key, Err(NoResponse::Invalid(invalid)));
                    continue;
                }
            };
            match sent {
                Ok(stream) => self.sent.insert(stream, Sent { key, since, token }),
                Err(SendError::HeadersTooLarge { size, limit }) => {
                    let invalid = InvalidNotification::HeadersTooLarge { size, limit: limit as usize };
                    self.end(key, Err(NoResponse::Invalid(invalid)));
                }
                Err(SendError::Malformed) => {
                    self.end(key, Err(NoResponse::Invalid(InvalidNotification::NotAHeader)));
                }
                Err(other) => self.end(key, Err(not_processed(&other.to_string()))),
            }
        }
    }

    /// `Some(None)` where no token is needed, `None` where nothing can be sent.
    fn token(&mut self, now: Now) -> Option<Option<ProviderToken>> {
        let Credential::Token(source) = &self.credential else { return Some(None) };
        if matches!(self.token_trouble, Some((_, Some(_)))) {
            return None;
        }
        match source.token(now) {
            Ok(offered) => {
                self.token_trouble = None;
                match self.binding.choose(now, &offered) {
                    TokenChoice::Use(token) => Some(Some(token)),
                    TokenChoice::Replace => {
                        self.retire("the provider token of this connection is too old");
                        None
                    }
                }
            }
            Err(error) => {
                if self.token_trouble.is_none() {
                    self.events.push_back(RequestEvent::TokenWanted);
                }
                self.token_trouble = Some((error, now.instant.checked_add(TOKEN_RETRY)));
                None
            }
        }
    }

    fn pump(&mut self, now: Now) {
        while let Some(event) = self.wire.poll() {
            match event {
                Event::Settings(_) | Event::Pong(_) => {}
                Event::Response { stream, response } => {
                    if let Some(sent) = self.sent.remove(stream) {
                        self.on_answer(now, sent, response);
                    }
                }
                Event::Failed { stream, failure, fate } => {
                    if let Some(sent) = self.sent.remove(stream) {
                        self.on_failure(sent.key, failure, fate);
                    }
                }
                Event::GoAway(said) => {
                    let reason = self.ending.said(&said);
                    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                    self.retire(&format!("the service is going away{why}"));
                }
                Event::Closed(reason) => self.on_closed(reason),
            }
        }
        if self.phase == Phase::Finishing && self.unsettled() == 0 {
            self.phase = Phase::Retired;
            self.wire.finish();
            self.pump(now);
        }
    }

    fn on_answer(&mut self, now: Now, sent: Sent<K>, response: WireResponse) {
        let response = Response::from_wire(Api::Broadcast, now.wall, response);
        let refusal = match response.clone().into_outcome() {
            Outcome::Rejected(rejection) if rejection.refuses_credential() => rejection,
            _ => {
                self.answered = true;
                return self.end(sent.key, Ok(response));
            }
        };
        if let (Rejection::Provider(rejection), Some(token), Credential::Token(source)) =
            (&refusal, &sent.token, &self.credential)
            && let Some(reason) = rejection.known_reason().filter(|reason| reason.is_about_token())
        {
            // What follows from it shows on the next connection.
            let _ = source.rejected(now, token, reason, response.clock_skew());
        }
        let refusal = Arc::new(CredentialRefusal::Answer(refusal));
        self.end(sent.key, Ok(response));
        self.ending.own.get_or_insert(CloseReason::CredentialRefused(refusal.clone()));
        self.retire(&format!("the service refuses the credential: {refusal}"));
    }

    fn on_failure(&mut self, key: K, failure: Failure, fate: WireFate) {
        let result = match (fate, failure) {
            (WireFate::NotProcessed, Failure::Refused | Failure::AboveLastStream) => {
                not_processed("the service says so")
            }
            (WireFate::NotProcessed, _) => not_processed("it did not wholly leave"),
            (WireFate::Unknown, Failure::Reset(code) | Failure::Violation(code)) => {
                NoResponse::Unknown(UnknownCause::BrokenOff { code: code.0 })
            }
            (WireFate::Unknown, Failure::ConnectionEnded | Failure::Refused | Failure::AboveLastStream) => {
                self.lost.push(key);
                return;
            }
        };
        self.end(key, Err(result));
    }

    /// Sends nothing more; what was not sent ends, what is open goes on.
    fn retire(&mut self, why: &str) {
        if matches!(self.phase, Phase::Retired | Phase::Closed) {
            return;
        }
        self.stop_taking(why);
        self.wire.finish();
    }

    fn stop_taking(&mut self, why: &str) {
        if self.phase == Phase::Open {
            self.events.push_back(RequestEvent::Retired);
        }
        self.phase = Phase::Retired;
        while let Some(waiting) = self.waiting.pop_front() {
            self.end(waiting.key, Err(not_processed(why)));
        }
    }

    fn abandon(&mut self, now: Now, reason: CloseReason) {
        self.ending.own = Some(reason);
        self.wire.abandon(ErrorCode::NO_ERROR);
        self.pump(now);
    }

    fn on_closed(&mut self, wire: WireClose) {
        let reason = self.ending.reason(wire);
        let why = reason.to_string();
        let cause = match &reason {
            CloseReason::ClosedHere => UnknownCause::Closed,
            CloseReason::NoAnswer => UnknownCause::NoAnswer,
            _ => UnknownCause::ConnectionLost(Arc::from(&*why)),
        };
        for key in std::mem::take(&mut self.lost) {
            self.end(key, Err(NoResponse::Unknown(cause.clone())));
        }
        self.stop_taking(&why);
        self.phase = Phase::Closed;
        self.handed = None;
        self.events.push_back(RequestEvent::Closed(reason));
    }

    /// Gives up what has waited long enough.
    fn give_up(&mut self, now: Now) {
        let timeout = self.config.request_timeout();
        let late = |since: Instant| since.checked_add(timeout).is_some_and(|due| due <= now.instant);
        while let Some((stream, first)) = self.sent.first()
            && late(first.since)
        {
            let reset = self.wire.reset(stream);
            if reset.is_none() {
                // Its event is waiting.
                self.pump(now);
            }
            let Some(sent) = self.sent.remove(stream) else { continue };
            match reset {
                Some(Reset::Answered(response)) => self.on_answer(now, sent, response),
                Some(Reset::Unanswered(WireFate::NotProcessed)) => {
                    self.end(sent.key, Err(not_processed("it did not wholly leave in time")));
                }
                Some(Reset::Unanswered(WireFate::Unknown)) | None => {
                    self.end(sent.key, Err(NoResponse::Unknown(UnknownCause::NoAnswer)));
                }
            }
        }
        while self.waiting.front().is_some_and(|waiting| late(waiting.since)) {
            let Some(waiting) = self.waiting.pop_front() else { return };
            let why = match &self.token_trouble {
                Some((error, _)) => error.to_string(),
                None => "it could not be sent in time".to_owned(),
            };
            self.end(waiting.key, Err(not_processed(&why)));
        }
    }

    fn write_stalls(&self) -> Option<Instant> {
        self.handed?.checked_add(self.config.write_timeout())
    }

    fn greeting_ends(&self) -> Option<Instant> {
        let greeted = self.wire.settings().is_some();
        self.opened.checked_add(self.config.greeting_timeout()).filter(|_| !greeted)
    }
}

fn not_processed(why: &str) -> NoResponse {
    NoResponse::NotProcessed(why.into())
}

impl<K> Machine for RequestClient<K> {
    type Event = RequestEvent<K>;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if self.phase != Phase::Closed {
            self.wire.receive(now.instant, bytes);
            self.pump(now);
        }
    }

    fn handle_end(&mut self, now: Now, end: End) {
        if self.phase != Phase::Closed {
            self.ending.end = Some(end);
            self.wire.receive_end();
            self.pump(now);
        }
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        if self.phase != Phase::Closed {
            self.handed = None;
            self.wire.write_failed(unsent);
            // Not finished: answers, and the reason, may still come.
            self.stop_taking("the connection broke");
            self.pump(now);
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now.instant);
        if self.phase == Phase::Closed {
            return;
        }
        if passed(self.write_stalls()) {
            return self.abandon(now, CloseReason::WriteStalled);
        }
        if passed(self.greeting_ends()) {
            return self.abandon(now, CloseReason::NoAnswer);
        }
        if let Some((_, until)) = &mut self.token_trouble
            && passed(*until)
        {
            *until = None;
        }
        self.give_up(now);
        self.pump(now);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        self.handed = None;
        self.fill(now);
        // What was asked may have ended without being sent, and with it the connection.
        self.pump(now);
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

    fn poll_event(&mut self) -> Option<RequestEvent<K>> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed { None } else { self.next_deadline() }
    }
}

impl<K> RequestClient<K> {
    fn next_deadline(&self) -> Option<Instant> {
        let timeout = self.config.request_timeout();
        let sent = self.sent.first().and_then(|(_, sent)| sent.since.checked_add(timeout));
        let waiting = self.waiting.front().and_then(|waiting| waiting.since.checked_add(timeout));
        let token = self.token_trouble.as_ref().and_then(|(_, until)| *until);
        [sent, waiting, token, self.write_stalls(), self.greeting_ends()].into_iter().flatten().min()
    }
}

impl<K> fmt::Debug for RequestClient<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestClient")
            .field("phase", &self.phase)
            .field("waiting", &self.waiting.len())
            .field("sent", &self.sent.len())
            .finish_non_exhaustive()
    }
}
