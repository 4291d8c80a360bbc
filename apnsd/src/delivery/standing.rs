//! How an app stands: what its connections do, what it counted, and what its credential is worth.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use apns_proto::{Environment, WallTime};
use parking_lot::Mutex;

use crate::config::{Credential as AppCredential, Destination};
use crate::outbox::{AppPause, OutcomeRecord};

/// What is known of an app's connection to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing was sent yet.
    Untried,
    /// The service took the credential.
    Working,
    /// No connection can be had at the moment.
    NoConnection {
        /// Why.
        why: String,
    },
    /// The credential or the server is wrong: a person must act.
    Failing {
        /// Why.
        why: String,
    },
}

impl Health {
    /// A stable word for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Working => "working",
            Self::NoConnection { .. } => "no_connection",
            Self::Failing { .. } => "failing",
        }
    }

    /// How bad it is.
    const fn rank(&self) -> u8 {
        match self {
            Self::Untried => 0,
            Self::Working => 1,
            Self::NoConnection { .. } => 2,
            Self::Failing { .. } => 3,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Untried | Self::Working => None,
            Self::NoConnection { why } | Self::Failing { why } => Some(why),
        }
    }
}

/// What may be shown of an app's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A client certificate.
    Certificate {
        /// Its subject.
        subject: String,
        /// The SHA-256 of it, in hexadecimal.
        fingerprint: String,
        /// The topics that it names.
        topics: Vec<String>,
        /// The last moment at which it is valid.
        not_after: WallTime,
    },
    /// A key that signs provider tokens.
    SigningKey {
        /// Its name.
        key_id: String,
        /// Whose it is.
        team_id: String,
    },
}

impl Credential {
    /// When it ends, where it does.
    #[must_use]
    pub const fn not_after(&self) -> Option<WallTime> {
        match self {
            Self::Certificate { not_after, .. } => Some(*not_after),
            Self::SigningKey { .. } => None,
        }
    }

    /// When it ends, if that is within thirty days or over.
    pub(crate) fn expires_soon(&self, now: WallTime) -> Option<WallTime> {
        let soon = now.saturating_add(apns_tokio::Validity::SOON);
        self.not_after().filter(|end| *end <= soon)
    }

    pub(crate) fn of(destination: &Destination) -> Self {
        match &destination.credential {
            AppCredential::Certificate(identity) => Self::Certificate {
                subject: identity.subject().to_owned(),
                fingerprint: identity.fingerprint().to_string(),
                topics: identity.topics().to_vec(),
                not_after: identity.not_after(),
            },
            AppCredential::SigningKey { key_id, team_id, .. } => {
                Self::SigningKey { key_id: key_id.as_str().to_owned(), team_id: team_id.as_str().to_owned() }
            }
        }
    }
}

/// How an app stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its connection to the service: the worst of its environments; failing where notifications wait for an environment that
    /// it does not have.
    pub health: Health,
    /// The same of each environment that it sends to.
    pub environments: Vec<EnvironmentStanding>,
    /// What was tried to find out where device tokens belong.
    pub probes: ProbeFigures,
    /// Somebody ordered that nothing is sent for now.
    pub pause: Option<AppPause>,
    /// How many connections are open.
    pub connections: usize,
    /// How often the service refused the credential since the start, by reason: `tls` for a TLS alert.
    pub refusals: BTreeMap<String, u64>,
    /// How many notifications were accepted from callers since the start.
    pub taken: u64,
    /// How many ended since the start, by reason or outcome.
    pub ended: BTreeMap<String, u64>,
    /// How many were sent again in doubt since the start.
    pub replays: u64,
    /// How long they took, from being accepted to their end.
    pub spans: Spans,
    /// How many ended in the last minute.
    pub last_minute: u64,
    /// The last of them, newest first.
    pub last: Vec<OutcomeRecord>,
    /// What the bridge did for it.
    pub bridge: BridgeFigures,
}

/// How an app stands with one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentStanding {
    /// The environment.
    pub environment: Environment,
    /// Its connection to the service there.
    pub health: Health,
    /// How many connections are open.
    pub connections: usize,
}

/// What was tried to find out where device tokens belong, of an app that leaves that to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProbeFigures {
    /// How many device tokens the wrong environment was asked for since the start.
    pub wrong: u64,
    /// How many notifications had to wait until another device token could be asked for, since the start.
    pub held: u64,
    /// Some wait for that now.
    pub waits: bool,
}

/// How long notifications took from being accepted to their end, counted by the length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Spans {
    /// How many took at most as long as the limit in the same place of [`LIMITS`](Self::LIMITS), and longer than the limit
    /// before; the last are those that took longer than all.
    pub counts: [u64; Self::LIMITS.len() + 1],
    /// The sum of all, in milliseconds.
    pub total_millis: u64,
}

impl Spans {
    /// In milliseconds.
    pub const LIMITS: [u64; 12] =
        [10, 50, 100, 500, 1000, 5000, 10_000, 60_000, 300_000, 3_600_000, 21_600_000, 86_400_000];

    fn add(&mut self, millis: u64) {
        let place = Self::LIMITS.iter().position(|limit| millis <= *limit).unwrap_or(Self::LIMITS.len());
        self.counts[place] += 1;
        self.total_millis = self.total_millis.saturating_add(millis);
    }
}

/// What the bridge did for an app since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BridgeFigures {
    /// How many connections to the gateway are open.
    pub connections: usize,
    /// How many notifications were sent again after an error response, and not taken twice.
    pub recognised: u64,
    /// How many error responses were sent, by status.
    pub responses: BTreeMap<u8, u64>,
}

/// How many different reasons are counted apart: a service with too much fantasy shall not take up the memory.
const REASONS: usize = 100;
/// How many of the last outcomes are kept for show.
const LAST: usize = 20;
/// What is counted by the second.
const MINUTE: usize = 60;

/// The same while it changes.
#[derive(Debug)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    /// One for each environment that the app sends to.
    sides: Vec<Side>,
    /// An environment that the app does not have, and for which notifications wait.
    stranded: Option<Environment>,
    probes: ProbeFigures,
    pause: Option<AppPause>,
    refusals: BTreeMap<String, u64>,
    taken: u64,
    ended: BTreeMap<String, u64>,
    replays: u64,
    spans: Spans,
    last: VecDeque<OutcomeRecord>,
    seconds: VecDeque<u64>,
    second_began: Instant,
    bridge: BridgeFigures,
}

/// An app in one environment.
#[derive(Debug)]
struct Side {
    environment: Environment,
    health: Health,
    /// The state that was last news: a connection that opens is none, for the next may fail like the one before.
    told: &'static str,
    connections: usize,
}

impl Side {
    const fn new(environment: Environment) -> Self {
        Self { environment, health: Health::Untried, told: Health::Untried.word(), connections: 0 }
    }

    fn standing(&self) -> EnvironmentStanding {
        EnvironmentStanding {
            environment: self.environment,
            health: self.health.clone(),
            connections: self.connections,
        }
    }

    fn turn_to(&mut self, health: Health) -> bool {
        self.health = health;
        std::mem::replace(&mut self.told, self.health.word()) != self.health.word()
    }
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            sides: Vec::new(),
            stranded: None,
            probes: ProbeFigures::default(),
            pause: None,
            refusals: BTreeMap::new(),
            taken: 0,
            ended: BTreeMap::new(),
            replays: 0,
            spans: Spans::default(),
            last: VecDeque::new(),
            seconds: VecDeque::from([0]),
            second_began: Instant::now(),
            bridge: BridgeFigures::default(),
        }))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock())
    }

    /// Notifications were accepted from a caller.
    pub(crate) fn took(&self, count: u64) {
        self.change(|state| state.taken += count);
    }

    /// The bridge did something.
    pub(crate) fn note_bridge(&self, note: impl FnOnce(&mut BridgeFigures)) {
        self.change(|state| note(&mut state.bridge));
    }

    /// The app sends to these environments from now on, and nothing was tried yet.
    pub(crate) fn begin(&self, environments: impl Iterator<Item = Environment>) {
        self.change(|state| {
            let before = std::mem::take(&mut state.sides);
            state.sides = environments.map(Side::new).collect();
            for side in &mut state.sides {
                if let Some(before) = before.iter().find(|before| before.environment == side.environment) {
                    side.connections = before.connections;
                }
            }
        });
    }

    /// Says whether that is news.
    pub(crate) fn set_health(&self, environment: Environment, health: Health) -> bool {
        self.change(|state| state.side(environment).turn_to(health))
    }

    /// Notifications wait for an environment that the app does not have, or none do. Says whether that is news.
    pub(crate) fn set_stranded(&self, stranded: Option<Environment>) -> bool {
        self.change(|state| std::mem::replace(&mut state.stranded, stranded) != stranded)
    }

    pub(crate) fn stranded(&self) -> Option<Environment> {
        self.change(|state| state.stranded)
    }

    /// It was tried to find out where device tokens belong.
    pub(crate) fn note_probes(&self, note: impl FnOnce(&mut ProbeFigures)) {
        self.change(|state| note(&mut state.probes));
    }

    /// The service refused the credential.
    pub(crate) fn refused(&self, reason: &str) {
        self.change(|state| count(&mut state.refusals, reason));
    }

    /// A new connection says nothing against a failing credential; only an answer does.
    pub(crate) fn connected(&self, environment: Environment, open: usize) {
        self.change(|state| {
            let side = state.side(environment);
            side.connections = open;
            if open > 0 && matches!(side.health, Health::NoConnection { .. }) {
                side.health = Health::Untried;
            }
        });
    }

    /// Says whether that is news. A failing app stays one: what fails then is no more than that.
    pub(crate) fn no_connection(&self, environment: Environment, why: &str) -> bool {
        self.change(|state| {
            let side = state.side(environment);
            !matches!(side.health, Health::Failing { .. }) && side.turn_to(Health::NoConnection { why: why.to_owned() })
        })
    }

    /// A notification ended.
    pub(crate) fn ended(&self, record: &OutcomeRecord) {
        self.change(|state| {
            count(&mut state.ended, record.counted_as());
            state.replays += u64::from(record.tries.replays);
            state.spans.add(record.settled_at.saturating_sub(record.send_at.unwrap_or(record.accepted_at)));
            state.last.push_front(record.clone());
            state.last.truncate(LAST);
            state.turn();
            if let Some(now) = state.seconds.front_mut() {
                *now += 1;
            }
        });
    }

    /// The worst of its environments.
    pub(crate) fn health(&self) -> Health {
        self.change(|state| state.health())
    }

    pub(crate) fn health_in(&self, environment: Environment) -> Health {
        self.change(|state| state.side(environment).health.clone())
    }

    /// Whether nothing is known that keeps it from sending there.
    pub(crate) fn is_usable(&self, environment: Environment) -> bool {
        self.change(|state| matches!(state.side(environment).health, Health::Untried | Health::Working))
    }

    /// Somebody ordered that nothing is sent for now, or that it is sent again.
    pub(crate) fn set_pause(&self, pause: Option<AppPause>) {
        self.change(|state| state.pause = pause);
    }

    pub(crate) fn pause(&self) -> Option<AppPause> {
        self.change(|state| state.pause.clone())
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.change(|state| state.pause.is_some())
    }

    /// Whether the service takes what it is sent.
    pub(crate) fn works(&self, environment: Environment) -> bool {
        self.change(|state| state.side(environment).health == Health::Working)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.change(|state| {
            state.turn();
            Snapshot {
                health: state.health(),
                environments: state.sides.iter().map(Side::standing).collect(),
                probes: state.probes.clone(),
                pause: state.pause.clone(),
                connections: state.sides.iter().map(|side| side.connections).sum(),
                refusals: state.refusals.clone(),
                taken: state.taken,
                ended: state.ended.clone(),
                replays: state.replays,
                spans: state.spans.clone(),
                last_minute: state.seconds.iter().sum(),
                last: state.last.iter().cloned().collect(),
                bridge: state.bridge.clone(),
            }
        })
    }
}

/// One more for this reason.
fn count(counts: &mut BTreeMap<String, u64>, reason: &str) {
    if let Some(count) = counts.get_mut(reason) {
        *count += 1;
    } else {
        let reason = if counts.len() < REASONS { reason } else { "other" };
        *counts.entry(reason.to_owned()).or_default() += 1;
    }
}

impl State {
    fn side(&mut self, environment: Environment) -> &mut Side {
        let place = self.sides.iter().position(|side| side.environment == environment).unwrap_or_else(|| {
            self.sides.push(Side::new(environment));
            self.sides.len() - 1
        });
        &mut self.sides[place]
    }

    /// The worst, and what waits in vain.
    fn health(&self) -> Health {
        let health = self.health_of_sides();
        let Some(stranded) = self.stranded else { return health };
        let why = format!(
            "notifications wait for the environment {}, which this app does not have: configure it, or purge them",
            stranded.word()
        );
        let why = health.why().map_or_else(|| why.clone(), |other| format!("{other}; {why}"));
        Health::Failing { why }
    }

    /// The worst; what is wrong names the environment where there are two.
    fn health_of_sides(&self) -> Health {
        let Some(worst) = self.sides.iter().max_by_key(|side| side.health.rank()) else { return Health::Untried };
        let alike = |side: &&Side| side.health.rank() == worst.health.rank();
        let why = || {
            if self.sides.len() == 1 {
                return worst.health.why().unwrap_or_default().to_owned();
            }
            let each = self.sides.iter().filter(alike);
            let each: Vec<String> = each
                .map(|side| format!("{}: {}", side.environment.word(), side.health.why().unwrap_or_default()))
                .collect();
            each.join("; ")
        };
        match &worst.health {
            Health::NoConnection { .. } => Health::NoConnection { why: why() },
            Health::Failing { .. } => Health::Failing { why: why() },
            health @ (Health::Untried | Health::Working) => health.clone(),
        }
    }

    /// Begins the seconds that have begun since the last look.
    fn turn(&mut self) {
        let passed = self.second_began.elapsed().as_secs();
        if passed == 0 {
            return;
        }
        self.second_began += Duration::from_secs(passed);
        for _ in 0..passed.min(MINUTE as u64) {
            self.seconds.push_front(0);
        }
        self.seconds.truncate(MINUTE);
    }
}
