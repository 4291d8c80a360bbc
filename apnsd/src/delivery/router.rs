//! Which environment a device token belongs to, where an app sends to both and a caller leaves it to the daemon. No clock and
//! no I/O: the time is given.
//!
//! The service says BadDeviceToken for a token of the other environment, and disconnects who sends many of these. So what was
//! learned of a token is remembered, a token of which nothing is known is asked for once at a time, and what may turn out to
//! be a wrong guess is bounded by the minute.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use apns_proto::{DeviceToken, Environment};
use ring::digest::{SHA256, digest};

use crate::outbox::Route;

/// A device token, as it is remembered: the first half of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey([u8; 16]);

impl TokenKey {
    pub(crate) fn of(token: &DeviceToken) -> Self {
        let digest = digest(&SHA256, token.as_bytes());
        Self(digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// What is known of a device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// This environment knows it.
    In(Environment),
    /// This environment does not know it.
    NotIn(Environment),
    /// Neither knows it.
    Nowhere,
}

/// What to do with a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It goes to the environment that asked.
    Send {
        /// Nothing is known of its token: the answer has to be told to [`Router::answered`] as that to a guess.
        guess: bool,
    },
    /// It waits on another route.
    Elsewhere(Route),
    /// The same token is being asked for here: its answer decides.
    Behind,
    /// It waits until another guess may be made.
    Later,
}

/// How long a wrong guess counts.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// So many device tokens are remembered at least, and twice as many at most, of those that were used last. 24 bytes each, and
/// what a hash table adds.
const REMEMBERED: usize = 100_000;

/// After so many new tokens, what was found before counts half.
const RECENT: u32 = 64;

/// The other one.
pub(crate) const fn other(environment: Environment) -> Environment {
    match environment {
        Environment::Production => Environment::Sandbox,
        Environment::Sandbox => Environment::Production,
    }
}

/// What one app has learned.
#[derive(Debug)]
pub(crate) struct Router {
    bound: usize,
    memory: Memory,
    /// Tokens that are asked for at a guess, and where.
    asking: HashMap<TokenKey, Environment>,
    /// When guesses turned out wrong, the earliest first.
    wrong: VecDeque<Instant>,
    /// New tokens by where they were found: production, sandbox.
    found: (u32, u32),
    /// Something may wait for a guess. The claim that looks clears it, and sets it again with what it finds: what comes to wait
    /// meanwhile is not overlooked.
    pub(crate) held_back: bool,
    /// What waits for a guess has the next turn where there is room for little.
    turn: bool,
}

impl Router {
    /// With the most wrong guesses in a minute.
    pub(crate) fn new(bound: u32) -> Self {
        Self {
            bound: usize::try_from(bound).unwrap_or(usize::MAX),
            memory: Memory::new(REMEMBERED),
            asking: HashMap::new(),
            wrong: VecDeque::new(),
            found: (0, 0),
            held_back: false,
            turn: false,
        }
    }

    pub(crate) fn set_bound(&mut self, bound: u32) {
        self.bound = usize::try_from(bound).unwrap_or(usize::MAX);
    }

    /// The environment that is asked first for a token of which nothing is known.
    pub(crate) const fn likelier(&self) -> Environment {
        if self.found.1 > self.found.0 { Environment::Sandbox } else { Environment::Production }
    }

    /// What becomes of a notification that this environment could take now.
    pub(crate) fn step(&mut self, token: TokenKey, route: Route, here: Environment, now: Instant) -> Step {
        let there = other(here);
        match (route, self.memory.get(token)) {
            // The other one was asked before.
            (Route::Last(_), _) => Step::Send { guess: false },
            (_, Some(Known::In(environment))) if environment == here => Step::Send { guess: false },
            (_, Some(Known::In(_))) => Step::Elsewhere(Route::Found(there)),
            (_, Some(Known::NotIn(environment))) if environment == here => Step::Elsewhere(Route::Last(there)),
            (_, Some(Known::NotIn(_))) => Step::Send { guess: false },
            _ if self.asking.get(&token) == Some(&here) => Step::Behind,
            _ if self.asking.contains_key(&token) => Step::Elsewhere(Route::Found(there)),
            // What was found before, and forgotten with an earlier process, is hardly wrong.
            (route, _) if !matches!(route, Route::Found(_)) && self.guesses(now) == 0 => Step::Later,
            _ => {
                self.asking.insert(token, here);
                Step::Send { guess: true }
            }
        }
    }

    /// An environment has answered, or there is no answer: whether it knows the token.
    pub(crate) fn answered(
        &mut self,
        token: TokenKey,
        here: Environment,
        knows: Option<bool>,
        guess: bool,
        now: Instant,
    ) {
        if guess {
            self.asking.remove(&token);
        }
        let before = self.memory.get(token);
        match knows {
            None => {}
            Some(true) if before == Some(Known::In(here)) => {}
            Some(true) => {
                self.memory.insert(token, Known::In(here));
                self.count(here);
            }
            Some(false) => {
                if guess {
                    self.wrong.push_back(now);
                }
                let there = other(here);
                let known = match before {
                    Some(Known::NotIn(environment)) if environment == there => Known::Nowhere,
                    Some(Known::Nowhere) => Known::Nowhere,
                    _ => Known::NotIn(here),
                };
                self.memory.insert(token, known);
            }
        }
    }

    /// Nothing that an environment was asked for is answered any more.
    pub(crate) fn give_up(&mut self, here: Environment) {
        self.asking.retain(|_, environment| *environment != here);
    }

    /// Whether an environment said that it does not know the token.
    pub(crate) fn is_unknown_to(&mut self, token: TokenKey, environment: Environment) -> bool {
        match self.memory.get(token) {
            Some(Known::NotIn(not)) => not == environment,
            Some(Known::Nowhere) => true,
            Some(Known::In(_)) | None => false,
        }
    }

    /// How many guesses may be made now: all that are under way may turn out wrong.
    pub(crate) fn guesses(&mut self, now: Instant) -> usize {
        while self.wrong.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.wrong.pop_front();
        }
        self.bound.saturating_sub(self.wrong.len() + self.asking.len())
    }

    /// When the next guess may be made, where nothing but time has to pass.
    pub(crate) fn next_guess(&self) -> Option<Instant> {
        self.wrong.front().map(|at| *at + MINUTE)
    }

    /// How much of this little room guesses have: all of it every other time.
    pub(crate) const fn turn(&mut self, room: usize) -> usize {
        self.turn = !self.turn;
        if self.turn { room } else { 0 }
    }

    fn count(&mut self, environment: Environment) {
        let (production, sandbox) = &mut self.found;
        match environment {
            Environment::Production => *production += 1,
            Environment::Sandbox => *sandbox += 1,
        }
        if *production + *sandbox >= RECENT {
            (*production, *sandbox) = (*production / 2, *sandbox / 2);
        }
    }
}

/// What was learned, of the tokens that were used last.
#[derive(Debug)]
struct Memory {
    young: HashMap<TokenKey, Known>,
    old: HashMap<TokenKey, Known>,
    most: usize,
}

impl Memory {
    fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    fn get(&mut self, token: TokenKey) -> Option<Known> {
        if let Some(known) = self.young.get(&token) {
            return Some(*known);
        }
        let known = self.old.remove(&token)?;
        self.insert(token, known);
        Some(known)
    }

    fn insert(&mut self, token: TokenKey, known: Known) {
        if self.young.len() >= self.most && !self.young.contains_key(&token) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, known);
    }
}

#[cfg(test)]
mod tests;
