//! A session of the provider API, pretend services for its connections, a pretend network, and a clock that the test owns.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use apns_proto::http2::{Credential, ProviderApi};
use apns_proto::{
    ApnsId, DeviceToken, DialFailure, DialStep, End, LinkId, LinkReport, Machine, Notification, Now, Outcome, Payload,
    Session, SessionConfig, SessionEvent, Settled, Topic, Transmit, WallTime, Warning,
};
use apns_sim::machine::{Answer, ProviderEvent, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;

/// How the bytes are split.
pub(crate) const SPLITS: [usize; 3] = [1, 7, usize::MAX];

/// Where pretend time begins.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way; only differences matter")]
pub(crate) fn start() -> Now {
    Now::new(Instant::now(), WallTime::from_secs(1_700_000_000))
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A notification whose device token has its key in it.
pub(crate) fn notification(key: u32) -> Notification {
    let mut token = [0xab; 32];
    token[..4].copy_from_slice(&key.to_be_bytes());
    let token = DeviceToken::from_bytes(token).unwrap();
    Notification::new(token, Payload::alert("Tea is ready")).with_topic(Topic::new("com.example.app").unwrap())
}

/// What is sent first where the credential is to be taken before anything else happens.
const GREETING: u32 = u32::MAX;

/// The key in a request's path.
pub(crate) fn key_of(request: &ProviderRequest) -> u32 {
    let hex = request.path().strip_prefix("/3/device/").expect("the path of a device push");
    u32::from_str_radix(&hex[..8], 16).unwrap()
}

pub(crate) fn id_of(key: u32) -> ApnsId {
    format!("00000000-0000-0000-0000-0000{key:08x}").parse().unwrap()
}

pub(crate) fn accept(request: &ProviderRequest) -> Verdict {
    Verdict::answer(Answer::accepted(id_of(key_of(request))))
}

pub(crate) fn refuse(status: u16, reason: &str) -> Verdict {
    Verdict::answer(Answer::refusal(status, reason))
}

pub(crate) type BoxedJudge = Box<dyn FnMut(Now, &ProviderRequest) -> Verdict>;

/// What a test wants to happen when a connection is wanted.
pub(crate) enum Dialled {
    /// A service that judges like this.
    Service(BoxedJudge, ServerConfig),
    /// No connection.
    Refused { fatal: bool },
    /// A connection at whose other end somebody says just this.
    Stranger(&'static [u8]),
}

pub(crate) fn service(judge: impl FnMut(Now, &ProviderRequest) -> Verdict + 'static) -> Dialled {
    service_with(ServerConfig::default(), judge)
}

pub(crate) fn service_with(
    config: ServerConfig,
    judge: impl FnMut(Now, &ProviderRequest) -> Verdict + 'static,
) -> Dialled {
    Dialled::Service(Box::new(judge), config)
}

/// What became of the bytes of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// All of them arrive.
    Good,
    /// None arrives any more, in either direction, and nobody is told.
    Black,
    /// The transport takes no bytes of the client any more.
    Full,
}

pub(crate) struct Peer {
    pub(crate) server: Option<ProviderServer<BoxedJudge>>,
    pub(crate) network: Network,
    /// Bytes that the stranger says.
    stranger: Option<&'static [u8]>,
    pub(crate) events: Vec<ProviderEvent>,
    /// How many more bytes of the client get through before the connection breaks.
    pub(crate) breaks_after: Option<usize>,
    over: bool,
}

impl Peer {
    fn new(server: Option<ProviderServer<BoxedJudge>>, stranger: Option<&'static [u8]>) -> Self {
        Self { server, network: Network::Good, stranger, events: Vec::new(), breaks_after: None, over: false }
    }
}

type Dialler = Box<dyn FnMut(usize) -> Dialled>;

pub(crate) struct World {
    pub(crate) session: Session<ProviderApi, u32>,
    pub(crate) now: Now,
    pub(crate) split: usize,
    dialler: Dialler,
    pub(crate) peers: BTreeMap<LinkId, Peer>,
    /// What services heard when their clients closed.
    pub(crate) last_words: Vec<ProviderEvent>,
    /// When each connection was asked for.
    pub(crate) dials: Vec<Instant>,
    pub(crate) settled: BTreeMap<u32, Settled<u32>>,
    pub(crate) reports: Vec<LinkReport>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) stopped: Option<String>,
    pub(crate) gave_up: usize,
    pub(crate) finished: bool,
    pub(crate) tokens_wanted: usize,
    greets: bool,
    /// What a failed check says first.
    pub(crate) name: String,
    out: BytesMut,
}

pub(crate) fn api() -> ProviderApi {
    ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap()
}

impl World {
    pub(crate) fn new(api: ProviderApi, dialler: impl FnMut(usize) -> Dialled + 'static) -> Self {
        Self::with(api, SessionConfig::default(), dialler)
    }

    pub(crate) fn with(
        api: ProviderApi,
        config: SessionConfig,
        dialler: impl FnMut(usize) -> Dialled + 'static,
    ) -> Self {
        Self {
            session: Session::new(api, config),
            now: start(),
            split: usize::MAX,
            dialler: Box::new(dialler),
            peers: BTreeMap::new(),
            last_words: Vec::new(),
            dials: Vec::new(),
            settled: BTreeMap::new(),
            reports: Vec::new(),
            warnings: Vec::new(),
            stopped: None,
            gave_up: 0,
            finished: false,
            tokens_wanted: 0,
            greets: false,
            name: String::new(),
            out: BytesMut::new(),
        }
    }

    /// The first connection has taken the credential: from here on it carries more than one request. Its stream 1 is used.
    pub(crate) fn taken(mut self) -> Self {
        self.greets = true;
        self.submit([GREETING]);
        self.greets = false;
        let settled = self.settled.remove(&GREETING).expect("it is answered at once");
        assert!(settled.outcome.is_accepted());
        self
    }

    /// One service for all connections.
    pub(crate) fn of(judge: impl FnMut(Now, &ProviderRequest) -> Verdict + Clone + 'static) -> Self {
        Self::new(api(), move |_| service(judge.clone()))
    }

    pub(crate) fn split(mut self, split: usize) -> Self {
        self.split = split;
        self
    }

    pub(crate) fn submit(&mut self, keys: impl IntoIterator<Item = u32>) {
        for key in keys {
            self.session.submit(self.now, key, notification(key));
        }
        self.run();
    }

    /// Lets everything happen that happens without time.
    pub(crate) fn run(&mut self) {
        for turns in 0.. {
            let due = |world: &Self| world.session.poll_timeout().is_some_and(|due| due <= world.now.instant);
            let moved = self.turn();
            if due(self) {
                self.session.handle_timeout(self.now);
            } else if !moved {
                return;
            }
            assert!(
                turns < 100_000,
                "{}: it goes in circles with {} connections, {:?}, {:?}",
                self.name,
                self.dials.len(),
                self.reports.last(),
                self.session
            );
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now.instant + span;
        loop {
            self.run();
            let servers = self.peers.values().filter_map(|peer| peer.server.as_ref()?.poll_timeout());
            let next = servers.chain(self.session.poll_timeout()).min().filter(|next| *next <= end);
            let step = next.unwrap_or(end).max(self.now.instant) - self.now.instant;
            self.now = Now::new(self.now.instant + step, self.now.wall.saturating_add(step));
            self.session.handle_timeout(self.now);
            for peer in self.peers.values_mut() {
                if let Some(server) = &mut peer.server {
                    server.handle_timeout(self.now);
                }
            }
            if next.is_none() {
                break;
            }
        }
        self.run();
    }

    pub(crate) fn outcome(&self, key: u32) -> &Outcome {
        &self.settled.get(&key).unwrap_or_else(|| panic!("{key} has no outcome")).outcome
    }

    pub(crate) fn word(&self, key: u32) -> &'static str {
        self.settled.get(&key).map_or("open", |settled| settled.outcome.word())
    }

    /// How many ended with each word.
    pub(crate) fn words(&self) -> BTreeMap<&'static str, usize> {
        let mut words = BTreeMap::new();
        for settled in self.settled.values() {
            *words.entry(settled.outcome.word()).or_default() += 1;
        }
        words
    }

    /// The newest connection.
    pub(crate) fn last(&mut self) -> &mut Peer {
        self.peers.values_mut().next_back().expect("a connection is open")
    }

    /// Does something at the newest connection's service.
    pub(crate) fn perform(&mut self, step: apns_sim::machine::Step) {
        let now = self.now;
        self.last().server.as_mut().expect("a service").perform(now, step);
        self.run();
    }

    /// The newest connection breaks.
    pub(crate) fn cut(&mut self, end: End) {
        let (&link, _) = self.peers.iter().next_back().expect("a connection is open");
        self.end_link(link, end);
        self.run();
    }

    fn end_link(&mut self, link: LinkId, end: End) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.over = true;
            if let Some(server) = &mut peer.server {
                server.handle_end(self.now, end.clone());
            }
        }
        self.session.handle_end(self.now, link, end);
    }

    fn turn(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.session.poll_event() {
            moved = true;
            self.on_event(event);
        }
        let links: Vec<LinkId> = self.peers.keys().copied().collect();
        for link in links {
            moved |= self.turn_link(link);
        }
        moved
    }

    fn on_event(&mut self, event: SessionEvent<u32>) {
        assert!(!self.finished, "{event:?} follows the end");
        match event {
            SessionEvent::Settled(settled) => {
                let key = settled.key;
                assert_eq!(self.settled.insert(key, settled), None, "{key} is settled twice");
            }
            SessionEvent::Dial { link } => {
                self.dials.push(self.now.instant);
                let peer = match (self.dialler)(self.dials.len()) {
                    Dialled::Service(mut judge, config) if self.greets => {
                        let greeting = move |now: Now, request: &ProviderRequest| match key_of(request) {
                            GREETING => accept(request),
                            _ => judge(now, request),
                        };
                        Peer::new(Some(ProviderServer::new(Box::new(greeting) as BoxedJudge, &config)), None)
                    }
                    Dialled::Service(judge, config) => Peer::new(Some(ProviderServer::new(judge, &config)), None),
                    Dialled::Stranger(words) => Peer::new(None, Some(words)),
                    Dialled::Refused { fatal } => {
                        let refused = DialFailure::passing(DialStep::Connect, "connection refused");
                        let failure = DialFailure { fatal, ..refused };
                        self.session.dial_failed(self.now, link, failure);
                        return;
                    }
                };
                if self.session.connected(self.now, link) {
                    self.peers.insert(link, peer);
                }
            }
            SessionEvent::Closed(report) => self.reports.push(report),
            SessionEvent::Warning { warning, .. } => self.warnings.push(warning),
            SessionEvent::Paused { cause, .. } | SessionEvent::Stopped { cause } => {
                self.stopped = Some(cause.to_string());
            }
            SessionEvent::GaveUp { .. } => self.gave_up += 1,
            SessionEvent::Finished => self.finished = true,
            SessionEvent::TokenWanted { .. } => self.tokens_wanted += 1,
            _ => {}
        }
    }

    fn turn_link(&mut self, link: LinkId) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&link) else { return false };
        let mut moved = false;
        if peer.network != Network::Full {
            self.out.clear();
            let transmit = self.session.poll_transmit(now, link, &mut self.out);
            moved |= transmit != Transmit::Idle;
            let mut breaks = false;
            if let Some(left) = &mut peer.breaks_after {
                breaks = self.out.len() >= *left;
                self.out.truncate(*left);
                *left -= self.out.len();
            }
            if let Some(server) = &mut peer.server
                && peer.network == Network::Good
            {
                self.out.chunks(self.split).for_each(|piece| server.handle_input(now, piece));
            }
            if breaks {
                // Once: afterwards the session closes its side like any other.
                peer.breaks_after = None;
                self.end_link(link, End::Cut);
                return true;
            }
            if transmit == Transmit::Shutdown {
                if let Some(mut gone) = self.peers.remove(&link)
                    && let Some(server) = &mut gone.server
                {
                    server.handle_end(now, End::Clean);
                    self.last_words.extend(std::iter::from_fn(|| server.poll_event()));
                }
                return true;
            }
        }
        let Some(peer) = self.peers.get_mut(&link) else { return moved };
        if peer.over {
            return moved;
        }
        if let Some(words) = peer.stranger.take() {
            words.chunks(self.split).for_each(|piece| self.session.handle_input(now, link, piece));
            return true;
        }
        let Some(server) = &mut peer.server else { return moved };
        self.out.clear();
        let transmit = server.poll_transmit(now, &mut self.out);
        moved |= transmit == Transmit::Ready || !self.out.is_empty();
        while let Some(event) = server.poll_event() {
            moved = true;
            peer.events.push(event);
        }
        if peer.network == Network::Black {
            return moved;
        }
        let over = transmit == Transmit::Shutdown;
        peer.over = over;
        let bytes = self.out.split().freeze();
        bytes.chunks(self.split).for_each(|piece| self.session.handle_input(now, link, piece));
        if over {
            self.session.handle_end(now, link, End::Clean);
            moved = true;
        }
        moved
    }
}

/// What the services of a world saw, shared with their judges.
pub(crate) type Shared<T> = Rc<RefCell<T>>;

pub(crate) fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}
