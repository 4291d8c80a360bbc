//! A session, pretend services and a pretend network between them, all in pretend time.
//!
//! The session is driven as the real driver does it: dials, submissions, for each connection reading and writing in either
//! order until nothing moves, and then what is due. The network and the gateways go on while the driver stands still.

#![allow(clippy::print_stdout, reason = "a failed run is replayed and printed")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use apns_proto::Opener;
use apns_proto::{
    DialFailure, DialStep, End, LinkId, Machine, Notification, Now, Session, SessionConfig, SessionEvent, Settled,
    WallTime,
};

use super::dice::Dice;
use super::gateways::{Gateways, Script};
use super::line::{Line, Side};
use super::timeline::{Timeline, Turn};
use super::{secs, session_line, start};

/// The two ends of a protocol: whose connections a session opens, and who answers them.
pub(crate) trait Service {
    /// The client's side.
    type Opener: Opener<u32, Message = Notification>;
    /// What one connection's other end does.
    type Script: Clone + Default + std::fmt::Debug;
    /// What all of them know together.
    type Truth: Default;
    /// The other end.
    type Server: Machine;
    /// Looks at what passes the client's end of one connection.
    type Watch: Watch;

    fn accept(
        link: LinkId,
        script: &Self::Script,
        truth: &Rc<RefCell<Self::Truth>>,
        timeline: &Timeline,
    ) -> (Self::Server, Self::Watch);

    /// How long a service with this script may take to protest; `None` for ever.
    fn slowness(script: &Self::Script) -> Option<Duration>;
}

/// Looks at the bytes of one connection where they leave and reach the client.
pub(crate) trait Watch {
    /// The client handed these bytes to the transport, which may take them later.
    fn handed(&mut self, _now: Instant, _bytes: &[u8]) {}

    /// The transport took these bytes. Gives the numbers of the notifications that they complete.
    fn wrote(&mut self, _bytes: &[u8]) -> Vec<u32> {
        Vec::new()
    }

    /// The client reads these bytes, which have lain in its socket since `arrived`.
    fn read(&mut self, _now: Instant, _arrived: Instant, _bytes: &[u8]) {}

    /// For the client the connection is over.
    fn over(&mut self, _now: Instant) {}
}

/// What the network does to one connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire<C = Script> {
    /// One way, in either direction.
    pub(crate) latency: Duration,
    /// Added to the way back.
    pub(crate) delay: Duration,
    /// The most bytes under way to the gateway; a full pipe takes no more.
    pub(crate) capacity: usize,
    /// The most bytes that either side reads at once.
    pub(crate) piece: usize,
    /// Bytes to the gateway from this place on vanish, and the connection is dead.
    pub(crate) cut_up: Option<u64>,
    /// Bytes to the client from this place on vanish, and an end comes in their stead.
    pub(crate) cut_down: Option<u64>,
    /// How long after the cut the client learns of it.
    pub(crate) notice: Duration,
    /// A write fails at this place.
    pub(crate) fails_at: Option<u64>,
    /// How many unsent bytes the transport does not own up to.
    pub(crate) unsure: usize,
    /// Nothing arrives at the gateway in this span after the opening.
    pub(crate) stall: Option<(Duration, Duration)>,
    /// From this byte of the client on nothing is read for so long, the end of the stream neither.
    pub(crate) stops_reading: Option<(u64, Duration)>,
    /// Somebody else is at the other end: says this and closes.
    pub(crate) stranger: Option<&'static [u8]>,
    /// The other end lets nobody in, and says so in these words.
    pub(crate) turned_away: Option<&'static str>,
    /// The gateway's side of the stream ends when so many bytes arrived; the gateway goes on reading.
    pub(crate) half_close_at: Option<u64>,
    /// How the gateway's side ends.
    pub(crate) end: End,
    /// Writing to a gateway that is gone also throws away what it said last.
    pub(crate) reset_destroys: bool,
    /// The client reads before it writes, where it can do both.
    pub(crate) reads_first: bool,
    pub(crate) script: C,
}

impl<C: Default> Default for Wire<C> {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            delay: Duration::ZERO,
            capacity: 1 << 20,
            piece: usize::MAX,
            cut_up: None,
            cut_down: None,
            notice: Duration::ZERO,
            fails_at: None,
            unsure: 0,
            stall: None,
            stops_reading: None,
            stranger: None,
            turned_away: None,
            half_close_at: None,
            end: End::Clean,
            reset_destroys: false,
            reads_first: false,
            script: C::default(),
        }
    }
}

impl<C> Wire<C> {
    /// How long a protest may take that is due: what the network adds to the service's own `slowness`.
    fn silence(&self, slowness: Option<Duration>) -> Option<Duration> {
        let vanishes = if self.cut_up.is_some() { self.notice } else { Duration::ZERO };
        let stalls = self.stall.map_or(Duration::ZERO, |(_, span)| span);
        let stops = self.stops_reading.map_or(Duration::ZERO, |(_, span)| span);
        Some(2 * self.latency + self.delay + vanishes + stalls + stops + slowness?)
    }
}

/// How an attempt to connect goes, and how long it takes.
#[derive(Debug, Clone)]
pub(crate) enum Dialled<C = Script> {
    Open(Duration, Box<Wire<C>>),
    Failed(Duration),
    Fatal(Duration),
    /// At a step whose failure is about the credential.
    Refused(Duration, DialStep),
}

/// What happens at a given time.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// The application has this to send.
    Wanted(u32, Box<Notification>),
    Prove(Option<Duration>),
    Close(Option<Duration>),
    /// The wall clock jumps by so many seconds.
    WallJump(i64),
    /// The client's process stands still for so long.
    HeldUp(Duration),
    /// For one round the client's monotonic clock is so much behind.
    Behind(Duration),
    /// The service starts anew: every connection breaks, and for so long nobody is let in.
    Restart(Duration),
    /// Somebody mended the credential, or says so.
    CredentialChanged,
}

impl Happening {
    /// What the timeline says of it.
    const fn turn(&self) -> Option<Turn> {
        Some(match self {
            Self::Prove(span) => Turn::Proving(*span),
            Self::Close(span) => Turn::Closing(*span),
            Self::WallJump(seconds) => Turn::ClockSet(*seconds),
            Self::HeldUp(span) => Turn::HeldUp(*span),
            Self::Behind(span) => Turn::Behind(*span),
            Self::CredentialChanged => Turn::CredentialChanged,
            Self::Wanted(..) | Self::Restart(_) => return None,
        })
    }

    /// Whether the client's process has to run for it.
    fn is_an_order(&self) -> bool {
        matches!(self, Self::Prove(_) | Self::Close(_) | Self::Behind(_) | Self::CredentialChanged)
    }
}

pub(crate) struct World<S: Service = Gateways> {
    pub(crate) begun: Now,
    /// As the client's clocks say.
    pub(crate) now: Now,
    pub(crate) session: Session<S::Opener, u32>,
    pub(crate) truth: Rc<RefCell<S::Truth>>,
    pub(crate) outcomes: BTreeMap<u32, Vec<Settled<u32>>>,
    /// When each had its last outcome.
    pub(crate) settled_at: BTreeMap<u32, Duration>,
    /// What happened, in order.
    pub(crate) timeline: Timeline,
    pub(crate) transcript: Vec<String>,
    /// Whether the transcript is printed as it grows.
    pub(crate) prints: bool,
    /// When each dial was asked for.
    pub(crate) dials_at: Vec<Duration>,
    /// The most notifications that the session held at once.
    pub(crate) most_unsettled: usize,
    /// The most connections that were open at once.
    pub(crate) most_lines: usize,
    /// How often bytes were read a second or more after they came: by connections that write first, and that read first.
    pub(crate) read_late: [usize; 2],
    wanted: VecDeque<(u32, Notification)>,
    happenings: Vec<(Instant, Happening)>,
    dials: Vec<(Instant, LinkId, Dialled<S::Script>)>,
    dialler: Box<dyn FnMut(usize, Duration) -> Dialled<S::Script>>,
    lines: Vec<Line<S>>,
    held_up_until: Instant,
    behind: Duration,
    /// Nobody is let in before this time.
    away_until: Instant,
    /// On which connections each was written, whole.
    pub(crate) written: BTreeMap<u32, Vec<LinkId>>,
    /// For how long each connection was made to be silent at most; `None` for ever.
    pub(crate) silence: BTreeMap<LinkId, Option<Duration>>,
    /// Which of several connections that are ready comes first.
    order: Option<Dice>,
    told: usize,
}

impl<S: Service> World<S> {
    /// `dialler` says how the attempt with this number, from 0, at this time after the start goes.
    pub(crate) fn of(
        protocol: S::Opener,
        session: SessionConfig,
        dialler: impl FnMut(usize, Duration) -> Dialled<S::Script> + 'static,
    ) -> Self {
        let now = start();
        Self {
            begun: now,
            now,
            session: Session::new(protocol, session),
            truth: Rc::default(),
            outcomes: BTreeMap::new(),
            settled_at: BTreeMap::new(),
            timeline: Timeline::new(now.instant),
            transcript: Vec::new(),
            prints: false,
            dials_at: Vec::new(),
            most_unsettled: 0,
            most_lines: 0,
            read_late: [0, 0],
            wanted: VecDeque::new(),
            happenings: Vec::new(),
            dials: Vec::new(),
            dialler: Box::new(dialler),
            lines: Vec::new(),
            held_up_until: now.instant,
            behind: Duration::ZERO,
            away_until: now.instant,
            written: BTreeMap::new(),
            silence: BTreeMap::new(),
            order: None,
            told: 0,
        }
    }

    /// Connections that are ready at the same time take turns in an order of chance.
    pub(crate) fn in_any_order(mut self, dice: Dice) -> Self {
        self.order = Some(dice);
        self
    }

    pub(crate) fn at(&mut self, since_begin: Duration, happening: Happening) {
        self.happenings.push((self.begun.instant + since_begin, happening));
    }

    /// The application has this to send now.
    pub(crate) fn want(&mut self, number: u32, notification: Notification) {
        self.wanted.push_back((number, notification));
    }

    pub(crate) fn want_all(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.want(number, super::notification(number));
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.instant - self.begun.instant
    }

    /// The outcome of one, which must be its only one.
    #[track_caller]
    pub(crate) fn outcome(&self, number: u32) -> String {
        match self.outcomes.get(&number).map(Vec::as_slice) {
            Some([one]) => super::outcome(&one.outcome),
            None => "none".into(),
            Some(many) => panic!("{number} has {} outcomes: {many:?}", many.len()),
        }
    }

    /// Outcomes in words, and how many of each.
    pub(crate) fn outcomes_in_words(&self) -> BTreeMap<String, usize> {
        let mut words = BTreeMap::new();
        for number in self.outcomes.keys() {
            *words.entry(self.outcome(*number)).or_default() += 1;
        }
        words
    }

    /// What the session said since the last time.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let told = self.transcript[self.told..].to_vec();
        self.told = self.transcript.len();
        told
    }

    pub(crate) fn times(&self, line: &str) -> usize {
        self.transcript.iter().filter(|told| told.starts_with(line)).count()
    }

    /// Everything that can happen happens, until nothing is under way. Panics when there is no end to it.
    pub(crate) fn run(&mut self) {
        self.run_for(secs(100_000_000));
    }

    /// Everything happens that happens within this time.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now.instant + span;
        let mut rounds_at_once = 0;
        for round in 0.. {
            let before = self.now.instant;
            self.happen();
            self.work_network();
            let moved = self.now.instant >= self.held_up_until && self.drive();
            let next = if moved { Some(self.now.instant) } else { self.next_time() };
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.pass(next.max(self.now.instant));
            rounds_at_once = if self.now.instant == before { rounds_at_once + 1 } else { 0 };
            assert!(rounds_at_once < 20_000, "it spins at {:?}", self.elapsed());
            assert!(round < 2_000_000, "there is no end to it at {:?}", self.elapsed());
        }
        // Time goes on to the end only where a test waits for a span.
        if span < secs(100_000_000) {
            self.pass(end);
        }
    }

    fn pass(&mut self, to: Instant) {
        let span = to - self.now.instant;
        self.now = Now::new(to, self.now.wall.saturating_add(span));
    }

    fn next_time(&self) -> Option<Instant> {
        let driver = (self.session.poll_timeout().into_iter())
            .chain(self.dials.iter().map(|dial| dial.0))
            .chain(self.lines.iter().filter_map(|line| line.linger.filter(|_| !line.client_over())))
            .chain(
                self.lines
                    .iter()
                    .filter(|line| line.read_open)
                    .filter_map(|line| line.down.front().map(|piece| piece.0)),
            )
            .chain(self.lines.iter().filter_map(|line| line.reset_at.filter(|time| *time > self.now.instant)))
            .min()
            .map(|time| time.max(self.held_up_until));
        let waking = (self.held_up_until > self.now.instant).then_some(self.held_up_until);
        let network = (self.lines.iter().filter_map(Line::next_arrival))
            .chain(self.lines.iter().filter(|line| !line.server_over).filter_map(|line| line.server.poll_timeout()));
        let happenings = (self.happenings.iter())
            .map(|(time, happening)| if happening.is_an_order() { (*time).max(self.held_up_until) } else { *time });
        driver.into_iter().chain(waking).chain(network).chain(happenings).min()
    }

    fn note(&mut self, line: String) {
        if self.prints {
            println!("{:>10.3} {line}", self.elapsed().as_secs_f64());
        }
        self.transcript.push(line);
    }

    fn print(&self, line: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>10.3}   {}", self.elapsed().as_secs_f64(), line());
        }
    }

    fn happen(&mut self) {
        let now = self.now.instant;
        let stands_still = now < self.held_up_until;
        let (due, later): (Vec<_>, Vec<_>) = self
            .happenings
            .drain(..)
            .partition(|(time, happening)| *time <= now && !(stands_still && happening.is_an_order()));
        self.happenings = later;
        for (_, happening) in due {
            if !matches!(happening, Happening::Wanted(..)) {
                self.print(|| format!("[{happening:?}]"));
            }
            if let Some(turn) = happening.turn() {
                self.timeline.push(now, turn);
            }
            match happening {
                Happening::Wanted(number, notification) => self.wanted.push_back((number, *notification)),
                Happening::Prove(span) => self.session.prove(self.now, span.map(|span| now + span)),
                Happening::Close(span) => self.session.close(self.now, span.map(|span| now + span)),
                Happening::WallJump(seconds) => {
                    let seconds = self.now.wall.as_secs().saturating_add_signed(seconds);
                    self.now.wall = WallTime::from_secs(seconds);
                }
                Happening::HeldUp(span) => self.held_up_until = self.held_up_until.max(now + span),
                Happening::Behind(span) => {
                    self.behind = span;
                    // A clock that leaps ahead afterwards makes a service look slow by as much.
                    for line in &self.lines {
                        if let Some(Some(silence)) = self.silence.get_mut(&line.id) {
                            *silence += span;
                        }
                    }
                }
                Happening::Restart(span) => {
                    let now = self.true_now();
                    self.away_until = self.away_until.max(now.instant + span);
                    self.lines.iter_mut().for_each(|line| line.break_now(now));
                }
                Happening::CredentialChanged => self.session.credential_changed(self.now),
            }
        }
    }

    /// What the service's clocks say: they never jump.
    fn true_now(&self) -> Now {
        Now::new(self.now.instant, self.begun.wall.saturating_add(self.elapsed()))
    }

    fn work_network(&mut self) {
        let now = self.true_now();
        for line in &mut self.lines {
            line.arrive(now);
            line.serve(now);
        }
        // A line is over when its client is and nothing is under way that the gateway could still take.
        self.lines.retain(|line| !(line.client_over() && (line.server_over || line.up.is_empty())));
    }

    /// One round of the driver. Says whether anything moved.
    fn drive(&mut self) -> bool {
        let mut now = self.now;
        now.instant -= std::mem::take(&mut self.behind);
        let mut moved = self.poll_dials(now);
        while self.session.can_submit() {
            let Some((number, notification)) = self.wanted.pop_front() else { break };
            self.session.submit(now, number, notification);
            moved = true;
        }
        if self.session.stopped().is_some() || self.session.is_closing() {
            // Nobody may be left waiting: a session takes them in every state.
            while let Some((number, notification)) = self.wanted.pop_front() {
                self.session.submit(now, number, notification);
                moved = true;
            }
        }
        moved |= self.take_events();
        self.most_unsettled = self.most_unsettled.max(self.session.unsettled());
        if let Some(order) = &mut self.order
            && self.lines.len() > 1
        {
            let first = order.below(self.lines.len() as u64) as usize;
            self.lines.rotate_left(first);
        }
        for index in 0..self.lines.len() {
            moved |= self.pump(now, index);
        }
        if self.session.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.session.handle_timeout(now);
            moved = true;
        }
        let open = self.lines.iter().filter(|line| !line.client_over() && line.write != Side::Closed).count();
        self.most_lines = self.most_lines.max(open);
        moved | self.take_events()
    }

    /// One connection, as the driver's pump does it. Says whether anything moved.
    fn pump(&mut self, now: Now, index: usize) -> bool {
        let mut moved = false;
        while !self.lines[index].client_over() {
            let mut turn = false;
            let reads_first = self.lines[index].wire.reads_first;
            for reads in [reads_first, !reads_first] {
                let line = &mut self.lines[index];
                if reads && line.has_waited(self.now.instant - secs(1)) {
                    self.read_late[usize::from(reads_first)] += 1;
                }
                turn |= if reads {
                    line.pump_read(now, self.now.instant, &mut self.session)
                } else {
                    line.pump_write(now, self.now.instant, &mut self.session)
                };
                for number in std::mem::take(&mut line.wrote) {
                    self.written.entry(number).or_default().push(line.id);
                }
                // At once, so that the timeline has all in its order.
                turn |= self.take_events();
            }
            let line = &mut self.lines[index];
            if line.linger.is_some_and(|end| end <= now.instant) && !line.client_over() {
                line.end_input(now, &mut self.session, End::Cut);
                line.write = Side::Closed;
                turn = true;
            }
            if !turn {
                break;
            }
            moved = true;
        }
        moved
    }

    /// Takes what the session has to say. Says whether there was anything.
    fn take_events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.session.poll_event() {
            moved = true;
            self.note(session_line(&event));
            if let Some(turn) = Turn::of(&event) {
                self.timeline.push(self.now.instant, turn);
            }
            match event {
                SessionEvent::Settled(settled) => {
                    self.settled_at.insert(settled.key, self.elapsed());
                    self.outcomes.entry(settled.key).or_default().push(settled);
                }
                SessionEvent::Dial { link } => {
                    let attempt = self.dials_at.len();
                    self.dials_at.push(self.elapsed());
                    let elapsed = self.elapsed();
                    let mut dialled = (self.dialler)(attempt, elapsed);
                    if self.now.instant < self.away_until {
                        dialled = Dialled::Failed(dialled.span());
                    }
                    self.print(|| format!("{dialled:?}"));
                    self.dials.push((self.now.instant + dialled.span(), link, dialled));
                }
                SessionEvent::Closed(report) => {
                    for line in self.lines.iter_mut().filter(|line| line.id == report.link) {
                        line.watch.over(self.now.instant);
                    }
                }
                _ => {}
            }
        }
        moved
    }

    fn poll_dials(&mut self, now: Now) -> bool {
        let (due, later): (Vec<_>, Vec<_>) = self.dials.drain(..).partition(|dial| dial.0 <= self.now.instant);
        self.dials = later;
        let moved = !due.is_empty();
        for (_, link, dialled) in due {
            let failure = |fatal| DialFailure { fatal, ..DialFailure::passing(DialStep::Connect, "refused") };
            match dialled {
                Dialled::Failed(_) => self.session.dial_failed(now, link, failure(false)),
                Dialled::Fatal(_) => self.session.dial_failed(now, link, failure(true)),
                Dialled::Refused(_, step) => {
                    self.session.dial_failed(now, link, DialFailure { step, ..failure(true) });
                }
                Dialled::Open(_, wire) => {
                    if self.session.connected(now, link) {
                        let (server, watch) = S::accept(link, &wire.script, &self.truth, &self.timeline);
                        let mut line = Line::new(link, *wire, self.now.instant, server, watch);
                        // Some services speak first.
                        line.serve(self.true_now());
                        let behind = self.now.instant - now.instant;
                        let silence = line.wire.silence(S::slowness(&line.wire.script));
                        self.silence.insert(link, silence.map(|silence| silence + behind));
                        self.lines.push(line);
                    }
                }
            }
        }
        moved
    }
}

impl<C> Dialled<C> {
    const fn span(&self) -> Duration {
        match self {
            Self::Open(span, _) | Self::Failed(span) | Self::Fatal(span) | Self::Refused(span, _) => *span,
        }
    }
}
