//! A service of two environments in pretended time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use proptest::prelude::*;

use super::*;

const PRODUCTION: Environment = Environment::Production;
const SANDBOX: Environment = Environment::Sandbox;

fn key(number: usize) -> TokenKey {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TokenKey(bytes)
}

/// How a notification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered(Environment),
    Dead,
}

/// A notification that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    number: usize,
    token: usize,
    route: Route,
}

/// What is asked, in the order of the answers.
type Asked = (Duration, usize, usize, u8, bool, u8);

/// An app whose notifications go through a router, with the service's answers after `latency`.
struct World<'a> {
    /// Where each token belongs; nowhere for one that is dead.
    homes: &'a [Option<Environment>],
    router: Router,
    start: Instant,
    now: Duration,
    latency: Duration,
    waiting: VecDeque<Waiting>,
    held: VecDeque<Waiting>,
    behind: HashMap<usize, Vec<Waiting>>,
    asked: BinaryHeap<Reverse<Asked>>,
    /// Tokens asked for in vain: when, which, and where.
    refused: Vec<(Duration, usize, Environment)>,
    ended: HashMap<usize, End>,
}

impl<'a> World<'a> {
    fn new(homes: &'a [Option<Environment>], bound: u32, latency: Duration) -> Self {
        let mut router = Router::new(bound);
        router.memory = Memory::new(10_000);
        Self {
            homes,
            router,
            start: Instant::now(),
            now: Duration::ZERO,
            latency,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            behind: HashMap::new(),
            asked: BinaryHeap::new(),
            refused: Vec::new(),
            ended: HashMap::new(),
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn take(&mut self, one: Waiting) {
        let here = match one.route {
            Route::Last(environment) | Route::Found(environment) => environment,
            _ => self.router.likelier(),
        };
        let now = self.instant();
        match self.router.step(key(one.token), one.route, here, now) {
            Step::Send { guess } => {
                let at = self.now + self.latency;
                let place = u8::from(here == SANDBOX);
                self.asked.push(Reverse((at, one.number, one.token, place, guess, one.route.number())));
            }
            Step::Elsewhere(route) => self.waiting.push_front(Waiting { route, ..one }),
            Step::Behind => self.behind.entry(one.token).or_default().push(one),
            Step::Later => self.held.push_back(Waiting { route: Route::Probe, ..one }),
        }
    }

    /// Goes on until everything has ended, and gives how long that took.
    fn run(&mut self, notifications: impl IntoIterator<Item = usize>) -> Duration {
        for (number, token) in notifications.into_iter().enumerate() {
            self.waiting.push_back(Waiting { number, token, route: Route::Auto });
        }
        loop {
            while let Some(one) = self.waiting.pop_front() {
                self.take(one);
            }
            let mut guesses = self.router.guesses(self.instant());
            while guesses > 0
                && let Some(one) = self.held.pop_front()
            {
                self.take(one);
                while let Some(one) = self.waiting.pop_front() {
                    self.take(one);
                }
                guesses = self.router.guesses(self.instant());
            }
            if let Some(Reverse(answered)) = self.asked.pop() {
                self.answer(answered);
            } else if !self.held.is_empty() {
                let next = self.router.next_guess().expect("time alone has to pass");
                let next = next.saturating_duration_since(self.start);
                assert!(next > self.now, "it stands still with {} held back", self.held.len());
                self.now = next;
            } else {
                assert!(self.behind.values().all(Vec::is_empty), "some wait for an answer that never comes");
                return self.now;
            }
        }
    }

    fn answer(&mut self, (at, number, token, place, guess, route): Asked) {
        self.now = self.now.max(at);
        let here = if place == 1 { SANDBOX } else { PRODUCTION };
        let knows = self.homes[token] == Some(here);
        let before = self.router.is_unknown_to(key(token), other(here));
        self.router.answered(key(token), here, Some(knows), guess, self.instant());
        let one = Waiting { number, token, route: Route::from_number(route.into()) };
        if knows {
            assert_eq!(self.ended.insert(number, End::Delivered(here)), None);
        } else {
            // As the service has it: when the request came.
            self.refused.push((at - self.latency, token, here));
            if before || matches!(one.route, Route::Last(_)) {
                assert_eq!(self.ended.insert(number, End::Dead), None);
            } else {
                self.waiting.push_back(Waiting { route: Route::Last(other(here)), ..one });
            }
        }
        self.waiting.extend(self.behind.remove(&token).unwrap_or_default());
    }

    /// Device tokens of the other environment, as the service saw them.
    fn wrong(&self) -> impl Iterator<Item = (Duration, usize)> + '_ {
        let of_the_other =
            |(_, token, here): &&(Duration, usize, Environment)| self.homes[*token] == Some(other(*here));
        self.refused.iter().filter(of_the_other).map(|(at, token, _)| (*at, *token))
    }

    fn check(&self, notifications: &[usize], bound: usize) {
        assert_eq!(self.ended.len(), notifications.len());
        for (number, token) in notifications.iter().enumerate() {
            let expected = self.homes[*token].map_or(End::Dead, End::Delivered);
            assert_eq!(self.ended[&number], expected, "token {token}");
        }
        let mut asked = HashMap::<usize, usize>::new();
        self.wrong().for_each(|(_, token)| *asked.entry(token).or_default() += 1);
        assert!(asked.values().all(|count| *count <= 1), "{asked:?}");
        let mut at: Vec<Duration> = self.wrong().map(|(at, _)| at).collect();
        at.sort_unstable();
        for (place, first) in at.iter().enumerate() {
            let within = at[place..].iter().take_while(|at| **at < *first + MINUTE).count();
            assert!(within <= bound, "{within} within a minute of {first:?}");
        }
        for (token, home) in self.homes.iter().enumerate() {
            let no: HashSet<Environment> = self.refused.iter().filter(|one| one.1 == token).map(|one| one.2).collect();
            let used = notifications.contains(&token);
            assert!(home.is_some() || !used || no.len() == 2, "token {token} is called dead by {no:?} alone");
        }
    }
}

#[test]
fn a_thousand_tokens_of_each_environment_are_all_delivered_within_the_bound() {
    let homes: Vec<_> = (0..2000).map(|number| Some(if number % 2 == 0 { PRODUCTION } else { SANDBOX })).collect();
    let notifications: Vec<usize> = (0..2000).collect();
    let mut world = World::new(&homes, 100, Duration::from_millis(50));
    let took = world.run(notifications.clone());
    world.check(&notifications, 100);
    let wrong = world.wrong().count();
    assert!((800..=1200).contains(&wrong), "{wrong}");
    assert!(took < MINUTE * 12, "{took:?}");
    // From now on all is known.
    let before = world.refused.len();
    world.ended.clear();
    let again = world.run(notifications.clone()) - took;
    assert_eq!(world.refused.len(), before);
    assert!(again < Duration::from_secs(1), "{again:?}");
}

#[test]
fn the_likelier_environment_is_asked_first() {
    let homes: Vec<_> = (0..5000).map(|number| Some(if number % 50 == 0 { PRODUCTION } else { SANDBOX })).collect();
    let notifications: Vec<usize> = (0..5000).collect();
    let mut world = World::new(&homes, 100, Duration::from_millis(10));
    world.run(notifications.clone());
    world.check(&notifications, 100);
    let wrong = world.wrong().count();
    assert!(wrong < 350, "{wrong}: a hundred that are of production, and as many as were asked before it was known");
}

#[test]
fn many_notifications_for_one_token_make_one_guess() {
    let homes = [Some(SANDBOX), None];
    let notifications: Vec<usize> = (0..500).map(|number| number % 2).collect();
    let mut world = World::new(&homes, 10, Duration::from_secs(1));
    world.run(notifications.clone());
    world.check(&notifications, 10);
    assert_eq!(world.wrong().count(), 1);
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_used_stays() {
    let mut memory = Memory::new(100);
    memory.insert(key(0), Known::In(SANDBOX));
    for number in 1..10_000 {
        memory.insert(key(number), Known::Nowhere);
        assert_eq!(memory.get(key(0)), Some(Known::In(SANDBOX)));
        assert!(memory.young.len() + memory.old.len() <= 200);
    }
    assert_eq!(memory.get(key(1)), None);
}

#[test]
fn a_guess_without_an_answer_is_made_again() {
    let (mut router, now) = (Router::new(1), Instant::now());
    let ask = |router: &mut Router, number| router.step(key(number), Route::Auto, PRODUCTION, now);
    assert_eq!(ask(&mut router, 1), Step::Send { guess: true });
    assert_eq!((ask(&mut router, 1), ask(&mut router, 2)), (Step::Behind, Step::Later));
    router.answered(key(1), PRODUCTION, None, true, now);
    assert_eq!(ask(&mut router, 2), Step::Send { guess: true });
    router.answered(key(2), PRODUCTION, Some(false), true, now);
    assert_eq!((ask(&mut router, 1), router.next_guess()), (Step::Later, Some(now + MINUTE)));
    assert_eq!(router.guesses(now + MINUTE), 1);
    // A clock that goes back brings nothing.
    assert_eq!(ask(&mut router, 2), Step::Elsewhere(Route::Last(SANDBOX)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_mix_is_delivered_with_one_wrong_guess_for_each_token_at_most(
        homes in prop::collection::vec(
            prop_oneof![Just(Some(PRODUCTION)), Just(Some(SANDBOX)), Just(None)], 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..400),
        bound in 1_u32..20,
        latency in 1_u64..90_000,
    ) {
        let notifications: Vec<usize> = order.iter().map(|index| index.index(homes.len())).collect();
        let mut world = World::new(&homes, bound, Duration::from_millis(latency));
        world.run(notifications.clone());
        world.check(&notifications, bound as usize);
    }
}
